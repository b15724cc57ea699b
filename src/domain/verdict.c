#include "domain/verdict.h"

#include "base/buf.h"
#include "domain/jsontext.h"

#include <assert.h>
#include <stdio.h>

enum {
    VERDICT_BODY_DEPTH = 256,
    VERDICT_ERROR_DEPTH = 32,
    VERDICT_ERROR_BODY_MAX = 256 * 1024, // a documented error is never so long
};

static const char *const kind_names[] = {
    [VERDICT_KIND_DONE] = "done",
    [VERDICT_KIND_RETRY] = "retry",
    [VERDICT_KIND_DEAD] = "dead",
    [VERDICT_KIND_HOLD] = "hold",
};

static const char *const cause_names[] = {
    [VERDICT_CAUSE_ACCEPTED] = "accepted",
    [VERDICT_CAUSE_ROW] = "row",
    [VERDICT_CAUSE_OTHER_ID] = "other_id",
    [VERDICT_CAUSE_REJECTED] = "rejected",
    [VERDICT_CAUSE_FAILURE] = "failure",
    [VERDICT_CAUSE_THROTTLED] = "throttled",
    [VERDICT_CAUSE_UNAUTHORIZED] = "unauthorized",
    [VERDICT_CAUSE_FORBIDDEN] = "forbidden",
    [VERDICT_CAUSE_URL] = "url",
    [VERDICT_CAUSE_REFUSED_HERE] = "refused_here",
};
static_assert(sizeof cause_names / sizeof cause_names[0] == VERDICT_CAUSE_COUNT,
              "every cause has a name");

const char *verdict_kind_name(enum verdict_kind kind)
{
    return kind_names[kind];
}

const char *verdict_cause_name(enum verdict_cause cause)
{
    return cause_names[cause];
}

// ---- texts ----

// The error text while it is written: no more characters than the database row takes.
struct error_text {
    char *out;
    const struct str *secrets; // ANSWER_SECRETS, which it must not hold; NULL: none
    size_t len;
    size_t chars;
    bool full;
};

static void error_put(struct error_text *error, const char *bytes, size_t len, size_t chars)
{
    if (error->full || error->chars + chars > VERDICT_ERROR_CHARS) {
        error->full = true; // no later, shorter piece may follow a gap
        return;
    }
    memcpy(error->out + error->len, bytes, len);
    error->len += len;
    error->chars += chars;
    error->out[error->len] = '\0';
}

// Bytes of the well-formed character at the start of `text`; 0 when there is none.
static size_t character_len(struct str text)
{
    for (size_t len = 1; len <= 4 && len <= text.len; len++) {
        if (str_is_utf8((struct str){text.ptr, len})) {
            return len;
        }
    }
    return 0;
}

static bool is_control(struct str character)
{
    unsigned char first = (unsigned char)character.ptr[0];
    if (character.len == 1) {
        return first < 0x20 || first == 0x7F;
    }
    return character.len == 2 && first == 0xC2 && (unsigned char)character.ptr[1] < 0xA0;
}

// Bytes of the longest secret at the start of `text`; 0 when there is none.
static size_t secret_len(const struct error_text *error, struct str text)
{
    size_t longest = 0;
    for (size_t i = 0; error->secrets != NULL && i < ANSWER_SECRETS; i++) {
        struct str secret = error->secrets[i];
        longest = secret.len > longest && str_starts(text, secret) ? secret.len : longest;
    }
    return longest;
}

// Appends text from outside; what the database or a terminal would choke on becomes \xNN.
static void error_add(struct error_text *error, struct str text)
{
    while (text.len > 0 && !error->full) {
        size_t secret = secret_len(error, text);
        size_t len = character_len(text);
        if (secret > 0) {
            len = secret;
            error_put(error, "(key)", 5, 5);
        } else if (len > 0 && !is_control((struct str){text.ptr, len})) {
            error_put(error, text.ptr, len, 1);
        } else {
            char escape[5];
            len = 1;
            (void)snprintf(escape, sizeof escape, "\\x%02X", (unsigned)(unsigned char)text.ptr[0]);
            error_put(error, escape, 4, 4);
        }
        text.ptr += len;
        text.len -= len;
    }
}

