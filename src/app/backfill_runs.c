// `imprint-sync backfill list|pause|resume|cancel`: the runs, and a word to the process at work on
// one, which looks every second.
#include "app/backfill.h"

#include "app/screen.h"
#include "app/table.h"
#include "base/buf.h"
#include "base/mem.h"
#include "domain/human.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum {
    RUNS_BATCH = 2000, // rows deleted in one transaction
    RUNS_LINE_MAX = 65536,
};

// What is asked of a run, or of all.
typedef bool (*runs_fn)(struct session *session, const struct options *options, struct err *err);

static int runs_do(const struct options *options, const char *command, bool needs_name,
                   runs_fn action)
{
    struct err err = {.kind = ERR_KIND_NONE};
    struct config *config = NULL;
    struct session *session = NULL;
    if (needs_name && options->name == NULL) {
        err_set(&err, ERR_KIND_USAGE,
                "which run? --name NAME; `imprint-sync backfill list` shows "
                "them");
    } else if ((config = settings_load(options->config_path)) == NULL) {
        return EX_CONFIG;
    } else {
        session = session_open(config, &err);
        bool ok =
            session != NULL && session_need_schema(session, &err) && action(session, options, &err);
        (void)ok; // stands in err
    }
    if (err.kind != ERR_KIND_NONE) {
        fprintf(stderr, "imprint-sync: backfill %s: %s\n", command, err.text);
    }
    session_close(session);
    config_destroy(config);
    return err_exit_code(err.kind);
}

// ---- list ----------------------------------------------------------------------------------

static struct json_object *runs_at(struct json_object *run, const char *key)
{
    struct json_object *value = NULL;
    json_object_object_get_ex(run, key, &value);
    return value;
}

static void runs_add_count(struct table *table, struct json_object *value, const char *mark)
{
    struct buf text;
    buf_init(&text, RUNS_LINE_MAX);
    bool ok = value == NULL ? buf_append_char(&text, '-')
                            : buf_append_str(&text, str_of(mark)) &&
                                  human_count(json_object_get_int64(value), &text);
    table_add(table, ok ? text.data : NULL);
    buf_free(&text);
}

static void runs_add(struct table *table, struct json_object *run)
{
    static const char *const texts[] = {"name", "scope", "state"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        table_add(table, json_object_get_string(runs_at(run, texts[i])));
    }
    bool exact = json_object_get_boolean(runs_at(run, "total_exact"));
    runs_add_count(table, runs_at(run, "total"), exact ? "" : "~");
    static const char *const counts[] = {"done", "unchanged", "dead", "waiting"};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        runs_add_count(table, runs_at(run, counts[i]), "");
    }
    struct json_object *holder = runs_at(run, "holder");
    table_add(table, json_object_get_string(runs_at(run, "created_at")));
    table_add(table, holder == NULL ? "-" : json_object_get_string(holder));
}

static void runs_print_list(struct json_object *runs)
{
    static const struct table_column columns[] = {
        {"name", false},  {"scope", false},    {"state", false}, {"customers", true},
        {"sent", true},   {"unchanged", true}, {"dead", true},   {"waiting", true},
        {"begun", false}, {"process", false},
    };
    size_t count = json_object_array_length(runs);
    if (count == 0) {
        puts("no backfills");
        return;
    }
    struct table *table = table_create(columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < count; i++) {
        runs_add(table, json_object_array_get_idx(runs, i));
    }
    table_print(table);
    table_destroy(table);
}

struct runs_list {
    bool json;
};

static void runs_read_list(void *ctx, const struct pgrows *rows)
{
    const struct runs_list *list = ctx;
    struct json_object *runs = json_tokener_parse(pgrows_text(rows, 0, 0));
    if (list->json) {
        puts(json_object_to_json_string_ext(runs, JSON_C_TO_STRING_PRETTY |
                                                      JSON_C_TO_STRING_SPACED |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE));
    } else {
        runs_print_list(runs);
    }
    json_object_put(runs);
}

static bool runs_list(struct session *session, const struct options *options, struct err *err)
{
    struct runs_list list = {.json = options->json};
    return session_query(session, outbox_run_list, NULL, 0, runs_read_list, &list, err);
}

int backfill_list_run(const struct options *options)
{
    return runs_do(options, "list", false, runs_list);
}

// ---- pause and resume ------------------------------------------------------------------------

struct runs_state {
    int64_t id;
    char state[16]; // "" when there is no such run
};

// The state before this statement's own change.
static void runs_read_state(void *ctx, const struct pgrows *rows)
{
    struct runs_state *state = ctx;
    if (pgrows_count(rows) > 0) {
        state->id = pgrows_int64(rows, 0, 0);
        snprintf(state->state, sizeof state->state, "%s", pgrows_text(rows, 0, 1));
    }
}

static bool runs_set(struct session *session, const struct options *options, const char *sql,
                     struct runs_state *state, struct err *err)
{
    const char *const params[] = {options->name};
    return session_query(session, sql, params, 1, runs_read_state, state, err) &&
           (state->state[0] != '\0' ||
            err_set(err, ERR_KIND_USAGE,
                    "there is no run %.64s; `imprint-sync backfill list` "
                    "shows them",
                    options->name));
}

static bool runs_pause(struct session *session, const struct options *options, struct err *err)
{
    struct runs_state state = {.id = 0};
    if (!runs_set(session, options, outbox_run_pause, &state, err)) {
        return false;
    }
    if (strcmp(state.state, "running") != 0) {
        return err_set(err, ERR_KIND_USAGE, "run %s is %s already", options->name, state.state);
    }
    printf("paused: run %s enqueues nothing more; what is enqueued is sent. It goes on with\n"
           "  imprint-sync backfill resume --name %s\n",
           options->name, options->name);
    return true;
}

int backfill_pause_run(const struct options *options)
{
    return runs_do(options, "pause", true, runs_pause);
}

int backfill_resume_run(const struct options *options)
{
    if (options->name == NULL) {
        fputs("imprint-sync: backfill resume: which run? --name NAME; `imprint-sync backfill list` "
              "shows them\n",
              stderr);
        return EX_USAGE;
    }
    return backfill_run(options);
}

// ---- cancel --------------------------------------------------------------------------------

static void runs_read_count(void *ctx, const struct pgrows *rows)
{
    *(int64_t *)ctx = pgrows_int64(rows, 0, 0);
}

// Also for one that was cancelled before and was interrupted in here.
static bool runs_cancel(struct session *session, const struct options *options, struct err *err)
{
    struct runs_state state = {.id = 0};
    if (!runs_set(session, options, outbox_run_cancel, &state, err)) {
        return false;
    }
    if (strcmp(state.state, "done") == 0) {
        return err_set(err, ERR_KIND_USAGE, "run %s is done already", options->name);
    }
    char id[24];
    char most[24];
    snprintf(id, sizeof id, "%lld", (long long)state.id);
    snprintf(most, sizeof most, "%d", RUNS_BATCH);
    const char *const params[] = {id, most};
    int64_t total = 0;
    int64_t deleted = 0;
    do {
        if (!session_query(session, outbox_run_cancel_rows, params, 2, runs_read_count, &deleted,
                           err)) {
            return false;
        }
        total += deleted;
    } while (deleted > 0);
    printf("cancelled: run %s; %lld rows that waited were deleted, what was sent stays sent\n",
           options->name, (long long)total);
    return true;
}

int backfill_cancel_run(const struct options *options)
{
    return runs_do(options, "cancel", true, runs_cancel);
}
