#include "app/daemon.h"

#include "app/backfill_walk.h"
#include "app/chores.h"
#include "app/herald.h"
#include "app/keyfile.h"
#include "app/lessor.h"
#include "app/relay.h"
#include "app/reload.h"
#include "app/settings.h"
#include "app/stats.h"
#include "app/vitals.h"
#include "app/watchdog.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "io/loop.h"
#include "io/outbox.h"
#include "io/pgconn.h"
#include "io/sender.h"
#include "io/service.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

// How often the key file is looked at.
#define DAEMON_KEY_NS CLOCK_NS_PER_SEC
// How often a database that answers, but cannot be used, is looked at again.
#define DAEMON_HELLO_NS CLOCK_NS_PER_SEC
// With --once: how long the API may refuse everything before it counts as unreachable.
#define DAEMON_STUCK_NS (10 * CLOCK_NS_PER_SEC)
// A call to the database: nine statements that use up their time, one behind the other.
#define DAEMON_CALL_NS (120 * CLOCK_NS_PER_SEC)
enum { DAEMON_BEHIND_JOBS = 4 };

enum daemon_phase {
    DAEMON_PHASE_STARTING, // until database, schema and leases are known to be fine
    DAEMON_PHASE_RUNNING,
    DAEMON_PHASE_DRAINING, // what is in flight is finished and settled
    DAEMON_PHASE_LEAVING,  // leases are given back
    DAEMON_PHASE_GONE,
};

struct daemon {
    bool once;
    struct walk *walk; // NULL: this is no backfill
    char instance[96];
    enum daemon_phase phase;
    int exit_code;
    const char *config_path;
    struct config *config;
    struct keyfile keyfile;
    struct loop *loop;
    struct log *log;
    struct pgconn *conn;
    struct pgconn *listen_conn; // only with database.listen_dsn
    struct outbox *outbox;
    struct outbox *listen_outbox;
    struct sender *sender;
    struct lease lease;
    struct relay *relay;
    struct lessor *lessor;
    struct vitals *vitals;
    struct watchdog *watchdog;
    struct herald *herald;
    struct chores *chores;
    struct stats stats;
    struct outbox_counts counts;
    bool connected;      // hello said yes
    bool lost_logged;    // one line per change of state
    bool stats_wanted;   // once the count under way is there
    int64_t counting_ns; // when the count under way began; 0: none is
    bool goodbye_sent;
    int64_t greeting_ns; // when the outbox_hello under way began; 0: none is
    bool source_wanted;  // the configuration changed behind the last one
    bool reload_wanted;

    struct loop_timer *stats_timer;
    struct loop_timer *key_timer;
    struct loop_timer *hello_timer;
    struct loop_timer *drain_timer;
    int64_t stuck_since_ns;
    const char *stop_reason;
};

// ---- stopping ------------------------------------------------------------------------------

static void daemon_leave(struct daemon *daemon)
{
    daemon->phase = DAEMON_PHASE_GONE;
    loop_quit(daemon->loop);
}

static void daemon_stop(struct daemon *daemon, const char *reason, int exit_code)
{
    if (daemon->phase >= DAEMON_PHASE_DRAINING) {
        return;
    }
    daemon->phase = DAEMON_PHASE_DRAINING;
    daemon->exit_code = exit_code;
    daemon->stop_reason = reason;
    service_stopping();
    relay_stop(daemon->relay);
    if (daemon->walk != NULL) {
        walk_stop(daemon->walk);
    }
    log_event(daemon->log, LOG_LEVEL_INFO, "daemon.stopping", LOG_TEXT("reason", reason),
              LOG_I64("in_flight", (int64_t)sender_in_flight(daemon->sender)));
    loop_timer_set(daemon->drain_timer,
                   loop_now_ns(daemon->loop) + daemon->config->delivery.drain_timeout_ns);
}

// What is cut off is sent again by whoever comes next, so nothing is lost; but it is no clean end.
static void daemon_on_drain_timeout(void *ctx)
{
    struct daemon *daemon = ctx;
    bool drained = relay_is_drained(daemon->relay);
    daemon->stop_reason = drained ? "drain_timeout: the slots could not be given back"
                                  : "drain_timeout: requests or their outcomes were cut off";
    daemon->exit_code = drained ? daemon->exit_code : EXIT_FAILURE;
    daemon_leave(daemon);
}

