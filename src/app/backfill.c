// `imprint-sync backfill`: which customers, the run's record, and the end's summary. The work
// itself is backfill_walk.c's, inside the daemon.
#include "app/backfill.h"

#include "app/backfill_walk.h"
#include "app/daemon.h"
#include "app/screen.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/value.h"
#include "domain/human.h"
#include "domain/instant.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define BACKFILL_OVERLAP_NS (300 * CLOCK_NS_PER_SEC)
#define BACKFILL_REST_NS (100 * CLOCK_NS_PER_MS)
enum {
    BACKFILL_AHEAD = 10000,
    BACKFILL_AHEAD_MAX = 1000000,
    BACKFILL_EXACT_MAX = 100000, // customers that are counted; a view may be slow
    BACKFILL_TEXT_MAX = 65536,
};

// ---- options -------------------------------------------------------------------------------

static bool backfill_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    bool ok =
        len > 0 && len < BACKFILL_NAME_SIZE && name[0] != '.' && name[0] != '-' && name[0] != '_';
    for (size_t i = 0; ok && i < len; i++) {
        char c = str_lower_char(name[i]);
        ok = (c >= 'a' && c <= 'z') || str_is_digit(c) || c == '_' || c == '.' || c == '-';
    }
    return ok;
}

// Without a name the scope and the time make one.
static bool backfill_read_name(struct backfill *backfill, struct err *err)
{
    const char *name = backfill->options->name;
    if (name != NULL && !backfill_name_is_valid(name)) {
        return err_set(err, ERR_KIND_USAGE, "--name: letters, digits, '-', '_' and '.', at most %d",
                       BACKFILL_NAME_SIZE - 1);
    }
    if (name == NULL && backfill->scope_name == NULL) {
        return err_set(err, ERR_KIND_USAGE,
                       "say which customers: --all, --since TIME, --where SQL or --customers FILE; "
                       "or which run goes on: --name NAME");
    }
    if (name != NULL) {
        snprintf(backfill->name, sizeof backfill->name, "%s", name);
        return true;
    }
    time_t now = (time_t)(clock_wall_ns() / CLOCK_NS_PER_SEC);
    struct tm tm;
    char text[32];
    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%Y%m%dT%H%M%S", &tm);
    snprintf(backfill->name, sizeof backfill->name, "%s-%s-%d", backfill->scope_name, text,
             (int)getpid());
    return true;
}

static bool backfill_read_scope(struct backfill *backfill, struct err *err)
{
    const struct options *options = backfill->options;
    const struct {
        const char *name;
        const char *argument;
        bool given;
    } scopes[] = {{"all", NULL, options->all},
                  {"since", options->since, options->since != NULL},
                  {"where", options->where, options->where != NULL},
                  {"customers", options->customers, options->customers != NULL}};
    for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++) {
        if (!scopes[i].given) {
            continue;
        }
        if (backfill->scope_name != NULL) {
            return err_set(err, ERR_KIND_USAGE, "--%s and --%s: one of them", backfill->scope_name,
                           scopes[i].name);
        }
        if (scopes[i].argument != NULL && (str_trim(str_of(scopes[i].argument)).len == 0 ||
                                           !str_is_utf8(str_of(scopes[i].argument)))) {
            return err_set(err, ERR_KIND_USAGE, "--%s: is empty, or no UTF-8", scopes[i].name);
        }
        backfill->scope_name = scopes[i].name;
        backfill->argument = scopes[i].argument == NULL ? NULL : mem_strdup(scopes[i].argument);
    }
    return true;
}

static bool backfill_read_numbers(struct backfill *backfill, struct err *err)
{
    const struct options *options = backfill->options;
    backfill->limit = INT64_MAX;
    if (options->limit != NULL &&
        (!value_parse_count(str_of(options->limit), &backfill->limit) || backfill->limit < 1)) {
        return err_set(err, ERR_KIND_USAGE, "--limit takes a number from 1 on");
    }
    if (options->ahead != NULL && (!value_parse_count(str_of(options->ahead), &backfill->ahead) ||
                                   backfill->ahead < 1 || backfill->ahead > BACKFILL_AHEAD_MAX)) {
        return err_set(err, ERR_KIND_USAGE, "--ahead takes a number from 1 to %d",
                       BACKFILL_AHEAD_MAX);
    }
    if (options->rate != NULL &&
        (!value_parse_rate(str_of(options->rate), &backfill->rate.count, &backfill->rate.per_ns) ||
         backfill->rate.count < 1)) {
        return err_set(err, ERR_KIND_USAGE,
                       "--rate takes a number per time: 20/s, 600/m or 10000/h");
    }
    backfill->rate_text = options->rate == NULL ? NULL : mem_strdup(options->rate);
    backfill->overlap_ns = BACKFILL_OVERLAP_NS;
    if (options->overlap != NULL &&
        (options->since == NULL ||
         !value_parse_duration(str_of(options->overlap), &backfill->overlap_ns))) {
        return err_set(err, ERR_KIND_USAGE, "--overlap takes a duration such as 5m, with --since");
    }
    return true;
}

