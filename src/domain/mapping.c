#include "domain/mapping.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

struct mapping {
    struct mapping_step *steps;
    size_t step_count;
    struct mapping_leaf *leaves;
    size_t leaf_count;
    struct str *columns; // by index
    size_t *sorted;      // the columns' indexes in the order of text_compare()
    size_t column_count;
    void **kept; // all that mapping_alloc() handed out
    size_t kept_count;
    struct zone **zones;
    size_t zone_count;
    size_t depth; // while building
};

// The length decides first: names mostly differ in it, and then no byte is compared.
static int text_compare(struct str a, struct str b)
{
    if (a.len != b.len) {
        return a.len < b.len ? -1 : 1;
    }
    return a.len == 0 ? 0 : memcmp(a.ptr, b.ptr, a.len);
}

static int choice_compare(const void *a, const void *b)
{
    const struct mapping_choice *left = a;
    const struct mapping_choice *right = b;
    return text_compare(left->key, right->key);
}

struct mapping *mapping_create(void)
{
    return mem_calloc(1, sizeof(struct mapping));
}

void mapping_destroy(struct mapping *mapping)
{
    if (mapping == NULL) {
        return;
    }
    for (size_t i = 0; i < mapping->zone_count; i++) {
        zone_destroy(mapping->zones[i]);
    }
    free(mapping->zones);
    for (size_t i = 0; i < mapping->kept_count; i++) {
        free(mapping->kept[i]);
    }
    free(mapping->kept);
    free(mapping->sorted);
    free(mapping->columns);
    free(mapping->leaves);
    free(mapping->steps);
    free(mapping);
}

void *mapping_alloc(struct mapping *mapping, size_t count, size_t size)
{
    void *memory = mem_calloc(count, size);
    mapping->kept = mem_resize(mapping->kept, mapping->kept_count + 1, sizeof mapping->kept[0]);
    mapping->kept[mapping->kept_count++] = memory;
    return memory;
}

struct str mapping_keep(struct mapping *mapping, struct str text)
{
    char *copy = mapping_alloc(mapping, text.len + 1, 1);
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    return (struct str){copy, text.len};
}

void mapping_keep_zone(struct mapping *mapping, struct zone *zone)
{
    mapping->zones = mem_resize(mapping->zones, mapping->zone_count + 1, sizeof(struct zone *));
    mapping->zones[mapping->zone_count++] = zone;
}

