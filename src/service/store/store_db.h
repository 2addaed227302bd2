/* One SQLite connection with its prepared statements: what the other files of the store are written in.
 *
 *     KX_TRY(kx_db_start(db, "SELECT id FROM predictions WHERE key_id = ?1", KX_VALUES(KX_INT(7)), &rows,
 *                        err));
 *     for (;;) {
 *         KX_TRY(kx_db_next(db, rows, &has_row, err));
 *         if (!has_row) break;
 *         ...
 *     }
 *
 * A statement is prepared once for each connection and kept by the address of its text, which therefore must
 * be a literal. Texts and bytes are borrowed for the call. A connection is used by one thread at a time. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct kx_db kx_db;

typedef enum kx_db_use {
    KX_DB_WRITE, /* the connection that changes things; makes the file */
    KX_DB_READ,
} kx_db_use;

/* Errors everywhere: KX_ERR_OUTPUT with a sentence that says which kind (full, locked, read-only, damaged),
 * KX_ERR_MEMORY, KX_ERR_INTERNAL. */
kx_status kx_db_open(kx_db **db, const char *path, kx_db_use use, kx_error *err);
void kx_db_close(kx_db *db);
sqlite3 *kx_db_handle(kx_db *db);

typedef enum kx_value_kind { KX_VALUE_END = 0, KX_VALUE_INT, KX_VALUE_TEXT, KX_VALUE_BYTES } kx_value_kind;
typedef struct kx_value {
    kx_value_kind kind;
    int64_t integer;
    const char *text; /* NULL binds NULL */
    const void *data;
    size_t bytes;
} kx_value;
#define KX_INT(x)         ((kx_value){.kind = KX_VALUE_INT, .integer = (int64_t)(x)})
#define KX_TEXT(x)        ((kx_value){.kind = KX_VALUE_TEXT, .text = (x)})
#define KX_BYTES(x, size) ((kx_value){.kind = KX_VALUE_BYTES, .data = (x), .bytes = (size)})
#define KX_VALUES(...)    ((const kx_value[]){__VA_ARGS__, {.kind = KX_VALUE_END}})
#define KX_NO_VALUES      ((const kx_value *)NULL)

kx_status kx_db_start(kx_db *db, const char *sql, const kx_value *values, sqlite3_stmt **rows, kx_error *err);
kx_status kx_db_next(kx_db *db, sqlite3_stmt *rows, bool *has_row, kx_error *err);
/* Ends every statement that still stands at a row, and with them the read transaction. */
void kx_db_rest(kx_db *db);

/* A statement whose rows nobody wants. `changed` (may be NULL): how many rows it changed. */
kx_status kx_db_run(kx_db *db, const char *sql, const kx_value *values, int64_t *changed, kx_error *err);
/* The first column of the first row. *found false: there is no row, *number is 0. `found` may be NULL. */
kx_status kx_db_number(kx_db *db, const char *sql, const kx_value *values, int64_t *number, bool *found,
                       kx_error *err);
/* Several statements, once, such as a schema. */
kx_status kx_db_script(kx_db *db, const char *sql, kx_error *err);

/* A column as a copy in the arena; NULL in the database is "". */
kx_status kx_db_text(sqlite3_stmt *rows, int column, kx_arena *arena, const char **out, kx_error *err);
/* The same into an array of `room` bytes, cut where it does not fit. */
void kx_db_text_into(sqlite3_stmt *rows, int column, char *out, size_t room);

/* The sentence for a result code of SQLite on this connection. */
kx_status kx_db_fail(kx_db *db, int code, kx_error *err);