static void daemon_on_stop_signal(void *ctx, int signal_number)
{
    struct daemon *daemon = ctx;
    if (daemon->phase >= DAEMON_PHASE_DRAINING) {
        daemon->stop_reason = "aborted";
        daemon->exit_code = EXIT_FAILURE;
        daemon_leave(daemon);
        return;
    }
    daemon_stop(daemon,
                signal_number == SIGINT   ? "SIGINT"
                : signal_number == SIGHUP ? "SIGHUP"
                                          : "SIGTERM",
                EX_OK);
}

static void daemon_on_goodbye(void *ctx, const struct pgconn_failure *failure)
{
    (void)failure; // the leases run out by themselves
    daemon_leave(ctx);
}

// Something that only a person can mend.
static void daemon_refuse(struct daemon *daemon, const char *what)
{
    log_event(daemon->log, LOG_LEVEL_ERROR, "daemon.stop", LOG_TEXT("reason", what));
    daemon->exit_code = EX_CONFIG;
    daemon->stop_reason = NULL; // said
    daemon_leave(daemon);
}

// ---- the database --------------------------------------------------------------------------

// One line for each outage.
static void daemon_log_lost(struct daemon *daemon, const char *reason, const char *sqlstate)
{
    if (!daemon->lost_logged) {
        daemon->lost_logged = true;
        log_event(daemon->log, LOG_LEVEL_ERROR, "db.lost", LOG_TEXT("reason", reason),
                  LOG_TEXT("sqlstate", sqlstate));
    }
}

static void daemon_on_listening(void *ctx, const struct pgconn_failure *failure)
{
    struct daemon *daemon = ctx;
    relay_set_listening(daemon->relay, failure == NULL);
}

static void daemon_listen(struct daemon *daemon, const struct outbox_hello *hello)
{
    const struct config *config = daemon->config;
    if (!config->outbox.notify || daemon->listen_conn != NULL) {
        return;
    }
    if (hello->behind_pooler) {
        log_event(daemon->log, LOG_LEVEL_WARNING, "db.notify",
                  LOG_TEXT("reason", "database.dsn goes through a pooler: changes are found by "
                                     "polling only; set database.listen_dsn to be woken"));
        return;
    }
    outbox_listen(daemon->outbox, daemon_on_listening, daemon);
}

// For a daemon that has been at work a database without schema or rights is one that is being
// restored or repaired: it waits, as for one that is away.
static bool daemon_may_wait(const struct daemon *daemon)
{
    return !daemon->once && daemon->phase != DAEMON_PHASE_STARTING;
}

static void daemon_wait_to_be_usable(struct daemon *daemon, const char *reason,
                                     const char *sqlstate)
{
    daemon_log_lost(daemon, reason, sqlstate);
    loop_timer_set(daemon->hello_timer, loop_now_ns(daemon->loop) + DAEMON_HELLO_NS);
}

static bool daemon_schema_is_right(struct daemon *daemon, const struct outbox_hello *hello)
{
    struct err err;
    if (outbox_schema_is_right(hello, &err)) {
        return true;
    }
    if (daemon_may_wait(daemon) && hello->schema != OUTBOX_SCHEMA_NEW) {
        daemon_wait_to_be_usable(daemon, err.text, "");
    } else {
        daemon_refuse(daemon, err.text);
    }
    return false;
}

// Trouble of the server that passes: conflicts, full, cancelled, being shut down, input and output.
static bool daemon_passes(const struct pgconn_failure *failure)
{
    static const char *const classes[] = {"40", "53", "55", "57", "58"};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (pgconn_failed_with(failure, classes[i])) {
            return true;
        }
    }
    return false;
}

static void daemon_hello_failed(struct daemon *daemon, const struct pgconn_failure *failure)
{
    bool rights = pgconn_failed_with(failure, "42501");
    const char *text = rights ? "the database role lacks rights: run `GRANT imprint_sync_daemon "
                                "TO <role>` as the owner of the database"
                              : failure->text;
    if (failure->lost) {
        return; // it comes again with the next connection
    }
    if (daemon_may_wait(daemon) || daemon_passes(failure)) {
        daemon_wait_to_be_usable(daemon, text, failure->sqlstate);
    } else {
        daemon_refuse(daemon, text);
    }
}

