// What the log tells of the time it covers, for `report`: counters and levels over time, how long
// the API was in which state, why rows died, what happened. Its size is bounded whatever the length
// of the log; customers' ids are left out. Life cycle: history_create; for each log
// history_next_log, then history_add for each of its lines; then it is read.
#ifndef DOMAIN_HISTORY_H
#define DOMAIN_HISTORY_H

#include "domain/logline.h"
#include "domain/series.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Columns of the series. The first ones are counters of the event `stats`.
enum history_sum {
    HISTORY_SUM_SENT,
    HISTORY_SUM_OK,
    HISTORY_SUM_UNCHANGED,
    HISTORY_SUM_RETRIED,
    HISTORY_SUM_FAILED,
    HISTORY_SUM_THROTTLED,
    HISTORY_SUM_DEAD,  // rows of `update.dead`
    HISTORY_SUM_STATE, // and those after it: seconds in each enum history_state
};
enum { HISTORY_COUNTERS = HISTORY_SUM_THROTTLED + 1 };

// Levels of the event `stats`.
enum history_level {
    HISTORY_LEVEL_PENDING,
    HISTORY_LEVEL_OLDEST_S,
    HISTORY_LEVEL_RATE_LIMIT,
    HISTORY_LEVEL_RATE,
    HISTORY_LEVEL_P50_MS,
    HISTORY_LEVEL_P95_MS,
    HISTORY_LEVEL_P99_MS,
    HISTORY_LEVEL_LAG_P99_MS,
    HISTORY_LEVEL_DEAD,
};
enum { HISTORY_LEVELS = HISTORY_LEVEL_DEAD + 1 };

// Of a daemon; the later ones are the worse.
enum history_state {
    HISTORY_STATE_OPEN,
    HISTORY_STATE_PAUSED,
    HISTORY_STATE_MANUAL,
    HISTORY_STATE_STOPPED,
    HISTORY_STATE_DATABASE,
    HISTORY_STATE_REJECTED,
    HISTORY_STATE_URL,
    HISTORY_STATE_DOWN,
    HISTORY_STATE_UNAUTHORIZED,
};
enum { HISTORY_STATES = HISTORY_STATE_UNAUTHORIZED + 1 };

enum {
    HISTORY_REASONS = 100, // most kept; the rows of further ones are counted together
    HISTORY_EVENTS = 64,
    HISTORY_NOTES = 200,
    HISTORY_TEXT_BYTES = 200,
};

// Why rows died.
struct history_reason {
    char text[HISTORY_TEXT_BYTES]; // type and param, or the mapping's reason
    int64_t updates;
    int64_t rows;
    int64_t first_us;
    int64_t last_us;
};

struct history_event {
    char name[48];
    int64_t count;
};

// Something worth telling; the same thing again and again is one note.
struct history_note {
    char event[48];
    char text[HISTORY_TEXT_BYTES];
    int64_t first_us;
    int64_t last_us;
    int64_t count;
};

// Of the log that is being read.
struct history_log {
    bool running;  // its daemon's state is known
    bool stopped;  // it has ended
    bool database; // it has no connection
    enum history_state api;
    int64_t last_us; // its latest line
    bool counted;    // `totals` hold what it said before
    double totals[HISTORY_COUNTERS];
    int64_t stats_us;
    int64_t interval_us; // between two of its `stats`
};

// For others to read only.
struct history {
    struct series *series;
    int64_t lines; // understood
    int64_t first_us;
    int64_t last_us;
    double totals[HISTORY_SUM_STATE + HISTORY_STATES];
    double tops[HISTORY_LEVELS]; // NAN: never said
    struct history_reason reasons[HISTORY_REASONS];
    size_t reason_count;
    int64_t other_rows; // dead for reasons beyond those
    struct history_event events[HISTORY_EVENTS];
    size_t event_count;
    struct history_note notes[HISTORY_NOTES]; // the oldest and the newest half
    size_t note_count;
    int64_t notes_left_out; // between the halves
    struct history_log log;
};

struct history *history_create(void);
void history_destroy(struct history *history);

// Another daemon's log begins: its counters have nothing to do with those before.
void history_next_log(struct history *history);

// False, and nothing is added, when the line's time is years away from the others'.
bool history_add(struct history *history, const struct logline *line) MUST_CHECK;

const char *history_state_name(enum history_state state);

// How long this state lasted in a bucket, in seconds.
double history_state_s(const struct history *history, size_t bucket, enum history_state state);

#endif
