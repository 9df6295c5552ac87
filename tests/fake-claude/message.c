#include "tests/fake-claude/message.h"

#include "tests/fake-claude/mix.h"

static void
append_text(struct buffer *out, const char *text)
{
    if (text != NULL)
        buffer_append_json(out, slice_of(text));
    else
        buffer_append_text(out, "null");
}

static void
append_usage(struct buffer *out, const struct message *message,
    uint64_t output_tokens, uint64_t thinking_tokens)
{
    const struct cache_use *cache = message->cache;
    uint64_t writes = cache->write_5m_tokens + cache->write_1h_tokens;
    buffer_append_text(out, "{\"input_tokens\":");
    buffer_append_u64(out, message->input_tokens);
    buffer_append_text(out, ",\"output_tokens\":");
    buffer_append_u64(out, output_tokens);
    buffer_append_text(out, ",\"cache_creation_input_tokens\":");
    buffer_append_u64(out, writes);
    buffer_append_text(out, ",\"cache_read_input_tokens\":");
    buffer_append_u64(out, cache->read_tokens);
    buffer_append_text(
        out, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":");
    buffer_append_u64(out, cache->write_5m_tokens);
    buffer_append_text(out, ",\"ephemeral_1h_input_tokens\":");
    buffer_append_u64(out, cache->write_1h_tokens);
    buffer_append_text(
        out, "},\"output_tokens_details\":{\"thinking_tokens\":");
    buffer_append_u64(out, thinking_tokens);
    buffer_append_text(out,
        "},\"server_tool_use\":null,\"service_tier\":\"standard\","
        "\"inference_geo\":\"global\",\"speed\":\"standard\"}");
}

static void
append_id(struct buffer *out, const char *prefix, uint64_t identity)
{
    buffer_printf(out, "\"%s01%016llx%06llx\"", prefix,
        (unsigned long long)identity,
        (unsigned long long)(mix_u64(identity) & 0xffffff));
}

static void
append_signature(struct buffer *out, uint64_t identity)
{
    buffer_printf(out, "\"c2lt%016llx%016llx\"",
        (unsigned long long)mix_u64(identity + 1),
        (unsigned long long)mix_u64(identity + 2));
}

/* `started` is the empty form of content_block_start. */
static void
append_block(struct buffer *out, const struct answer *answer,
    const struct answer_block *block, bool started)
{
    struct slice text = started ? SLICE_NULL : buffer_slice(&block->text);
    switch (block->kind) {
    case ANSWER_TEXT:
        buffer_append_text(out, "{\"type\":\"text\",\"text\":");
        buffer_append_json(out, text);
        buffer_append_text(out, ",\"citations\":null}");
        return;
    case ANSWER_THINKING:
        buffer_append_text(out, "{\"type\":\"thinking\",\"thinking\":");
        buffer_append_json(out, text);
        buffer_append_text(out, ",\"signature\":");
        if (started)
            buffer_append_text(out, "\"\"");
        else
            append_signature(out, answer->identity);
        buffer_append_char(out, '}');
        return;
    case ANSWER_TOOL_USE: break;
    }
    buffer_append_text(out, "{\"type\":\"tool_use\",\"id\":");
    append_id(out, "toolu_", answer->identity);
    buffer_append_text(out, ",\"name\":");
    append_text(out, block->tool_name);
    buffer_append_text(out, ",\"input\":");
    buffer_append_slice(out, started ? slice_of("{}") : text);
    buffer_append_text(out, ",\"caller\":{\"type\":\"direct\"}}");
}

static void
append_stop(struct buffer *out, const struct answer *answer)
{
    buffer_append_text(out, "\"stop_reason\":");
    append_text(out, answer->stop_reason);
    buffer_append_text(out, ",\"stop_sequence\":");
    append_text(out, answer->stop_sequence);
    buffer_append_text(out, ",\"stop_details\":");
    buffer_append_text(out,
        answer->refused ? "{\"type\":\"refusal\",\"category\":null,"
                          "\"explanation\":\"A simulated refusal.\"}"
                        : "null");
    buffer_append_text(out, ",\"container\":null");
}

