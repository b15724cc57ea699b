#include "io/pgconn.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/file.h"
#include "io/pghosts.h"
#include "io/pgplans.h"

#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/random.h>

enum {
    PGJOB_STATEMENTS = 12,
    PGJOB_PARAMS = 48,
    PGJOB_SIMPLE_MAX = 16 << 20,
    PGJOB_ANSWERS = 2 * PGJOB_STATEMENTS + 8, // each statement may be prepared before it runs
    PGCONN_DEPTH = 4,                         // jobs under way at once
    PGCONN_NOBODYS = -1,                      // an answer that is no statement's
};

// Behind the server's own statement_timeout: then the connection is dead, not the statement slow.
#define PGCONN_GRACE_NS (3 * CLOCK_NS_PER_SEC)
// A lock that is not to be had so soon fails its own job, and holds up those behind it no longer:
// a heartbeat must not wait for whoever has locked the outbox.
#define PGCONN_LOCK_NS CLOCK_NS_PER_SEC
// getaddrinfo's own limits, for several name servers and search domains; it has no other.
#define PGCONN_RESOLVE_NS (300 * CLOCK_NS_PER_SEC)
#define PGCONN_BACKOFF_MIN_NS (100 * CLOCK_NS_PER_MS)
#define PGCONN_BACKOFF_MAX_NS (5 * CLOCK_NS_PER_SEC)

struct pgjob_statement {
    char *sql; // owned
    bool prepared;
    int first_param;
    int param_count;
};

struct pgjob {
    STAILQ_ENTRY(pgjob) link;
    char *simple;              // owned; NULL for a pipelined transaction
    const char *plan_settings; // borrowed; NULL: none
    int64_t timeout_ns;
    pgjob_done_fn done;
    void *ctx;
    struct pgjob_statement statements[PGJOB_STATEMENTS];
    int statement_count;
    char *params[PGJOB_PARAMS]; // owned
    int param_count;

    // While under way:
    int64_t deadline_ns;                // 0 until it is its turn
    signed char answers[PGJOB_ANSWERS]; // to which statement each of its answers belongs
    int answer_count;
    int at;        // which answer comes next
    bool prepares; // it uses prepared statements
    bool plainly;  // it must not: one of them did not do
    PGresult *results[PGJOB_STATEMENTS];
    bool failed;
    struct pgconn_failure failure;
};

STAILQ_HEAD(pgjob_queue, pgjob);

enum pgconn_state {
    PGCONN_STATE_WAITING,    // for the backoff to end
    PGCONN_STATE_RESOLVING,  // inside pghosts
    PGCONN_STATE_CONNECTING, // inside PQconnectPoll
    PGCONN_STATE_READY,
};

struct pgconn {
    struct loop *loop;
    char *dsn;
    char *password_file;
    int64_t connect_timeout_ns;
    struct pgconn_events events;

    enum pgconn_state state;
    struct pghosts *hosts;
    PGconn *pg;
    struct loop_watch *watch;
    struct loop_timer *timer; // of the state: backoff, connecting, or the head job's deadline
    int64_t due_ns;           // of the state that is not READY: the end of the wait for it
    int64_t backoff_ns;
    int64_t ready_ns; // since when it has been READY
    struct pgconn_failure last_failure;

    struct pgjob_queue waiting;
    struct pgjob_queue sent;
    int sent_count;
    struct pgjob_queue again; // stood behind a failed job in the pipeline; go first afterwards
    bool rolling_back;
    int64_t rollback_deadline_ns;

    bool has_session;
    struct pgplans plans; // prepared in it, as soon as what was sent has run
};

static void pgconn_next_address(struct pgconn *conn);
static void pgconn_pump(struct pgconn *conn);

// ---- jobs ----------------------------------------------------------------------------------

struct pgjob *pgjob_create(int64_t timeout_ns, pgjob_done_fn done, void *ctx)
{
    struct pgjob *job = mem_calloc(1, sizeof *job);
    job->timeout_ns = timeout_ns;
    job->done = done;
    job->ctx = ctx;
    return job;
}

struct pgjob *pgjob_create_simple(const char *sql, int64_t timeout_ns, pgjob_done_fn done,
                                  void *ctx)
{
    struct pgjob *job = pgjob_create(timeout_ns, done, ctx);
    struct buf text;
    buf_init(&text, PGJOB_SIMPLE_MAX);
    bool ok = buf_printf(&text, "SET statement_timeout = %lld; %s",
                         (long long)(timeout_ns / CLOCK_NS_PER_MS), sql);
    assert(ok); // migrations are part of the program
    (void)ok;
    job->simple = buf_take(&text);
    return job;
}

