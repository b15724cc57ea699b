// `imprint-sync prune`: deletes old done rows now.
#include "app/options.h"
#include "app/session.h"
#include "app/settings.h"
#include "base/buf.h"
#include "base/clock.h"
#include "config/value.h"

#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

enum { PRUNE_ROWS = 5000 }; // walked over in one transaction

struct prune {
    struct session *session;
    bool failed;
    struct pgconn_failure failure;
    bool answered;
    int64_t deleted;
    int64_t place; // 0: at the end
};

static void prune_on_answer(void *ctx, const struct pgconn_failure *failure, int64_t deleted,
                            int64_t last_id)
{
    struct prune *prune = ctx;
    prune->answered = true;
    prune->failed = failure != NULL;
    if (failure != NULL) {
        prune->failure = *failure;
    }
    prune->deleted += deleted;
    prune->place = last_id;
    session_wake(prune->session);
}

static bool prune_batch(struct prune *prune, int64_t retention_ns, struct err *err)
{
    prune->answered = false;
    outbox_prune(session_outbox(prune->session), retention_ns, prune->place, PRUNE_ROWS,
                 prune_on_answer, prune);
    while (!prune->answered) {
        if (!session_wait(prune->session, err)) {
            return false;
        }
    }
    return !prune->failed ||
           err_set(err, prune->failure.lost ? ERR_KIND_UNAVAILABLE : ERR_KIND_INTERNAL,
                   "the database says: %s", prune->failure.text);
}

static bool prune_all(struct prune *prune, const struct config *config, struct err *err)
{
    bool progress = isatty(STDERR_FILENO) == 1;
    bool ok = true;
    do {
        ok = prune_batch(prune, config->outbox.retention_ns, err);
        if (progress) {
            fprintf(stderr, "\r%lld done rows deleted ", (long long)prune->deleted);
        }
    } while (ok && prune->place != 0);
    if (progress) {
        fputs("\r\x1b[K", stderr);
    }
    struct buf kept;
    buf_init(&kept, 64);
    if (value_print_duration(config->outbox.retention_ns, &kept) && (ok || prune->deleted > 0)) {
        printf("%lld done rows older than %s deleted\n", (long long)prune->deleted,
               buf_peek(&kept).ptr);
    }
    buf_free(&kept);
    return ok;
}

int prune_run(const struct options *options)
{
    struct prune prune = {.session = NULL};
    struct err err = {.kind = ERR_KIND_NONE};
    struct config *config = settings_load(options->config_path);
    if (config == NULL) {
        return EX_CONFIG;
    }
    prune.session = session_open(config, &err);
    bool ok = prune.session != NULL && session_need_schema(prune.session, &err) &&
              prune_all(&prune, config, &err);
    if (!ok) {
        fprintf(stderr, "imprint-sync: prune: %s\n", err.text);
    }
    session_close(prune.session);
    config_destroy(config);
    return err_exit_code(err.kind);
}