static bool backfill_read_options(struct backfill *backfill, struct err *err)
{
    backfill->force = backfill->options->force;
    return backfill_read_scope(backfill, err) && backfill_read_numbers(backfill, err) &&
           backfill_read_name(backfill, err);
}

// ---- the scope -----------------------------------------------------------------------------

struct outbox_scope backfill_scope(const struct backfill *backfill)
{
    return (struct outbox_scope){.updated_at = backfill->config->source.updated_at,
                                 .since = backfill->since,
                                 .where = backfill->where};
}

static void backfill_read_text(void *ctx, const struct pgrows *rows)
{
    char **text = ctx;
    free(*text);
    *text = pgrows_count(rows) == 0 || pgrows_null(rows, 0, 0)
                ? NULL
                : mem_strdup(pgrows_text(rows, 0, 0));
}

// A time by the database's clock, less the overlap: a transaction that was open at that time may
// have set updated_at to an earlier one.
static bool backfill_find_since(struct backfill *backfill, struct err *err)
{
    if (backfill->config->source.updated_at == NULL) {
        return err_set(err, ERR_KIND_CONFIG,
                       "--since needs source.updated_at in the configuration");
    }
    int64_t value = 0;
    char ago[24];
    char at[INSTANT_TEXT_BYTES];
    char overlap[24];
    const char *params[] = {NULL, NULL, overlap};
    snprintf(overlap, sizeof overlap, "%lld", (long long)(backfill->overlap_ns / CLOCK_NS_PER_MS));
    if (value_parse_duration(str_of(backfill->argument), &value)) {
        snprintf(ago, sizeof ago, "%lld", (long long)(value / CLOCK_NS_PER_MS));
        params[1] = ago;
    } else if (instant_parse(str_of(backfill->argument), NULL, &value) == INSTANT_RESULT_OK) {
        instant_print(value, at);
        params[0] = at;
    } else {
        return err_set(err, ERR_KIND_USAGE,
                       "--since: %.40s is neither a time, as in 2026-01-31T18:00:00Z, nor a "
                       "duration such as 2h",
                       backfill->argument);
    }
    return session_query(backfill->session, outbox_run_since, params, 3, backfill_read_text,
                         &backfill->since, err);
}

// What can only be said with a database, or takes long to read.
static bool backfill_find_scope(struct backfill *backfill, struct err *err)
{
    const char *name = backfill->scope_name == NULL ? "" : backfill->scope_name;
    if (strcmp(name, "since") == 0) {
        return backfill_find_since(backfill, err);
    }
    if (strcmp(name, "where") == 0) {
        backfill->where = mem_strdup(backfill->argument);
    }
    if (strcmp(name, "customers") == 0) {
        backfill->ids = ids_open(backfill->argument, err);
        free(backfill->argument);
        backfill->argument = backfill->ids == NULL ? NULL : mem_strdup(ids_digest(backfill->ids));
        return backfill->ids != NULL;
    }
    return true;
}

static void backfill_read_count(void *ctx, const struct pgrows *rows)
{
    *(int64_t *)ctx = pgrows_int64(rows, 0, 0);
}

static void backfill_read_plan(void *ctx, const struct pgrows *rows)
{
    int64_t *count = ctx;
    struct json_object *plans = json_tokener_parse(pgrows_text(rows, 0, 0));
    struct json_object *plan = NULL;
    struct json_object *expected = NULL;
    if (json_object_is_type(plans, json_type_array) &&
        json_object_object_get_ex(json_object_array_get_idx(plans, 0), "Plan", &plan) &&
        json_object_object_get_ex(plan, "Plan Rows", &expected)) {
        *count = json_object_get_int64(expected);
    }
    json_object_put(plans);
}

