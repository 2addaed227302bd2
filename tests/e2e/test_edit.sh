#!/bin/sh
# Edits that work: references, schemes, formats, seeds, JSON, equal bytes, cancel.
. "$(dirname "$0")/lib.sh"

for k in 1 2 3 4; do "$forge" picture $((64 + 16 * k)) $((112 - 16 * k)) "$k" "$work/r$k.png"; done
small="--steps 2 --size 48x32 --ref-size 32x48"
# edit NAME OPTIONS...: an edit in quiet mode that must work
edit() {
    edit_name=$1
    shift
    works "$edit_name" edit -m "$model" -p "a red house" -q "$@"
}
same() { cmp -s "$1" "$2"; }
differ() { [ -s "$1" ] && [ -s "$2" ] && ! cmp -s "$1" "$2"; }
# begins FILE OFFSET HEX: whether the file has these bytes there
begins() { [ "$(dd if="$1" bs=1 skip="$2" count=$((${#3} / 2)) 2>/dev/null | od -An -tx1 | tr -d ' \n')" = "$3" ]; }

# ---- references and schemes ----
for scheme in offset index stitch; do
    references=
    for k in 0 1 2 3 4; do
        [ "$k" = 0 ] || references="$references -i $work/r$k.png"
        # shellcheck disable=SC2086 # lists of words are meant
        edit "$scheme, $k references" $references $small --seed 1 --references $scheme -o "$out/$scheme-$k.png"
    done
done
check "offset and index agree on one reference" same "$out/offset-1.png" "$out/index-1.png"
check "offset and index differ on two references" differ "$out/offset-2.png" "$out/index-2.png"
check "offset and stitch differ on two references" differ "$out/offset-2.png" "$out/stitch-2.png"
check "a reference matters" differ "$out/offset-0.png" "$out/offset-1.png"
# shellcheck disable=SC2086
edit "two references the other way round" -i "$work/r2.png" -i "$work/r1.png" $small --seed 1 -o "$out/swapped.png"
check "their order matters" differ "$out/offset-2.png" "$out/swapped.png"

# ---- sizes ----
size_of() { # FILE: of a PNG
    dd if="$1" bs=1 skip=16 count=8 2>/dev/null | od -An -tu1 | awk '{print $3*256+$4 "x" $7*256+$8}'
}
is_size() {
    found=$(size_of "$1")
    echo "found $found, expected $2"
    [ "$found" = "$2" ]
}
edit "a size that is no multiple of 16" --size 50x35 --steps 1 -o "$out/odd.png"
check "is met exactly" is_size "$out/odd.png" 50x35
edit "an aspect" --aspect 2:1 --steps 1 -o "$out/wide.png"
check "has the native area" is_size "$out/wide.png" 176x80
edit "native references" -i "$work/r1.png" --ref-size native --steps 1 -o "$out/native.png"
check "the size follows the first reference" is_size "$out/native.png" 80x96
edit "no reference and no size" --steps 1 -o "$out/square.png"
check "is the native square" is_size "$out/square.png" 128x128

# ---- several results ----
edit "three results" -n 3 --seed 7 --steps 2 --size 32x32 -o "$out/three.webp"
check "have numbers in their names" test -s "$out/three-1.webp" -a -s "$out/three-2.webp" -a -s "$out/three-3.webp" -a ! -e "$out/three.webp"
edit "the second alone" --seed 8 --steps 2 --size 32x32 -o "$out/second.png"
edit "three results as PNG" -n 3 --seed 7 --steps 2 --size 32x32 -o "$out/three.png" --no-metadata
edit "the second alone without metadata" --seed 8 --steps 2 --size 32x32 -o "$out/second.png" --no-metadata
check "result k has seed + k" same "$out/three-2.png" "$out/second.png"
edit "a random seed" --steps 1 --size 32x32 -o "$out/random-1.png" --no-metadata
edit "another random seed" --steps 1 --size 32x32 -o "$out/random-2.png" --no-metadata --seed -1
check "two random seeds differ" differ "$out/random-1.png" "$out/random-2.png"

# ---- formats ----
fast="--steps 1 --size 32x32 --seed 1"
for suffix in png jpg jpeg webp PNG; do
    # shellcheck disable=SC2086
    edit "suffix .$suffix" $fast -o "$out/f.$suffix"
