#ifndef LH_CLI_DOCTOR_H
#define LH_CLI_DOCTOR_H

/*
 * doctor: looks at everything that has to be right and says for each whether
 * it is, and if not, what to do. Works when nothing runs, changes nothing,
 * and spends nothing at Claude. cmd_doctor.c: the list and what is local;
 * doctor_data.c: Redis and the result store; doctor_http.c: the server and
 * Claude.
 */

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"

struct config;

enum doctor_verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

#define DOCTOR_MARKER_SIZE 80

struct doctor {
    struct cli *cli;
    struct config *config;
    /* What is looked at: of the settings, or of a data directory. */
    char *redis_url;
    char *redis_password_file;
    char *store_url;
    char redis_marker[DOCTOR_MARKER_SIZE]; /* "": none or not known */
    char store_marker[DOCTOR_MARKER_SIZE];
    unsigned failures;
    struct buffer json; /* with --json: the members of an array */
};

/* One line. `advice` (what to do) may be NULL. */
void doctor_report(struct doctor *doctor, enum doctor_verdict verdict,
    const char *name, const char *advice, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

void doctor_check_redis(struct doctor *doctor);
void doctor_check_store(struct doctor *doctor);
void doctor_check_server(struct doctor *doctor);
/* What pools, models and lanes wait for, if the server can be asked. */
void doctor_check_holds(struct doctor *doctor);
void doctor_check_upstream(struct doctor *doctor);

#endif
