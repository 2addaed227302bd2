# The arm64 build and its tests on another machine: Debian's cross compiler, Debian's arm64 libraries in a folder of
# their own (the system keeps its one architecture), programs under qemu's user emulation. Sourced by ./dev after
# clients.sh.

SYSROOT_PACKAGES="libc6-dev libgcc-12-dev zlib1g-dev libjpeg62-turbo-dev libpng-dev libwebp-dev libtiff-dev libgif-dev
liblcms2-dev libjansson-dev libutf8proc-dev libcmocka-dev libsqlite3-dev libcurl4-openssl-dev libssl-dev"

# make_sysroot FOLDER: apt resolves what is missing on a system with nothing, and gets it from this system's own sources;
# nothing is installed.
make_sysroot() {
    sysroot=$1 apt=$PWD/.cache/apt-arm64
    say "downloading arm64 libraries into $sysroot"
    rm -rf "$apt" "$sysroot"
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$sysroot"
    : >"$apt/status"
    cat >"$apt/apt.conf" <<END
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
END
    # shellcheck disable=SC2086 # a list of words is meant
    APT_CONFIG=$apt/apt.conf apt-get update -qq &&
        APT_CONFIG=$apt/apt.conf apt-get install -qq -y --no-install-recommends --download-only $SYSROOT_PACKAGES >/dev/null || return 1
    for package in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$package" "$sysroot" || return 1; done
    # Links to absolute paths would lead out of the folder.
    find "$sysroot" -type l -lname '/*' | while read -r link; do ln -sfn "$sysroot$(readlink "$link")" "$link"; done
    rm -rf "$apt"
}

build_arm() {
    install_packages gcc-aarch64-linux-gnu qemu-user
    QEMU_LD_PREFIX=$PWD/.cache/sysroot-arm64
    KONTEXT_TEST_RUNNER=qemu-aarch64
    export QEMU_LD_PREFIX KONTEXT_TEST_RUNNER
    once .cache/sysroot-arm64.stamp tools/dev/arm.sh -- make_sysroot "$QEMU_LD_PREFIX"
    printf "[constants]\nsysroot = '%s'\n" "$QEMU_LD_PREFIX" >.cache/sysroot-arm64.ini
    say "gcc for arm64, release"
    configure build-arm64 gcc --buildtype=release -Dwerror=true --cross-file .cache/sysroot-arm64.ini \
        --cross-file tools/cross/aarch64-linux-gnu.ini
    ninja -C build-arm64
}

# One edit with the demo model on the arm64 program and on this machine's. Kernel sets add in different orders, so single
# bytes may differ by one.
check_arm_edit() {
    out=build-arm64/demo-edit
    mkdir -p "$out"
    set -- edit -m models/demo -i models/demo-samples/man.png --ref-size 64x64 --size 64x64 --steps 4 --seed 1 -q \
        -p "Make the man's shirt red."
    qemu-aarch64 build-arm64/kontext "$@" -o "$out/arm64.png" && build/kontext "$@" -o "$out/native.png" &&
        build/tests/e2e/compare_pictures "$out/arm64.png" "$out/native.png" 20
}

test_arm() {
    build
    build_arm
    run_tests build-arm64 --timeout-multiplier 10 --no-suite golden --suite base --suite tensor --suite kernels \
        --suite formats --suite sampler --suite model
    # The sets of the other runs are those of a processor that has everything; these have less.
    for processor in cortex-a72 neoverse-n1; do
        say "kernels on a $processor"
        QEMU_CPU=$processor
        export QEMU_CPU
        run_tests build-arm64 --timeout-multiplier 10 kernels packed ops-linear
        unset QEMU_CPU
    done
    say "an edit with the demo model, against this machine's"
    if check_arm_edit; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    say "result"
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
