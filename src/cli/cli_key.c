/* kontext key create, list, revoke, rotate, credit and limits: straight on the store, also beside a server.
 */
#include "cli/cli_commands.h"
#include "cli/cli_report.h"
#include "cli/cli_settings.h"
#include "cli/cli_values.h"

#include "base/file.h"
#include "service/service.h"
#include "service/store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_BYTES = 64 };

typedef struct key_store {
    kx_clock *clock;
    kx_store *store;
    kx_arena arena;
} key_store;

static kx_status open_store(key_store *keys, const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    char *path = kx_service_store_path(arguments->settings.data);
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(kx_file_make_directory(arguments->settings.data, err));
    KX_TRY(kx_clock_open(&keys->clock, NULL, err));
    KX_TRY(kx_store_open(&keys->store, path, keys->clock, err));
out:
    free(path);
    return status;
}

static void close_store(key_store *keys)
{
    kx_store_close(keys->store);
    kx_clock_close(keys->clock);
    kx_arena_free(&keys->arena);
}

static kx_status find_key(key_store *keys, const kx_cli_arguments *arguments, kx_key *key, kx_error *err)
{
    kx_status status = KX_OK;
    bool found;
    KX_TRY(open_store(keys, arguments, err));
    KX_TRY(kx_store_key_get(keys->store, arguments->operands[0], &keys->arena, key, &found, err));
    KX_FAIL_IF(!found, err, KX_ERR_INPUT, "there is no key '%s' in %s; kontext key list tells them",
               arguments->operands[0], arguments->settings.data);
out:
    return status;
}

/* ---- Telling ---- */

static json_t *json_of_time(int64_t ns)
{
    char text[KX_CLOCK_TEXT_BYTES];
    if (ns == 0) return json_null();
    kx_clock_format(ns, text);
    return json_string(text);
}

static json_t *json_of_key(const kx_key *key)
{
    char money[32];
    return json_pack(
        "{s:I, s:s, s:o, s:s, s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:o}", "number", (json_int_t)key->id, "id",
        key->uuid, "name", kx_cli_json_text(key->name), "role", kx_role_name(key->role), "hint", key->hint,
        "balance", kx_cli_format_money(key->balance_micro, money), "balance_micro",
        (json_int_t)key->balance_micro, "concurrency", (json_int_t)key->concurrency, "submits_per_minute",
        (json_int_t)key->submits_per_minute, "created", json_of_time(key->created_ns), "used",
        json_of_time(key->used_ns), "revoked", json_of_time(key->revoked_ns));
}

/* "2026-11-24 09:12", UTC, or `otherwise`. */
static const char *short_time(int64_t ns, const char *otherwise, char out[KX_CLOCK_TEXT_BYTES])
{
    if (ns == 0) return otherwise;
    kx_clock_format(ns, out);
    out[16] = '\0';
    out[10] = ' ';
    return out;
}

/* "4", or "-" where the server's setting counts. */
static const char *own_limit(unsigned limit, char out[16])
{
    snprintf(out, 16, limit > 0 ? "%u" : "-", limit);
    return out;
}

static void print_row(const kx_key *key)
{
    char name[64], money[32], jobs[16], rate[16], created[KX_CLOCK_TEXT_BYTES], used[KX_CLOCK_TEXT_BYTES];
    kx_cli_clean_text(key->name, name, sizeof name);
    printf("%-6" PRId64 "  %-20s  %-6s  %12s  %4s  %8s  %-16s  %-16s  %s%s\n", key->id, name,
           kx_role_name(key->role), kx_cli_format_money(key->balance_micro, money),
           own_limit(key->concurrency, jobs), own_limit(key->submits_per_minute, rate),
           short_time(key->created_ns, "-", created), short_time(key->used_ns, "never", used), key->hint,
           key->revoked_ns != 0 ? "  revoked" : "");
}

/* What a command did to a key, and the value where there is a new one. */
static kx_status tell_key(const kx_cli_arguments *arguments, const kx_key *key, const char *value,
                          const char *sentence, kx_error *err)
{
    kx_status status = KX_OK;
    char name[64];
    if (arguments->json) {
        json_t *object = json_of_key(key);
        if (value != NULL) json_object_set_new(object, "value", json_string(value));
        return kx_cli_print_json(object, err);
    }
    kx_cli_clean_text(key->name, name, sizeof name);
    if (!arguments->quiet) fprintf(stderr, "%s: %s\n", name, sentence);
    if (value != NULL) printf("%s\n", value);
    KX_TRY(kx_cli_flush_stdout(err));
out:
    return status;
}

/* ---- Commands ---- */

/* One byte more than a value may have, so that a longer one is refused and not cut. */
static kx_status read_value(char value[VALUE_BYTES + 1], kx_error *err)
{
    kx_status status = KX_OK;
    KX_FAIL_IF(fgets(value, VALUE_BYTES + 1, stdin) == NULL, err, KX_ERR_INPUT,
               "--value: standard input is empty");
    value[strcspn(value, "\r\n")] = '\0';
out:
    return status;
}

/* A value goes into a header, so it is of letters, digits and some signs. */
static kx_status check_value(const char *value, kx_error *err)
{
    kx_status status = KX_OK;
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.~+/=";
    size_t length = strlen(value);
    KX_FAIL_IF(length < 16 || length >= VALUE_BYTES || strspn(value, good) != length, err, KX_ERR_INPUT,
               "--value: 16 to %d characters of letters, digits and -._~+/= are expected", VALUE_BYTES - 1);
out:
    return status;
}

