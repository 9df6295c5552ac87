#ifndef LH_FAKE_QUOTA_H
#define LH_FAKE_QUOTA_H

/*
 * quota: the rate limits as an answer's headers (Claude's documentation,
 * "Rate limits": -limit, -remaining and -reset for requests, tokens, input
 * and output tokens; token counts rounded to thousands).
 */

#include "common/net/http_server.h"
#include "tests/fake-claude/limits.h"

/* Nothing for what is unlimited. */
void quota_answer_headers(struct http_request *req, struct limits *limits);

#endif
