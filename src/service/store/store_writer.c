/* Group commit. A caller puts its change into the line. If nobody is carrying changes out, it takes the whole
 * line, runs each change in a savepoint of one transaction, commits once, and tells the others. While it
 * waits for the disk, the next line forms; one of those who stand in it goes next. So the disk is waited for
 * once for all who came together, a change that fails takes nothing else with it, and no thread of our own is
 * needed. */
#include "service/store/store_parts.h"

kx_status kx_writer_open(kx_store *store, kx_error *err)
{
    pthread_mutex_init(&store->writer.lock, NULL);
    pthread_cond_init(&store->writer.done, NULL);
    return kx_db_open(&store->writer.db, store->path, KX_DB_WRITE, err);
}

void kx_writer_close(kx_store *store)
{
    kx_db_close(store->writer.db);
    pthread_cond_destroy(&store->writer.done);
    pthread_mutex_destroy(&store->writer.lock);
}

void kx_writer_touch_balance(kx_store *store, int64_t key_id, int64_t balance_micro)
{
    kx_writer *writer = &store->writer;
    if (writer->num_touched == KX_STORE_TOUCHED) {
        writer->keys_changed = true;
        return;
    }
    writer->touched[writer->num_touched++] = (kx_touched){key_id, balance_micro};
}

void kx_writer_touch_keys(kx_store *store)
{
    store->writer.keys_changed = true;
}

/* SQLite ends a transaction by itself after some failures, such as a full disk. */
static bool is_in_transaction(kx_db *db)
{
    return sqlite3_get_autocommit(kx_db_handle(db)) == 0;
}

static void apply_one(kx_store *store, kx_change *change)
{
    kx_db *db = store->writer.db;
    size_t touched = store->writer.num_touched;
    uint64_t ended[KX_JOB_STATES];
    memcpy(ended, store->writer.ended, sizeof ended);
    change->status = kx_db_run(db, "SAVEPOINT change", KX_NO_VALUES, NULL, change->err);
    if (change->status != KX_OK) return;
    change->status = change->apply(store, db, change->argument, change->err);
    kx_db_rest(db);
    kx_error unheard = {0};
    if (change->status == KX_OK) {
        change->status = kx_db_run(db, "RELEASE change", KX_NO_VALUES, NULL, change->err);
    } else if (is_in_transaction(db)) {
        store->writer.num_touched = touched;
        memcpy(store->writer.ended, ended, sizeof ended);
        kx_db_run(db, "ROLLBACK TO change", KX_NO_VALUES, NULL, &unheard);
        kx_db_run(db, "RELEASE change", KX_NO_VALUES, NULL, &unheard);
    }
}

static void fail_all(kx_change *line, const kx_error *why)
{
    for (kx_change *change = line; change != NULL; change = change->next) {
        if (change->status != KX_OK) continue;
        change->status = kx_error_set(change->err, why->status, why->file, why->line, "%s", why->message);
    }
}

/* Runs the line in one transaction; each change then has its status. */
static void carry_out(kx_store *store, kx_change *line)
{
    kx_status status = KX_OK;
    kx_writer *writer = &store->writer;
    kx_error err = {0};
    writer->num_touched = 0;
    writer->keys_changed = false;
    memset(writer->ended, 0, sizeof writer->ended);
    KX_TRY(kx_db_run(writer->db, "BEGIN IMMEDIATE", KX_NO_VALUES, NULL, &err));
    KX_TRY(kx_key_cache_flush_used(store, writer->db, &err));
    for (kx_change *change = line; change != NULL; change = change->next) {
        apply_one(store, change);
        if (is_in_transaction(writer->db)) continue;
        err = *change->err;
        goto out;
    }
    KX_TRY(kx_db_run(writer->db, "COMMIT", KX_NO_VALUES, NULL, &err));
    atomic_fetch_add(&writer->commits, 1);
    for (size_t i = 0; i < KX_JOB_STATES; i++) atomic_fetch_add(&store->ended[i], writer->ended[i]);
    if (writer->keys_changed) kx_key_cache_drop(store);
    for (size_t i = 0; i < writer->num_touched; i++)
        kx_key_cache_set_balance(store, writer->touched[i].key_id, writer->touched[i].balance_micro);
out:
    kx_db_rest(writer->db);
    if (err.status == KX_OK) return;
    if (is_in_transaction(writer->db)) sqlite3_exec(kx_db_handle(writer->db), "ROLLBACK", NULL, NULL, NULL);
    fail_all(line, &err);
    (void)status;
}

/* Under writer.lock, which is given up while the line is carried out. */
static void lead(kx_store *store)
{
    kx_writer *writer = &store->writer;
    kx_change *line = writer->first;
    writer->first = writer->last = NULL;
    writer->is_busy = true;
    pthread_mutex_unlock(&writer->lock);
    carry_out(store, line);
    pthread_mutex_lock(&writer->lock);
    writer->is_busy = false;
    while (line != NULL) {
        kx_change *next = line->next; /* the change is gone as soon as its caller sees is_done */
        line->is_done = true;
        line = next;
        atomic_fetch_add(&writer->changes, 1);
    }
    pthread_cond_broadcast(&writer->done);
}

kx_status kx_store_change(kx_store *store, kx_apply *apply, void *argument, kx_error *err)
{
    kx_writer *writer = &store->writer;
    kx_change change = {.apply = apply, .argument = argument, .err = err};
    pthread_mutex_lock(&writer->lock);
    if (writer->last != NULL)
        writer->last->next = &change;
    else
        writer->first = &change;
    writer->last = &change;
    while (!change.is_done && writer->is_busy) pthread_cond_wait(&writer->done, &writer->lock);
    /* The line is not empty: this change still stands in it. */
    if (!change.is_done) lead(store);
    pthread_mutex_unlock(&writer->lock);
    return change.status;
}
