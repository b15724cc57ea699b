// The unit of work: all pending rows of one customer, folded into one request; and the set of
// those in memory, found by customer and queued by priority. A customer is in it at most once, so
// two requests of one customer cannot overlap within this instance.
//
//   QUEUED --a token and a worker--> IN_FLIGHT --answer--> SETTLING --committed--> gone
//   QUEUED --nothing to send, or cannot be sent--> SETTLING
//   QUEUED --the pool closed, the slot went--> gone (its rows are untouched)
//   SETTLING --outcome unknown, row untouched--> RESTING --timeout over--> gone
#ifndef DOMAIN_UPDATE_H
#define DOMAIN_UPDATE_H

#include "base/buf.h"
#include "base/str.h"
#include "domain/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

enum update_state {
    UPDATE_STATE_QUEUED,    // in memory, not begun
    UPDATE_STATE_IN_FLIGHT, // its request is under way
    UPDATE_STATE_SETTLING,  // its outcome is being written
    UPDATE_STATE_RESTING,   // Imprint may still be at it: the customer waits, its rows untouched
    UPDATE_STATE_GONE,
};
enum { UPDATE_STATE_COUNT = UPDATE_STATE_GONE + 1 };

enum { UPDATE_HASH_BYTES = 32 };

// What will be written about its rows.
enum update_outcome {
    UPDATE_OUTCOME_UNTOUCHED, // nothing
    UPDATE_OUTCOME_DONE,
    UPDATE_OUTCOME_UNCHANGED, // done without a request
    UPDATE_OUTCOME_RETRY,
    UPDATE_OUTCOME_DEAD,
};

struct update {
    TAILQ_ENTRY(update) link; // in the list of its state and priority
    struct update *next_of_bucket;
    uint64_t key_hash;
    enum update_state state;
    char *key;         // customer_id in lower case
    char *customer_id; // as the newest row spells it
    int slot;
    int priority;
    int64_t lease_epoch; // of the slot when it was fetched
    int64_t *row_ids;    // ascending
    int64_t *row_attempts;
    size_t row_count;
    int64_t *dead_ids; // older dead thin rows that an acceptance settles as well
    size_t dead_count;
    int64_t attempts;   // the fewest of its rows'
    int64_t age_ns;     // of its oldest row when it was fetched
    int64_t fetched_ns; // loop time
    bool has_source;    // contains the source row
    struct buf body;
    unsigned char hash[UPDATE_HASH_BYTES]; // of destination and body
    bool remember;                         // the hash, in customer_state, once it is accepted

    void *owner; // borrowed: for whoever has it under way
    int64_t started_ns;
    int64_t due_ns; // its request has ended by then
    int64_t rest_until_ns;
    int64_t settle_after_ns; // a lock kept it from being written: then again, alone; 0: none did

    bool sent; // the request reached Imprint, or may have
    enum update_outcome outcome;
    int64_t retry_after_ns;
    int http_status;        // 0: none
    char *error;            // for the row; may quote the customer's data; NULL: none
    bool forget_state;      // delete customer_state: Imprint may hold something else now
    struct verdict *charge; // of an earlier answer, which the outcome is about; owned; NULL: none
};

TAILQ_HEAD(update_list, update);

// Takes nothing over; the texts are copied. Body cap 1 MiB.
struct update *update_create(struct str key, struct str customer_id, int slot, int priority);
void update_destroy(struct update *update);
void update_add_row(struct update *update, int64_t id, int64_t attempts);

// An id that is safe in a URL's path: [A-Za-z0-9_-]{1,64}.
bool update_id_is_valid(struct str customer_id);

const char *update_state_name(enum update_state state);
bool update_state_allows(enum update_state from, enum update_state to);

// ---- the set in memory ---------------------------------------------------------------------

struct updates;

struct updates *updates_create(void);
void updates_destroy(struct updates *updates); // with all in it

struct update *updates_find(const struct updates *updates, struct str key);
// Takes ownership; it is QUEUED, and no other of its customer is in the set.
void updates_add(struct updates *updates, struct update *update);
// The single door for a change of state. GONE takes it out and destroys it.
void updates_move(struct updates *updates, struct update *update, enum update_state to);

size_t updates_count(const struct updates *updates, enum update_state state);
size_t updates_queued_live(const struct updates *updates); // of those QUEUED, no backfill's
size_t updates_total(const struct updates *updates);
bool updates_slot_busy(const struct updates *updates, int slot); // anything begun and not gone

// The list of a state in the order they came; for QUEUED, live before backfill.
struct update *updates_first(const struct updates *updates, enum update_state state);
struct update *updates_next(const struct updates *updates, const struct update *update);

#endif