static bool is_name_char(char c)
{
    char lower = str_lower_char(c);
    return str_is_digit(c) || (lower >= 'a' && lower <= 'z') || c == '_' || c == '.' || c == '-' ||
           c == '[' || c == ']';
}

// Copies a name that may be logged; anything else leaves it empty.
static void keep_name(const struct error_text *error, char out[VERDICT_NAME_SIZE], struct str name)
{
    out[0] = '\0';
    if (name.len == 0 || name.len >= VERDICT_NAME_SIZE) {
        return;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_char(name.ptr[i]) ||
            secret_len(error, (struct str){name.ptr + i, name.len - i}) > 0) {
            return;
        }
    }
    memcpy(out, name.ptr, name.len);
    out[name.len] = '\0';
}

// ---- the documented error shapes ----

// A member that is a string, as a value; its text is decoded where it is used.
static bool get_string(struct jsontext object, struct str key, struct jsontext *value)
{
    *value = jsontext_member(object, key);
    return value->kind == JSONTEXT_KIND_STRING;
}

// What a string says; with an escape that stands for nothing, such as half a pair of surrogates, as
// it is written. `decoded` holds it.
static struct str text_of(struct jsontext string, struct buf *decoded)
{
    buf_reset(decoded);
    return jsontext_decode(string, decoded)
               ? buf_peek(decoded)
               : (struct str){string.text.ptr + 1, string.text.len - 2};
}

static void error_add_string(struct error_text *error, struct jsontext string)
{
    struct buf decoded;
    buf_init(&decoded, string.text.len);
    error_add(error, text_of(string, &decoded));
    buf_free(&decoded);
}

// Adds the string to the error and keeps it as a name, where it is one.
static void error_add_name(struct error_text *error, char out[VERDICT_NAME_SIZE],
                           struct jsontext string)
{
    struct buf decoded;
    buf_init(&decoded, string.text.len);
    struct str name = text_of(string, &decoded);
    error_add(error, name);
    keep_name(error, out, name);
    buf_free(&decoded);
}

// {"type": "...", "message": "...", "param": "..."}: the third shape, and inside the first.
static bool read_typed(const struct answer *answer, struct jsontext object, struct verdict *verdict)
{
    struct jsontext type;
    struct jsontext message;
    struct jsontext param;
    if (!get_string(object, STR("type"), &type) || !get_string(object, STR("message"), &message)) {
        return false;
    }
    struct error_text error = {.out = verdict->error, .secrets = answer->secrets};
    error_add_name(&error, verdict->type, type);
    if (get_string(object, STR("param"), &param)) {
        error_add(&error, STR(" "));
        error_add_name(&error, verdict->param, param);
    }
    error_add(&error, STR(": "));
    error_add_string(&error, message);
    return true;
}

static void add_details(struct error_text *error, struct jsontext details)
{
    struct jsontext_walk walk = jsontext_walk_begin(details);
    bool first = true;
    while (!error->full && jsontext_walk_next(&walk)) {
        if (walk.value.kind == JSONTEXT_KIND_STRING) {
            error_add(error, first ? STR(": ") : STR("; "));
            error_add_string(error, walk.value);
        }
        first = false;
    }
}

// {"path": ..., "error": "Bad Request", "status": 400, "details": [...], "timestamp": ...}
// Without details, 404 and 405 of this shape are what the web framework behind the API says of a
// path that it does not know: no word about a customer.
static bool read_framework(const struct answer *answer, struct jsontext object,
                           struct verdict *verdict)
{
    struct jsontext name;
    int64_t code = 0;
    struct jsontext number = jsontext_member(object, STR("status"));
    if (!get_string(object, STR("error"), &name) || number.kind != JSONTEXT_KIND_NUMBER ||
        !str_to_int64(number.text, &code) || code != answer->status) {
        return false;
    }
    struct jsontext details = jsontext_member(object, STR("details"));
    bool detailed = details.kind == JSONTEXT_KIND_ARRAY;
    if (!detailed && (answer->status == 404 || answer->status == 405)) {
        return false;
    }
    struct error_text error = {.out = verdict->error, .secrets = answer->secrets};
    error_add_name(&error, verdict->type, name);
    if (detailed) {
        add_details(&error, details);
    }
    return true;
}

