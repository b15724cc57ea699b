#include "io/outbox.h"

#include "base/clock.h"
#include "io/outbox_backfill.h"
#include "io/outbox_status.h"
#include "servers.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEC CLOCK_NS_PER_SEC
#define OUTBOX "imprint_sync.outbox"
#define ALICE "00000001-0000-4000-8000-000000000000"
#define INSTANCE "host-1-1"

enum { KEYS_MAX = 8, ROWS_MAX = 8, TEXT_SIZE = 200 };

// A customer as a fold brought it, kept beyond the call.
struct folded {
    char key[TEXT_SIZE];
    char id[TEXT_SIZE];
    int slot;
    int priority;
    size_t row_count;
    struct outbox_row rows[ROWS_MAX];
    char payloads[ROWS_MAX][TEXT_SIZE];
    bool thin;
    int64_t source_count;
    char source[TEXT_SIZE];
    char dead_ids[TEXT_SIZE];
    char hash[TEXT_SIZE];
};

static struct {
    struct loop *loop;
    struct pgconn *conn;
    struct outbox *outbox;
    struct mapping *mapping;
    struct lease lease;
    bool done;
    struct pgconn_failure failure; // of the last call; sqlstate and text "" when it was committed
    struct outbox_hello hello;
    struct outbox_counts counts;
    struct folded folded[KEYS_MAX];
    size_t folded_count;
    char keys[KEYS_MAX][TEXT_SIZE];
    size_t key_count;
    struct outbox_lane_read read;
    bool more;
    bool lost;
    int64_t number;
    int64_t last_id;
    char text[TEXT_SIZE * 40];
    char page_keys[TEXT_SIZE * 2];
    bool flag;
    struct outbox_run run;
} box;

// ---- a connection and calls one after the other
// --------------------------------------------------

static void on_ready(void *ctx)
{
    (void)ctx;
    box.done = true;
}

static void on_lost(void *ctx, const struct pgconn_failure *failure)
{
    (void)ctx;
    (void)failure;
}

static void wait_call(void)
{
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert_msg(loop_run_until(box.loop, &box.done, &err), "%s", err.text);
    box.done = false;
}

// True when it was committed.
static bool end_call(const struct pgconn_failure *failure)
{
    memset(&box.failure, 0, sizeof box.failure);
    if (failure != NULL) {
        box.failure = *failure;
    }
    box.done = true;
    return failure == NULL;
}

static void must_succeed(void)
{
    wait_call();
    ck_assert_str_eq(box.failure.text, "");
}

static struct outbox_options options(void)
{
    return (struct outbox_options){.instance = INSTANCE,
                                   .version = "1",
                                   .source_relation = "crm.imprint_customers",
                                   .source_key = "imprint_customer_id",
                                   .mapping = box.mapping,
                                   .timeout_ns = 10 * SEC};
}

static void on_hello(void *ctx, const struct pgconn_failure *failure,
                     const struct outbox_hello *hello)
{
    ck_assert_ptr_eq(ctx, &box);
    if (end_call(failure)) {
        box.hello = *hello;
    }
}

static void say_hello(void)
{
    outbox_hello(box.outbox, on_hello, &box);
    must_succeed();
}

static void setup(void)
{
    servers_begin();
    memset(&box, 0, sizeof box);
    struct err err = {.kind = ERR_KIND_NONE};
    box.loop = loop_create(&err);
    const struct pgconn_events events = {&box, on_ready, on_lost, NULL};
    const struct pgconn_options dsn = {servers_dsn(), NULL, 10 * SEC};
    box.conn = pgconn_create(box.loop, &dsn, &events, &err);
    ck_assert_msg(box.conn != NULL, "%s", err.text);
    wait_call();
    box.mapping = mapping_create();
    struct mapping_path path;
    ck_assert(mapping_path_compile(box.mapping, STR("email"), &path, &err));
    const struct outbox_options o = options();
    box.outbox = outbox_create(box.conn, &o);
}

static void teardown(void)
{
    outbox_destroy(box.outbox);
    pgconn_destroy(box.conn);
    mapping_destroy(box.mapping);
    loop_destroy(box.loop);
    servers_end();
}

// ---- hello
// ---------------------------------------------------------------------------------------

START_TEST(hello_says_what_kind_of_database_it_is)
{
    say_hello();
    ck_assert_int_eq(box.hello.schema, OUTBOX_SCHEMA_RIGHT);
    ck_assert_int_eq(box.hello.schema_version, OUTBOX_SCHEMA_VERSION);
    ck_assert_int_eq(box.hello.source, OUTBOX_SOURCE_READY);
    ck_assert(!box.hello.behind_pooler && !box.hello.new_history);
    struct err err = {.kind = ERR_KIND_NONE};
    ck_assert(outbox_schema_is_right(&box.hello, &err));
    int64_t id = sql_add("c1", "{}");
    say_hello();
    ck_assert_int_eq(box.hello.last_id, id);
}
END_TEST

