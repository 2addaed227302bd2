#!/bin/sh
# kontext bench: that every kind of row can be measured, that its JSON is whole, and that runs can be compared. Never how fast.
. "$(dirname "$0")/lib.sh"

works "tiny shapes" bench --tiny -t 1
for kind in "peak f32" "block double" "block single" "step 64x64, 2 references.*bf16" "t5 2 layers.*int8"; do
    check "there is a row of $kind" grep -q "^$kind" "$work/stdout"
done
works "the parts of a model folder" bench --tiny -t 1 -m "$model"
for kind in "load" "vae encode 64x64" "vae decode 64x64" "step 64x64, 2 references" "t5"; do
    check "there is a row of $kind in a folder" grep -q "^$kind" "$work/stdout"
done
works "a model is packed" model convert -m "$model" --precision int8 "$work/packed"
works "the parts of a packed folder" bench --tiny -t 1 -m "$work/packed" --json
check "are measured" "$json_check" "$work/stdout" rows.8.name
for kind in "load: open the model folder" "step 64x64, 2 references, 64 tokens, 2+3 blocks, int8" "t5 2 layers, 16 tokens, int8"; do
    check "there is a row of $kind in a packed folder" grep -qF "\"name\": \"$kind\"" "$work/stdout"
done
works "its opening" bench --tiny -t 1 -m "$work/packed" --suite load --json
check "is that of an int8 model" "$json_check" "$work/stdout" rows.0.precision=int8
fails 3 "is packed for int8, not for bf16" "a packed folder in another precision" \
    bench --tiny -t 1 -m "$work/packed" --suite "step 32" --precision bf16
works "one operation" bench -t 1 --suite "norm and"
check "is alone" test "$(grep -c ' *[0-9.]* .*' "$work/stdout")" = 2

works "in int8 alone" bench --tiny -t 1 --suite "step 32" --precision int8
check "has rows of int8" grep -q "^step 32x32.*int8 " "$work/stdout"
check "and no others" test "$(grep -c "f32\|bf16" "$work/stdout")" = 0
works "as JSON" bench --tiny -t 1 --suite "step 32" --json
cp "$work/stdout" "$work/before.json"
check "is JSON" "$json_check" "$work/before.json" version rows.0.name rows.0.precision=f32 rows.0.seconds rows.0.gflops \
    rows.0.scratch_bytes rows.3.name
works "compared with that" bench --tiny -t 1 --suite "step 32x32, 4" --compare "$work/before.json"
check "has a column of ratios" grep -q "ratio" "$work/stdout"
works "compared, as JSON" bench --tiny -t 1 --suite "step 32x32, 4" --compare "$work/before.json" --json
check "has ratios" "$json_check" "$work/stdout" rows.0.ratio rows.0.earlier_seconds

fails 3 "--suite" "a suite that is none" bench --suite "no such thing"
fails 3 "nowhere.json" "a comparison with nothing" bench --tiny --suite step --compare "$work/nowhere.json"
echo "no JSON" >"$work/words.json"
fails 3 "words.json" "a comparison with words" bench --tiny --suite step --compare "$work/words.json"
echo '{"rows": 5}' >"$work/five.json"
fails 3 "five.json.*rows" "rows that are a number" bench --tiny --suite step --compare "$work/five.json"
echo '{"rows": []}' >"$work/none.json"
fails 3 "none.json.*empty" "no rows" bench --tiny --suite step --compare "$work/none.json"
echo '{"rows": [{"name": "t5", "seconds": 0}]}' >"$work/zero.json"
fails 3 "zero.json.*row 1" "a row that took no time" bench --tiny --suite step --compare "$work/zero.json"
echo '{"rows": [{"name": "another", "seconds": 1}]}' >"$work/other.json"
fails 3 "other.json.*no measurement of|no measurement of.*other.json" "rows of other names" \
    bench --tiny --suite "step 32x32, 0" --compare "$work/other.json" --json
finish
