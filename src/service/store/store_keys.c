#include "service/store/store_parts.h"

#include <ctype.h>

static const struct {
    const char *name;
    kx_role role;
} roles[] = {{"read", KX_ROLE_READ}, {"submit", KX_ROLE_SUBMIT}, {"admin", KX_ROLE_ADMIN}};

const char *kx_role_name(kx_role role)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (roles[i].role == role) return roles[i].name;
    return "";
}

bool kx_role_parse(const char *name, kx_role *role)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(roles[i].name, name) != 0) continue;
        *role = roles[i].role;
        return true;
    }
    return false;
}

enum { RANDOM_DIGITS = 40, SECRET_BYTES = 32, VALUE_ROOM = 64 };

static kx_status make_value(char value[VALUE_ROOM], kx_error *err)
{
    kx_status status = KX_OK;
    char digits[RANDOM_DIGITS + 1];
    KX_TRY(kx_random_hex(digits, RANDOM_DIGITS, err));
    snprintf(value, VALUE_ROOM, "kx_%s", digits);
out:
    return status;
}

/* "whsec_" and the base64 form of 32 bytes, which is the look that receivers of webhooks know. */
static kx_status make_secret(char secret[VALUE_ROOM], kx_error *err)
{
    kx_status status = KX_OK;
    uint8_t raw[SECRET_BYTES];
    kx_bytes text = {.cap = VALUE_ROOM};
    KX_TRY(kx_random_bytes(raw, sizeof raw, err));
    KX_TRY(kx_base64_encode(raw, sizeof raw, &text, err));
    snprintf(secret, VALUE_ROOM, "whsec_%.*s", (int)text.size, (const char *)text.data);
out:
    kx_bytes_free(&text);
    return status;
}

/* The ends of a value, for people. Of a short one next to nothing is told. */
static void make_hint(const char *value, char hint[16])
{
    size_t length = strlen(value);
    if (length < 16)
        snprintf(hint, 16, "%.1s...", value);
    else
        snprintf(hint, 16, "%.5s...%s", value, value + length - 4);
}

/* ---- Reading ---- */

static kx_status find_key(kx_db *db, const char *sql, const kx_value *values, kx_arena *arena, kx_key *key,
                          bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    KX_TRY(kx_db_start(db, sql, values, &rows, err));
    KX_TRY(kx_db_next(db, rows, found, err));
    if (*found) KX_TRY(kx_key_read(rows, arena, key, err));
out:
    return status;
}

static bool parse_id(const char *text, int64_t *id)
{
    if (!isdigit((unsigned char)text[0]) || strlen(text) > 18) return false;
    char *end = NULL;
    *id = strtoll(text, &end, 10);
    return *end == '\0';
}

kx_status kx_store_key_get(kx_store *store, const char *which, kx_arena *arena, kx_key *key, bool *found,
                           kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    int64_t id;
    *found = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(find_key(db, "SELECT " KX_KEY_COLUMNS " FROM keys WHERE uuid = ?1", KX_VALUES(KX_TEXT(which)),
                    arena, key, found, err));
    if (!*found)
        KX_TRY(find_key(db, "SELECT " KX_KEY_COLUMNS " FROM keys WHERE name = ?1 AND revoked_ns = 0",
                        KX_VALUES(KX_TEXT(which)), arena, key, found, err));
    if (!*found && parse_id(which, &id))
        KX_TRY(find_key(db, "SELECT " KX_KEY_COLUMNS " FROM keys WHERE id = ?1", KX_VALUES(KX_INT(id)), arena,
                        key, found, err));
out:
    kx_store_reader_return(store, db);
    return status;
}