START_TEST(hello_looks_at_the_source)
{
    sql_run(
        "CREATE TABLE crm.odd (id timestamptz, email text);"
        "CREATE MATERIALIZED VIEW crm.frozen AS SELECT * FROM crm.imprint_customers;"
        "CREATE TABLE crm.texts (id text, email text); CREATE TABLE crm.ints (id int, email text);"
        "GRANT SELECT ON ALL TABLES IN SCHEMA crm TO imprint_sync_daemon");
    static const struct {
        const char *relation;
        const char *key;
        enum outbox_source source;
    } cases[] = {
        {NULL, NULL, OUTBOX_SOURCE_NONE},
        {"crm.gone", "id", OUTBOX_SOURCE_MISSING},
        {"crm.imprint_customers", "gone", OUTBOX_SOURCE_NO_COLUMN},
        {"crm.odd", "id", OUTBOX_SOURCE_WRONG_TYPE},
        {"crm.frozen", "imprint_customer_id", OUTBOX_SOURCE_WRONG_KIND},
        {"crm.texts", "id", OUTBOX_SOURCE_READY},
        {"crm.ints", "id", OUTBOX_SOURCE_READY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outbox_options o = options();
        o.source_relation = cases[i].relation;
        o.source_key = cases[i].key;
        outbox_reconfigure(box.outbox, &o);
        say_hello();
        ck_assert_msg(box.hello.source == cases[i].source, "%s", cases[i].relation);
        ck_assert_ptr_nonnull(outbox_source_reason(box.hello.source));
    }
}
END_TEST

START_TEST(hello_tells_a_schema_that_is_old_new_or_missing)
{
    struct err err = {.kind = ERR_KIND_NONE};
    sql_run("UPDATE imprint_sync.schema_version SET version = version + 100");
    say_hello();
    ck_assert_int_eq(box.hello.schema, OUTBOX_SCHEMA_NEW);
    ck_assert(!outbox_schema_is_right(&box.hello, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "newer"));
    sql_run("DELETE FROM imprint_sync.schema_version WHERE version > 101");
    sql_run("UPDATE imprint_sync.schema_version SET version = 1");
    say_hello();
    ck_assert_int_eq(box.hello.schema, OUTBOX_SCHEMA_OLD);
    ck_assert(!outbox_schema_is_right(&box.hello, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "imprint-sync migrate"));
    sql_run("DROP SCHEMA imprint_sync CASCADE");
    say_hello();
    ck_assert_int_eq(box.hello.schema, OUTBOX_SCHEMA_MISSING);
    ck_assert(!outbox_schema_is_right(&box.hello, &err));
}
END_TEST

// ---- leases
// --------------------------------------------------------------------------------------

static void on_beaten(void *ctx, const struct pgconn_failure *failure,
                      const struct outbox_beaten *beaten)
{
    struct lease_wish *wish = ctx;
    if (!end_call(failure)) {
        return;
    }
    struct lease_change change;
    int64_t now = clock_now_ns();
    lease_apply(&box.lease, wish, beaten->leases, beaten->lease_count, STR(INSTANCE), now, now,
                &change);
    box.number = (int64_t)beaten->peer_count;
    box.last_id = beaten->last_id;
    ck_assert_int_eq(beaten->paused_ns, 0);
}

static void beat(int share)
{
    static const bool idle[LEASE_SLOTS];
    struct lease_wish wish;
    struct lease_change change;
    lease_plan(&box.lease, share, idle, clock_now_ns(), &wish, &change);
    const struct outbox_beat call = {
        .lease = &box.lease, .wish = &wish, .wants = 64, .pool_open = true};
    outbox_heartbeat(box.outbox, &call, on_beaten, &wish);
    must_succeed();
}

// All slots are this instance's.
static void take_slots(void)
{
    lease_init(&box.lease, 20 * SEC);
    for (int i = 0; i < 3 && lease_held(&box.lease) < LEASE_SLOTS; i++) {
        beat(LEASE_SLOTS);
    }
    ck_assert_uint_eq(lease_held(&box.lease), LEASE_SLOTS);
}

static void on_done(void *ctx, const struct pgconn_failure *failure)
{
    (void)ctx;
    end_call(failure);
}

START_TEST(a_heartbeat_takes_keeps_and_gives_back)
{
    say_hello();
    take_slots();
    ck_assert_int_eq(box.number, 1);
    ck_assert_int_eq(
        sql_int64("SELECT count(*) FROM imprint_sync.lease WHERE holder = '" INSTANCE "'"), 64);
    int64_t renewals = sql_int64("SELECT sum(renewals) FROM imprint_sync.lease");
    beat(LEASE_SLOTS);
    ck_assert_int_eq(sql_int64("SELECT sum(renewals) FROM imprint_sync.lease"), renewals + 64);
    beat(10);
    beat(10);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.lease WHERE holder IS NOT NULL"),
                     10);
    lease_drain(&box.lease);
    beat(0);
    outbox_goodbye(box.outbox, on_done, &box);
    must_succeed();
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.lease WHERE holder IS NOT NULL"),
                     0);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.instance"), 0);
}
END_TEST

