#include "tests/fake-claude/prompt.h"

#include <string.h>

#include "tests/fake-claude/mix.h"
#include "tests/fake-claude/spans.h"
#include "tests/fake-claude/tokens.h"

/* Counted for what cannot be counted from text. */
#define MESSAGE_TOKENS 3
#define IMAGE_TOKENS 1500
#define FILE_TOKENS 2000

struct measure {
    struct prompt *prompt;
    uint64_t prefix;
    unsigned percent;
    bool caching;
};

static struct slice
json_text(const json_t *string)
{
    return slice_make(json_string_value(string), json_string_length(string));
}

static bool
has_type(const json_t *block, const char *type)
{
    const char *value = json_string_value(json_object_get(block, "type"));
    return value != NULL && strcmp(value, type) == 0;
}

/* Every text inside, whatever the shape; nesting is bounded by the parser. */
static uint64_t
any_tokens(const json_t *value)
{
    uint64_t tokens = 0;
    if (json_is_string(value))
        return tokens_count(json_text(value));
    if (json_is_number(value))
        return 2;
    if (json_is_array(value))
        for (size_t i = 0; i < json_array_size(value); i++)
            tokens += any_tokens(json_array_get(value, i));
    if (!json_is_object(value))
        return tokens + 1;
    if (has_type(value, "base64"))
        return FILE_TOKENS;
    void *at = json_object_iter((json_t *)(uintptr_t)value);
    for (; at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)value, at)) {
        const char *key = json_object_iter_key(at);
        if (strcmp(key, "cache_control") == 0)
            continue;
        tokens += tokens_count(slice_of(key)) +
            any_tokens(json_object_iter_value(at));
    }
    return tokens;
}

static uint64_t
block_tokens(const json_t *block)
{
    if (json_is_string(block))
        return tokens_count(json_text(block));
    if (has_type(block, "text"))
        return any_tokens(json_object_get(block, "text"));
    if (has_type(block, "image"))
        return IMAGE_TOKENS;
    return any_tokens(block);
}

int
prompt_read_ttl(const json_t *cache_control)
{
    if (cache_control == NULL || json_is_null(cache_control))
        return CACHE_NONE;
    if (!has_type(cache_control, "ephemeral"))
        return -1;
    const json_t *ttl = json_object_get(cache_control, "ttl");
    if (ttl == NULL)
        return CACHE_5M;
    const char *text = json_string_value(ttl);
    if (text != NULL && strcmp(text, "5m") == 0)
        return CACHE_5M;
    return text != NULL && strcmp(text, "1h") == 0 ? CACHE_1H : -1;
}

/* All bytes of the block but its marker: moving a breakpoint does not change
 * what is cached. */
static uint64_t
hash_block(uint64_t prefix, struct slice bytes)
{
    if (bytes.len == 0 || bytes.data[0] != '{')
        return mix_bytes(prefix, bytes);
    struct span_walk walk;
    struct slice key;
    struct slice value;
    span_begin(&walk, bytes);
    while (span_next(&walk, &key, &value)) {
        if (slice_equal_text(key, "cache_control"))
            continue;
        prefix = mix_bytes(prefix, key);
        prefix = mix_bytes(prefix, value);
    }
    return prefix;
}

static struct cache_block *
new_block(struct prompt *prompt)
{
    if ((prompt->count & (prompt->count - 1)) == 0) {
        size_t room = prompt->count == 0 ? 1 : prompt->count * 2;
        prompt->blocks =
            memory_resize(prompt->blocks, room * sizeof(*prompt->blocks));
    }
    return &prompt->blocks[prompt->count++];
}

static void
note_breakpoint(struct prompt *prompt, enum cache_ttl ttl)
{
    prompt->breakpoints++;
    if (ttl == CACHE_1H)
        for (size_t i = 0; i + 1 < prompt->count; i++)
            prompt->ttl_disorder |= prompt->blocks[i].ttl == CACHE_5M;
}