static void pgjob_drop_results(struct pgjob *job)
{
    for (int i = 0; i < PGJOB_STATEMENTS; i++) {
        PQclear(job->results[i]);
        job->results[i] = NULL;
    }
}

void pgjob_destroy(struct pgjob *job)
{
    if (job == NULL) {
        return;
    }
    pgjob_drop_results(job);
    for (int i = 0; i < job->param_count; i++) {
        free(job->params[i]);
    }
    for (int i = 0; i < job->statement_count; i++) {
        free(job->statements[i].sql);
    }
    free(job->simple);
    free(job);
}

void pgjob_statement(struct pgjob *job, const char *sql)
{
    assert(job->statement_count < PGJOB_STATEMENTS);
    job->statements[job->statement_count++] =
        (struct pgjob_statement){.sql = mem_strdup(sql), .first_param = job->param_count};
}

void pgjob_prepared(struct pgjob *job, const char *sql)
{
    pgjob_statement(job, sql);
    job->statements[job->statement_count - 1].prepared = true;
}

void pgjob_plan_settings(struct pgjob *job, const char *sql)
{
    job->plan_settings = sql;
}

void pgjob_param(struct pgjob *job, char *value)
{
    assert(job->statement_count > 0 && job->param_count < PGJOB_PARAMS);
    job->params[job->param_count++] = value;
    job->statements[job->statement_count - 1].param_count++;
}

void pgjob_param_int64(struct pgjob *job, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    pgjob_param(job, mem_strdup(text));
}

void pgjob_param_text(struct pgjob *job, const char *value)
{
    pgjob_param(job, value == NULL ? NULL : mem_strdup(value));
}

static void pgjob_finish(struct pgjob *job)
{
    const struct pgrows *rows[PGJOB_STATEMENTS];
    for (int i = 0; i < PGJOB_STATEMENTS; i++) {
        rows[i] = (const struct pgrows *)job->results[i];
    }
    job->done(job->ctx, job->failed ? &job->failure : NULL, rows);
    pgjob_destroy(job);
}

// Back to how it was before it was sent.
static void pgjob_rewind(struct pgjob *job)
{
    pgjob_drop_results(job);
    job->at = 0;
    job->answer_count = 0;
    job->failed = false;
    job->deadline_ns = 0;
}

// The first, out of the queue; NULL when it is empty.
static struct pgjob *pgjob_queue_pop(struct pgjob_queue *queue)
{
    struct pgjob *job = STAILQ_FIRST(queue);
    if (job != NULL) {
        STAILQ_REMOVE_HEAD(queue, link);
    }
    return job;
}

// All of `from` behind what is in `to`.
static void pgjob_queue_move(struct pgjob_queue *to, struct pgjob_queue *from)
{
    struct pgjob *job;
    while ((job = pgjob_queue_pop(from)) != NULL) {
        STAILQ_INSERT_TAIL(to, job, link);
    }
}

// ---- rows ----------------------------------------------------------------------------------

static const PGresult *pgrows_result(const struct pgrows *rows)
{
    return (const PGresult *)rows;
}

size_t pgrows_count(const struct pgrows *rows)
{
    return rows == NULL ? 0 : (size_t)PQntuples(pgrows_result(rows));
}

int pgrows_columns(const struct pgrows *rows)
{
    return PQnfields(pgrows_result(rows));
}

bool pgrows_null(const struct pgrows *rows, size_t row, int column)
{
    return PQgetisnull(pgrows_result(rows), (int)row, column) != 0;
}

const char *pgrows_text(const struct pgrows *rows, size_t row, int column)
{
    return PQgetvalue(pgrows_result(rows), (int)row, column);
}

size_t pgrows_length(const struct pgrows *rows, size_t row, int column)
{
    return (size_t)PQgetlength(pgrows_result(rows), (int)row, column);
}

int64_t pgrows_int64(const struct pgrows *rows, size_t row, int column)
{
    int64_t value = 0;
    return str_to_int64(str_of(pgrows_text(rows, row, column)), &value) ? value : 0;
}

bool pgrows_bool(const struct pgrows *rows, size_t row, int column)
{
    return pgrows_text(rows, row, column)[0] == 't';
}

// ---- failures ------------------------------------------------------------------------------

bool pgconn_failed_with(const struct pgconn_failure *failure, const char *prefix)
{
    return str_starts(str_of(failure->sqlstate), str_of(prefix));
}