// True, and type, param and error filled, when the body is one of the documented errors. Its texts
// may be anything: what counts is that it is one of the shapes.
static bool read_error(const struct answer *answer, struct verdict *verdict)
{
    if (answer->body.len > VERDICT_ERROR_BODY_MAX || answer->body_cut || answer->body_too_big ||
        !jsontext_check_form(answer->body, VERDICT_ERROR_DEPTH)) {
        return false;
    }
    struct jsontext root = jsontext_of(answer->body);
    struct jsontext inner = jsontext_member(root, STR("error"));
    if (inner.kind == JSONTEXT_KIND_OBJECT) {
        return read_typed(answer, inner, verdict);
    }
    return read_typed(answer, root, verdict) || read_framework(answer, root, verdict);
}

// ---- the table ----

struct rule {
    enum verdict_kind kind;
    enum verdict_cause cause;
    const char *reason;
    bool unknown_outcome;
};

static struct rule failure(const char *reason, bool unknown_outcome)
{
    return (struct rule){VERDICT_KIND_RETRY, VERDICT_CAUSE_FAILURE, reason, unknown_outcome};
}

static bool is_customer(struct jsontext id, struct str customer_id)
{
    struct buf text;
    buf_init(&text, customer_id.len); // what does not fit is another id
    bool same = jsontext_decode(id, &text) && str_equal_nocase(buf_peek(&text), customer_id);
    buf_free(&text);
    return same;
}

// I6: done means accepted.
static struct rule judge_success(const struct answer *answer, struct str customer_id)
{
    if (answer->body_too_big) {
        return failure("too_big", false);
    }
    if (answer->body_cut) {
        return failure("cut_off", true);
    }
    if (!jsontext_check(answer->body, VERDICT_BODY_DEPTH, NULL)) {
        return failure("not_json", false);
    }
    struct jsontext body = jsontext_of(answer->body);
    if (body.kind != JSONTEXT_KIND_OBJECT) {
        return failure("not_json", false);
    }
    struct jsontext id = jsontext_member(body, STR("id"));
    if (id.kind != JSONTEXT_KIND_STRING) {
        return failure("no_id", false);
    }
    if (!is_customer(id, customer_id)) {
        return (struct rule){VERDICT_KIND_RETRY, VERDICT_CAUSE_OTHER_ID, "other_id", false};
    }
    return (struct rule){VERDICT_KIND_DONE, VERDICT_CAUSE_ACCEPTED, "accepted", false};
}

static struct rule judge_client_error(const struct answer *answer, bool documented)
{
    switch (answer->status) {
    case 401:
        return (struct rule){VERDICT_KIND_HOLD, VERDICT_CAUSE_UNAUTHORIZED, "unauthorized", false};
    case 403:
        return (struct rule){VERDICT_KIND_HOLD, VERDICT_CAUSE_FORBIDDEN, "forbidden", false};
    case 408:
        return failure("request_timeout", true);
    case 425:
        return failure("too_early", false);
    case 429:
        return (struct rule){VERDICT_KIND_HOLD, VERDICT_CAUSE_THROTTLED, "throttled", false};
    default:
        break;
    }
    if (documented) {
        return (struct rule){VERDICT_KIND_DEAD, VERDICT_CAUSE_REJECTED, "rejected", false};
    }
    if (answer->body_cut) {
        return failure("cut_off", false); // it may have been a documented one
    }
    return (struct rule){VERDICT_KIND_HOLD, VERDICT_CAUSE_URL, "undocumented", false};
}

// A gateway says these while what is behind it may still be at work.
static bool is_gateway_error(int status)
{
    return status == 502 || status == 504 || status >= 520;
}

