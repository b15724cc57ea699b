// `imprint-sync check`: looks at everything that must be right before anything is sent.
#include "app/options.h"
#include "app/session.h"
#include "app/settings.h"
#include "base/buf.h"
#include "base/mem.h"
#include "domain/jsontext.h"
#include "domain/verdict.h"
#include "io/file.h"
#include "io/sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

enum { CHECK_PRINT_MAX = 256 * 1024 };

enum check_level { CHECK_LEVEL_OK, CHECK_LEVEL_WARNING, CHECK_LEVEL_FAILED };

struct check {
    const struct options *options;
    struct config *config;
    struct session *session;
    struct outbox_hello hello;
    int exit_code;
    size_t lines;
    size_t failed;
    char first_failure[1100];
    // Of the request under way:
    bool answered;
    struct verdict verdict;
    char failure[32];
};

// ---- the list ------------------------------------------------------------------------------

static void check_print_json(const struct check *check, const char *level, const char *what,
                             const char *text)
{
    struct buf line;
    buf_init(&line, CHECK_PRINT_MAX);
    bool ok = buf_printf(&line, "%s{\"level\": \"%s\", \"check\": \"%s\", \"text\": ",
                         check->lines == 0 ? "[\n  " : ",\n  ", level, what) &&
              jsontext_encode(str_of(text), &line) && buf_append_char(&line, '}');
    if (ok) {
        fputs(line.data, stdout);
    }
    buf_free(&line);
}

static void check_say(struct check *check, enum check_level level, const char *what,
                      const char *text)
{
    static const char *const names[] = {"ok", "warning", "failed"};
    if (check->options->json) {
        check_print_json(check, names[level], what, text);
    } else {
        printf("%-8s %-14s %s\n", names[level], what, text);
    }
    check->lines++;
}

static void check_fail(struct check *check, const char *what, const char *text, int exit_code)
{
    check_say(check, CHECK_LEVEL_FAILED, what, text);
    check->failed++;
    if (check->exit_code == EX_OK) {
        check->exit_code = exit_code;
        snprintf(check->first_failure, sizeof check->first_failure, "%.40s: %.1023s", what, text);
    }
}

// ---- the database --------------------------------------------------------------------------

static void check_schema(struct check *check)
{
    char text[160];
    long long version = (long long)check->hello.schema_version;
    switch (check->hello.schema) {
    case OUTBOX_SCHEMA_RIGHT:
        snprintf(text, sizeof text, "imprint_sync, version %lld", version);
        check_say(check, CHECK_LEVEL_OK, "schema", text);
        break;
    case OUTBOX_SCHEMA_MISSING:
        check_fail(check, "schema", "there is none: run `imprint-sync migrate`", EX_CONFIG);
        break;
    case OUTBOX_SCHEMA_OLD:
        snprintf(text, sizeof text, "version %lld, but %d is needed: run `imprint-sync migrate`",
                 version, OUTBOX_SCHEMA_VERSION);
        check_fail(check, "schema", text, EX_CONFIG);
        break;
    case OUTBOX_SCHEMA_NEW:
        snprintf(text, sizeof text,
                 "version %lld, this program knows only %d: install the newer one", version,
                 OUTBOX_SCHEMA_VERSION);
        check_fail(check, "schema", text, EX_CONFIG);
        break;
    }
}

static void check_source(struct check *check)
{
    const char *reason = outbox_source_reason(check->hello.source);
    if (check->hello.source == OUTBOX_SOURCE_READY) {
        check_say(check, CHECK_LEVEL_OK, "source", check->config->source.relation);
    } else if (check->hello.source == OUTBOX_SOURCE_NONE) {
        check_say(check, CHECK_LEVEL_WARNING, "source",
                  "none is configured: rows without a payload will be held");
    } else {
        char text[400];
        snprintf(text, sizeof text, "%.150s: %s", check->config->source.relation, reason);
        check_fail(check, "source", text, EX_CONFIG);
    }
}

static void check_on_scanned(void *ctx, const struct pgconn_failure *failure, const char *relation)
{
    struct check *check = ctx;
    char text[400];
    if (failure != NULL) {
        snprintf(text, sizeof text, "the source cannot be read: %s", failure->text);
        check_fail(check, "source", text, EX_CONFIG);
    } else if (relation != NULL) {
        snprintf(text, sizeof text,
                 "reading one customer scans all of table %.64s: it needs an index, for the key "
                 "column CREATE INDEX ON %.64s (%.64s)",
                 relation, check->config->source.relation, check->config->source.customer_id);
        check_fail(check, "index", text, EX_CONFIG);
    } else {
        check_say(check, CHECK_LEVEL_OK, "index", "one customer is read by an index");
    }
    session_wake(check->session);
}

