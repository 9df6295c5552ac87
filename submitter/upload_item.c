#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/service/config.h"
#include "common/service/models.h"
#include "submitter/submit_meta.h"
#include "submitter/upload.h"

#define MESSAGE_SIZE 400

void
upload_item_free(struct upload_item *item)
{
    if (item == NULL)
        return;
    job_meta_clear(&item->meta);
    buffer_clear(&item->body);
    memory_free(item->refused);
    memory_free(item);
}

/* The item being read is let go of; what was accepted of it goes on. */
static void
end_work(struct upload *upload)
{
    struct upload_work *work = &upload->work;
    if (!work->busy)
        return;
    item_reader_clear(&work->outer);
    if (work->scanned)
        request_reader_clear(&work->request);
    body_writer_free(work->writer);
    memset(work, 0, sizeof(*work));
}

/* Parts that are on their way refer to the item: they go first. */
void
upload_item_stop(struct upload *upload)
{
    struct upload_item *item = upload->work.item;
    end_work(upload);
    if (item == NULL)
        return;
    upload_forget_parts(upload, item);
    upload_item_free(item);
}

/* --- bad items --- */

static void
put_error(struct buffer *out, uint64_t line, struct slice custom_id,
    const char *message)
{
    buffer_printf(
        out, "{\"line\":%llu,\"custom_id\":", (unsigned long long)line);
    if (custom_id.len > 0)
        buffer_append_json(out, custom_id);
    else
        buffer_append_text(out, "null");
    buffer_append_text(out, ",\"message\":");
    buffer_append_json(out, slice_of(message));
    buffer_append_char(out, '}');
}

static void
refuse_strictly(struct upload *upload)
{
    if (!upload->query.strict || upload->doomed)
        return;
    upload->doomed = true;
    upload_drop(upload);
}

void
upload_reject(struct upload *upload, uint64_t line, struct slice custom_id,
    const char *message)
{
    struct buffer json = {0};
    put_error(&json, line, custom_id, message);
    upload->rejected++;
    if (upload->rejected <= UPLOAD_ERRORS_SHOWN) {
        if (upload->errors.len > 0)
            buffer_append_char(&upload->errors, ',');
        buffer_append_slice(&upload->errors, buffer_slice(&json));
    }
    refuse_strictly(upload);
    if (!upload->doomed && upload->rejected <= BULK_REJECTS_MAX)
        upload_send_reject(upload, line, &json);
    buffer_clear(&json);
}

/* On Claude's face what is wrong with the outside of an item is wrong with
 * the batch; on ours it is a bad line. Ends the item. */
static void
refuse_item(struct upload *upload, const char *member, const char *message)
{
    const struct upload_work *work = &upload->work;
    char text[MESSAGE_SIZE];
    char custom_id[JOB_CUSTOM_ID_MAX + 1];
    uint64_t line = work->line;
    memcpy(custom_id, work->outer.info.custom_id, sizeof(custom_id));
    if (!upload_is_claude(upload)) {
        snprintf(text, sizeof(text), "%s%s%s", member,
            member[0] != '\0' ? ": " : "", message);
        upload_item_stop(upload);
        upload_reject(upload, line, slice_of(custom_id), text);
        return;
    }
    snprintf(text, sizeof(text), "requests.%llu%s%s: %s",
        (unsigned long long)line, member[0] != '\0' ? "." : "", member,
        message);
    upload_reply_error(upload, 400, "bad_request", text, 0);
}

/* --- the outer object --- */

/* NULL, or what is missing or wrong; *member says where. */
static const char *
judge_claude(const struct item_info *info, const char **member)
{
    *member = "custom_id";
    if (info->custom_id_is == ITEM_CUSTOM_ID_ABSENT)
        return "Field required";
    if (info->custom_id_is == ITEM_CUSTOM_ID_BAD)
        return "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'";
    *member = "params";
    if (info->params == JSON_KIND_NONE)
        return "Field required";
    if (info->params != JSON_KIND_OBJECT)
        return "Input should be an object";
    *member = info->unknown;
    if (info->unknown[0] != '\0')
        return "Extra inputs are not permitted";
    return NULL;
}

static const char *
judge_native(const struct item_info *info, const char **member)
{
    *member = "custom_id";
    if (info->custom_id_is == ITEM_CUSTOM_ID_BAD)
        return "expected 1 to 64 letters, digits, _ and -";
    if (info->params == JSON_KIND_NONE)
        return NULL; /* a job: its reader sees to the rest */
    if (info->custom_id_is == ITEM_CUSTOM_ID_ABSENT)
        return "is required beside params";
    *member = "params";
    if (info->params != JSON_KIND_OBJECT)
        return "expected a Messages request";
    *member = info->unknown;
    if (info->unknown[0] != '\0')
        return "is not known beside custom_id, params and longhaul";
    return NULL;
}

