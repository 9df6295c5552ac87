#include "cli/exposition.h"

#include <string.h>

#define FAMILIES_MAX 1000

struct family {
    char *name;
    struct buffer help; /* the lines as the first process wrote them */
    struct buffer type;
    struct buffer samples;
};

struct exposition {
    struct family *families;
    size_t count;
};

struct exposition *
exposition_new(void)
{
    return memory_zalloc(1, sizeof(struct exposition));
}

void
exposition_free(struct exposition *exposition)
{
    for (size_t i = 0; i < exposition->count; i++) {
        struct family *family = &exposition->families[i];
        memory_free(family->name);
        buffer_clear(&family->help);
        buffer_clear(&family->type);
        buffer_clear(&family->samples);
    }
    memory_free(exposition->families);
    memory_free(exposition);
}

/* The family of that name, made when there is none; NULL: too many. */
static struct family *
family_of(struct exposition *exposition, struct slice name)
{
    for (size_t i = 0; i < exposition->count; i++) {
        if (slice_equal_text(name, exposition->families[i].name))
            return &exposition->families[i];
    }
    if (name.len == 0 || exposition->count == FAMILIES_MAX)
        return NULL;
    exposition->families = memory_resize(exposition->families,
        (exposition->count + 1) * sizeof(*exposition->families));
    struct family *family = &exposition->families[exposition->count++];
    memset(family, 0, sizeof(*family));
    family->name = memory_dup_bytes(name.data, name.len);
    return family;
}

/* "# HELP name text" or "# TYPE name kind". */
static struct family *
add_comment(struct exposition *exposition, struct slice line)
{
    struct slice rest = line;
    slice_split(&rest, ' ');
    struct slice word = slice_split(&rest, ' ');
    struct slice name = slice_split(&rest, ' ');
    bool is_help = slice_equal_text(word, "HELP");
    if (!is_help && !slice_equal_text(word, "TYPE"))
        return NULL;
    struct family *family = family_of(exposition, name);
    if (family == NULL)
        return NULL;
    struct buffer *kept = is_help ? &family->help : &family->type;
    if (kept->len == 0) {
        buffer_append_slice(kept, line);
        buffer_append_char(kept, '\n');
    }
    return family;
}

static void
add_sample(struct family *family, const char *process, struct slice line)
{
    size_t len = 0;
    while (len < line.len && line.data[len] != '{' && line.data[len] != ' ')
        len++;
    if (len == 0 || len == line.len)
        return;
    bool labelled = line.data[len] == '{';
    struct buffer *out = &family->samples;
    buffer_append(out, line.data, len);
    buffer_printf(out, "{process=\"%s\"", process);
    if (labelled && line.data[len + 1] != '}')
        buffer_append_char(out, ',');
    else if (!labelled)
        buffer_append_char(out, '}');
    len += labelled ? 1 : 0;
    buffer_append(out, line.data + len, line.len - len);
    buffer_append_char(out, '\n');
}

void
exposition_add(
    struct exposition *exposition, const char *process, struct slice text)
{
    struct family *family = NULL;
    while (text.len > 0) {
        struct slice line = slice_split(&text, '\n');
        if (line.len > 0 && line.data[0] == '#')
            family = add_comment(exposition, line);
        else if (line.len > 0 && family != NULL)
            add_sample(family, process, line);
    }
}

void
exposition_render(const struct exposition *exposition, struct buffer *out)
{
    for (size_t i = 0; i < exposition->count; i++) {
        const struct family *family = &exposition->families[i];
        buffer_append_slice(out, buffer_slice(&family->help));
        buffer_append_slice(out, buffer_slice(&family->type));
        buffer_append_slice(out, buffer_slice(&family->samples));
    }
}
