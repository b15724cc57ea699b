// `imprint-sync pause` and `resume`: stop the sending of all instances, and let it go on.
#include "app/options.h"
#include "app/session.h"
#include "app/settings.h"
#include "base/clock.h"
#include "config/value.h"
#include "domain/instant.h"

#include <stdio.h>
#include <sysexits.h>

// When a pause ends, as the database is told: by its clock, not this machine's.
struct pause_end {
    const char *sql;
    char text[INSTANT_TEXT_BYTES];
};

static const char pause_endless[] = "SELECT imprint_sync.pause('infinity'::timestamptz), $1::text";
static const char pause_for[] = "SELECT imprint_sync.pause(clock_timestamp()"
                                " + $1::int8 * interval '1 millisecond')";
static const char pause_to[] = "SELECT imprint_sync.pause($1::timestamptz)";

static bool pause_read_end(const char *until, struct pause_end *end, struct err *err)
{
    int64_t value = 0;
    *end = (struct pause_end){.sql = pause_endless};
    if (until == NULL) {
        return true;
    }
    if (value_parse_duration(str_of(until), &value) && value > 0) {
        end->sql = pause_for;
        snprintf(end->text, sizeof end->text, "%lld", (long long)(value / CLOCK_NS_PER_MS));
        return true;
    }
    if (instant_parse(str_of(until), NULL, &value) == INSTANT_RESULT_OK) {
        end->sql = pause_to;
        instant_print(value, end->text);
        return true;
    }
    return err_set(err, ERR_KIND_USAGE,
                   "--until: %.40s is neither a time, as in 2026-01-31T18:00:00Z or \"2026-01-31 "
                   "19:00:00+01\", nor a duration such as 90m",
                   until);
}

static void pause_print(void *ctx, const struct pgrows *rows)
{
    (void)ctx;
    if (pgrows_count(rows) == 0) {
        puts("nothing was paused");
    } else if (pgrows_bool(rows, 0, 0)) {
        puts("paused: no instance sends anything until `imprint-sync resume`");
    } else {
        printf("paused: no instance sends anything until %s\n", pgrows_text(rows, 0, 1));
    }
}

static const char pause_look[] =
    "SELECT paused_until = 'infinity', to_char(paused_until AT TIME ZONE 'UTC',"
    " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM imprint_sync.pool"
    " WHERE paused_until > clock_timestamp()";

static void pause_print_resumed(void *ctx, const struct pgrows *rows)
{
    (void)ctx;
    puts(pgrows_bool(rows, 0, 0) ? "resumed: all instances go on" : "nothing was paused");
}

static const char resume_sql[] =
    "SELECT coalesce(p.paused_until > clock_timestamp(), false), imprint_sync.resume()"
    " FROM imprint_sync.pool AS p";

static bool pause_set(struct session *session, const struct pause_end *end, struct err *err)
{
    const char *const params[] = {end->text};
    if (!session_query(session, end->sql, params, 1, NULL, NULL, err)) {
        return session_failed_with(session, "22023")
                   ? err_set(err, ERR_KIND_USAGE, "--until: a pause must end in the future")
                   : false;
    }
    return session_query(session, pause_look, NULL, 0, pause_print, NULL, err);
}

// `end` NULL: resume.
static bool pause_do(const struct config *config, const struct pause_end *end, struct err *err)
{
    struct session *session = session_open(config, err);
    bool ok = session != NULL && session_need_schema(session, err);
    if (ok && end != NULL) {
        ok = pause_set(session, end, err);
    } else if (ok) {
        ok = session_query(session, resume_sql, NULL, 0, pause_print_resumed, NULL, err);
    }
    session_close(session);
    return ok;
}

static int pause_command(const struct options *options, const char *name,
                         const struct pause_end *end)
{
    struct err err = {.kind = ERR_KIND_NONE};
    struct config *config = settings_load(options->config_path);
    if (config == NULL) {
        return EX_CONFIG;
    }
    if (!pause_do(config, end, &err)) {
        fprintf(stderr, "imprint-sync: %s: %s\n", name, err.text);
    }
    config_destroy(config);
    return err_exit_code(err.kind);
}

int pause_run(const struct options *options)
{
    struct err err = {.kind = ERR_KIND_NONE};
    struct pause_end end;
    if (!pause_read_end(options->until, &end, &err)) {
        fprintf(stderr, "imprint-sync: pause: %s\n", err.text);
        return err_exit_code(err.kind);
    }
    return pause_command(options, "pause", &end);
}

int resume_run(const struct options *options)
{
    return pause_command(options, "resume", NULL);
}
