#include "config/mapping_loader.h"

#include "base/clock.h"

#include <assert.h>

enum {
    LOADER_NAME_BYTES = 128, // of a metadata name or of one column path
    LOADER_CONSTANT_CAP = 4 << 20,
};

void loader_init(struct loader *loader, struct problems *problems)
{
    *loader = (struct loader){
        .mapping = mapping_create(),
        .problems = problems,
        .wall_ns = clock_wall_ns(),
    };
    buf_init(&loader->path, LOADER_PATH_CAP);
    buf_init(&loader->json, LOADER_CONSTANT_CAP);
    buf_init(&loader->converted, LOADER_CONSTANT_CAP);
    buf_init(&loader->scratch, LOADER_CONSTANT_CAP);
    bool fits = buf_append_str(&loader->path, STR("mapping"));
    assert(fits);
    (void)fits;
}

void loader_free(struct loader *loader)
{
    mapping_destroy(loader->mapping);
    buf_free(&loader->scratch);
    buf_free(&loader->converted);
    buf_free(&loader->json);
    buf_free(&loader->path);
}

// ---- messages ----

size_t loader_faults(const struct loader *loader)
{
    return problems_count(loader->problems) + loader->unknowns;
}

size_t loader_push(struct loader *loader, struct str name)
{
    size_t before = loader->path.len;
    // A path that is too long is only shown shorter: names are checked elsewhere.
    bool fits = buf_append_char(&loader->path, '.') && buf_append_str(&loader->path, name);
    (void)fits;
    return before;
}

void loader_pop(struct loader *loader, size_t before)
{
    buf_truncate(&loader->path, before);
}

struct str loader_target(const struct loader *loader)
{
    struct str path = buf_peek(&loader->path);
    size_t prefix = sizeof "mapping." - 1;
    return path.len <= prefix ? STR("") : (struct str){path.ptr + prefix, path.len - prefix};
}

// "what "found": did you mean NEAREST?", or the whole list when nothing is near.
void loader_report_unknown(struct loader *loader, struct yaml_place place, const char *what,
                           struct str found, const char *const *names, size_t count)
{
    const char *nearest = str_nearest(found, names, count);
    if (nearest != NULL) {
        loader_report(loader, place, "unknown %s \"%.*s\"; did you mean \"%s\"?", what,
                      STR_ARG(problems_excerpt(found)), nearest);
        return;
    }
    struct buf list;
    buf_init(&list, LOADER_PATH_CAP);
    bool fits = true;
    for (size_t i = 0; fits && i < count; i++) {
        fits = buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    loader_report(loader, place, "unknown %s \"%.*s\"; allowed: %.*s", what,
                  STR_ARG(problems_excerpt(found)), STR_ARG(buf_peek(&list)));
    buf_free(&list);
}

// ---- scalars ----

static const char *kind_words(const struct yaml_node *node)
{
    switch (node->kind) {
    case YAML_KIND_NULL:
        return "is empty";
    case YAML_KIND_SCALAR:
        return "is a single value";
    case YAML_KIND_SEQUENCE:
        return "is a list";
    case YAML_KIND_MAPPING:
        return node->count == 0 ? "is empty" : "is a mapping";
    }
    return "";
}

// `ok` says whether the node is what was asked for.
static bool check_kind(struct loader *loader, const struct yaml_node *node, bool ok,
                       const char *allowed)
{
    if (node->unknown) {
        loader->unknowns++;
    } else if (!ok) {
        loader_report(loader, node->place, "%s; allowed: %s", kind_words(node), allowed);
    }
    return ok;
}

bool loader_is_scalar(struct loader *loader, const struct yaml_node *node, const char *allowed)
{
    return check_kind(loader, node, node->kind == YAML_KIND_SCALAR, allowed);
}

bool loader_is_full(struct loader *loader, const struct yaml_node *node, const char *allowed)
{
    return check_kind(loader, node, node->kind == YAML_KIND_MAPPING && node->count > 0, allowed);
}

int loader_read_word(struct loader *loader, const struct yaml_node *node, const char *const *words,
                     int count, const char *allowed)
{
    if (!loader_is_scalar(loader, node, allowed)) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if (str_equal(node->text, str_of(words[i]))) {
            return i;
        }
    }
    loader_report(loader, node->place, "is \"%.*s\"; allowed: %s",
                  STR_ARG(problems_excerpt(node->text)), allowed);
    return -1;
}

// Names end up in messages, in reasons and in the request: they are kept short and printable.
bool loader_is_name(struct loader *loader, struct yaml_place place, struct str name)
{
    if (name.len == 0) {
        loader_report(loader, place, "an empty name");
        return false;
    }
    if (name.len > LOADER_NAME_BYTES) {
        loader_report(loader, place, "a name of %zu bytes; at most %d are allowed", name.len,
                      (int)LOADER_NAME_BYTES);
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7F) {
            loader_report(loader, place, "a name with a control character");
            return false;
        }
    }
    return true;
}
