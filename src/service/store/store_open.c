#include "base/file.h"
#include "service/store/store_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

static void init_locks(kx_store *store)
{
    pthread_mutex_init(&store->readers.lock, NULL);
    pthread_cond_init(&store->readers.returned, NULL);
    pthread_mutex_init(&store->cache.lock, NULL);
    pthread_mutex_init(&store->preparations.lock, NULL);
    pthread_mutex_init(&store->deliveries.lock, NULL);
}

static kx_status make_folder_of(const char *path, kx_error *err)
{
    kx_status status = KX_OK;
    char *folder = strdup(path);
    KX_FAIL_IF(folder == NULL, err, KX_ERR_MEMORY, "out of memory");
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder) goto out;
    *slash = '\0';
    if (!kx_file_is_directory(folder)) KX_TRY(kx_file_make_directory(folder, err));
out:
    free(folder);
    return status;
}

kx_status kx_store_open(kx_store **store, const char *path, kx_clock *clock, kx_error *err)
{
    kx_status status = KX_OK;
    kx_store *made = calloc(1, sizeof *made);
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    made->clock = clock;
    made->lock_fd = -1;
    init_locks(made);
    made->path = strdup(path);
    KX_FAIL_IF(made->path == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(make_folder_of(path, err));
    KX_TRY(kx_writer_open(made, err));
    KX_TRY(kx_schema_bring_up(made->writer.db, path, err));
    KX_TRY(kx_key_cache_open(made, err));
    *store = made;
    made = NULL;
out:
    kx_store_close(made);
    return status;
}

void kx_store_close(kx_store *store)
{
    if (store == NULL) return;
    for (size_t i = 0; i < store->readers.num_idle; i++) kx_db_close(store->readers.idle[i]);
    kx_key_cache_close(store);
    kx_writer_close(store);
    pthread_cond_destroy(&store->readers.returned);
    pthread_mutex_destroy(&store->readers.lock);
    pthread_mutex_destroy(&store->cache.lock);
    pthread_mutex_destroy(&store->preparations.lock);
    pthread_mutex_destroy(&store->deliveries.lock);
    free(store->preparations.names);
    free(store->deliveries.names);
    /* Closing the descriptor gives the lock back; the file stays, since removing it would let two in. */
    if (store->lock_fd >= 0) close(store->lock_fd);
    free(store->path);
    free(store);
}

kx_status kx_store_lock_server(kx_store *store, kx_error *err)
{
    kx_status status = KX_OK;
    int fd = -1;
    size_t room = strlen(store->path) + sizeof ".lock";
    char *path = malloc(room);
    char owner[32] = "";
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory");
    snprintf(path, room, "%s.lock", store->path);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    KX_FAIL_IF(fd < 0, err, KX_ERR_OUTPUT, "%s: cannot write there: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        KX_FAIL_IF(errno != EWOULDBLOCK, err, KX_ERR_OUTPUT, "%s: cannot be locked: %s", path,
                   strerror(errno));
        if (read(fd, owner, sizeof owner - 1) < 0) owner[0] = '\0';
        owner[strcspn(owner, "\n")] = '\0';
        KX_FAIL(err, KX_ERR_OUTPUT, "%s: another server (process %s) works on this data folder", store->path,
                owner[0] == '\0' ? "unknown" : owner);
    }
    /* The number is for people only; the lock is what counts. */
    int length = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0 && pwrite(fd, owner, (size_t)length, 0) < 0) errno = 0;
    store->lock_fd = fd;
    fd = -1;
out:
    if (fd >= 0) close(fd);
    free(path);
    return status;
}

kx_status kx_store_reader_take(kx_store *store, kx_db **db, kx_error *err)
{
    kx_readers *readers = &store->readers;
    *db = NULL;
    pthread_mutex_lock(&readers->lock);
    while (readers->num_idle == 0 && readers->num_open == KX_STORE_READERS)
        pthread_cond_wait(&readers->returned, &readers->lock);
    if (readers->num_idle > 0)
        *db = readers->idle[--readers->num_idle];
    else
        readers->num_open++;
    pthread_mutex_unlock(&readers->lock);
    if (*db != NULL) return KX_OK;
    kx_status status = kx_db_open(db, store->path, KX_DB_READ, err);
    if (status != KX_OK) {
        pthread_mutex_lock(&readers->lock);
        readers->num_open--;
        pthread_cond_signal(&readers->returned);
        pthread_mutex_unlock(&readers->lock);
    }
    return status;
}

void kx_store_reader_return(kx_store *store, kx_db *db)
{
    if (db == NULL) return;
    kx_db_rest(db);
    if (sqlite3_get_autocommit(kx_db_handle(db)) == 0)
        sqlite3_exec(kx_db_handle(db), "COMMIT", NULL, NULL, NULL);
    pthread_mutex_lock(&store->readers.lock);
    store->readers.idle[store->readers.num_idle++] = db;
    pthread_cond_signal(&store->readers.returned);
    pthread_mutex_unlock(&store->readers.lock);
}

static kx_status write_check(kx_store *store, kx_db *db, void *argument, kx_error *err)
{
    (void)argument;
    return kx_db_run(db, "UPDATE checks SET at_ns = ?1", KX_VALUES(KX_INT(kx_clock_wall_ns(store->clock))),
                     NULL, err);
}

kx_status kx_store_check(kx_store *store, kx_error *err)
{
    kx_status status = KX_OK;
    kx_db *db = NULL;
    int64_t at_ns;
    KX_TRY(kx_store_change(store, write_check, NULL, err));
    KX_TRY(kx_store_reader_take(store, &db, err));
    KX_TRY(kx_db_number(db, "SELECT at_ns FROM checks", KX_NO_VALUES, &at_ns, NULL, err));
out:
    kx_store_reader_return(store, db);
    return status;
}
