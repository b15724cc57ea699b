#include "config/yaml.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

enum { YAML_FILE_BYTES = 1024 * 1024, YAML_DEPTH_MAX = 32, YAML_PATH_BYTES = 1024 };

struct yaml_tree {
    char *name; // the file, as all places in the tree name it
    struct yaml_node *root;
};

struct yaml_builder {
    yaml_parser_t parser;
    struct yaml_tree *tree;
    struct problems *problems;
    struct buf path; // dotted, of the node being built
    bool broken;     // the tree cannot be used
};

// The tree

static void yaml_node_destroy(struct yaml_node *node)
{
    if (node == NULL) {
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == YAML_KIND_MAPPING) {
            mem_free_text(node->pairs[i].key.ptr); // our copy, see yaml_copy
            yaml_node_destroy(node->pairs[i].value);
        } else {
            yaml_node_destroy(node->items[i]);
        }
    }
    free(node->pairs);
    free(node->items);
    mem_free_text(node->text.ptr);
    free(node);
}

void yaml_destroy(struct yaml_tree *tree)
{
    if (tree != NULL) {
        yaml_node_destroy(tree->root);
        free(tree->name);
        free(tree);
    }
}

const struct yaml_node *yaml_root(const struct yaml_tree *tree)
{
    return tree->root;
}

const struct yaml_node *yaml_get(const struct yaml_node *mapping, struct str key)
{
    if (mapping == NULL || mapping->kind != YAML_KIND_MAPPING) {
        return NULL;
    }
    for (size_t i = 0; i < mapping->count; i++) {
        if (str_equal(mapping->pairs[i].key, key)) {
            return mapping->pairs[i].value;
        }
    }
    return NULL;
}

// A document may come from a stranger's editor: what libyaml would refuse with a riddle, or would
// take, is looked for here first.

// Line and column of a byte, counted as libyaml counts.
static struct yaml_place yaml_place_at(const char *name, struct str text, size_t offset)
{
    struct yaml_place place = {.file = name, .line = 1, .column = 1};
    for (size_t i = 0; i < offset && i < text.len; i++) {
        char c = text.ptr[i];
        bool crlf = c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n';
        if (c == '\n' || (c == '\r' && !crlf)) {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)c & 0xC0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

// Bytes of the character at `offset`, or 0 when it is not UTF-8.
static size_t yaml_utf8_step(struct str text, size_t offset)
{
    unsigned char lead = (unsigned char)text.ptr[offset];
    size_t len = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0x80 ? 2 : 1;
    bool whole = offset + len <= text.len && str_is_utf8((struct str){text.ptr + offset, len});
    return whole ? len : 0;
}

static bool yaml_is_control(struct str character)
{
    unsigned char lead = (unsigned char)character.ptr[0];
    if (character.len == 2 && lead == 0xC2) {
        return (unsigned char)character.ptr[1] < 0xA0;
    }
    return lead == 0x7F || (lead < 0x20 && lead != '\t' && lead != '\n' && lead != '\r');
}

static bool yaml_check_characters(const char *name, struct str text, struct problems *problems)
{
    for (size_t i = 0; i < text.len;) {
        size_t step = yaml_utf8_step(text, i);
        if (step == 0) {
            problems_add(problems, yaml_place_at(name, text, i), NULL,
                         "byte 0x%02X is not UTF-8; save the file as UTF-8",
                         (unsigned char)text.ptr[i]);
            return false;
        }
        if (yaml_is_control((struct str){text.ptr + i, step})) {
            problems_add(problems, yaml_place_at(name, text, i), NULL,
                         "control character U+%04X; only printable text is allowed",
                         (unsigned char)text.ptr[i + step - 1]);
            return false;
        }
        i += step;
    }
    return true;
}

static bool yaml_check_tabs(const char *name, struct str text, struct problems *problems)
{
    size_t found = 0;
    size_t first = 0;
    bool indentation = true;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\t' && indentation) {
            first = found++ == 0 ? i : first;
            indentation = false; // counts lines, not tabs
        } else {
            indentation = c == '\n' || c == '\r' || (indentation && c == ' ');
        }
    }
    if (found > 0) {
        problems_add(problems, yaml_place_at(name, text, first), NULL,
                     "tab in the indentation (lines like this: %zu); use spaces", found);
    }
    return found == 0;
}

// Building

static struct yaml_place yaml_place_of(const struct yaml_builder *builder, yaml_mark_t mark)
{
    return (struct yaml_place){
        .file = builder->tree->name,
        .line = (int)mark.line + 1,
        .column = (int)mark.column + 1,
    };
}

