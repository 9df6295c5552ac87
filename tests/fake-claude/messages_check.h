#ifndef LH_FAKE_MESSAGES_CHECK_H
#define LH_FAKE_MESSAGES_CHECK_H

/*
 * messages_check: the checks of the members of a Messages request that have
 * a structure. Internal to request; each returns 0, or -1 with the error.
 */

#include "tests/fake-claude/fields.h"

int check_messages(
    const struct field_check *check, const json_t *value) MUST_CHECK;
int check_system(
    const struct field_check *check, const json_t *value) MUST_CHECK;
int check_tools(
    const struct field_check *check, const json_t *value) MUST_CHECK;
int check_tool_choice(
    const struct field_check *check, const json_t *value) MUST_CHECK;
int check_thinking(
    const struct field_check *check, const json_t *value) MUST_CHECK;
int check_output_config(
    const struct field_check *check, const json_t *value) MUST_CHECK;

#endif
