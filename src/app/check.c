// `imprint-sync check`: looks at everything that must be right before anything is sent.
#include "app/check.h"

#include "app/options.h"
#include "base/buf.h"
#include "io/pghosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

// A file has at most a megabyte, and what is printed of it many times that: each type is written
// out.
enum { CHECK_PRINT_MAX = 64 * 1024 * 1024 };

static int check_print(const struct config *config)
{
    struct buf text;
    buf_init(&text, CHECK_PRINT_MAX);
    bool ok = config == NULL ? config_print_defaults(&text) : config_print(config, &text);
    if (ok) {
        fputs(text.data, stdout);
    } else {
        fputs("imprint-sync: check: the configuration is too large to be printed\n", stderr);
    }
    buf_free(&text);
    return ok ? EX_OK : EXIT_FAILURE;
}

// A line on standard error for each mistake in the files, which an editor can go to; for machines
// entries of the list.
static struct config *check_load(const char *path, bool json)
{
    struct problems *problems = problems_create();
    struct config *config = config_load(path, problems);
    struct report report;
    report_begin(&report, json);
    for (size_t i = 0; i < problems_count(problems); i++) {
        const char *line = problems_line(problems, i);
        if (json) {
            report_fail(&report, ERR_KIND_CONFIG, "configuration", NULL, "%s", line);
        } else {
            fprintf(stderr, "%s\n", line);
        }
    }
    if (json && config == NULL) {
        report_end(&report);
    }
    problems_destroy(problems);
    return config;
}

static void check_online(struct check *check, bool try_key)
{
    check_database(check);
    if (check->ready) {
        check_source(check);
        check_watched(check);
        check_notify(check);
    }
    check_api(check, try_key);
}

// What of the connection strings needs no server; false when there is no sense in asking it.
static bool check_dsns(struct check *check)
{
    const struct config_database *database = &check->config->database;
    struct err err = {.kind = ERR_KIND_NONE};
    bool ok = pghosts_check(database->dsn, &err);
    if (!ok) {
        report_fail(&check->report, ERR_KIND_CONFIG, "database.dsn", NULL, "%s", err.text);
    }
    if (database->listen_dsn != NULL && !pghosts_check(database->listen_dsn, &err)) {
        report_fail(&check->report, ERR_KIND_CONFIG, "database.listen_dsn", NULL, "%s", err.text);
    }
    return ok;
}

int check_run(const struct options *options)
{
    if (options->print_defaults) {
        return check_print(NULL);
    }
    if (options->offline && options->api) {
        fputs("imprint-sync: check: --offline and --api: one of them\n", stderr);
        return EX_USAGE;
    }
    struct config *config = check_load(options->config_path, options->json && !options->print);
    if (config == NULL) {
        return EX_CONFIG;
    }
    if (options->print) {
        int code = check_print(config);
        config_destroy(config);
        return code;
    }
    struct check check = {.config = config};
    report_begin(&check.report, options->json);
    report_ok(&check.report, "configuration", "%s", options->config_path);
    if (check_dsns(&check) && !options->offline) {
        check_online(&check, options->api);
    }
    int code = report_end(&check.report);
    session_close(check.session);
    config_destroy(config);
    return code;
}
