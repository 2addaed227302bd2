#include "service/service.h"

#include "base/file.h"
#include "service/api/api.h"
#include "service/http/http_forwarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long answers may take to finish at the end. */
enum { STOP_GRACE_MS = 5000 };
/* How long a start waits for the model; one that takes longer is opened on. */
enum { MODEL_WAIT_MS = 60000 };

struct kx_service {
    kx_settings settings;
    kx_clock *clock;
    kx_store *store;
    kx_blobs *blobs;
    kx_fetch *fetch;
    kx_api *api;
    kx_queue *queue;
    kx_http *http;
    bool queue_runs, http_runs;
};

static void log_sentence(void *user, const char *sentence)
{
    (void)user;
    fprintf(stderr, "%s\n", sentence);
}

/* The bytes of `listen` ahead of its port. */
static size_t host_length(const char *listen)
{
    const char *colon = strrchr(listen, ':');
    return colon == NULL ? strlen(listen) : (size_t)(colon - listen);
}

/* "127.0.0.1:80", "[::1]:80", "localhost:80". Another name may stand for any address, so it is none. */
static bool is_loopback(const char *listen)
{
    kx_address address;
    size_t length = host_length(listen);
    if (kx_http_address_parse(listen, length, &address)) return kx_address_is_loopback(&address);
    return length == strlen("localhost") && memcmp(listen, "localhost", length) == 0;
}

/* Whether there is a key that is not revoked; without one, an address that others reach is refused. */
static kx_status look_for_keys(kx_service *service, bool *any, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_settings *settings = &service->settings;
    kx_arena arena = {0};
    kx_key *keys = NULL;
    size_t count = 0;
    *any = false;
    KX_TRY(kx_store_key_list(service->store, &arena, &keys, &count, err));
    for (size_t i = 0; i < count; i++) *any = *any || keys[i].revoked_ns == 0;
    KX_FAIL_IF(!*any && !is_loopback(settings->listen) && settings->admin_key == NULL, err, KX_ERR_USAGE,
               "%s is not a loopback address and there is no key yet: make one first (kontext key create)",
               settings->listen);
out:
    kx_arena_free(&arena);
    return status;
}

/* The last of the start: its value is told once, so nothing may fail behind it. */
static kx_status make_first_key(kx_service *service, kx_service_start *start, kx_error *err)
{
    kx_arena arena = {0};
    kx_key made, first = {.name = "first",
                          .role = KX_ROLE_ADMIN,
                          .balance_micro = service->settings.initial_balance_micro};
    kx_status status = kx_store_key_create(service->store, &first, service->settings.admin_key,
                                           start->first_key, &arena, &made, err);
    kx_arena_free(&arena);
    /* The link hands out the key to whoever comes first, and the printed address is this machine's. */
    if (status == KX_OK && is_loopback(service->settings.listen))
        status = kx_api_offer_signin(service->api, start->first_key, start->signin, err);
    return status;
}

static kx_status open_records(kx_service *service, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_settings *settings = &service->settings;
    char *path = NULL;
    KX_TRY(kx_file_make_directory(settings->data, err));
    KX_TRY(kx_clock_open(&service->clock, settings->test_clock, err));
    path = kx_service_store_path(settings->data);
    KX_FAIL_IF(path == NULL, err, KX_ERR_MEMORY, "out of memory");
    KX_TRY(kx_store_open(&service->store, path, service->clock, err));
    KX_TRY(kx_store_lock_server(service->store, err));
    KX_TRY(kx_blobs_open(&service->blobs, settings->data, err));
out:
    free(path);
    return status;
}