static bool backfill_count_source(struct backfill *backfill, struct err *err)
{
    struct session *session = backfill->session;
    const struct outbox_scope scope = backfill_scope(backfill);
    const char *const params[] = {scope.since};
    size_t count = scope.since == NULL ? 0 : 1;
    char *sql = outbox_scope_sql_count(session_outbox(session), &scope, BACKFILL_EXACT_MAX + 1);
    bool ok = session_query_read_only(session, sql, params, count, backfill_read_count,
                                      &backfill->total, err);
    free(sql);
    backfill->total_exact = ok && backfill->total <= BACKFILL_EXACT_MAX;
    bool slow = !ok && session_failed_with(session, "57014");
    if (backfill->total_exact || (!ok && !slow)) {
        return ok;
    }
    *err = (struct err){.kind = ERR_KIND_NONE};
    sql = outbox_scope_sql_plan(session_outbox(session), &scope);
    ok = session_query_read_only(session, sql, params, count, backfill_read_plan, &backfill->total,
                                 err);
    free(sql);
    return ok;
}

// The count failed: says that it was with --where. Whoever wrote that is to mend it, or the rights
// that it needs, unless the database is away.
static bool backfill_blame_where(const struct backfill *backfill, struct err *err)
{
    // The connection is dropped for these, as after a failover and for a fault of the protocol.
    bool writes = session_failed_with(backfill->session, "25006");
    bool parameter = session_failed_with(backfill->session, "08P01");
    if (err->kind == ERR_KIND_INTERNAL || writes || parameter) {
        err->kind = ERR_KIND_USAGE;
    }
    if (parameter) {
        err_set(err, ERR_KIND_USAGE, "$1 and the like stand for nothing here: write the value");
    }
    return err->kind == ERR_KIND_UNAVAILABLE
               ? false
               : err_context(err, "--where, a condition on columns of %s",
                             backfill->config->source.relation);
}

bool backfill_count(struct backfill *backfill, struct err *err)
{
    bool ok = true;
    if (backfill->ids != NULL) {
        backfill->total = ids_count(backfill->ids);
        backfill->total_exact = true;
    } else {
        ok = backfill_count_source(backfill, err);
    }
    if (backfill->total > backfill->limit) {
        backfill->total = backfill->limit;
        backfill->total_exact = true;
    }
    return ok || backfill->where == NULL ? ok : backfill_blame_where(backfill, err);
}

// ---- the run's record ------------------------------------------------------------------------

struct backfill_found {
    char *cell[OUTBOX_RUN_COLUMNS]; // owned; all NULL: there is none
};

static void found_free(struct backfill_found *found)
{
    for (size_t i = 0; i < OUTBOX_RUN_COLUMNS; i++) {
        free(found->cell[i]);
        found->cell[i] = NULL;
    }
}

static void found_read(void *ctx, const struct pgrows *rows)
{
    struct backfill_found *found = ctx;
    for (int i = 0; pgrows_count(rows) > 0 && i < OUTBOX_RUN_COLUMNS; i++) {
        found->cell[i] = pgrows_null(rows, 0, i) ? NULL : mem_strdup(pgrows_text(rows, 0, i));
    }
}

static int64_t found_number(const struct backfill_found *found, enum outbox_run_column column)
{
    int64_t value = 0;
    bool ok = str_to_int64(str_of(found->cell[column]), &value);
    return ok ? value : 0;
}

static bool found_is(const struct backfill_found *found, enum outbox_run_column column,
                     const char *text)
{
    return str_equal(str_of(found->cell[column]), str_of(text));
}

static bool backfill_find(struct backfill *backfill, struct backfill_found *found, struct err *err)
{
    const char *const params[] = {backfill->name};
    found_free(found);
    return session_query(backfill->session, outbox_run_find, params, 1, found_read, found, err);
}

