#include "tests/fake-claude/answer.h"

#include <string.h>

#include "tests/fake-claude/mix.h"
#include "tests/fake-claude/sample.h"
#include "tests/fake-claude/summary.h"
#include "tests/fake-claude/tokens.h"

#define STREAM_TOKENS 400
#define BYTES_PER_TOKEN 4
/* Nobody sends max_tokens above this; it bounds what is written. */
#define MOST_TOKENS 300000

static struct answer_block *
add_block(struct answer *answer, enum answer_kind kind)
{
    struct answer_block *block = &answer->blocks[answer->count++];
    *block = (struct answer_block){.kind = kind};
    return block;
}

static unsigned
percent_of(const struct claude_request *request)
{
    return request->info != NULL ? request->info->token_percent : 100;
}

static uint64_t
tokens_of(const struct claude_request *request, struct slice text)
{
    return tokens_scale(tokens_count(text), percent_of(request));
}

static struct slice
question_of(const struct claude_request *request)
{
    return buffer_slice(&request->prompt.question);
}

static void
write_text(struct answer_block *block, const struct claude_request *request,
    enum card_kind card, uint64_t chance)
{
    struct slice question = question_of(request);
    summary_append(&block->text, question, chance);
    uint64_t most =
        request->max_tokens < MOST_TOKENS ? request->max_tokens : MOST_TOKENS;
    if (card == CARD_STREAM && most > STREAM_TOKENS)
        most = STREAM_TOKENS;
    if (card == CARD_STREAM)
        summary_fill(
            &block->text, question, (size_t)most * BYTES_PER_TOKEN / 2);
    /* At four bytes a token, more than max_tokens allows. */
    if (card == CARD_MAX_TOKENS)
        summary_fill(
            &block->text, question, ((size_t)most + 1) * BYTES_PER_TOKEN);
}

/* Cuts at the first stop sequence that occurs. */
static void
apply_stop_sequences(
    struct answer *answer, struct buffer *text, const json_t *sequences)
{
    for (size_t i = 0; i < json_array_size(sequences); i++) {
        const json_t *sequence = json_array_get(sequences, i);
        const char *at = memmem(text->data, text->len,
            json_string_value(sequence), json_string_length(sequence));
        if (at == NULL)
            continue;
        text->len = (size_t)(at - text->data);
        text->data[text->len] = '\0';
        answer->stop_reason = "stop_sequence";
        answer->stop_sequence = json_string_value(sequence);
    }
}

/* Cuts the last block so that the whole answer has max_tokens tokens. */
static void
apply_max_tokens(struct answer *answer, struct buffer *text,
    const struct claude_request *request)
{
    uint64_t before = answer->output_tokens;
    uint64_t tokens = tokens_of(request, buffer_slice(text));
    if (before + tokens <= request->max_tokens) {
        answer->output_tokens += tokens;
        return;
    }
    uint64_t left =
        request->max_tokens > before ? request->max_tokens - before : 0;
    size_t keep =
        tokens_cut(buffer_slice(text), left * 100 / percent_of(request));
    if (text->data != NULL)
        text->data[keep] = '\0';
    text->len = keep;
    answer->output_tokens = request->max_tokens;
    answer->stop_reason = "max_tokens";
    answer->stop_sequence = NULL;
}

static void
think(struct answer *answer, const struct claude_request *request)
{
    struct answer_block *block = add_block(answer, ANSWER_THINKING);
    buffer_append_text(&block->text,
        "The last message asks for something. What matters in it: ");
    summary_append(&block->text, question_of(request), answer->identity);
    /* At most half of the tokens, so that the answer has room. */
    size_t keep = tokens_cut(buffer_slice(&block->text),
        request->max_tokens / 2 * 100 / percent_of(request));
    block->text.data[keep] = '\0';
    block->text.len = keep;
    answer->thinking_tokens = tokens_of(request, buffer_slice(&block->text));
    answer->output_tokens = answer->thinking_tokens;
}

static const json_t *
tool_schema(const struct claude_request *request)
{
    const json_t *tools = json_object_get(request->root, "tools");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *tool = json_array_get(tools, i);
        const char *name = json_string_value(json_object_get(tool, "name"));
        if (name != NULL && strcmp(name, request->forced_tool) == 0)
            return json_object_get(tool, "input_schema");
    }
    return NULL;
}

static void
use_tool(struct answer *answer, const struct claude_request *request)
{
    struct answer_block *block = add_block(answer, ANSWER_TOOL_USE);
    const json_t *schema = tool_schema(request);
    block->tool_name = request->forced_tool;
    if (schema != NULL)
        sample_append(&block->text, schema, slice_of("simulated"));
    else
        buffer_append_text(&block->text, "{}");
    answer->stop_reason = "tool_use";
    answer->output_tokens += tokens_of(request, buffer_slice(&block->text));
}

static void
speak(struct answer *answer, const struct claude_request *request,
    enum card_kind card)
{
    struct answer_block *block = add_block(answer, ANSWER_TEXT);
    if (request->schema != NULL) {
        struct buffer words = {0};
        summary_append(&words, question_of(request), answer->identity);
        sample_append(&block->text, request->schema, buffer_slice(&words));
        buffer_clear(&words);
    } else {
        write_text(block, request, card, answer->identity);
    }
    apply_stop_sequences(answer, &block->text, request->stop_sequences);
    apply_max_tokens(answer, &block->text, request);
}

void
answer_compose(
    struct answer *answer, const struct claude_request *request, uint64_t seed)
{
    enum card_kind card =
        request->card.card != NULL ? request->card.card->kind : CARD_OK;
    answer->identity = mix_u64(seed ^ 0x616e73776572u);
    answer->stop_reason = "end_turn";
    if (request->max_tokens == 0) {
        answer->stop_reason = "max_tokens";
        return;
    }
    if (card == CARD_REFUSAL) {
        answer->stop_reason = "refusal";
        answer->output_tokens = 1;
        answer->refused = true;
        return;
    }
    if ((request->thinks || card == CARD_THINKING) && request->max_tokens > 64)
        think(answer, request);
    if (request->forced_tool != NULL)
        use_tool(answer, request);
    else
        speak(answer, request, card);
}

void
answer_canned(struct answer *answer, uint64_t seed)
{
    static const char text[] = "A short answer that is always the same.";
    struct answer_block *block = add_block(answer, ANSWER_TEXT);
    buffer_append_text(&block->text, text);
    answer->identity = seed;
    answer->stop_reason = "end_turn";
    answer->output_tokens = tokens_count(slice_of(text));
}

void
answer_clear(struct answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        buffer_clear(&answer->blocks[i].text);
    *answer = (struct answer){0};
}
