// Without memory: each allocation that a row or an answer needs fails once, the first, the second
// and so on. The process then ends with a line that says so (base/mem.h). What must never happen is
// that it goes on and takes the lack of memory for a fault of the row or of the API, or crashes.
//
// malloc() and its relatives are the ones below. No library takes part: the domain uses none.
#include "config/mapping_load.h"
#include "domain/mapper.h"
#include "domain/verdict.h"
#include "suite.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BODY_CAP = 1 << 20, NUMBER_MAX = 1000, LONG_VALUE = 3 << 20, EXIT_DIFFERENT = 3 };

#define NOW_NS INT64_C(1750000000000000000)
#define CUSTOMER STR("BBB815E9-F654-438D-9AD3-3F7BB8136FC0")

// ---- allocations ----

static struct {
    bool on;
    int64_t count;   // so far
    int64_t failing; // the one that fails, from 1
    size_t bytes;    // asked for, all together
} allocations;

static bool is_failing(size_t bytes)
{
    if (!allocations.on) {
        return false;
    }
    allocations.bytes += bytes;
    allocations.count++;
    return allocations.count == allocations.failing;
}

// Begins to count; `failing` 0: none fails.
static void count_allocations(int64_t failing)
{
    allocations.on = true;
    allocations.count = 0;
    allocations.failing = failing;
    allocations.bytes = 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

void *__wrap_malloc(size_t size)
{
    return is_failing(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_failing(count * size) ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_failing(size) ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return is_failing(count * size) ? NULL : __real_reallocarray(old, count, size);
}

// ---- what is tried ----

// True when the result is the one that is wanted; everything is made anew.
typedef bool (*attempt_fn)(const void *ctx);

// Runs the attempt with allocation `number` failing.
static _Noreturn void run_child(attempt_fn attempt, const void *ctx, int64_t number, int error_fd)
{
    ck_assert_int_eq(dup2(error_fd, STDERR_FILENO), STDERR_FILENO);
    count_allocations(number);
    bool same = attempt(ctx);
    allocations.on = false;
    _exit(!same || allocations.count >= number ? EXIT_DIFFERENT : 0);
}

// True when there was no such allocation; else the process has ended as is promised.
static bool is_beyond(attempt_fn attempt, const void *ctx, int64_t number)
{
    int error[2];
    char text[256];
    int status = 0;
    ck_assert_int_eq(pipe(error), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        run_child(attempt, ctx, number, error[1]);
    }
    close(error[1]);
    ssize_t len = read(error[0], text, sizeof text - 1);
    close(error[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_ge(len, 0);
    text[len] = '\0';
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
                  "allocation %d: status %d: %s", (int)number, status, text);
    ck_assert_str_eq(text, "imprint-sync: out of memory\n");
    return false;
}

// Returns how many allocations there were.
static int64_t fail_each(attempt_fn attempt, const void *ctx)
{
    for (int64_t number = 1; number < NUMBER_MAX; number++) {
        if (is_beyond(attempt, ctx, number)) {
            return number - 1;
        }
    }
    ck_abort_msg("more than %d allocations", (int)NUMBER_MAX);
}

// ---- rows ----

static const char every_type[] =
    "mapping:\n"
    "  email: mail\n"
    "  phone: {from: mobile, calling_code: 44, on_invalid: omit}\n"
    "  first_name: {from: name, max_length: 5000}\n"
    "  preferred_language: locale\n"
    "  state: {from: place.state, as: us_state}\n"
    "  customer_history:\n"
    "    address: {country: {value: USA}, city: place.city}\n"
    "    account_tenure: {from: joined, as: months_since, timezone: Europe/Berlin}\n"
    "    account_created_at: joined\n"
    "    ltv_amount: {from: value, as: minor_units, currency: currency}\n"
    "    ltv_currency: currency\n"
    "    loyalty_tier: {from: tier, map: {1: SILVER, gold: GOLD}, default: MEMBER}\n"
    "    transaction_count: {from: count, when_null: 'null'}\n"
    "  metadata:\n"
    "    vip: {from: vip, as: boolean}\n"
    "    raw: {from: place, as: json}\n";

struct row_case {
    const struct mapping *mapping;
    struct str row;
    enum mapper_result result;
    struct str text; // the body, or the reasons
};

static bool map_row(const void *ctx)
{
    const struct row_case *wanted = ctx;
    struct mapper *mapper = mapper_create();
    struct row row;
    struct buf body;
    buf_init(&body, BODY_CAP);
    row_init(&row, wanted->mapping);
    bool same = row_add(&row, wanted->row, true) &&
                mapper_map(mapper, &row, NOW_NS, &body, NULL, NULL) == wanted->result;
    struct str text =
        wanted->result == MAPPER_RESULT_BODY ? buf_peek(&body) : mapper_reasons(mapper);
    same = same && str_equal(text, wanted->text);
    row_free(&row);
    buf_free(&body);
    mapper_destroy(mapper);
    return same;
}

static struct mapping *must_load(const char *yaml)
{
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(str_of(yaml), "f", problems);
    ck_assert(tree != NULL);
    struct mapping *mapping =
        mapping_load(yaml_get(yaml_root(tree), STR("mapping")), NULL, problems);
    ck_assert_msg(mapping != NULL, "%s", problems_line(problems, 0));
    yaml_destroy(tree);
    problems_destroy(problems);
    return mapping;
}

START_TEST(a_row_is_never_refused_for_lack_of_memory)
{
    struct mapping *mapping = must_load(every_type);
    const struct row_case sent = {
        .mapping = mapping,
        .row = STR("{\"mail\":\"a@b.co\",\"mobile\":\"020 7946 0958\",\"name\":\"J\\u00fcrgen\","
                   "\"locale\":\"en_US\",\"place\":{\"state\":\"Texas\",\"city\":\"Austin\"},"
                   "\"joined\":\"2024-03-01\",\"value\":340.5,\"currency\":\"usd\","
                   "\"tier\":\"gold\",\"count\":null,\"vip\":\"yes\"}"),
        .result = MAPPER_RESULT_BODY,
        .text = STR("{\"email\":\"a@b.co\",\"phone\":\"+442079460958\","
                    "\"first_name\":\"J\xC3\xBCrgen\",\"preferred_language\":\"en\","
                    "\"state\":\"TX\",\"customer_history\":{\"address\":{\"country\":\"USA\","
                    "\"city\":\"Austin\"},\"account_tenure\":15,"
                    "\"account_created_at\":\"2024-03-01T00:00:00.000Z\",\"ltv_amount\":34050,"
                    "\"ltv_currency\":\"USD\",\"loyalty_tier\":\"GOLD\","
                    "\"transaction_count\":null},\"metadata\":{\"vip\":true,"
                    "\"raw\":{\"state\":\"Texas\",\"city\":\"Austin\"}}}"),
    };
    const struct row_case refused = {
        .mapping = mapping,
        .row = STR("{\"mail\":\"a b\",\"mobile\":\"x\",\"value\":\"1.234\",\"currency\":\"usd\"}"),
        .result = MAPPER_RESULT_INVALID,
        .text = STR("email: column mail: is not an e-mail address; customer_history.ltv_amount: "
                    "column value: has more decimals than its currency"),
    };
    ck_assert_int_ge(fail_each(map_row, &sent), 10);
    ck_assert_int_ge(fail_each(map_row, &refused), 5);
    mapping_destroy(mapping);
}
END_TEST

// The caller frees it.
static char *make_long_row(size_t len)
{
    static const char head[] = "{\"name\":\"";
    char *row = malloc(sizeof head + len + 3);
    ck_assert_ptr_nonnull(row);
    memcpy(row, head, sizeof head - 1);
    memset(row + sizeof head - 1, 'x', len);
    memcpy(row + sizeof head - 1 + len, "\"}", 3);
    return row;
}

// The caps bound what a row may ask for: a few times its own size, whatever is in it.
START_TEST(a_long_value_is_refused_within_bounded_memory)
{
    struct mapping *mapping = must_load("mapping: {first_name: name}\n");
    char *row = make_long_row(LONG_VALUE);
    const struct row_case refused = {
        .mapping = mapping,
        .row = str_of(row),
        .result = MAPPER_RESULT_INVALID,
        .text = STR("first_name: column name: is too big for a request"),
    };
    count_allocations(0);
    bool same = map_row(&refused);
    allocations.on = false;
    ck_assert(same);
    ck_assert_uint_lt(allocations.bytes, (size_t)4 * LONG_VALUE);
    ck_assert_int_ge(fail_each(map_row, &refused), 5);
    free(row);
    mapping_destroy(mapping);
}
END_TEST

// ---- answers ----

struct answer_case {
    int status;
    const char *body;
    enum verdict_kind kind;
    const char *error;
};

static bool judge(const void *ctx)
{
    static struct verdict verdict;
    const struct answer_case *wanted = ctx;
    struct answer answer;
    answer_init(&answer);
    answer_header(&answer, STR("HTTP/1.1 400 Bad Request"));
    answer_header(&answer, STR("Date: Sun, 06 Nov 1994 08:49:37 GMT"));
    answer_header(&answer, STR("Retry-After: Sun, 06 Nov 1994 08:49:38 GMT"));
    answer.transport = ANSWER_TRANSPORT_ANSWERED;
    answer.status = wanted->status;
    answer.body = str_of(wanted->body);
    verdict_judge(&verdict, &answer, CUSTOMER, NULL);
    return verdict.kind == wanted->kind && str_equal(str_of(verdict.error), str_of(wanted->error));
}

START_TEST(an_answer_is_never_misjudged_for_lack_of_memory)
{
    static const struct answer_case cases[] = {
        {200, "{\"ssn4\":[{\"a\":1}],\"id\":\"bbb815e9-f654-438d-9ad3-3f7bb8136fc0\"}",
         VERDICT_KIND_DONE, ""},
        {400, "{\"error\":{\"type\":\"T\",\"message\":\"m \\u00fc\",\"param\":\"email\"}}",
         VERDICT_KIND_DEAD, "T email: m \xC3\xBC"},
        {400, "{\"error\":\"Bad Request\",\"status\":400,\"details\":[\"a\",7,\"b\"]}",
         VERDICT_KIND_DEAD, "Bad Request: a; b"},
        {404, "{\"type\":\"CUSTOMER_NOT_FOUND_ERROR\",\"message\":\"m\"}", VERDICT_KIND_DEAD,
         "CUSTOMER_NOT_FOUND_ERROR: m"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_ge(fail_each(judge, &cases[i]), 2);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *tests = tcase_create("memory");
    tcase_add_test(tests, a_row_is_never_refused_for_lack_of_memory);
    tcase_add_test(tests, a_long_value_is_refused_within_bounded_memory);
    tcase_add_test(tests, an_answer_is_never_misjudged_for_lack_of_memory);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