static void daemon_on_hello(void *ctx, const struct pgconn_failure *failure,
                            const struct outbox_hello *hello)
{
    struct daemon *daemon = ctx;
    daemon->greeting_ns = 0;
    if (failure != NULL) {
        daemon_hello_failed(daemon, failure);
        return;
    }
    if (!daemon_schema_is_right(daemon, hello)) {
        return;
    }
    daemon->connected = true;
    daemon->source_wanted = false;
    daemon->lost_logged = false;
    int version = pgconn_server_version(daemon->conn);
    log_event(daemon->log, LOG_LEVEL_INFO, "db.connect", LOG_I64("server_version", version),
              LOG_I64("schema_version", hello->schema_version),
              LOG_TEXT("source", outbox_source_reason(hello->source)));
    if (hello->new_history) {
        relay_on_new_history(daemon->relay);
    }
    relay_on_ready(daemon->relay, hello->source);
    lessor_on_ready(daemon->lessor, hello->new_history);
    daemon_listen(daemon, hello);
    loop_timer_set(daemon->stats_timer,
                   loop_now_ns(daemon->loop) + daemon->config->log.stats_interval_ns);
}

// On a new connection, and again after a while where it could not be used.
static void daemon_on_db_ready(void *ctx)
{
    struct daemon *daemon = ctx;
    daemon->greeting_ns = loop_now_ns(daemon->loop);
    outbox_hello(daemon->outbox, daemon_on_hello, daemon);
}

// After a reload, on the same connection.
static void daemon_on_source(void *ctx, const struct pgconn_failure *failure,
                             const struct outbox_hello *hello)
{
    struct daemon *daemon = ctx;
    daemon->greeting_ns = 0;
    if (failure == NULL) {
        daemon->source_wanted = false;
        relay_on_source(daemon->relay, hello->source);
    } else if (!failure->lost) {
        outbox_log_failure(daemon->outbox, daemon->log, "hello", failure);
    }
}

static void daemon_ask_source(struct daemon *daemon)
{
    if (daemon->connected && daemon->source_wanted && daemon->greeting_ns == 0) {
        daemon->greeting_ns = loop_now_ns(daemon->loop);
        outbox_hello(daemon->outbox, daemon_on_source, daemon);
    }
}

static void daemon_on_db_lost(void *ctx, const struct pgconn_failure *failure)
{
    struct daemon *daemon = ctx;
    loop_timer_unset(daemon->hello_timer);
    daemon_log_lost(daemon, failure->text, failure->sqlstate);
    if (daemon->connected) {
        daemon->connected = false;
        if (daemon->listen_conn == NULL) {
            relay_set_listening(daemon->relay, false);
        }
        relay_on_lost(daemon->relay);
        lessor_on_lost(daemon->lessor);
    }
    if (daemon->once && daemon->phase == DAEMON_PHASE_STARTING) {
        daemon->exit_code = EX_UNAVAILABLE;
        daemon->stop_reason = "the database cannot be reached: see database.dsn";
        daemon_leave(daemon);
    }
}

static void daemon_on_notify(void *ctx, const char *payload)
{
    struct daemon *daemon = ctx;
    if (strcmp(payload, "lease") == 0) {
        lessor_on_notify(daemon->lessor);
    } else {
        relay_on_notify(daemon->relay);
    }
}

static void daemon_on_listen_ready(void *ctx)
{
    struct daemon *daemon = ctx;
    outbox_listen(daemon->listen_outbox, daemon_on_listening, daemon);
}

static void daemon_on_listen_lost(void *ctx, const struct pgconn_failure *failure)
{
    struct daemon *daemon = ctx;
    (void)failure; // polling goes on
    relay_set_listening(daemon->relay, false);
}

// ---- the API key ---------------------------------------------------------------------------

static bool daemon_open_key(struct daemon *daemon, struct err *err)
{
    if (!keyfile_read(&daemon->keyfile, daemon->config->imprint.api_key_file, err)) {
        return err_context(err, "imprint.api_key_file");
    }
    sender_set_key(daemon->sender, daemon->keyfile.key);
    return true;
}