static void check_read_missing(void *ctx, const struct pgrows *rows)
{
    struct check *check = ctx;
    for (size_t i = 0; i < pgrows_count(rows); i++) {
        char text[256];
        snprintf(text, sizeof text, "the role lacks the right to %s", pgrows_text(rows, i, 0));
        check_fail(check, "rights", text, EX_CONFIG);
    }
    if (pgrows_count(rows) == 0) {
        check_say(check, CHECK_LEVEL_OK, "rights", "the role may read and settle the outbox");
    }
}

static const char check_rights_sql[] =
    "SELECT r.name FROM (VALUES"
    " ('read imprint_sync.outbox', has_table_privilege('imprint_sync.outbox', 'SELECT')),"
    " ('update imprint_sync.outbox',"
    "  has_column_privilege('imprint_sync.outbox', 'status', 'UPDATE')),"
    " ('delete from imprint_sync.outbox', has_table_privilege('imprint_sync.outbox', 'DELETE')),"
    " ('write imprint_sync.customer_state',"
    "  has_table_privilege('imprint_sync.customer_state', 'INSERT')),"
    " ('lock imprint_sync.lease', has_column_privilege('imprint_sync.lease', 'renewals', "
    "'UPDATE')),"
    " ('call imprint_sync.idle', has_function_privilege('imprint_sync.idle(bigint)', 'EXECUTE'))"
    ") AS r (name, granted) WHERE NOT r.granted";

// A column that the mapping names and the source does not have, and the source as a whole.
static void check_read_columns(void *ctx, const struct pgrows *rows)
{
    struct check *check = ctx;
    const struct mapping *mapping = check->config->mapping;
    size_t count = pgrows_count(rows);
    const char **names = mem_calloc(count, sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = pgrows_text(rows, i, 0);
    }
    size_t missing = 0;
    for (size_t i = 0; i < mapping_column_count(mapping); i++) {
        const char *column = mapping_column_name(mapping, i);
        bool found = false;
        for (size_t j = 0; j < count && !found; j++) {
            found = strcmp(names[j], column) == 0;
        }
        if (!found) {
            const char *nearest = str_nearest(str_of(column), names, count);
            char text[400];
            snprintf(text, sizeof text, "the source has no column %s%s%s", column,
                     nearest == NULL ? "" : "; did you mean ", nearest == NULL ? "" : nearest);
            check_fail(check, "mapping", text, EX_CONFIG);
            missing++;
        }
    }
    free(names);
    if (missing == 0) {
        check_say(check, CHECK_LEVEL_OK, "mapping", "the source has every column that it reads");
    }
}

static const char check_columns_sql[] =
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0"
    " AND NOT attisdropped";

static bool check_queries(struct check *check, struct err *err)
{
    if (check->hello.schema != OUTBOX_SCHEMA_MISSING &&
        !session_query(check->session, check_rights_sql, NULL, 0, check_read_missing, check, err)) {
        return false;
    }
    const char *const relation[] = {check->config->source.relation};
    size_t failed = check->failed;
    if (check->hello.source != OUTBOX_SOURCE_READY ||
        !session_query(check->session, check_columns_sql, relation, 1, check_read_columns, check,
                       err) ||
        check->failed > failed) {
        return err->kind == ERR_KIND_NONE;
    }
    outbox_find_scan(session_outbox(check->session), check_on_scanned, check);
    return session_wait(check->session, err);
}

static void check_notify(struct check *check)
{
    if (!check->config->outbox.notify) {
        check_say(check, CHECK_LEVEL_OK, "notify", "off: changes are found by polling");
    } else if (check->hello.behind_pooler && check->config->database.listen_dsn == NULL) {
        check_say(check, CHECK_LEVEL_WARNING, "notify",
                  "database.dsn goes through a pooler: set database.listen_dsn to be woken");
    } else {
        check_say(check, CHECK_LEVEL_OK, "notify", "an idle daemon is woken by commits");
    }
}

static void check_database(struct check *check)
{
    struct err err = {.kind = ERR_KIND_NONE};
    check->session = session_open(check->config, &err);
    if (check->session == NULL) {
        check_fail(check, "database", err.text, err_exit_code(err.kind));
        return;
    }
    char text[64];
    int version = pgconn_server_version(session_conn(check->session));
    snprintf(text, sizeof text, "PostgreSQL %d.%d", version / 10000, version % 10000);
    check_say(check, CHECK_LEVEL_OK, "database", text);
    if (!session_hello(check->session, &check->hello, &err)) {
        check_fail(check, "schema", err.text, err_exit_code(err.kind));
        return;
    }
    check_schema(check);
    if (check->hello.schema == OUTBOX_SCHEMA_MISSING) {
        return;
    }
    check_source(check);
    if (!check_queries(check, &err)) {
        check_fail(check, "database", err.text, err_exit_code(err.kind));
    }
    check_notify(check);
}