static void
append_head(struct buffer *out, const struct message *message)
{
    buffer_append_text(out, "{\"id\":");
    append_id(out, "msg_", message->answer->identity);
    buffer_append_text(
        out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    append_text(out, message->model);
}

void
message_append(struct buffer *out, const struct message *message)
{
    const struct answer *answer = message->answer;
    append_head(out, message);
    buffer_append_text(out, ",\"content\":[");
    for (size_t i = 0; i < answer->count; i++) {
        if (i > 0)
            buffer_append_char(out, ',');
        append_block(out, answer, &answer->blocks[i], false);
    }
    buffer_append_text(out, "],");
    append_stop(out, answer);
    buffer_append_text(out, ",\"diagnostics\":null,\"usage\":");
    append_usage(out, message, answer->output_tokens, answer->thinking_tokens);
    buffer_append_char(out, '}');
}

static void
begin_event(struct buffer *out, const char *name)
{
    buffer_append_text(out, "event: ");
    buffer_append_text(out, name);
    buffer_append_text(out, "\ndata: {\"type\":\"");
    buffer_append_text(out, name);
    buffer_append_char(out, '"');
}

static void
end_event(struct buffer *out)
{
    buffer_append_text(out, "}\n\n");
}

static void
append_start(struct buffer *out, const struct message *message)
{
    begin_event(out, "message_start");
    buffer_append_text(out, ",\"message\":");
    append_head(out, message);
    buffer_append_text(out,
        ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
        "\"stop_details\":null,\"container\":null,\"diagnostics\":null,"
        "\"usage\":");
    append_usage(out, message, 1, 0);
    buffer_append_char(out, '}');
    end_event(out);
}

static void
append_block_event(struct buffer *out, const char *name, size_t index)
{
    begin_event(out, name);
    buffer_append_text(out, ",\"index\":");
    buffer_append_u64(out, index);
}

/* The end of the next piece: a whole number of characters. */
static size_t
piece_end(const struct buffer *text, size_t from, size_t bytes)
{
    if (text->len - from <= bytes)
        return text->len;
    size_t end = from + bytes;
    while (end < text->len && ((unsigned char)text->data[end] & 0xc0) == 0x80)
        end++;
    return end;
}

static void
append_delta(struct buffer *out, const struct answer_block *block, size_t index,
    struct slice piece)
{
    static const char *const heads[] = {
        [ANSWER_TEXT] = "\"text_delta\",\"text\":",
        [ANSWER_THINKING] = "\"thinking_delta\",\"thinking\":",
        [ANSWER_TOOL_USE] = "\"input_json_delta\",\"partial_json\":",
    };
    append_block_event(out, "content_block_delta", index);
    buffer_append_text(out, ",\"delta\":{\"type\":");
    buffer_append_text(out, heads[block->kind]);
    buffer_append_json(out, piece);
    buffer_append_char(out, '}');
    end_event(out);
}

static void
append_signature_event(
    struct buffer *out, const struct answer *answer, size_t index)
{
    append_block_event(out, "content_block_delta", index);
    buffer_append_text(
        out, ",\"delta\":{\"type\":\"signature_delta\",\"signature\":");
    append_signature(out, answer->identity);
    buffer_append_char(out, '}');
    end_event(out);
}

static void
append_message_delta(struct buffer *out, const struct message *message)
{
    const struct answer *answer = message->answer;
    begin_event(out, "message_delta");
    buffer_append_text(out, ",\"delta\":{");
    append_stop(out, answer);
    buffer_append_text(out, "},\"usage\":{\"output_tokens\":");
    buffer_append_u64(out, answer->output_tokens);
    buffer_append_text(out, ",\"output_tokens_details\":{\"thinking_tokens\":");
    buffer_append_u64(out, answer->thinking_tokens);
    buffer_append_text(out, "}}");
    end_event(out);
}

static void
next_delta(struct buffer *out, const struct message *message,
    struct message_cursor *cursor, size_t delta_bytes)
{
    const struct answer_block *block = &message->answer->blocks[cursor->block];
    size_t end = piece_end(&block->text, cursor->offset, delta_bytes);
    append_delta(out, block, cursor->block,
        slice_make(block->text.data + cursor->offset, end - cursor->offset));
    cursor->offset = end;
    if (end == block->text.len)
        cursor->stage = block->kind == ANSWER_THINKING ? CURSOR_SIGNATURE
                                                       : CURSOR_BLOCK_END;
}

static void
next_block(struct buffer *out, const struct message *message,
    struct message_cursor *cursor)
{
    const struct answer *answer = message->answer;
    const struct answer_block *block = &answer->blocks[cursor->block];
    append_block_event(out, "content_block_start", cursor->block);
    buffer_append_text(out, ",\"content_block\":");
    append_block(out, answer, block, true);
    end_event(out);
    if (cursor->block == 0)
        message_append_ping(out);
    cursor->offset = 0;
    cursor->stage = block->text.len > 0 ? CURSOR_DELTA : CURSOR_BLOCK_END;
}

bool
message_next_event(struct buffer *out, const struct message *message,
    struct message_cursor *cursor, size_t delta_bytes)
{
    const struct answer *answer = message->answer;
    switch (cursor->stage) {
    case CURSOR_START:
        append_start(out, message);
        cursor->stage = answer->count > 0 ? CURSOR_BLOCK : CURSOR_DELTAS_DONE;
        return true;
    case CURSOR_BLOCK: next_block(out, message, cursor); return true;
    case CURSOR_DELTA:
        next_delta(out, message, cursor, delta_bytes);
        return true;
    case CURSOR_SIGNATURE:
        append_signature_event(out, answer, cursor->block);
        cursor->stage = CURSOR_BLOCK_END;
        return true;
    case CURSOR_BLOCK_END:
        append_block_event(out, "content_block_stop", cursor->block);
        end_event(out);
        cursor->stage =
            ++cursor->block < answer->count ? CURSOR_BLOCK : CURSOR_DELTAS_DONE;
        return true;
    case CURSOR_DELTAS_DONE:
        append_message_delta(out, message);
        cursor->stage = CURSOR_END;
        return true;
    case CURSOR_END: break;
    }
    begin_event(out, "message_stop");
    end_event(out);
    return false;
}

bool
message_is_in_text(const struct message_cursor *cursor)
{
    return cursor->stage == CURSOR_DELTA;
}

void
message_append_ping(struct buffer *out)
{
    begin_event(out, "ping");
    end_event(out);
}

void
message_append_error(struct buffer *out, const struct api_error *error,
    const char *request_id, bool event)
{
    if (event)
        buffer_append_text(out, "event: error\ndata: ");
    buffer_append_text(out, "{\"type\":\"error\",\"error\":{\"type\":");
    append_text(out, error->type);
    buffer_append_text(out, ",\"message\":");
    append_text(out, error->message);
    if (error->code != NULL) {
        buffer_append_text(out, ",\"details\":{\"error_code\":");
        append_text(out, error->code);
        buffer_append_char(out, '}');
    }
    buffer_append_text(out, "},\"request_id\":");
    append_text(out, request_id);
    buffer_append_text(out, event ? "}\n\n" : "}");
}
