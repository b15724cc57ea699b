// Any bytes as the answer to an update. The first three choose how the transfer ended, what of the
// answer was cut off and what the configuration says about its status; the rest is the answer as it
// comes over the wire: status lines, headers, an empty line, the body. The verdict is what
// verdict.h says, and what may be logged or stored is fit for it.
#include "domain/verdict.h"
#include "fuzz.h"

#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#define CUSTOMER "BBB815E9-F654-438D-9AD3-3F7BB8136FC0"

enum { BODY_DEPTH = 300 };

static const int64_t ns_per_sec = 1000000000;

// ---- the answer ----

static int read_status(struct str line)
{
    struct str version;
    struct str rest;
    struct str code;
    int64_t status = 0;
    str_split(line, ' ', &version, &rest);
    str_split(rest, ' ', &code, &rest);
    return str_to_int64(str_trim(code), &status) && status >= 0 && status <= 999 ? (int)status : 0;
}

// An empty line ends the headers, unless another status line follows, as behind an interim answer.
static void read_message(struct answer *answer, struct str message)
{
    bool more = true;
    while (more && message.len > 0) {
        struct str line;
        str_split(message, '\n', &line, &message);
        answer_header(answer, line);
        if (str_starts(line, STR("HTTP/"))) {
            answer->status = read_status(line);
        }
        more = str_trim(line).len > 0 || str_starts(message, STR("HTTP/"));
    }
    answer->body = message;
}

static void read_answer(struct answer *answer, const uint8_t *data, size_t size)
{
    static const enum answer_transport transports[] = {
        ANSWER_TRANSPORT_ANSWERED,
        ANSWER_TRANSPORT_NOT_SENT,
        ANSWER_TRANSPORT_UNKNOWN,
        ANSWER_TRANSPORT_REFUSED_HERE,
    };
    struct picks picks = {data, data + size};
    answer_init(answer);
    answer->transport = transports[pick_of(&picks, 4)];
    unsigned flags = pick(&picks);
    answer->body_cut = (flags & 1) != 0;
    answer->body_too_big = (flags & 2) != 0;
    answer->failure = (flags & 4) != 0 ? "timeout" : NULL;
    (void)pick(&picks); // the override, which is not the answer's
    read_message(answer, (struct str){(const char *)picks.at, (size_t)(picks.end - picks.at)});
}

// ---- headers ----

// A date that is taken for one is written in its first form as the same again; in that form it
// differs from what was read by the weekday, which says nothing, and by a leap second at most.
static void check_date(struct str text)
{
    int64_t seconds = 0;
    int64_t again = 0;
    char fixed[64];
    struct tm tm;
    if (!answer_parse_date(text, &seconds)) {
        return;
    }
    time_t at = (time_t)seconds;
    FUZZ_CHECK(seconds >= 0 && gmtime_r(&at, &tm) != NULL);
    size_t len = strftime(fixed, sizeof fixed, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    FUZZ_CHECK(answer_parse_date((struct str){fixed, len}, &again) && again == seconds);
    struct str trimmed = str_trim(text);
    if (trimmed.len == len && memmem(trimmed.ptr, trimmed.len, ":60 ", 4) == NULL) {
        FUZZ_CHECK(str_equal_nocase((struct str){trimmed.ptr + 3, len - 3},
                                    (struct str){fixed + 3, len - 3}));
    }
}

static void check_dates(struct str message)
{
    while (message.len > 0) {
        struct str line;
        struct str name;
        struct str value;
        str_split(message, '\n', &line, &message);
        str_split(line, ':', &name, &value);
        check_date(value);
    }
}

static void check_pause(const struct answer *answer, const struct verdict *verdict)
{
    const struct answer_headers *headers = &answer->headers;
    FUZZ_CHECK(headers->retry_after_s >= -1 && headers->retry_at_s >= -1 && headers->date_s >= -1);
    FUZZ_CHECK(headers->limit.remaining >= -1 && headers->limit.reset >= -1);
    FUZZ_CHECK(headers->x_limit.remaining >= -1 && headers->x_limit.reset >= -1);
    int64_t pause_ns = answer_pause_ns(answer);
    FUZZ_CHECK(pause_ns >= 0 && pause_ns <= ANSWER_PAUSE_MAX_NS && pause_ns % ns_per_sec == 0);
    FUZZ_CHECK(pause_ns == ANSWER_PAUSE_MAX_NS || pause_ns / ns_per_sec >= headers->retry_after_s);
    FUZZ_CHECK(verdict->pause_ns == 0 || verdict->pause_ns == pause_ns);
}

// ---- the verdict ----

static bool is_name(struct str text)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789_.-[]";
    for (size_t i = 0; i < text.len; i++) {
        if (memchr(letters, text.ptr[i], sizeof letters - 1) == NULL) {
            return false;
        }
    }
    return text.len < VERDICT_NAME_SIZE;
}

static bool is_token(const char *text)
{
    return text != NULL && text[0] != '\0' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyz_0123456789") == strlen(text);
}

// What goes into the log and into the row.
static void check_texts(const struct verdict *verdict)
{
    FUZZ_CHECK(is_token(verdict->reason));
    FUZZ_CHECK(is_token(verdict_kind_name(verdict->kind)));
    FUZZ_CHECK(is_token(verdict_cause_name(verdict->cause)));
    FUZZ_CHECK(is_name(str_of(verdict->type)) && is_name(str_of(verdict->param)));
    struct str error = str_of(verdict->error);
    FUZZ_CHECK(error.len < VERDICT_ERROR_SIZE && str_is_utf8(error));
    FUZZ_CHECK(str_utf8_count(error) <= VERDICT_ERROR_CHARS);
    for (size_t i = 0; i < error.len; i++) {
        unsigned char c = (unsigned char)error.ptr[i];
        FUZZ_CHECK(c >= 0x20 && c != 0x7F);
        FUZZ_CHECK(c != 0xC2 || (unsigned char)error.ptr[i + 1] >= 0xA0);
    }
    FUZZ_CHECK((error.len == 0) == (verdict->kind == VERDICT_KIND_DONE));
}