// `changed`: the file is another than the one that the key in use came from.
static void daemon_read_key(struct daemon *daemon, bool changed)
{
    struct keyfile next = {.key = NULL};
    struct err err;
    if (!keyfile_read(&next, daemon->config->imprint.api_key_file, &err)) {
        daemon->keyfile.tried = next.tried;
        log_event(daemon->log, changed ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "api.key",
                  LOG_TEXT("reason", err.text));
    } else if (keyfile_take(&daemon->keyfile, &next)) {
        sender_set_key(daemon->sender, daemon->keyfile.key);
        relay_on_key(daemon->relay);
        log_event(daemon->log, LOG_LEVEL_INFO, "api.key",
                  LOG_TEXT("reason", "the file holds another key, which is used from now on"));
    }
}

static void daemon_on_key_timer(void *ctx)
{
    struct daemon *daemon = ctx;
    bool changed = keyfile_has_changed(&daemon->keyfile, daemon->config->imprint.api_key_file);
    if (changed || relay_wants_key(daemon->relay)) {
        daemon_read_key(daemon, changed);
    }
    daemon_ask_source(daemon); // where it failed
    loop_timer_set(daemon->key_timer, loop_now_ns(daemon->loop) + DAEMON_KEY_NS);
}

// ---- stats ---------------------------------------------------------------------------------

static void daemon_log_stats(struct daemon *daemon)
{
    const struct outbox_counts *counts = &daemon->counts;
    const struct config_rate rate = daemon->config->delivery.rate;
    const struct stats_view view = {
        .pending = counts->pending,
        .due = counts->due,
        .retrying = counts->retrying,
        .rows_dead = counts->dead,
        .oldest_s = counts->oldest_s,
        .xmin_age_s = counts->xmin_age_s,
        .in_flight = (int64_t)sender_in_flight(daemon->sender),
        .slots = (int64_t)lease_held(&daemon->lease),
        .rate_limit = (double)rate.count * (double)CLOCK_NS_PER_SEC / (double)rate.per_ns,
        .rate = relay_rate_per_sec(daemon->relay),
        .paused = !daemon->connected ? "database" : relay_paused(daemon->relay),
    };
    stats_log(&daemon->stats, &view, daemon->log);
}

static void daemon_on_counts(void *ctx, const struct pgconn_failure *failure,
                             const struct outbox_counts *counts)
{
    struct daemon *daemon = ctx;
    int64_t began_ns = daemon->counting_ns;
    daemon->counting_ns = 0;
    if (daemon->phase == DAEMON_PHASE_GONE) {
        return;
    }
    if (failure == NULL) {
        daemon->counts = *counts;
        relay_note_counts(daemon->relay, counts);
    }
    herald_note_counts(daemon->herald, failure == NULL ? counts : NULL, began_ns);
    if (daemon->stats_wanted) {
        daemon->stats_wanted = false;
        daemon_log_stats(daemon);
    }
}

static void daemon_count(struct daemon *daemon)
{
    if (daemon->counting_ns == 0) {
        daemon->counting_ns = loop_now_ns(daemon->loop);
        outbox_count(daemon->outbox, daemon_on_counts, daemon);
    }
}

static void daemon_on_stats_timer(void *ctx)
{
    struct daemon *daemon = ctx;
    if (daemon->connected && daemon->counting_ns == 0) {
        daemon->stats_wanted = true;
        daemon_count(daemon);
    } else {
        daemon_log_stats(daemon);
    }
    loop_timer_set(daemon->stats_timer,
                   loop_now_ns(daemon->loop) + daemon->config->log.stats_interval_ns);
}

// A database that does not keep up gets no work that can wait: it would stand before the heartbeat.
static bool daemon_keeps_up(const struct daemon *daemon)
{
    return daemon->connected && pgconn_jobs(daemon->conn) < DAEMON_BEHIND_JOBS;
}

// ---- reload --------------------------------------------------------------------------------

// A change of the level must not hide the event that tells of it.
static void daemon_set_log(struct daemon *daemon, const struct reload *reload, bool new_key)
{
    const struct config_log *log = &reload->config->log;
    enum log_level before = daemon->config->log.level;
    log_configure(daemon->log, log->level > before ? log->level : before, log->format);
    reload_log_taken(reload, new_key, daemon->log);
    log_configure(daemon->log, log->level, log->format);
}

