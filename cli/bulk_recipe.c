#include "cli/bulk_recipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/out.h"
#include "common/net/json_scan.h"

#define TEMPLATE_MAX_BYTES ((size_t)32 * 1024 * 1024)
#define CHUNK_BYTES 65536
#define HASH_BYTES 16 /* of SHA-256's 32 */

/* --- hashing: every part with its length, so that parts cannot shift --- */

static EVP_MD_CTX *
hash_new(void)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1)
        abort();
    return hash;
}

static void
hash_put(EVP_MD_CTX *hash, struct slice part)
{
    char len[32];
    int digits =
        snprintf(len, sizeof(len), "%zu:", part.data != NULL ? part.len : 0);
    if (EVP_DigestUpdate(hash, len, (size_t)digits) != 1 ||
        EVP_DigestUpdate(hash, part.data, part.len) != 1)
        abort();
}

/* 32 hex digits and a NUL. */
static void
hash_end(EVP_MD_CTX *hash, char *out)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (EVP_DigestFinal_ex(hash, digest, NULL) != 1)
        abort();
    EVP_MD_CTX_free(hash);
    text_hex(digest, HASH_BYTES, out);
}

/* --- opening --- */

static int
read_file(const char *path, struct buffer *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 0;
    while (fd >= 0 && out->len <= TEMPLATE_MAX_BYTES) {
        got = read(fd, buffer_reserve(out, CHUNK_BYTES), CHUNK_BYTES);
        if (got <= 0)
            break;
        out->len += (size_t)got;
    }
    if (got < 0)
        out_say("cannot read %s: %s", path, strerrordesc_np(errno));
    else if (out->len > TEMPLATE_MAX_BYTES)
        out_say("%s is larger than %zu MiB", path,
            TEMPLATE_MAX_BYTES / 1024 / 1024);
    if (fd >= 0)
        close(fd);
    return got < 0 || out->len > TEMPLATE_MAX_BYTES ? -1 : 0;
}

/* NULL (said) when it cannot be used. Its text goes into the hash. */
static struct template *
open_template(
    const char *path, const struct bulk_source *source, EVP_MD_CTX *hash)
{
    struct buffer text = {0};
    struct buffer error = {0};
    struct template *template = NULL;
    size_t count;
    const struct slice *names = bulk_source_names(source, &count);
    if (read_file(path, &text) == 0) {
        template = template_new(buffer_slice(&text), &error);
        if (template != NULL &&
            template_bind(template, names, count, &error) != 0) {
            template_free(template);
            template = NULL;
        }
        hash_put(hash, buffer_slice(&text));
    }
    if (error.len > 0)
        out_say("%s: %s", path, error.data);
    buffer_clear(&text);
    buffer_clear(&error);
    return template;
}

static int
find_id_column(struct bulk_recipe *recipe, const char *name,
    const struct bulk_source *source)
{
    size_t count;
    const struct slice *names = bulk_source_names(source, &count);
    if (name == NULL)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (!slice_equal_text(names[i], name))
            continue;
        if (recipe->has_id_column) {
            out_say("--id-column %s is the name of two columns", name);
            return -1;
        }
        recipe->has_id_column = true;
        recipe->id_column = i;
    }
    if (recipe->has_id_column)
        return 0;
    struct buffer list = {0};
    for (size_t i = 0; i < count; i++)
        buffer_printf(&list, "%s%.*s", i > 0 ? ", " : "", (int)names[i].len,
            names[i].data);
    out_say("--id-column %s: there is no such column; the columns are: %s",
        name, list.data != NULL ? list.data : "none");
    buffer_clear(&list);
    return -1;
}

int
bulk_recipe_open(struct bulk_recipe *recipe,
    const struct bulk_recipe_options *options, const struct bulk_source *source,
    const struct models *models)
{
    EVP_MD_CTX *hash = hash_new();
    char number[24];
    int result = -1;
    memset(recipe, 0, sizeof(*recipe));
    recipe->model = memory_dup(options->model);
    assert(options->template_path != NULL ||
        bulk_source_format(source) == BULK_FORMAT_JSONL);
    hash_put(hash, slice_of("longhaul bulk 1"));
    if (options->template_path != NULL) {
        recipe->prompt = open_template(options->template_path, source, hash);
        if (recipe->prompt == NULL)
            goto fail;
        hash_put(hash, slice_of(options->model));
        snprintf(number, sizeof(number), "%llu",
            (unsigned long long)options->max_tokens);
        hash_put(hash, slice_of(number));
    }
    if (options->system_path != NULL) {
        recipe->system = open_template(options->system_path, source, hash);
        if (recipe->system == NULL)
            goto fail;
    }
    if (find_id_column(recipe, options->id_column, source) != 0) {
        result = 1;
        goto fail;
    }
    hash_put(
        hash, slice_of(options->id_column != NULL ? options->id_column : ""));
    hash_end(hash, recipe->run);
    recipe->request = (struct template_request){.prompt = recipe->prompt,
        .system = recipe->system,
        .model = recipe->model,
        .max_tokens = options->max_tokens};
    if (recipe->prompt != NULL) {
        const struct model_info *info = models_find(models, recipe->model);
        template_request_plan(&recipe->request,
            models_cache_min_tokens(models, recipe->model),
            info != NULL ? info->token_factor : 0);
    }
    return 0;
fail:
    EVP_MD_CTX_free(hash);
    bulk_recipe_clear(recipe);
    return result;
}