// ---- poll
// ----------------------------------------------------------------------------------------

static void on_polled(void *ctx, const struct pgconn_failure *failure,
                      const struct outbox_polled *polled)
{
    (void)ctx;
    if (!end_call(failure)) {
        return;
    }
    ck_assert_int_gt(polled->now_us, 0);
    box.key_count = polled->key_count;
    ck_assert_uint_le(polled->key_count, KEYS_MAX);
    for (size_t i = 0; i < polled->key_count; i++) {
        snprintf(box.keys[i], TEXT_SIZE, "%s", polled->keys[i]);
    }
    if (polled->lanes != NULL) {
        box.read = polled->lanes[0];
    }
}

// Over all lanes from the start.
static void poll(struct outbox_poll *call)
{
    static struct outbox_lane lanes[CURSOR_LANES];
    for (size_t i = 0; i < CURSOR_LANES; i++) {
        lanes[i] =
            (struct outbox_lane){.lane = i, .from = {INT64_MIN, 0}, .to = {INT64_MAX, INT64_MAX}};
    }
    call->lanes = lanes;
    call->lane_count = CURSOR_LANES;
    call->limit = call->limit == 0 ? 100 : call->limit;
    outbox_poll(box.outbox, call, on_polled, &box);
    must_succeed();
}

static bool has_key(const char *key)
{
    for (size_t i = 0; i < box.key_count; i++) {
        if (strcmp(box.keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

START_TEST(a_poll_finds_whom_something_is_due_for)
{
    say_hello();
    sql_add("C1", "{}");
    sql_add("c1", "{}");
    sql_add(ALICE, NULL);
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload, priority, due_at, status) VALUES"
            " ('back', '{}', 1, now(), 'pending'), ('later', '{}', 0, now() + interval '1 h', "
            "'pending'), ('dead', '{}', 0, now(), 'dead')");
    struct outbox_poll call = {.idle_for_s = 0};
    poll(&call);
    ck_assert_uint_eq(box.key_count, 3); // folded by case
    ck_assert(has_key("c1") && has_key(ALICE));
    ck_assert_str_eq(box.keys[2], "back"); // live ones first
    call = (struct outbox_poll){.skip_thin = true, .idle_for_s = -1};
    poll(&call);
    ck_assert_uint_eq(box.key_count, 2);
    const char *const skip[] = {"c1", "back"};
    call = (struct outbox_poll){.skip = skip, .skip_count = 2, .idle_for_s = 5};
    poll(&call);
    ck_assert_uint_eq(box.key_count, 1);
    ck_assert(has_key(ALICE));
    ck_assert_str_eq(sql_text("SELECT last_value > extract(epoch FROM now())"
                              " FROM imprint_sync.idle_until"),
                     "t");
}
END_TEST

START_TEST(a_poll_goes_on_behind_its_place_and_a_sweep_before_it)
{
    say_hello();
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload, due_at)"
            " SELECT 'c1', '{}', now() - n * interval '1 minute' FROM generate_series(1, 5) AS n");
    int slot = (int)sql_int64("SELECT slot FROM " OUTBOX " LIMIT 1");
    struct outbox_lane lane = {
        .lane = cursor_lane_of(slot, 0), .from = {INT64_MIN, 0}, .to = {INT64_MAX, INT64_MAX}};
    const struct outbox_poll ahead = {.lanes = &lane, .lane_count = 1, .limit = 2};
    outbox_poll(box.outbox, &ahead, on_polled, &box);
    must_succeed();
    ck_assert(!box.read.exhausted);
    ck_assert_int_eq(box.read.last.id, 4); // the oldest two of five
    lane.from = box.read.last;
    const struct outbox_poll rest = {.lanes = &lane, .lane_count = 1, .limit = 100};
    outbox_poll(box.outbox, &rest, on_polled, &box);
    must_succeed();
    ck_assert(box.read.exhausted);
    ck_assert_int_eq(box.read.last.id, 1);
    lane.from = box.read.last;
    outbox_poll(box.outbox, &rest, on_polled, &box);
    must_succeed();
    ck_assert_uint_eq(box.key_count, 0);
    lane.to = lane.from;
    lane.from = (struct cursor_place){INT64_MIN, 0};
    const struct outbox_poll behind = {.sweep = &lane, .sweep_count = 1, .limit = 100};
    outbox_poll(box.outbox, &behind, on_polled, &box);
    must_succeed();
    ck_assert_uint_eq(box.key_count, 1);
}
END_TEST

// ---- fold
// ----------------------------------------------------------------------------------------