done
check ".png is a PNG" begins "$out/f.png" 0 89504e470d0a1a0a
check ".PNG is a PNG" begins "$out/f.PNG" 0 89504e470d0a1a0a
check ".jpg is a JPEG" begins "$out/f.jpg" 0 ffd8ff
check ".webp is a WebP" begins "$out/f.webp" 8 57454250
# shellcheck disable=SC2086
edit "--format wins over the suffix" $fast --format jpeg -o "$out/really-jpeg.png"
check "and is kept" begins "$out/really-jpeg.png" 0 ffd8ff
# shellcheck disable=SC2086
"$kontext" edit -m "$model" -p "a red house" $fast --format png -o - >"$out/stdout.png" 2>"$work/stderr" </dev/null
check "standard output has the bytes of the file" same "$out/stdout.png" "$out/f.png"
# shellcheck disable=SC2086
edit "a result is a reference of the next edit" $fast -i "$out/f.jpg" -i "$out/f.webp" --ref-size native -o "$out/again.png"
check "metadata: prompt, seed and program stand in the PNG" grep -aq "a red house" "$out/f.png"
# shellcheck disable=SC2086
edit "no metadata" $fast --no-metadata -o "$out/plain.png"
check "--no-metadata leaves the prompt out" sh -c "! grep -aq 'a red house' '$out/plain.png'"

# ---- prompts ----
printf 'a red house\n' >"$work/prompt.txt"
# shellcheck disable=SC2086
works "a prompt from a file" edit -m "$model" --prompt-file "$work/prompt.txt" -q $fast -o "$out/from-file.png"
check "is the same prompt" same "$out/from-file.png" "$out/f.png"
# shellcheck disable=SC2086
printf 'a red house' | "$kontext" edit -m "$model" --prompt-file - -q $fast -o "$out/from-stdin.png"
check "a prompt from standard input" same "$out/from-stdin.png" "$out/f.png"
# shellcheck disable=SC2086
works "a prompt of white space" edit -m "$model" -p "  " -q $fast -o "$out/space.png"
# shellcheck disable=SC2086
works "a prompt that looks like an option" edit -m "$model" -p --json -q $fast -o "$out/dash.png"
# shellcheck disable=SC2086
"$kontext" edit -m "$model" -p "a red house" -q $fast -i - -o "$out/piped.png" <"$work/r1.png"
check "a reference from standard input" test -s "$out/piped.png"
# shellcheck disable=SC2086
works "another spelling of options" edit -m"$model" --prompt="a red house" -q --steps=1 --size=32x32 --seed=1 -t1 "-o$out/spelt.png"
check "means the same" same "$out/spelt.png" "$out/f.png"

# ---- the fast preset ----
# fast NAME OPTIONS... -- PATH=TEXT...: what an edit with --preset fast tells
fast() {
    fast_name=$1 options=
    shift
    while [ "$1" != -- ]; do options="$options $1" && shift; done
    shift
    # shellcheck disable=SC2086 # a list of words is meant
    works "fast, $fast_name" edit -m "$model" -p "a red house" -i "$work/r1.png" -i "$work/r2.png" --steps 2 --preset fast \
        $options -q --json -o "$out/fast.png"
    check "tells $*" "$json_check" "$work/stdout" "$@"
}
fast "without a size" -- precision=int8 cache.name=first-block references.0.working.width=112 references.1.working.width=144
fast "with a size" --size 48x48 -- precision=int8 cache.name=first-block references.0.working.width=32 \
    references.0.working.height=48 references.1.working.width=48
fast "with a larger size than the references" --size 256x256 -- references.0.working.width=112 references.1.working.width=144
fast "and what is given" --size 48x48 --precision bf16 --cache off --ref-size 64x48 -- precision=bf16 cache.name=off \
    references.0.working.width=64
fast "and a budget" --size 48x48 --ref-pixels 16384 -- references.0.working.width=64
works "a plan that is fast" model plan "$model" --preset fast --size 64x64 --images 128x128 --json
check "has references as large as the result" "$json_check" "$work/stdout" tokens.reference=16

# ---- JSON ----
status=0
"$kontext" edit -m "$model" -p "a red house" -i "$work/r1.png" -i "$work/r2.png" --steps 2 --size 50x35 --seed 18446744073709551614 \
    --ref-size 64x48 -n 2 -o "$out/j.png" --json --progress json >"$work/result.json" 2>"$work/progress.jsonl" </dev/null || status=$?
check "--json ends with 0" test "$status" = 0
check "--json tells all" "$json_check" "$work/result.json" "files.0=$out/j-1.png" "files.1=$out/j-2.png" \
    seeds.0=18446744073709551614 seeds.1=18446744073709551615 sizes.requested.width=50 sizes.working.width=64 \
    sizes.working.height=48 sizes.final.width=50 sizes.final.height=35 references.0.source.width=80 \
    references.0.working.width=64 references.1.offset_tokens.y references.1.offset_tokens.x steps=2 guidance=2.5 \
    tokens.clip tokens.t5 tokens.t5_cut=0 seconds.total seconds.denoise memory.plan_bytes memory.peak_anonymous_bytes
