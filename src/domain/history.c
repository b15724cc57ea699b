#include "domain/history.h"

#include "base/mem.h"
#include "domain/history_note.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define HISTORY_US_PER_S INT64_C(1000000)

// Without a line for longer than this, and than three of its `stats` would have taken, a daemon was
// not running, or its log was not kept.
static const int64_t history_silence_us = 600 * HISTORY_US_PER_S;
static const int64_t history_interval_us = 60 * HISTORY_US_PER_S; // of log.stats_interval

static const char *const history_state_names[] = {
    [HISTORY_STATE_OPEN] = "open",
    [HISTORY_STATE_PAUSED] = "paused",
    [HISTORY_STATE_MANUAL] = "manual",
    [HISTORY_STATE_STOPPED] = "stopped",
    [HISTORY_STATE_DATABASE] = "database",
    [HISTORY_STATE_REJECTED] = "rejected",
    [HISTORY_STATE_URL] = "url",
    [HISTORY_STATE_DOWN] = "down",
    [HISTORY_STATE_UNAUTHORIZED] = "unauthorized",
};
static_assert(sizeof history_state_names / sizeof history_state_names[0] == HISTORY_STATES,
              "every state has a name");

static const char *const history_sum_names[] = {
    [HISTORY_SUM_SENT] = "sent",           [HISTORY_SUM_OK] = "ok",
    [HISTORY_SUM_UNCHANGED] = "unchanged", [HISTORY_SUM_RETRIED] = "retried",
    [HISTORY_SUM_FAILED] = "failed",       [HISTORY_SUM_THROTTLED] = "throttled",
    [HISTORY_SUM_DEAD] = "dead",
};

static const char *const history_level_names[] = {
    [HISTORY_LEVEL_PENDING] = "pending",
    [HISTORY_LEVEL_OLDEST_S] = "oldest_s",
    [HISTORY_LEVEL_RATE_LIMIT] = "rate_limit",
    [HISTORY_LEVEL_RATE] = "rate",
    [HISTORY_LEVEL_P50_MS] = "p50_ms",
    [HISTORY_LEVEL_P95_MS] = "p95_ms",
    [HISTORY_LEVEL_P99_MS] = "p99_ms",
    [HISTORY_LEVEL_LAG_P99_MS] = "lag_p99_ms",
    [HISTORY_LEVEL_DEAD] = "dead",
};
static_assert(sizeof history_level_names / sizeof history_level_names[0] == HISTORY_LEVELS,
              "every level has a name");

const char *history_state_name(enum history_state state)
{
    return history_state_names[state];
}

struct history *history_create(void)
{
    struct history *history = mem_calloc(1, sizeof *history);
    history->series = series_create(HISTORY_SUM_STATE + HISTORY_STATES, HISTORY_LEVELS);
    for (size_t i = 0; i < HISTORY_LEVELS; i++) {
        history->tops[i] = (double)NAN;
    }
    return history;
}

void history_destroy(struct history *history)
{
    if (history != NULL) {
        series_destroy(history->series);
        free(history);
    }
}

void history_next_log(struct history *history)
{
    history->log = (struct history_log){.running = false};
}

double history_state_s(const struct history *history, size_t bucket, enum history_state state)
{
    return series_sum(history->series, bucket, (size_t)HISTORY_SUM_STATE + state);
}

static void history_sum(struct history *history, size_t sum, int64_t from_us, int64_t to_us,
                        double amount)
{
    bool ok = series_add(history->series, sum, from_us, to_us, amount);
    assert(
        ok); // history_add has made room for the line, and what comes before it is among the rest
    (void)ok;
    history->totals[sum] += amount;
}

// ---- states --------------------------------------------------------------------------------

static enum history_state history_state_now(const struct history_log *log)
{
    return log->stopped ? HISTORY_STATE_STOPPED : log->database ? HISTORY_STATE_DATABASE : log->api;
}

static int64_t history_patience_us(const struct history_log *log)
{
    int64_t three = 3 * log->interval_us;
    return three > history_silence_us ? three : history_silence_us;
}

// What was true at the line before was true until this one.
static void history_advance(struct history *history, int64_t at_us)
{
    struct history_log *log = &history->log;
    int64_t past_us = at_us - log->last_us;
    bool silent = past_us > history_patience_us(log) && !log->stopped;
    if (log->running && past_us > 0 && !silent) {
        history_sum(history, (size_t)HISTORY_SUM_STATE + history_state_now(log), log->last_us,
                    at_us, (double)past_us / (double)HISTORY_US_PER_S);
    }
    log->last_us = at_us > log->last_us ? at_us : log->last_us;
}

