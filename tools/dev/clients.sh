# What the tests of the service and of its page need beside Debian's build packages: the vendor's clients, a browser and
# what drives it. Third-party clients go to .cache/tests. Sourced by ./dev.

# once STAMP FILES... -- COMMAND...: runs the command unless it has succeeded with these very files
once() {
    stamp=$1
    shift
    key_files=
    while [ "$1" != -- ]; do
        key_files="$key_files $1"
        shift
    done
    shift
    # shellcheck disable=SC2086 # a list of files is meant
    sum=$(cat $key_files | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$sum" ] || return 0
    "$@" && mkdir -p "$(dirname "$stamp")" && echo "$sum" >"$stamp"
}

# make_environment NAME PINS: a Python environment with just what the pins name
make_environment() {
    say "installing $1 into .cache/tests"
    rm -rf ".cache/tests/$1"
    python3 -m venv ".cache/tests/$1" && ".cache/tests/$1/bin/pip" install -q --no-deps --disable-pip-version-check -r "$2"
}

# make_node_folder NAME PINS-FOLDER
make_node_folder() {
    say "installing $1 into .cache/tests"
    rm -rf ".cache/tests/$1"
    mkdir -p ".cache/tests/$1" && cp "$2"/package*.json ".cache/tests/$1/" &&
        (cd ".cache/tests/$1" && npm ci --silent --no-audit --no-fund --ignore-scripts)
}

# Clients that cannot be installed (no network) leave their tests skipped, which the result tells.
install_test_clients() {
    wanted=
    python3 -c 'import ensurepip, venv' 2>/dev/null || wanted="$wanted python3-venv"
    command -v node >/dev/null || wanted="$wanted nodejs"
    command -v npm >/dev/null || wanted="$wanted npm"
    command -v curl >/dev/null || wanted="$wanted curl"
    command -v chromium >/dev/null || wanted="$wanted chromium"
    # shellcheck disable=SC2086 # a list of words is meant
    install_packages $wanted fonts-dejavu-core fonts-wqy-microhei
    pins=tests/service_e2e/clients
    for version in 2.0.5 1.0.3; do
        file=$pins/requirements-$version.txt
        once ".cache/tests/wavespeed-$version/stamp" "$file" -- make_environment "wavespeed-$version" "$file" ||
            echo "wavespeed $version for Python could not be installed; its tests are skipped" >&2
    done
    file=$pins/requirements-schemathesis.txt
    once .cache/tests/schemathesis/stamp "$file" -- make_environment schemathesis "$file" ||
        echo "schemathesis could not be installed; its test is skipped" >&2
    for version in 0.3.2 0.2.3; do
        folder=$pins/npm-$version
        once ".cache/tests/npm-$version/stamp" "$folder/package.json" "$folder/package-lock.json" -- \
            make_node_folder "npm-$version" "$folder" ||
            echo "wavespeed $version for Node could not be installed; its tests are skipped" >&2
    done
    once .cache/tests/browser/stamp tests/browser/package.json tests/browser/package-lock.json -- \
        make_node_folder browser tests/browser ||
        echo "playwright-core could not be installed; the page's tests are skipped" >&2
}