static void keep(struct folded *to, const struct outbox_customer *from)
{
    *to = (struct folded){.slot = from->slot,
                          .priority = from->priority,
                          .row_count = from->row_count,
                          .thin = from->thin,
                          .source_count = from->source_count};
    snprintf(to->key, TEXT_SIZE, "%.*s", STR_ARG(from->key));
    snprintf(to->id, TEXT_SIZE, "%.*s", STR_ARG(from->customer_id));
    snprintf(to->source, TEXT_SIZE, "%.*s", STR_ARG(from->source));
    snprintf(to->dead_ids, TEXT_SIZE, "%.*s", STR_ARG(from->dead_ids));
    snprintf(to->hash, TEXT_SIZE, "%.*s", STR_ARG(from->state_hash));
    ck_assert_uint_le(from->row_count, ROWS_MAX);
    for (size_t i = 0; i < from->row_count; i++) {
        to->rows[i] = from->rows[i];
        snprintf(to->payloads[i], TEXT_SIZE, "%.*s", STR_ARG(from->rows[i].payload));
    }
}

static void on_folded(void *ctx, const struct pgconn_failure *failure,
                      const struct outbox_customer *customers, size_t count)
{
    (void)ctx;
    if (!end_call(failure)) {
        return;
    }
    ck_assert_uint_le(count, KEYS_MAX);
    box.folded_count = count;
    for (size_t i = 0; i < count; i++) {
        keep(&box.folded[i], &customers[i]);
    }
}

// NULL when the customer is left out.
static const struct folded *find(const char *key, enum outbox_fold_mode mode)
{
    outbox_fold(box.outbox, &key, 1, mode, on_folded, &box);
    must_succeed();
    return box.folded_count == 0 ? NULL : &box.folded[0];
}

// One that must be there.
static const struct folded *fold(const char *key, enum outbox_fold_mode mode)
{
    const struct folded *customer = find(key, mode);
    if (customer == NULL) {
        ck_abort_msg("%s was left out", key);
    }
    return customer;
}

START_TEST(a_fold_brings_the_rows_of_a_customer_in_order)
{
    say_hello();
    int64_t first = sql_add("C1", "{\"email\": \"a@example.com\"}");
    int64_t second = sql_add("c1", "{\"email\": \"b@example.com\"}");
    sql_run("UPDATE " OUTBOX " SET attempts = 3 WHERE id = %ld", (long)first);
    const struct folded *customer = fold("c1", OUTBOX_FOLD_SOURCE);
    ck_assert_str_eq(customer->key, "c1");
    ck_assert_str_eq(customer->id, "c1"); // the newest row's spelling
    ck_assert_uint_eq(customer->row_count, 2);
    ck_assert_int_eq(customer->rows[0].id, first);
    ck_assert_int_eq(customer->rows[0].attempts, 3);
    ck_assert_int_eq(customer->rows[1].id, second);
    ck_assert_ptr_nonnull(strstr(customer->payloads[1], "b@example.com"));
    ck_assert(!customer->thin && customer->priority == 0);
    ck_assert_int_eq(customer->slot, (int)sql_int64("SELECT max(slot) FROM " OUTBOX));
    ck_assert_ptr_null(find("nobody", OUTBOX_FOLD_SOURCE));
    sql_run("UPDATE " OUTBOX " SET due_at = now() + interval '1 h' WHERE id = %ld", (long)second);
    ck_assert_ptr_null(find("c1", OUTBOX_FOLD_SOURCE)); // a retry waits: all do
}
END_TEST

START_TEST(a_fold_of_thin_rows_reads_the_source)
{
    say_hello();
    sql_people(1);
    int64_t dead = sql_add(ALICE, NULL);
    sql_run("UPDATE " OUTBOX " SET status = 'dead', settled_at = now() WHERE id = %ld", (long)dead);
    sql_add(ALICE, NULL);
    const struct folded *customer = fold(ALICE, OUTBOX_FOLD_SOURCE);
    ck_assert(customer->thin && customer->rows[0].thin);
    ck_assert_int_eq(customer->source_count, 1);
    ck_assert_str_eq(customer->source, "{\"email\": \"p1@example.com\"}"); // what is mapped alone
    char want[24];
    snprintf(want, sizeof want, "{%ld}", (long)dead);
    ck_assert_str_eq(customer->dead_ids, want);
    ck_assert_ptr_null(find(ALICE, OUTBOX_FOLD_HOLD_THIN));
    customer = fold(ALICE, OUTBOX_FOLD_NO_SOURCE);
    ck_assert(customer->thin && customer->source[0] == '\0');
    sql_run("DELETE FROM crm.customers; DELETE FROM " OUTBOX);
    sql_add(ALICE, NULL);
    ck_assert_int_eq(fold(ALICE, OUTBOX_FOLD_SOURCE)->source_count, 0);
}
END_TEST

START_TEST(a_payload_over_1_mib_is_not_fetched)
{
    say_hello();
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload) VALUES"
            " ('c1', jsonb_build_object('email', (SELECT string_agg(md5(n::text), '')"
            "                                       FROM generate_series(1, 33000) AS n)))");
    const struct folded *customer = fold("c1", OUTBOX_FOLD_SOURCE);
    ck_assert(customer->rows[0].too_big);
    ck_assert_str_eq(customer->payloads[0], "");
}
END_TEST

// ---- settle
// --------------------------------------------------------------------------------------

