#include "domain/verdict.h"

#include "base/buf.h"
#include "base/mem.h"
#include "cases.h"
#include "suite.h"

#include <check.h>
#include <stdlib.h>

#define CUSTOMER STR("BBB815E9-F654-438D-9AD3-3F7BB8136FC0")
#define SEC INT64_C(1000000000)

// ---- the table ----

static enum verdict_outcome outcomes[VERDICT_STATUS_COUNT];

static int hex_value(char c)
{
    return str_is_digit(c) ? c - '0' : str_lower_char(c) - 'a' + 10;
}

// Decodes %XX; "-" is the empty text.
static void decode(struct buf *out, struct str text)
{
    buf_reset(out);
    if (str_equal(text, STR("-"))) {
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%' && i + 2 < text.len) {
            c = (char)(hex_value(text.ptr[i + 1]) * 16 + hex_value(text.ptr[i + 2]));
            i += 2;
        }
        ck_assert(buf_append_char(out, c));
    }
}

// The next word of `text`; empty at its end.
static struct str next_word(struct str *text)
{
    struct str word = {0};
    if (text->len > 0) {
        (void)str_split(*text, ' ', &word, text);
    }
    return word;
}

static void set_flag(struct answer *answer, struct str word, const char *where)
{
    enum verdict_outcome *outcome = &outcomes[answer->status];
    if (str_equal(word, STR("cut"))) {
        answer->body_cut = true;
    } else if (str_equal(word, STR("too_big"))) {
        answer->body_too_big = true;
    } else if (str_equal(word, STR("retry!"))) {
        *outcome = VERDICT_OUTCOME_RETRY;
    } else if (str_equal(word, STR("dead!"))) {
        *outcome = VERDICT_OUTCOME_DEAD;
    } else if (str_equal(word, STR("hold!"))) {
        *outcome = VERDICT_OUTCOME_HOLD;
    } else {
        ck_abort_msg("%s: what is %.*s?", where, STR_ARG(word));
    }
}

static void read_answer(struct answer *answer, struct str text, struct buf *failure,
                        const char *where)
{
    static const char *const transports[] = {
        [ANSWER_TRANSPORT_ANSWERED] = "",
        [ANSWER_TRANSPORT_NOT_SENT] = "not_sent",
        [ANSWER_TRANSPORT_UNKNOWN] = "unknown",
        [ANSWER_TRANSPORT_REFUSED_HERE] = "refused",
    };
    struct str word = next_word(&text);
    for (int i = ANSWER_TRANSPORT_NOT_SENT; i <= ANSWER_TRANSPORT_REFUSED_HERE; i++) {
        if (str_equal(word, str_of(transports[i]))) {
            answer->transport = (enum answer_transport)i;
            decode(failure, next_word(&text));
            answer->failure = failure->len == 0 ? NULL : failure->data;
            return;
        }
    }
    int64_t status = 0;
    ck_assert_msg(str_to_int64(word, &status), "%s: no status", where);
    answer->transport = ANSWER_TRANSPORT_ANSWERED;
    answer->status = (int)status;
    while (text.len > 0) {
        set_flag(answer, next_word(&text), where);
    }
}

static void read_headers(struct answer *answer, struct str text)
{
    while (text.len > 0) {
        struct str line = {0};
        (void)str_split(text, '|', &line, &text);
        answer_header(answer, line);
    }
}

static void check_expected(const struct verdict *verdict, const struct cases *cases)
{
    struct buf found;
    buf_init(&found, 8192);
    ck_assert(buf_printf(&found, "%s %s %s%s", verdict_kind_name(verdict->kind),
                         verdict_cause_name(verdict->cause), verdict->reason,
                         verdict->unknown_outcome ? " unknown" : ""));
    if (verdict->pause_ns > 0) {
        ck_assert(buf_printf(&found, " pause=%lld", (long long)(verdict->pause_ns / SEC)));
    }
    ck_assert_msg(str_equal(buf_peek(&found), cases->field[3]), "%s: %s", cases->where, found.data);

    buf_reset(&found);
    ck_assert(buf_printf(&found, "%s %s", verdict->type[0] == '\0' ? "-" : verdict->type,
                         verdict->param[0] == '\0' ? "-" : verdict->param));
    ck_assert_msg(str_equal(buf_peek(&found), cases->field[4]), "%s: %s", cases->where, found.data);

    decode(&found, cases->field[5]);
    ck_assert_msg(str_equal(buf_peek(&found), str_of(verdict->error)), "%s: %s", cases->where,
                  verdict->error);
    buf_free(&found);
}

START_TEST(judges_as_the_table_says)
{
    struct buf body;
    struct buf failure;
    struct cases cases;
    buf_init(&body, 8192);
    buf_init(&failure, 64);
    cases_open(&cases, "verdict.tsv", 6);
    while (cases_next(&cases)) {
        memset(outcomes, 0, sizeof outcomes);
        struct answer answer;
        struct verdict verdict;
        answer_init(&answer);
        read_headers(&answer, cases.field[1]);
        read_answer(&answer, cases.field[0], &failure, cases.where);
        decode(&body, cases.field[2]);
        answer.body = buf_peek(&body);
        verdict_judge(&verdict, &answer, CUSTOMER, outcomes);
        check_expected(&verdict, &cases);
    }
    ck_assert_uint_ge(cases.count, 80);
    cases_close(&cases);
    buf_free(&body);
    buf_free(&failure);
}
END_TEST