static void yaml_report(struct yaml_builder *builder, yaml_mark_t mark, const char *text)
{
    problems_add(builder->problems, yaml_place_of(builder, mark), builder->path.data, "%s", text);
}

static void yaml_report_syntax(struct yaml_builder *builder)
{
    const yaml_parser_t *parser = &builder->parser;
    const char *problem = parser->problem == NULL ? "cannot be read" : parser->problem;
    struct yaml_place place = yaml_place_of(builder, parser->problem_mark);
    if (parser->error == YAML_READER_ERROR) { // has an offset only
        struct str text = {(const char *)parser->input.string.start,
                           (size_t)(parser->input.string.end - parser->input.string.start)};
        place = yaml_place_at(builder->tree->name, text, parser->problem_offset);
    }
    if (parser->context == NULL) {
        problems_add(builder->problems, place, NULL, "YAML syntax: %s", problem);
    } else {
        problems_add(builder->problems, place, NULL, "YAML syntax: %s, %s that begins in line %d",
                     problem, parser->context, (int)parser->context_mark.line + 1);
    }
}

// The caller deletes the event. False: parsing cannot go on.
static bool yaml_next(struct yaml_builder *builder, yaml_event_t *event)
{
    if (yaml_parser_parse(&builder->parser, event)) {
        return true;
    }
    *event = (yaml_event_t){0};
    yaml_report_syntax(builder);
    return false;
}

static struct str yaml_copy(const yaml_event_t *scalar)
{
    const char *value = (const char *)scalar->data.scalar.value;
    size_t len = scalar->data.scalar.length;
    return (struct str){mem_strndup(value, len), len};
}

static void yaml_refuse_extras(struct yaml_builder *builder, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL) {
        yaml_report(builder, event->start_mark, "anchor (&name); write the value out instead");
    }
    if (tag != NULL) {
        yaml_report(builder, event->start_mark, "tag (!name); write the value without it");
    }
}

bool yaml_is_null(struct str text)
{
    return text.len == 0 || str_equal(text, STR("~")) || str_equal(text, STR("null")) ||
           str_equal(text, STR("Null")) || str_equal(text, STR("NULL"));
}

static void yaml_fill_scalar(struct yaml_node *node, const yaml_event_t *event)
{
    struct str text = yaml_copy(event);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (!node->quoted && yaml_is_null(text)) {
        mem_free_text(text.ptr);
        return;
    }
    node->kind = YAML_KIND_SCALAR;
    node->text = text;
}

// Room for one more: arrays grow when their length is a power of two.
static void *yaml_grow(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0) {
        return array;
    }
    return mem_resize(array, count == 0 ? 1 : count * 2, size);
}

// What is sorted to find equal keys.
struct yaml_entry {
    struct yaml_pair *pair;
};

// By key, equal keys in order of their place.
static int yaml_compare_entries(const void *left, const void *right)
{
    const struct yaml_pair *a = ((const struct yaml_entry *)left)->pair;
    const struct yaml_pair *b = ((const struct yaml_entry *)right)->pair;
    size_t shorter = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = memcmp(a->key.ptr, b->key.ptr, shorter);
    if (order == 0) {
        order = (a->key.len > b->key.len) - (a->key.len < b->key.len);
    }
    return order == 0 ? (a > b) - (a < b) : order; // of one array, which is in order of place
}

// Adds ".key" to the path and returns the length it had. A path too long for the buffer stays
// shorter: it is only shown.
static size_t yaml_path_push(struct yaml_builder *builder, struct str key)
{
    size_t before = builder->path.len;
    if (before == 0 || buf_append_char(&builder->path, '.')) {
        (void)!buf_append_str(&builder->path, key);
    }
    return before;
}

static void yaml_report_duplicate(struct yaml_builder *builder, const struct yaml_pair *pair,
                                  const struct yaml_pair *first)
{
    size_t before = yaml_path_push(builder, pair->key);
    problems_add(builder->problems, pair->key_place, builder->path.data,
                 "duplicate key; the first is in line %d", first->key_place.line);
    buf_truncate(&builder->path, before);
}

