/*
 * A template: what is accepted renders, and its request is JSON; what is
 * refused has a sentence.
 */

#include <stdlib.h>
#include <string.h>

#include "common/job/template.h"
#include "common/net/json_scan.h"

#define MUST(condition) \
    do { \
        if (!(condition)) \
            abort(); \
    } while (0)

static const struct slice names[] = {{"a", 1}, {"b", 1}, {"", 0}};
static const struct slice values[] = {{"x\"", 2}, {"", 0}, {"\n", 1}};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make((const char *)data, size);
    struct buffer error = {0};
    struct buffer out = {0};
    struct template *template = template_new(text, &error);

    MUST((template == NULL) == (error.len > 0));
    if (template != NULL && template_bind(template, names, 3, &error) == 0) {
        struct template_request request = {
            template, size % 2 == 0 ? template : NULL, "m", 1, false, false};

        template_render(template, values, &out);
        MUST(text_is_utf8(buffer_slice(&out)));
        buffer_reset(&out);
        template_request_plan(&request, 1 + size % 7, 1.3);
        template_request_render(&request, values, &out);
        MUST(json_scan_all(out.data, out.len, 16, NULL) == 0);
    } else {
        MUST(error.len > 0);
    }
    template_free(template);
    buffer_clear(&error);
    buffer_clear(&out);
    return 0;
}
