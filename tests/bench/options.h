#ifndef LH_TESTS_BENCH_OPTIONS_H
#define LH_TESTS_BENCH_OPTIONS_H

/* The arguments of a benchmark program: "--name value" pairs, in any order. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

static inline const char *
options_text(int argc, char **argv, const char *name, const char *otherwise)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

static inline uint64_t
options_number(int argc, char **argv, const char *name, uint64_t otherwise)
{
    const char *text = options_text(argc, argv, name, NULL);
    uint64_t value = otherwise;

    if (text != NULL &&
        text_parse_u64(slice_of(text), UINT32_MAX, &value) != 0) {
        fprintf(stderr, "%s: not a number: %s\n", name, text);
        exit(2);
    }
    return value;
}

#endif
