#include "common/job/batch.h"

static const char *const state_names[] = {"in_progress", "canceling", "ended"};

const char *
batch_state_name(enum batch_state state)
{
    return state_names[state];
}

int
batch_state_parse(struct slice in, enum batch_state *state)
{
    for (unsigned i = 0; i <= BATCH_ENDED; i++) {
        if (slice_equal_text(in, state_names[i])) {
            *state = (enum batch_state)i;
            return 0;
        }
    }
    return -1;
}

int
batch_id_parse(struct slice id, char uuid[BATCH_UUID_SIZE])
{
    if (!id_is_valid(id, BATCH_PREFIX) && !id_is_valid(id, BATCH_CLAUDE_PREFIX))
        return -1;
    text_copy(uuid, BATCH_UUID_SIZE,
        slice_make(id.data + id.len - ID_UUID_LEN, ID_UUID_LEN));
    return 0;
}
