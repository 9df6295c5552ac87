#include "common/job/job_reason.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/clock.h"

#define MESSAGE_MAX 200

/* "14:32:10Z", with the date when it is not today. */
static void
put_time(struct buffer *out, int64_t wall_ms)
{
    char then[CLOCK_TEXT_SIZE], now[CLOCK_TEXT_SIZE];
    clock_format_ms(wall_ms, then);
    clock_format_ms(clock_wall_ms(), now);
    if (memcmp(then, now, 10) != 0)
        buffer_printf(out, "%.10s ", then);
    buffer_printf(out, "%.8sZ", then + 11);
}

/* At most MESSAGE_MAX bytes, cut between characters. */
static void
put_message(struct buffer *out, const char *message)
{
    size_t len = strlen(message);
    if (len <= MESSAGE_MAX) {
        buffer_append(out, message, len);
        return;
    }
    len = MESSAGE_MAX;
    while (len > 0 && (message[len] & 0xc0) == 0x80)
        len--;
    buffer_append(out, message, len);
    buffer_append_text(out, "...");
}

/* "overloaded_error (529): Overloaded" */
static void
put_error(struct buffer *out, const struct job_error *error)
{
    if (error->class_name[0] == '\0')
        return;
    bool typed = error->type[0] != '\0';
    buffer_printf(out, ": %s", typed ? error->type : error->class_name);
    if (error->status != 0)
        buffer_printf(out, " (%u)", error->status);
    if (error->message[0] != '\0') {
        buffer_append_text(out, ": ");
        put_message(out, error->message);
    }
}

static const char *
plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void
put_queued(const struct job_view *view, struct buffer *out)
{
    if (view->ahead < 0)
        buffer_append_text(out, "queued");
    else if (view->ahead == 0)
        buffer_append_text(out, "queued: next in its queue");
    else {
        buffer_append_text(out, "queued: ");
        buffer_append_i64(out, view->ahead);
        buffer_append_text(out, " job");
        buffer_append_text(out, plural((uint64_t)view->ahead));
        buffer_append_text(out, " ahead in its queue");
    }
}

static void
put_running(const struct job_view *view, struct buffer *out)
{
    buffer_printf(out, "running: attempt %u of %u", view->attempts + 1,
        view->meta->max_attempts);
}

static void
put_retrying(const struct job_view *view, struct buffer *out)
{
    buffer_append_text(out, "waiting");
    if (view->next_attempt_ms > 0) {
        buffer_append_text(out, " until ");
        put_time(out, view->next_attempt_ms);
    }
    if (view->attempts > 0)
        buffer_printf(out, " after attempt %u of %u", view->attempts,
            view->meta->max_attempts);
    put_error(out, &view->error);
}

static void
put_succeeded(const struct job_view *view, struct buffer *out)
{
    const char *stop = view->result != NULL ? view->result->stop_reason : "";
    if (strcmp(stop, "max_tokens") == 0)
        buffer_append_text(out, "succeeded: the answer ends at max_tokens");
    else if (strcmp(stop, "refusal") == 0)
        buffer_append_text(out, "succeeded: Claude declined to answer");
    else
        buffer_append_text(out, "succeeded");
}

static void
put_failed(const struct job_view *view, struct buffer *out)
{
    buffer_printf(out, "failed after %u attempt%s", view->attempts,
        plural(view->attempts));
    put_error(out, &view->error);
}

void
job_reason_make(const struct job_view *view, struct buffer *out)
{
    if (view->cancel_requested && !job_state_is_terminal(view->state))
        buffer_append_text(out, "cancel requested; ");
    switch (view->state) {
    case JOB_QUEUED: put_queued(view, out); break;
    case JOB_RUNNING: put_running(view, out); break;
    case JOB_RETRYING: put_retrying(view, out); break;
    case JOB_SUCCEEDED: put_succeeded(view, out); break;
    case JOB_FAILED: put_failed(view, out); break;
    case JOB_CANCELED:
        buffer_append_text(out, "canceled at the client's request");
        break;
    case JOB_EXPIRED:
        buffer_append_text(out, "expired: not finished by ");
        put_time(out, view->meta->expires_ms);
        break;
    }
}
