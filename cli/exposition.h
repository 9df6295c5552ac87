#ifndef LH_CLI_EXPOSITION_H
#define LH_CLI_EXPOSITION_H

/*
 * exposition: the metrics of several processes as one text (Prometheus 0.0.4):
 * each family once, with the samples of all, told apart by the label
 * process="NAME". Pure.
 */

#include "common/base/buffer.h"

struct exposition;

struct exposition *exposition_new(void) MUST_CHECK;
void exposition_free(struct exposition *exposition);
/* `process` must need no escaping. Lines that make no sense are left out. */
void exposition_add(
    struct exposition *exposition, const char *process, struct slice text);
void exposition_render(const struct exposition *exposition, struct buffer *out);

#endif
