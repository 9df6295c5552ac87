#ifndef LH_FAKE_CALLER_H
#define LH_FAKE_CALLER_H

/*
 * caller: what the headers of a request say, checked as the API checks
 * them, and the headers every answer carries.
 */

#include "common/net/http_server.h"
#include "tests/fake-claude/request.h"

struct caller {
    const char *auth; /* "x-api-key" or "bearer"; NULL: neither */
    enum api_version version;
    bool has_betas;
};

/* 0, or -1 with *error (401 without a key, 400 for version, beta and type);
 * caller->auth is set in both cases. */
int caller_read(const struct http_head *head, struct caller *caller,
    struct api_error *error) MUST_CHECK;
/* request-id, organisation, workspace and, when `marked`, x-fake-claude. */
void caller_answer_headers(struct http_request *req, bool marked);

#endif