// Marks all but the first of equal keys by taking their values.
static void yaml_mark_duplicates(struct yaml_builder *builder, const struct yaml_node *node)
{
    // Sorted, since a file of a megabyte may hold 200,000 keys.
    struct yaml_entry *entries = mem_calloc(node->count, sizeof *entries);
    for (size_t i = 0; i < node->count; i++) {
        entries[i].pair = &node->pairs[i];
    }
    qsort(entries, node->count, sizeof *entries, yaml_compare_entries);
    const struct yaml_pair *first = entries[0].pair;
    for (size_t i = 1; i < node->count; i++) {
        struct yaml_pair *pair = entries[i].pair;
        if (!str_equal(pair->key, first->key)) {
            first = pair;
            continue;
        }
        yaml_report_duplicate(builder, pair, first);
        yaml_node_destroy(pair->value);
        pair->value = NULL;
    }
    free(entries);
}

static void yaml_drop_duplicates(struct yaml_builder *builder, struct yaml_node *node)
{
    if (node->count < 2) {
        return;
    }
    yaml_mark_duplicates(builder, node);
    size_t kept = 0;
    for (size_t i = 0; i < node->count; i++) {
        if (node->pairs[i].value == NULL) {
            mem_free_text(node->pairs[i].key.ptr);
        } else {
            node->pairs[kept++] = node->pairs[i];
        }
    }
    node->count = kept;
}

static bool yaml_fill(struct yaml_builder *builder, struct yaml_node *node,
                      const yaml_event_t *event, size_t depth);

static struct yaml_node *yaml_node_create(const struct yaml_builder *builder, yaml_mark_t mark)
{
    struct yaml_node *node = mem_calloc(1, sizeof *node);
    node->kind = YAML_KIND_NULL;
    node->place = yaml_place_of(builder, mark);
    return node;
}

static bool yaml_fill_pair(struct yaml_builder *builder, struct yaml_node *mapping,
                           const yaml_event_t *key, size_t depth)
{
    if (key->type != YAML_SCALAR_EVENT) {
        yaml_report(builder, key->start_mark, "a key must be a plain name");
        return false;
    }
    yaml_refuse_extras(builder, key);
    yaml_event_t event;
    if (!yaml_next(builder, &event)) {
        return false;
    }
    mapping->pairs = yaml_grow(mapping->pairs, mapping->count, sizeof *mapping->pairs);
    struct yaml_pair *pair = &mapping->pairs[mapping->count++];
    *pair = (struct yaml_pair){
        .key = yaml_copy(key),
        .key_place = yaml_place_of(builder, key->start_mark),
        .key_quoted = key->data.scalar.style != YAML_PLAIN_SCALAR_STYLE,
        .value = yaml_node_create(builder, event.start_mark),
    };
    size_t before = yaml_path_push(builder, pair->key);
    bool ok = yaml_fill(builder, pair->value, &event, depth);
    buf_truncate(&builder->path, before);
    yaml_event_delete(&event);
    return ok;
}

static bool yaml_fill_item(struct yaml_builder *builder, struct yaml_node *sequence,
                           const yaml_event_t *event, size_t depth)
{
    sequence->items = yaml_grow(sequence->items, sequence->count, sizeof(struct yaml_node *));
    struct yaml_node *item = yaml_node_create(builder, event->start_mark);
    sequence->items[sequence->count++] = item;
    return yaml_fill(builder, item, event, depth);
}

// Reads up to and with the end of a mapping or a sequence.
static bool yaml_fill_container(struct yaml_builder *builder, struct yaml_node *node, size_t depth)
{
    bool mapping = node->kind == YAML_KIND_MAPPING;
    for (bool ok = true; ok;) {
        yaml_event_t event;
        if (!yaml_next(builder, &event)) {
            return false;
        }
        bool end = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        if (!end) {
            ok = mapping ? yaml_fill_pair(builder, node, &event, depth)
                         : yaml_fill_item(builder, node, &event, depth);
        }
        yaml_event_delete(&event);
        if (end) {
            return true;
        }
    }
    return false;
}

// Makes `node` what `event` begins. False: parsing cannot go on; the reason is reported.
static bool yaml_fill(struct yaml_builder *builder, struct yaml_node *node,
                      const yaml_event_t *event, size_t depth)
{
    yaml_refuse_extras(builder, event);
    if (event->type == YAML_SCALAR_EVENT) {
        yaml_fill_scalar(node, event);
        return true;
    }
    if (event->type == YAML_ALIAS_EVENT) {
        yaml_report(builder, event->start_mark, "alias (*name); write the value out instead");
        node->unknown = true;
        return true;
    }
    if (depth == YAML_DEPTH_MAX) {
        problems_add(builder->problems, node->place, NULL, "nested deeper than %d levels",
                     YAML_DEPTH_MAX);
        return false;
    }
    bool mapping = event->type == YAML_MAPPING_START_EVENT;
    node->kind = mapping ? YAML_KIND_MAPPING : YAML_KIND_SEQUENCE;
    bool ok = yaml_fill_container(builder, node, depth + 1);
    if (mapping) {
        yaml_drop_duplicates(builder, node);
    }
    return ok;
}

