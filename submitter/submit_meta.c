#include "submitter/submit_meta.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/service/config.h"
#include "common/service/models.h"
#include "common/service/service.h"
#include "submitter/routing.h"

/* --- headers --- */

/* YYYY-MM-DD */
static bool
is_version(struct slice value)
{
    if (value.len != 10)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.data[i];
        if (i == 4 || i == 7 ? c != '-' : c < '0' || c > '9')
            return false;
    }
    return true;
}

/* Characters of `value` all lie in [low, '~']. */
static bool
is_printable(struct slice value, char low)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < low || value.data[i] > '~')
            return false;
    }
    return true;
}

static const char *
take_version(const struct http_head *head, struct job_meta *meta)
{
    struct slice value = http_head_get(head, "anthropic-version");
    size_t count = http_head_count(head, "anthropic-version");
    if (count == 0)
        return NULL;
    if (count > 1 || !is_version(value))
        return "anthropic-version: must be one date such as 2023-06-01.";
    text_copy(meta->api_version, sizeof(meta->api_version), value);
    return NULL;
}

/* Several headers are one list (RFC 9110 5.3). */
static const char *
take_beta(const struct http_head *head, struct job_meta *meta)
{
    struct buffer all = {0};
    for (size_t i = 0; i < head->header_count; i++) {
        const struct http_header *header = &head->headers[i];
        if (!slice_equal_nocase(header->name, "anthropic-beta") ||
            header->value.len == 0)
            continue;
        if (all.len > 0)
            buffer_append_char(&all, ',');
        buffer_append_slice(&all, header->value);
    }
    bool fine = all.len <= SUBMIT_META_BETA_MAX &&
        is_printable(buffer_slice(&all), ' ');
    if (fine && all.len > 0)
        meta->beta = memory_dup(all.data);
    buffer_clear(&all);
    return fine ? NULL
                : "anthropic-beta: must be printable ASCII of at most 1024 "
                  "characters.";
}

static const char *
take_key(const struct http_head *head, struct job_meta *meta)
{
    struct slice value = http_head_get(head, "idempotency-key");
    size_t count = http_head_count(head, "idempotency-key");
    if (count == 0)
        return NULL;
    if (count > 1 || value.len == 0 || value.len > SUBMIT_META_KEY_MAX ||
        !is_printable(value, '!'))
        return "Idempotency-Key: must be 1 to 255 visible ASCII characters, "
               "once.";
    meta->idempotency_key = memory_dup_bytes(value.data, value.len);
    return NULL;
}

const char *
submit_meta_head(const struct http_head *head, struct job_meta *meta)
{
    const char *wrong = take_version(head, meta);
    if (wrong == NULL)
        wrong = take_beta(head, meta);
    if (wrong == NULL)
        wrong = take_key(head, meta);
    return wrong;
}

/* --- what the request says --- */

static void
add_fallback(
    const struct service *service, struct job_meta *meta, struct slice model)
{
    char name[JOB_MODEL_MAX + 1];

    text_copy(name, sizeof(name), model);
    job_meta_add_fallback(meta, model, models_bucket(service->models, name));
}

static void
take_fallbacks(const struct service *service, const struct job_options *options,
    struct job_meta *meta)
{
    struct slice rest = slice_of(service->config->fallback_models);
    bool limits = options->has_fallback_on
        ? options->fallback_on_limit
        : service->config->fallback_on != NULL;
    size_t len;

    for (unsigned i = 0; i < options->fallback_count; i++)
        add_fallback(service, meta, slice_of(options->fallback_models[i]));
    while (options->fallback_count == 0 && rest.len > 0) {
        struct slice word = slice_split(&rest, ' ');
        if (word.len > 0)
            add_fallback(service, meta, word);
    }
    len = strlen(meta->fallback_chain);
    if (limits && len > 0) {
        meta->fallback_chain[len] = JOB_CHAIN_LIMITS;
        meta->fallback_chain[len + 1] = '\0';
    }
}

static void
take_model(
    const struct service *service, const char *model, struct job_meta *meta)
{
    text_copy(meta->model, sizeof(meta->model), slice_of(model));
    text_copy(meta->bucket, sizeof(meta->bucket),
        slice_of(models_bucket(service->models, meta->model)));
}

static void
take_route(const struct service *service, const struct prompt_mix *mix,
    struct job_meta *meta)
{
    const struct model_info *info = models_find(service->models, meta->model);
    const struct prompt_rates rates = prompt_rates_guess(
        info != NULL && info->token_factor > 0 ? info->token_factor : 1);
    const char *to =
        routing_model(service->config, meta, prompt_rates_apply(&rates, mix));

    if (to == NULL)
        return;
    text_copy(meta->model_requested, sizeof(meta->model_requested),
        slice_of(meta->model));
    take_model(service, to, meta);
}

bool
submit_meta_too_long(const struct service *service,
    const struct prompt_mix *mix, const struct job_meta *meta,
    char text[SUBMIT_META_TEXT])
{
    const struct model_info *info = models_find(service->models, meta->model);
    uint64_t least = prompt_mix_least_tokens(mix);

    if (info == NULL || info->context_tokens == 0 || meta->beta != NULL ||
        least <= info->context_tokens)
        return false;
    snprintf(text, SUBMIT_META_TEXT,
        "The prompt is too long: it has at least %" PRIu64
        " tokens, and %s takes %" PRIu64 ".",
        least, meta->model, info->context_tokens);
    return true;
}

void
submit_meta_request(const struct service *service,
    const struct request_info *info, const struct prompt_mix *mix,
    int64_t created_ms, struct job_meta *meta)
{
    const struct job_options *options = &info->options;
    struct buffer recipe = {0};
    take_model(service, info->model, meta);
    meta->lane = options->lane;
    meta->created_ms = created_ms;
    meta->expires_ms = meta->created_ms + options->expires_in_ms;
    meta->timeout_ms = options->timeout_ms;
    meta->max_attempts = options->max_attempts;
    meta->max_tokens = (uint64_t)info->max_tokens;
    meta->shorthand = info->shorthand;
    meta->sampling = info->has_sampling;
    request_recipe_encode(&info->recipe, &recipe);
    meta->recipe = buffer_take(&recipe);
    for (unsigned i = 0; i < options->tag_count; i++)
        job_meta_add_tag(meta, slice_of(options->tags[i]));
    take_route(service, mix, meta);
    take_fallbacks(service, options, meta);
}

uint64_t
submit_meta_upstream_bytes(const struct service *service,
    const struct request_info *info, const struct job_meta *meta)
{
    bool stream = meta->max_tokens >= service->config->stream_above_tokens;
    const char *model = meta->model_requested[0] != '\0' ? meta->model : NULL;
    uint64_t most = request_apply_length(&info->recipe, model, stream);
    for (unsigned i = 0; i < meta->fallback_count; i++) {
        uint64_t bytes =
            request_apply_length(&info->recipe, meta->fallbacks[i], stream);
        most = bytes > most ? bytes : most;
    }
    return most;
}