kx_status kx_store_key_list(kx_store *store, kx_arena *arena, kx_key **keys, size_t *count, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    size_t room = 0;
    kx_key *list = NULL;
    *count = 0;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_start(db, "SELECT " KX_KEY_COLUMNS " FROM keys ORDER BY id", KX_NO_VALUES, &rows, err));
    for (;;) {
        bool has_row;
        KX_TRY(kx_db_next(db, rows, &has_row, err));
        if (!has_row) break;
        if (*count == room) {
            kx_key *larger = NULL;
            room = room == 0 ? 16 : room * 2;
            KX_TRY(KX_ARENA_ARRAY(arena, room, &larger, err));
            if (*count > 0) memcpy(larger, list, *count * sizeof *list);
            list = larger;
        }
        KX_TRY(kx_key_read(rows, arena, &list[*count], err));
        ++*count;
    }
    *keys = list;
out:
    kx_store_reader_return(store, db);
    return status;
}

/* ---- Changes ---- */

typedef struct key_creation {
    const kx_key *key;
    const char *value;
    char uuid[33], hash[KX_SHA256_HEX], hint[16], secret[VALUE_ROOM];
    int64_t id;
} key_creation;

static kx_status insert_key(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    key_creation *creation = argument;
    const kx_key *key = creation->key;
    const char *name = key->name == NULL ? "" : key->name;
    int64_t other;
    bool is_taken;
    KX_TRY(kx_db_number(db, "SELECT id FROM keys WHERE name = ?1 AND revoked_ns = 0",
                        KX_VALUES(KX_TEXT(name)), &other, &is_taken, err));
    KX_FAIL_IF(is_taken, err, KX_ERR_INPUT, "there is a key of the name '%s' already", name);
    KX_TRY(kx_db_number(db, "SELECT id FROM keys WHERE hash = ?1", KX_VALUES(KX_TEXT(creation->hash)), &other,
                        &is_taken, err));
    KX_FAIL_IF(is_taken, err, KX_ERR_INPUT, "there is, or was, a key of this value already (number %lld)",
               (long long)other);
    KX_TRY(kx_db_run(db,
                     "INSERT INTO keys (uuid, name, hash, hint, role, balance_micro, concurrency, "
                     "submits_per_minute, webhook_secret, created_ns, served) "
                     "VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8, ?9, 0)",
                     KX_VALUES(KX_TEXT(creation->uuid), KX_TEXT(name), KX_TEXT(creation->hash),
                               KX_TEXT(creation->hint), KX_INT(key->role), KX_INT(key->concurrency),
                               KX_INT(key->submits_per_minute), KX_TEXT(creation->secret),
                               KX_INT(kx_clock_wall_ns(store->clock))),
                     NULL, err));
    creation->id = sqlite3_last_insert_rowid(kx_db_handle(db));
    kx_writer_touch_keys(store);
    if (key->balance_micro != 0)
        KX_TRY(kx_ledger_add(store, db,
                             &(kx_ledger_row){.key_id = creation->id,
                                              .kind = "credit",
                                              .amount_micro = key->balance_micro,
                                              .note = "first balance"},
                             err));
out:
    return status;
}

kx_status kx_store_key_create(kx_store *store, const kx_key *key, const char *value, char out_value[64],
                              kx_arena *arena, kx_key *made, kx_error *err)
{
    kx_status status = KX_OK;
    key_creation creation = {.key = key, .value = value};
    char random[VALUE_ROOM];
    bool found;
    KX_FAIL_IF(value != NULL && strlen(value) >= VALUE_ROOM, err, KX_ERR_INPUT,
               "a key's value is %zu bytes, the limit is %d", strlen(value), VALUE_ROOM - 1);
    if (value == NULL) {
        KX_TRY(make_value(random, err));
        creation.value = random;
    }
    KX_TRY(kx_random_hex(creation.uuid, 32, err));
    KX_TRY(make_secret(creation.secret, err));
    make_hint(creation.value, creation.hint);
    kx_sha256_of(creation.value, strlen(creation.value), creation.hash);
    KX_TRY(kx_store_change(store, insert_key, &creation, err));
    snprintf(out_value, VALUE_ROOM, "%s", creation.value);
    if (made != NULL) KX_TRY(kx_store_key_get(store, creation.uuid, arena, made, &found, err));
out:
    return status;
}

