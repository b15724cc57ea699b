// What the files of the outbox share: outbox.c (poll, fold, settle), outbox_sql.c (their
// statements), outbox_lease.c (the heartbeat) and outbox_admin.c (hello, counts and the rest).
#ifndef IO_OUTBOX_INTERNAL_H
#define IO_OUTBOX_INTERNAL_H

#include "io/outbox.h"

enum { OUTBOX_SQL_MAX = 1048576, OUTBOX_TROUBLES = 8 };

// What failed last, of one kind of call.
struct outbox_trouble {
    const char *during;
    char sqlstate[6];
    int64_t said_ns;
    int64_t unsaid; // times since
};

struct outbox {
    struct pgconn *conn;
    char *instance;
    char *version;
    char *source_relation;
    char *source_key;
    const struct mapping *mapping;
    bool delete_done;
    int64_t timeout_ns;

    char *fold_with_source; // NULL while there is no source to read
    char *fold_hold_thin;
    char *fold_no_source;
    char *find_source; // as fold_with_source
    char *source_name; // as SQL; NULL until hello found it ready
    char *source_type; // of its key
    char *settle;
    // Where state in customer_state must come from; NULL where the server does not tell.
    char *system_id;
    char *timeline;
    struct outbox_trouble troubles[OUTBOX_TROUBLES];
};

// Whom a call answers: the one function of its kind.
struct outbox_call {
    union {
        outbox_done_fn done;
        outbox_folded_fn folded;
        outbox_found_fn found;
        outbox_beat_fn beat;
        outbox_counts_fn counts;
        outbox_pruned_fn pruned;
        outbox_watch_fn watch;
        outbox_watch_errors_fn watch_errors;
    };
    void *ctx;
};

// A job that ends in `on_done`, which gets a copy of `call` to use and to free.
struct pgjob *outbox_job(const struct outbox *outbox, pgjob_done_fn on_done,
                         struct outbox_call call);

// The fold statements; the caller frees them. `key_match` is a condition on s and c, made by
// outbox_sql_key_match.
char *outbox_sql_fold_source(const struct mapping *mapping, const char *relation,
                             const char *key_match);
char *outbox_sql_fold_without(bool thin_rows);
char *outbox_sql_settle(bool delete_done);
// The source row of one customer ($1), by itself.
char *outbox_sql_find_source(const struct mapping *mapping, const char *relation,
                             const char *key_match);

// The look-up in the source by the key column's own type; NULL when that cannot hold an id.
char *outbox_sql_key_match(const char *column, const char *type_name, const char *type_category);

// First in a transaction that counts or polls: sets the planner to walk along the indexes.
extern const char outbox_sql_walk[];

// First in a transaction that looks up a few rows by an index which there is: a small table is not
// read as a whole either.
extern const char outbox_sql_by_index[];

// `name` as a quoted SQL identifier; the caller frees it.
char *outbox_sql_identifier(const char *name);

#endif