// Everything at once, between two turns. Cannot fail.
static void daemon_swap(struct daemon *daemon, struct reload *reload)
{
    bool new_key = keyfile_take(&daemon->keyfile, &reload->keyfile);
    sender_set_key(daemon->sender, daemon->keyfile.key);
    daemon_set_log(daemon, reload, new_key);
    struct config *before = daemon->config;
    daemon->config = reload->config;
    reload->config = before; // freed with the rest
    const struct outbox_options outbox = settings_outbox(daemon->config, daemon->instance);
    outbox_reconfigure(daemon->outbox, &outbox);
    if (daemon->listen_outbox != NULL) {
        outbox_reconfigure(daemon->listen_outbox, &outbox);
    }
    relay_reconfigure(daemon->relay, daemon->config, daemon->sender);
    vitals_set_sender(daemon->vitals, daemon->sender);
    lessor_set_burst(daemon->lessor, daemon->config->delivery.burst);
    loop_timer_set(daemon->stats_timer,
                   loop_now_ns(daemon->loop) + daemon->config->log.stats_interval_ns);
    daemon->source_wanted = true;
    daemon_ask_source(daemon);
}

// The files are fine.
static void daemon_take(struct daemon *daemon, struct reload *reload)
{
    struct err err;
    const struct sender_options sender = settings_sender(reload->config);
    if (sender_renew(&daemon->sender, &sender, &err)) {
        daemon_swap(daemon, reload);
    } else {
        log_event(daemon->log, LOG_LEVEL_ERROR, "daemon.reload", LOG_TEXT("reason", err.text));
    }
}

static void daemon_reload(struct daemon *daemon)
{
    struct reload reload;
    bool ready = daemon->phase == DAEMON_PHASE_RUNNING;
    if (ready) {
        service_reloading();
    }
    if (reload_read(&reload, daemon->config_path, daemon->config, daemon->log)) {
        daemon_take(daemon, &reload);
    }
    reload_free(&reload);
    if (ready) {
        service_ready();
    }
}

// A hello under way would look at the source of before.
static void daemon_watch_reload(struct daemon *daemon)
{
    if (daemon->reload_wanted && daemon->greeting_ns == 0 &&
        daemon->phase <= DAEMON_PHASE_RUNNING) {
        daemon->reload_wanted = false;
        daemon_reload(daemon);
        relay_pump(daemon->relay);
    }
}

// ---- the turn ------------------------------------------------------------------------------

static void daemon_watch_start(struct daemon *daemon)
{
    if (daemon->connected && lessor_has_asked(daemon->lessor)) {
        daemon->phase = DAEMON_PHASE_RUNNING;
        log_event(daemon->log, LOG_LEVEL_INFO, "daemon.ready",
                  LOG_I64("slots", (int64_t)lease_held(&daemon->lease)));
        service_ready();
    }
}

static int daemon_once_code(const struct daemon *daemon)
{
    if (daemon->stats.dead > 0) {
        return EX_DATAERR;
    }
    return daemon->stats.ok == 0 && daemon->stats.failed > 0 ? EX_UNAVAILABLE : EX_OK;
}

static void daemon_watch_once(struct daemon *daemon)
{
    int64_t now = loop_now_ns(daemon->loop);
    bool held = lease_held(&daemon->lease) > 0;
    if (held && relay_is_empty(daemon->relay)) {
        daemon_stop(daemon, "nothing is due", daemon_once_code(daemon));
        return;
    }
    if (relay_is_paused_by_hand(daemon->relay)) {
        daemon_stop(daemon, "sending is paused: `imprint-sync resume` ends that", EXIT_FAILURE);
        return;
    }
    if (held && !relay_is_stuck(daemon->relay)) {
        daemon->stuck_since_ns = 0;
        return;
    }
    // Another instance's leases run out within one lease if it is dead.
    int64_t patience =
        held ? DAEMON_STUCK_NS : daemon->config->outbox.lease_ns * 3 / 2 + DAEMON_STUCK_NS;
    if (daemon->stuck_since_ns == 0) {
        daemon->stuck_since_ns = now;
    } else if (now - daemon->stuck_since_ns > patience) {
        daemon_stop(daemon,
                    held ? "the API refuses everything: see the api events above"
                         : "another instance holds the leases: it does the delivering",
                    held ? EX_UNAVAILABLE : EXIT_FAILURE);
    }
}

static void daemon_on_last_counts(void *ctx, const struct pgconn_failure *failure,
                                  const struct outbox_counts *counts)
{
    struct daemon *daemon = ctx;
    if (failure == NULL) {
        daemon->counts = *counts; // for the last line
    }
}

