/*
 * The one table of keys and scripts. schema/redis/keys.md says what each
 * holds.
 */

#include <assert.h>
#include <string.h>

#include "common/base/crash.h"
#include "common/queue/queue_private.h"
#include "embedded.h"

static const char *const keys[] = {
    [QUEUE_KEY_INSTALL] = QUEUE_PREFIX "install",
    [QUEUE_KEY_JOB] = QUEUE_PREFIX "job:",
    [QUEUE_KEY_BODY] = QUEUE_PREFIX "body:",
    [QUEUE_KEY_PARKED] = QUEUE_PREFIX "parked:",
    [QUEUE_KEY_IDS] = QUEUE_PREFIX "ids",
    [QUEUE_KEY_IDEM] = QUEUE_PREFIX "idem:",
    [QUEUE_KEY_DEAD] = QUEUE_PREFIX "dead",
    [QUEUE_KEY_DEADGROUP] = QUEUE_PREFIX "deadgroup",
    [QUEUE_KEY_DELETED] = QUEUE_PREFIX "deleted",
    [QUEUE_KEY_DISCARDED] = QUEUE_PREFIX "discarded",
    [QUEUE_KEY_FORGET] = QUEUE_PREFIX "forget",
    [QUEUE_KEY_OPERATION] = QUEUE_PREFIX "op",
    [QUEUE_KEY_NOTICE] = QUEUE_PREFIX "notice",
    [QUEUE_KEY_EVENTS] = QUEUE_PREFIX "ev",
};

/* The file is schema/redis/NAME.lua. */
static const char *const names[QUEUE_SCRIPTS] = {
    [QUEUE_SCRIPT_BATCH_ADVANCE] = "batch_advance",
    [QUEUE_SCRIPT_BATCH_CANCEL] = "batch_cancel",
    [QUEUE_SCRIPT_BATCH_DELETE] = "batch_delete",
    [QUEUE_SCRIPT_BATCH_DROP] = "batch_drop",
    [QUEUE_SCRIPT_BATCH_END] = "batch_end",
    [QUEUE_SCRIPT_BATCH_LEAVE] = "batch_leave",
    [QUEUE_SCRIPT_BATCH_LIST] = "batch_list",
    [QUEUE_SCRIPT_BATCH_OPEN] = "batch_open",
    [QUEUE_SCRIPT_BATCH_READ] = "batch_read",
    [QUEUE_SCRIPT_BATCH_REJECT] = "batch_reject",
    [QUEUE_SCRIPT_BATCH_REVEAL] = "batch_reveal",
    [QUEUE_SCRIPT_BATCH_STAGE] = "batch_stage",
    [QUEUE_SCRIPT_BEAT] = "beat",
    [QUEUE_SCRIPT_BURY] = "bury",
    [QUEUE_SCRIPT_CANCEL] = "cancel",
    [QUEUE_SCRIPT_CHORES] = "chores",
    [QUEUE_SCRIPT_CLAIM] = "claim",
    [QUEUE_SCRIPT_DEAD_GET] = "dead_get",
    [QUEUE_SCRIPT_DELETE] = "delete",
    [QUEUE_SCRIPT_DISCARD] = "discard",
    [QUEUE_SCRIPT_ENQUEUE] = "enqueue",
    [QUEUE_SCRIPT_FINISH] = "finish",
    [QUEUE_SCRIPT_GET] = "get",
    [QUEUE_SCRIPT_HOLD] = "hold",
    [QUEUE_SCRIPT_LEAVE] = "leave",
    [QUEUE_SCRIPT_LOCK] = "lock",
    [QUEUE_SCRIPT_PARK] = "park",
    [QUEUE_SCRIPT_POOLS] = "pools",
    [QUEUE_SCRIPT_QUOTA] = "quota",
    [QUEUE_SCRIPT_REAP] = "reap",
    [QUEUE_SCRIPT_RECOVER] = "recover",
    [QUEUE_SCRIPT_RELEASE] = "release",
    [QUEUE_SCRIPT_REPLAY] = "replay",
    [QUEUE_SCRIPT_RETRY] = "retry",
    [QUEUE_SCRIPT_STAGE] = "stage",
    [QUEUE_SCRIPT_STATS] = "stats",
    [QUEUE_SCRIPT_TICK] = "tick",
    [QUEUE_SCRIPT_UNSTAGE] = "unstage",
};

const char *
queue_key(enum queue_key key)
{
    return keys[key];
}

void
queue_key_append(enum queue_key key, struct slice end, struct buffer *out)
{
    buffer_append_text(out, keys[key]);
    buffer_append_slice(out, end);
}

static struct slice
file(const char *name)
{
    char path[64];
    const struct embedded_file *found = NULL;

    (void)text_copy(path, sizeof(path), slice_of("schema/redis/"));
    (void)text_copy(
        path + strlen(path), sizeof(path) - strlen(path), slice_of(name));
    (void)text_copy(
        path + strlen(path), sizeof(path) - strlen(path), slice_of(".lua"));
    found = embedded_find(path);
    assert(found != NULL);
    return slice_make(found->data, found->len);
}

#if LONGHAUL_BUG == 2 || LONGHAUL_BUG == 3
/* Replaces the first `good` by `bad`, padded to its length. */
static void
plant(struct buffer *text, const char *good, const char *bad)
{
    char *at = memmem(text->data, text->len, good, strlen(good));

    if (at == NULL)
        return;
    memset(at, ' ', strlen(good));
    memcpy(at, bad, strlen(bad));
}
#endif

/* The first line names the engine and must stay first. */
static char *
assemble(const char *name)
{
    struct slice rest = file(name);
    struct slice first = slice_split(&rest, '\n');
    struct buffer text = {0};

    buffer_append_slice(&text, first);
    buffer_append_char(&text, '\n');
    if (slice_starts_with(rest, "-- uses: prelude"))
        buffer_append_slice(&text, file("_prelude"));
    if (slice_starts_with(rest, "-- uses: prelude quota\n"))
        buffer_append_slice(&text, file("_quota"));
    buffer_append_slice(&text, rest);
#if LONGHAUL_BUG == 2
    plant(&text, "job.own == consumer and job.fence == fence", "true");
#elif LONGHAUL_BUG == 3
    plant(&text, "'w', '0', 'MKSTREAM'", "'w', '$', 'MKSTREAM'");
#endif
    return buffer_take(&text);
}

const struct redis_script *
queue_script(enum queue_script script)
{
    static struct redis_script scripts[QUEUE_SCRIPTS];
    struct redis_script *wanted = &scripts[script];

    if (wanted->text == NULL)
        redis_script_init(wanted, names[script], assemble(names[script]));
    return wanted;
}
