#include "store.h"

#include "format.h"
#include "mem.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char NIL_UUID[] = "00000000-0000-0000-0000-000000000000";

/* FNV-1a over the lower-case id. */
static size_t hash(const char *id)
{
    uint64_t value = UINT64_C(14695981039346656037);
    for (; *id != '\0'; id++) {
        value ^= (unsigned char)text_lower(*id);
        value *= UINT64_C(1099511628211);
    }
    return (size_t)value;
}

/* The slot that holds the id, or the free one where it belongs. */
static size_t *find_slot(const struct store *store, const char *id)
{
    size_t mask = store->slot_count - 1;
    for (size_t i = hash(id) & mask;; i = (i + 1) & mask) {
        size_t *slot = &store->slots[i];
        if (*slot == 0 || strcasecmp(store->list[*slot - 1]->id, id) == 0) {
            return slot;
        }
    }
}

static void grow(struct store *store)
{
    store->room = store->room > 0 ? store->room * 2 : 1024;
    store->list = mem_resize(store->list, store->room, sizeof(struct customer *));
    free(store->slots);
    store->slot_count = store->room * 2;
    store->slots = mem_alloc(store->slot_count, sizeof(*store->slots));
    for (size_t i = 0; i < store->count; i++) {
        *find_slot(store, store->list[i]->id) = i + 1;
    }
}

static struct customer *add(struct store *store, const char *id, int64_t wall_ns)
{
    if (store->count == store->room) {
        grow(store);
    }
    size_t *slot = find_slot(store, id);
    if (*slot == 0) {
        store->list[store->count++] = customer_create(id, wall_ns);
        *slot = store->count;
    }
    return store->list[*slot - 1];
}

static struct customer *find(const struct store *store, const char *id)
{
    if (store->slot_count == 0) {
        return NULL;
    }
    size_t place = *find_slot(store, id);
    return place > 0 ? store->list[place - 1] : NULL;
}

bool store_load_strict(struct store *store, const char *file, int64_t wall_ns)
{
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        return false;
    }
    store->strict = true;
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stream) >= 0) {
        line[strcspn(line, " \t\r\n")] = '\0';
        if (*line != '\0') {
            add(store, line, wall_ns);
        }
    }
    free(line);
    bool ok = ferror(stream) == 0;
    return fclose(stream) == 0 && ok;
}

struct customer *store_get(struct store *store, const char *id, int64_t wall_ns)
{
    if (!format_is_id(id) || strcmp(id, NIL_UUID) == 0) {
        return NULL;
    }
    return store->strict ? find(store, id) : add(store, id, wall_ns);
}

struct customer *store_find(const struct store *store, const char *id)
{
    struct customer *customer = find(store, id);
    return customer != NULL && customer->count > 0 ? customer : NULL;
}

void store_clear(struct store *store)
{
    for (size_t i = 0; i < store->count; i++) {
        customer_destroy(store->list[i]);
    }
    free(store->list);
    free(store->slots);
    *store = (struct store){0};
}
