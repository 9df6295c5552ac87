#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bulk_run.h"
#include "cli/out.h"
#include "common/base/clock.h"
#include "common/net/json_scan.h"

/* The status of an upload without a good row. */
#define UNPROCESSABLE 422
/* Of the rows behind the first hundred that were refused. */
#define REFUSED_TOO \
    "The server refused this row, as every other of the upload; it says why " \
    "of the first hundred."

/* The rows first..end of the input that are open. */
struct chunk {
    struct bulk_run *run;
    size_t first;
    size_t end;
    size_t next; /* of the rows: the one that is to be written */
    struct buffer line;
    size_t used; /* bytes of it that were sent */
    bool failed; /* the input cannot be read (said) */
};

/* The next open row and its id; false at the end. */
static bool
next_row(struct chunk *chunk, struct bulk_row *row, char id[BULK_ID_SIZE])
{
    struct bulk_run *run = chunk->run;
    while (chunk->next < chunk->end) {
        const struct bulk_item *item = &run->rows.items[chunk->next++];
        if (item->state != BULK_OPEN)
            continue;
        int more = bulk_source_read_at(run->source, item->offset, row);
        if (more == 1 && row->fault[0] == '\0')
            bulk_recipe_id(&run->recipe, run->source, row, id);
        else
            id[0] = '\0';
        if (bulk_rows_find(&run->rows, slice_of(id)) != chunk->next - 1) {
            if (more >= 0)
                out_say("the input was changed while it was being read");
            chunk->failed = true;
            return false;
        }
        return true;
    }
    return false;
}

/* Its line into chunk->line; false at the end. */
static bool
next_line(struct chunk *chunk)
{
    struct bulk_row row;
    char id[BULK_ID_SIZE];
    if (!next_row(chunk, &row, id))
        return false;
    buffer_reset(&chunk->line);
    bulk_recipe_line(&chunk->run->recipe, &row, id, &chunk->line);
    chunk->used = 0;
    return true;
}

static size_t
on_read(void *arg, char *out, size_t size)
{
    struct chunk *chunk = arg;
    size_t put = 0;
    while (put < size) {
        size_t left = chunk->line.len - chunk->used;
        size_t part = left < size - put ? left : size - put;
        if (left == 0) {
            if (next_line(chunk))
                continue;
            break;
        }
        memcpy(out + put, chunk->line.data + chunk->used, part);
        chunk->used += part;
        put += part;
    }
    return chunk->failed ? HTTP_SYNC_READ_FAILED : put;
}

/*
 * The same rows behind the same batches give the same key, so that an upload
 * that broke off is gone on with, and one whose answer was lost is found.
 * Rows of a batch that was canceled are sent in another one.
 */
static void
key_of(const struct chunk *chunk, char key[64])
{
    const struct bulk_rows *rows = &chunk->run->rows;
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    char text[33];
    if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(hash, chunk->run->label, strlen(chunk->run->label)) !=
            1)
        abort();
    for (size_t i = 0; i < chunk->run->batch_count; i++)
        if (chunk->run->batches[i].known &&
            EVP_DigestUpdate(
                hash, chunk->run->batches[i].id, BULK_BATCH_SIZE) != 1)
            abort();
    for (size_t i = chunk->first; i < chunk->end; i++)
        if (rows->items[i].state == BULK_OPEN &&
            EVP_DigestUpdate(
                hash, rows->items[i].key, sizeof(rows->items[i].key)) != 1)
            abort();
    if (EVP_DigestFinal_ex(hash, digest, NULL) != 1)
        abort();
    EVP_MD_CTX_free(hash);
    text_hex(digest, 16, text);
    snprintf(key, 64, "bulk-%s", text);
}

static void
note_rejected(
    struct bulk_run *run, size_t at, const char *id, const char *message)
{
    struct buffer out = {0};
    bulk_rows_set(&run->rows, at, BULK_FAILED);
    bulk_bad_line(run, id, run->rows.items[at].line, message, &out);
    bulk_output_error(run->output, buffer_slice(&out));
    buffer_clear(&out);
}

static bool
take_rejected(struct bulk_run *run, const json_t *entry)
{
    const char *id = client_text(entry, "custom_id");
    size_t at = bulk_rows_find(&run->rows, slice_of(id));
    if (at == BULK_ABSENT ||
        (run->rows.items[at].state != BULK_SENT &&
            run->rows.items[at].state != BULK_OPEN))
        return true;
    note_rejected(run, at, id, client_text(entry, "message"));
    return bulk_output_flush(run->output, false) == 0;
}

/* The lines that the server refused; /errors has all of them. */
static int
read_rejected(struct bulk_run *run, struct bulk_batch *batch)
{
    struct http_sync_reply reply = {0};
    char path[128];
    snprintf(path, sizeof(path), "/v1/batches/%s/errors", batch->id);
    struct client_request request = {.path = path};
    int code = bulk_call(run, &request, &reply, NULL);
    struct slice rest = buffer_slice(&reply.body);
    while (code == CLI_OK && rest.len > 0) {
        struct slice line = slice_split(&rest, '\n');
        json_t *entry =
            json_loadb(line.data, line.len, JSON_REJECT_DUPLICATES, NULL);
        if (entry != NULL && !take_rejected(run, entry))
            code = CLI_ERROR;
        json_decref(entry);
    }
    buffer_clear(&reply.body);
    return code;
}

