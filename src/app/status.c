// `imprint-sync status`: is it keeping up, and what is stuck?
#include "app/options.h"
#include "app/screen.h"
#include "app/session.h"
#include "app/settings.h"
#include "app/status_model.h"
#include "app/status_view.h"
#include "base/buf.h"
#include "base/clock.h"
#include "io/outbox_status.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#define STATUS_INTERVAL_NS (2 * CLOCK_NS_PER_SEC)
enum {
    STATUS_OUT_MAX = 1048576,
    STATUS_SHARE = 4, // rests so many times as long as the database needed
};

struct status {
    const struct options *options;
    struct config *config;
    struct session *session;
    struct json_object *doc; // the last that was read; NULL: none yet
    bool failed;
    struct pgconn_failure failure;
    bool answered;
    // With --watch:
    struct loop_timer *timer;
    bool rested;
    bool stop;
};

static void status_on_answer(void *ctx, const struct pgconn_failure *failure,
                             const struct outbox_section *sections, size_t count)
{
    struct status *status = ctx;
    status->answered = true;
    status->failed = failure != NULL;
    if (failure != NULL) {
        status->failure = *failure;
    } else {
        json_object_put(status->doc);
        status->doc = status_model(sections, count, status->config);
    }
    session_wake(status->session);
}

// Until `*done`, or until it is to stop: a session also wakes when its connection goes.
static bool status_wait(struct status *status, const bool *done, struct err *err)
{
    bool ok = true;
    while (ok && !*done && !status->stop) {
        ok = session_wait(status->session, err);
    }
    return ok;
}

static bool status_ask(struct status *status, struct err *err)
{
    // An instance whose lease has run out, and that did not come back within another half.
    int64_t silent_s = status->config->outbox.lease_ns * 3 / 2 / CLOCK_NS_PER_SEC + 1;
    status->answered = false;
    outbox_status(session_outbox(status->session), silent_s, status_on_answer, status);
    return status_wait(status, &status->answered, err);
}

static void status_print(const struct status *status, bool watching)
{
    struct screen_size size = screen_size();
    const struct status_screen screen = {.width = size.width,
                                         .height = watching ? size.height : 0,
                                         .color = screen_has_color(),
                                         .utf8 = screen_has_utf8()};
    struct buf out;
    buf_init(&out, STATUS_OUT_MAX);
    status_view(status->doc, &screen, status->failed ? status->failure.text : NULL, &out);
    if (watching) {
        screen_draw(buf_peek(&out));
    } else {
        fwrite(buf_peek(&out).ptr, 1, out.len, stdout);
    }
    buf_free(&out);
}

static bool status_show(struct status *status, struct err *err)
{
    if (!status_ask(status, err)) {
        return false;
    }
    if (status->failed) {
        return err_set(err, status->failure.lost ? ERR_KIND_UNAVAILABLE : ERR_KIND_INTERNAL,
                       "the database says: %s", status->failure.text);
    }
    if (status->options->json) {
        puts(json_object_to_json_string_ext(status->doc, JSON_C_TO_STRING_PRETTY |
                                                             JSON_C_TO_STRING_SPACED |
                                                             JSON_C_TO_STRING_NOSLASHESCAPE));
    } else {
        status_print(status, false);
    }
    return true;
}

// ---- --watch -------------------------------------------------------------------------------

static void status_on_rested(void *ctx)
{
    struct status *status = ctx;
    status->rested = true;
    session_wake(status->session);
}

static void status_on_stop(void *ctx, int signal_number)
{
    (void)signal_number;
    struct status *status = ctx;
    status->stop = true;
    session_wake(status->session);
}

static void status_on_resize(void *ctx, int signal_number)
{
    (void)signal_number;
    struct status *status = ctx;
    if (status->doc != NULL) {
        status_print(status, true);
    }
}

static bool status_open_watch(struct status *status, struct err *err)
{
    struct loop *loop = session_loop(status->session);
    status->timer = loop_timer_open(loop, status_on_rested, status);
    return loop_on_signal(loop, SIGINT, status_on_stop, status, err) &&
           loop_on_signal(loop, SIGTERM, status_on_stop, status, err) &&
           loop_on_signal(loop, SIGHUP, status_on_stop, status, err) &&
           loop_on_signal(loop, SIGWINCH, status_on_resize, status, err);
}

static bool status_rest(struct status *status, int64_t asked_ns, struct err *err)
{
    int64_t now = clock_now_ns();
    int64_t rest_ns = (now - asked_ns) * STATUS_SHARE;
    status->rested = false;
    loop_timer_set(status->timer,
                   now + (rest_ns > STATUS_INTERVAL_NS ? rest_ns : STATUS_INTERVAL_NS));
    return status_wait(status, &status->rested, err);
}

// A database that goes away is said, and waited for.
static bool status_watch(struct status *status, struct err *err)
{
    if (!status_open_watch(status, err)) {
        return false;
    }
    screen_enter();
    bool ok = true;
    while (ok && !status->stop) {
        int64_t asked_ns = clock_now_ns();
        ok = status_ask(status, err);
        if (ok && !status->stop && status->doc != NULL) {
            status_print(status, true);
        }
        ok = ok && status_rest(status, asked_ns, err);
    }
    screen_leave();
    return ok;
}

static bool status_check_options(const struct options *options)
{
    if (options->watch && options->json) {
        fputs("imprint-sync: status: --watch and --json do not go together\n", stderr);
        return false;
    }
    if (options->watch && !screen_is_terminal()) {
        fputs("imprint-sync: status: --watch needs a terminal; without one use --json\n", stderr);
        return false;
    }
    return true;
}

int status_run(const struct options *options)
{
    struct status status = {.options = options};
    struct err err = {.kind = ERR_KIND_NONE};
    if (!status_check_options(options)) {
        return EX_USAGE;
    }
    status.config = settings_load(options->config_path);
    if (status.config == NULL) {
        return EX_CONFIG;
    }
    status.session = session_open(status.config, &err);
    bool ok = status.session != NULL && session_need_schema(status.session, &err) &&
              (options->watch ? status_watch(&status, &err) : status_show(&status, &err));
    if (!ok) {
        fprintf(stderr, "imprint-sync: status: %s\n", err.text);
    }
    loop_timer_close(status.timer);
    session_close(status.session);
    json_object_put(status.doc);
    config_destroy(status.config);
    return err_exit_code(err.kind);
}