// `*added` stays false when the name has been taken meanwhile.
static bool backfill_add(struct backfill *backfill, bool *added, struct err *err)
{
    if (backfill->scope_name == NULL) {
        return err_set(
            err, ERR_KIND_USAGE,
            "there is no run %s to go on with: say which customers, with --all, --since, "
            "--where or --customers",
            backfill->name);
    }
    if (!backfill_count(backfill, err)) {
        return false;
    }
    char limit[24];
    char ahead[24];
    char total[24];
    backfill->ahead = backfill->ahead == 0 ? BACKFILL_AHEAD : backfill->ahead;
    snprintf(limit, sizeof limit, "%lld", (long long)backfill->limit);
    snprintf(ahead, sizeof ahead, "%lld", (long long)backfill->ahead);
    snprintf(total, sizeof total, "%lld", (long long)backfill->total);
    const char *const params[] = {backfill->name,
                                  backfill->scope_name,
                                  backfill->argument,
                                  backfill->since,
                                  backfill->config->source.relation,
                                  backfill->config->source.customer_id,
                                  backfill->force ? "true" : "false",
                                  backfill->rate_text,
                                  backfill->limit == INT64_MAX ? NULL : limit,
                                  ahead,
                                  total,
                                  backfill->total_exact ? "true" : "false",
                                  backfill->holder};
    bool ok =
        session_query(backfill->session, outbox_run_add, params, sizeof params / sizeof params[0],
                      backfill_read_count, &backfill->run_id, err);
    *added = ok && backfill->run_id != 0;
    return ok;
}

// What is given again must be what the run was begun with.
static bool backfill_check_same(const struct backfill *backfill, const struct backfill_found *found,
                                struct err *err)
{
    const struct config_source *source = &backfill->config->source;
    const char *name = backfill->name;
    if (!found_is(found, OUTBOX_RUN_RELATION, source->relation) ||
        !found_is(found, OUTBOX_RUN_KEY, source->customer_id)) {
        return err_set(err, ERR_KIND_CONFIG,
                       "run %s was begun on %s (%s), which is not the source of this "
                       "configuration; begin another",
                       name, found->cell[OUTBOX_RUN_RELATION], found->cell[OUTBOX_RUN_KEY]);
    }
    if (backfill->scope_name != NULL && !found_is(found, OUTBOX_RUN_SCOPE, backfill->scope_name)) {
        return err_set(err, ERR_KIND_USAGE, "run %s was begun with --%s, not --%s", name,
                       found->cell[OUTBOX_RUN_SCOPE], backfill->scope_name);
    }
    if (backfill->argument != NULL && !found_is(found, OUTBOX_RUN_ARGUMENT, backfill->argument)) {
        return err_set(err, ERR_KIND_USAGE,
                       "run %s was begun with another --%s: leave it out to go on, or take another "
                       "--name",
                       name, backfill->scope_name);
    }
    if (backfill->ids == NULL && found_is(found, OUTBOX_RUN_SCOPE, "customers")) {
        return err_set(err, ERR_KIND_USAGE,
                       "run %s goes on with the same list of ids: --name %s --customers FILE", name,
                       name);
    }
    if (backfill->options->force && !found_is(found, OUTBOX_RUN_FORCE, "t")) {
        return err_set(err, ERR_KIND_USAGE,
                       "run %s was begun without --force and goes on without; cancel it to begin "
                       "anew",
                       name);
    }
    return true;
}

static bool backfill_has_ended(const struct backfill_found *found)
{
    return found_is(found, OUTBOX_RUN_STATE, "done") ||
           found_is(found, OUTBOX_RUN_STATE, "cancelled");
}

static bool backfill_forget(struct backfill *backfill, const struct backfill_found *found,
                            struct err *err)
{
    if (!backfill->options->force) {
        return err_set(err, ERR_KIND_USAGE,
                       "run %s is %s: --force begins it anew and sends unchanged customers too, or "
                       "take another --name",
                       backfill->name, found->cell[OUTBOX_RUN_STATE]);
    }
    if (backfill->scope_name == NULL) {
        return err_set(err, ERR_KIND_USAGE,
                       "run %s is %s: to begin it anew say which customers, with --all, --since, "
                       "--where or --customers",
                       backfill->name, found->cell[OUTBOX_RUN_STATE]);
    }
    const char *const params[] = {found->cell[OUTBOX_RUN_ID]};
    return session_query(backfill->session, outbox_run_forget, params, 1, NULL, NULL, err);
}