static void daemon_watch_stop(struct daemon *daemon)
{
    if (daemon->phase == DAEMON_PHASE_DRAINING && relay_is_drained(daemon->relay)) {
        daemon->phase = DAEMON_PHASE_LEAVING;
        lessor_drain(daemon->lessor);
    }
    if (daemon->phase != DAEMON_PHASE_LEAVING || daemon->goodbye_sent) {
        return;
    }
    bool walked = daemon->walk == NULL || walk_is_closed(daemon->walk);
    if (!daemon->connected) {
        daemon_leave(daemon);
    } else if (lessor_is_drained(daemon->lessor) && walked) {
        daemon->goodbye_sent = true;
        outbox_count(daemon->outbox, daemon_on_last_counts, daemon);
        outbox_goodbye(daemon->outbox, daemon_on_goodbye, daemon);
    }
}

static void daemon_pump_walk(struct daemon *daemon)
{
    const char *paused = !daemon->connected                ? "database"
                         : lease_held(&daemon->lease) == 0 ? NULL
                                                           : relay_paused(daemon->relay);
    walk_pump(daemon->walk, paused);
    if (walk_ended(daemon->walk) != WALK_END_NONE) {
        daemon_stop(daemon, walk_reason(daemon->walk), EX_OK);
    }
}

static void daemon_watch_pulse(struct daemon *daemon)
{
    if (!watchdog_is_due(daemon->watchdog)) {
        return;
    }
    struct pulse_facts facts = {
        .connected = daemon->connected,
        .call_bound_ns = DAEMON_CALL_NS,
        .connection_due_ns = pgconn_due_ns(daemon->conn),
        .listener_due_ns =
            daemon->listen_conn == NULL ? INT64_MAX : pgconn_due_ns(daemon->listen_conn),
        .hello_call_ns = daemon->greeting_ns,
        .count_call_ns = daemon->counting_ns,
        .beats = !daemon->goodbye_sent,
    };
    relay_tell(daemon->relay, &facts);
    lessor_tell(daemon->lessor, &facts);
    watchdog_look(daemon->watchdog, &facts);
}

// Of all instances, the one that holds slot 0 does them.
static void daemon_pump_chores(struct daemon *daemon)
{
    if (daemon->phase != DAEMON_PHASE_STARTING) {
        bool mine = daemon_keeps_up(daemon) && daemon->phase == DAEMON_PHASE_RUNNING &&
                    daemon->lease.slots[0].mine;
        chores_pump(daemon->chores, mine, daemon->config->outbox.retention_ns);
    }
}

static void daemon_pump_herald(struct daemon *daemon)
{
    const struct herald_view view = {
        .stopping = daemon->phase >= DAEMON_PHASE_DRAINING,
        .connected = daemon->connected,
        .paused = relay_paused(daemon->relay),
        .sent = daemon->stats.sent,
        .allowed_per_s = relay_rate_per_sec(daemon->relay),
        .in_flight = sender_in_flight(daemon->sender),
        .slots = lease_held(&daemon->lease),
        .slots_of = LEASE_SLOTS,
    };
    herald_pump(daemon->herald, &view);
    if (herald_wants_counts(daemon->herald) && daemon->phase == DAEMON_PHASE_RUNNING &&
        daemon_keeps_up(daemon)) {
        daemon_count(daemon);
    }
}

static void daemon_on_turn(void *ctx)
{
    struct daemon *daemon = ctx;
    if (daemon->phase == DAEMON_PHASE_GONE) {
        return;
    }
    lessor_expire(daemon->lessor);
    relay_pump(daemon->relay);
    if (daemon->phase == DAEMON_PHASE_STARTING) {
        daemon_watch_start(daemon);
    } else if (daemon->phase == DAEMON_PHASE_RUNNING && daemon->once) {
        daemon_watch_once(daemon);
    }
    // Not before the slots are taken: what is in the outbox by then is never skipped as unchanged.
    if (daemon->walk != NULL && daemon->phase != DAEMON_PHASE_STARTING) {
        daemon_pump_walk(daemon);
    }
    daemon_watch_stop(daemon);
    if (!daemon->goodbye_sent) { // a heartbeat behind it would put us on the list again
        lessor_pump(daemon->lessor);
    }
    daemon_watch_reload(daemon);
    vitals_pump(daemon->vitals, daemon->config, daemon->connected);
    daemon_watch_pulse(daemon);
    daemon_pump_chores(daemon);
    daemon_pump_herald(daemon);
}

