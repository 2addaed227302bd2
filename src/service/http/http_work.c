/* The handler threads: they take exchanges from one queue, first in first out, and put them into the inbox.
 */
#include "service/http/http_internal.h"

#include <sys/eventfd.h>

void kx_http_work(kx_exchange *exchange, void (*job)(kx_exchange *exchange), bool returns)
{
    kx_http *http = exchange->http;
    exchange->job = job;
    exchange->returns = returns;
    exchange->next = NULL;
    pthread_mutex_lock(&http->work_lock);
    if (http->work == NULL)
        http->work = exchange;
    else
        http->work_last->next = exchange;
    http->work_last = exchange;
    pthread_cond_signal(&http->work_there);
    pthread_mutex_unlock(&http->work_lock);
}

static void give_back(kx_http *http, kx_exchange *exchange)
{
    exchange->next = NULL;
    pthread_mutex_lock(&http->inbox_lock);
    bool was_empty = http->returned == NULL;
    if (was_empty)
        http->returned = exchange;
    else
        http->returned_last->next = exchange;
    http->returned_last = exchange;
    pthread_mutex_unlock(&http->inbox_lock);
    if (was_empty) eventfd_write(http->wake_fd, 1);
}

void *kx_http_serve(void *argument)
{
    kx_http *http = argument;
    pthread_mutex_lock(&http->work_lock);
    for (;;) {
        while (http->work == NULL && !http->work_ends) pthread_cond_wait(&http->work_there, &http->work_lock);
        kx_exchange *exchange = http->work;
        if (exchange == NULL) break;
        http->work = exchange->next;
        pthread_mutex_unlock(&http->work_lock);
        bool returns = exchange->returns;
        exchange->job(exchange); /* frees it when it does not return */
        if (returns) give_back(http, exchange);
        pthread_mutex_lock(&http->work_lock);
    }
    pthread_mutex_unlock(&http->work_lock);
    return NULL;
}

void kx_http_work_ends(kx_http *http)
{
    pthread_mutex_lock(&http->work_lock);
    http->work_ends = true;
    pthread_cond_broadcast(&http->work_there);
    pthread_mutex_unlock(&http->work_lock);
}
