// What the commands about dead rows share: the rows they are about, and a session.
#ifndef APP_DEAD_H
#define APP_DEAD_H

#include "app/options.h"
#include "app/session.h"
#include "config/config.h"
#include "io/outbox_dead.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    DEAD_BATCH = 500, // rows in one transaction
    DEAD_CELLS = 20,
};

struct dead {
    const struct options *options;
    struct config *config;
    struct session *session;
    const char *filter[OUTBOX_DEAD_FILTERS]; // parameters; NULL: not asked for
    char *ids;                               // owned, "{1,2}"
    char *since;                             // owned
    int64_t limit;                           // INT64_MAX: none was given
};

// The first row of an answer; texts are owned, NULL for SQL null and for what is not there.
struct dead_cells {
    char *text[DEAD_CELLS];
};
void dead_cells_free(struct dead_cells *cells);
int64_t dead_cells_int64(const struct dead_cells *cells, size_t column);

// Reads options and configuration and connects. dead_close also after a failure.
bool dead_open(struct dead *dead, const struct options *options, struct err *err) MUST_CHECK;
void dead_close(struct dead *dead);
// For commands that change rows: without any filter they want --all.
bool dead_need_filter(const struct options *options, struct err *err) MUST_CHECK;
// Says what went wrong and closes; the exit code.
int dead_end(struct dead *dead, const char *command, const struct err *err);

// A statement with these parameters only; its first row replaces what `cells` had.
bool dead_ask(struct dead *dead, const char *sql, const char *const *params, size_t count,
              struct dead_cells *cells, struct err *err) MUST_CHECK;
// A statement with the filters as its first parameters, `more` behind them; its rows go to `read`.
bool dead_query(struct dead *dead, const char *sql, const char *const *more, size_t count,
                session_read_fn read, void *ctx, struct err *err) MUST_CHECK;
// The same for an answer of one row, which replaces what `cells` had.
bool dead_query_cells(struct dead *dead, const char *sql, const char *const *more, size_t count,
                      struct dead_cells *cells, struct err *err) MUST_CHECK;

// Walks over all that the filters name and that are dead now, in the order of their death.
struct dead_walk {
    int64_t rows;      // at the beginning, with the limit
    int64_t customers; // of these
    int64_t left;      // of the limit
    char *until;       // owned; who dies later is left alone
    char *place;       // owned
    int64_t place_id;
    char *ids; // of the present batch, as an array; owned
    int64_t count;
};
bool dead_walk_begin(struct dead *dead, struct dead_walk *walk, struct err *err) MUST_CHECK;
// The next batch of up to DEAD_BATCH; `count` is 0 at the end.
bool dead_walk_next(struct dead *dead, struct dead_walk *walk, struct err *err) MUST_CHECK;
void dead_walk_end(struct dead_walk *walk);

#endif
