#include "service/store/job_states.h"

#include <string.h>

#define TO(state)  (1u << (state))
#define TO_ENDINGS (TO(KX_JOB_FAILED) | TO(KX_JOB_CANCELLED) | TO(KX_JOB_TIMEOUT))

typedef struct state_row {
    const char *name;
    bool ended;
} state_row;

static const state_row rows[KX_JOB_STATES] = {
#define STATE_ROW(id, name, ended) [id] = {name, ended},
    KX_JOB_STATE_LIST(STATE_ROW)
#undef STATE_ROW
};

/* A bit for each state that may follow. */
static const unsigned moves[KX_JOB_STATES] = {
    [KX_JOB_CREATED] = TO(KX_JOB_PROCESSING) | TO_ENDINGS,
    [KX_JOB_PROCESSING] = TO(KX_JOB_CREATED) | TO(KX_JOB_COMPLETED) | TO_ENDINGS,
    [KX_JOB_COMPLETED] = TO(KX_JOB_DELETED),
    [KX_JOB_FAILED] = TO(KX_JOB_DELETED),
    [KX_JOB_CANCELLED] = TO(KX_JOB_DELETED),
    [KX_JOB_TIMEOUT] = TO(KX_JOB_DELETED),
    [KX_JOB_DELETED] = 0,
};

static bool is_state(kx_job_state state)
{
    return (unsigned)state < KX_JOB_STATES;
}

const char *kx_job_state_name(kx_job_state state)
{
    return is_state(state) ? rows[state].name : "unknown";
}

bool kx_job_state_ended(kx_job_state state)
{
    return is_state(state) && rows[state].ended;
}

int kx_job_state_parse(const char *name)
{
    for (int i = 0; i < KX_JOB_STATES; i++)
        if (strcmp(rows[i].name, name) == 0) return i;
    return -1;
}

bool kx_job_state_may_become(kx_job_state from, kx_job_state to)
{
    return is_state(from) && is_state(to) && (moves[from] & TO(to)) != 0;
}
