#ifndef LH_JOB_REQUEST_SHAPE_H
#define LH_JOB_REQUEST_SHAPE_H

/*
 * request_shape: whether `messages` and `system` can be what Claude takes, so
 * that a request that is certain to fail is refused at submit. Checked: a
 * message is an object with a role and a content, a content is a text or a
 * list of blocks, a block is an object with a type. Everything else, also
 * members that are not known here, is Claude's business. Pure.
 */

#include "common/net/json_scan.h"

#define REQUEST_SHAPE_TEXT_SIZE 128
/* Claude's own bound. */
#define REQUEST_MESSAGES_MAX 100000

enum request_shape_member { REQUEST_SHAPE_MESSAGES, REQUEST_SHAPE_SYSTEM };

struct request_shape {
    enum request_shape_member member;
    unsigned message; /* index of the one being read */
    unsigned block;
    bool has_role; /* of the message */
    bool has_content;
    bool at_role; /* its value is being read */
    bool in_blocks; /* of the message's content, or of system */
    bool has_type; /* of the block */
    char fault[REQUEST_SHAPE_TEXT_SIZE]; /* "": none; the first is kept */
};

/* How deep the scanner has to look into that member. */
unsigned request_shape_depth(enum request_shape_member member);
/* The member's value begins. */
void request_shape_start(
    struct request_shape *shape, enum request_shape_member member);
/* What the scanner tells of it; afterwards shape->fault may be set:
 * "messages[3].role: expected user, assistant or system". */
void request_shape_see(
    struct request_shape *shape, const struct json_inner *inner);

#endif