typedef struct key_update {
    int64_t key_id;
    const char *hash, *hint, *secret;
    unsigned concurrency, submits_per_minute;
    bool changed;
} key_update;

static kx_status update_key(kx_store *store, kx_db *db, const char *sql, const kx_value *values,
                            bool *changed, kx_error *err)
{
    int64_t rows = 0;
    kx_status status = kx_db_run(db, sql, values, &rows, err);
    *changed = rows > 0;
    if (*changed) kx_writer_touch_keys(store);
    return status;
}

static kx_status apply_revoke(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    key_update *update = argument;
    return update_key(store, db, "UPDATE keys SET revoked_ns = ?2 WHERE id = ?1 AND revoked_ns = 0",
                      KX_VALUES(KX_INT(update->key_id), KX_INT(kx_clock_wall_ns(store->clock))),
                      &update->changed, err);
}

static kx_status apply_rotate(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    key_update *update = argument;
    return update_key(store, db, "UPDATE keys SET hash = ?2, hint = ?3 WHERE id = ?1 AND revoked_ns = 0",
                      KX_VALUES(KX_INT(update->key_id), KX_TEXT(update->hash), KX_TEXT(update->hint)),
                      &update->changed, err);
}

static kx_status apply_limits(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    key_update *update = argument;
    return update_key(
        store, db, "UPDATE keys SET concurrency = ?2, submits_per_minute = ?3 WHERE id = ?1",
        KX_VALUES(KX_INT(update->key_id), KX_INT(update->concurrency), KX_INT(update->submits_per_minute)),
        &update->changed, err);
}

static kx_status apply_secret(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    key_update *update = argument;
    return update_key(store, db, "UPDATE keys SET webhook_secret = ?2 WHERE id = ?1",
                      KX_VALUES(KX_INT(update->key_id), KX_TEXT(update->secret)), &update->changed, err);
}

static kx_status change_existing(kx_store *store, kx_apply *apply, key_update *update, kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_store_change(store, apply, update, err));
    KX_FAIL_IF(!update->changed, err, KX_ERR_INPUT, "there is no key of the number %lld, or it is revoked",
               (long long)update->key_id);
out:
    return status;
}

kx_status kx_store_key_revoke(kx_store *store, int64_t key_id, bool *found, kx_error *err)
{
    key_update update = {.key_id = key_id};
    kx_status status = kx_store_change(store, apply_revoke, &update, err);
    *found = status == KX_OK && update.changed;
    return status;
}

kx_status kx_store_key_rotate(kx_store *store, int64_t key_id, char out_value[64], kx_error *err)
{
    kx_status status = KX_OK;
    char value[VALUE_ROOM], hash[KX_SHA256_HEX], hint[16];
    KX_TRY(make_value(value, err));
    kx_sha256_of(value, strlen(value), hash);
    make_hint(value, hint);
    KX_TRY(change_existing(store, apply_rotate, &(key_update){.key_id = key_id, .hash = hash, .hint = hint},
                           err));
    snprintf(out_value, VALUE_ROOM, "%s", value);
out:
    return status;
}

kx_status kx_store_key_limits(kx_store *store, int64_t key_id, unsigned concurrency,
                              unsigned submits_per_minute, kx_error *err)
{
    return change_existing(
        store, apply_limits,
        &(key_update){.key_id = key_id, .concurrency = concurrency, .submits_per_minute = submits_per_minute},
        err);
}

kx_status kx_store_key_rotate_secret(kx_store *store, int64_t key_id, char out_secret[64], kx_error *err)
{
    kx_status status = KX_OK;
    char secret[VALUE_ROOM];
    KX_TRY(make_secret(secret, err));
    KX_TRY(change_existing(store, apply_secret, &(key_update){.key_id = key_id, .secret = secret}, err));
    snprintf(out_secret, VALUE_ROOM, "%s", secret);
out:
    return status;
}
