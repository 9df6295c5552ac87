#include <string.h>

#include "common/store/store_ops.h"

struct store_work *
store_work_new(enum store_work_kind kind, void *arg)
{
    struct store_work *work = memory_zalloc(1, sizeof(*work));
    work->kind = kind;
    work->arg = arg;
    work->status = STORE_FAILED;
    return work;
}

static void
free_list(struct store_list_query *list)
{
    if (list == NULL)
        return;
    const char *const owned[] = {list->filter.tenant, list->filter.model,
        list->filter.lane, list->filter.tag, list->filter.error_type,
        list->filter.batch};
    for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
        /* The filter's texts are const for its users; these are copies. */
        char *text;
        memcpy(&text, &owned[i], sizeof(text));
        memory_free(text);
    }
    memory_free(list);
}

void
store_work_reset_reply(struct store_work *work)
{
    for (size_t i = 0; i < work->count; i++)
        job_result_clear(&work->rows[i]);
    memory_free(work->rows);
    work->rows = NULL;
    work->count = 0;
    buffer_reset(&work->bytes);
    if (work->batch != NULL)
        store_batch_work_reset_reply(work->batch);
    work->swept = 0;
    work->more = false;
    work->status = STORE_FAILED;
}

struct job_result *
store_work_rows(struct store_work *work, size_t count)
{
    store_work_reset_reply(work);
    work->rows = memory_zalloc(count, sizeof(*work->rows));
    work->count = count;
    return work->rows;
}

void
store_work_free(struct store_work *work)
{
    store_work_reset_reply(work);
    buffer_clear(&work->bytes);
    buffer_clear(&work->answer);
    buffer_clear(&work->request);
    if (work->result != NULL)
        job_result_clear(work->result);
    memory_free(work->result);
    memory_free(work->tenant);
    memory_free(work->text);
    free_list(work->list);
    store_batch_work_free(work->batch);
    memory_free(work);
}

size_t
store_work_bytes(const struct store_work *work)
{
    return sizeof(*work) + sizeof(*work->result) + work->answer.len +
        work->request.len;
}