static const char *pgconn_field(const PGresult *result, int code)
{
    const char *text = PQresultErrorField(result, code);
    return text == NULL ? "" : text;
}

// Names of objects only: the message itself may quote values. Those of a simple query, which is a
// migration and touches no customer's data, are kept.
static struct pgconn_failure pgconn_failure_of(const PGresult *result, bool simple)
{
    struct pgconn_failure failure = {.lost = false};
    const char *state = pgconn_field(result, PG_DIAG_SQLSTATE);
    const char *table = pgconn_field(result, PG_DIAG_TABLE_NAME);
    const char *constraint = pgconn_field(result, PG_DIAG_CONSTRAINT_NAME);
    snprintf(failure.sqlstate, sizeof failure.sqlstate, "%s", state);
    snprintf(failure.text, sizeof failure.text, "%.120s%sSQLSTATE %s%s%.60s%s%.60s",
             simple ? pgconn_field(result, PG_DIAG_MESSAGE_PRIMARY) : "", simple ? ", " : "", state,
             table[0] != '\0' ? " table " : "", table, constraint[0] != '\0' ? " constraint " : "",
             constraint);
    return failure;
}

static struct pgconn_failure pgconn_failure_lost(struct str text)
{
    struct pgconn_failure failure = {.lost = true};
    snprintf(failure.text, sizeof failure.text, "%.*s",
             (int)(text.len < sizeof failure.text ? text.len : sizeof failure.text - 1), text.ptr);
    return failure;
}

// The first line of what libpq says about connecting.
static struct pgconn_failure pgconn_failure_to_connect(const PGconn *pg)
{
    struct str line;
    struct str rest;
    str_split(str_of(PQerrorMessage(pg)), '\n', &line, &rest);
    return pgconn_failure_lost(str_trim(line));
}

static bool pgconn_is_libpqs_own(struct str line)
{
    static const char *const starts[] = {"server closed the connection", "could not receive data",
                                         "could not send data", "SSL "};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        if (str_starts(line, str_of(starts[i]))) {
            return true;
        }
    }
    return false;
}

// Why a connection that was there ended. Of libpq's lines only its own: those of the server, which
// may stand before them, quote values.
static struct pgconn_failure pgconn_failure_ended(const PGconn *pg)
{
    struct str rest = str_of(PQerrorMessage(pg));
    while (rest.len > 0) {
        struct str line;
        str_split(rest, '\n', &line, &rest);
        if (pgconn_is_libpqs_own(line)) {
            return pgconn_failure_lost(str_trim(line));
        }
    }
    return pgconn_failure_lost(STR("the connection ended"));
}

// ---- the connection's life -----------------------------------------------------------------

static void pgconn_close(struct pgconn *conn)
{
    // The watch first: libpq closes the descriptor, and its number may be used again at once.
    loop_watch_close(conn->watch);
    conn->watch = NULL;
    PQfinish(conn->pg);
    conn->pg = NULL;
    conn->has_session = false;
    pgplans_clear(&conn->plans);
    loop_timer_unset(conn->timer);
}

static uint64_t pgconn_random(void)
{
    uint64_t value = 0;
    ssize_t got = getrandom(&value, sizeof value, 0);
    (void)got; // short only for requests over 256 bytes
    return value;
}

static void pgconn_wait(struct pgconn *conn)
{
    conn->state = PGCONN_STATE_WAITING;
    int64_t half = conn->backoff_ns / 2;
    int64_t jitter = (int64_t)(pgconn_random() % (uint64_t)(half + 1));
    conn->due_ns = loop_now_ns(conn->loop) + half + jitter;
    loop_timer_set(conn->timer, conn->due_ns);
    conn->backoff_ns *= 2;
    if (conn->backoff_ns > PGCONN_BACKOFF_MAX_NS) {
        conn->backoff_ns = PGCONN_BACKOFF_MAX_NS;
    }
}

static void pgconn_fail_queue(struct pgjob_queue *queue, const struct pgconn_failure *failure)
{
    // Into a list of its own: a done function may submit new jobs, which must not fail with these.
    struct pgjob_queue list = STAILQ_HEAD_INITIALIZER(list);
    pgjob_queue_move(&list, queue);
    struct pgjob *job;
    while ((job = pgjob_queue_pop(&list)) != NULL) {
        job->failed = true;
        job->failure = *failure;
        job->failure.lost = true;
        pgjob_finish(job);
    }
}