// By another reader than the verdict's. The caller puts it.
static struct json_object *read_body(const struct answer *answer)
{
    if (answer->body_cut || answer->body_too_big || answer->body.len > INT_MAX) {
        return NULL;
    }
    struct json_tokener *tokener = json_tokener_new_ex(BODY_DEPTH);
    FUZZ_CHECK(tokener != NULL);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    struct json_object *body =
        json_tokener_parse_ex(tokener, answer->body.ptr, (int)answer->body.len);
    json_tokener_free(tokener);
    if (body != NULL && !json_object_is_type(body, json_type_object)) {
        json_object_put(body);
        body = NULL;
    }
    return body;
}

static bool names_customer(struct json_object *body)
{
    struct json_object *id = NULL;
    return body != NULL && json_object_object_get_ex(body, "id", &id) &&
           json_object_is_type(id, json_type_string) &&
           str_equal_nocase(str_of(json_object_get_string(id)), STR(CUSTOMER));
}

static bool has_member(struct json_object *body)
{
    return body != NULL && (json_object_object_get_ex(body, "error", NULL) ||
                            json_object_object_get_ex(body, "type", NULL));
}

// Where an escape stands for nothing, or a NUL stands in a string, json-c reads nothing at all, the
// verdict the rest.
static bool has_error(struct json_object *body, struct str text)
{
    bool odd = text.len > 0 && (memchr(text.ptr, '\\', text.len) != NULL ||
                                memchr(text.ptr, '\0', text.len) != NULL);
    return odd || has_member(body);
}

// Done means accepted (I6), dead means refused in so many words; nothing else is final.
static void check_final(const struct answer *answer, const struct verdict *verdict,
                        enum verdict_outcome outcome)
{
    bool answered = answer->transport == ANSWER_TRANSPORT_ANSWERED;
    struct json_object *body = read_body(answer);
    if (verdict->kind == VERDICT_KIND_DONE) {
        FUZZ_CHECK(answered && answer->status / 100 == 2 && names_customer(body));
        FUZZ_CHECK(verdict->cause == VERDICT_CAUSE_ACCEPTED && !verdict->unknown_outcome);
    }
    if (verdict->kind == VERDICT_KIND_DEAD) {
        FUZZ_CHECK(answered && answer->status >= 300);
        FUZZ_CHECK(outcome == VERDICT_OUTCOME_DEAD ||
                   (answer->status / 100 == 4 && has_error(body, answer->body)));
    }
    json_object_put(body);
}

static void check_rest(const struct answer *answer, const struct verdict *verdict,
                       enum verdict_outcome outcome)
{
    bool answered = answer->transport == ANSWER_TRANSPORT_ANSWERED;
    bool kept = verdict->kind == VERDICT_KIND_HOLD || verdict->kind == VERDICT_KIND_RETRY;
    FUZZ_CHECK(answer->transport != ANSWER_TRANSPORT_UNKNOWN || verdict->unknown_outcome);
    FUZZ_CHECK(answered || (kept && verdict->pause_ns == 0));
    FUZZ_CHECK(outcome != VERDICT_OUTCOME_DEFAULT || answer->status / 100 != 5 || kept);
    FUZZ_CHECK(!answered || answer->status != 401 || outcome != VERDICT_OUTCOME_DEFAULT ||
               verdict->cause == VERDICT_CAUSE_UNAUTHORIZED);
    FUZZ_CHECK(!answered || answer->status != 429 || verdict->cause == VERDICT_CAUSE_THROTTLED);
    FUZZ_CHECK(verdict->status == answer->status);
}

static bool same(const struct verdict *a, const struct verdict *b)
{
    return a->kind == b->kind && a->cause == b->cause && a->pause_ns == b->pause_ns &&
           a->unknown_outcome == b->unknown_outcome && strcmp(a->reason, b->reason) == 0 &&
           strcmp(a->type, b->type) == 0 && strcmp(a->param, b->param) == 0 &&
           strcmp(a->error, b->error) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static enum verdict_outcome outcomes[VERDICT_STATUS_COUNT];
    static struct verdict verdict;
    static struct verdict again;
    struct answer answer;
    read_answer(&answer, data, size);
    enum verdict_outcome outcome =
        size > 2 ? (enum verdict_outcome)(data[2] % 4) : VERDICT_OUTCOME_DEFAULT;
    bool known = answer.status < VERDICT_STATUS_COUNT;
    if (known) {
        outcomes[answer.status] = outcome;
    }
    verdict_judge(&verdict, &answer, STR(CUSTOMER), outcomes);
    verdict_judge(&again, &answer, STR(CUSTOMER), outcomes);
    outcome = known ? outcome : VERDICT_OUTCOME_DEFAULT;
    check_texts(&verdict);
    check_final(&answer, &verdict, outcome);
    check_rest(&answer, &verdict, outcome);
    check_pause(&answer, &verdict);
    check_dates((struct str){(const char *)data, size});
    FUZZ_CHECK(same(&verdict, &again));
    if (known) {
        outcomes[answer.status] = VERDICT_OUTCOME_DEFAULT;
    }
    return 0;
}