// ---- the API -------------------------------------------------------------------------------

static void check_on_answer(void *ctx, const struct answer *answer, int64_t elapsed_ns)
{
    struct check *check = ctx;
    (void)elapsed_ns;
    verdict_judge(&check->verdict, answer, STR("00000000-0000-0000-0000-000000000000"), NULL);
    snprintf(check->failure, sizeof check->failure, "%s",
             answer->failure == NULL ? "" : answer->failure);
    check->answered = true;
}

static void check_judge_api(struct check *check)
{
    char text[256];
    const struct verdict *verdict = &check->verdict;
    if (verdict->status == 404 && verdict->cause == VERDICT_CAUSE_REJECTED) {
        check_say(check, CHECK_LEVEL_OK, "api", "the key is accepted");
    } else if (verdict->status == 401 || verdict->status == 403) {
        snprintf(text, sizeof text,
                 "the API answers %d: the key in imprint.api_key_file is not valid for %s",
                 verdict->status, check->config->imprint.base_url);
        check_fail(check, "api", text, EX_CONFIG);
    } else if (verdict->status == 0) {
        snprintf(text, sizeof text, "%s cannot be reached: %s", check->config->imprint.base_url,
                 check->failure);
        check_fail(check, "api", text, EX_UNAVAILABLE);
    } else {
        snprintf(text, sizeof text,
                 "the API answers %d (%s) to an update of no customer: see imprint.base_url and "
                 "imprint.update_path",
                 verdict->status, verdict->reason == NULL ? "unexpected" : verdict->reason);
        check_fail(check, "api", text, EX_UNAVAILABLE);
    }
}

// An update of the nil UUID, which no customer has: 404 in the documented shape means the key is
// fine.
static void check_api(struct check *check)
{
    struct err err = {.kind = ERR_KIND_NONE};
    char *key = NULL;
    struct sender_options options = settings_sender(check->config);
    options.workers = 1;
    struct loop *loop = loop_create(&err);
    struct sender *sender = loop == NULL ? NULL : sender_create(loop, &options, &err);
    if (sender != NULL && file_read_secret(check->config->imprint.api_key_file, &key, &err)) {
        sender_set_key(sender, key);
        sender_submit(sender, STR("00000000-0000-0000-0000-000000000000"),
                      STR("{\"metadata\":{\"imprint_sync\":\"check\"}}"), INT64_MAX,
                      check_on_answer, check);
        if (loop_run_until(loop, &check->answered, &err)) {
            check_judge_api(check);
        }
    }
    if (err.kind != ERR_KIND_NONE) {
        check_fail(check, "api", err.text, err_exit_code(err.kind));
    }
    if (key != NULL) {
        mem_wipe(key, strlen(key));
        free(key);
    }
    sender_destroy(sender);
    loop_destroy(loop);
}

// ---- the command ---------------------------------------------------------------------------

static int check_print(const struct config *config)
{
    struct buf text;
    buf_init(&text, CHECK_PRINT_MAX);
    bool ok = config == NULL ? config_print_defaults(&text) : config_print(config, &text);
    if (ok) {
        fputs(text.data, stdout);
    }
    buf_free(&text);
    return ok ? EX_OK : EXIT_FAILURE;
}

int check_run(const struct options *options)
{
    if (options->print_defaults) {
        return check_print(NULL);
    }
    struct check check = {.options = options, .config = settings_load(options->config_path)};
    if (check.config == NULL) {
        return EX_CONFIG;
    }
    if (options->print) {
        check.exit_code = check_print(check.config);
        config_destroy(check.config);
        return check.exit_code;
    }
    check_say(&check, CHECK_LEVEL_OK, "configuration", options->config_path);
    if (!options->offline) {
        check_database(&check);
    }
    if (options->api && !options->offline) {
        check_api(&check);
    }
    if (options->json) {
        puts("\n]");
    }
    if (check.failed > 0) {
        fflush(stdout);
        fprintf(stderr, "imprint-sync: check: %zu failed; first %s\n", check.failed,
                check.first_failure);
    }
    session_close(check.session);
    config_destroy(check.config);
    return check.exit_code;
}