// The connection is over: everything under way is lost, and the next try comes later.
static void pgconn_lose(struct pgconn *conn, struct pgconn_failure failure)
{
    int64_t now = loop_now_ns(conn->loop);
    if (conn->state == PGCONN_STATE_READY && now - conn->ready_ns > PGCONN_BACKOFF_MAX_NS) {
        // Only then: a server that takes connections and ends them is no reason to hurry.
        conn->backoff_ns = PGCONN_BACKOFF_MIN_NS;
    }
    pgconn_close(conn);
    conn->sent_count = 0;
    conn->rolling_back = false;
    pgconn_wait(conn);
    conn->events.on_lost(conn->events.ctx, &failure);
    pgjob_queue_move(&conn->again, &conn->sent);
    pgjob_queue_move(&conn->again, &conn->waiting);
    pgconn_fail_queue(&conn->again, &failure);
}

static void pgconn_try_again_or_wait(struct pgconn *conn, struct pgconn_failure failure)
{
    pgconn_close(conn);
    conn->last_failure = failure;
    pgconn_next_address(conn);
}

static void pgconn_set_ready(struct pgconn *conn)
{
    conn->state = PGCONN_STATE_READY;
    conn->ready_ns = loop_now_ns(conn->loop);
    loop_timer_unset(conn->timer);
    PQsetnonblocking(conn->pg, 1);
    int entered = PQenterPipelineMode(conn->pg);
    assert(entered == 1); // an idle connection takes it
    (void)entered;
    conn->events.on_ready(conn->events.ctx);
    pgconn_pump(conn);
}

static void pgconn_on_socket(void *ctx, uint32_t ready);

static void pgconn_poll_connect(struct pgconn *conn)
{
    // The socket may be another one after PQconnectPoll (the next address, TLS refused).
    loop_watch_close(conn->watch);
    conn->watch = NULL;
    PostgresPollingStatusType status = PQconnectPoll(conn->pg);
    if (status == PGRES_POLLING_FAILED) {
        pgconn_try_again_or_wait(conn, pgconn_failure_to_connect(conn->pg));
        return;
    }
    uint32_t events = status == PGRES_POLLING_WRITING ? EPOLLOUT : EPOLLIN;
    conn->watch = loop_watch_open(conn->loop, PQsocket(conn->pg), events, pgconn_on_socket, conn);
    if (status == PGRES_POLLING_OK) {
        pgconn_set_ready(conn);
    }
}

static void pgconn_ignore_notice(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

static void pgconn_start(struct pgconn *conn, const char *const *keywords,
                         const char *const *values)
{
    conn->state = PGCONN_STATE_CONNECTING;
    conn->due_ns = loop_now_ns(conn->loop) + conn->connect_timeout_ns;
    loop_timer_set(conn->timer, conn->due_ns);
    conn->pg = PQconnectStartParams(keywords, values, 0);
    if (conn->pg == NULL) {
        pgconn_try_again_or_wait(conn, pgconn_failure_lost(STR("out of memory")));
        return;
    }
    PQsetNoticeProcessor(conn->pg, pgconn_ignore_notice, NULL); // notices may quote values
    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        pgconn_try_again_or_wait(conn, pgconn_failure_to_connect(conn->pg));
        return;
    }
    // As libpq's manual says: before the first PQconnectPoll, wait for the socket to be writable.
    conn->watch = loop_watch_open(conn->loop, PQsocket(conn->pg), EPOLLOUT, pgconn_on_socket, conn);
}

static void pgconn_on_address(void *ctx, const struct pghosts_address *address)
{
    struct pgconn *conn = ctx;
    char *password = NULL;
    struct err err = {.kind = ERR_KIND_NONE};
    if (conn->password_file != NULL && !file_read_secret(conn->password_file, &password, &err)) {
        pgconn_try_again_or_wait(conn, pgconn_failure_lost(str_of(err.text)));
        return;
    }
    struct pghosts_params params;
    pghosts_params(conn->hosts, address, password, &params);
    pgconn_start(conn, params.keywords, params.values);
    if (password != NULL) {
        mem_wipe(password, strlen(password));
        free(password);
    }
}

static void pgconn_on_no_address(void *ctx, const char *reason)
{
    struct pgconn *conn = ctx;
    pgconn_try_again_or_wait(conn, pgconn_failure_lost(str_of(reason)));
}

static void pgconn_next_address(struct pgconn *conn)
{
    conn->state = PGCONN_STATE_RESOLVING;
    conn->due_ns = loop_now_ns(conn->loop) + PGCONN_RESOLVE_NS;
    if (!pghosts_next(conn->hosts)) {
        pgconn_lose(conn, conn->last_failure);
    }
}

