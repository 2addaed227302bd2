#include "engine/text/synthetic.h"

#include "base/bytes.h"
#include "base/file.h"
#include "base/json_file.h"
#include "engine/text/bpe.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define MARKER "\xe2\x96\x81" /* U+2581 */

/* Pieces of the T5 tokenizer: words with a marker in front, and parts of words without. */
static const char *const common_words[] = {
    "the",        "a",         "i",          "an",         "and",        "of",      "to",         "in",
    "on",         "at",        "is",         "it",         "with",       "for",     "from",       "by",
    "as",         "that",      "this",       "be",         "are",        "not",     "or",         "but",
    "into",       "over",      "under",      "image",      "picture",    "photo",   "photograph", "painting",
    "drawing",    "sketch",    "scene",      "background", "foreground", "sky",     "sea",        "water",
    "river",      "lake",      "mountain",   "forest",     "tree",       "trees",   "flower",     "flowers",
    "garden",     "grass",     "field",      "road",       "street",     "city",    "town",       "house",
    "building",   "window",    "door",       "wall",       "floor",      "room",    "table",      "chair",
    "lamp",       "light",     "lights",     "shadow",     "sun",        "moon",    "star",       "stars",
    "cloud",      "clouds",    "rain",       "snow",       "wind",       "fire",    "smoke",      "night",
    "day",        "morning",   "evening",    "person",     "people",     "man",     "woman",      "child",
    "boy",        "girl",      "face",       "hair",       "eye",        "eyes",    "hand",       "hands",
    "hat",        "coat",      "dress",      "shirt",      "shoes",      "glasses", "cat",        "dog",
    "bird",       "horse",     "fish",       "car",        "boat",       "train",   "bicycle",    "bridge",
    "tower",      "castle",    "book",       "letter",     "sign",       "text",    "word",       "words",
    "number",     "red",       "green",      "blue",       "yellow",     "orange",  "purple",     "pink",
    "brown",      "black",     "white",      "grey",       "gray",       "gold",    "silver",     "dark",
    "bright",     "warm",      "cold",       "big",        "small",      "large",   "little",     "old",
    "new",        "young",     "long",       "short",      "high",       "low",     "left",       "right",
    "top",        "bottom",    "front",      "back",       "side",       "middle",  "center",     "make",
    "change",     "replace",   "remove",     "add",        "put",        "place",   "keep",       "turn",
    "move",       "rotate",    "crop",       "cut",        "draw",       "paint",   "color",      "colour",
    "fill",       "use",       "wear",       "wearing",    "hold",       "holding", "sit",        "sitting",
    "stand",      "standing",  "look",       "looking",    "walk",       "walking", "run",        "running",
    "smile",      "smiling",   "open",       "close",      "same",       "other",   "more",       "less",
    "very",       "all",       "every",      "no",         "one",        "two",     "three",      "four",
    "five",       "six",       "seven",      "eight",      "nine",       "ten",     "first",      "second",
    "third",      "last",      "next",       "style",      "film",       "grain",   "soft",       "sharp",
    "blur",       "focus",     "wide",       "view",       "angle",      "camera",  "portrait",   "landscape",
    "watercolor", "oil",       "pencil",     "ink",        "cartoon",    "anime",   "wood",       "stone",
    "metal",      "glass",     "paper",      "cloth",      "leather",    "wool",    "silk",       "wooden",
    "golden",     "beautiful", "simple",     "modern",     "vintage",    "empty",   "full",       "clean",
    "him",        "her",       "his",        "its",        "their",      "them",    "he",         "she",
    "they",       "we",        "you",        "my",         "your",       "our",     "who",        "what",
    "where",      "when",      "how",        "behind",     "above",      "below",   "between",    "near",
    "around",     "through",   "without",    "within",     "while",      "only",    "also",       "just",
    "exactly",    "unchanged", "everything", "nothing",    "something",  "else",    "object",     "objects",
    "subject",    "scarf",     "bag",        "cup",        "plate",      "bottle",  "food",       "fruit",
    "apple",      "bread",     "cake",       "coffee",     "tea",        "wine",    "beach",      "island",
    "desert",     "valley",    "village",    "winter",     "summer",     "spring",  "autumn",
};

static const char *const common_parts[] = {
    "ed", "ing", "er", "ly", "es", "en", "al", "ion", "ment", "ness", "able", "ful", "less", "est",
    "th", "re",  "un", "in", "on", "at", "an", "ou",  "ea",   "ch",   "sh",   "ck",  "st",   "tr",
    "br", "pl",  "ow", "ar", "or", "ir", "ur", "ll",  "ss",   "oo",   "ee",   "ai",
};

