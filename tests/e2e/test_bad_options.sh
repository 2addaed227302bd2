#!/bin/sh
# Wrong command lines: the status, one sentence with what was found and what is expected, and nothing left behind.
. "$(dirname "$0")/lib.sh"

# edit STATUS PATTERN NAME OPTIONS...: a good edit but for the options
edit() {
    edit_status=$1 edit_pattern=$2 edit_name=$3
    shift 3
    fails "$edit_status" "$edit_pattern" "$edit_name" edit -m "$model" -p "a house" -o "$out/x.png" "$@"
}

fails 2 "command" "no command"
fails 2 "unknown command 'edti'.*'edit'" "a misspelt command has a hint" edti
fails 2 "info, verify, plan" "model alone"  model
fails 2 "unknown model command 'pln'.*plan" "a misspelt model command has a hint" model pln
fails 2 "unknown command 'nothing'" "help for an unknown command" help nothing
fails 2 "argument is missing" "model synth without a folder" model synth
fails 2 "argument is missing" "model convert without a folder" model convert
fails 3 "bf16, int8" "model convert to a precision that is none" model convert --precision f32 "$out/packed"
fails 6 "not empty" "model convert to a folder that holds something" model convert -m "$model" "$model"
fails 2 "unexpected argument 'stray'" "an operand too many" edit stray
fails 2 "two models" "a model as option and as operand" model info -m "$model" "$model"

edit 2 "unknown option --stepz.*--steps" "an unknown option has a hint" --stepz 4
edit 2 "unknown option -x" "an unknown short option" -x
edit 2 "unknown option --lora" "an option of a later version" --lora x
edit 2 "unknown option --suite" "an option of another command" --suite matmul
edit 2 "--steps.*value is missing" "a missing value" --steps
edit 2 "-?-?threads.*value is missing" "a missing value of a short option" -t
edit 2 "takes no value" "a flag with a value" --json=yes
fails 2 "prompt is missing" "no prompt" edit -m "$model" -o "$out/x.png"
fails 2 "output is missing" "no output" edit -m "$model" -p house
edit 2 "--prompt and --prompt-file" "two prompts" --prompt-file /dev/null
edit 2 "--size and --aspect" "size and aspect" --size 64x64 --aspect 1:1
edit 2 "--format" "standard output without a format" -o -
edit 2 "--json" "standard output and --json" -o - --format png --json
edit 2 "--show" "standard output and --show" -o - --format png --show
edit 2 "--num-images" "standard output and two pictures" -o - --format png -n 2
edit 2 "--dump" "a dump and two pictures" --dump "$out/d.safetensors" -n 2
edit 2 "--noise" "noise and two pictures" --noise "$work/n.safetensors" -n 2

for value in 0 17x x17 0x0 99999x99999 16x15 2049x16 16x16x16 " 16x16" 16X16 -16x16 1e2x16 ""; do
    edit 3 "--size: '$value'.*16 to 2048" "--size '$value'" --size "$value"
done
for value in 16 16: :9 0:1 1:0 -1:1 nan:1 16:9:1 1e400:1 ""; do
    edit 3 "--aspect: '$value'" "--aspect '$value'" --aspect "$value"
done
edit 3 "aspect" "an aspect that gives too long a side" --aspect 100000:1
for value in 0 1000000 1001 -1 1.5 abc 0x10 18446744073709551617 ""; do
    edit 3 "--steps: '$value'.*1 to 1000" "--steps '$value'" --steps "$value"
done
for value in nan inf -1 101 1e400 0x1p1 2,5 "2.5 " ""; do
    edit 3 "--guidance: '$value'.*0 to 100" "--guidance '$value'" --guidance "$value"
done
for value in "" on first teacache2 off=1 teacache= teacache=x first-block=nan first-block=-0.1 teacache=10.1; do
    edit 3 "--cache: '$value'" "--cache '$value'" --cache "$value"
done
for value in -2 18446744073709551616 1.0 0x1 1e3 ""; do
    edit 3 "--seed: '$value'.*-1 to 18446744073709551615" "--seed '$value'" --seed "$value"
done
for value in 0 65 -1 x; do
    edit 3 "--num-images: '$value'.*1 to 64" "-n '$value'" -n "$value"
done
edit 3 "--num-images: '0'" "a value attached to a short option" -n0
edit 3 "--threads: '257'" "more threads than the limit" -t 257
edit 3 "--quality: '101'" "a quality above 100" --quality 101
edit 3 "--precision: 'int4'.*auto, f32" "an unknown precision" --precision int4
edit 3 "--cpu: 'z80'.*portable" "an unknown kernel set" --cpu z80
edit 3 "--references: 'circle'.*offset, index, stitch" "an unknown scheme" --references circle
edit 3 "--ref-size: '8x8'" "a reference size below 16" --ref-size 8x8
edit 3 "--ref-pixels: '0'" "a reference budget of 0" --ref-pixels 0
edit 3 "--noise-stream: 'torch'" "an unknown noise stream" --noise-stream torch
edit 3 "--format: 'gif'.*png, jpeg, webp" "an unknown format" --format gif
edit 3 "--progress: 'loud'" "an unknown progress mode" --progress loud
edit 3 "--steps: '--json'" "the next word is the value, whatever it looks like" --steps --json
edit 3 "suffix .gif.*\.png" "an unknown suffix" -o "$out/x.gif"
edit 3 "no suffix" "no suffix" -o "$out/png"
edit 3 "no suffix" "a suffix alone is a name" -o "$out/.png"
fails 3 "--images: '5'|5 references" "a plan for five references" model plan -m "$model" --images 5
fails 3 "--images" "a plan for sizes that are none" model plan -m "$model" --images 4x,3
fails 3 "--suite" "a measurement that does not exist" bench --suite "no such thing"
KONTEXT_CPU=z80 fails 3 "KONTEXT_CPU: 'z80'" "a bad environment variable is named" model info -m "$model"

fails 3 "prompt is empty" "an empty prompt" edit -m "$model" -p "" -o "$out/x.png"
fails 3 "not UTF-8" "a prompt that is not UTF-8" edit -m "$model" -p "$(printf 'caf\351')" -o "$out/x.png"
fails 3 "not UTF-8" "a prompt with an overlong sequence" edit -m "$model" -p "$(printf '\300\257')" -o "$out/x.png"
printf 'a\0b' >"$work/zero.txt"
: >"$work/empty.txt"
fails 3 "zero byte" "a prompt file with a zero byte" edit -m "$model" --prompt-file "$work/zero.txt" -o "$out/x.png"
fails 3 "prompt is empty" "an empty prompt file" edit -m "$model" --prompt-file "$work/empty.txt" -o "$out/x.png"
fails 3 "no such file" "a prompt file that is missing" edit -m "$model" --prompt-file "$work/none" -o "$out/x.png"
fails 3 "directory" "a prompt file that is a directory" edit -m "$model" --prompt-file "$work" -o "$out/x.png"
fails 3 "larger than" "a prompt file without end" edit -m "$model" --prompt-file /dev/zero -o "$out/x.png"

fails 3 "seed" "--json tells an error" edit -m "$model" -p x -o "$out/x.png" --seed -2 --json
check "and does so as JSON on standard output" "$json_check" "$work/stdout" error.code=input error.message
fails 2 "unknown option" "--json behind the error is seen too" edit --bogus --json
check "and its code is usage" "$json_check" "$work/stdout" error.code=usage
finish