// From now on the run is as the record has it, with what was given now on top.
static bool backfill_take(struct backfill *backfill, const struct backfill_found *found,
                          bool *taken, struct err *err)
{
    const char *const params[] = {found->cell[OUTBOX_RUN_ID],     backfill->holder,
                                  found->cell[OUTBOX_RUN_HOLDER], found->cell[OUTBOX_RUN_RENEWALS],
                                  backfill->options->rate,        backfill->options->limit,
                                  backfill->options->ahead};
    int64_t id = 0;
    if (!session_query(backfill->session, outbox_run_take, params, sizeof params / sizeof params[0],
                       backfill_read_count, &id, err)) {
        return false;
    }
    *taken = id != 0;
    backfill->run_id = id;
    return true;
}

static char *backfill_copy(const char *text)
{
    return text == NULL ? NULL : mem_strdup(text);
}

static void backfill_adopt(struct backfill *backfill, const struct backfill_found *found)
{
    static const char *const scopes[] = {"all", "since", "where", "customers"};
    for (size_t i = 0; i < sizeof scopes / sizeof scopes[0]; i++) {
        if (found_is(found, OUTBOX_RUN_SCOPE, scopes[i])) {
            backfill->scope_name = scopes[i];
        }
    }
    free(backfill->since);
    free(backfill->where);
    backfill->since = backfill_copy(found->cell[OUTBOX_RUN_SINCE]);
    backfill->where = found_is(found, OUTBOX_RUN_SCOPE, "where")
                          ? backfill_copy(found->cell[OUTBOX_RUN_ARGUMENT])
                          : NULL;
    backfill->total =
        found->cell[OUTBOX_RUN_TOTAL] == NULL ? -1 : found_number(found, OUTBOX_RUN_TOTAL);
    backfill->total_exact = found_is(found, OUTBOX_RUN_TOTAL_EXACT, "t");
    if (backfill->options->limit == NULL && found->cell[OUTBOX_RUN_LIMIT] != NULL) {
        backfill->limit = found_number(found, OUTBOX_RUN_LIMIT);
    }
    if (backfill->ahead == 0) {
        backfill->ahead = found_number(found, OUTBOX_RUN_AHEAD);
    }
    if (backfill->rate_text == NULL && found->cell[OUTBOX_RUN_RATE] != NULL) {
        bool ok = value_parse_rate(str_of(found->cell[OUTBOX_RUN_RATE]), &backfill->rate.count,
                                   &backfill->rate.per_ns);
        backfill->rate.count = ok ? backfill->rate.count : 0;
    }
}

// ---- whose it is -----------------------------------------------------------------------------

// Whoever holds the run, as it was first seen.
struct backfill_watch {
    char *holder; // owned
    int64_t renewals;
    int64_t since_ns;
};

static bool backfill_rest(struct backfill *backfill, struct err *err)
{
    bool woken = session_wait_notify(backfill->session, BACKFILL_REST_NS, err);
    (void)woken; // nothing is listened to
    return err->kind == ERR_KIND_NONE;
}

// Whether the run may be taken: it is free, or its holder was seen to be dead. False with the
// reason when it lives.
static bool backfill_watch(struct backfill *backfill, struct backfill_watch *watch,
                           const struct backfill_found *found, bool *free_now, struct err *err)
{
    const char *holder = found->cell[OUTBOX_RUN_HOLDER];
    int64_t renewals = found_number(found, OUTBOX_RUN_RENEWALS);
    int64_t now = clock_now_ns();
    *free_now = holder == NULL;
    if (holder == NULL) {
        return true;
    }
    bool same = watch->holder != NULL && strcmp(watch->holder, holder) == 0;
    if (same && watch->renewals != renewals) {
        return err_set(err, ERR_KIND_INTERNAL,
                       "run %s is being worked on by process %s; `imprint-sync backfill pause "
                       "--name %s` stops that",
                       backfill->name, holder, backfill->name);
    }
    if (!same) {
        fprintf(stderr, "run %s was held by process %s: looking whether that lives, up to %lld s\n",
                backfill->name, holder,
                (long long)(backfill->config->outbox.lease_ns / CLOCK_NS_PER_SEC));
        free(watch->holder);
        *watch = (struct backfill_watch){
            .holder = mem_strdup(holder), .renewals = renewals, .since_ns = now};
    }
    *free_now = now - watch->since_ns >= backfill->config->outbox.lease_ns;
    return *free_now || backfill_rest(backfill, err);
}

