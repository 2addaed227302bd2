/* What URLs serve, and the tickets of uploads to come. */
#include "service/store/store_parts.h"

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

typedef struct file_addition {
    const kx_stored_file *file;
    const char *ticket; /* NULL: none */
    uint64_t quota_bytes;
    char token[33];
    bool used, within_quota;
} file_addition;

static kx_status insert_file(kx_store *store, kx_db *db, file_addition *added, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_stored_file *file = added->file;
    int64_t now_ns = kx_clock_wall_ns(store->clock), stored_bytes;
    KX_TRY(
        kx_db_number(db,
                     "SELECT coalesce(sum(bytes), 0) FROM files WHERE key_id = ?1 AND prediction IS NULL AND "
                     "(expires_ns > ?2 OR expires_ns = 0)",
                     KX_VALUES(KX_INT(file->key_id), KX_INT(now_ns)), &stored_bytes, NULL, err));
    added->within_quota = (uint64_t)stored_bytes + file->bytes <= added->quota_bytes;
    if (!added->within_quota) goto out;
    KX_TRY(kx_db_run(
        db,
        "INSERT INTO files (token, key_id, blob, content_type, suffix, filename, bytes, created_ns, "
        "expires_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        KX_VALUES(KX_TEXT(added->token), KX_INT(file->key_id), KX_TEXT(or_empty(file->blob)),
                  KX_TEXT(or_empty(file->content_type)), KX_TEXT(or_empty(file->suffix)),
                  KX_TEXT(or_empty(file->filename)), KX_INT(file->bytes), KX_INT(now_ns),
                  KX_INT(file->expires_ns)),
        NULL, err));
out:
    return status;
}

static kx_status apply_file(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    return insert_file(store, db, argument, err);
}

static kx_status name_file(file_addition *added, kx_error *err)
{
    if (added->file->token[0] == '\0') return kx_random_hex(added->token, 32, err);
    snprintf(added->token, sizeof added->token, "%s", added->file->token);
    return KX_OK;
}

kx_status kx_store_file_add(kx_store *store, const kx_stored_file *file, uint64_t quota_bytes, char token[33],
                            bool *within_quota, kx_error *err)
{
    kx_status status = KX_OK;
    file_addition added = {.file = file, .quota_bytes = quota_bytes};
    *within_quota = false;
    KX_TRY(name_file(&added, err));
    KX_TRY(kx_store_change(store, apply_file, &added, err));
    *within_quota = added.within_quota;
    if (added.within_quota) snprintf(token, 33, "%s", added.token);
out:
    return status;
}

kx_status kx_store_file_get(kx_store *store, const char *token, kx_arena *arena, kx_stored_file *file,
                            bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    *found = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_start(
        db,
        "SELECT token, key_id, bytes, created_ns, expires_ns, blob, content_type, suffix, filename "
        "FROM files WHERE token = ?1 AND (expires_ns = 0 OR expires_ns > ?2)",
        KX_VALUES(KX_TEXT(token), KX_INT(kx_clock_wall_ns(store->clock))), &rows, err));
    KX_TRY(kx_db_next(db, rows, found, err));
    if (!*found) goto out;
    *file = (kx_stored_file){
        .key_id = sqlite3_column_int64(rows, 1),
        .bytes = (uint64_t)sqlite3_column_int64(rows, 2),
        .created_ns = sqlite3_column_int64(rows, 3),
        .expires_ns = sqlite3_column_int64(rows, 4),
    };
    kx_db_text_into(rows, 0, file->token, sizeof file->token);
    KX_TRY(kx_db_text(rows, 5, arena, &file->blob, err));
    KX_TRY(kx_db_text(rows, 6, arena, &file->content_type, err));
    KX_TRY(kx_db_text(rows, 7, arena, &file->suffix, err));
    KX_TRY(kx_db_text(rows, 8, arena, &file->filename, err));
out:
    kx_store_reader_return(store, db);
    return status;
}

/* ---- Tickets ---- */

static kx_status apply_ticket(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    (void)store;
    const kx_ticket *ticket = argument;
    return kx_db_run(
        db,
        "INSERT INTO tickets (token, key_id, filename, content_type, bytes, expires_ns, file_token) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        KX_VALUES(KX_TEXT(ticket->token), KX_INT(ticket->key_id), KX_TEXT(or_empty(ticket->filename)),
                  KX_TEXT(or_empty(ticket->content_type)), KX_INT(ticket->bytes), KX_INT(ticket->expires_ns),
                  KX_TEXT(ticket->file_token)),
        NULL, err);
}

kx_status kx_store_ticket_add(kx_store *store, const kx_ticket *ticket, kx_error *err)
{
    kx_ticket copy = *ticket;
    return kx_store_change(store, apply_ticket, &copy, err);
}

kx_status kx_store_ticket_get(kx_store *store, const char *token, kx_arena *arena, kx_ticket *ticket,
                              bool *found, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    sqlite3_stmt *rows = NULL;
    *found = false;
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_start(
        db,
        "SELECT token, key_id, bytes, expires_ns, file_token, used, filename, content_type FROM tickets "
        "WHERE token = ?1",
        KX_VALUES(KX_TEXT(token)), &rows, err));
    KX_TRY(kx_db_next(db, rows, found, err));
    if (!*found) goto out;
    *ticket = (kx_ticket){
        .key_id = sqlite3_column_int64(rows, 1),
        .bytes = (uint64_t)sqlite3_column_int64(rows, 2),
        .expires_ns = sqlite3_column_int64(rows, 3),
        .used = sqlite3_column_int(rows, 5) != 0,
    };
    kx_db_text_into(rows, 0, ticket->token, sizeof ticket->token);
    kx_db_text_into(rows, 4, ticket->file_token, sizeof ticket->file_token);
    KX_TRY(kx_db_text(rows, 6, arena, &ticket->filename, err));
    KX_TRY(kx_db_text(rows, 7, arena, &ticket->content_type, err));
out:
    kx_store_reader_return(store, db);
    return status;
}

static kx_status apply_ticket_use(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    kx_status status = KX_OK;
    file_addition *added = argument;
    int64_t is_used;
    bool found;
    KX_TRY(kx_db_number(db, "SELECT used FROM tickets WHERE token = ?1", KX_VALUES(KX_TEXT(added->ticket)),
                        &is_used, &found, err));
    added->used = !found || is_used != 0;
    if (added->used) goto out;
    KX_TRY(insert_file(store, db, added, err));
    if (added->within_quota)
        KX_TRY(kx_db_run(db, "UPDATE tickets SET used = 1 WHERE token = ?1",
                         KX_VALUES(KX_TEXT(added->ticket)), NULL, err));
out:
    return status;
}

kx_status kx_store_ticket_use(kx_store *store, const kx_ticket *ticket, const kx_stored_file *file,
                              uint64_t quota_bytes, bool *used, bool *within_quota, kx_error *err)
{
    kx_status status = KX_OK;
    file_addition added = {
        .file = file, .ticket = ticket->token, .quota_bytes = quota_bytes, .within_quota = true};
    snprintf(added.token, sizeof added.token, "%s", ticket->file_token);
    *used = *within_quota = false;
    KX_TRY(kx_store_change(store, apply_ticket_use, &added, err));
    *used = added.used;
    *within_quota = added.within_quota;
out:
    return status;
}
