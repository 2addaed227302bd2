#include "service/store/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATEMENTS = 256, BUSY_TIMEOUT_MS = 5000 };

typedef struct statement {
    const char *sql; /* compared by address */
    sqlite3_stmt *prepared;
} statement;

struct kx_db {
    sqlite3 *handle;
    char *path;
    statement statements[STATEMENTS];
};

static const char *words_of(kx_db *db, int code, char *room, size_t room_bytes)
{
    int reason = sqlite3_system_errno(db->handle);
    bool is_full = reason == ENOSPC || reason == EFBIG || reason == EDQUOT;
    int primary = code & 0xff;
    if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && is_full))
        return "the disk is full, the change was not stored";
    /* SQLite often forgets the reason of a write that a quota or a limit refused. */
    if (code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_SHMSIZE)
        return "the disk is full, over its quota or failing, the change was not stored";
    switch (primary) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "the database is locked by another program";
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return "the database is read-only";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "the file is damaged or is no database; put back a backup";
    case SQLITE_CANTOPEN:
        snprintf(room, room_bytes, "cannot open the database: %s",
                 reason != 0 ? strerror(reason) : sqlite3_errstr(code));
        return room;
    default:
        snprintf(room, room_bytes, "the database failed: %s",
                 db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code));
        return room;
    }
}

kx_status kx_db_fail(kx_db *db, int code, kx_error *err)
{
    char room[256];
    int primary = code & 0xff;
    kx_status status = KX_ERR_OUTPUT;
    if (primary == SQLITE_NOMEM) status = KX_ERR_MEMORY;
    /* A rule of the schema or a wrong statement is a mistake of ours. */
    if (primary == SQLITE_CONSTRAINT || primary == SQLITE_ERROR || primary == SQLITE_MISUSE)
        status = KX_ERR_INTERNAL;
    return kx_error_set(err, status, __FILE__, __LINE__, "%s: %s", db->path,
                        words_of(db, code, room, sizeof room));
}

/* The file is made with rights for its owner alone, since it holds prompts and webhook secrets; SQLite gives
 * its side files the same. */
static kx_status make_file(const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    KX_FAIL_IF(fd < 0, err, KX_ERR_OUTPUT, "%s: cannot open the database: %s", path, strerror(errno));
    close(fd);
out:
    return status;
}

kx_status kx_db_open(kx_db **db, const char *path, kx_db_use use, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    made->path = strdup(path);
    KX_FAIL_IF(made->path == NULL, err, KX_ERR_MEMORY, "out of memory");
    if (use == KX_DB_WRITE) KX_TRY(make_file(path, err));
    int code = sqlite3_open_v2(path, &made->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (code != SQLITE_OK) KX_TRY(kx_db_fail(made, code, err));
    sqlite3_busy_timeout(made->handle, BUSY_TIMEOUT_MS);
    sqlite3_extended_result_codes(made->handle, 1);
    if (use == KX_DB_WRITE)
        KX_TRY(kx_db_script(made,
                            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                            "PRAGMA cache_size = -16000;",
                            err));
    else
        KX_TRY(kx_db_script(made, "PRAGMA query_only = ON; PRAGMA cache_size = -4000;", err));
    *db = made;
    made = NULL;
out:
    kx_db_close(made);
    return status;
}

void kx_db_close(kx_db *db)
{
    if (db == NULL) return;
    for (size_t i = 0; i < STATEMENTS; i++) sqlite3_finalize(db->statements[i].prepared);
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

sqlite3 *kx_db_handle(kx_db *db)
{
    return db->handle;
}

static statement *statement_of(kx_db *db, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 3) * 2654435761u % STATEMENTS;
    for (size_t tried = 0; tried < STATEMENTS; tried++, at = (at + 1) % STATEMENTS) {
        statement *found = &db->statements[at];
        if (found->sql == sql || found->sql == NULL) return found;
    }
    return NULL;
}

static int bind(sqlite3_stmt *prepared, int index, const kx_value *value)
{
    switch (value->kind) {
    case KX_VALUE_INT:
        return sqlite3_bind_int64(prepared, index, value->integer);
    case KX_VALUE_TEXT:
        return sqlite3_bind_text(prepared, index, value->text, -1, SQLITE_STATIC);
    case KX_VALUE_BYTES:
        return sqlite3_bind_blob64(prepared, index, value->data, value->bytes, SQLITE_STATIC);
    case KX_VALUE_END:
        break;
    }
    return SQLITE_MISUSE;
}

kx_status kx_db_start(kx_db *db, const char *sql, const kx_value *values, sqlite3_stmt **rows, kx_error *err)
{
    kx_status status = KX_OK;
    int code = SQLITE_OK;
    statement *found = statement_of(db, sql);
    KX_FAIL_IF(found == NULL, err, KX_ERR_INTERNAL, "more than %d statements", STATEMENTS);
    if (found->prepared == NULL) {
        code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &found->prepared, NULL);
        if (code != SQLITE_OK) KX_TRY(kx_db_fail(db, code, err));
        found->sql = sql;
    }
    sqlite3_reset(found->prepared);
    sqlite3_clear_bindings(found->prepared);
    for (int i = 0; values != NULL && values[i].kind != KX_VALUE_END && code == SQLITE_OK; i++)
        code = bind(found->prepared, i + 1, &values[i]);
    if (code != SQLITE_OK) KX_TRY(kx_db_fail(db, code, err));
    *rows = found->prepared;
out:
    return status;
}

