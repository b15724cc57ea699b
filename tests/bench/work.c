// The daemon's own work for an update, without network and database, to be counted in instructions:
//
//   bench-work map|parse|settle COUNT
//
// map: a row of 25 columns, laid out, mapped and hashed. parse: an answer's headers and body,
// judged. settle: the parameters of one settle of 100 updates.
#include "must.h"

#include "config/mapping_load.h"
#include "config/problems.h"
#include "config/yaml.h"
#include "domain/mapper.h"
#include "domain/row.h"
#include "domain/update.h"
#include "domain/verdict.h"
#include "io/digest.h"
#include "io/outbox_internal.h"
#include "io/pgconn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORK_BODY_MAX = 1048576, WORK_BATCH = 100 };

static const int64_t work_wall_ns = INT64_C(1750000000000000000);

static const char work_mapping[] =
    "email: email\n"
    "phone: {from: mobile}\n"
    "first_name: first_name\n"
    "last_name: last_name\n"
    "preferred_language: {from: locale}\n"
    "street_line1: address.line1\n"
    "street_line2: address.line2\n"
    "city: address.city\n"
    "state: {from: address.state, as: us_state}\n"
    "postal_code: {from: address.postal_code, as: text}\n"
    "customer_history:\n"
    "  address:\n"
    "    country: {from: address.country}\n"
    "  account_tenure: {from: joined_at, as: months_since}\n"
    "  ltv_amount: {from: lifetime_value, as: minor_units, currency: ltv_currency}\n"
    "  ltv_currency: ltv_currency\n"
    "  loyalty_tier: {from: tier, map: {1: SILVER, 2: GOLD}, default: MEMBER}\n"
    "  account_created_at: joined_at\n"
    "  transaction_count: order_count\n"
    "metadata:\n"
    "  loyalty_id: {from: loyalty_id, as: text}\n";

static const char work_row[] =
    "{\"crm_id\": 4711, \"email\": \"customer.4711@mail.example.com\", \"mobile\": \"(415) "
    "555-4711\", \"first_name\": \"Maximilian\", \"last_name\": \"Van der Berg-4711\", \"locale\": "
    "\"en_US\", \"tier\": 2, \"loyalty_id\": 7004711, \"joined_at\": "
    "\"2019-09-14T08:34:56.789-04:00\", \"ltv_currency\": \"USD\", \"address\": {\"line1\": \"4711 "
    "South Washington Boulevard\", \"line2\": \"Apartment 11\", \"city\": \"San Francisco\", "
    "\"state\": \"California\", \"postal_code\": \"04711\", \"country\": \"USA\"}, "
    "\"lifetime_value\": 114.21, \"order_count\": 2}";

static const char work_customer[] = "bbb815e9-f654-438d-9ad3-3f7bb8136fc0";

static const char *const work_headers[] = {
    "HTTP/1.1 200 OK\r\n",
    "Server: nginx\r\n",
    "Date: Tue, 24 Jun 2025 12:00:00 GMT\r\n",
    "Content-Type: application/json\r\n",
    "Content-Length: 430\r\n",
    "Connection: keep-alive\r\n",
    "X-RateLimit-Remaining: 41\r\n",
    "\r\n",
};

static const char work_answer[] =
    "{\"id\":\"bbb815e9-f654-438d-9ad3-3f7bb8136fc0\",\"object\":\"customer\",\"email\":"
    "\"jane.doe@example.com\",\"phone\":\"+14155552671\",\"first_name\":\"Jane\",\"last_name\":"
    "\"Doe\",\"preferred_language\":\"en\",\"street_line1\":\"1 Market Street\",\"city\":\"San "
    "Francisco\",\"state\":\"CA\",\"postal_code\":\"94105\",\"status\":\"ACTIVE\",\"created_at\":"
    "\"2024-01-01T00:00:00.000Z\",\"customer_history\":{\"loyalty_tier\":\"GOLD\",\"ltv_amount\":"
    "34000,\"ltv_currency\":\"USD\"},\"metadata\":{\"loyalty_id\":\"1234567\"}}";

