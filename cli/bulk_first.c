#include "cli/bulk_run.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/base/id.h"

/*
 * Claude's cache has a prompt's beginning only when the first answer to it
 * has begun, and up to 256 rows are asked about at once: each of them would
 * pay for writing the part that all share.
 */

/* So few are not worth the wait for the first answer. */
#define FEW_ROWS 8
#define WAIT_MS 60000
/* An upload does not go on for longer after the one before it. */
#define STEP_MS (60 * 60 * 1000)

static const struct bulk_batch *
newest_batch(const struct bulk_run *run)
{
    for (size_t i = run->batch_count; i > 0; i--)
        if (run->batches[i - 1].known)
            return &run->batches[i - 1];
    return NULL;
}

bool
bulk_wants_first(const struct bulk_run *run)
{
    const struct template_request *request = &run->recipe.request;
    return (request->cache_prompt || request->cache_system) &&
        run->rows.in_state[BULK_OPEN] > FEW_ROWS;
}

bool
bulk_is_between(const struct bulk_run *run, int64_t now_ms)
{
    const struct bulk_batch *newest = newest_batch(run);
    if (newest == NULL || !id_is_valid(slice_of(newest->id), "batch_"))
        return false;
    return (newest->lines == 1 || newest->lines == BULK_CHUNK_ROWS) &&
        now_ms - id_wall_ms(slice_of(newest->id)) < STEP_MS;
}

int
bulk_send_first(struct bulk_run *run, const struct bulk_upload_options *options)
{
    struct bulk_upload_options one = *options;
    size_t ended =
        run->rows.in_state[BULK_DONE] + run->rows.in_state[BULK_FAILED];
    int code = CLI_OK;
    if (!bulk_wants_first(run))
        return CLI_OK;
    one.first_only = true;
    if (!bulk_is_between(run, clock_wall_ms())) {
        code = bulk_upload(run, &one);
        if (code == CLI_OK && run->rows.in_state[BULK_SENT] > 0)
            out_tell("  the others follow when it is answered, and find in "
                     "Claude's cache what all share");
    }
    return code == CLI_OK ? bulk_follow_until(run, ended, WAIT_MS) : code;
}