kx_status kx_db_next(kx_db *db, sqlite3_stmt *rows, bool *has_row, kx_error *err)
{
    int code = sqlite3_step(rows);
    *has_row = code == SQLITE_ROW;
    if (code == SQLITE_ROW) return KX_OK;
    if (code == SQLITE_DONE) {
        sqlite3_reset(rows);
        return KX_OK;
    }
    kx_status status = kx_db_fail(db, code, err);
    sqlite3_reset(rows);
    return status;
}

void kx_db_rest(kx_db *db)
{
    for (size_t i = 0; i < STATEMENTS; i++) {
        sqlite3_stmt *prepared = db->statements[i].prepared;
        if (prepared != NULL && sqlite3_stmt_busy(prepared)) sqlite3_reset(prepared);
    }
}

kx_status kx_db_run(kx_db *db, const char *sql, const kx_value *values, int64_t *changed, kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    bool has_row = true;
    KX_TRY(kx_db_start(db, sql, values, &rows, err));
    while (has_row) KX_TRY(kx_db_next(db, rows, &has_row, err));
    if (changed != NULL) *changed = sqlite3_changes64(db->handle);
out:
    return status;
}

kx_status kx_db_number(kx_db *db, const char *sql, const kx_value *values, int64_t *number, bool *found,
                       kx_error *err)
{
    kx_status status = KX_OK;
    sqlite3_stmt *rows = NULL;
    bool has_row = false;
    *number = 0;
    KX_TRY(kx_db_start(db, sql, values, &rows, err));
    KX_TRY(kx_db_next(db, rows, &has_row, err));
    if (has_row) *number = sqlite3_column_int64(rows, 0);
    if (found != NULL) *found = has_row;
    sqlite3_reset(rows);
out:
    return status;
}

kx_status kx_db_script(kx_db *db, const char *sql, kx_error *err)
{
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? KX_OK : kx_db_fail(db, code, err);
}

kx_status kx_db_text(sqlite3_stmt *rows, int column, kx_arena *arena, const char **out, kx_error *err)
{
    const char *text = (const char *)sqlite3_column_text(rows, column);
    size_t length = (size_t)sqlite3_column_bytes(rows, column);
    char *copy = NULL;
    kx_status status =
        kx_arena_copy_text(arena, text == NULL ? "" : text, text == NULL ? 0 : length, &copy, err);
    if (status == KX_OK) *out = copy;
    return status;
}

void kx_db_text_into(sqlite3_stmt *rows, int column, char *out, size_t room)
{
    const char *text = (const char *)sqlite3_column_text(rows, column);
    snprintf(out, room, "%s", text == NULL ? "" : text);
}
