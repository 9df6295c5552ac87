/*
 * The event stream, the assembler and the readers of answers: however the
 * stream is cut, the result is the same; an assembled Message is valid JSON
 * with a content array. The first byte chooses the cut.
 */

#include <stdlib.h>
#include <string.h>

#include "common/net/json_scan.h"
#include "worker/assemble.h"

#define LIMIT ((size_t)1 << 20)
#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

static struct assembler *
feed_in_parts(struct slice stream, size_t part)
{
    struct assembler *assembler = assembler_new(LIMIT);
    size_t at;

    for (at = 0; at < stream.len; at += part) {
        size_t left = stream.len - at;

        (void)assembler_feed(
            assembler, stream.data + at, left < part ? left : part);
    }
    return assembler;
}

static void
check_message(const struct assembler *a, const struct assembler *b)
{
    static const char *const names[] = {"content"};
    struct json_item content;
    struct buffer x = {0};
    struct buffer y = {0};
    struct answer answer;
    const char *reason;

    assembler_message(a, &x);
    assembler_message(b, &y);
    MUST(slice_equal(buffer_slice(&x), buffer_slice(&y)));
    MUST(json_object_pick(buffer_slice(&x), names, &content, 1) == 0);
    MUST(content.kind == JSON_KIND_ARRAY);
    if (answer_parse(buffer_slice(&x), &answer, &reason) == 0)
        MUST(text_is_utf8(slice_of(answer.model)));
    else
        MUST(reason != NULL);
    buffer_clear(&x);
    buffer_clear(&y);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct assembler *whole;
    struct assembler *parts;
    struct answer_error error;
    struct slice stream;

    if (size < 1)
        return 0;
    stream = slice_make((const char *)data + 1, size - 1);
    if (answer_error_parse(stream, &error) == 0)
        MUST(text_is_utf8(slice_of(error.message)));
    whole = feed_in_parts(stream, size);
    parts = feed_in_parts(stream, (size_t)data[0] % 32 + 1);
    MUST(assembler_status(whole) == assembler_status(parts));
    MUST(assembler_has_unknown(whole) == assembler_has_unknown(parts));
    MUST(strcmp(assembler_reason(whole), assembler_reason(parts)) == 0);
    MUST(strcmp(assembler_error(whole)->type, assembler_error(parts)->type) ==
        0);
    MUST(text_is_utf8(slice_of(assembler_error(whole)->message)));
    if (assembler_status(whole) == ASSEMBLE_DONE)
        check_message(whole, parts);
    assembler_free(whole);
    assembler_free(parts);
    return 0;
}
