/* kontext model info, verify and plan. */
#include "cli/cli_commands.h"
#include "cli/cli_progress.h"
#include "cli/cli_report.h"
#include "cli/cli_request.h"
#include "cli/cli_values.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- info ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* "kernel_set" -> "kernel set"; sizes in bytes are told in units, so the word goes. */
static void print_key(const char *key, int indent)
{
    char words[64];
    snprintf(words, sizeof words, "%s", key);
    if (ends_with(words, "_bytes")) words[strlen(words) - strlen("_bytes")] = '\0';
    for (char *at = words; *at != '\0'; at++)
        if (*at == '_') *at = ' ';
    int room = 22 - indent;
    printf("%*s%-*s", indent, "", room > 0 ? room : 0, words);
}

static void print_scalar(const char *key, const json_t *value)
{
    char bytes[32], clean[1024];
    if (json_is_string(value)) {
        kx_cli_clean_text(json_string_value(value), clean, sizeof clean);
        printf("%s", clean);
    } else if (json_is_integer(value) && ends_with(key, "bytes")) {
        printf("%s", kx_cli_format_bytes((uint64_t)json_integer_value(value), bytes));
    } else if (json_is_integer(value)) {
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        printf("%g", json_real_value(value));
    } else if (json_is_null(value)) {
        printf("-");
    } else if (json_is_boolean(value)) {
        printf("%s", json_is_true(value) ? "yes" : "no");
    }
}

static bool is_flat_array(const json_t *array)
{
    size_t i;
    json_t *entry;
    json_array_foreach(array, i, entry) if (json_is_object(entry) || json_is_array(entry)) return false;
    return true;
}

static void print_object(const json_t *object, int indent);

static void print_array(const char *key, const json_t *array, int indent)
{
    size_t i;
    json_t *entry;
    bool flat = is_flat_array(array);
    json_array_foreach(array, i, entry)
    {
        if (flat || json_is_array(entry)) {
            if (i > 0) printf(flat ? ", " : "  ");
            if (flat) print_scalar(key, entry);
            size_t k;
            json_t *inner;
            json_array_foreach(entry, k, inner)
            {
                if (k > 0) printf("x");
                print_scalar(key, inner);
            }
        } else {
            printf("\n");
            print_object(entry, indent + 2);
        }
    }
    if (json_array_size(array) == 0) printf("-");
}

/* What kx_model_describe tells, one line for each value and a block for each object. */
static void print_object(const json_t *object, int indent)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        print_key(key, indent);
        if (json_is_object(value)) {
            printf("\n");
            print_object(value, indent + 2);
            continue;
        }
        if (json_is_array(value))
            print_array(key, value, indent);
        else
            print_scalar(key, value);
        printf("\n");
    }
}

kx_status kx_cli_run_model_info(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model *model = NULL;
    char *text = NULL;
    json_t *described = NULL;
    KX_TRY(kx_cli_open_model(&model, arguments, err));
    KX_TRY(kx_model_describe(model, &text, err));
    described = json_loads(text, 0, NULL);
    KX_FAIL_IF(!json_is_object(described), err, KX_ERR_INTERNAL,
               "the library's description is no JSON object");
    if (arguments->json) {
        KX_TRY(kx_cli_print_json(json_incref(described), err));
    } else {
        print_object(described, 0);
        KX_TRY(kx_cli_flush_stdout(err));
    }
out:
    json_decref(described);
    kx_free(text);
    kx_model_close(model);
    return status;
}

/* ---- verify ---- */

kx_status kx_cli_run_model_verify(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model *model = NULL;
    kx_cli_progress progress;
    kx_cli_catch_interrupts();
    kx_callbacks callbacks = kx_cli_progress_begin(&progress, arguments);
    KX_TRY(kx_cli_open_model(&model, arguments, err));
    KX_TRY(kx_model_verify(model, &callbacks, err));
    kx_cli_progress_end(&progress);
    if (arguments->json) {
        KX_TRY(kx_cli_print_json(json_pack("{s:b}", "good", 1), err));
    } else if (!arguments->quiet) {
        puts("every tensor was read, all values are finite");
        KX_TRY(kx_cli_flush_stdout(err));
    }
out:
    kx_cli_progress_end(&progress);
    kx_model_close(model);
    return status;
}

/* ---- plan ---- */