// Where `name` stands among the sorted columns, or would stand; `*found` says which.
static size_t column_position(const struct mapping *mapping, struct str name, bool *found)
{
    size_t low = 0;
    size_t high = mapping->column_count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = text_compare(name, mapping->columns[mapping->sorted[middle]]);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

// The index of a column, which is new when no leaf before has named it.
static size_t column_number(struct mapping *mapping, struct str name)
{
    bool found = false;
    size_t position = column_position(mapping, name, &found);
    if (found) {
        return mapping->sorted[position];
    }
    size_t count = mapping->column_count;
    mapping->columns = mem_resize(mapping->columns, count + 1, sizeof mapping->columns[0]);
    mapping->sorted = mem_resize(mapping->sorted, count + 1, sizeof mapping->sorted[0]);
    memmove(&mapping->sorted[position + 1], &mapping->sorted[position],
            (count - position) * sizeof mapping->sorted[0]);
    mapping->sorted[position] = count;
    mapping->columns[count] = mapping_keep(mapping, name);
    mapping->column_count++;
    return count;
}

bool mapping_path_compile(struct mapping *mapping, struct str text, struct mapping_path *path,
                          struct err *err)
{
    struct str parts[MAPPING_PATH_PARTS_MAX];
    size_t count = 0;
    struct str rest = mapping_keep(mapping, text);
    *path = (struct mapping_path){.text = rest};
    bool more = true;
    while (more) {
        struct str part;
        more = str_split(rest, '.', &part, &rest);
        if (part.len == 0) {
            return err_set(err, ERR_KIND_CONFIG, "%s",
                           text.len == 0 ? "names no column" : "has an empty part between dots");
        }
        if (count == MAPPING_PATH_PARTS_MAX) {
            return err_set(err, ERR_KIND_CONFIG, "has more than %d parts",
                           (int)MAPPING_PATH_PARTS_MAX);
        }
        parts[count++] = part;
    }
    path->column = column_number(mapping, parts[0]);
    path->key_count = count - 1;
    struct str *keys = mapping_alloc(mapping, count - 1, sizeof keys[0]);
    memcpy(keys, &parts[1], (count - 1) * sizeof keys[0]);
    path->keys = keys;
    return true;
}

static void step_add(struct mapping *mapping, struct mapping_step step)
{
    mapping->steps = mem_resize(mapping->steps, mapping->step_count + 1, sizeof mapping->steps[0]);
    mapping->steps[mapping->step_count++] = step;
}

// The name as it will stand in the body: "name":
static struct str member_text(struct mapping *mapping, struct str name)
{
    struct buf text;
    buf_init(&text, SIZE_MAX / 2); // the configuration file's cap is the limit
    bool ok = jsontext_encode(name, &text) && buf_append_char(&text, ':');
    assert(ok);
    (void)ok;
    struct str kept = mapping_keep(mapping, buf_peek(&text));
    buf_free(&text);
    return kept;
}

void mapping_open(struct mapping *mapping, struct str name)
{
    mapping->depth++;
    assert(mapping->depth < MAPPING_DEPTH_MAX);
    step_add(mapping, (struct mapping_step){.kind = MAPPING_STEP_KIND_OPEN,
                                            .member = member_text(mapping, name)});
}

void mapping_close(struct mapping *mapping)
{
    assert(mapping->depth > 0);
    mapping->depth--;
    step_add(mapping, (struct mapping_step){.kind = MAPPING_STEP_KIND_CLOSE});
}

bool mapping_add(struct mapping *mapping, struct str name, const struct mapping_leaf *leaf,
                 struct err *err)
{
    if (leaf->choice_count > 1) {
        qsort(leaf->choices, leaf->choice_count, sizeof leaf->choices[0], choice_compare);
    }
    for (size_t i = 1; i < leaf->choice_count; i++) {
        if (str_equal(leaf->choices[i - 1].key, leaf->choices[i].key)) {
            return err_set(err, ERR_KIND_CONFIG, "has the key \"%.*s\" twice",
                           STR_ARG(leaf->choices[i].key));
        }
    }
    size_t index = mapping->leaf_count;
    mapping->leaves = mem_resize(mapping->leaves, index + 1, sizeof mapping->leaves[0]);
    mapping->leaves[mapping->leaf_count++] = *leaf;
    step_add(mapping, (struct mapping_step){.kind = MAPPING_STEP_KIND_LEAF,
                                            .member = member_text(mapping, name),
                                            .leaf = index});
    return true;
}

size_t mapping_step_count(const struct mapping *mapping)
{
    return mapping->step_count;
}

const struct mapping_step *mapping_steps(const struct mapping *mapping)
{
    return mapping->steps;
}

size_t mapping_leaf_count(const struct mapping *mapping)
{
    return mapping->leaf_count;
}

const struct mapping_leaf *mapping_leaf_at(const struct mapping *mapping, size_t index)
{
    assert(index < mapping->leaf_count);
    return &mapping->leaves[index];
}

const struct mapping_leaf *mapping_leaf_find(const struct mapping *mapping, struct str target)
{
    for (size_t i = 0; i < mapping->leaf_count; i++) {
        if (str_equal(str_of(mapping->leaves[i].target), target)) {
            return &mapping->leaves[i];
        }
    }
    return NULL;
}

size_t mapping_column_count(const struct mapping *mapping)
{
    return mapping->column_count;
}

const char *mapping_column_name(const struct mapping *mapping, size_t index)
{
    assert(index < mapping->column_count);
    return mapping->columns[index].ptr;
}

// The order of the sorted columns is that of plain text, which a key with escapes is not.
static size_t find_escaped(const struct mapping *mapping, struct str raw_key)
{
    for (size_t i = 0; i < mapping->column_count; i++) {
        if (jsontext_key_equal(raw_key, mapping->columns[i])) {
            return i;
        }
    }
    return MAPPING_NO_COLUMN;
}

size_t mapping_column_find(const struct mapping *mapping, struct str raw_key)
{
    if (raw_key.len > 0 && memchr(raw_key.ptr, '\\', raw_key.len) != NULL) {
        return find_escaped(mapping, raw_key);
    }
    bool found = false;
    size_t position = column_position(mapping, raw_key, &found);
    return found ? mapping->sorted[position] : MAPPING_NO_COLUMN;
}

const struct jsontext *mapping_choice_find(const struct mapping_leaf *leaf, struct str text)
{
    if (leaf->choice_count == 0) {
        return NULL;
    }
    const struct mapping_choice wanted = {.key = text};
    const struct mapping_choice *choice = bsearch(&wanted, leaf->choices, leaf->choice_count,
                                                  sizeof leaf->choices[0], choice_compare);
    return choice == NULL ? NULL : &choice->result;
}