// ---- map -----------------------------------------------------------------------------------

static struct mapping *load_mapping(void)
{
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(str_of(work_mapping), "mapping", problems);
    struct mapping *mapping = mapping_load(yaml_root(tree), NULL, problems);
    must(mapping != NULL && problems_count(problems) == 0, "the mapping");
    yaml_destroy(tree);
    problems_destroy(problems);
    return mapping;
}

static void map_rows(long count)
{
    struct mapping *mapping = load_mapping();
    struct mapper *mapper = mapper_create();
    struct digest *digest = digest_create(STR("https://dev.sbx.imprint.co"));
    struct row row;
    struct buf body;
    unsigned char hash[DIGEST_BYTES];
    row_init(&row, mapping);
    buf_init(&body, WORK_BODY_MAX);
    for (long i = 0; i < count; i++) {
        row_reset(&row);
        must(row_add(&row, str_of(work_row), true), "the row");
        must(mapper_map(mapper, &row, work_wall_ns, &body, NULL, NULL) == MAPPER_RESULT_BODY,
             "mapping");
        digest_body(digest, buf_peek(&body), hash);
    }
    buf_free(&body);
    row_free(&row);
    digest_destroy(digest);
    mapper_destroy(mapper);
    mapping_destroy(mapping);
}

// ---- parse ---------------------------------------------------------------------------------

static void parse_answers(long count)
{
    static struct verdict verdict;
    for (long i = 0; i < count; i++) {
        struct answer answer;
        answer_init(&answer);
        for (size_t line = 0; line < sizeof work_headers / sizeof work_headers[0]; line++) {
            answer_header(&answer, str_of(work_headers[line]));
        }
        answer.transport = ANSWER_TRANSPORT_ANSWERED;
        answer.status = 200;
        answer.body = str_of(work_answer);
        verdict_judge(&verdict, &answer, str_of(work_customer), NULL);
        must(verdict.kind == VERDICT_KIND_DONE, "the verdict");
    }
}

// ---- settle --------------------------------------------------------------------------------

// In the place of the real one: nothing is sent.
void __wrap_pgconn_submit(struct pgconn *conn, struct pgjob *job);
void __wrap_pgconn_submit(struct pgconn *conn, struct pgjob *job)
{
    (void)conn;
    pgjob_destroy(job);
}

static void on_settled(void *ctx, const struct pgconn_failure *failure,
                       const struct outbox_settled *settled)
{
    (void)ctx;
    (void)failure;
    (void)settled;
}

static struct update *accepted_update(int64_t id)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%08lx-f654-438d-9ad3-3f7bb8136fc0", (unsigned long)id);
    struct update *update = update_create(str_of(key), str_of(key), (int)(id % 64), 0);
    update_add_row(update, 1000000 + id, 0);
    update->lease_epoch = 3;
    update->outcome = UPDATE_OUTCOME_DONE;
    update->http_status = 200;
    update->remember = true;
    update->sent = true;
    return update;
}

static void settle_batches(long count)
{
    struct outbox outbox = {.instance = "0123456789abcdef", .settle = "SELECT", .timeout_ns = 1};
    struct update *updates[WORK_BATCH];
    for (int64_t i = 0; i < WORK_BATCH; i++) {
        updates[i] = accepted_update(i);
    }
    for (long i = 0; i < count; i++) {
        outbox_settle(&outbox, updates, WORK_BATCH, true, on_settled, NULL);
    }
    for (size_t i = 0; i < WORK_BATCH; i++) {
        update_destroy(updates[i]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        die("usage", "bench-work map|parse|settle COUNT");
    }
    long count = must_number(argv[2], "COUNT");
    if (strcmp(argv[1], "map") == 0) {
        map_rows(count);
    } else if (strcmp(argv[1], "parse") == 0) {
        parse_answers(count);
    } else if (strcmp(argv[1], "settle") == 0) {
        settle_batches(count);
    } else {
        die(argv[1], "is none of map, parse, settle");
    }
    return 0;
}