// An update of all rows of the customer, as it was read.
static struct update *update_of(const char *key, enum update_outcome outcome)
{
    const struct folded *customer = fold(key, OUTBOX_FOLD_SOURCE);
    struct update *update = update_create(str_of(customer->key), str_of(customer->id),
                                          customer->slot, customer->priority);
    for (size_t i = 0; i < customer->row_count; i++) {
        update_add_row(update, customer->rows[i].id, customer->rows[i].attempts);
    }
    update->lease_epoch = box.lease.slots[customer->slot].epoch;
    update->outcome = outcome;
    update->sent = outcome != UPDATE_OUTCOME_UNCHANGED;
    return update;
}

static void on_settled(void *ctx, const struct pgconn_failure *failure,
                       const struct outbox_settled *settled)
{
    (void)ctx;
    if (end_call(failure)) {
        box.more = settled->more[0];
        box.lost = settled->lost[0];
    }
}

static void settle(struct update *update, bool texts)
{
    outbox_settle(box.outbox, &update, 1, texts, on_settled, &box);
    must_succeed();
    free(update->error);
    update->error = NULL;
    update_destroy(update);
}

static const char *state_of(int64_t id)
{
    return sql_text("SELECT concat_ws(' ', status, attempts, http_status, error) FROM " OUTBOX
                    " WHERE id = %ld",
                    (long)id);
}

START_TEST(what_was_accepted_is_done_and_remembered)
{
    say_hello();
    take_slots();
    int64_t a = sql_add("c1", "{\"email\": \"a@example.com\"}");
    int64_t b = sql_add("c1", "{\"email\": \"b@example.com\"}");
    struct update *update = update_of("c1", UPDATE_OUTCOME_DONE);
    update->http_status = 200;
    update->remember = true;
    memset(update->hash, 0xAB, sizeof update->hash);
    int64_t newer = sql_add("c1", "{\"email\": \"c@example.com\"}"); // while it was in flight
    settle(update, true);
    ck_assert_str_eq(state_of(a), "done 0 200");
    ck_assert_str_eq(state_of(b), "done 0 200");
    ck_assert_str_eq(state_of(newer), "pending 0");
    ck_assert(box.more && !box.lost);
    ck_assert_int_eq((int)strspn(fold("c1", OUTBOX_FOLD_SOURCE)->hash, "ab"), 64);
    update = update_of("c1", UPDATE_OUTCOME_UNCHANGED);
    settle(update, true);
    ck_assert_str_eq(state_of(newer), "done 0 unchanged");
    ck_assert(!box.more);
}
END_TEST

START_TEST(a_retry_counts_waits_and_forgets_what_was_accepted)
{
    say_hello();
    take_slots();
    sql_run("INSERT INTO imprint_sync.customer_state (customer_key, accepted_id, accepted_at)"
            " VALUES ('c1', 1, now())");
    int64_t id = sql_add("c1", "{\"email\": \"a@example.com\"}");
    struct update *update = update_of("c1", UPDATE_OUTCOME_RETRY);
    update->http_status = 500;
    update->error = strdup("api: it's broken");
    update->retry_after_ns = 60 * SEC;
    update->forget_state = true;
    settle(update, true);
    ck_assert_str_eq(state_of(id), "pending 1 500 api: it's broken");
    ck_assert_str_eq(sql_text("SELECT due_at BETWEEN now() + interval '50 s' AND now()"
                              " + interval '61 s' FROM " OUTBOX),
                     "t");
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM imprint_sync.customer_state"), 0);
    ck_assert(!box.more);
}
END_TEST

START_TEST(the_dead_keep_their_reason_unless_it_is_refused)
{
    say_hello();
    take_slots();
    int64_t id = sql_add("c1", "{\"email\": \"a@example.com\"}");
    struct update *update = update_of("c1", UPDATE_OUTCOME_DEAD);
    update->http_status = 400;
    update->error = strdup("INVALID_REQUEST_ERROR email: x");
    settle(update, true);
    ck_assert_str_eq(state_of(id), "dead 0 400 INVALID_REQUEST_ERROR email: x");
    id = sql_add("c2", "{\"email\": \"a@example.com\"}");
    update = update_of("c2", UPDATE_OUTCOME_DEAD);
    update->error = strdup("secret");
    settle(update, false);
    ck_assert_ptr_null(strstr(state_of(id), "secret"));
    ck_assert_int_eq(strncmp(state_of(id), "dead", 4), 0);
}
END_TEST

START_TEST(who_lost_the_slot_writes_nothing)
{
    say_hello();
    take_slots();
    int64_t id = sql_add("c1", "{\"email\": \"a@example.com\"}");
    struct update *update = update_of("c1", UPDATE_OUTCOME_DONE);
    sql_run("UPDATE imprint_sync.lease SET holder = 'another', epoch = epoch + 1");
    settle(update, true);
    ck_assert(box.lost);
    ck_assert_str_eq(state_of(id), "pending 0");
}
END_TEST