bad=0
while read -r line; do
    printf '%s\n' "$line" >"$work/line.json"
    "$json_check" "$work/line.json" stage done total image images=2 seconds || bad=$((bad + 1))
done <"$work/progress.jsonl"
check "--progress json writes a JSON object a line" test "$bad" = 0 -a -s "$work/progress.jsonl"
check "the steps are among them" grep -q '"stage":"denoise","done":2,"total":2' "$work/progress.jsonl"
works "model info --json" model info "$model" --json
check "is JSON" "$json_check" "$work/stdout" name licence parts.0.files.0
works "model plan --json" model plan "$model" --json --size 64x64 --images 100x80,50x50
check "is JSON too" "$json_check" "$work/stdout" buffers.0.bytes fits=true tokens.target=16 peak_bytes
works "model plan in words" model plan "$model"
check "tells the peak" grep -q '^peak' "$work/stdout"
works "the version" --version
works "help" --help
for command in edit model "model info" "model verify" "model plan" "model convert" "model synth" bench help; do
    # shellcheck disable=SC2086
    works "help for $command" $command --help
done

# ---- step caches ----
cached="-i $work/r1.png --ref-size 48x48 --size 64x48 --steps 5 --seed 5 --no-metadata"
# shellcheck disable=SC2086
edit "without a cache" $cached -o "$out/whole.png"
for kind in first-block teacache; do
    # shellcheck disable=SC2086
    edit "$kind=0" $cached --cache $kind=0 -o "$out/$kind-0.png"
    check "$kind=0 computes every step" same "$out/whole.png" "$out/$kind-0.png"
    # shellcheck disable=SC2086
    edit "$kind=10" $cached --cache $kind=10 -t 1 -o "$out/$kind-1.png"
    check "$kind=10 reuses some" differ "$out/whole.png" "$out/$kind-1.png"
    # shellcheck disable=SC2086
    edit "$kind=10 with two threads" $cached --cache $kind=10 -t 2 -o "$out/$kind-2.png"
    check "has the bytes of one thread" same "$out/$kind-1.png" "$out/$kind-2.png"
    # shellcheck disable=SC2086
    "$kontext" edit -m "$model" -p "a red house" $cached --cache $kind=10 --json -o "$out/j.png" >"$work/stdout" 2>"$work/stderr"
    check "$kind: --json tells it" "$json_check" "$work/stdout" cache.name=$kind cache.threshold=10.0 cache.steps_reused=3 \
        cache.steps=5
done
# shellcheck disable=SC2086
KONTEXT_CACHE=first-block=10 "$kontext" edit -m "$model" -p "a red house" $cached -o "$out/e.png" >"$work/stdout" 2>"$work/stderr"
check "words tell it, and KONTEXT_CACHE is heard" grep -q ', 3 of 5 steps from the cache$' "$work/stdout"

# ---- the same bytes ----
repeat="-i $work/r1.png --ref-size 48x48 --size 64x48 --steps 3 --seed 5"
# shellcheck disable=SC2086
edit "one thread" $repeat -t 1 -o "$out/t1.png"
# shellcheck disable=SC2086
edit "two threads" $repeat -t 2 -o "$out/t2.png"
# shellcheck disable=SC2086
edit "five threads" $repeat -t 5 -o "$out/t5.png"
# shellcheck disable=SC2086
edit "two threads again" $repeat -t 2 -o "$out/again.png"
check "one and two threads give the same bytes" same "$out/t1.png" "$out/t2.png"
check "one and five threads give the same bytes" same "$out/t1.png" "$out/t5.png"
check "twice in a row gives the same bytes" same "$out/t2.png" "$out/again.png"
"$kontext" model synth --preset tiny "$work/model-again" >/dev/null
check "the same seed gives the same model" diff -r "$model" "$work/model-again"

# ---- noise and dumps ----
"$forge" st-noise 8 6 "$work/noise.safetensors"
edit "given noise" --size 64x48 --noise "$work/noise.safetensors" --steps 1 --seed 1 -o "$out/noise-1.png" --no-metadata
edit "given noise, another seed" --size 64x48 --noise "$work/noise.safetensors" --steps 1 --seed 2 -o "$out/noise-2.png" --no-metadata
check "given noise does not depend on the seed" same "$out/noise-1.png" "$out/noise-2.png"
edit "a dump" --size 64x48 --steps 1 --seed 1 -o "$out/d.png" --dump "$out/d.safetensors"
check "holds the tensors of each stage" sh -c \
    "for name in clip.ids t5.embeds ids sigmas noise step.0.velocity latents image; do grep -aq \"\\\"\$name\\\"\" '$out/d.safetensors' || exit 1; done"