// One try. `*claimed` stays false when it has to be looked at again.
static bool backfill_try(struct backfill *backfill, struct backfill_watch *watch,
                         struct backfill_found *found, bool *claimed, struct err *err)
{
    bool free_now = false;
    if (!backfill_find(backfill, found, err)) {
        return false;
    }
    if (found->cell[OUTBOX_RUN_ID] == NULL) {
        return backfill_add(backfill, claimed, err);
    }
    if (backfill_has_ended(found)) {
        return backfill_forget(backfill, found, err);
    }
    if (!backfill_check_same(backfill, found, err) ||
        !backfill_watch(backfill, watch, found, &free_now, err)) {
        return false;
    }
    if (!free_now) {
        return true;
    }
    if (!backfill_take(backfill, found, claimed, err)) {
        return false;
    }
    if (*claimed) {
        backfill_adopt(backfill, found);
    }
    return true;
}

static bool backfill_claim(struct backfill *backfill, struct err *err)
{
    struct backfill_watch watch = {.holder = NULL};
    struct backfill_found found = {.cell = {NULL}};
    bool claimed = false;
    bool ok = true;
    while (ok && !claimed) {
        ok = backfill_try(backfill, &watch, &found, &claimed, err);
    }
    found_free(&found);
    free(watch.holder);
    return ok;
}

// ---- the end -------------------------------------------------------------------------------

static void backfill_print_reasons(void *ctx, const struct pgrows *rows)
{
    int64_t *dead = ctx;
    for (size_t i = 0; i < pgrows_count(rows); i++) {
        *dead += pgrows_int64(rows, i, 0);
        printf("  %10s dead: %s\n", pgrows_text(rows, i, 0), pgrows_text(rows, i, 1));
    }
    if (*dead > 0) {
        puts("`imprint-sync dead list` shows them, `dead retry` sends them again");
    }
}

static void backfill_print_counts(const struct backfill_found *found)
{
    struct buf out;
    buf_init(&out, BACKFILL_TEXT_MAX);
    bool ok = human_count(found_number(found, OUTBOX_RUN_SETTLED), &out) &&
              buf_append_str(&out, STR(" customers, of these ")) &&
              human_count(found_number(found, OUTBOX_RUN_DONE_COUNT), &out) &&
              buf_append_str(&out, STR(" sent and ")) &&
              human_count(found_number(found, OUTBOX_RUN_UNCHANGED_COUNT), &out) &&
              buf_append_str(&out, STR(" unchanged"));
    printf("%s\n", ok ? buf_peek(&out).ptr : "");
    buf_free(&out);
}

static void backfill_say_how_on(const struct backfill *backfill, const struct backfill_found *found)
{
    struct buf waiting;
    buf_init(&waiting, BACKFILL_TEXT_MAX);
    bool ok = human_count(found_number(found, OUTBOX_RUN_WAITING), &waiting);
    printf("%s rows are enqueued; a daemon sends them, or this run when it goes on:\n",
           ok ? buf_peek(&waiting).ptr : "");
    buf_free(&waiting);
    printf("  imprint-sync backfill --name %s%s\n", backfill->name,
           backfill->ids == NULL ? "" : " --customers FILE");
}

static int backfill_exit_code(enum walk_end end, int64_t dead)
{
    switch (end) {
    case WALK_END_DONE:
        return dead > 0 ? EX_DATAERR : EX_OK;
    case WALK_END_STOPPED:
    case WALK_END_PAUSED:
    case WALK_END_CANCELLED:
        return EX_TEMPFAIL; // as somebody asked: nothing failed
    case WALK_END_FAILED:
        return EX_CONFIG;
    case WALK_END_NONE:
    case WALK_END_TAKEN:
        break;
    }
    return EXIT_FAILURE;
}

// What became of it.
static int backfill_summary(struct backfill *backfill, enum walk_end end, const char *reason,
                            struct err *err)
{
    struct backfill_found found = {.cell = {NULL}};
    int64_t dead = 0;
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)backfill->run_id);
    const char *const params[] = {id};
    if (backfill_find(backfill, &found, err) && found.cell[OUTBOX_RUN_ID] != NULL) {
        printf("backfill %s: %s\n  ", backfill->name, end == WALK_END_STOPPED ? "paused" : reason);
        backfill_print_counts(&found);
        bool ok = session_query(backfill->session, outbox_run_reasons, params, 1,
                                backfill_print_reasons, &dead, err);
        (void)ok; // stands in err
        if (end == WALK_END_STOPPED || end == WALK_END_PAUSED || end == WALK_END_FAILED) {
            backfill_say_how_on(backfill, &found);
        }
    }
    found_free(&found);
    return err->kind != ERR_KIND_NONE ? err_exit_code(err->kind) : backfill_exit_code(end, dead);
}

