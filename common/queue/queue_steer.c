/* Cancel, delete, and the chores that deletions leave for the workers. */

#include "common/queue/queue_private.h"

#define CHORES_MAX 1000

struct cancel_call {
    struct queue_call call;
    void (*on_cancel)(void *arg, enum queue_status status, uint64_t version);
};

static void
on_cancel(struct queue_call *call, const struct redisReply *reply)
{
    struct cancel_call *mine = (struct cancel_call *)call;

    mine->on_cancel(call->arg, queue_reply_status(reply),
        queue_reply_u64(redis_reply_at(reply, 1)));
    memory_free(mine);
}

int
queue_cancel(struct queue *queue, const char *id,
    void (*callback)(void *arg, enum queue_status status, uint64_t version),
    void *arg)
{
    struct cancel_call *mine = queue_call_new(sizeof(*mine), on_cancel, arg);
    struct queue_args args = {0};

    mine->on_cancel = callback;
    queue_args_text(&args, id);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_CANCEL, &args);
}

int
queue_delete(
    struct queue *queue, const char *id, queue_on_status *on_status, void *arg)
{
    struct queue_args args = {0};

    queue_args_text(&args, id);
    return queue_call_status(queue, QUEUE_SCRIPT_DELETE, &args, on_status, arg);
}

static void
on_is_deleted(struct queue_call *call, const struct redisReply *reply)
{
    enum queue_status status = queue_reply_error(reply);

    if (status == QUEUE_OK && reply->type == REDIS_REPLY_NIL)
        status = QUEUE_ABSENT;
    call->on_status(call->arg, status);
    memory_free(call);
}

int
queue_is_deleted(
    struct queue *queue, const char *id, queue_on_status *on_status, void *arg)
{
    struct queue_call *call = queue_call_new(sizeof(*call), on_is_deleted, arg);
    struct queue_args args = {0};

    call->on_status = on_status;
    queue_args_text(&args, "ZSCORE");
    queue_args_text(&args, queue_key(QUEUE_KEY_DELETED));
    queue_args_text(&args, id);
    return queue_call_command(call, queue->redis, &args);
}

/* --- chores ------------------------------------------------------------ */

static const struct {
    enum queue_chore_kind kind;
    enum queue_key key;
} chore_sets[] = {
    {QUEUE_CHORE_DELETE, QUEUE_KEY_DELETED},
    {QUEUE_CHORE_DISCARD, QUEUE_KEY_DISCARDED},
    {QUEUE_CHORE_FORGET_REQUEST, QUEUE_KEY_FORGET},
};
#define CHORE_SETS (sizeof(chore_sets) / sizeof(chore_sets[0]))

struct chores_call {
    struct queue_call call;
    unsigned limit;
    void (*on_chores)(void *arg, enum queue_status status,
        const struct queue_chore *chores, size_t count);
};

/* "id" or "id/generation" */
static bool
read_chore(struct slice member, struct queue_chore *chore)
{
    struct slice id = slice_split(&member, '/');
    uint64_t generation = 0;

    if (id.len == 0 || id.len >= ID_SIZE ||
        (member.len > 0 &&
            text_parse_u64(member, UINT32_MAX, &generation) != 0))
        return false;
    (void)text_copy(chore->id, sizeof(chore->id), id);
    chore->generation = (unsigned)generation;
    return true;
}

static void
on_chores(struct queue_call *call, const struct redisReply *reply)
{
    struct chores_call *mine = (struct chores_call *)call;
    enum queue_status status = queue_reply_error(reply);
    struct queue_chore *chores =
        memory_zalloc(mine->limit + 1, sizeof(*chores));
    size_t count = 0;

    for (size_t set = 0; status == QUEUE_OK && set < CHORE_SETS; set++) {
        const struct redisReply *members = redis_reply_at(reply, set);
        for (size_t i = 0;
             members != NULL && i < members->elements && count < mine->limit;
             i++) {
            chores[count].kind = chore_sets[set].kind;
            if (read_chore(redis_reply_slice(redis_reply_at(members, i)),
                    &chores[count]))
                count++;
        }
    }
    mine->on_chores(call->arg, status, chores, count);
    memory_free(chores);
    memory_free(mine);
}

int
queue_chores_get(struct queue *queue, unsigned limit,
    void (*callback)(void *arg, enum queue_status status,
        const struct queue_chore *chores, size_t count),
    void *arg)
{
    struct chores_call *mine = queue_call_new(sizeof(*mine), on_chores, arg);
    struct queue_args args = {0};

    mine->on_chores = callback;
    mine->limit = limit > CHORES_MAX ? CHORES_MAX : limit;
    queue_args_int(&args, mine->limit == 0 ? 0 : mine->limit - 1);
    return queue_call_script(
        &mine->call, queue->redis, QUEUE_SCRIPT_CHORES, &args);
}

static void
on_chore_done(struct queue_call *call, const struct redisReply *reply)
{
    if (call->on_status != NULL)
        call->on_status(call->arg, queue_reply_error(reply));
    memory_free(call);
}

int
queue_chore_done(struct queue *queue, const struct queue_chore *chore,
    queue_on_status *on_status, void *arg)
{
    struct queue_call *call = queue_call_new(sizeof(*call), on_chore_done, arg);
    struct queue_args args = {0};
    struct buffer member = {0};
    size_t set = 0;
    int result = -1;

    while (chore_sets[set].kind != chore->kind)
        set++;
    call->on_status = on_status;
    buffer_append_text(&member, chore->id);
    if (chore->kind != QUEUE_CHORE_DELETE)
        buffer_printf(&member, "/%u", chore->generation);
    queue_args_text(&args, "ZREM");
    queue_args_text(&args, queue_key(chore_sets[set].key));
    queue_args_slice(&args, buffer_slice(&member));
    result = queue_call_command(call, queue->redis, &args);
    buffer_clear(&member);
    return result;
}
