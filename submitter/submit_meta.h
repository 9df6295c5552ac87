#ifndef LH_SUBMITTER_SUBMIT_META_H
#define LH_SUBMITTER_SUBMIT_META_H

/*
 * submit_meta: what the headers and the body of a submission say about its
 * job, for single jobs and for items of a batch alike.
 */

#include "common/job/job.h"
#include "common/job/request.h"
#include "common/net/http_parse.h"

#define SUBMIT_META_KEY_MAX 255
#define SUBMIT_META_BETA_MAX 1024

struct service;

/* api_version, beta and idempotency_key from the headers. NULL, or what is
 * wrong with them, for the client (static); meta is then to be cleared. */
const char *submit_meta_head(
    const struct http_head *head, struct job_meta *meta) MUST_CHECK;

/* What the request is (info of a reader that has finished, mix of its text)
 * and the defaults and routes of the installation: everything but tenant,
 * headers and the stored form. created_ms: wall clock; the deadline counts
 * from it. */
void submit_meta_request(const struct service *service,
    const struct request_info *info, const struct prompt_mix *mix,
    int64_t created_ms, struct job_meta *meta);

/*
 * Whether the prompt is certainly too long for its model (a guess does not
 * count, and with a beta it is not ours to say): true with a sentence for the
 * client in text.
 */
#define SUBMIT_META_TEXT 300
bool submit_meta_too_long(const struct service *service,
    const struct prompt_mix *mix, const struct job_meta *meta,
    char text[SUBMIT_META_TEXT]) MUST_CHECK;

/* How many bytes Claude would get, at most: a fallback's name may be longer
 * than the first model's. */
uint64_t submit_meta_upstream_bytes(const struct service *service,
    const struct request_info *info, const struct job_meta *meta);

#endif
