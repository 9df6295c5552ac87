#include "common/job/bulk.h"

#include <string.h>

#include "common/base/memory.h"
#include "common/job/job_json.h"

static const char *const face_names[] = {"native", "claude"};

const char *
bulk_face_name(enum bulk_face face)
{
    return face_names[face];
}

int
bulk_face_parse(struct slice in, enum bulk_face *face)
{
    for (unsigned i = 0; i <= BULK_CLAUDE; i++) {
        if (slice_equal_text(in, face_names[i])) {
            *face = (enum bulk_face)i;
            return 0;
        }
    }
    return -1;
}

uint64_t
bulk_tally_total(const struct bulk_tally *tally)
{
    return tally->succeeded + tally->failed + tally->canceled + tally->expired;
}

void
bulk_clear(struct bulk *bulk)
{
    memory_free(bulk->idempotency_key);
    memory_free(bulk->meta);
    memset(bulk, 0, sizeof(*bulk));
}

void
bulk_copy(struct bulk *to, const struct bulk *from)
{
    *to = *from;
    if (from->idempotency_key != NULL)
        to->idempotency_key = memory_dup(from->idempotency_key);
    if (from->meta != NULL)
        to->meta = memory_dup(from->meta);
}

void
bulk_make_uuid(char out[BATCH_UUID_SIZE])
{
    char id[ID_SIZE];
    id_make("", id);
    memcpy(out, id, BATCH_UUID_SIZE);
}

void
bulk_item_id(const char *uuid, struct slice custom_id, char out[ID_SIZE])
{
    id_make_member(JOB_ID_PREFIX, uuid, custom_id, out);
}

/* --- the tally ----------------------------------------------------------- */

#define FIELD(key, kind, member) \
    JOB_JSON_FIELD(key, JOB_JSON_##kind, struct bulk_tally, member, INT64_MAX)

static const struct job_json_field fields[] = {
    FIELD("ok", U64, succeeded),
    FIELD("fa", U64, failed),
    FIELD("ca", U64, canceled),
    FIELD("ex", U64, expired),
    FIELD("it", U64, usage.input_tokens),
    FIELD("ot", U64, usage.output_tokens),
    FIELD("cr", U64, usage.cache_read_tokens),
    FIELD("w5", U64, usage.cache_write_5m_tokens),
    FIELD("w1", U64, usage.cache_write_1h_tokens),
    FIELD("co", I64, cost_usd_nanos),
    FIELD("up", U64, unpriced),
    FIELD("lr", I64, last_row),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))
#define TALLY_JSON_MAX 1024

void
bulk_tally_encode(const struct bulk_tally *tally, struct buffer *out)
{
    buffer_append_char(out, '{');
    job_json_put(fields, FIELD_COUNT, tally, out);
    job_json_end(out);
}

int
bulk_tally_decode(struct slice json, struct bulk_tally *tally)
{
    memset(tally, 0, sizeof(*tally));
    return job_json_read(
        json, TALLY_JSON_MAX, fields, FIELD_COUNT, tally, NULL, NULL);
}
