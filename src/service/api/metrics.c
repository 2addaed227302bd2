/* /metrics, in Prometheus' text format. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"
#include "service/api/text_out.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { METRICS_BYTES_MAX = 1 << 20 };

static void add_head(kx_bytes *out, const char *name, const char *type, const char *help)
{
    kx_text_add(out, "# HELP kontext_%s %s\n# TYPE kontext_%s %s\n", name, help, name, type);
}

static void add_value(kx_bytes *out, const char *name, const char *type, const char *help, double value)
{
    add_head(out, name, type, help);
    kx_text_add(out, "kontext_%s %.15g\n", name, value);
}

static void add_histogram(kx_bytes *out, const char *name, const char *help, const kx_histogram *histogram)
{
    add_head(out, name, "histogram", help);
    for (size_t i = 0; i < KX_HISTOGRAM_BOUNDS; i++)
        kx_text_add(out, "kontext_%s_bucket{le=\"%g\"} %llu\n", name, histogram->bounds[i],
                    (unsigned long long)histogram->counts[i]);
    kx_text_add(out, "kontext_%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)histogram->total);
    kx_text_add(out, "kontext_%s_sum %.15g\nkontext_%s_count %llu\n", name, histogram->sum, name,
                (unsigned long long)histogram->total);
}

/* One line for each state; `counts` by kx_job_state. */
static void add_states(kx_bytes *out, const char *name, const char *type, const char *help,
                       const uint64_t *counts)
{
    add_head(out, name, type, help);
    for (int state = 0; state < (int)KX_JOB_STATES; state++)
        kx_text_add(out, "kontext_%s{state=\"%s\"} %llu\n", name, kx_job_state_name((kx_job_state)state),
                    (unsigned long long)counts[state]);
}

static void add_queue(kx_api *api, kx_bytes *out)
{
    uint64_t counts[KX_JOB_STATES] = {0};
    kx_queue_metrics m = {0};
    kx_error err = {0};
    if (kx_store_queue_count(api->store, counts, &err) == KX_OK)
        add_states(out, "predictions", "gauge", "Predictions in the store now.", counts);
    kx_queue_metrics_read(api->queue, &m);
    add_states(out, "predictions_ended_total", "counter", "Predictions that ended, since the start.",
               m.ended);
    add_histogram(out, "wait_seconds", "From submit to the beginning of work.", &m.wait_seconds);
    add_histogram(out, "run_seconds", "From the beginning of work to its end.", &m.run_seconds);
    add_value(out, "steps_total", "counter", "Denoising steps made.", (double)m.steps);
    add_value(out, "step_seconds_total", "counter", "Seconds in which the steps were made.", m.step_seconds);
    add_value(out, "steps_per_second", "gauge", "Mean since the start.",
              m.step_seconds > 0 ? (double)m.steps / m.step_seconds : 0);
    add_value(out, "images_total", "counter", "Pictures made.", (double)m.images);
    add_value(out, "checkpoints_total", "counter", "Checkpoints written.", (double)m.checkpoints);
    add_value(out, "resumes_total", "counter", "Jobs resumed from a checkpoint.", (double)m.resumes);
    add_value(out, "texts_kept_total", "counter", "Prompts that an earlier job had encoded.",
              (double)m.texts_kept);
    add_value(out, "references_kept_total", "counter", "References that an earlier job had encoded.",
              (double)m.references_kept);
    add_value(out, "retries_total", "counter", "Jobs retried after a transient fault.", (double)m.retries);
    add_value(out, "fetches_total", "counter", "Input pictures asked for.", (double)m.fetches);
    add_value(out, "fetch_failures_total", "counter", "Input pictures that could not be fetched.",
              (double)m.fetch_failures);
    add_value(out, "webhook_tries_total", "counter", "Webhook requests sent.", (double)m.webhook_tries);
    add_value(out, "webhook_delivered_total", "counter", "Webhooks delivered.", (double)m.webhook_delivered);
    add_value(out, "webhook_failed_total", "counter", "Webhooks given up.", (double)m.webhook_failed);
    add_value(out, "engine_peak_bytes", "gauge", "Largest anonymous memory seen in an edit.",
              (double)m.peak_anonymous_bytes);
}

static void add_http(kx_api *api, kx_bytes *out)
{
    kx_http_metrics m = {0};
    kx_http_metrics_read(api->http, &m);
    add_head(out, "http_answers_total", "counter", "Answers by code.");
    for (int code = 100; code < 600; code++)
        if (m.by_code[code] > 0)
            kx_text_add(out, "kontext_http_answers_total{code=\"%d\"} %llu\n", code,
                        (unsigned long long)m.by_code[code]);
    add_value(out, "http_refused_connections_total", "counter", "Connections over a limit.",
              (double)m.refused_connections);
    add_value(out, "http_bad_requests_total", "counter", "Requests that are not HTTP.",
              (double)m.bad_requests);
    add_value(out, "http_connections", "gauge", "Connections now.", (double)m.connections);
    add_value(out, "http_waiting", "gauge", "Requests that wait for a job now.", (double)m.waiting);
    add_value(out, "http_streams", "gauge", "Event streams now.", (double)m.streams);
    add_value(out, "http_bytes_in_total", "counter", "Bytes read.", (double)m.bytes_in);
    add_value(out, "http_bytes_out_total", "counter", "Bytes written.", (double)m.bytes_out);
    add_histogram(out, "http_submit_seconds", "Submits that were answered without waiting.",
                  &m.submit_seconds);
    add_histogram(out, "http_poll_seconds", "Polls that were answered without waiting.", &m.poll_seconds);
}

static double resident_bytes(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void add_process(kx_api *api, kx_bytes *out)
{
    struct rusage usage = {0};
    kx_model_facts facts = {0};
    getrusage(RUSAGE_SELF, &usage);
    kx_queue_model_facts(api->queue, &facts);
    add_head(out, "info", "gauge", "What runs.");
    kx_text_add(out, "kontext_info{version=\"%s\"} 1\n", kx_version());
    add_value(out, "model_ready", "gauge", "1 when the model is open.", facts.is_ready ? 1 : 0);
    add_value(out, "resident_bytes", "gauge", "Resident memory.", resident_bytes());
    add_value(out, "cpu_seconds_total", "counter", "Processor time.",
              (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

void kx_handle_metrics(kx_exchange *exchange, void *user)
{
    kx_bytes out = {.cap = METRICS_BYTES_MAX};
    add_process(user, &out);
    add_queue(user, &out);
    add_http(user, &out);
    kx_answer_bytes(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.size);
    kx_bytes_free(&out);
}
