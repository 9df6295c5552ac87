#include <string.h>

#include "tests/fake-claude/simulator.h"

/* The two documents of the control routes. */

static void
append_count(struct buffer *out, const char *key, uint64_t count)
{
    buffer_append_json(out, slice_of(key));
    buffer_append_char(out, ':');
    buffer_append_u64(out, count);
    buffer_append_char(out, ',');
}

void
simulator_append_stats(const struct simulator *sim, struct buffer *out)
{
    buffer_append_char(out, '{');
    append_count(out, "calls", sim->calls);
    append_count(out, "in_flight", sim->in_flight);
    append_count(out, "peak_in_flight", sim->peak_in_flight);
    append_count(out, "input_tokens", sim->input_tokens);
    append_count(out, "output_tokens", sim->output_tokens);
    append_count(out, "cache_read", sim->cache_read);
    append_count(out, "cache_write", sim->cache_write);
    buffer_append_text(out, "\"outcomes\":{");
    for (size_t i = 0; i < sim->outcome_count; i++) {
        append_count(out, sim->outcomes[i].name, sim->outcomes[i].count);
        if (i + 1 == sim->outcome_count)
            out->len--; /* the comma behind the last */
    }
    buffer_append_text(out, "}}");
}

static int
read_count(const json_t *value, uint64_t most, uint64_t *count)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || (uint64_t)number > most)
        return -1;
    *count = (uint64_t)number;
    return 0;
}

static int
read_limits(const json_t *value, uint64_t *per_minute)
{
    static const char *const names[LIMIT_KINDS] = {"rpm", "itpm", "otpm"};
    size_t known = 0;
    for (int i = 0; i < LIMIT_KINDS; i++) {
        const json_t *limit = json_object_get(value, names[i]);
        if (limit == NULL)
            continue;
        known++;
        if (read_count(limit, UINT32_MAX, &per_minute[i]) != 0)
            return -1;
    }
    return json_is_object(value) && known == json_object_size(value) ? 0 : -1;
}

struct change {
    struct simulator_mode mode;
    uint64_t per_minute[LIMIT_KINDS];
    bool new_limits;
};

static int
read_member(struct change *change, const char *name, const json_t *value)
{
    uint64_t count = 0;
    if (strcmp(name, "outage") == 0) {
        change->mode.outage = json_is_true(value);
        return json_is_boolean(value) ? 0 : -1;
    }
    if (strcmp(name, "error_rate") == 0) {
        double rate = json_number_value(value);
        change->mode.error_rate = rate;
        return json_is_number(value) && rate >= 0 && rate <= 1 ? 0 : -1;
    }
    if (strcmp(name, "status") == 0) {
        int result = read_count(value, 599, &count);
        change->mode.status = (unsigned)count;
        return count >= 400 ? result : -1;
    }
    if (strcmp(name, "retry_after") == 0) {
        int result = read_count(value, UINT32_MAX, &count);
        change->mode.retry_after_s = (unsigned)count;
        return result;
    }
    if (strcmp(name, "latency_ms") == 0)
        return read_count(value, 86400000, &change->mode.latency_ms);
    if (strcmp(name, "limits") == 0) {
        change->new_limits = true;
        return read_limits(value, change->per_minute);
    }
    return -1;
}

int
simulator_set_mode(struct simulator *sim, struct slice body, const char **error)
{
    struct change change = {.mode = sim->mode};
    memcpy(
        change.per_minute, sim->settings.per_minute, sizeof(change.per_minute));
    json_t *root =
        json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    int result = json_is_object(root) ? 0 : -1;
    void *at = json_object_iter(root);
    for (; result == 0 && at != NULL; at = json_object_iter_next(root, at))
        result = read_member(
            &change, json_object_iter_key(at), json_object_iter_value(at));
    json_decref(root);
    if (result != 0) {
        *error = "expected outage (bool), error_rate (0..1), status "
                 "(400..599), retry_after, latency_ms, limits {rpm, itpm, "
                 "otpm}";
        return -1;
    }
    sim->mode = change.mode;
    if (change.new_limits)
        simulator_set_limits(sim, change.per_minute);
    return 0;
}