static struct rule judge_status(const struct answer *answer, struct str customer_id,
                                bool documented)
{
    switch (answer->status / 100) {
    case 2:
        return judge_success(answer, customer_id);
    case 3:
        return (struct rule){VERDICT_KIND_HOLD, VERDICT_CAUSE_URL, "redirect", false};
    case 4:
        return judge_client_error(answer, documented);
    case 5:
        return failure("server_error", is_gateway_error(answer->status));
    default:
        return failure("odd_status", true);
    }
}

static const char *failure_of(const struct answer *answer, const char *otherwise)
{
    return answer->failure == NULL ? otherwise : answer->failure;
}

static struct rule judge_answer(const struct answer *answer, struct str customer_id,
                                bool documented)
{
    switch (answer->transport) {
    case ANSWER_TRANSPORT_ANSWERED:
        return judge_status(answer, customer_id, documented);
    case ANSWER_TRANSPORT_NOT_SENT:
        return failure(failure_of(answer, "not_sent"), false);
    case ANSWER_TRANSPORT_UNKNOWN:
        return failure(failure_of(answer, "no_answer"), true);
    case ANSWER_TRANSPORT_REFUSED_HERE:
        return (struct rule){VERDICT_KIND_HOLD, VERDICT_CAUSE_REFUSED_HERE,
                             failure_of(answer, "refused_here"), false};
    }
    assert(false); // an answer has one of the four transports
    return failure("internal", true);
}

static enum verdict_outcome outcome_of(const struct answer *answer,
                                       const enum verdict_outcome *outcomes)
{
    bool overridable = outcomes != NULL && answer->transport == ANSWER_TRANSPORT_ANSWERED &&
                       answer->status >= 300 && answer->status < VERDICT_STATUS_COUNT;
    return overridable ? outcomes[answer->status] : VERDICT_OUTCOME_DEFAULT;
}

// What the operator said about a status. It decides over the row; that the API fails or throttles
// remains the pool's business, whatever becomes of the row.
static void apply_outcome(struct rule *rule, enum verdict_outcome outcome)
{
    bool pool_matter =
        rule->cause == VERDICT_CAUSE_FAILURE || rule->cause == VERDICT_CAUSE_THROTTLED;
    switch (outcome) {
    case VERDICT_OUTCOME_DEFAULT:
        return;
    case VERDICT_OUTCOME_RETRY:
        rule->kind = VERDICT_KIND_RETRY;
        rule->cause = pool_matter ? rule->cause : VERDICT_CAUSE_ROW;
        return;
    case VERDICT_OUTCOME_DEAD:
        rule->kind = VERDICT_KIND_DEAD;
        rule->cause = pool_matter ? rule->cause : VERDICT_CAUSE_REJECTED;
        return;
    case VERDICT_OUTCOME_HOLD:
        rule->kind = VERDICT_KIND_HOLD;
        if (rule->cause == VERDICT_CAUSE_REJECTED || rule->cause == VERDICT_CAUSE_FAILURE) {
            rule->cause = VERDICT_CAUSE_URL;
        }
        return;
    }
}

static bool has_pause(const struct answer *answer)
{
    return answer->transport == ANSWER_TRANSPORT_ANSWERED &&
           (answer->status / 100 == 2 || answer->status == 429 || answer->status == 503);
}

void verdict_judge(struct verdict *verdict, const struct answer *answer, struct str customer_id,
                   const enum verdict_outcome *outcomes)
{
    *verdict = (struct verdict){.status = answer->status};
    bool failed = answer->transport == ANSWER_TRANSPORT_ANSWERED && answer->status >= 300;
    bool documented = failed && read_error(answer, verdict);
    struct rule rule = judge_answer(answer, customer_id, documented);
    apply_outcome(&rule, outcome_of(answer, outcomes));
    verdict->kind = rule.kind;
    verdict->cause = rule.cause;
    verdict->reason = rule.reason;
    verdict->unknown_outcome = rule.unknown_outcome;
    verdict->pause_ns = has_pause(answer) ? answer_pause_ns(answer) : 0;
    if (verdict->error[0] == '\0' && rule.kind != VERDICT_KIND_DONE) {
        struct error_text error = {.out = verdict->error};
        error_add(&error, str_of(rule.reason));
    }
}
