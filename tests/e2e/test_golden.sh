# Photographs edited from the command line against the official pipeline's pictures.
. "$(dirname "$0")/lib.sh"

compare=$2/compare_pictures
golden=$KONTEXT_SHARED/golden
fresh_output

# golden NAME PER_MILLE ARGUMENTS...: the case NAME from the command line equals the reference picture
golden() {
    name=$1 per_mille=$2
    shift 2
    if [ ! -d "$golden/tiny-diffusers" ]; then
        skip "$name equals the official picture" "no reference data beside the project"
        return
    fi
    check "$name is edited" "$kontext" edit -m "$golden/tiny-diffusers" --tokenizers "$KONTEXT_SHARED/models/flux1-dev-config" \
        --progress none -q -o "$out/$name.png" "$@"
    check "$name equals the official picture" "$compare" "$out/$name.png" "$golden/tiny-diffusers-dumps/$name.png" "$per_mille"
}

golden a_one_ref 1 -i "$golden/images/ref1.png" --ref-size native --size 96x64 --steps 4 --guidance 2.5 --seed 42 \
    -p "Make the cat wear a red hat"
golden b_two_refs_offset 1 -i "$golden/images/ref1.png" -i "$golden/images/ref2.png" --ref-size native --size 96x64 \
    --steps 4 --guidance 2.5 --seed 7 --noise-stream torch-bf16-old -p "Put the cat of image 2 next to the woman of image 1."
golden b_two_refs_index 1 -i "$golden/images/ref1.png" -i "$golden/images/ref2.png" --ref-size native --size 96x64 \
    --references index --steps 4 --guidance 2.5 --seed 7 --noise-stream torch-bf16-old \
    -p "Put the cat of image 2 next to the woman of image 1."
golden c_no_ref 1 --size 64x96 --steps 6 --guidance 3.5 --seed 123 -p "un café 日本語 😀, don't!"
# A photograph resized to its preferred size. The stored picture of this case carries an error of its own
# (docs/internals/exactness.md), so a little more may differ.
golden e_auto_resize 2 -i "$golden/images/coffee.png" --size 96x64 --steps 2 --guidance 2.5 --seed 11 \
    -p "Turn the cup of coffee into a bowl of soup."

finish