# ---- profile ----
profiled="-m $model -i $work/r1.png --ref-size 48x48 --size 64x48 --steps 3 --seed 5 -t 2"
status=0
# shellcheck disable=SC2086 # lists of words are meant
"$kontext" edit -p "a red house" $profiled -o "$out/p.png" --profile >"$work/stdout" 2>"$work/table" </dev/null || status=$?
check "--profile ends with 0" test "$status" = 0
check "a profile changes no byte" same "$out/p.png" "$out/t2.png"
check "its table has a row for each operation" sh -c \
    "grep -qE '^denoise +linear f32 [0-9]+x[0-9]+x[0-9]+ gelu.* [0-9]+ +[0-9.]+ +[0-9.]+ %' '$work/table' &&
        grep -qE '^ +all operations ' '$work/table' && grep -qE '^ +total +[0-9.]+ 100.0 %\$' '$work/table'"
status=0
# shellcheck disable=SC2086
"$kontext" edit -p "a red house" $profiled -o "$out/p.png" -q --json "--profile=$out/trace.json" >"$work/result.json" 2>"$work/stderr" </dev/null || status=$?
check "--profile=FILE with -q and --json is silent" test "$status" = 0 -a ! -s "$work/stderr"
check "the rows stand in the JSON, and what was used" "$json_check" "$work/result.json" profile.0.stage profile.0.operation \
    profile.0.calls profile.0.seconds profile.0.share profile.0.gflops profile.0.gb_per_s precision kernels threads=2
check "the trace is JSON with events" "$json_check" "$out/trace.json" traceEvents.0.ph=M traceEvents.1.ph=X \
    traceEvents.1.name=text traceEvents.3.args.shape
check "every step is in it" sh -c "grep -c '\"name\":\"step [123]\"' '$out/trace.json' | grep -qx 3"
# shellcheck disable=SC2086
fails 6 "cannot write there" "a trace where none can be written" edit -p x $profiled -o "$out/x.png" "--profile=$work/none/trace.json"
# shellcheck disable=SC2086
fails 6 "is a device or a pipe" "a trace to a device" edit -p x $profiled -o "$out/x.png" --profile=/dev/null
# shellcheck disable=SC2086
fails 3 "path is empty" "a trace without a name" edit -p x $profiled -o "$out/x.png" --profile=
# shellcheck disable=SC2086
fails 2 "unexpected argument" "the next word is no trace" edit -p x $profiled -o "$out/x.png" --profile "$out/trace.json"
works "--show" edit -m "$model" -p x -q --size 32x32 --steps 1 -o "$out/s.png" --show
check "draws half blocks" grep -q "$(printf '\342\226\200')" "$work/stdout"

# ---- too little memory ----
# A machine with 20 MB left, as far as the program can see.
printf 'MemTotal: 100000 kB\nMemAvailable: 20000 kB\n' >"$work/meminfo"
small_machine() {
    unshare -m sh -c 'mount --bind "$0" /proc/meminfo && exec "$@"' "$work/meminfo" "$@"
}
if small_machine true 2>/dev/null; then
    fresh_output
    for command in "edit -p house -o $out/x.png" "model plan"; do
        status=0
        # shellcheck disable=SC2086 # words are meant
        small_machine "$kontext" $command -m "$model" --size 768x768 >"$work/stdout" 2>"$work/stderr" || status=$?
        check "${command%% -*} that does not fit ends with 5" test "$status" = 5
        check "${command%% -*} that does not fit says so in one sentence" sh -c \
            "test \$(wc -l <'$work/stderr') = 1 && grep -q '^error: .*needs' '$work/stderr'"
    done
    check "an edit that does not fit leaves no file" test -z "$(ls -A "$out")"
else
    skip "an edit that does not fit ends with 5" "mount namespaces are not allowed here"
fi

# ---- cancel ----
# cancel SIGNAL: starts a long edit, waits until it denoises, sends the signal; leaves the status in $status
cancel() {
    fresh_output
    : >"$work/stderr" # what the last run wrote must not be taken for this one's
    "$kontext" edit -m "$model" -p house --size 256x256 --steps 1000 -o "$out/x.png" --progress json >"$work/stdout" 2>"$work/stderr" </dev/null &
    process=$!
    waited=0
    until grep -q '"stage":"denoise","done":[1-9]' "$work/stderr" || [ "$waited" -ge 600 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    began=$(date +%s)
    kill -s "$1" "$process"
    status=0
    wait "$process" || status=$?
    took=$(($(date +%s) - began))
}
for signal in INT TERM; do
    cancel $signal
    check "SIG$signal ends with 130" test "$status" = 130
    check "SIG$signal ends soon" test "$took" -le 5
    check "SIG$signal leaves no file" test -z "$(ls -A "$out")"
    check "SIG$signal is told in a sentence" sh -c "tail -n 1 '$work/stderr' | grep -q '^error: .*cancel'"
done
finish