static json_t *json_of_plan(const kx_plan *plan)
{
    json_t *buffers = json_array();
    for (size_t i = 0; i < plan->num_buffers; i++)
        json_array_append_new(buffers,
                              json_pack("{s:s,s:s,s:I}", "stage", plan->buffers[i].stage, "name",
                                        plan->buffers[i].name, "bytes", (json_int_t)plan->buffers[i].bytes));
    return json_pack("{s:o,s:s,s:I,s:I,s:I,s:b,s:o,s:{s:I,s:I,s:I},s:f}", "buffers", buffers, "peak_stage",
                     plan->peak_stage, "peak_bytes", (json_int_t)plan->peak_bytes, "mapped_bytes",
                     (json_int_t)plan->mapped_bytes, "available_bytes", (json_int_t)plan->available_bytes,
                     "fits", plan->fits, "working", kx_cli_json_size(plan->working), "tokens", "text",
                     (json_int_t)plan->text_tokens, "target", (json_int_t)plan->target_tokens, "reference",
                     (json_int_t)plan->reference_tokens, "tflop_per_step", plan->tflop_per_step);
}

static void print_plan(const kx_plan *plan)
{
    char bytes[32], available[32];
    printf("working size %dx%d; tokens: %" PRIu64 " text, %" PRIu64 " target, %" PRIu64
           " reference; %.3g TFLOP a step\n\n",
           plan->working.width_px, plan->working.height_px, plan->text_tokens, plan->target_tokens,
           plan->reference_tokens, plan->tflop_per_step);
    printf("%-8s  %-40s  %12s\n", "stage", "buffer", "size");
    for (size_t i = 0; i < plan->num_buffers; i++)
        printf("%-8s  %-40s  %12s\n", plan->buffers[i].stage, plan->buffers[i].name,
               kx_cli_format_bytes(plan->buffers[i].bytes, bytes));
    printf("\n%-20s%12s  during %s\n", "peak", kx_cli_format_bytes(plan->peak_bytes, bytes),
           plan->peak_stage);
    printf("%-20s%12s  weights; the system can drop and read them again\n", "mapped from files",
           kx_cli_format_bytes(plan->mapped_bytes, bytes));
    printf("%-20s%12s\n", "this machine has", kx_cli_format_bytes(plan->available_bytes, available));
    printf("%-20s%12s\n", "fits", plan->fits ? "yes" : "no");
}

/* The square of the model's native area, which stands for a reference whose size is not given. */
static kx_status find_native_size(kx_model *model, kx_size *native, kx_error *err)
{
    kx_status status = KX_OK;
    char *text = NULL;
    KX_TRY(kx_model_describe(model, &text, err));
    json_t *described = json_loads(text, 0, NULL);
    json_t *area = json_object_get(json_object_get(described, "limits"), "native_area");
    int side = json_is_integer(area) ? (int)sqrt(json_number_value(area)) : 1024;
    *native = (kx_size){side, side};
    json_decref(described);
out:
    kx_free(text);
    return status;
}

static kx_status make_plan(const kx_cli_arguments *arguments, kx_plan **plan, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model *model = NULL;
    kx_edit_request request;
    kx_size sizes[KX_MAX_REFERENCES];
    kx_picture pictures[KX_MAX_REFERENCES];
    kx_size native;
    const char *images = kx_cli_given(arguments, "images") ? arguments->images[0] : "1";
    KX_TRY(kx_cli_fill_request(&request, arguments, err));
    KX_TRY(kx_cli_open_model(&model, arguments, err));
    KX_TRY(find_native_size(model, &native, err));
    KX_TRY(kx_cli_parse_sizes(images, native, sizes, &request.num_references, err));
    for (size_t i = 0; i < request.num_references; i++) {
        pictures[i] = (kx_picture){.width_px = sizes[i].width_px, .height_px = sizes[i].height_px};
        request.references[i].picture = &pictures[i];
    }
    kx_cli_limit_references(&request, arguments);
    KX_TRY(kx_edit_plan(model, &request, plan, err));
out:
    kx_model_close(model);
    return status;
}

kx_status kx_cli_run_model_plan(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    kx_plan *plan = NULL;
    char peak[32], available[32];
    KX_TRY(make_plan(arguments, &plan, err));
    if (arguments->json)
        KX_TRY(kx_cli_print_json(json_of_plan(plan), err));
    else
        print_plan(plan);
    KX_TRY(kx_cli_flush_stdout(err));
    if (plan->fits) goto out;
    status = KX_ERR_MEMORY;
    fprintf(stderr, "error: the edit needs %s at its peak, this machine has %s\n",
            kx_cli_format_bytes(plan->peak_bytes, peak),
            kx_cli_format_bytes(plan->available_bytes, available));
out:
    kx_plan_free(plan);
    return status;
}