START_TEST(a_row_that_changed_since_it_was_read_stays)
{
    say_hello();
    take_slots();
    int64_t id = sql_add("c1", "{\"email\": \"a@example.com\"}");
    struct update *update = update_of("c1", UPDATE_OUTCOME_DONE);
    sql_run("UPDATE " OUTBOX " SET attempts = attempts + 1"); // by a settle whose answer was lost
    settle(update, true);
    ck_assert_str_eq(state_of(id), "pending 1");
    ck_assert(box.more && !box.lost);
}
END_TEST

START_TEST(without_retention_what_is_done_is_deleted)
{
    struct outbox_options o = options();
    o.delete_done = true;
    outbox_reconfigure(box.outbox, &o);
    say_hello();
    take_slots();
    sql_add("c1", "{\"email\": \"a@example.com\"}");
    settle(update_of("c1", UPDATE_OUTCOME_DONE), true);
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " OUTBOX), 0);
}
END_TEST

// ---- the rest
// ------------------------------------------------------------------------------------

static void on_counts(void *ctx, const struct pgconn_failure *failure,
                      const struct outbox_counts *counts)
{
    (void)ctx;
    if (end_call(failure)) {
        box.counts = *counts;
    }
}

START_TEST(counts_are_of_each_kind)
{
    say_hello();
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload, status, attempts, due_at, created_at)"
            " VALUES ('a', '{}', 'pending', 0, now(), now() - interval '90 s'),"
            " ('b', NULL, 'pending', 0, now(), now()),"
            " ('c', '{}', 'pending', 2, now() + interval '1 h', now()),"
            " ('d', '{}', 'dead', 2, now(), now()), ('e', '{}', 'done', 2, now(), now())");
    outbox_count(box.outbox, on_counts, &box);
    must_succeed();
    ck_assert_int_eq(box.counts.pending, 3);
    ck_assert_int_eq(box.counts.due, 2);
    ck_assert_int_eq(box.counts.retrying, 1);
    ck_assert_int_eq(box.counts.thin, 1);
    ck_assert_int_eq(box.counts.dead, 1);
    ck_assert_int_ge(box.counts.oldest_s, 90);
    ck_assert_int_lt(box.counts.oldest_s, 200);
}
END_TEST

static void on_pruned(void *ctx, const struct pgconn_failure *failure, int64_t deleted,
                      int64_t last_id)
{
    (void)ctx;
    if (end_call(failure)) {
        box.number = deleted;
        box.last_id = last_id;
    }
}

START_TEST(pruning_walks_on_in_bounded_steps)
{
    say_hello();
    sql_run("INSERT INTO " OUTBOX " (customer_id, payload, status, settled_at)"
            " SELECT 'c', '{}', CASE WHEN n = 5 THEN 'dead' ELSE 'done' END,"
            "        now() - interval '2 h' FROM generate_series(1, 10) AS n;"
            "INSERT INTO " OUTBOX " (customer_id, payload, status, settled_at)"
            " VALUES ('c', '{}', 'done', now())");
    outbox_prune(box.outbox, 3600 * SEC, 0, 6, on_pruned, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 5);
    ck_assert_int_eq(box.last_id, 6);
    outbox_prune(box.outbox, 3600 * SEC, 6, 6, on_pruned, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 4);
    ck_assert_int_eq(box.last_id, 0); // to the end
    ck_assert_str_eq(sql_text("SELECT string_agg(status, ' ' ORDER BY id) FROM " OUTBOX),
                     "dead done");
}
END_TEST

static void on_faults(void *ctx, const struct pgconn_failure *failure,
                      const struct outbox_watch_fault *faults, size_t count)
{
    (void)ctx;
    if (end_call(failure)) {
        box.number = (int64_t)count;
        snprintf(box.text, sizeof box.text, "%s %s", count > 0 ? faults[0].watched : "",
                 count > 0 ? faults[0].problem : "");
    }
}

static void on_errors(void *ctx, const struct pgconn_failure *failure,
                      const struct outbox_watch_error *errors, size_t count)
{
    (void)ctx;
    if (end_call(failure)) {
        box.number = (int64_t)count;
        snprintf(box.text, sizeof box.text, "%s %s %ld", count > 0 ? errors[0].watched : "",
                 count > 0 ? errors[0].sqlstate : "", count > 0 ? (long)errors[0].count : 0);
        box.last_id = count > 0 ? errors[0].last_id : 0;
    }
}

START_TEST(watches_that_are_lost_or_failed_are_found)
{
    say_hello();
    outbox_watch_check(box.outbox, on_faults, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 0);
    sql_run("ALTER TABLE crm.orders DISABLE TRIGGER USER");
    outbox_watch_check(box.outbox, on_faults, &box);
    must_succeed();
    ck_assert_int_gt(box.number, 0);
    ck_assert_ptr_nonnull(strstr(box.text, "crm.orders"));
    sql_run("INSERT INTO imprint_sync.watch_error (watched_name, trigger_name, sqlstate)"
            " SELECT 'crm.orders', 't', '22012' FROM generate_series(1, 3)");
    outbox_watch_errors(box.outbox, 0, on_errors, &box);
    must_succeed();
    ck_assert_str_eq(box.text, "crm.orders 22012 3");
    outbox_watch_errors(box.outbox, box.last_id, on_errors, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 0);
}
END_TEST