static void history_take_api(struct history_log *log, const struct logline *line, const char *key)
{
    for (size_t i = 0; i < HISTORY_STATES; i++) {
        if (i != HISTORY_STATE_STOPPED && i != HISTORY_STATE_DATABASE &&
            logline_is(line, key, history_state_names[i])) {
            log->running = true;
            log->api = (enum history_state)i;
        }
    }
}

// What `stats` says, which is not the database here.
static void history_take_paused(struct history_log *log, const struct logline *line)
{
    if (logline_is(line, "paused", "no")) {
        log->running = true;
        log->database = false;
        log->api = HISTORY_STATE_OPEN;
    } else {
        history_take_api(log, line, "paused");
    }
}

static void history_take_start(struct history_log *log, int64_t at_us)
{
    *log = (struct history_log){.last_us = at_us,
                                .counted = true, // from zero
                                .stats_us = at_us,
                                .interval_us = log->interval_us};
}

static void history_take_state(struct history_log *log, const struct logline *line)
{
    if (str_equal(line->event, STR("daemon.start"))) {
        history_take_start(log, line->at_us);
    } else if (str_equal(line->event, STR("daemon.stop"))) {
        log->running = log->stopped = true;
    } else if (str_equal(line->event, STR("daemon.ready"))) {
        log->running = true;
    } else if (str_equal(line->event, STR("db.connect"))) {
        log->database = false;
    } else if (str_equal(line->event, STR("db.lost")) || logline_is(line, "paused", "database")) {
        log->running = log->database = true;
    } else if (str_starts(line->event, STR("api."))) {
        history_take_api(log, line, "to");
    } else {
        history_take_paused(log, line);
    }
}

// ---- stats ---------------------------------------------------------------------------------

// Since when the line speaks: since the one before, but not for a time in which there was no
// daemon.
static int64_t history_since(const struct history_log *log, int64_t at_us)
{
    if (!log->counted || log->stats_us > at_us) {
        return at_us;
    }
    return at_us - log->stats_us > history_patience_us(log) ? at_us - history_interval_us
                                                            : log->stats_us;
}

static void history_take_counters(struct history *history, const struct logline *line,
                                  int64_t since_us)
{
    struct history_log *log = &history->log;
    for (size_t i = 0; i < HISTORY_COUNTERS; i++) {
        double total;
        if (!logline_number(line, history_sum_names[i], &total) || total < 0) {
            continue;
        }
        // A counter that fell began anew: its daemon was started without saying so.
        double before = log->totals[i] <= total ? log->totals[i] : 0;
        if (log->counted && total > before) {
            history_sum(history, i, since_us, line->at_us, total - before);
        }
        log->totals[i] = total;
    }
}

static void history_take_levels(struct history *history, const struct logline *line,
                                int64_t since_us)
{
    for (size_t i = 0; i < HISTORY_LEVELS; i++) {
        double value;
        if (logline_number(line, history_level_names[i], &value) && value >= 0) {
            bool ok = series_level(history->series, i, since_us, line->at_us, value);
            assert(ok); // as in history_sum
            (void)ok;
            history->tops[i] = fmax(history->tops[i], value);
        }
    }
}

static void history_take_stats(struct history *history, const struct logline *line)
{
    struct history_log *log = &history->log;
    int64_t since_us = history_since(log, line->at_us);
    history_take_counters(history, line, since_us);
    history_take_levels(history, line, since_us);
    if (log->counted && line->at_us > log->stats_us) {
        log->interval_us = line->at_us - log->stats_us;
    }
    log->counted = true;
    log->stats_us = line->at_us;
}

// ---- lines ---------------------------------------------------------------------------------

static void history_take_dead(struct history *history, const struct logline *line)
{
    double rows;
    if (!logline_number(line, "rows", &rows) || !(rows >= 1 && rows < 1e9)) {
        rows = 1;
    }
    history_sum(history, HISTORY_SUM_DEAD, line->at_us, line->at_us, rows);
    history_note_dead(history, line, (int64_t)rows);
}

bool history_add(struct history *history, const struct logline *line)
{
    // Makes the room that everything below needs.
    if (!series_add(history->series, HISTORY_SUM_SENT, line->at_us, line->at_us, 0)) {
        return false;
    }
    bool first = history->lines++ == 0;
    history->first_us = first || line->at_us < history->first_us ? line->at_us : history->first_us;
    history->last_us = first || line->at_us > history->last_us ? line->at_us : history->last_us;
    history_advance(history, line->at_us);
    if (str_equal(line->event, STR("stats"))) {
        history_take_stats(history, line);
    } else if (str_equal(line->event, STR("update.dead"))) {
        history_take_dead(history, line);
    }
    history_take_state(&history->log, line);
    history_note(history, line);
    return true;
}
