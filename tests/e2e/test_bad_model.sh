#!/bin/sh
# Models that are incomplete or broken: status 4 and one sentence, never a crash.
. "$(dirname "$0")/lib.sh"

"$forge" picture 32 32 1 "$work/reference.png"
broken=$work/broken
fresh_model() {
    rm -rf "$broken"
    cp -R "$model" "$broken"
}
edit_broken() { # PATTERN NAME
    fails 4 "$1" "$2" edit -m "$broken" -i "$work/reference.png" -p house --size 32x32 --steps 1 -o "$out/x.png"
}

fails 4 "none" "a folder that does not exist" model info "$work/none"
mkdir "$work/nothing"
fails 4 "nothing" "an empty folder" model info "$work/nothing"
fails 4 "reference.png|directory|folder" "a file instead of a folder" model info "$work/reference.png"
# Away from the source tree, where no demo model is found.
here=$kontext
mkdir "$work/away"
cp "$kontext" "$work/away/kontext"
kontext=$work/away/kontext
before=$PWD
cd "$work/away" || exit 1
fails 4 "KONTEXT_MODEL.*synth" "no model at all: the sentence tells how to get one" edit -p house -o "$out/x.png"
cd "$before" || exit 1
kontext=$here
KONTEXT_MODEL=$work/none fails 4 "none" "KONTEXT_MODEL is read" model info

# Without a part the model is refused; what only names or describes it may be missing.
for file in $(cd "$model" && find . -type f | sed 's/^\.\///' | sort); do
    fresh_model
    rm "$broken/$file"
    case $file in
    *.safetensors | tokenizer/vocab.json | tokenizer/merges.txt | tokenizer_2/tokenizer.json)
        fails 4 "." "the model without $file" model info "$broken"
        ;;
    *)
        status=0
        "$kontext" model info "$broken" >/dev/null 2>"$work/stderr" || status=$?
        lines=$(wc -l <"$work/stderr")
        if [ "$status" = 0 ] || { [ "$status" = 4 ] && [ "$lines" = 1 ]; }; then
            ok "the model without $file: status $status"
        else
            not_ok "the model without $file: status $status"
            sed 's/^/# /' "$work/stderr"
        fi
        ;;
    esac
done

# put FILE OFFSET BYTES-AS-OCTAL: overwrites bytes
put() { printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }

for part in transformer/diffusion_pytorch_model vae/diffusion_pytorch_model text_encoder/model text_encoder_2/model; do
    file=$broken/$part.safetensors
    fresh_model
    put "$file" 0 '\000\000\000\000\000\000\000\020'
    fails 4 "$part" "$part: a header of 2^60 bytes" model info "$broken"
    fresh_model
    put "$file" 0 '\000\000\000\000\000\000\000\000'
    fails 4 "$part" "$part: a header of 0 bytes" model info "$broken"
    fresh_model
    put "$file" 8 'x'
    fails 4 "$part" "$part: a header that is no JSON" model info "$broken"
    fresh_model
    head -c 5 "$model/$part.safetensors" >"$file"
    fails 4 "$part" "$part: five bytes" model info "$broken"
    fresh_model
    size=$(wc -c <"$model/$part.safetensors")
    head -c $((size - 1)) "$model/$part.safetensors" >"$file"
    fails 4 "$part" "$part: the last byte is missing" model info "$broken"
    fresh_model
    : >"$file"
    fails 4 "$part" "$part: an empty file" model info "$broken"
    for what in overlap dtype shape; do
        fresh_model
        "$forge" st-header "$file" "$what"
        fails 4 "$part|shape|type|dtype" "$part: $what" model info "$broken"
    done
done

for file in $(cd "$model" && find . -name '*.json' | sed 's/^\.\///' | sort); do
    fresh_model
    echo '{"' >"$broken/$file"
    status=0
    "$kontext" model info "$broken" >/dev/null 2>"$work/stderr" || status=$?
    if [ "$status" = 4 ] && grep -q "$file" "$work/stderr"; then
        ok "$file that is no JSON is named"
    elif [ "$status" = 0 ]; then
        ok "$file that is no JSON is not needed"
    else
        not_ok "$file that is no JSON: status $status"
        sed 's/^/# /' "$work/stderr"
    fi
done

# Values that are not finite: verify names the tensor, an edit the stage.
for part in text_encoder/model text_encoder_2/model transformer/diffusion_pytorch_model vae/diffusion_pytorch_model; do
    fresh_model
    tensor=$("$forge" st-nan "$broken/$part.safetensors")
    fails 4 "$tensor" "verify names the bad tensor of $part" model verify "$broken" --progress none
    case $part in
    vae/*) stage='encode|decode' ;;
    transformer/*) stage='denoise' ;;
    *) stage='text' ;;
    esac
    edit_broken "$stage" "an edit with a bad $part names the stage"
done
works "the good model verifies" model verify "$model" -q
finish