static int
take_answer(struct chunk *chunk, const json_t *json)
{
    struct bulk_run *run = chunk->run;
    struct slice id = client_slice(json, "id");
    if (id.len == 0 || id.len >= BULK_BATCH_SIZE) {
        out_say("the server's answer names no batch");
        return CLI_ERROR;
    }
    struct bulk_batch *batch = bulk_run_batch(run, id);
    batch->known = true;
    batch->ended = false;
    batch->drained = false;
    for (size_t i = chunk->first; i < chunk->end; i++)
        if (run->rows.items[i].state == BULK_OPEN)
            bulk_rows_set(&run->rows, i, BULK_SENT);
    bulk_progress_break(&run->progress);
    uint64_t accepted = client_count(json, "accepted");
    out_tell("sent %" PRIu64 " row%s: %s", accepted, accepted == 1 ? "" : "s",
        batch->id);
    if (client_count(json, "rejected") == 0)
        return CLI_OK;
    return read_rejected(run, batch);
}

static void
make_path(const struct bulk_run *run, const struct bulk_upload_options *options,
    struct buffer *out)
{
    buffer_printf(out, "/v1/batches?run=%s", run->label);
    if (options->lane != NULL) {
        buffer_append_text(out, "&lane=");
        client_encode(out, slice_of(options->lane));
    }
    if (options->expires_in != NULL) {
        buffer_append_text(out, "&expires_in=");
        client_encode(out, slice_of(options->expires_in));
    }
}

static void
rewind_chunk(void *arg)
{
    struct chunk *chunk = arg;
    chunk->next = chunk->first;
    chunk->used = 0;
    chunk->failed = false;
    buffer_reset(&chunk->line);
}

/*
 * Every row was refused, so that there is no batch, and no /errors of it: the
 * answer has what is wrong with the first of them. Another 422 is no answer
 * about rows.
 */
static int
take_all_rejected(struct chunk *chunk, const struct http_sync_reply *reply)
{
    struct bulk_run *run = chunk->run;
    struct bulk_row row;
    char id[BULK_ID_SIZE];
    json_t *json = json_loadb(reply->body.data != NULL ? reply->body.data : "",
        reply->body.len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *errors = json_object_get(json, "errors");
    bool good = json_is_array(errors);
    int code = good ? CLI_OK : client_explain(run->client, reply);
    if (good)
        out_tell("sent 0 rows; the server refused %" PRIu64,
            client_count(json, "rejected"));
    for (size_t i = 0; good && i < json_array_size(errors); i++)
        good = take_rejected(run, json_array_get(errors, i));
    rewind_chunk(chunk);
    while (good && next_row(chunk, &row, id))
        note_rejected(run, chunk->next - 1, id, REFUSED_TOO);
    json_decref(json);
    if (code != CLI_OK)
        return code;
    if (!good || chunk->failed || bulk_output_flush(run->output, true) != 0)
        return CLI_ERROR;
    return CLI_OK;
}

static int
send_chunk(struct chunk *chunk, const struct bulk_upload_options *options)
{
    struct bulk_run *run = chunk->run;
    struct http_sync_reply reply = {0};
    struct buffer path = {0};
    json_t *json = NULL;
    char key[64];
    int code;
    key_of(chunk, key);
    make_path(run, options, &path);
    struct client_request request = {.method = "POST",
        .path = path.data,
        .content_type = "application/x-ndjson",
        .idempotency_key = key,
        .unsaid_status = UNPROCESSABLE,
        .on_start = rewind_chunk,
        .read_body = on_read,
        .arg = chunk};
    code = bulk_call(run, &request, &reply, &json);
    if (chunk->failed)
        code = CLI_ERROR;
    else if (code == CLI_OK)
        code = take_answer(chunk, json);
    else if (reply.end == HTTP_SYNC_OK && reply.status == UNPROCESSABLE)
        code = take_all_rejected(chunk, &reply);
    json_decref(json);
    buffer_clear(&path);
    buffer_clear(&reply.body);
    return code;
}

int
bulk_upload(struct bulk_run *run, const struct bulk_upload_options *options)
{
    struct chunk chunk = {.run = run};
    size_t most = options->first_only ? 1 : BULK_CHUNK_ROWS;
    size_t open = 0;
    int code = CLI_OK;
    while (code == CLI_OK && chunk.end < run->rows.count &&
        !(options->first_only && open > 0)) {
        open = 0;
        chunk.first = chunk.end;
        while (chunk.end < run->rows.count && open < most)
            open += run->rows.items[chunk.end++].state == BULK_OPEN;
        if (open > 0)
            code = send_chunk(&chunk, options);
    }
    buffer_clear(&chunk.line);
    return code;
}