static void on_sections(void *ctx, const struct pgconn_failure *failure,
                        const struct outbox_section *sections, size_t count)
{
    (void)ctx;
    if (end_call(failure)) {
        box.number = (int64_t)count;
        box.text[0] = '\0';
        for (size_t i = 0; i < count; i++) {
            size_t len = strlen(box.text);
            snprintf(box.text + len, sizeof box.text - len, "%s=%.*s\n", sections[i].name,
                     STR_ARG(sections[i].json));
        }
    }
}

START_TEST(a_report_is_seen_in_the_status)
{
    say_hello();
    take_slots();
    outbox_report(box.outbox, "{\"rate\": 4711}");
    outbox_status(box.outbox, 60, on_sections, &box);
    must_succeed();
    ck_assert_int_gt(box.number, 0);
    ck_assert_ptr_nonnull(strstr(box.text, "4711"));
    ck_assert_ptr_nonnull(strstr(box.text, INSTANCE));
}
END_TEST

static void on_found(void *ctx, const struct pgconn_failure *failure,
                     const struct outbox_found *found)
{
    (void)ctx;
    if (end_call(failure)) {
        box.flag = found->found;
        box.number = found->source_count;
        snprintf(box.text, sizeof box.text, "%.*s %.*s %.*s", STR_ARG(found->customer_id),
                 STR_ARG(found->payload), STR_ARG(found->source));
    }
}

static void on_plan(void *ctx, const struct pgconn_failure *failure, struct str plan)
{
    (void)ctx;
    if (end_call(failure)) {
        snprintf(box.text, sizeof box.text, "%.*s", STR_ARG(plan));
    }
}

START_TEST(rows_and_the_source_are_found_for_render)
{
    say_hello();
    sql_people(1);
    int64_t row = sql_add("C1", "{\"email\": \"a@example.com\"}");
    outbox_find_row(box.outbox, row, on_found, &box);
    must_succeed();
    ck_assert(box.flag);
    ck_assert_int_eq(strncmp(box.text, "C1 {\"email\": \"a@example.com\"}", 28), 0);
    outbox_find_row(box.outbox, row + 1, on_found, &box);
    must_succeed();
    ck_assert(!box.flag);
    outbox_find_source(box.outbox, ALICE, on_found, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 1);
    ck_assert_ptr_nonnull(strstr(box.text, "p1@example.com"));
    outbox_plan_source(box.outbox, on_plan, &box);
    must_succeed();
    ck_assert_ptr_nonnull(strstr(box.text, "Index"));
}
END_TEST

START_TEST(a_call_without_rights_fails_and_says_so)
{
    say_hello();
    sql_run("REVOKE ALL ON imprint_sync.outbox FROM imprint_sync_daemon");
    sql_add("c1", "{}");
    const char *key = "c1";
    outbox_fold(box.outbox, &key, 1, OUTBOX_FOLD_SOURCE, on_folded, &box);
    wait_call();
    ck_assert_str_eq(box.failure.sqlstate, "42501");
    ck_assert(!box.failure.lost);
}
END_TEST

// ---- backfill
// ------------------------------------------------------------------------------------

static void on_run(void *ctx, const struct pgconn_failure *failure, const struct outbox_run *run)
{
    (void)ctx;
    if (end_call(failure)) {
        box.run = *run;
        box.run.position = NULL;
    }
}

static void on_page(void *ctx, const struct pgconn_failure *failure,
                    const struct outbox_run_page *page)
{
    (void)ctx;
    if (end_call(failure)) {
        box.number = page->count;
        box.flag = page->walked;
        snprintf(box.page_keys, sizeof box.page_keys, "%s", page->keys);
        snprintf(box.keys[0], TEXT_SIZE, "%s", page->position == NULL ? "" : page->position);
    }
}

static void on_end(void *ctx, const struct pgconn_failure *failure, bool ended)
{
    (void)ctx;
    if (end_call(failure)) {
        box.flag = ended;
    }
}

static int64_t add_run(const char *holder)
{
    return sql_int64("INSERT INTO imprint_sync.backfill_run (name, scope, relation, key_column,"
                     " ahead, holder) VALUES ('r', 'all', 'crm.imprint_customers',"
                     " 'imprint_customer_id', 100, '%s') RETURNING id",
                     holder);
}

