/* The link that a first start prints: its token is exchanged once for the key that was made then. Both are
 * held in memory alone, so a restart ends an unused link. */
#include "service/api/api_state.h"
#include "service/api/handlers.h"

#include <stdio.h>
#include <string.h>

kx_status kx_api_offer_signin(kx_api *api, const char *key, char token[33], kx_error *err)
{
    kx_status status = KX_OK;
    KX_TRY(kx_random_hex(token, 32, err));
    pthread_mutex_lock(&api->signin_lock);
    snprintf(api->signin_token, sizeof api->signin_token, "%s", token);
    snprintf(api->signin_key, sizeof api->signin_key, "%s", key);
    pthread_mutex_unlock(&api->signin_lock);
out:
    return status;
}

/* Gives out the key and forgets both; false: another token, or it was used. */
static bool take_key(kx_api *api, const char *token, char key[64])
{
    bool fits = false;
    pthread_mutex_lock(&api->signin_lock);
    if (api->signin_token[0] != '\0' && strlen(token) == 32)
        fits = kx_equal_in_constant_time(api->signin_token, token, 32);
    if (fits) {
        snprintf(key, 64, "%s", api->signin_key);
        memset(api->signin_token, 0, sizeof api->signin_token);
        memset(api->signin_key, 0, sizeof api->signin_key);
    }
    pthread_mutex_unlock(&api->signin_lock);
    return fits;
}

void kx_handle_signin(kx_exchange *exchange, void *user)
{
    const char *token = NULL;
    char key[64];
    kx_error err = {0};
    json_t *body = kx_exchange_json(exchange, false);
    if (body == NULL) return;
    if (kx_api_read_text(body, "token", &token, &err) != KX_OK)
        kx_answer_failure(exchange, &err);
    else if (token == NULL || !take_key(user, token, key))
        kx_answer_error(exchange, 401, "this sign-in link was used before or is not of this start");
    else {
        kx_answer_header(exchange, "Cache-Control", "no-store");
        kx_api_answer(exchange, json_pack("{s:s}", "key", key));
    }
}