static void daemon_on_hangup(void *ctx, int signal_number)
{
    struct daemon *daemon = ctx;
    if (daemon->walk != NULL) {
        daemon_on_stop_signal(daemon, signal_number); // its terminal has gone
        return;
    }
    daemon->reload_wanted = !daemon->once; // which ends soon, on what it began with
}

// ---- set-up --------------------------------------------------------------------------------

static bool daemon_open_signals(struct daemon *daemon, struct err *err)
{
    signal(SIGPIPE, SIG_IGN); // libcurl and libpq report it as an error of the call
    return loop_on_signal(daemon->loop, SIGTERM, daemon_on_stop_signal, daemon, err) &&
           loop_on_signal(daemon->loop, SIGINT, daemon_on_stop_signal, daemon, err) &&
           loop_on_signal(daemon->loop, SIGHUP, daemon_on_hangup, daemon, err);
}

static bool daemon_open_database(struct daemon *daemon, struct err *err)
{
    const struct config *config = daemon->config;
    const struct pgconn_events events = {.ctx = daemon,
                                         .on_ready = daemon_on_db_ready,
                                         .on_lost = daemon_on_db_lost,
                                         .on_notify = daemon_on_notify};
    struct pgconn_options options = settings_database(config);
    const struct outbox_options outbox = settings_outbox(config, daemon->instance);
    daemon->conn = pgconn_create(daemon->loop, &options, &events, err);
    if (daemon->conn == NULL) {
        return err_context(err, "database.dsn");
    }
    daemon->outbox = outbox_create(daemon->conn, &outbox);
    if (config->database.listen_dsn == NULL || !config->outbox.notify) {
        return true;
    }
    const struct pgconn_events listen = {.ctx = daemon,
                                         .on_ready = daemon_on_listen_ready,
                                         .on_lost = daemon_on_listen_lost,
                                         .on_notify = daemon_on_notify};
    options.dsn = config->database.listen_dsn;
    daemon->listen_conn = pgconn_create(daemon->loop, &options, &listen, err);
    if (daemon->listen_conn == NULL) {
        return err_context(err, "database.listen_dsn");
    }
    daemon->listen_outbox = outbox_create(daemon->listen_conn, &outbox);
    return true;
}

static void daemon_open_timers(struct daemon *daemon)
{
    daemon->stats_timer = loop_timer_open(daemon->loop, daemon_on_stats_timer, daemon);
    daemon->key_timer = loop_timer_open(daemon->loop, daemon_on_key_timer, daemon);
    daemon->hello_timer = loop_timer_open(daemon->loop, daemon_on_db_ready, daemon);
    daemon->drain_timer = loop_timer_open(daemon->loop, daemon_on_drain_timeout, daemon);
    int64_t now = loop_now_ns(daemon->loop);
    loop_timer_set(daemon->stats_timer, now + daemon->config->log.stats_interval_ns);
    loop_timer_set(daemon->key_timer, now + DAEMON_KEY_NS);
}

static bool daemon_open(struct daemon *daemon, struct err *err)
{
    daemon->loop = loop_create(err);
    if (daemon->loop == NULL || !daemon_open_signals(daemon, err)) {
        return false;
    }
    const struct sender_options sender = settings_sender(daemon->config);
    daemon->sender = sender_create(daemon->loop, &sender, err);
    if (daemon->sender == NULL || !daemon_open_key(daemon, err) ||
        !daemon_open_database(daemon, err)) {
        return false;
    }
    lease_init(&daemon->lease, daemon->config->outbox.lease_ns);
    const struct relay_parts relay = {.loop = daemon->loop,
                                      .log = daemon->log,
                                      .config = daemon->config,
                                      .outbox = daemon->outbox,
                                      .sender = daemon->sender,
                                      .lease = &daemon->lease,
                                      .stats = &daemon->stats};
    daemon->relay = relay_create(&relay);
    const struct lessor_parts lessor = {.loop = daemon->loop,
                                        .log = daemon->log,
                                        .outbox = daemon->outbox,
                                        .lease = &daemon->lease,
                                        .relay = daemon->relay,
                                        .instance = daemon->instance,
                                        .burst = daemon->config->delivery.burst,
                                        .yields = daemon->walk != NULL};
    daemon->lessor = lessor_create(&lessor);
    const struct vitals_parts vitals = {.loop = daemon->loop,
                                        .outbox = daemon->outbox,
                                        .sender = daemon->sender,
                                        .relay = daemon->relay,
                                        .stats = &daemon->stats};
    daemon->vitals = vitals_create(&vitals);
    daemon->herald = herald_create(daemon->loop);
    const struct chores_parts chores = {
        .loop = daemon->loop, .log = daemon->log, .outbox = daemon->outbox};
    daemon->chores = chores_create(&chores);
    daemon->watchdog = watchdog_create(daemon->loop, daemon->log);
    daemon_open_timers(daemon);
    loop_on_turn(daemon->loop, daemon_on_turn, daemon);
    return daemon->walk == NULL || walk_open(daemon->walk, daemon->loop, daemon->log, err);
}