/* 0, or -1 with the item refused. */
static int
take_outer_options(struct upload *upload)
{
    struct upload_work *work = &upload->work;
    char error[OPTIONS_ERROR_SIZE];
    if (work->outer.info.params == JSON_KIND_NONE ||
        work->outer.info.options == JSON_KIND_NONE)
        return 0;
    if (work->outer.info.options != JSON_KIND_OBJECT) {
        refuse_item(upload, "longhaul", "expected an object of options");
        return -1;
    }
    if (options_parse(item_reader_options(&work->outer),
            &work->request.info.options, error) == 0)
        return 0;
    refuse_item(upload, "", error);
    return -1;
}

/* A line without a name is called by its number. */
static void
name_item(struct upload_work *work)
{
    struct item_info *info = &work->outer.info;
    if (info->custom_id[0] == '\0')
        snprintf(info->custom_id, sizeof(info->custom_id), "line-%llu",
            (unsigned long long)work->line);
}

static void
on_stored(void *arg, struct slice run)
{
    struct upload *upload = arg;
    struct upload_item *item = upload->work.item;
    if (upload->doomed)
        return;
    if (item->whole && item->meta.parts == 0 && run.len <= QUEUE_INLINE_MAX)
        buffer_append_slice(&item->body, run);
    else
        upload_send_part(upload, item, run);
}

static size_t
part_bytes(const struct upload *upload)
{
    const struct config *config = upload->owner->service->config;
    return config->max_body_bytes <= UPLOAD_PART_BYTES * QUEUE_PARTS_MAX
        ? UPLOAD_PART_BYTES
        : QUEUE_PART_BYTES;
}

/* The item has a name that is free: it can be packed. */
static void
begin_request(struct upload *upload)
{
    struct upload_work *work = &upload->work;
    const struct item_info *info = &work->outer.info;
    struct upload_item *item = memory_zalloc(1, sizeof(*item));
    const struct job_meta *base = &upload->base;
    bulk_item_id(upload->batch.uuid, slice_of(info->custom_id), item->id);
    item->queue = upload_queue(upload);
    item->line = work->line;
    memcpy(item->meta.tenant, base->tenant, sizeof(base->tenant));
    memcpy(
        item->meta.api_version, base->api_version, sizeof(base->api_version));
    if (base->beta != NULL)
        item->meta.beta = memory_dup(base->beta);
    memcpy(item->meta.batch, upload->batch.uuid, sizeof(upload->batch.uuid));
    item->meta.custom_id = memory_dup(info->custom_id);
    work->item = item;
    work->writer = body_writer_new(part_bytes(upload), on_stored, upload);
    work->at = 0;
    work->end = work->text.len;
    if (info->params != JSON_KIND_NONE) {
        work->at = (size_t)info->params_start;
        work->end = (size_t)info->params_end;
    }
}

static void
refuse_repeated(struct upload *upload, uint64_t earlier)
{
    char text[80];
    snprintf(text, sizeof(text), "is the same as in %s%llu",
        upload_is_claude(upload) ? "requests." : "line ",
        (unsigned long long)earlier);
    refuse_item(upload, "custom_id", text);
}

static void
init_request(struct upload *upload)
{
    struct upload_work *work = &upload->work;
    const struct upload_query *query = &upload->query;
    request_reader_init(&work->request,
        query->model[0] != '\0' ? query->model
                                : upload->owner->service->config->model);
    work->request.info.options = query->options;
    work->scanned = true;
}

/* The outer object is read, or there is none. */
static void
begin_inner(struct upload *upload)
{
    struct upload_work *work = &upload->work;
    char id[ID_SIZE];
    uint64_t earlier;
    init_request(upload);
    if (take_outer_options(upload) != 0)
        return;
    name_item(work);
    bulk_item_id(upload->batch.uuid, slice_of(work->outer.info.custom_id), id);
    if (upload_names_add(&upload->names, slice_of(id), work->line, &earlier) !=
        0)
        refuse_repeated(upload, earlier);
    else
        begin_request(upload);
}

static void
scan_outer(struct upload *upload)
{
    struct upload_work *work = &upload->work;
    size_t left = work->text.len - work->at;
    size_t len = left < UPLOAD_STEP_BYTES ? left : UPLOAD_STEP_BYTES;
    struct slice run = slice_make(work->text.data + work->at, len);
    const char *member = "";
    const char *wrong;
    work->at += len;
    if (item_reader_feed(&work->outer, run) != 0 ||
        (len == left && item_reader_finish(&work->outer) != 0)) {
        refuse_item(upload, "", work->outer.message);
        return;
    }
    if (len < left)
        return;
    wrong = upload_is_claude(upload) ? judge_claude(&work->outer.info, &member)
                                     : judge_native(&work->outer.info, &member);
    if (wrong != NULL)
        refuse_item(upload, member, wrong);
    else
        begin_inner(upload);
}

/* --- the request --- */

/* What Claude refuses of a request in a batch, and we would pass or mend:
 * NULL, or in `text` or static. */
static const char *
judge_params(const struct request_info *info, char *text)
{
    if (info->not_in_batch != NULL) {
        snprintf(text, MESSAGE_SIZE, "%s: Extra inputs are not permitted",
            info->not_in_batch);
        return text;
    }
    if (info->wants_stream)
        return "stream: is not permitted in a batch";
    if (info->shorthand)
        return "messages: Field required";
    if (!info->has_model)
        return "model: Field required";
    if (info->max_tokens < 1)
        return "max_tokens: Input should be greater than or equal to 1";
    return NULL;
}

