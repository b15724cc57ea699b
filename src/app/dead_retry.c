// `imprint-sync dead retry`: puts dead rows back into the queue, at a bounded pace.
#include "app/dead.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

// More than so many due rows wait to be sent: the next batch waits too.
#define RETRY_DUE_MAX 1000
#define RETRY_LOOK_NS CLOCK_NS_PER_SEC
enum {
    RETRY_PAGE = 50000, // rows of the outbox that are walked over in one statement
    RETRY_LATER_MAX = 64 * 1024 * 1024,
};

struct retry {
    struct dead dead;
    struct dead_walk walk;
    struct dead_cells cells;
    bool thin; // there is a source
    int64_t retried;
    int64_t joined;
    int64_t refused;
    struct loop_timer *timer;
    bool rested;
    bool stop;
    bool told; // that it waits
};

static bool retry_ask(struct retry *retry, const char *sql, const char *const *params, size_t count,
                      struct err *err)
{
    dead_cells_free(&retry->cells);
    return dead_ask(&retry->dead, sql, params, count, &retry->cells, err);
}

// ---- the pace ------------------------------------------------------------------------------

static void retry_on_rested(void *ctx)
{
    struct retry *retry = ctx;
    retry->rested = true;
    session_wake(retry->dead.session);
}

static void retry_on_stop(void *ctx, int signal_number)
{
    (void)signal_number;
    struct retry *retry = ctx;
    retry->stop = true;
    session_wake(retry->dead.session);
}

static bool retry_rest(struct retry *retry, struct err *err)
{
    retry->rested = false;
    loop_timer_set(retry->timer, loop_now_ns(session_loop(retry->dead.session)) + RETRY_LOOK_NS);
    bool ok = true;
    while (ok && !retry->rested && !retry->stop) {
        ok = session_wait(retry->dead.session, err);
    }
    return ok;
}

// Until there is room for a batch, or it is to stop.
static bool retry_wait_for_room(struct retry *retry, struct err *err)
{
    char limit[24];
    char silent_s[24];
    snprintf(limit, sizeof limit, "%d", RETRY_DUE_MAX + 1);
    int64_t silent = retry->dead.config->outbox.lease_ns * 3 / 2 / CLOCK_NS_PER_SEC + 1;
    snprintf(silent_s, sizeof silent_s, "%lld", (long long)silent);
    const char *const params[] = {limit, silent_s};
    while (!retry->stop) {
        if (!retry_ask(retry, outbox_dead_due, params, 2, err)) {
            return false;
        }
        if (dead_cells_int64(&retry->cells, 0) <= RETRY_DUE_MAX) {
            return true;
        }
        if (dead_cells_int64(&retry->cells, 1) == 0) {
            return err_set(err, ERR_KIND_INTERNAL,
                           "more than %d rows are due and no daemon is running to send them: start "
                           "it, then retry the others",
                           RETRY_DUE_MAX);
        }
        if (!retry->told) {
            retry->told = true;
            fprintf(stderr, "waiting: more than %d rows are due already (Ctrl-C stops)\n",
                    RETRY_DUE_MAX);
        }
        if (!retry_rest(retry, err)) {
            return false;
        }
    }
    return true;
}

// ---- one batch -------------------------------------------------------------------------------

static bool retry_thin(struct retry *retry, struct err *err)
{
    const char *const params[] = {retry->walk.ids};
    bool ok = retry_ask(retry, outbox_dead_retry_thin, params, 1, err);
    retry->retried += ok ? dead_cells_int64(&retry->cells, 0) : 0;
    return ok;
}

// The later rows of the batch's customers, as an array; `*since`: behind it all rows are looked at
// again.
static bool retry_find_later(struct retry *retry, struct buf *later, int64_t *since,
                             struct err *err)
{
    char page[24];
    snprintf(page, sizeof page, "%d", RETRY_PAGE);
    char after[24] = "0";
    bool fits = buf_append_char(later, '{');
    *since = 0;
    do {
        const char *const params[] = {retry->walk.ids, after, page};
        if (!retry_ask(retry, outbox_dead_retry_later, params, 3, err)) {
            return false;
        }
        const char *ids = retry->cells.text[0] == NULL ? "" : retry->cells.text[0];
        fits = fits && buf_printf(later, "%s%s", ids[0] != '\0' && later->len > 1 ? "," : "", ids);
        int64_t seen = dead_cells_int64(&retry->cells, 2);
        *since = seen > *since ? seen : *since;
        snprintf(after, sizeof after, "%lld", (long long)dead_cells_int64(&retry->cells, 1));
    } while (retry->cells.text[1] != NULL);
    fits = fits && buf_append_char(later, '}');
    return fits || err_set(err, ERR_KIND_INTERNAL, "these customers have too many later rows");
}

