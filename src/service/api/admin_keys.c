/* Keys, for admins: list, make, revoke, credit, limits. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"

#include <string.h>

enum { NAME_BYTES_MAX = 100, LIMIT_MAX = 1000000 };

static json_t *key_json(const kx_key *key)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:i, s:i, s:o, s:o, s:o}", "uuid", key->uuid, "name",
                     key->name, "role", kx_role_name(key->role), "hint", key->hint, "balance",
                     kx_api_dollars(key->balance_micro), "concurrency", (int)key->concurrency,
                     "submits_per_minute", (int)key->submits_per_minute, "created_at",
                     kx_api_time(key->created_ns), "revoked_at", kx_api_time(key->revoked_ns), "used_at",
                     kx_api_time(key->used_ns));
}

void kx_handle_keys_list(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_key *keys = NULL;
    size_t count = 0;
    kx_error err = {0};
    if (kx_store_key_list(api->store, kx_exchange_arena(exchange), &keys, &count, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(items, key_json(&keys[i]));
    kx_api_answer(exchange, json_pack("{s:o}", "items", items));
}

static kx_status read_limits(const json_t *body, unsigned *concurrency, unsigned *per_minute, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_api_read_count(body, "concurrency", 0, LIMIT_MAX, concurrency, err));
    KX_TRY(kx_api_read_count(body, "submits_per_minute", 0, LIMIT_MAX, per_minute, err));
out:
    return status;
}

static kx_status read_key(const json_t *body, kx_key *key, kx_error *err)
{
    kx_status status = KX_OK;
    const char *role = NULL;
    KX_TRY(kx_api_read_text(body, "name", &key->name, err));
    KX_TRY(kx_api_read_text(body, "role", &role, err));
    KX_TRY(kx_api_read_dollars(body, "balance", &key->balance_micro, err));
    KX_TRY(read_limits(body, &key->concurrency, &key->submits_per_minute, err));
    KX_FAIL_IF(key->name == NULL || strlen(key->name) > NAME_BYTES_MAX, err, KX_ERR_INPUT,
               "name: a string of 1 to %d bytes is expected, %zu bytes are found", NAME_BYTES_MAX,
               key->name == NULL ? 0 : strlen(key->name));
    KX_FAIL_IF(key->balance_micro < 0, err, KX_ERR_INPUT,
               "balance: a number that is not negative is expected, %g is found",
               (double)key->balance_micro / 1e6);
    key->role = KX_ROLE_SUBMIT;
    KX_FAIL_IF(role != NULL && !kx_role_parse(role, &key->role), err, KX_ERR_INPUT,
               "role: read, submit or admin is expected, '%.40s' is found", role);
out:
    return status;
}

void kx_handle_keys_create(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_key key = {0}, made = {0};
    char value[64];
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL) return;
    if (read_key(body, &key, &err) != KX_OK ||
        kx_store_key_create(api->store, &key, NULL, value, kx_exchange_arena(exchange), &made, &err) !=
            KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    json_t *object = key_json(&made);
    if (object != NULL) json_object_set_new(object, "key", json_string(value));
    kx_answer_header(exchange, "Cache-Control", "no-store");
    kx_api_answer(exchange, object);
}

/* The key of that uuid, name or number; false: answered. */
static bool find_key(kx_api *api, kx_exchange *exchange, const char *which, kx_key *key)
{
    kx_error err = {0};
    bool found = false;
    if (kx_store_key_get(api->store, which, kx_exchange_arena(exchange), key, &found, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (!found)
        kx_answer_error(exchange, 404, "there is no such key");
    return found;
}

/* The key that the path names; false: answered. */
static bool named_key(kx_api *api, kx_exchange *exchange, kx_key *key)
{
    const char *which = kx_exchange_parameter(exchange, "key");
    return find_key(api, exchange, which == NULL ? "" : which, key);
}

/* After a change, by its uuid: a key that was just revoked has no name any more. */
static void answer_key_again(kx_api *api, kx_exchange *exchange, const kx_key *changed)
{
    kx_key key = {0};
    if (find_key(api, exchange, changed->uuid, &key)) kx_api_answer(exchange, key_json(&key));
}

void kx_handle_keys_revoke(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_key key = {0};
    kx_error err = {0};
    bool found = false;
    if (!named_key(api, exchange, &key)) return;
    if (key.id == kx_exchange_key(exchange)->id)
        kx_answer_error(exchange, 400, "another key than the one that asks is expected");
    else if (kx_store_key_revoke(api->store, key.id, &found, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else
        answer_key_again(api, exchange, &key);
}

void kx_handle_keys_credit(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_key key = {0};
    int64_t amount_micro = 0;
    const char *note = NULL;
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL || !named_key(api, exchange, &key)) return;
    if (kx_api_read_dollars(body, "amount", &amount_micro, &err) != KX_OK ||
        kx_api_read_text(body, "note", &note, &err) != KX_OK) {
        kx_answer_failure(exchange, &err);
        return;
    }
    if (amount_micro == 0)
        kx_answer_error(exchange, 400, "amount: a number of US dollars other than 0 is expected");
    else if (kx_store_key_credit(api->store, key.id, amount_micro, note == NULL ? "" : note, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else
        answer_key_again(api, exchange, &key);
}

void kx_handle_keys_limits(kx_exchange *exchange, void *user)
{
    kx_api *api = user;
    kx_key key = {0};
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL || !named_key(api, exchange, &key)) return;
    unsigned concurrency = key.concurrency, per_minute = key.submits_per_minute;
    if (read_limits(body, &concurrency, &per_minute, &err) != KX_OK ||
        kx_store_key_limits(api->store, key.id, concurrency, per_minute, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else
        answer_key_again(api, exchange, &key);
}