void
bulk_recipe_clear(struct bulk_recipe *recipe)
{
    template_free(recipe->prompt);
    template_free(recipe->system);
    memory_free(recipe->model);
    memset(recipe, 0, sizeof(*recipe));
}

/* --- rows --- */

static bool
is_custom_id(struct slice text)
{
    if (text.len == 0 || text.len >= BULK_ID_SIZE)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                (c >= '0' && c <= '9') || c == '_' || c == '-'))
            return false;
    }
    return true;
}

void
bulk_recipe_id(const struct bulk_recipe *recipe,
    const struct bulk_source *source, const struct bulk_row *row,
    char id[BULK_ID_SIZE])
{
    if (recipe->has_id_column && is_custom_id(row->values[recipe->id_column])) {
        text_copy(id, BULK_ID_SIZE, row->values[recipe->id_column]);
        return;
    }
    EVP_MD_CTX *hash = hash_new();
    size_t count;
    const struct slice *names = bulk_source_names(source, &count);
    hash_put(hash, slice_of(recipe->run));
    if (row->raw.len > 0)
        hash_put(hash, row->raw);
    for (size_t i = 0; i < count && row->raw.len == 0; i++) {
        hash_put(hash, names[i]);
        hash_put(hash, row->values[i]);
    }
    memcpy(id, "r-", 2);
    hash_end(hash, id + 2);
}

static bool
has_members(const struct template *template, struct bulk_row *row)
{
    size_t count = template != NULL ? template_field_count(template) : 0;
    for (size_t i = 0; i < count; i++) {
        if (row->values[template_field_column(template, i)].data != NULL)
            continue;
        struct slice name = template_field_name(template, i);
        snprintf(row->fault, sizeof(row->fault), "has no member %.*s",
            (int)(name.len < 80 ? name.len : 80), name.data);
        return false;
    }
    return true;
}

bool
bulk_recipe_check(const struct bulk_recipe *recipe, struct bulk_row *row)
{
    if (row->fault[0] != '\0')
        return false;
    if (!has_members(recipe->prompt, row) || !has_members(recipe->system, row))
        return false;
    if (recipe->prompt == NULL ||
        !template_is_blank(recipe->prompt, row->values))
        return true;
    snprintf(row->fault, sizeof(row->fault),
        "is empty in every column that the template uses");
    return false;
}

void
bulk_recipe_prompt(const struct bulk_recipe *recipe, const struct bulk_row *row,
    struct buffer *out)
{
    if (recipe->system != NULL) {
        template_render(recipe->system, row->values, out);
        buffer_append_text(out, "\n\n");
    }
    if (recipe->prompt != NULL)
        template_render(recipe->prompt, row->values, out);
    else
        buffer_append_slice(out, row->raw);
}

/* A line that is {"params":...} with options beside them, or a request with
 * the options in it. */
static void
put_whole_request(struct slice raw, struct buffer *out)
{
    static const char *const names[] = {"params", "longhaul"};
    struct json_item items[2];
    if (json_object_pick(raw, names, items, 2) != 0 ||
        items[0].kind != JSON_KIND_OBJECT) {
        buffer_append_slice(out, raw);
        return;
    }
    buffer_append_slice(out, items[0].raw);
    if (items[1].kind == JSON_KIND_NONE || items[1].kind == JSON_KIND_NULL)
        return;
    buffer_append_text(out, ",\"longhaul\":");
    buffer_append_slice(out, items[1].raw);
}

void
bulk_recipe_line(const struct bulk_recipe *recipe, const struct bulk_row *row,
    const char *id, struct buffer *out)
{
    buffer_printf(out, "{\"custom_id\":\"%s\",\"params\":", id);
    if (recipe->prompt != NULL)
        template_request_render(&recipe->request, row->values, out);
    else
        put_whole_request(row->raw, out);
    buffer_append_text(out, "}\n");
}
