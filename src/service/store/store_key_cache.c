/* The keys that count, in memory, so that a request costs no disk. The cache has a connection of its own:
 * PRAGMA data_version grows on it whenever another connection, ours or another process's, commits. That is
 * asked at most every LOOK_MS, and for a key that is not known; what this process changes in keys marks the
 * cache stale at once, and balances are handed over by the transaction that moved them. */
#include "service/store/store_parts.h"

enum { LOOK_MS = 250 };
#define USED_STORE_NS (INT64_C(60) * 1000000000)

kx_status kx_key_cache_open(kx_store *store, kx_error *err)
{
    store->cache.is_stale = true;
    return kx_db_open(&store->cache.db, store->path, KX_DB_READ, err);
}

void kx_key_cache_close(kx_store *store)
{
    kx_db_close(store->cache.db);
    kx_arena_free(&store->cache.arena);
}

void kx_key_cache_drop(kx_store *store)
{
    pthread_mutex_lock(&store->cache.lock);
    store->cache.is_stale = true;
    pthread_mutex_unlock(&store->cache.lock);
}

void kx_key_cache_set_balance(kx_store *store, int64_t key_id, int64_t balance_micro)
{
    kx_key_cache *cache = &store->cache;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->count; i++)
        if (cache->keys[i].key.id == key_id) cache->keys[i].key.balance_micro = balance_micro;
    pthread_mutex_unlock(&cache->lock);
}

kx_status kx_key_read(sqlite3_stmt *rows, kx_arena *arena, kx_key *key, kx_error *err)
{
    kx_status status = KX_OK;
    *key = (kx_key){
        .id = sqlite3_column_int64(rows, 0),
        .role = (kx_role)sqlite3_column_int(rows, 3),
        .balance_micro = sqlite3_column_int64(rows, 5),
        .concurrency = (unsigned)sqlite3_column_int64(rows, 6),
        .submits_per_minute = (unsigned)sqlite3_column_int64(rows, 7),
        .created_ns = sqlite3_column_int64(rows, 9),
        .revoked_ns = sqlite3_column_int64(rows, 10),
        .used_ns = sqlite3_column_int64(rows, 11),
    };
    KX_TRY(kx_db_text(rows, 1, arena, &key->uuid, err));
    KX_TRY(kx_db_text(rows, 2, arena, &key->name, err));
    KX_TRY(kx_db_text(rows, 4, arena, &key->hint, err));
    KX_TRY(kx_db_text(rows, 8, arena, &key->webhook_secret, err));
out:
    return status;
}

/* The time of last use that is known here may be younger than the database's. */
static int64_t known_use(const kx_cached_key *keys, size_t count, int64_t key_id)
{
    for (size_t i = 0; i < count; i++)
        if (keys[i].key.id == key_id) return keys[i].key.used_ns;
    return 0;
}

static kx_status load_keys(kx_key_cache *cache, kx_arena *arena, kx_cached_key **keys, size_t *count,
                           kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    int64_t room;
    KX_TRY(kx_db_number(cache->db, "SELECT count(*) FROM keys WHERE revoked_ns = 0", KX_NO_VALUES, &room,
                        NULL, err));
    KX_TRY(KX_ARENA_ARRAY(arena, room, keys, err));
    KX_TRY(kx_db_start(cache->db, "SELECT " KX_KEY_COLUMNS ", hash FROM keys WHERE revoked_ns = 0",
                       KX_NO_VALUES, &rows, err));
    for (*count = 0;;) {
        bool has_row;
        KX_TRY(kx_db_next(cache->db, rows, &has_row, err));
        if (!has_row) break;
        kx_cached_key *key = &(*keys)[(*count)++];
        KX_TRY(kx_key_read(rows, arena, &key->key, err));
        kx_db_text_into(rows, 12, key->hash, sizeof key->hash);
        key->stored_used_ns = key->key.used_ns;
        int64_t used_ns = known_use(cache->keys, cache->count, key->key.id);
        if (used_ns > key->key.used_ns) key->key.used_ns = used_ns;
    }
out:
    return status;
}

