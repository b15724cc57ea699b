#include "domain/update.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

enum {
    UPDATE_BODY_MAX = 1024 * 1024,
    UPDATE_ID_MAX = 64,
    UPDATE_PRIORITIES = 2,
    UPDATE_SLOTS = 64,
    UPDATE_LISTS = UPDATE_STATE_COUNT * UPDATE_PRIORITIES,
    UPDATE_BUCKETS = 1024, // at first; a power of two, as it stays
};

// ---- one update ----------------------------------------------------------------------------

struct update *update_create(struct str key, struct str customer_id, int slot, int priority)
{
    struct update *update = mem_calloc(1, sizeof *update);
    update->key = mem_strndup(key.ptr, key.len);
    update->customer_id = mem_strndup(customer_id.ptr, customer_id.len);
    update->slot = slot;
    update->priority = priority;
    update->attempts = INT64_MAX;
    buf_init(&update->body, UPDATE_BODY_MAX);
    return update;
}

void update_destroy(struct update *update)
{
    if (update != NULL) {
        buf_free(&update->body);
        free(update->error);
        free(update->charge);
        free(update->dead_ids);
        free(update->row_ids);
        free(update->row_attempts);
        free(update->customer_id);
        free(update->key);
        free(update);
    }
}

void update_add_row(struct update *update, int64_t id, int64_t attempts)
{
    size_t count = update->row_count;
    if ((count & (count - 1)) == 0) { // at each power of two
        size_t room = count == 0 ? 1 : count * 2;
        update->row_ids = mem_resize(update->row_ids, room, sizeof *update->row_ids);
        update->row_attempts = mem_resize(update->row_attempts, room, sizeof *update->row_attempts);
    }
    update->row_ids[count] = id;
    update->row_attempts[count] = attempts;
    update->row_count = count + 1;
    if (attempts < update->attempts) {
        update->attempts = attempts;
    }
}

bool update_id_is_valid(struct str customer_id)
{
    for (size_t i = 0; i < customer_id.len; i++) {
        char c = str_lower_char(customer_id.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !str_is_digit(c) && c != '_' && c != '-') {
            return false;
        }
    }
    return customer_id.len >= 1 && customer_id.len <= UPDATE_ID_MAX;
}

// ---- states --------------------------------------------------------------------------------

static const char *const update_state_names[] = {
    [UPDATE_STATE_QUEUED] = "queued",     [UPDATE_STATE_IN_FLIGHT] = "in_flight",
    [UPDATE_STATE_SETTLING] = "settling", [UPDATE_STATE_RESTING] = "resting",
    [UPDATE_STATE_GONE] = "gone",
};
_Static_assert(sizeof update_state_names / sizeof update_state_names[0] == UPDATE_STATE_COUNT,
               "a name for each state");

static const bool update_transitions[UPDATE_STATE_COUNT][UPDATE_STATE_COUNT] = {
    [UPDATE_STATE_QUEUED] = {[UPDATE_STATE_IN_FLIGHT] = true,
                             [UPDATE_STATE_SETTLING] = true,
                             [UPDATE_STATE_GONE] = true},
    [UPDATE_STATE_IN_FLIGHT] = {[UPDATE_STATE_SETTLING] = true},
    [UPDATE_STATE_SETTLING] = {[UPDATE_STATE_RESTING] = true, [UPDATE_STATE_GONE] = true},
    [UPDATE_STATE_RESTING] = {[UPDATE_STATE_GONE] = true},
};

const char *update_state_name(enum update_state state)
{
    return update_state_names[state];
}

bool update_state_allows(enum update_state from, enum update_state to)
{
    return update_transitions[from][to];
}

// ---- the set -------------------------------------------------------------------------------

struct updates {
    // By key, each a list. Not a tree: its compares would each wait for memory, eleven deep.
    struct update **buckets;
    size_t bucket_count;
    size_t total;
    // QUEUED has a list for each priority; of the others only the first is used.
    struct update_list lists[UPDATE_LISTS];
    size_t counts[UPDATE_STATE_COUNT];
    size_t queued_live;         // of those QUEUED
    size_t begun[UPDATE_SLOTS]; // IN_FLIGHT, SETTLING, RESTING
};

// FNV-1a.
static uint64_t updates_hash(struct str key)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

// The place that points to the first of those with such a hash.
static struct update **updates_bucket(const struct updates *updates, uint64_t hash)
{
    return &updates->buckets[hash & (updates->bucket_count - 1)];
}

static void updates_link(struct updates *updates, struct update *update)
{
    struct update **place = updates_bucket(updates, update->key_hash);
    update->next_of_bucket = *place;
    *place = update;
}

static void updates_unlink(struct updates *updates, const struct update *update)
{
    struct update **place = updates_bucket(updates, update->key_hash);
    while (*place != update) {
        place = &(*place)->next_of_bucket;
    }
    *place = update->next_of_bucket;
}

