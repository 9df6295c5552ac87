#include "common/job/request_shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Depths of values (json_inner). */
#define AT_MESSAGE 2
#define AT_MESSAGE_MEMBER 3
#define AT_BLOCK_OF(member) ((member) == REQUEST_SHAPE_MESSAGES ? 4u : 2u)

unsigned
request_shape_depth(enum request_shape_member member)
{
    return AT_BLOCK_OF(member) + 1;
}

void
request_shape_start(
    struct request_shape *shape, enum request_shape_member member)
{
    memset(shape, 0, sizeof(*shape));
    shape->member = member;
    shape->in_blocks = member == REQUEST_SHAPE_SYSTEM;
}

__attribute__((format(printf, 2, 3))) static void
refuse(struct request_shape *shape, const char *format, ...)
{
    va_list args;

    if (shape->fault[0] != '\0')
        return;
    va_start(args, format);
    (void)vsnprintf(shape->fault, sizeof(shape->fault), format, args);
    va_end(args);
}

/* "messages[3]" */
static void
refuse_message(
    struct request_shape *shape, const char *member, const char *what)
{
    refuse(shape, "messages[%u]%s: %s", shape->message, member, what);
}

static void
refuse_block(struct request_shape *shape, const char *member, const char *what)
{
    if (shape->member == REQUEST_SHAPE_SYSTEM)
        refuse(shape, "system[%u]%s: %s", shape->block, member, what);
    else
        refuse(shape, "messages[%u].content[%u]%s: %s", shape->message,
            shape->block, member, what);
}

/* ---- messages ---- */

static void
message_begins(struct request_shape *shape, const struct json_inner *inner)
{
    shape->has_role = shape->has_content = shape->in_blocks = false;
    if (inner->kind != JSON_KIND_OBJECT)
        refuse_message(shape, "", "expected an object with role and content");
    else if (shape->message >= REQUEST_MESSAGES_MAX)
        refuse(shape, "messages: more than %d", REQUEST_MESSAGES_MAX);
}

static void
message_member(struct request_shape *shape, const struct json_inner *inner)
{
    shape->at_role = slice_equal_text(inner->text, "role");
    shape->in_blocks = false;
    if (shape->at_role) {
        shape->has_role = true;
        if (inner->kind != JSON_KIND_STRING)
            refuse_message(shape, ".role", "expected a text");
    } else if (slice_equal_text(inner->text, "content")) {
        shape->has_content = true;
        shape->in_blocks = inner->kind == JSON_KIND_ARRAY;
        shape->block = 0;
        if (inner->kind != JSON_KIND_STRING && inner->kind != JSON_KIND_ARRAY)
            refuse_message(
                shape, ".content", "expected a text or a list of blocks");
    }
}

static void
message_text(struct request_shape *shape, struct slice text)
{
    if (shape->at_role && !slice_equal_text(text, "user") &&
        !slice_equal_text(text, "assistant") &&
        !slice_equal_text(text, "system"))
        refuse_message(shape, ".role", "expected user, assistant or system");
    shape->at_role = false;
}

static void
message_ends(struct request_shape *shape)
{
    if (!shape->has_role)
        refuse_message(shape, ".role", "is required");
    else if (!shape->has_content)
        refuse_message(shape, ".content", "is required");
    shape->message++;
}

static void
see_message(struct request_shape *shape, const struct json_inner *inner)
{
    if (inner->depth == AT_MESSAGE && inner->event == JSON_INNER_BEGIN)
        message_begins(shape, inner);
    else if (inner->depth == AT_MESSAGE && inner->event == JSON_INNER_CLOSE)
        message_ends(shape);
    else if (inner->depth == AT_MESSAGE_MEMBER &&
        inner->event == JSON_INNER_BEGIN)
        message_member(shape, inner);
    else if (inner->depth == AT_MESSAGE_MEMBER &&
        inner->event == JSON_INNER_TEXT)
        message_text(shape, inner->text);
}

/* ---- blocks ---- */

static void
see_block(struct request_shape *shape, const struct json_inner *inner)
{
    unsigned at = AT_BLOCK_OF(shape->member);

    if (inner->depth == at && inner->event == JSON_INNER_BEGIN) {
        shape->has_type = false;
        if (inner->kind != JSON_KIND_OBJECT)
            refuse_block(shape, "", "expected an object with a type");
    } else if (inner->depth == at && inner->event == JSON_INNER_CLOSE) {
        if (!shape->has_type)
            refuse_block(shape, ".type", "is required");
        shape->block++;
    } else if (inner->depth == at + 1 && inner->event == JSON_INNER_BEGIN &&
        slice_equal_text(inner->text, "type")) {
        shape->has_type = true;
        if (inner->kind != JSON_KIND_STRING)
            refuse_block(shape, ".type", "expected a text");
    }
}

void
request_shape_see(struct request_shape *shape, const struct json_inner *inner)
{
    if (inner->member != JSON_KIND_ARRAY)
        return; /* which is refused as a whole */
    if (inner->depth >= AT_BLOCK_OF(shape->member)) {
        if (shape->in_blocks)
            see_block(shape, inner);
    } else {
        see_message(shape, inner);
    }
}
