#!/bin/sh
# References and outputs that cannot be used.
. "$(dirname "$0")/lib.sh"

"$forge" picture 64 48 1 "$work/good.png"
"$forge" picture 64 48 1 "$work/good.jpg"
: >"$work/empty.png"
echo "this is no picture" >"$work/text.png"
head -c $(($(wc -c <"$work/good.jpg") / 2)) "$work/good.jpg" >"$work/cut.jpg"
head -c $(($(wc -c <"$work/good.png") / 2)) "$work/good.png" >"$work/cut.png"
"$forge" png-header 60000 60000 "$work/huge.png"
"$forge" png-header 0 10 "$work/zero.png"
"$forge" png-bomb 30000 30000 "$work/bomb.png"
"$forge" picture 1 1 1 "$work/one.png"
mkfifo "$work/fifo.png"

# reference STATUS PATTERN NAME FILE OPTIONS...
reference() {
    reference_status=$1 reference_pattern=$2 reference_name=$3 file=$4
    shift 4
    fails "$reference_status" "$reference_pattern" "$reference_name" \
        edit -m "$model" -i "$file" -p "a house" -o "$out/x.png" "$@"
}

reference 3 "none.png: no such file" "a reference that does not exist" "$work/none.png"
reference 3 "directory" "a reference that is a directory" "$work"
reference 3 "empty" "an empty file" "$work/empty.png"
reference 3 "text.png" "a text that is called .png" "$work/text.png"
reference 3 "cut.jpg" "a truncated JPEG" "$work/cut.jpg"
reference 3 "cut.png" "a truncated PNG" "$work/cut.png"
reference 3 "60000 ?x ?60000.*limit" "a PNG header of 60000x60000" "$work/huge.png"
reference 3 "zero.png" "a PNG without width" "$work/zero.png"
reference 3 "30000 ?x ?30000.*limit" "a decompression bomb" "$work/bomb.png"
[ "$(wc -c <"$work/bomb.png")" -lt 1000000 ] && ok "the bomb is a small file" || not_ok "the bomb is a small file"
reference 3 "(image|reference) 2" "the second reference is the bad one, and is named" "$work/good.png" -i "$work/text.png"
reference 3 "larger than" "a reference without end" /dev/zero
reference 3 "number 5|limit is 4" "five references" "$work/good.png" \
    -i "$work/good.png" -i "$work/good.png" -i "$work/good.png" -i "$work/good.png"
reference 3 "16" "a picture of 1x1 with its own size" "$work/one.png" --ref-size native
works "a picture of 1x1 resized" \
    edit -m "$model" -i "$work/one.png" -p "a house" -o "$out/one.png" --steps 1 --size 32x32 --ref-size 32x32 -q

noise() { fails 3 "$1" "$2" edit -m "$model" -p house -o "$out/x.png" --size 32x32 --noise "$3"; }
"$forge" st-noise 6 4 "$work/noise.safetensors"
noise "noise" "noise of another size" "$work/noise.safetensors"
noise "none" "a noise file that does not exist" "$work/none"
noise "text.png" "a noise file that is a text" "$work/text.png"

# ---- outputs ----

output() { # STATUS PATTERN NAME OPTIONS...
    output_status=$1 output_pattern=$2 output_name=$3
    shift 3
    fails "$output_status" "$output_pattern" "$output_name" \
        edit -m "$model" -p "a house" --size 32x32 --steps 1 --progress json "$@"
}

output 6 "no such file or directory" "an output folder that does not exist" -o "$work/none/x.png"
output 6 "directory" "an output that is a directory" -o "$work" --format png
output 6 "not a directory" "an output below a file" -o "$work/good.png/x.png"
output 6 "no such file|denied|permitted" "an output where nothing can be written" -o /proc/x.png
output 6 "none/d" "a dump folder that does not exist" -o "$out/x.png" --dump "$work/none/d.safetensors"
output 6 "name too long" "a name that is too long" -o "$out/$(printf '%0300d' 1).png"
if [ "$(id -u)" != 0 ]; then
    mkdir -m 555 "$work/readonly"
    output 6 "denied" "a folder without the right to write" -o "$work/readonly/x.png"
else
    skip "a folder without the right to write" "root may write everywhere"
fi
mkdir "$work/taken" "$work/taken/x-2.png"
output 6 "x-2.png: is a directory" "the second of two outputs is a directory" -o "$work/taken/x.png" -n 2
[ "$(ls -A "$work/taken")" = x-2.png ] && ok "and the first is not written" || not_ok "and the first is not written"

# the disk is full: nothing of the result may stay (a limit on the size of files stands in for a full disk)
plain() { "$kontext" edit -m "$model" -p "a house" --size 256x256 --steps 1 -q "$@"; }
fresh_output
status=0
(trap '' XFSZ && ulimit -f 1 && plain -o "$out/x.png") 2>"$work/stderr" || status=$?
complaints "$status" 6 "x.png.*too large" >"$work/complaints"
check "a file that cannot grow leaves nothing" test ! -s "$work/complaints"
if [ -c /dev/full ]; then
    fresh_output
    status=0
    plain -o - --format png >/dev/full 2>"$work/stderr" || status=$?
    complaints "$status" 6 "standard output.*no space" >"$work/complaints"
    check "standard output is full" test ! -s "$work/complaints"
    fails 6 "/dev/full.*no space" "an output device that is full" \
        edit -m "$model" -p x --size 32x32 --steps 1 -o /dev/full --format png
    check "and the device is still there" test -c /dev/full
    status=0
    plain -o "$work/full.png" --json >/dev/full 2>"$work/stderr" || status=$?
    complaints "$status" 6 "standard output.*no space" >"$work/complaints"
    check "standard output is full with --json" test ! -s "$work/complaints"
    status=0
    "$kontext" --help >/dev/full 2>"$work/stderr" || status=$?
    complaints "$status" 6 "standard output.*no space" >"$work/complaints"
    check "standard output is full with --help" test ! -s "$work/complaints"
else
    skip "standard output is full" "this system has no /dev/full"
fi
mkdir "$work/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=16k tmpfs "$work/small" 2>/dev/null; then
    mounted=$work/small
    fresh_output
    status=0
    plain -o "$work/small/x.png" 2>"$work/stderr" || status=$?
    complaints "$status" 6 "x.png.*no space" >"$work/complaints"
    check "a full disk" test ! -s "$work/complaints"
    check "a full disk keeps nothing" test -z "$(ls -A "$work/small")"
    status=0
    "$kontext" model synth --preset tiny "$work/small/model" 2>"$work/stderr" >/dev/null || status=$?
    complaints "$status" 6 "." >"$work/complaints"
    check "a model does not fit on the disk" test ! -s "$work/complaints"
    check "a model that does not fit leaves nothing" test -z "$(ls -A "$work/small")"
else
    skip "a full disk" "mounting a small file system is not allowed here"
fi
finish
