#include "app/status_model.h"

#include "base/buf.h"
#include "base/clock.h"
#include "domain/human.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    STATUS_REPORT_S = 30, // an older report says nothing of now
    STATUS_LATE_S = 60,   // live rows that wait longer are a backlog
    STATUS_HISTORY = 60,  // samples at most
    STATUS_TEXT_MAX = 65536,
    STATUS_REASONS = 4,     // of dead rows, in the line about what is stuck
    STATUS_BLOCKER_S = 300, // a transaction that is open so long
    STATUS_BLOCKER_XIDS = 1000000,
};

// ---- reading -------------------------------------------------------------------------------

struct json_object *status_at(struct json_object *object, const char *key)
{
    struct json_object *value = NULL;
    if (json_object_is_type(object, json_type_object)) {
        json_object_object_get_ex(object, key, &value);
    }
    return value;
}

double status_number(struct json_object *object, const char *key)
{
    return json_object_get_double(status_at(object, key));
}

int64_t status_count(struct json_object *object, const char *key)
{
    return json_object_get_int64(status_at(object, key));
}

const char *status_text(struct json_object *object, const char *key)
{
    struct json_object *value = status_at(object, key);
    return value == NULL ? "" : json_object_get_string(value);
}

bool status_flag(struct json_object *object, const char *key)
{
    return json_object_get_boolean(status_at(object, key));
}