/* NULL when the request is fine; else in `text` or static. */
static const char *
judge_request(struct upload *upload, char *text)
{
    struct upload_work *work = &upload->work;
    const struct service *service = upload->owner->service;
    uint64_t limit = service->config->max_body_bytes;
    const char *wrong;
    if (work->request_failed || request_reader_finish(&work->request) != 0)
        return work->request.fault.message;
    wrong = upload_is_claude(upload) ? judge_params(&work->request.info, text)
                                     : NULL;
    if (wrong != NULL)
        return wrong;
    submit_meta_request(service, &work->request.info,
        body_writer_mix(work->writer), upload->batch.created_ms,
        &work->item->meta);
    if (submit_meta_too_long(
            service, body_writer_mix(work->writer), &work->item->meta, text))
        return text;
    uint64_t bytes = submit_meta_upstream_bytes(
        service, &work->request.info, &work->item->meta);
    if (limit < SUBMIT_UPSTREAM_MAX)
        limit = SUBMIT_UPSTREAM_MAX;
    if (bytes <= limit)
        return NULL;
    snprintf(text, MESSAGE_SIZE,
        "with what is added for Claude the request has %llu bytes; the limit "
        "is %llu bytes",
        (unsigned long long)bytes, (unsigned long long)limit);
    return text;
}

/* It will end with this error, without a call. */
static void
mark_refused(struct upload *upload, const char *message)
{
    const struct service *service = upload->owner->service;
    const struct request_info *info = &upload->work.request.info;
    struct upload_item *item = upload->work.item;
    struct job_meta *meta = &item->meta;
    const char *model = job_model_is_valid(slice_of(info->model))
        ? info->model
        : service->config->model;
    struct job_error *error = memory_zalloc(1, sizeof(*error));
    text_copy(
        error->class_name, sizeof(error->class_name), slice_of("bad_request"));
    text_copy(
        error->type, sizeof(error->type), slice_of("invalid_request_error"));
    error->status = 400;
    error->at_ms = clock_wall_ms();
    text_copy(error->message, sizeof(error->message), slice_of(message));
    item->refused = error;
    if (meta->model[0] != '\0')
        return;
    text_copy(meta->model, sizeof(meta->model), slice_of(model));
    text_copy(meta->bucket, sizeof(meta->bucket),
        slice_of(models_bucket(service->models, model)));
    meta->lane = upload->query.options.lane;
    meta->created_ms = upload->batch.created_ms;
    meta->expires_ms = upload->batch.expires_ms;
    meta->timeout_ms = upload->query.options.timeout_ms;
    meta->max_attempts = upload->query.options.max_attempts;
}

static void
accept_item(struct upload *upload)
{
    struct upload_item *item = upload->work.item;
    item->whole = true;
    body_writer_finish(upload->work.writer, &item->meta);
    upload->work.item = NULL;
    end_work(upload);
    if (upload->doomed)
        upload_item_free(item);
    else if (item->parts_due == 0)
        upload_send_item(upload, item);
}

static void
finish_request(struct upload *upload)
{
    char text[MESSAGE_SIZE];
    const char *wrong = judge_request(upload, text);
    if (wrong == NULL) {
        accept_item(upload);
    } else if (upload_is_claude(upload)) {
        mark_refused(upload, wrong);
        accept_item(upload);
    } else {
        if (wrong != text)
            text_copy(text, sizeof(text), slice_of(wrong));
        refuse_item(upload, "", text);
    }
}

static void
read_request(struct upload *upload)
{
    struct upload_work *work = &upload->work;
    size_t left = work->end - work->at;
    size_t len = left < UPLOAD_STEP_BYTES ? left : UPLOAD_STEP_BYTES;
    struct slice run = slice_make(work->text.data + work->at, len);
    work->at += len;
    if (!work->request_failed &&
        request_reader_feed(&work->request, run.data, run.len) != 0)
        work->request_failed = true;
    if (!work->request_failed || upload_is_claude(upload))
        body_writer_feed(work->writer, run);
    if (len == left || (work->request_failed && !upload_is_claude(upload)))
        finish_request(upload);
}

/* --- an item --- */

void
upload_item_begin(struct upload *upload, struct slice text, uint64_t line)
{
    struct upload_work *work = &upload->work;
    work->busy = true;
    work->text = text;
    work->line = line;
    item_reader_init(&work->outer);
}

void
upload_item_begin_row(struct upload *upload, struct slice text, uint64_t line,
    struct slice custom_id)
{
    struct item_info *info = &upload->work.outer.info;
    upload_item_begin(upload, text, line);
    text_copy(info->custom_id, sizeof(info->custom_id), custom_id);
    begin_inner(upload);
}

void
upload_item_step(struct upload *upload)
{
    if (upload->work.scanned)
        read_request(upload);
    else
        scan_outer(upload);
}