// ---- bodies too big or too odd for a table ----

static struct answer answer_of(int status, struct str body)
{
    struct answer answer;
    answer_init(&answer);
    answer.transport = ANSWER_TRANSPORT_ANSWERED;
    answer.status = status;
    answer.body = body;
    return answer;
}

static void judge(struct verdict *verdict, int status, struct str body)
{
    struct answer answer = answer_of(status, body);
    verdict_judge(verdict, &answer, CUSTOMER, NULL);
}

static void append_repeated(struct buf *out, const char *text, size_t times)
{
    for (size_t i = 0; i < times; i++) {
        ck_assert(buf_append_str(out, str_of(text)));
    }
}

static void judge_long_message(struct verdict *verdict, const char *filler)
{
    struct buf body;
    buf_init(&body, 1 << 20);
    append_repeated(&body, "{\"type\":\"T\",\"message\":\"", 1);
    append_repeated(&body, filler, 5000);
    append_repeated(&body, "\"}", 1);
    judge(verdict, 400, buf_peek(&body));
    buf_free(&body);
}

START_TEST(error_text_ends_after_a_thousand_characters)
{
    // The last two become \xNN: four characters, none of which begins where it would not end.
    static const char *const fillers[] = {"a", "\xC3\xAB", "\xF0\x9F\x98\x80", "\xFF", "\\n"};
    static const size_t bytes[] = {1000, 3 + 2 * 997, 3 + 4 * 997, 3 + 4 * 249, 3 + 4 * 249};
    for (size_t i = 0; i < sizeof fillers / sizeof fillers[0]; i++) {
        struct verdict verdict;
        judge_long_message(&verdict, fillers[i]);
        ck_assert(str_is_utf8(str_of(verdict.error)));
        ck_assert_uint_eq(strlen(verdict.error), bytes[i]);
    }
}
END_TEST

struct deep_shape {
    const char *before, *open, *close, *after;
};

static void append_deep(struct buf *body, const struct deep_shape *shape)
{
    append_repeated(body, shape->before, 1);
    append_repeated(body, shape->open, 40000);
    append_repeated(body, "1", 1);
    append_repeated(body, shape->close, 40000);
    append_repeated(body, shape->after, 1);
}

static void check_refused(const struct deep_shape *shape)
{
    struct buf body;
    struct verdict verdict;
    buf_init(&body, 1 << 20);
    append_deep(&body, shape);
    judge(&verdict, 400, buf_peek(&body));
    ck_assert_int_eq(verdict.cause, VERDICT_CAUSE_URL);
    judge(&verdict, 200, buf_peek(&body));
    ck_assert_str_eq(verdict.reason, "not_json");
    buf_free(&body);
}

START_TEST(deep_bodies_are_refused_without_recursion)
{
    static const struct deep_shape shapes[] = {
        {"", "[", "]", ""},
        {"{\"type\":\"T\",\"message\":\"m\",\"x\":", "[", "]", "}"},
        {"{\"error\":", "{\"a\":", "}", "}"},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_refused(&shapes[i]);
    }
}
END_TEST

START_TEST(an_error_body_of_absurd_size_is_no_documented_one)
{
    struct buf body;
    struct verdict verdict;
    buf_init(&body, 2 << 20);
    append_repeated(&body, "{\"type\":\"T\",\"message\":\"m\",\"x\":\"", 1);
    append_repeated(&body, "0123456789abcdef", 1 << 15);
    append_repeated(&body, "\"}", 1);
    judge(&verdict, 400, buf_peek(&body));
    ck_assert_int_eq(verdict.cause, VERDICT_CAUSE_URL);
    ck_assert_str_eq(verdict.error, "undocumented");
    buf_free(&body);
}
END_TEST

// Judges the first `len` bytes with each value in the place of the last.
static bool is_judged_safely(const char *text, size_t len)
{
    char *copy = mem_strndup(text, len);
    char *exact = len == 0 ? NULL : mem_resize(NULL, len, 1); // a read beyond it is seen
    bool safe = true;
    for (int last = 0; last < 256; last++) {
        struct verdict verdict;
        for (size_t i = 0; i < len; i++) {
            exact[i] = i + 1 < len ? copy[i] : (char)last;
        }
        judge(&verdict, 400, (struct str){exact, len});
        safe = safe && str_is_utf8(str_of(verdict.error));
        judge(&verdict, 200, (struct str){exact, len});
        safe = safe && verdict.kind == VERDICT_KIND_RETRY;
    }
    free(copy);
    free(exact);
    return safe;
}