// A daemon that could not begin, or was ended by a second signal, has not given the run back.
static bool backfill_release(struct backfill *backfill, struct err *err)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)backfill->run_id);
    const char *const params[] = {id, backfill->holder};
    return session_query(backfill->session, outbox_run_release, params, 2, NULL, NULL, err);
}

static bool backfill_connect(struct backfill *backfill, struct err *err)
{
    backfill->session = session_open(backfill->config, err);
    return backfill->session != NULL && session_hello(backfill->session, &backfill->hello, err) &&
           outbox_schema_is_right(&backfill->hello, err);
}

// ---- the command -----------------------------------------------------------------------------

static bool backfill_open(struct backfill *backfill, struct err *err)
{
    settings_instance(backfill->holder);
    if (backfill->config->source.relation == NULL) {
        return err_set(err, ERR_KIND_CONFIG,
                       "a backfill needs a source: set source.relation and source.customer_id");
    }
    if (!backfill_connect(backfill, err)) {
        return false;
    }
    if (backfill->hello.source != OUTBOX_SOURCE_READY) {
        return err_set(err, ERR_KIND_CONFIG, "%s", outbox_source_reason(backfill->hello.source));
    }
    return backfill_find_scope(backfill, err);
}

static int backfill_walk(struct backfill *backfill, struct err *err)
{
    const struct walk_options options = {.config = backfill->config,
                                         .holder = backfill->holder,
                                         .name = backfill->name,
                                         .scope_name = backfill->scope_name,
                                         .scope = backfill_scope(backfill),
                                         .ids = backfill->ids,
                                         .run_id = backfill->run_id,
                                         .total = backfill->total,
                                         .total_exact = backfill->total_exact,
                                         .limit = backfill->limit,
                                         .ahead = backfill->ahead,
                                         .rate = backfill->rate,
                                         .bar = screen_can_redraw()};
    if (options.bar) {
        printf("Ctrl-C pauses it, `imprint-sync backfill --name %s` goes on\n", backfill->name);
        fflush(stdout);
    }
    session_close(backfill->session); // the daemon has its own
    backfill->session = NULL;
    struct walk *walk = walk_create(&options);
    const struct daemon_options daemon = {.config_path = backfill->options->config_path,
                                          .walk = walk};
    int code = daemon_run(&daemon);
    enum walk_end end = walk_ended(walk);
    if (backfill_connect(backfill, err) && backfill_release(backfill, err) &&
        end != WALK_END_NONE) {
        int ended = backfill_summary(backfill, end, walk_reason(walk), err);
        code = code == EXIT_FAILURE ? code : ended; // requests were cut off
    }
    walk_destroy(walk);
    return err->kind != ERR_KIND_NONE ? err_exit_code(err->kind) : code;
}

static int backfill_do(struct backfill *backfill, struct err *err)
{
    if (!backfill_open(backfill, err)) {
        return err_exit_code(err->kind);
    }
    if (backfill->options->dry_run) {
        bool ok = backfill->scope_name != NULL
                      ? backfill_sample(backfill, err)
                      : err_set(err, ERR_KIND_USAGE,
                                "--dry-run needs --all, --since, --where or --customers");
        return ok ? EX_OK : err_exit_code(err->kind);
    }
    return backfill_claim(backfill, err) ? backfill_walk(backfill, err) : err_exit_code(err->kind);
}

static void backfill_close(struct backfill *backfill)
{
    session_close(backfill->session);
    ids_close(backfill->ids);
    free(backfill->rate_text);
    free(backfill->where);
    free(backfill->since);
    free(backfill->argument);
    config_destroy(backfill->config);
}

int backfill_run(const struct options *options)
{
    struct backfill backfill = {.options = options, .total = -1};
    struct err err = {.kind = ERR_KIND_NONE};
    int code = EX_USAGE;
    if (backfill_read_options(&backfill, &err)) {
        backfill.config = settings_load(options->config_path);
        code = backfill.config == NULL ? EX_CONFIG : backfill_do(&backfill, &err);
    }
    if (err.kind != ERR_KIND_NONE) {
        fprintf(stderr, "imprint-sync: backfill: %s\n", err.text);
    }
    backfill_close(&backfill);
    return code;
}