static bool retry_hold(struct retry *retry, const char *later, const char *since, struct err *err)
{
    char retention_s[24];
    snprintf(retention_s, sizeof retention_s, "%lld",
             (long long)(retry->dead.config->outbox.retention_ns / CLOCK_NS_PER_SEC));
    const char *const hold[] = {retry->walk.ids, later, since,
                                retry->dead.options->force ? "true" : "false", retention_s};
    if (!retry_ask(retry, outbox_dead_retry_hold, hold, 5, err)) {
        return false;
    }
    int64_t held = dead_cells_int64(&retry->cells, 1);
    char *ids = mem_strdup(retry->cells.text[0]);
    retry->retried += held;
    retry->refused += dead_cells_int64(&retry->cells, 2);
    const char *const release[] = {ids, since};
    bool ok = retry_ask(retry, outbox_dead_retry_release, release, 2, err);
    retry->joined += ok ? dead_cells_int64(&retry->cells, 0) - held : 0;
    free(ids);
    return ok;
}

static bool retry_with_later(struct retry *retry, struct err *err)
{
    struct buf later;
    buf_init(&later, RETRY_LATER_MAX);
    int64_t since = 0;
    char since_text[24];
    bool ok = retry_find_later(retry, &later, &since, err);
    snprintf(since_text, sizeof since_text, "%lld", (long long)since);
    ok = ok && retry_hold(retry, buf_peek(&later).ptr, since_text, err);
    buf_free(&later);
    return ok;
}

// ---- the command -----------------------------------------------------------------------------

static bool retry_open(struct retry *retry, struct err *err)
{
    struct loop *loop = session_loop(retry->dead.session);
    retry->thin = retry->dead.config->source.relation != NULL;
    retry->timer = loop_timer_open(loop, retry_on_rested, retry);
    return loop_on_signal(loop, SIGINT, retry_on_stop, retry, err) &&
           loop_on_signal(loop, SIGTERM, retry_on_stop, retry, err) &&
           dead_walk_begin(&retry->dead, &retry->walk, err);
}

static bool retry_rows(struct retry *retry, struct err *err)
{
    while (retry->walk.left > 0) {
        if (!retry_wait_for_room(retry, err)) {
            return false;
        }
        if (retry->stop || !dead_walk_next(&retry->dead, &retry->walk, err) ||
            retry->walk.count == 0) {
            break;
        }
        if (!(retry->thin ? retry_thin(retry, err) : retry_with_later(retry, err))) {
            return false;
        }
    }
    return err->kind == ERR_KIND_NONE;
}

static void retry_say(const struct retry *retry)
{
    printf("%lld dead rows are sent again, %s\n", (long long)retry->retried,
           retry->thin ? "with their customers' present state" : "with their own values");
    if (retry->joined > 0) {
        printf("%lld later rows of the same customers are sent again too\n",
               (long long)retry->joined);
    }
}

static bool retry_run(struct retry *retry, struct err *err)
{
    if (!retry_open(retry, err)) {
        return false;
    }
    if (retry->dead.options->dry_run) {
        printf("%lld dead rows of %lld customers would be sent again, %s\n",
               (long long)retry->walk.rows, (long long)retry->walk.customers,
               retry->thin ? "with their customers' present state"
                           : "with their own values and those of all later rows");
        return true;
    }
    bool ok = retry_rows(retry, err);
    retry_say(retry);
    if (ok && retry->stop) {
        ok = err_set(err, ERR_KIND_INTERNAL, "stopped; the same command goes on with the others");
    }
    if (ok && retry->refused > 0) {
        ok = err_set(err, ERR_KIND_DATA,
                     "%lld rows stay dead: newer changes of their customers may have been pruned, "
                     "which their older values would undo; --force sends them all the same",
                     (long long)retry->refused);
    }
    return ok;
}

int dead_retry_run(const struct options *options)
{
    struct retry retry = {.dead = {.options = options}};
    struct err err = {.kind = ERR_KIND_NONE};
    bool ok = dead_need_filter(options, &err) && dead_open(&retry.dead, options, &err) &&
              retry_run(&retry, &err);
    (void)ok; // stands in err
    loop_timer_close(retry.timer);
    dead_walk_end(&retry.walk);
    dead_cells_free(&retry.cells);
    return dead_end(&retry.dead, "dead retry", &err);
}