static kx_status open_parts(kx_service *service, kx_error *err)
{
    kx_status status = KX_OK;
    const kx_settings *settings = &service->settings;
    kx_fetch_options fetch = {settings->fetch_allow, settings->fetch_max_bytes, settings->fetch_timeout_s,
                              settings->fetch_redirects};
    KX_TRY(kx_fetch_open(&service->fetch, &fetch, err));
    kx_api_parts api = {settings, service->clock, service->store, service->blobs, service->fetch};
    KX_TRY(kx_api_open(&service->api, &api, err));
    kx_queue_parts queue = {.settings = settings,
                            .clock = service->clock,
                            .store = service->store,
                            .blobs = service->blobs,
                            .fetch = service->fetch,
                            .changed = kx_api_changed,
                            .webhook_body = kx_api_webhook_body,
                            .log = log_sentence,
                            .user = service->api};
    KX_TRY(kx_queue_open(&service->queue, &queue, err));
    kx_http_parts http = {.settings = settings,
                          .clock = service->clock,
                          .store = service->store,
                          .blobs = service->blobs,
                          .admit = kx_api_admit,
                          .log_fd = STDERR_FILENO,
                          .user = service->api};
    http.routes = kx_api_routes(&http.num_routes);
    KX_TRY(kx_http_open(&service->http, &http, err));
    kx_api_connect(service->api, service->queue, service->http);
out:
    return status;
}

static void tell_start(kx_service *service, kx_service_start *start)
{
    const char *listen = service->settings.listen;
    size_t length = host_length(listen);
    const char *host = length == 0 ? "localhost" : listen; /* ":8080" is every address */
    if (length == 0) length = strlen(host);
    snprintf(start->address, sizeof start->address, "http://%.*s:%u", (int)length, host,
             kx_http_port(service->http));
}

/* Opening a model maps its files; it is done on the worker's thread, which this waits for, so that a model
 * that was named and does not open is told at the start and not by the first job. */
static kx_status await_model(kx_service *service, kx_service_start *start, kx_error *err)
{
    kx_status status = KX_OK;
    kx_model_facts facts;
    int64_t deadline_ms = kx_clock_monotonic_ms() + MODEL_WAIT_MS;
    kx_queue_model_facts(service->queue, &facts);
    while (!facts.is_ready && facts.problem == NULL && kx_clock_monotonic_ms() < deadline_ms) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        kx_queue_model_facts(service->queue, &facts);
    }
    KX_FAIL_IF(facts.problem != NULL && service->settings.model != NULL, err, KX_ERR_MODEL, "%s",
               facts.problem);
    start->model = facts.path != NULL ? facts.path : "";
    start->model_is_synthetic = facts.is_synthetic;
out:
    return status;
}

char *kx_service_store_path(const char *data)
{
    return kx_file_join(data, "kontext.db");
}

kx_status kx_service_open(kx_service **service, const kx_settings *settings, kx_service_start *start,
                          kx_error *err)
{
    kx_status status = KX_OK;
    bool any_key;
    kx_service *made = calloc(1, sizeof *made);
    *service = NULL;
    *start = (kx_service_start){.model = ""};
    KX_FAIL_IF(made == NULL, err, KX_ERR_MEMORY, "out of memory");
    made->settings = *settings;
    KX_FAIL_IF(settings->listen == NULL, err, KX_ERR_USAGE,
               "listen: ADDRESS:PORT such as 127.0.0.1:8080 is expected, nothing is found");
    KX_TRY(open_records(made, err));
    KX_TRY(open_parts(made, err));
    KX_TRY(look_for_keys(made, &any_key, err)); /* behind the checks of the address, ahead of every answer */
    KX_TRY(kx_queue_start(made->queue, err));
    made->queue_runs = true;
    KX_TRY(await_model(made, start, err));
    KX_TRY(kx_http_start(made->http, err));
    made->http_runs = true;
    tell_start(made, start);
    if (!any_key) KX_TRY(make_first_key(made, start, err));
    *service = made;
    made = NULL;
out:
    kx_service_close(made);
    return status;
}

void kx_service_close(kx_service *service)
{
    if (service == NULL) return;
    if (service->http_runs) kx_http_stop(service->http, STOP_GRACE_MS);
    if (service->queue_runs) kx_queue_stop(service->queue);
    kx_http_close(service->http);
    kx_api_close(service->api);
    kx_queue_close(service->queue);
    kx_fetch_close(service->fetch);
    kx_blobs_close(service->blobs);
    kx_store_close(service->store);
    kx_clock_close(service->clock);
    free(service);
}