static void daemon_close(struct daemon *daemon)
{
    walk_close(daemon->walk);
    sender_destroy(daemon->sender);
    pgconn_destroy(daemon->conn);
    pgconn_destroy(daemon->listen_conn);
    outbox_destroy(daemon->outbox);
    outbox_destroy(daemon->listen_outbox);
    vitals_destroy(daemon->vitals);
    watchdog_destroy(daemon->watchdog);
    herald_destroy(daemon->herald);
    chores_destroy(daemon->chores);
    lessor_destroy(daemon->lessor);
    relay_destroy(daemon->relay);
    loop_timer_close(daemon->stats_timer);
    loop_timer_close(daemon->key_timer);
    loop_timer_close(daemon->hello_timer);
    loop_timer_close(daemon->drain_timer);
    loop_destroy(daemon->loop);
    stats_free(&daemon->stats);
    keyfile_free(&daemon->keyfile);
    config_destroy(daemon->config);
    log_destroy(daemon->log);
}

static const char *daemon_environment(const struct config *config)
{
    switch (config->imprint.environment) {
    case CONFIG_ENVIRONMENT_SANDBOX:
        return "sandbox";
    case CONFIG_ENVIRONMENT_PRODUCTION:
        return "production";
    case CONFIG_ENVIRONMENT_CUSTOM:
        return "custom";
    }
    return "custom";
}

// It would end the process until the loop is there to take it.
static void daemon_block_hangup(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void daemon_name(struct daemon *daemon)
{
    if (daemon->walk != NULL) {
        snprintf(daemon->instance, sizeof daemon->instance, "%s", walk_holder(daemon->walk));
    } else {
        settings_instance(daemon->instance);
    }
}

static void daemon_open_log(struct daemon *daemon)
{
    const struct config_log *log = &daemon->config->log;
    daemon->log = log_create(STDERR_FILENO, service_has_journal());
    log_set_journal(daemon->log, service_send_journal, NULL);
    log_configure(daemon->log,
                  daemon->walk == NULL ? log->level : walk_log_level(daemon->walk, log->level),
                  log->format);
}

int daemon_run(const struct daemon_options *options)
{
    struct daemon daemon = {.once = options->once,
                            .walk = options->walk,
                            .exit_code = EX_OK,
                            .config_path = options->config_path};
    struct err err = {.kind = ERR_KIND_NONE};
    daemon_block_hangup();
    daemon.config = settings_load(options->config_path);
    if (daemon.config == NULL) {
        return EX_CONFIG;
    }
    daemon_open_log(&daemon);
    stats_init(&daemon.stats);
    daemon_name(&daemon);
    log_event(daemon.log, LOG_LEVEL_INFO, "daemon.start", LOG_TEXT("version", IMPRINT_VERSION),
              LOG_I64("log_version", LOG_VERSION), LOG_TEXT("instance", daemon.instance),
              LOG_TEXT("environment", daemon_environment(daemon.config)),
              LOG_BOOL("once", options->once));
    if (!daemon_open(&daemon, &err) || !loop_run(daemon.loop, &err)) {
        daemon.exit_code = err_exit_code(err.kind);
        log_event(daemon.log, LOG_LEVEL_ERROR, "daemon.stop", LOG_TEXT("reason", err.text));
    } else if (daemon.stop_reason != NULL) {
        daemon_log_stats(&daemon);
        log_event(daemon.log, daemon.exit_code == EX_OK ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
                  "daemon.stop", LOG_TEXT("reason", daemon.stop_reason),
                  LOG_I64("exit", daemon.exit_code));
    }
    int exit_code = daemon.exit_code;
    daemon_close(&daemon);
    return exit_code;
}