START_TEST(every_prefix_and_every_flipped_byte_is_judged_safely)
{
    static const char text[] = "{\"error\":{\"type\":\"T\",\"message\":\"\\u00e9 \xC3\xAB\","
                               "\"param\":\"p\"},\"id\":\"BBB815E9\",\"status\":400,"
                               "\"details\":[\"x\",1e9,null]}";
    for (size_t len = 0; len < sizeof text; len++) {
        ck_assert_msg(is_judged_safely(text, len), "the first %zu bytes", len);
    }
}
END_TEST

START_TEST(nothing_that_may_be_logged_quotes_the_body)
{
    struct verdict verdict;
    judge(&verdict, 422,
          STR("{\"type\":\"jane@example.com\",\"message\":\"jane\",\"param\":\"jane doe\"}"));
    ck_assert_str_eq(verdict.type, "");
    ck_assert_str_eq(verdict.param, "");
    ck_assert_str_eq(verdict.reason, "rejected");
    judge(&verdict, 400,
          STR("{\"error\":\"Bad Request\",\"status\":400,\"details\":[\"jane: is no phone\"]}"));
    ck_assert_str_eq(verdict.type, "");
    ck_assert_str_eq(verdict.param, ""); // the word before the colon may be a value
}
END_TEST

// With the key "sk-7/é" and what it was sent as.
static void judge_with_key(struct verdict *verdict, struct str body)
{
    struct answer answer = answer_of(400, body);
    answer.secrets[0] = STR("sk-7/\xC3\xA9");
    answer.secrets[1] = STR("c2stNy/DqTo=");
    verdict_judge(verdict, &answer, CUSTOMER, NULL);
}

START_TEST(a_key_in_the_answer_is_not_quoted)
{
    static const struct {
        const char *body;
        const char *error;
    } cases[] = {
        {"{\"type\":\"T\",\"message\":\"no sk-7/\xC3\xA9, nor c2stNy/DqTo=!\"}",
         "T: no (key), nor (key)!"},
        {"{\"error\":{\"type\":\"T\",\"message\":\"sk-7\\/\\u00e9sk-7/\xC3\xA9 sk-7\"}}",
         "T: (key)(key) sk-7"},
        {"{\"type\":\"sk-7/\xC3\xA9\",\"message\":\"\",\"param\":\"c2stNy/DqTo=\"}",
         "(key) (key): "},
        {"{\"error\":\"sk-7/\xC3\xA9\",\"status\":400,\"details\":[\"a\",\"Basic "
         "c2stNy/DqTo=\"]}",
         "(key): a; Basic (key)"},
        {"{\"type\":\"T\",\"message\":\"\\ud800 sk-7/\xC3\xA9\"}", "T: \\ud800 (key)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct verdict verdict;
        judge_with_key(&verdict, str_of(cases[i].body));
        ck_assert_str_eq(verdict.error, cases[i].error);
    }
}
END_TEST

START_TEST(a_name_with_a_key_inside_is_not_kept)
{
    struct answer answer =
        answer_of(400, STR("{\"type\":\"a_sk-7\",\"message\":\"m\",\"param\":\"b\"}"));
    struct verdict verdict;
    verdict_judge(&verdict, &answer, CUSTOMER, NULL);
    ck_assert_str_eq(verdict.type, "a_sk-7");
    answer.secrets[0] = STR("sk-7");
    verdict_judge(&verdict, &answer, CUSTOMER, NULL);
    ck_assert_str_eq(verdict.type, "");
    ck_assert_str_eq(verdict.param, "b");
    ck_assert_str_eq(verdict.error, "a_(key) b: m");
}
END_TEST

START_TEST(no_piece_of_a_key_is_left_where_the_error_ends)
{
    struct buf body;
    struct verdict verdict;
    buf_init(&body, 4096);
    append_repeated(&body, "{\"type\":\"T\",\"message\":\"", 1);
    append_repeated(&body, "a", VERDICT_ERROR_CHARS - 3 - 4);
    append_repeated(&body, "sk-7/\xC3\xA9\"}", 1);
    judge_with_key(&verdict, buf_peek(&body));
    ck_assert_uint_eq(strlen(verdict.error), VERDICT_ERROR_CHARS - 4);
    ck_assert(str_ends(str_of(verdict.error), STR("aa")));
    buf_free(&body);
}
END_TEST

int main(void)
{
    TCase *tests = tcase_create("verdict");
    tcase_add_test(tests, judges_as_the_table_says);
    tcase_add_test(tests, error_text_ends_after_a_thousand_characters);
    tcase_add_test(tests, deep_bodies_are_refused_without_recursion);
    tcase_add_test(tests, an_error_body_of_absurd_size_is_no_documented_one);
    tcase_add_test(tests, every_prefix_and_every_flipped_byte_is_judged_safely);
    tcase_add_test(tests, nothing_that_may_be_logged_quotes_the_body);
    tcase_add_test(tests, a_key_in_the_answer_is_not_quoted);
    tcase_add_test(tests, a_name_with_a_key_inside_is_not_kept);
    tcase_add_test(tests, no_piece_of_a_key_is_left_where_the_error_ends);
    tcase_set_timeout(tests, 60);
    Suite *suite = suite_create("verdict");
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