/* Within one read transaction, so that count and rows agree. */
static kx_status reload(kx_key_cache *cache, kx_error *err)
{
    kx_status status = KX_OK;
    kx_arena arena = {0};
    kx_cached_key *keys = NULL;
    size_t count = 0;
    KX_TRY(kx_db_run(cache->db, "BEGIN", KX_NO_VALUES, NULL, err));
    status = load_keys(cache, &arena, &keys, &count, err);
    kx_db_rest(cache->db);
    kx_error unheard = {0};
    kx_db_run(cache->db, "COMMIT", KX_NO_VALUES, NULL, &unheard);
    if (status != KX_OK) goto out;
    kx_arena_free(&cache->arena);
    cache->arena = arena;
    arena = (kx_arena){0};
    cache->keys = keys;
    cache->count = count;
    cache->is_stale = false;
out:
    kx_arena_free(&arena);
    return status;
}

/* Under cache->lock. */
static kx_status bring_up_to_date(kx_key_cache *cache, bool look_now, kx_error *err)
{
    kx_status status = KX_OK;
    int64_t now_ms = kx_clock_monotonic_ms();
    if (look_now || cache->is_stale || now_ms - cache->looked_ms >= LOOK_MS) {
        int64_t version;
        KX_TRY(kx_db_number(cache->db, "PRAGMA data_version", KX_NO_VALUES, &version, NULL, err));
        if (version != cache->data_version) cache->is_stale = true;
        cache->data_version = version;
        cache->looked_ms = now_ms;
    }
    if (cache->is_stale) KX_TRY(reload(cache, err));
out:
    return status;
}

/* cache->count when there is none. */
static size_t place_of(const kx_key_cache *cache, const char hash[KX_SHA256_HEX])
{
    size_t at = cache->count;
    for (size_t i = 0; i < cache->count; i++)
        if (kx_equal_in_constant_time(cache->keys[i].hash, hash, KX_SHA256_HEX)) at = i;
    return at;
}

static kx_status copy_text(kx_arena *arena, const char **text, kx_error *err)
{
    char *copy = NULL;
    kx_status status = kx_arena_copy_text(arena, *text, strlen(*text), &copy, err);
    *text = copy;
    return status;
}

kx_status kx_store_key_find(kx_store *store, const char *value, kx_arena *arena, kx_key *key, bool *found,
                            kx_error *err)
{
    kx_status status = KX_OK;
    kx_key_cache *cache = &store->cache;
    char hash[KX_SHA256_HEX];
    *found = false;
    kx_sha256_of(value, strlen(value), hash);
    int64_t now_ns = kx_clock_wall_ns(store->clock);
    pthread_mutex_lock(&cache->lock);
    KX_TRY(bring_up_to_date(cache, false, err));
    size_t at = place_of(cache, hash);
    if (at == cache->count) { /* it may be a moment old */
        KX_TRY(bring_up_to_date(cache, true, err));
        at = place_of(cache, hash);
    }
    if (at == cache->count) goto out;
    cache->keys[at].key.used_ns = now_ns;
    *key = cache->keys[at].key;
    KX_TRY(copy_text(arena, &key->uuid, err));
    KX_TRY(copy_text(arena, &key->name, err));
    KX_TRY(copy_text(arena, &key->hint, err));
    KX_TRY(copy_text(arena, &key->webhook_secret, err));
    *found = true;
out:
    pthread_mutex_unlock(&cache->lock);
    return status;
}

kx_status kx_key_cache_flush_used(kx_store *store, kx_db *db, kx_error *err)
{
    kx_status status = KX_OK;
    kx_key_cache *cache = &store->cache;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->count; i++) {
        kx_cached_key *key = &cache->keys[i];
        int64_t age_ns = key->key.used_ns - key->stored_used_ns;
        if (age_ns < USED_STORE_NS && age_ns >= 0) continue;
        KX_TRY(kx_db_run(db, "UPDATE keys SET used_ns = ?2 WHERE id = ?1",
                         KX_VALUES(KX_INT(key->key.id), KX_INT(key->key.used_ns)), NULL, err));
        key->stored_used_ns = key->key.used_ns;
    }
out:
    pthread_mutex_unlock(&cache->lock);
    return status;
}