static void updates_grow(struct updates *updates)
{
    struct updates old = *updates;
    updates->bucket_count *= 2;
    updates->buckets = mem_calloc(updates->bucket_count, sizeof(struct update *));
    for (size_t i = 0; i < old.bucket_count; i++) {
        struct update *next;
        for (struct update *at = old.buckets[i]; at != NULL; at = next) {
            next = at->next_of_bucket;
            updates_link(updates, at);
        }
    }
    free(old.buckets);
}

struct updates *updates_create(void)
{
    struct updates *updates = mem_calloc(1, sizeof *updates);
    updates->bucket_count = UPDATE_BUCKETS;
    updates->buckets = mem_calloc(updates->bucket_count, sizeof(struct update *));
    for (int i = 0; i < UPDATE_LISTS; i++) {
        TAILQ_INIT(&updates->lists[i]);
    }
    return updates;
}

static size_t updates_index(enum update_state state, int priority)
{
    return (size_t)state * UPDATE_PRIORITIES + (size_t)priority;
}

static struct update_list *updates_list(struct updates *updates, const struct update *update)
{
    int priority = update->state == UPDATE_STATE_QUEUED ? update->priority : 0;
    return &updates->lists[updates_index(update->state, priority)];
}

static bool updates_is_queued_live(const struct update *update)
{
    return update->state == UPDATE_STATE_QUEUED && update->priority == 0;
}

static void updates_enter(struct updates *updates, struct update *update, enum update_state state)
{
    update->state = state;
    TAILQ_INSERT_TAIL(updates_list(updates, update), update, link);
    updates->counts[state]++;
    updates->queued_live += updates_is_queued_live(update);
    updates->begun[update->slot] += state != UPDATE_STATE_QUEUED;
}

static void updates_leave(struct updates *updates, struct update *update)
{
    TAILQ_REMOVE(updates_list(updates, update), update, link);
    updates->counts[update->state]--;
    updates->queued_live -= updates_is_queued_live(update);
    updates->begun[update->slot] -= update->state != UPDATE_STATE_QUEUED;
}

static void updates_drop(struct updates *updates, struct update *update)
{
    updates_leave(updates, update);
    updates_unlink(updates, update);
    updates->total--;
    update_destroy(update);
}

void updates_destroy(struct updates *updates)
{
    if (updates == NULL) {
        return;
    }
    for (int i = 0; i < UPDATE_LISTS; i++) {
        struct update *update;
        while ((update = TAILQ_FIRST(&updates->lists[i])) != NULL) {
            updates_drop(updates, update);
        }
    }
    free(updates->buckets);
    free(updates);
}

static struct update *updates_find_hashed(const struct updates *updates, struct str key,
                                          uint64_t hash)
{
    struct update *at = *updates_bucket(updates, hash);
    while (at != NULL && !(at->key_hash == hash && str_equal(str_of(at->key), key))) {
        at = at->next_of_bucket;
    }
    return at;
}

struct update *updates_find(const struct updates *updates, struct str key)
{
    return updates_find_hashed(updates, key, updates_hash(key));
}

void updates_add(struct updates *updates, struct update *update)
{
    struct str key = str_of(update->key);
    update->key_hash = updates_hash(key);
    assert(updates_find_hashed(updates, key, update->key_hash) == NULL);
    if (updates->total == updates->bucket_count) {
        updates_grow(updates);
    }
    updates_link(updates, update);
    updates->total++;
    updates_enter(updates, update, UPDATE_STATE_QUEUED);
}

void updates_move(struct updates *updates, struct update *update, enum update_state to)
{
    assert(update_state_allows(update->state, to));
    if (to == UPDATE_STATE_GONE) {
        updates_drop(updates, update);
        return;
    }
    updates_leave(updates, update);
    updates_enter(updates, update, to);
}

size_t updates_count(const struct updates *updates, enum update_state state)
{
    return updates->counts[state];
}

size_t updates_queued_live(const struct updates *updates)
{
    return updates->queued_live;
}

size_t updates_total(const struct updates *updates)
{
    return updates->total;
}

bool updates_slot_busy(const struct updates *updates, int slot)
{
    return updates->begun[slot] > 0;
}

struct update *updates_first(const struct updates *updates, enum update_state state)
{
    struct update *first = TAILQ_FIRST(&updates->lists[updates_index(state, 0)]);
    return first != NULL ? first : TAILQ_FIRST(&updates->lists[updates_index(state, 1)]);
}

struct update *updates_next(const struct updates *updates, const struct update *update)
{
    struct update *next = TAILQ_NEXT(update, link);
    bool live_ends = next == NULL && update->state == UPDATE_STATE_QUEUED && update->priority == 0;
    const struct update_list *backfill = &updates->lists[updates_index(UPDATE_STATE_QUEUED, 1)];
    return live_ends ? TAILQ_FIRST(backfill) : next;
}