kx_status kx_cli_run_key_create(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    static const kx_role roles[] = {KX_ROLE_READ, KX_ROLE_SUBMIT, KX_ROLE_ADMIN};
    key_store keys = {0};
    kx_key made, key = {
                     .name = arguments->operands[0],
                     .role = roles[arguments->role],
                     .balance_micro = arguments->balance_micro,
                     .concurrency = arguments->key_concurrency,
                     .submits_per_minute = arguments->key_submits_per_minute,
                 };
    char value[VALUE_BYTES], given_value[VALUE_BYTES + 1];
    const char *given = arguments->key_value;
    size_t length = strlen(key.name);
    KX_FAIL_IF(length < 1 || length > 100 || !kx_cli_is_utf8(key.name, length), err, KX_ERR_INPUT,
               "the name of a key has 1 to 100 bytes of UTF-8");
    if (given != NULL && strcmp(given, "-") == 0) {
        KX_TRY(read_value(given_value, err));
        given = given_value;
    }
    if (given != NULL) KX_TRY(check_value(given, err));
    KX_TRY(open_store(&keys, arguments, err));
    KX_TRY(kx_store_key_create(keys.store, &key, given, value, &keys.arena, &made, err));
    KX_TRY(tell_key(arguments, &made, value, "made; its value is told this once", err));
out:
    close_store(&keys);
    return status;
}

kx_status kx_cli_run_key_list(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    key_store keys = {0};
    kx_key *list = NULL;
    size_t count = 0;
    KX_TRY(open_store(&keys, arguments, err));
    KX_TRY(kx_store_key_list(keys.store, &keys.arena, &list, &count, err));
    if (arguments->json) {
        json_t *array = json_array();
        for (size_t i = 0; i < count; i++) json_array_append_new(array, json_of_key(&list[i]));
        KX_TRY(kx_cli_print_json(array, err));
        goto out;
    }
    printf("%-6s  %-20s  %-6s  %12s  %4s  %8s  %-16s  %-16s  %s\n", "number", "name", "role", "balance",
           "jobs", "a minute", "made (UTC)", "used (UTC)", "value");
    for (size_t i = 0; i < count; i++) print_row(&list[i]);
    KX_TRY(kx_cli_flush_stdout(err));
out:
    close_store(&keys);
    return status;
}

kx_status kx_cli_run_key_revoke(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    key_store keys = {0};
    kx_key key;
    bool found;
    KX_TRY(find_key(&keys, arguments, &key, err));
    KX_FAIL_IF(key.revoked_ns != 0, err, KX_ERR_INPUT, "the key '%s' is revoked already", key.name);
    KX_TRY(kx_store_key_revoke(keys.store, key.id, &found, err));
    KX_TRY(tell_key(arguments, &key, NULL, "revoked", err));
out:
    close_store(&keys);
    return status;
}

kx_status kx_cli_run_key_rotate(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    key_store keys = {0};
    kx_key key;
    char value[VALUE_BYTES];
    KX_TRY(find_key(&keys, arguments, &key, err));
    KX_FAIL_IF(key.revoked_ns != 0, err, KX_ERR_INPUT, "the key '%s' is revoked", key.name);
    KX_TRY(kx_store_key_rotate(keys.store, key.id, value, err));
    KX_TRY(tell_key(arguments, &key, value, "has a new value, told this once; the old one has ended", err));
out:
    close_store(&keys);
    return status;
}

kx_status kx_cli_run_key_credit(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    key_store keys = {0};
    kx_key key;
    int64_t amount;
    char money[32], sentence[96];
    bool found;
    KX_FAIL_IF(!kx_cli_parse_money(arguments->operands[1], &amount), err, KX_ERR_INPUT,
               "'%s' is found, dollars such as 5, 0.25 or -1 are expected", arguments->operands[1]);
    KX_TRY(find_key(&keys, arguments, &key, err));
    KX_TRY(kx_store_key_credit(keys.store, key.id, amount, "kontext key credit", err));
    KX_TRY(kx_store_key_get(keys.store, key.uuid, &keys.arena, &key, &found, err));
    snprintf(sentence, sizeof sentence, "the balance is %s now",
             kx_cli_format_money(key.balance_micro, money));
    KX_TRY(tell_key(arguments, &key, NULL, sentence, err));
out:
    close_store(&keys);
    return status;
}

kx_status kx_cli_run_key_limits(const kx_cli_arguments *arguments, kx_error *err)
{
    kx_status status = KX_OK;
    key_store keys = {0};
    kx_key key;
    bool found, jobs = kx_cli_given(arguments, "concurrency"),
                rate = kx_cli_given(arguments, "submits-per-minute");
    KX_FAIL_IF(!jobs && !rate, err, KX_ERR_USAGE,
               "there is nothing to set: --concurrency or --submits-per-minute is expected");
    KX_TRY(find_key(&keys, arguments, &key, err));
    KX_TRY(kx_store_key_limits(keys.store, key.id, jobs ? arguments->key_concurrency : key.concurrency,
                               rate ? arguments->key_submits_per_minute : key.submits_per_minute, err));
    KX_TRY(kx_store_key_get(keys.store, key.uuid, &keys.arena, &key, &found, err));
    KX_TRY(tell_key(arguments, &key, NULL, "has its limits", err));
out:
    close_store(&keys);
    return status;
}