static kx_status write_text(const char *folder, const char *name, const char *text, size_t bytes,
                            kx_error *err)
{
    kx_status status = KX_OK;
    kx_file_write file = {.fd = -1};
    char *path = kx_file_join(folder, name);
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory: a path in %s", folder);
    KX_TRY(kx_file_make_directory(folder, err));
    KX_TRY(kx_file_write_open(&file, path, err));
    KX_TRY(kx_file_write_bytes(&file, text, bytes, err));
    KX_TRY(kx_file_write_commit(&file, err));
out:
    kx_file_write_discard(&file);
    free(path);
    return status;
}

/* Takes `root`, which may be NULL: then memory was out while it was put together. */
static kx_status write_json(const char *folder, const char *name, json_t *root, kx_error *err)
{
    kx_status status = KX_OK;
    char *text = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    KX_FAIL_IF(text == NULL, err, KX_ERR_MEMORY, "out of memory: %s in %s", name, folder);
    size_t bytes = strlen(text);
    text[bytes] = '\n'; /* in place of the final zero: the length is known */
    KX_TRY(write_text(folder, name, text, bytes + 1, err));
out:
    free(text);
    json_decref(root);
    return status;
}

static json_t *added_token(const char *content)
{
    return json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", content, "lstrip", 0, "normalized", 0,
                     "rstrip", 0, "single_word", 0, "special", 1);
}

/* ---- CLIP ---- */

#define CLIP_START "<|startoftext|>"
#define CLIP_END   "<|endoftext|>"

/* The order of the published vocabulary is that of the code points that stand for the bytes. */
static json_t *clip_vocabulary(void)
{
    bool done = true;
    json_int_t id = 0;
    json_t *vocab = json_object();
    for (int last = 0; last < 2; last++)
        for (uint32_t code = 0; code < 512; code++) {
            unsigned byte = 0;
            char piece[16] = {0};
            while (byte < 256 && kx_bpe_byte_symbol((uint8_t)byte) != code) byte++;
            if (byte == 256) continue;
            size_t length = kx_utf8_encode(code, (uint8_t *)piece);
            if (last) memcpy(piece + length, "</w>", 5);
            done = json_object_set_new(vocab, piece, json_integer(id++)) == 0 && done;
        }
    done = json_object_set_new(vocab, CLIP_START, json_integer(id++)) == 0 && done;
    done = json_object_set_new(vocab, CLIP_END, json_integer(id++)) == 0 && done;
    if (done) return vocab;
    json_decref(vocab);
    return NULL;
}

kx_status kx_clip_tokenizer_write_synthetic(const char *folder, size_t *vocabulary, kx_error *err)
{
    static const char merges[] = "#version: 0.2\n";
    kx_status status = KX_OK;
    json_t *vocab = clip_vocabulary();
    if (vocabulary != NULL) *vocabulary = json_object_size(vocab);
    KX_TRY(write_json(folder, "vocab.json", vocab, err));
    KX_TRY(write_text(folder, "merges.txt", merges, sizeof merges - 1, err));
    KX_TRY(
        write_json(folder, "tokenizer_config.json",
                   json_pack("{s:b, s:{s:o, s:o}, s:s, s:b, s:s, s:s, s:i, s:s, s:s, s:s}",
                             "add_prefix_space", 0, "added_tokens_decoder", "512", added_token(CLIP_START),
                             "513", added_token(CLIP_END), "bos_token", CLIP_START, "do_lower_case", 1,
                             "eos_token", CLIP_END, "errors", "replace", "model_max_length", 77, "pad_token",
                             CLIP_END, "tokenizer_class", "CLIPTokenizer", "unk_token", CLIP_END),
                   err));
    KX_TRY(write_json(folder, "special_tokens_map.json",
                      json_pack("{s:s, s:s, s:s, s:s}", "bos_token", CLIP_START, "eos_token", CLIP_END,
                                "pad_token", CLIP_END, "unk_token", CLIP_END),
                      err));
out:
    return status;
}

/* ---- T5 ---- */

enum { T5_PAD, T5_END, T5_UNK, T5_SPECIALS };
static const char *const t5_specials[T5_SPECIALS] = {"<pad>", "</s>", "<unk>"};