static void pgconn_first_address(struct pgconn *conn)
{
    pghosts_rewind(conn->hosts);
    conn->last_failure = pgconn_failure_lost(STR("the DSN names no host that can be tried"));
    pgconn_next_address(conn);
}

static void pgconn_on_timer(void *ctx)
{
    struct pgconn *conn = ctx;
    switch (conn->state) {
    case PGCONN_STATE_WAITING:
        pgconn_first_address(conn);
        break;
    case PGCONN_STATE_RESOLVING:
        break;
    case PGCONN_STATE_CONNECTING:
        pgconn_try_again_or_wait(conn,
                                 pgconn_failure_lost(STR("no answer within the connect timeout")));
        break;
    case PGCONN_STATE_READY:
        pgconn_lose(conn, pgconn_failure_lost(STR("no answer within the statement's deadline")));
        break;
    }
}

// ---- sending -------------------------------------------------------------------------------

// The answer that comes next to what was sent of the job belongs to statement `index`.
static void pgjob_expect(struct pgjob *job, int index)
{
    assert(job->answer_count < PGJOB_ANSWERS);
    job->answers[job->answer_count++] = (signed char)index;
}

static bool pgconn_send(struct pgconn *conn, const char *sql, struct pgjob *job)
{
    if (job != NULL) {
        pgjob_expect(job, PGCONN_NOBODYS);
    }
    return PQsendQueryParams(conn->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

// Prepares it first if that was not done yet. `statement` has its parameters; NULL: none.
static bool pgconn_send_prepared(struct pgconn *conn, struct pgjob *job, const char *sql,
                                 const struct pgjob_statement *statement, int index)
{
    char name[PGPLANS_NAME_SIZE];
    int number = pgplans_find(&conn->plans, sql);
    bool known = number >= 0;
    number = known ? number : pgplans_add(&conn->plans, sql);
    pgplans_name(number, name);
    if (!known) {
        pgjob_expect(job, PGCONN_NOBODYS);
        if (PQsendPrepare(conn->pg, name, sql, 0, NULL) != 1) {
            return false;
        }
    }
    int count = statement == NULL ? 0 : statement->param_count;
    const char *const *values =
        count == 0 ? NULL : (const char *const *)job->params + statement->first_param;
    pgjob_expect(job, index);
    return PQsendQueryPrepared(conn->pg, name, count, values, NULL, NULL, 0) == 1;
}

static bool pgconn_send_statement(struct pgconn *conn, struct pgjob *job, int index)
{
    const struct pgjob_statement *statement = &job->statements[index];
    if (statement->prepared && job->prepares) {
        return pgconn_send_prepared(conn, job, statement->sql, statement, index);
    }
    const char *const *values = (const char *const *)job->params + statement->first_param;
    pgjob_expect(job, index);
    return PQsendQueryParams(conn->pg, statement->sql, statement->param_count, NULL, values, NULL,
                             NULL, 0) == 1;
}

// Which it has yet to prepare, at most.
static int pgconn_unknown_plans(const struct pgconn *conn, const struct pgjob *job)
{
    int count = job->plan_settings != NULL;
    for (int i = 0; i < job->statement_count; i++) {
        count +=
            job->statements[i].prepared && pgplans_find(&conn->plans, job->statements[i].sql) < 0;
    }
    return count;
}

// Settings for a job that may prepare. What is planned once is planned for any parameters.
static bool pgconn_send_plan_mode(struct pgconn *conn, struct pgjob *job)
{
    int prepared = 0;
    for (int i = 0; i < job->statement_count; i++) {
        prepared += job->statements[i].prepared;
    }
    job->prepares = conn->has_session && !job->plainly && prepared > 0;
    if (!job->prepares) {
        return true;
    }
    if (conn->plans.count + pgconn_unknown_plans(conn, job) > PGPLANS_MAX) {
        // Those of configurations before a reload.
        pgplans_clear(&conn->plans);
        if (!pgconn_send(conn, "DEALLOCATE ALL", job)) {
            return false;
        }
    }
    return pgconn_send(conn, "SET LOCAL plan_cache_mode = force_generic_plan", job) &&
           (job->plan_settings == NULL ||
            pgconn_send_prepared(conn, job, job->plan_settings, NULL, PGCONN_NOBODYS));
}

static bool pgconn_send_job(struct pgconn *conn, struct pgjob *job)
{
    if (job->simple != NULL) {
        return PQexitPipelineMode(conn->pg) == 1 && PQsendQuery(conn->pg, job->simple) == 1;
    }
    char timeout[64];
    char lock[64];
    int64_t lock_ns = job->timeout_ns < PGCONN_LOCK_NS ? job->timeout_ns : PGCONN_LOCK_NS;
    snprintf(timeout, sizeof timeout, "SET LOCAL statement_timeout = %lld",
             (long long)(job->timeout_ns / CLOCK_NS_PER_MS));
    snprintf(lock, sizeof lock, "SET LOCAL lock_timeout = %lld",
             (long long)(lock_ns / CLOCK_NS_PER_MS));
    // Compiling a statement took up to 5 s, running it 20 ms: with many rows a part of the settle
    // that is hardly ever needed looks expensive.
    bool ok = pgconn_send(conn, "BEGIN ISOLATION LEVEL READ COMMITTED", job) &&
              pgconn_send(conn, timeout, job) && pgconn_send(conn, lock, job) &&
              pgconn_send(conn, "SET LOCAL jit = off", job) && pgconn_send_plan_mode(conn, job);
    for (int i = 0; ok && i < job->statement_count; i++) {
        ok = pgconn_send_statement(conn, job, i);
    }
    return ok && pgconn_send(conn, "COMMIT", job) && PQpipelineSync(conn->pg) == 1;
}

// The head of those that wait; NULL while there is none or nothing may be sent.
static struct pgjob *pgconn_next_to_send(const struct pgconn *conn)
{
    struct pgjob *next = STAILQ_FIRST(&conn->waiting);
    if (conn->state != PGCONN_STATE_READY || next == NULL || conn->rolling_back ||
        PQtransactionStatus(conn->pg) == PQTRANS_INERROR) {
        return NULL;
    }
    // A simple query cannot stand in a pipeline.
    const struct pgjob *head = STAILQ_FIRST(&conn->sent);
    bool alone = next->simple != NULL || (head != NULL && head->simple != NULL);
    return conn->sent_count < (alone ? 1 : PGCONN_DEPTH) ? next : NULL;
}

// Of what is answered next; INT64_MAX when nothing is.
static int64_t pgconn_deadline_ns(struct pgconn *conn)
{
    struct pgjob *head = STAILQ_FIRST(&conn->sent);
    if (head == NULL) {
        return conn->rolling_back ? conn->rollback_deadline_ns : INT64_MAX;
    }
    if (head->deadline_ns == 0) {
        head->deadline_ns = loop_now_ns(conn->loop) + head->timeout_ns + PGCONN_GRACE_NS;
    }
    return head->deadline_ns;
}

static void pgconn_arm(struct pgconn *conn)
{
    int64_t at_ns = pgconn_deadline_ns(conn);
    if (at_ns == INT64_MAX) {
        loop_timer_unset(conn->timer);
    } else {
        loop_timer_set(conn->timer, at_ns);
    }
}

static void pgconn_flush(struct pgconn *conn)
{
    int rc = PQflush(conn->pg);
    if (rc < 0) {
        pgconn_lose(conn, pgconn_failure_ended(conn->pg));
        return;
    }
    loop_watch_events(conn->watch, rc == 0 ? EPOLLIN : EPOLLIN | EPOLLOUT);
    pgconn_arm(conn);
}

static void pgconn_pump(struct pgconn *conn)
{
    struct pgjob *job;
    while ((job = pgconn_next_to_send(conn)) != NULL) {
        STAILQ_REMOVE_HEAD(&conn->waiting, link);
        STAILQ_INSERT_TAIL(&conn->sent, job, link);
        conn->sent_count++;
        if (!pgconn_send_job(conn, job)) {
            pgconn_lose(conn, pgconn_failure_ended(conn->pg));
            return;
        }
    }
    if (conn->state == PGCONN_STATE_READY) {
        pgconn_flush(conn);
    }
}

// ---- receiving -----------------------------------------------------------------------------

static void pgconn_take_result(struct pgjob *job, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    int index = 0; // of a simple query's results the last one stays
    if (job->simple == NULL) {
        index = job->at < job->answer_count ? job->answers[job->at] : PGCONN_NOBODYS;
    }
    if (status == PGRES_FATAL_ERROR && !job->failed) {
        job->failed = true;
        job->failure = pgconn_failure_of(result, job->simple != NULL);
    }
    bool rows = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    if (rows && index != PGCONN_NOBODYS) {
        PQclear(job->results[index]);
        job->results[index] = result;
        return;
    }
    PQclear(result);
}

// A failure inside the pipeline leaves the transaction open: it is rolled back before anything
// else, once the jobs behind it, which could only fail with 25P02, have come back.
static void pgconn_roll_back(struct pgconn *conn)
{
    conn->rolling_back = true;
    conn->rollback_deadline_ns = loop_now_ns(conn->loop) + PGCONN_GRACE_NS;
    pgjob_queue_move(&conn->again, &conn->waiting);
    pgjob_queue_move(&conn->waiting, &conn->again);
    // Behind what failed nothing was prepared, and nobody knows where that was.
    bool ok = pgconn_send(conn, "ROLLBACK", NULL) &&
              (conn->plans.count == 0 || pgconn_send(conn, "DEALLOCATE ALL", NULL));
    pgplans_clear(&conn->plans);
    if (!ok || PQpipelineSync(conn->pg) != 1) {
        pgconn_lose(conn, pgconn_failure_ended(conn->pg));
        return;
    }
    pgconn_flush(conn);
}

// A server that is going away or has become read-only is left, for another host may be there.
static bool pgconn_must_leave(const struct pgconn_failure *failure)
{
    return pgconn_failed_with(failure, "25006") || pgconn_failed_with(failure, "57P") ||
           pgconn_failed_with(failure, "08");
}

// Whether it failed only for having been prepared: the source's columns have got other types
// (0A000), or something in between is a pooler after all (26000, 42P05).
static bool pgconn_must_go_plainly(struct pgconn *conn, struct pgjob *job)
{
    if (!job->failed || !job->prepares) {
        return false;
    }
    bool pooled =
        pgconn_failed_with(&job->failure, "26000") || pgconn_failed_with(&job->failure, "42P05");
    conn->has_session = conn->has_session && !pooled;
    job->plainly = pooled || pgconn_failed_with(&job->failure, "0A000");
    return job->plainly;
}

// All answers of the first sent job are there.
static void pgconn_end_job(struct pgconn *conn)
{
    struct pgjob *job = pgjob_queue_pop(&conn->sent);
    conn->sent_count--;
    if (pgconn_must_go_plainly(conn, job) ||
        (job->failed && pgconn_failed_with(&job->failure, "25P02"))) {
        // The latter stood behind a failed job in the pipeline, and has not run.
        pgjob_rewind(job);
        STAILQ_INSERT_TAIL(&conn->again, job, link);
        return;
    }
    if (job->failed && pgconn_must_leave(&job->failure)) {
        struct pgconn_failure failure = job->failure;
        STAILQ_INSERT_HEAD(&conn->sent, job, link);
        pgconn_lose(conn, failure);
        return;
    }
    if (job->simple != NULL) {
        PQenterPipelineMode(conn->pg);
    }
    pgjob_finish(job);
}

// One result, or the NULL that ends a statement's results. False when there is no more to read.
static bool pgconn_step(struct pgconn *conn)
{
    struct pgjob *job = STAILQ_FIRST(&conn->sent);
    if (PQisBusy(conn->pg) || (job == NULL && !conn->rolling_back)) {
        return false;
    }
    PGresult *result = PQgetResult(conn->pg);
    if (result != NULL && PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
        PQclear(result);
        if (conn->rolling_back) {
            conn->rolling_back = false;
        } else {
            pgconn_end_job(conn);
        }
    } else if (result != NULL && job != NULL && !conn->rolling_back) {
        pgconn_take_result(job, result);
    } else if (result != NULL) {
        PQclear(result);
    } else if (job != NULL && job->simple != NULL) {
        pgconn_end_job(conn);
    } else if (job != NULL) {
        job->at++;
    }
    return conn->pg != NULL;
}

// The server's reason where it gave one.
static void pgconn_end(struct pgconn *conn)
{
    const struct pgjob *head = STAILQ_FIRST(&conn->sent);
    bool told = head != NULL && head->failed && pgconn_must_leave(&head->failure);
    pgconn_lose(conn, told ? head->failure : pgconn_failure_ended(conn->pg));
}

static void pgconn_receive(struct pgconn *conn)
{
    if (PQconsumeInput(conn->pg) == 0) {
        pgconn_end(conn);
        return;
    }
    // A broken connection would give NULL after NULL.
    while (pgconn_step(conn) && PQstatus(conn->pg) == CONNECTION_OK) {
    }
    if (conn->state != PGCONN_STATE_READY) {
        return;
    }
    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        pgconn_end(conn);
        return;
    }
    for (PGnotify *notify; (notify = PQnotifies(conn->pg)) != NULL;) {
        if (conn->events.on_notify != NULL) {
            conn->events.on_notify(conn->events.ctx, notify->extra);
        }
        PQfreemem(notify);
    }
    if (conn->sent_count == 0 && !conn->rolling_back &&
        PQtransactionStatus(conn->pg) == PQTRANS_INERROR) {
        pgconn_roll_back(conn);
    } else {
        pgconn_pump(conn);
    }
}

static void pgconn_on_socket(void *ctx, uint32_t ready)
{
    struct pgconn *conn = ctx;
    (void)ready;
    if (conn->state == PGCONN_STATE_CONNECTING) {
        pgconn_poll_connect(conn);
    } else if (conn->state == PGCONN_STATE_READY) {
        pgconn_receive(conn);
    }
}

// ---- the outside ---------------------------------------------------------------------------

struct pgconn *pgconn_create(struct loop *loop, const struct pgconn_options *options,
                             const struct pgconn_events *events, struct err *err)
{
    struct pgconn *conn = mem_calloc(1, sizeof *conn);
    conn->loop = loop;
    conn->hosts =
        pghosts_create(loop, options->dsn, pgconn_on_address, pgconn_on_no_address, conn, err);
    if (conn->hosts == NULL) {
        free(conn);
        return NULL;
    }
    conn->dsn = mem_strdup(options->dsn);
    conn->password_file =
        options->password_file == NULL ? NULL : mem_strdup(options->password_file);
    int64_t connect_timeout_ns = pghosts_connect_timeout_ns(conn->hosts);
    conn->connect_timeout_ns =
        connect_timeout_ns > 0 ? connect_timeout_ns : options->connect_timeout_ns;
    conn->events = *events;
    conn->backoff_ns = PGCONN_BACKOFF_MIN_NS;
    STAILQ_INIT(&conn->waiting);
    STAILQ_INIT(&conn->sent);
    STAILQ_INIT(&conn->again);
    conn->timer = loop_timer_open(loop, pgconn_on_timer, conn);
    // From the loop, not from here: the caller has not yet got the object its callbacks need.
    conn->state = PGCONN_STATE_WAITING;
    conn->due_ns = loop_now_ns(loop);
    loop_timer_set(conn->timer, 0);
    return conn;
}

static void pgconn_drop_queue(struct pgjob_queue *queue)
{
    struct pgjob *job;
    while ((job = pgjob_queue_pop(queue)) != NULL) {
        pgjob_destroy(job);
    }
}

void pgconn_destroy(struct pgconn *conn)
{
    if (conn == NULL) {
        return;
    }
    pgconn_close(conn);
    conn->state = PGCONN_STATE_WAITING;
    const struct pgconn_failure failure = pgconn_failure_lost(STR("the connection is closed"));
    pgjob_queue_move(&conn->again, &conn->sent);
    pgjob_queue_move(&conn->again, &conn->waiting);
    pgconn_fail_queue(&conn->again, &failure);
    pgconn_drop_queue(&conn->waiting);
    pghosts_destroy(conn->hosts);
    loop_timer_close(conn->timer);
    free(conn->password_file);
    mem_wipe(conn->dsn, strlen(conn->dsn));
    free(conn->dsn);
    free(conn);
}

bool pgconn_is_ready(const struct pgconn *conn)
{
    return conn->state == PGCONN_STATE_READY;
}

size_t pgconn_jobs(const struct pgconn *conn)
{
    size_t count = (size_t)conn->sent_count;
    const struct pgjob *job;
    STAILQ_FOREACH(job, &conn->waiting, link)
    {
        count++;
    }
    return count;
}

int64_t pgconn_due_ns(const struct pgconn *conn)
{
    const struct pgjob *head = STAILQ_FIRST(&conn->sent);
    if (conn->state != PGCONN_STATE_READY) {
        return conn->due_ns;
    }
    if (head != NULL) {
        return head->deadline_ns;
    }
    if (conn->rolling_back) {
        return conn->rollback_deadline_ns;
    }
    return STAILQ_FIRST(&conn->waiting) != NULL ? 0 : INT64_MAX; // which nothing would begin
}

int pgconn_server_version(const struct pgconn *conn)
{
    return conn->pg == NULL ? 0 : PQserverVersion(conn->pg);
}

int pgconn_backend_pid(const struct pgconn *conn)
{
    return conn->pg == NULL ? 0 : PQbackendPID(conn->pg);
}

void pgconn_has_session(struct pgconn *conn)
{
    conn->has_session = conn->pg != NULL;
}

void pgconn_submit(struct pgconn *conn, struct pgjob *job)
{
    STAILQ_INSERT_TAIL(&conn->waiting, job, link);
    pgconn_pump(conn);
}