static size_t status_length(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

// ---- writing -------------------------------------------------------------------------------

static void status_must(bool ok)
{
    assert(ok); // all of it is of bounded length
    (void)ok;
}

// One decimal is what these are known to.
static void status_put_number(struct json_object *object, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.1f", value);
    json_object_object_add(object, key, json_object_new_double_s(value, text));
}

static void status_put_text(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

// Takes the buffer's text.
static void status_push(struct json_object *array, struct buf *text)
{
    json_object_array_add(array, json_object_new_string(buf_peek(text).ptr));
    buf_free(text);
}

// ---- what the instances report, together -----------------------------------------------------

static bool status_is_fresh(struct json_object *instance)
{
    return status_flag(instance, "alive") &&
           json_object_is_type(status_at(instance, "stats"), json_type_object) &&
           status_number(instance, "reported_s") <= STATUS_REPORT_S;
}

static void status_add_history(double *history, size_t *count, struct json_object *samples)
{
    size_t length = status_length(samples);
    length = length < STATUS_HISTORY ? length : STATUS_HISTORY;
    *count = *count > length ? *count : length;
    // Aligned at their ends, which is now.
    for (size_t i = 0; i < length; i++) {
        struct json_object *sample =
            json_object_array_get_idx(samples, status_length(samples) - 1 - i);
        history[STATUS_HISTORY - 1 - i] += json_object_get_double(sample);
    }
}

static double status_mean(const double *history, size_t count, size_t last)
{
    double sum = 0;
    last = last < count ? last : count;
    for (size_t i = 0; i < last; i++) {
        sum += history[STATUS_HISTORY - 1 - i];
    }
    return last == 0 ? 0 : sum / (double)last;
}

static void status_put_rates(struct json_object *sending, const double *history, size_t count,
                             int64_t sample_s)
{
    size_t minute = sample_s > 0 ? (size_t)(60 / sample_s) : 1;
    struct json_object *list = json_object_new_array();
    for (size_t i = STATUS_HISTORY - count; i < STATUS_HISTORY; i++) {
        char text[32];
        snprintf(text, sizeof text, "%.1f", history[i]);
        json_object_array_add(list, json_object_new_double_s(history[i], text));
    }
    json_object_object_add(sending, "sample_s", json_object_new_int64(sample_s));
    status_put_number(sending, "sent_per_s", status_mean(history, count, 1));
    status_put_number(sending, "sent_per_s_1min", status_mean(history, count, minute));
    status_put_number(sending, "sent_per_s_5min", status_mean(history, count, 5 * minute));
    json_object_object_add(sending, "history_per_s", list);
}

static void status_put_sum(struct json_object *sending, const char *key, struct json_object *stats)
{
    status_put_number(sending, key, status_number(sending, key) + status_number(stats, key));
}

static void status_put_most(struct json_object *sending, const char *key, struct json_object *stats)
{
    double a = status_number(sending, key);
    double b = status_number(stats, key);
    status_put_number(sending, key, a > b ? a : b);
}

static void status_add_stats(struct json_object *sending, struct json_object *stats)
{
    static const char *const most[] = {"rate_limit_per_s", "p50_ms",     "p95_ms", "p99_ms",
                                       "lag_p50_ms",       "lag_p99_ms", "db_ms"};
    for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
        status_put_most(sending, most[i], stats);
    }
    status_put_sum(sending, "rate_per_s", stats);
    json_object_object_add(sending, "in_flight",
                           json_object_new_int64(status_count(sending, "in_flight") +
                                                 status_count(stats, "in_flight")));
    json_object_object_add(
        sending, "workers",
        json_object_new_int64(status_count(sending, "workers") + status_count(stats, "workers")));
}

// Null where nobody has reported lately.
static struct json_object *status_sending(struct json_object *instances)
{
    double history[STATUS_HISTORY] = {0};
    size_t samples = 0;
    int64_t sample_s = 0;
    int64_t most_slots = -1;
    const char *limit = "nothing";
    struct json_object *sending = json_object_new_object();
    for (size_t i = 0; i < status_length(instances); i++) {
        struct json_object *instance = json_object_array_get_idx(instances, i);
        struct json_object *stats = status_at(instance, "stats");
        if (!status_is_fresh(instance)) {
            continue;
        }
        status_add_stats(sending, stats);
        status_add_history(history, &samples, status_at(stats, "sent_per_s"));
        sample_s = status_count(stats, "sample_s");
        if (status_count(instance, "slots") > most_slots) {
            most_slots = status_count(instance, "slots");
            limit = status_text(stats, "limited_by");
        }
    }
    if (most_slots < 0) {
        json_object_put(sending);
        return NULL;
    }
    status_put_rates(sending, history, samples, sample_s);
    status_put_text(sending, "limited_by", limit);
    return sending;
}

// ---- is it keeping up? -----------------------------------------------------------------------

struct status_holders {
    size_t alive;
    size_t holders;           // of these, with slots
    size_t open;              // of these, with an open pool
    struct json_object *shut; // one whose pool is not
};

static struct status_holders status_find_holders(struct json_object *instances)
{
    struct status_holders found = {.alive = 0};
    for (size_t i = 0; i < status_length(instances); i++) {
        struct json_object *instance = json_object_array_get_idx(instances, i);
        bool alive = status_flag(instance, "alive");
        bool holds = alive && status_count(instance, "slots") > 0;
        bool open = holds && status_flag(instance, "pool_open");
        found.alive += alive;
        found.holders += holds;
        found.open += open;
        found.shut = holds && !open ? instance : found.shut;
    }
    return found;
}

// "down" and the like; an instance that has not reported yet is only known not to be open.
static const char *status_pool(struct json_object *instance)
{
    const char *pool = status_text(status_at(instance, "stats"), "pool");
    return pool[0] == '\0' || strcmp(pool, "open") == 0 ? "closed" : pool;
}

static struct json_object *status_api(const struct status_holders *found)
{
    struct json_object *api = json_object_new_object();
    bool open = found->open > 0;
    status_put_text(api, "state",
                    found->holders == 0 ? "unknown"
                    : open              ? "open"
                                        : status_pool(found->shut));
    if (found->holders > 0 && !open) {
        json_object_object_add(
            api, "for_s",
            json_object_new_int64(status_count(status_at(found->shut, "stats"), "pool_s")));
    }
    return api;
}

static const char *status_state(const struct status_holders *found, double late_s)
{
    if (found->alive == 0) {
        return "no_daemon";
    }
    if (found->holders == 0) {
        return "stopped";
    }
    if (found->open == 0) {
        return strcmp(status_pool(found->shut), "manual") == 0 ? "paused" : "stopped";
    }
    return late_s > STATUS_LATE_S ? "behind" : "keeping_up";
}

// ---- what is stuck ---------------------------------------------------------------------------

static bool status_print_params(struct json_object *reason, struct buf *out)
{
    struct json_object *params = status_at(reason, "params");
    bool ok = true;
    for (size_t i = 0; ok && i < status_length(params); i++) {
        ok = buf_printf(out, "%s%s", i == 0 ? " " : ",",
                        json_object_get_string(json_object_array_get_idx(params, i)));
    }
    return ok;
}

static void status_stuck_dead(struct json_object *stuck, struct json_object *dead)
{
    if (status_count(dead, "rows") == 0) {
        return;
    }
    struct buf text;
    buf_init(&text, STATUS_TEXT_MAX);
    status_must(human_count(status_count(dead, "rows"), &text) &&
                buf_printf(&text, "%s dead (", status_flag(dead, "exact") ? "" : "+"));
    struct json_object *reasons = status_at(dead, "reasons");
    for (size_t i = 0; i < status_length(reasons) && i < STATUS_REASONS; i++) {
        struct json_object *reason = json_object_array_get_idx(reasons, i);
        status_must(buf_printf(&text, "%s%s", i == 0 ? "" : ", ", status_text(reason, "type")) &&
                    status_print_params(reason, &text) && buf_append_char(&text, ' ') &&
                    human_count(status_count(reason, "rows"), &text));
    }
    bool more = status_length(reasons) > STATUS_REASONS;
    status_must(buf_printf(&text, "%s)", more ? ", ..." : ""));
    status_push(stuck, &text);
}

static void status_stuck_rows(struct json_object *stuck, int64_t rows, const char *what)
{
    if (rows > 0) {
        struct buf text;
        buf_init(&text, STATUS_TEXT_MAX);
        status_must(human_count(rows, &text) && buf_printf(&text, " %s", what));
        status_push(stuck, &text);
    }
}

static int64_t status_both(struct json_object *queue, const char *key)
{
    return status_count(status_at(queue, "live"), key) +
           status_count(status_at(queue, "backfill"), key);
}

static struct json_object *status_stuck(struct json_object *doc, const struct config *config)
{
    struct json_object *stuck = json_object_new_array();
    struct json_object *queue = status_at(doc, "queue");
    status_stuck_dead(stuck, status_at(doc, "dead"));
    status_stuck_rows(stuck, status_both(queue, "retrying"),
                      "tried before, waiting to be tried again");
    const char *limit = status_text(status_at(doc, "sending"), "limited_by");
    if (config->source.relation == NULL || strcmp(limit, "source") == 0) {
        status_stuck_rows(stuck, status_both(queue, "thin"),
                          config->source.relation == NULL
                              ? "without a payload, and no source is configured"
                              : "waiting for a source that cannot be read");
    }
    return stuck;
}

// ---- what else to look at ----------------------------------------------------------------------

static void status_look_watches(struct json_object *attention, struct json_object *watches)
{
    struct json_object *list = status_at(watches, "problems");
    for (size_t i = 0; i < status_length(list); i++) {
        struct json_object *problem = json_object_array_get_idx(list, i);
        struct buf text;
        buf_init(&text, STATUS_TEXT_MAX);
        status_must(buf_printf(&text, "watch of %s: %s; call watch() again",
                               status_text(problem, "table"), status_text(problem, "problem")));
        status_push(attention, &text);
    }
    list = status_at(watches, "errors");
    for (size_t i = 0; i < status_length(list); i++) {
        struct json_object *error = json_object_array_get_idx(list, i);
        struct buf text;
        buf_init(&text, STATUS_TEXT_MAX);
        status_must(buf_printf(&text, "%s: failed triggers: ", status_text(error, "table")) &&
                    human_count(status_count(error, "calls"), &text) &&
                    buf_printf(&text, " (SQLSTATE %s), last ", status_text(error, "sqlstate")) &&
                    human_age(status_number(error, "newest_s"), &text) &&
                    buf_append_str(&text, STR(" ago: backfill what was changed")));
        status_push(attention, &text);
    }
}

static void status_look_vacuum(struct json_object *attention, struct json_object *blocker)
{
    bool old = status_number(blocker, "age_s") > STATUS_BLOCKER_S ||
               status_count(blocker, "age_xids") > STATUS_BLOCKER_XIDS;
    if (!old) {
        return;
    }
    struct buf text;
    buf_init(&text, STATUS_TEXT_MAX);
    status_must(buf_append_str(&text, STR("vacuum is held back ")));
    if (status_at(blocker, "age_s") != NULL) {
        status_must(buf_append_str(&text, STR("for ")) &&
                    human_age(status_number(blocker, "age_s"), &text) &&
                    buf_append_char(&text, ' '));
    }
    status_must(buf_printf(&text, "by %s", status_text(blocker, "kind")));
    if (status_at(blocker, "pid") != NULL) {
        status_must(buf_printf(&text, " %s", status_text(blocker, "pid")));
    }
    status_must(buf_printf(&text, " (%s", status_text(blocker, "name")));
    static const char *const keys[] = {"application", "state"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value = status_text(blocker, keys[i]);
        status_must(buf_printf(&text, "%s%s", value[0] == '\0' ? "" : ", ", value));
    }
    status_must(buf_append_char(&text, ')'));
    status_push(attention, &text);
}

static void status_look_instances(struct json_object *attention, struct json_object *instances)
{
    for (size_t i = 0; i < status_length(instances); i++) {
        struct json_object *instance = json_object_array_get_idx(instances, i);
        bool silent = !status_flag(instance, "alive") && status_count(instance, "slots") > 0;
        bool shut = status_flag(instance, "alive") && status_count(instance, "slots") > 0 &&
                    !status_flag(instance, "pool_open");
        if (!silent && !shut) {
            continue;
        }
        struct buf text;
        buf_init(&text, STATUS_TEXT_MAX);
        status_must(buf_printf(&text, "instance %s:%s ", status_text(instance, "host"),
                               status_text(instance, "pid")));
        if (silent) {
            status_must(buf_printf(&text, "still holds %s slots, but was last seen ",
                                   status_text(instance, "slots")) &&
                        human_age(status_number(instance, "seen_s"), &text) &&
                        buf_append_str(&text, STR(" ago")));
        } else {
            status_must(buf_printf(&text, "sends nothing: %s", status_pool(instance)));
        }
        status_push(attention, &text);
    }
}

// ---- the document ------------------------------------------------------------------------------

struct json_object *status_model(const struct outbox_section *sections, size_t count,
                                 const struct config *config)
{
    struct json_object *doc = json_object_new_object();
    // What follows from the rest, which it stands in front of.
    static const char *const first[] = {"state", "stuck", "attention", "api", "sending"};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        json_object_object_add(doc, first[i], NULL);
    }
    for (size_t i = 0; i < count; i++) {
        // From Postgres, so well-formed; and terminated, being a whole cell.
        json_object_object_add(doc, sections[i].name, json_tokener_parse(sections[i].json.ptr));
    }
    struct json_object *instances = status_at(doc, "instances");
    const struct status_holders found = status_find_holders(instances);
    json_object_object_add(doc, "sending", status_sending(instances));
    json_object_object_add(doc, "api", status_api(&found));
    double late_s = status_number(status_at(status_at(doc, "queue"), "live"), "late_s");
    status_put_text(doc, "state", status_state(&found, late_s));
    json_object_object_add(doc, "stuck", status_stuck(doc, config));
    struct json_object *attention = json_object_new_array();
    status_look_instances(attention, instances);
    status_look_watches(attention, status_at(doc, "watches"));
    status_look_vacuum(attention, status_at(status_at(doc, "vacuum"), "blocker"));
    json_object_object_add(doc, "attention", attention);
    json_object_object_add(status_at(doc, "prune"), "retention_s",
                           json_object_new_int64(config->outbox.retention_ns / CLOCK_NS_PER_SEC));
    return doc;
}