// One event of the stream's own level; false ends the reading.
static bool yaml_fill_document(struct yaml_builder *builder, const yaml_event_t *event)
{
    struct yaml_tree *tree = builder->tree;
    if (event->type == YAML_STREAM_START_EVENT || event->type == YAML_DOCUMENT_END_EVENT) {
        return true;
    }
    if (event->type == YAML_DOCUMENT_START_EVENT) {
        if (tree->root != NULL) {
            yaml_report(builder, event->start_mark, "second document; a file holds one");
        }
        return tree->root == NULL;
    }
    tree->root = yaml_node_create(builder, event->start_mark);
    return yaml_fill(builder, tree->root, event, 0);
}

static void yaml_parse(struct yaml_builder *builder)
{
    bool ended = false;
    bool ok = true;
    while (ok && !ended) {
        yaml_event_t event;
        ok = yaml_next(builder, &event);
        ended = ok && event.type == YAML_STREAM_END_EVENT;
        ok = ok && (ended || yaml_fill_document(builder, &event));
        yaml_event_delete(&event);
    }
    builder->broken = builder->broken || !ok;
}

static struct yaml_tree *yaml_build(struct str text, const char *name, struct problems *problems)
{
    struct yaml_builder builder = {.problems = problems};
    builder.tree = mem_calloc(1, sizeof *builder.tree);
    builder.tree->name = mem_strdup(name);
    buf_init(&builder.path, YAML_PATH_BYTES);
    if (yaml_parser_initialize(&builder.parser)) {
        yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&builder.parser, (const unsigned char *)text.ptr, text.len);
        yaml_parse(&builder);
        yaml_parser_delete(&builder.parser);
    } else {
        problems_add(problems, (struct yaml_place){.file = name}, NULL, "out of memory");
        builder.broken = true;
    }
    buf_free(&builder.path);
    if (builder.broken) {
        yaml_destroy(builder.tree);
        return NULL;
    }
    return builder.tree;
}

struct yaml_tree *yaml_read_text(struct str text, const char *name, struct problems *problems)
{
    static const struct str byte_order_mark = {"\xEF\xBB\xBF", 3};
    if (str_starts(text, byte_order_mark)) {
        text = (struct str){text.ptr + byte_order_mark.len, text.len - byte_order_mark.len};
    }
    if (text.len > YAML_FILE_BYTES) {
        problems_add(problems, (struct yaml_place){.file = name}, NULL,
                     "is larger than 1 MiB, which is no configuration");
        return NULL;
    }
    if (!yaml_check_characters(name, text, problems) || !yaml_check_tabs(name, text, problems)) {
        return NULL;
    }
    return yaml_build(text, name, problems);
}

// Files

// Appends the whole file, up to one byte over the allowed size. False: errno says why.
static bool yaml_slurp(int fd, struct buf *out)
{
    char chunk[16384];
    while (out->len < out->cap) {
        size_t want = out->cap - out->len < sizeof chunk ? out->cap - out->len : sizeof chunk;
        ssize_t got = read(fd, chunk, want);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got == 0;
        }
        (void)!buf_append(out, chunk, (size_t)got); // fits: `want` counted what is left
    }
    return true;
}

// NULL, or why the file cannot be read.
static const char *yaml_open(const char *path, int *fd)
{
    // Without O_NONBLOCK, opening a pipe would wait for its writer.
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (*fd < 0 || fstat(*fd, &status) != 0) {
        return strerror(errno);
    }
    if (S_ISDIR(status.st_mode)) {
        return strerror(EISDIR);
    }
    return S_ISREG(status.st_mode) ? NULL : "Not a regular file";
}

struct yaml_tree *yaml_read_file(const char *path, struct problems *problems)
{
    struct yaml_tree *tree = NULL;
    struct buf content;
    buf_init(&content, YAML_FILE_BYTES + 4); // with a byte order mark, and a byte too many
    int fd = -1;
    const char *reason = yaml_open(path, &fd);
    if (reason == NULL && !yaml_slurp(fd, &content)) {
        reason = strerror(errno);
    }
    if (reason != NULL) {
        problems_add(problems, (struct yaml_place){.file = path}, NULL, "cannot be read: %s",
                     reason);
    } else {
        tree = yaml_read_text(buf_peek(&content), path, problems);
    }
    if (fd >= 0) {
        close(fd);
    }
    buf_free(&content);
    return tree;
}