static void
add_block(struct measure *measure, const json_t *block, struct slice bytes,
    uint64_t extra_tokens)
{
    struct prompt *prompt = measure->prompt;
    uint64_t tokens =
        tokens_scale(block_tokens(block) + extra_tokens, measure->percent);
    prompt->tokens += tokens;
    if (!measure->caching)
        return;
    measure->prefix = hash_block(measure->prefix, bytes);
    struct cache_block *added = new_block(prompt);
    int ttl = prompt_read_ttl(json_object_get(block, "cache_control"));
    added->prefix = measure->prefix;
    added->tokens = tokens;
    added->ttl = ttl > 0 ? (enum cache_ttl)ttl : CACHE_NONE;
    if (added->ttl != CACHE_NONE)
        note_breakpoint(prompt, added->ttl);
}

/* A string is one block, an array is its elements. */
static void
add_blocks(struct measure *measure, const json_t *value, struct slice bytes,
    uint64_t extra_tokens)
{
    if (json_is_string(value)) {
        add_block(measure, value, bytes, extra_tokens);
        return;
    }
    struct span_walk walk;
    span_begin(&walk, bytes);
    for (size_t i = 0; i < json_array_size(value); i++) {
        struct slice element = SLICE_NULL;
        if (measure->caching && !span_next(&walk, NULL, &element))
            return;
        add_block(measure, json_array_get(value, i), element,
            i == 0 ? extra_tokens : 0);
    }
}

static void
add_messages(
    struct measure *measure, const json_t *messages, struct slice bytes)
{
    struct span_walk walk;
    span_begin(&walk, bytes);
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i);
        struct slice element = SLICE_NULL;
        struct slice content = SLICE_NULL;
        if (measure->caching && span_next(&walk, NULL, &element))
            content = span_member(element, "content");
        measure->prefix = mix_bytes(
            measure->prefix, json_text(json_object_get(message, "role")));
        add_blocks(measure, json_object_get(message, "content"), content,
            MESSAGE_TOKENS);
    }
}

static void
append_texts(struct buffer *out, const json_t *content)
{
    if (json_is_string(content))
        buffer_append_slice(out, json_text(content));
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *block = json_array_get(content, i);
        if (!has_type(block, "text"))
            continue;
        if (out->len > 0)
            buffer_append_char(out, '\n');
        buffer_append_slice(out, json_text(json_object_get(block, "text")));
    }
}

static void
find_question(struct buffer *out, const json_t *messages)
{
    for (size_t i = json_array_size(messages); i-- > 0 && out->len == 0;) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role != NULL && strcmp(role, "user") == 0)
            append_texts(out, json_object_get(message, "content"));
    }
}

void
prompt_measure(struct prompt *prompt, const json_t *root, struct slice body,
    const char *model, unsigned percent, bool caching)
{
    static const char *const sections[] = {"tools", "system"};
    struct measure measure = {.prompt = prompt,
        .prefix = mix_bytes(1, slice_of(model)),
        .percent = percent,
        .caching = caching};
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(root, sections[i]);
        measure.prefix = mix_bytes(measure.prefix, slice_of(sections[i]));
        if (value != NULL)
            add_blocks(&measure, value,
                caching ? span_member(body, sections[i]) : SLICE_NULL, 0);
    }
    const json_t *messages = json_object_get(root, "messages");
    add_messages(&measure, messages,
        caching ? span_member(body, "messages") : SLICE_NULL);
    find_question(&prompt->question, messages);
    int automatic = prompt_read_ttl(json_object_get(root, "cache_control"));
    if (automatic > 0 && prompt->count > 0 &&
        prompt->blocks[prompt->count - 1].ttl == CACHE_NONE) {
        prompt->blocks[prompt->count - 1].ttl = (enum cache_ttl)automatic;
        note_breakpoint(prompt, (enum cache_ttl)automatic);
    }
}

void
prompt_clear(struct prompt *prompt)
{
    buffer_clear(&prompt->question);
    memory_free(prompt->blocks);
    *prompt = (struct prompt){0};
}
