#include "app/reload.h"

#include "base/buf.h"
#include "config/diff.h"
#include "config/problems.h"
#include "config/value.h"

#include <assert.h>
#include <string.h>

enum { RELOAD_NAMES_MAX = 4096, RELOAD_DURATION_MAX = 64 };

static const char reload_key_path[] = "imprint.api_key_file";

// The files agree with themselves; with the lease of before, which stays, the timeout may not.
static void reload_check_lease(const struct config *config, struct yaml_place place,
                               struct problems *problems)
{
    int64_t least_ns = 3 * config->imprint.timeout_ns;
    if (config->outbox.lease_ns >= least_ns) {
        return;
    }
    struct buf least;
    buf_init(&least, RELOAD_DURATION_MAX);
    bool ok = value_print_duration(least_ns, &least);
    assert(ok); // a number and a unit
    (void)ok;
    problems_add(problems, place, "outbox.lease",
                 "changes only with a restart, and imprint.timeout needs it to be at least %s: "
                 "restart, or leave imprint.timeout as it was",
                 least.data);
    buf_free(&least);
}

static void reload_read_key(struct reload *reload, struct yaml_place place,
                            struct problems *problems)
{
    struct err err;
    if (!keyfile_read(&reload->keyfile, reload->config->imprint.api_key_file, &err)) {
        problems_add(problems, place, reload_key_path, "%s", err.text);
    }
}

static void reload_log_problem(struct log *log, const struct problem_parts *problem)
{
    log_event(log, LOG_LEVEL_ERROR, "daemon.reload", LOG_STR("reason", problem->reason),
              LOG_STR("file", problem->file),
              LOG_I64(problem->line > 0 ? "line" : NULL, problem->line),
              LOG_I64(problem->line > 0 ? "column" : NULL, problem->column),
              LOG_STR(problem->key.len > 0 ? "key" : NULL, problem->key));
}

bool reload_read(struct reload *reload, const char *path, const struct config *before,
                 struct log *log)
{
    const struct yaml_place place = {.file = path};
    struct problems *problems = problems_create();
    *reload = (struct reload){.config = config_load(path, problems)};
    if (reload->config != NULL) {
        reload->changed_count = diff_keys(before, reload->config, false, reload->changed);
        reload->restart_count = diff_keys(before, reload->config, true, reload->restart);
        diff_keep(before, reload->config);
        reload_check_lease(reload->config, place, problems);
        reload_read_key(reload, place, problems);
    }
    size_t count = problems_count(problems);
    for (size_t i = 0; i < count; i++) {
        const struct problem_parts problem = problems_parts(problems, i);
        reload_log_problem(log, &problem);
    }
    problems_destroy(problems);
    return count == 0;
}

void reload_free(struct reload *reload)
{
    config_destroy(reload->config);
    keyfile_free(&reload->keyfile);
}

// "delivery.rate,log.level"
static void reload_add_name(struct buf *out, const char *name)
{
    bool ok = (out->len == 0 || buf_append_char(out, ',')) && buf_append_str(out, str_of(name));
    assert(ok); // the table's names are short
    (void)ok;
}

static bool reload_adds_key(const struct reload *reload, bool new_key)
{
    for (size_t i = 0; i < reload->changed_count; i++) {
        new_key = new_key && strcmp(reload->changed[i], reload_key_path) != 0;
    }
    return new_key;
}

void reload_log_taken(const struct reload *reload, bool new_key, struct log *log)
{
    struct buf changed;
    struct buf restart;
    buf_init(&changed, RELOAD_NAMES_MAX);
    buf_init(&restart, RELOAD_NAMES_MAX);
    for (size_t i = 0; i < reload->changed_count; i++) {
        reload_add_name(&changed, reload->changed[i]);
    }
    if (reload_adds_key(reload, new_key)) {
        reload_add_name(&changed, reload_key_path); // the same file with another key in it
    }
    for (size_t i = 0; i < reload->restart_count; i++) {
        reload_add_name(&restart, reload->restart[i]);
    }
    log_event(log, restart.len > 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "daemon.reload",
              LOG_STR("changed", buf_peek(&changed)),
              LOG_STR(restart.len > 0 ? "restart" : NULL, buf_peek(&restart)));
    buf_free(&changed);
    buf_free(&restart);
}
