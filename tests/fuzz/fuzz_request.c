/*
 * The request reader and its recipe: however the body is cut, the result is
 * the same; what is accepted leaves as valid JSON of the length foretold,
 * with the shape that Claude expects, and survives its text form. What is
 * no body is tried as a recipe's text. The first byte chooses the cut.
 */

#include <stdlib.h>
#include <string.h>

#include "common/job/request.h"

#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

static int
read_in_parts(struct request_reader *reader, struct slice body, size_t part)
{
    size_t at;

    request_reader_init(reader, "default-model");
    for (at = 0; at < body.len; at += part) {
        size_t left = body.len - at;

        if (request_reader_feed(
                reader, body.data + at, left < part ? left : part) != 0)
            return -1;
    }
    return request_reader_finish(reader);
}

static int
append_run(void *out, struct slice run)
{
    buffer_append_slice(out, run);
    return 0;
}

static void
check_upstream(const struct request_recipe *recipe, struct slice body,
    const char *model, bool stream)
{
    static const char *const names[] = {
        "model", "messages", "max_tokens", "stream", "longhaul", "message"};
    struct json_item items[6];
    struct request_apply apply;
    struct buffer out = {0};

    request_apply_init(&apply, recipe, model, stream, append_run, &out);
    MUST(request_apply_feed(&apply, body) == 0);
    MUST(request_apply_finish(&apply) == 0);
    MUST(out.len == request_apply_length(recipe, model, stream));
    MUST(json_object_pick(buffer_slice(&out), names, items, 6) == 0);
    MUST(items[0].kind == JSON_KIND_STRING);
    if (model != NULL)
        MUST(slice_equal_text(items[0].raw, "\"other\""));
    MUST(items[1].kind == JSON_KIND_ARRAY && items[1].elements > 0);
    MUST(items[2].kind == JSON_KIND_NUMBER);
    MUST(items[3].kind == (stream ? JSON_KIND_TRUE : JSON_KIND_NONE));
    MUST(items[4].kind == JSON_KIND_NONE);
    MUST(items[5].kind == JSON_KIND_NONE);
    buffer_clear(&out);
}

static void
check_recipe(const struct request_recipe *recipe, struct slice body)
{
    struct request_recipe copy;
    struct buffer text = {0};

    request_recipe_encode(recipe, &text);
    MUST(text.len < 1024);
    MUST(request_recipe_decode(buffer_slice(&text), &copy) == 0);
    buffer_clear(&text);
    check_upstream(&copy, body, NULL, false);
    check_upstream(&copy, body, "other", true);
}

static int
count_run(void *arg, struct slice run)
{
    uint64_t *sum = arg;

    *sum += run.len;
    return 0;
}

/* An accepted recipe of unknown origin does no harm. */
static void
try_recipe(struct slice text)
{
    struct request_recipe recipe;
    struct request_apply apply;
    struct slice zeros;
    uint64_t sum = 0;
    char *memory;

    if (request_recipe_decode(text, &recipe) != 0 || recipe.body_bytes > 100000)
        return;
    memory = memory_zalloc((size_t)recipe.body_bytes + 1, 1);
    zeros = slice_make(memory, (size_t)recipe.body_bytes);
    request_apply_init(&apply, &recipe, "other", true, count_run, &sum);
    MUST(request_apply_feed(&apply, zeros) == 0);
    MUST(request_apply_finish(&apply) == 0);
    MUST(sum == request_apply_length(&recipe, "other", true));
    memory_free(memory);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request_reader whole;
    struct request_reader parts;
    struct slice body;
    int result;

    if (size < 1)
        return 0;
    body = slice_make((const char *)data + 1, size - 1);
    result = read_in_parts(&whole, body, size);
    MUST(read_in_parts(&parts, body, (size_t)data[0] % 32 + 1) == result);
    if (result == 0) {
        check_recipe(&whole.info.recipe, body);
        check_recipe(&parts.info.recipe, body);
    } else {
        MUST(strcmp(whole.fault.message, parts.fault.message) == 0);
        MUST(whole.fault.message[0] != '\0');
        try_recipe(body);
    }
    request_reader_clear(&whole);
    request_reader_clear(&parts);
    return 0;
}
