#include "config/diff.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

// The bytes of a value that holds no pointer; 0 for the others.
static size_t diff_size(const struct key *key)
{
    switch (key->type) {
    case KEY_TYPE_INTEGER:
    case KEY_TYPE_DURATION:
        return sizeof(int64_t);
    case KEY_TYPE_RATE:
        return sizeof(struct config_rate);
    case KEY_TYPE_BOOL:
        return sizeof(bool);
    case KEY_TYPE_ENUM:
        return sizeof(unsigned);
    case KEY_TYPE_OUTCOMES:
        return sizeof((struct config_retry *)NULL)->outcomes;
    case KEY_TYPE_TEXT:
    case KEY_TYPE_PATH:
    case KEY_TYPE_SECTION:
    case KEY_TYPE_TREE:
        return 0;
    }
    return 0;
}

static bool diff_is_text(const struct key *key)
{
    return key->type == KEY_TYPE_TEXT || key->type == KEY_TYPE_PATH;
}

static bool diff_texts_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool diff_is_equal(const struct config *before, const struct config *after,
                          const struct key *key)
{
    const void *a = keys_peek(before, key);
    const void *b = keys_peek(after, key);
    return diff_is_text(key) ? diff_texts_equal(*(char *const *)a, *(char *const *)b)
                             : memcmp(a, b, diff_size(key)) == 0;
}

size_t diff_keys(const struct config *before, const struct config *after, bool restart,
                 const char *names[KEYS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < keys_count(); i++) {
        const struct key *key = keys_at(i);
        if (key->restart == restart && !diff_is_equal(before, after, key)) {
            names[count++] = key->path;
        }
    }
    return count;
}

static void diff_copy(const struct config *before, struct config *after, const struct key *key)
{
    if (diff_is_text(key)) {
        const char *value = *(char *const *)keys_peek(before, key);
        char **field = keys_field(after, key);
        if (*field != NULL) {
            mem_wipe(*field, strlen(*field)); // a variable may have held a secret
        }
        free(*field);
        *field = value == NULL ? NULL : mem_strdup(value);
    } else {
        memcpy(keys_field(after, key), keys_peek(before, key), diff_size(key));
    }
}

void diff_keep(const struct config *before, struct config *after)
{
    for (size_t i = 0; i < keys_count(); i++) {
        const struct key *key = keys_at(i);
        if (key->restart) {
            diff_copy(before, after, key);
        }
    }
}
