/*
 * What a batch upload is cut with: the envelope of Claude's Batches API and
 * lines of NDJSON. However the input is cut, the same elements come out of
 * it. An envelope whose elements are well-formed objects is well-formed JSON
 * and the other way round. The first byte chooses the cut.
 */

#include <stdlib.h>
#include <string.h>

#include "common/job/envelope.h"
#include "common/job/item.h"
#include "common/job/lines.h"

#define ELEMENT_MAX 4096
#define COUNT_MAX 64

#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

struct outcome {
    struct buffer text; /* the elements and faults, one behind the other */
    bool whole; /* of an envelope: no fault */
    bool items_fine;
};

static void
read_item(struct slice text, struct outcome *out)
{
    struct item_reader reader;

    item_reader_init(&reader);
    if (item_reader_feed(&reader, text) != 0 ||
        item_reader_finish(&reader) != 0) {
        MUST(reader.message[0] != '\0');
        out->items_fine = false;
    } else {
        MUST(reader.info.params_end <= text.len);
        MUST(reader.info.params_start <= reader.info.params_end);
    }
    item_reader_clear(&reader);
}

static void
read_envelope(struct slice body, size_t part, struct outcome *out)
{
    enum envelope_status status = ENVELOPE_MORE;
    struct envelope envelope;
    struct slice element;

    out->items_fine = true;
    envelope_init(&envelope, ELEMENT_MAX, COUNT_MAX);
    for (size_t at = 0; at < body.len; at += part) {
        size_t left = body.len - at;
        struct slice in = slice_make(body.data + at, left < part ? left : part);

        while ((status = envelope_next(&envelope, &in, &element)) ==
            ENVELOPE_ELEMENT) {
            buffer_append_slice(&out->text, element);
            buffer_append_char(&out->text, '\0');
            read_item(element, out);
        }
    }
    out->whole = envelope_finish(&envelope) == 0;
    if (!out->whole)
        buffer_append_text(&out->text, envelope.message);
    envelope_clear(&envelope);
}

static void
read_lines(struct slice body, size_t part, struct outcome *out)
{
    enum lines_status status;
    struct lines lines;
    struct slice line = SLICE_NULL;

    lines_init(&lines, 16);
    for (size_t at = 0; at < body.len; at += part) {
        size_t left = body.len - at;
        struct slice in = slice_make(body.data + at, left < part ? left : part);

        while ((status = lines_next(&lines, &in, &line)) != LINES_MORE) {
            buffer_printf(
                &out->text, "%llu:", (unsigned long long)lines.number);
            if (status == LINES_LINE)
                buffer_append_slice(&out->text, line);
        }
        MUST(in.len == 0 && lines.held.len <= 17);
    }
    status = lines_finish(&lines, &line);
    buffer_printf(&out->text, "%d", (int)status);
    lines_clear(&lines);
}

static void
check_same(const struct outcome *a, const struct outcome *b)
{
    MUST(a->whole == b->whole && a->items_fine == b->items_fine);
    MUST(slice_equal(buffer_slice(&a->text), buffer_slice(&b->text)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = {0};
    struct outcome parts = {0};
    struct slice body;
    size_t part;

    if (size < 2)
        return 0;
    body = slice_make((const char *)data + 1, size - 1);
    part = (size_t)data[0] % 32 + 1;
    read_envelope(body, body.len, &whole);
    read_envelope(body, part, &parts);
    check_same(&whole, &parts);
    if (whole.whole && whole.items_fine)
        MUST(json_scan_all(body.data, body.len, JSON_DEPTH_MAX, NULL) == 0);
    read_lines(body, body.len, &whole);
    read_lines(body, part, &parts);
    check_same(&whole, &parts);
    buffer_clear(&whole.text);
    buffer_clear(&parts.text);
    return 0;
}