START_TEST(a_run_reads_page_by_page_and_enqueues_each_once)
{
    say_hello();
    sql_people(5);
    int64_t id = add_run(INSTANCE);
    outbox_run_look(box.outbox, id, true, 12.5, on_run, &box);
    must_succeed();
    ck_assert_int_eq(box.run.state, OUTBOX_RUN_RUNNING);
    ck_assert(box.run.held && !box.run.walked);
    const struct outbox_scope all = {.where = NULL};
    outbox_run_read(box.outbox, &all, NULL, 3, 3, on_page, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 3);
    ck_assert(!box.flag);
    char position[TEXT_SIZE];
    snprintf(position, sizeof position, "%s", box.keys[0]);
    const struct outbox_run_page page = {position, box.page_keys, 3, false};
    outbox_run_enqueue(box.outbox, id, NULL, &page, on_done, &box);
    must_succeed();
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " OUTBOX " WHERE run_id = %ld AND priority = 1"
                               " AND payload IS NULL",
                               (long)id),
                     3);
    outbox_run_enqueue(box.outbox, id, NULL, &page, on_done, &box); // it is not there any more
    wait_call();
    ck_assert_str_eq(box.failure.sqlstate, "55006");
    outbox_run_read(box.outbox, &all, position, 100, 100, on_page, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 2);
    ck_assert(box.flag);
    outbox_run_end(box.outbox, id, true, on_end, &box);
    must_succeed();
    ck_assert(!box.flag); // rows of it wait
    outbox_run_end(box.outbox, id, false, on_end, &box);
    must_succeed();
    ck_assert_str_eq(sql_text("SELECT state || ' ' || (holder IS NULL)"
                              " FROM imprint_sync.backfill_run"),
                     "paused true");
}
END_TEST

START_TEST(a_run_of_another_is_left_alone)
{
    say_hello();
    sql_people(1);
    int64_t id = add_run("another");
    outbox_run_look(box.outbox, id, true, 0, on_run, &box);
    must_succeed();
    ck_assert(!box.run.held);
    outbox_run_look(box.outbox, id + 1, false, 0, on_run, &box);
    must_succeed();
    ck_assert_int_eq(box.run.state, OUTBOX_RUN_GONE);
    const struct outbox_run_page page = {ALICE, "{" ALICE "}", 1, true};
    outbox_run_enqueue(box.outbox, id, NULL, &page, on_done, &box);
    wait_call();
    ck_assert_str_eq(box.failure.sqlstate, "55006");
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM " OUTBOX), 0);
}
END_TEST

START_TEST(a_condition_chooses_and_writes_nothing)
{
    say_hello();
    sql_people(9);
    const struct outbox_scope some = {.where = "email IN ('p3@example.com', 'p4@example.com')"};
    outbox_run_read(box.outbox, &some, NULL, 100, 100, on_page, &box);
    must_succeed();
    ck_assert_int_eq(box.number, 2);
    sql_run("CREATE FUNCTION writes() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS"
            " 'DELETE FROM crm.customers; SELECT true'");
    const struct outbox_scope writes = {.where = "public.writes()"};
    outbox_run_read(box.outbox, &writes, NULL, 100, 100, on_page, &box);
    wait_call();
    ck_assert_str_eq(box.failure.sqlstate, "25006");
    ck_assert_int_eq(sql_int64("SELECT count(*) FROM crm.customers"), 9);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("outbox");
    tcase_add_test(tests, hello_says_what_kind_of_database_it_is);
    tcase_add_test(tests, hello_looks_at_the_source);
    tcase_add_test(tests, hello_tells_a_schema_that_is_old_new_or_missing);
    tcase_add_test(tests, a_heartbeat_takes_keeps_and_gives_back);
    tcase_add_test(tests, a_poll_finds_whom_something_is_due_for);
    tcase_add_test(tests, a_poll_goes_on_behind_its_place_and_a_sweep_before_it);
    tcase_add_test(tests, a_fold_brings_the_rows_of_a_customer_in_order);
    tcase_add_test(tests, a_fold_of_thin_rows_reads_the_source);
    tcase_add_test(tests, a_payload_over_1_mib_is_not_fetched);
    tcase_add_test(tests, what_was_accepted_is_done_and_remembered);
    tcase_add_test(tests, a_retry_counts_waits_and_forgets_what_was_accepted);
    tcase_add_test(tests, the_dead_keep_their_reason_unless_it_is_refused);
    tcase_add_test(tests, who_lost_the_slot_writes_nothing);
    tcase_add_test(tests, a_row_that_changed_since_it_was_read_stays);
    tcase_add_test(tests, without_retention_what_is_done_is_deleted);
    tcase_add_test(tests, counts_are_of_each_kind);
    tcase_add_test(tests, pruning_walks_on_in_bounded_steps);
    tcase_add_test(tests, watches_that_are_lost_or_failed_are_found);
    tcase_add_test(tests, a_report_is_seen_in_the_status);
    tcase_add_test(tests, rows_and_the_source_are_found_for_render);
    tcase_add_test(tests, a_call_without_rights_fails_and_says_so);
    tcase_add_test(tests, a_run_reads_page_by_page_and_enqueues_each_once);
    tcase_add_test(tests, a_run_of_another_is_left_alone);
    tcase_add_test(tests, a_condition_chooses_and_writes_nothing);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 20);
    Suite *suite = suite_create("outbox");
    suite_add_tcase(suite, tests);
    return servers_run(suite);
}
