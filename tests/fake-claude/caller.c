#include "tests/fake-claude/caller.h"

#include <ctype.h>

static const char *
auth_of(const struct http_head *head)
{
    struct slice bearer = http_head_get(head, "authorization");
    if (http_head_get(head, "x-api-key").len > 0)
        return "x-api-key";
    if (bearer.len > 7 &&
        slice_equal_nocase(slice_make(bearer.data, 7), "bearer "))
        return "bearer";
    return NULL;
}

/* Every beta is named like "files-api-2025-04-14"; the simulator takes all
 * that look so. */
static bool
looks_like_beta(struct slice name)
{
    static const char shape[] = "-dddd-dd-dd";
    const size_t len = sizeof(shape) - 1;
    if (name.len <= len)
        return false;
    const char *tail = name.data + name.len - len;
    for (size_t i = 0; i < len; i++) {
        bool good = shape[i] == 'd' ? isdigit((unsigned char)tail[i]) != 0
                                    : tail[i] == shape[i];
        if (!good)
            return false;
    }
    return true;
}

static int
check_betas(const struct http_head *head, struct caller *caller,
    struct api_error *error)
{
    for (size_t i = 0; i < head->header_count; i++) {
        struct slice list = head->headers[i].value;
        if (!slice_equal_nocase(head->headers[i].name, "anthropic-beta"))
            continue;
        while (list.len > 0) {
            struct slice beta = slice_trim(slice_split(&list, ','));
            caller->has_betas = true;
            if (beta.len > 0 && !looks_like_beta(beta))
                return api_error_set(error, 400,
                    "Unexpected value(s) `%.*s` for the `anthropic-beta` "
                    "header",
                    (int)(beta.len < 64 ? beta.len : 64), beta.data);
        }
    }
    return 0;
}

static int
check_version(const struct http_head *head, struct caller *caller,
    struct api_error *error)
{
    struct slice version = http_head_get(head, "anthropic-version");
    if (version.len == 0)
        return api_error_set(
            error, 400, "anthropic-version: header is required");
    if (slice_equal_text(version, "2023-06-01"))
        caller->version = API_2023_06_01;
    else if (slice_equal_text(version, "2026-10-21"))
        caller->version = API_2026_10_21;
    else
        return api_error_set(error, 400,
            "anthropic-version: \"%.*s\" is not a valid version",
            (int)(version.len < 32 ? version.len : 32), version.data);
    return 0;
}

int
caller_read(const struct http_head *head, struct caller *caller,
    struct api_error *error)
{
    struct slice type = http_head_get(head, "content-type");
    *caller = (struct caller){.auth = auth_of(head)};
    if (caller->auth == NULL)
        return api_error_set(error, 401, "x-api-key header is required");
    if (check_version(head, caller, error) != 0 ||
        check_betas(head, caller, error) != 0)
        return -1;
    if (slice_equal_text(head->method, "POST") &&
        !slice_equal_nocase(
            slice_trim(slice_split(&type, ';')), "application/json"))
        return api_error_set(
            error, 400, "content-type: should be application/json");
    return 0;
}

void
caller_answer_headers(struct http_request *req, bool marked)
{
    http_reply_header(req, "request-id", http_request_id(req));
    if (marked)
        http_reply_header(req, "x-fake-claude", "simulated");
    http_reply_header(req, "anthropic-organization-id",
        "00000000-0000-4000-8000-000000000000");
    http_reply_header(req, "anthropic-workspace-id", "wrkspc_simulated");
}