static bool append_piece(json_t *vocab, const char *prefix, const char *piece, double score)
{
    char text[64] = {0};
    strncat(text, prefix, sizeof text - 1);
    strncat(text, piece, sizeof text - 1 - strlen(text));
    return json_array_append_new(vocab, json_pack("[s, f]", text, score)) == 0;
}

/* Scores are multiples of 1/64, so that they are printed and read without rounding: a word costs less than
 * its letters, commoner (earlier) words less than others. */
static json_t *t5_vocabulary(void)
{
    bool done = true;
    json_t *vocab = json_array();
    for (int i = 0; i < T5_SPECIALS; i++) done = append_piece(vocab, "", t5_specials[i], 0.0) && done;
    done = append_piece(vocab, MARKER, "", -2.0) && done;
    for (int c = '!'; c <= '~'; c++) {
        char text[2] = {(char)c, 0};
        done = append_piece(vocab, "", text, -7.0 - (c - '!') / 64.0) && done;
    }
    for (size_t i = 0; i < sizeof common_words / sizeof common_words[0]; i++)
        done = append_piece(vocab, MARKER, common_words[i], -4.0 - (double)i / 64.0) && done;
    for (size_t i = 0; i < sizeof common_parts / sizeof common_parts[0]; i++)
        done = append_piece(vocab, "", common_parts[i], -6.0 - (double)i / 64.0) && done;
    if (done) return vocab;
    json_decref(vocab);
    return NULL;
}

static json_t *t5_added_tokens(void)
{
    json_t *list = json_array();
    bool done = true;
    for (int i = 0; i < T5_SPECIALS; i++) {
        json_t *token = added_token(t5_specials[i]);
        done = json_object_set_new(token, "id", json_integer(i)) == 0 && done;
        done = json_array_append_new(list, token) == 0 && done;
    }
    if (done) return list;
    json_decref(list);
    return NULL;
}

static json_t *t5_metaspace(const char *prepend_scheme)
{
    return json_pack("{s:s, s:s, s:s, s:b}", "type", "Metaspace", "replacement", MARKER, "prepend_scheme",
                     prepend_scheme, "split", 1);
}

/* Every sequence is followed by the end token. */
static json_t *t5_post_processor(void)
{
    return json_pack(
        "{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}], "
        "s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}], s:{s:{s:s, s:[i], s:[s]}}}",
        "type", "TemplateProcessing", "single", "Sequence", "id", "A", "type_id", 0, "SpecialToken", "id",
        "</s>", "type_id", 0, "pair", "Sequence", "id", "A", "type_id", 0, "SpecialToken", "id", "</s>",
        "type_id", 0, "Sequence", "id", "B", "type_id", 0, "SpecialToken", "id", "</s>", "type_id", 0,
        "special_tokens", "</s>", "id", "</s>", "ids", T5_END, "tokens", "</s>");
}

kx_status kx_t5_tokenizer_write_synthetic(const char *folder, size_t *vocabulary, kx_error *err)
{
    kx_status status = KX_OK;
    json_t *vocab = t5_vocabulary();
    if (vocabulary != NULL) *vocabulary = json_array_size(vocab);
    KX_TRY(write_json(folder, "tokenizer.json",
                      json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:o, s:o, s:{s:s, s:i, s:o, s:b}}", "version",
                                "1.0", "truncation", "padding", "added_tokens", t5_added_tokens(),
                                "normalizer", "pre_tokenizer", t5_metaspace("first"), "post_processor",
                                t5_post_processor(), "decoder", t5_metaspace("always"), "model", "type",
                                "Unigram", "unk_id", T5_UNK, "vocab", vocab, "byte_fallback", 0),
                      err));
    KX_TRY(write_json(folder, "tokenizer_config.json",
                      json_pack("{s:{s:o, s:o, s:o}, s:s, s:i, s:i, s:s, s:s, s:s}", "added_tokens_decoder",
                                "0", added_token(t5_specials[0]), "1", added_token(t5_specials[1]), "2",
                                added_token(t5_specials[2]), "eos_token", "</s>", "extra_ids", 0,
                                "model_max_length", 512, "pad_token", "<pad>", "tokenizer_class",
                                "T5Tokenizer", "unk_token", "<unk>"),
                      err));
    KX_TRY(write_json(
        folder, "special_tokens_map.json",
        json_pack("{s:s, s:s, s:s}", "eos_token", "</s>", "pad_token", "<pad>", "unk_token", "<unk>"), err));
out:
    return status;
}
