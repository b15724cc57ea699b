#include "fault.h"

#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Words of a spec. */
struct word {
    const char *name;
    bool (*set)(struct fault *fault, const char *value); /* NULL: there is no value */
    enum fault_kind kind;                                /* of words without one */
};

static bool parse_count(const char *value, int64_t *number)
{
    char *end = NULL;
    errno = 0;
    long long parsed = strtoll(value, &end, 10);
    *number = parsed;
    return errno == 0 && end != value && *end == '\0' && parsed >= 0;
}

static bool set_status(struct fault *fault, const char *value)
{
    int64_t status = 0;
    bool ok = parse_count(value, &status) && status >= 200 && status <= 599;
    fault->status = ok ? (int)status : 0;
    return ok;
}

static bool set_delay(struct fault *fault, const char *value)
{
    return parse_count(value, &fault->delay_ms) && fault->delay_ms <= 86400000;
}

static bool set_p(struct fault *fault, const char *value)
{
    char *end = NULL;
    fault->p = strtod(value, &end);
    return end != value && *end == '\0' && fault->p >= 0 && fault->p <= 1;
}

static bool set_count(struct fault *fault, const char *value)
{
    return parse_count(value, &fault->left);
}

static bool set_retry_after(struct fault *fault, const char *value)
{
    return parse_count(value, &fault->retry_after_s);
}

static bool set_retry_after_date(struct fault *fault, const char *value)
{
    fault->retry_after_date = true;
    return set_retry_after(fault, value);
}

static bool set_before(struct fault *fault, const char *value)
{
    fault->applied = 0;
    return strcmp(value, "1") == 0;
}

static bool set_applied(struct fault *fault, const char *value)
{
    fault->applied = 1;
    return strcmp(value, "1") == 0;
}

static bool set_shape(struct fault *fault, const char *value)
{
    static const struct {
        const char *name;
        enum answer_shape shape;
    } shapes[] = {
        {"1", ANSWER_SHAPE_ERROR_OBJECT},
        {"2", ANSWER_SHAPE_BAD_REQUEST},
        {"3", ANSWER_SHAPE_FLAT},
        {"html", ANSWER_SHAPE_HTML},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(shapes[i].name, value) == 0) {
            fault->shape = shapes[i].shape;
            return true;
        }
    }
    return false;
}

static bool set_string(char **string, const char *value)
{
    free(*string);
    *string = mem_copy_string(value);
    return *value != '\0';
}

static bool set_customer(struct fault *fault, const char *value)
{
    return set_string(&fault->customer, value);
}

static bool set_type(struct fault *fault, const char *value)
{
    return set_string(&fault->type, value);
}

static bool set_param(struct fault *fault, const char *value)
{
    return set_string(&fault->param, value);
}

static bool set_message(struct fault *fault, const char *value)
{
    return set_string(&fault->message, value);
}

static bool set_header(struct fault *fault, const char *value)
{
    const char *colon = strchr(value, ':');
    for (size_t i = 0; colon != NULL && i < FAULT_HEADERS; i++) {
        if (fault->headers[i] == NULL) {
            return set_string(&fault->headers[i], value);
        }
    }
    return false;
}

static const struct word words[] = {
    {"status", set_status, FAULT_KIND_NONE},
    {"delay", set_delay, FAULT_KIND_NONE},
    {"p", set_p, FAULT_KIND_NONE},
    {"count", set_count, FAULT_KIND_NONE},
    {"customer", set_customer, FAULT_KIND_NONE},
    {"before", set_before, FAULT_KIND_NONE},
    {"applied", set_applied, FAULT_KIND_NONE},
    {"retry-after", set_retry_after, FAULT_KIND_NONE},
    {"retry-after-date", set_retry_after_date, FAULT_KIND_NONE},
    {"shape", set_shape, FAULT_KIND_NONE},
    {"type", set_type, FAULT_KIND_NONE},
    {"param", set_param, FAULT_KIND_NONE},
    {"message", set_message, FAULT_KIND_NONE},
    {"header", set_header, FAULT_KIND_NONE},
    {"reset", NULL, FAULT_KIND_RESET},
    {"hang", NULL, FAULT_KIND_HANG},
    {"cut", NULL, FAULT_KIND_CUT},
    {"other-id", NULL, FAULT_KIND_OTHER_ID},
    {"not-json", NULL, FAULT_KIND_NOT_JSON},
    {"huge", NULL, FAULT_KIND_HUGE},
    {"empty", NULL, FAULT_KIND_EMPTY},
    {"redirect", NULL, FAULT_KIND_REDIRECT},
};

static const struct word *find_word(const char *name, bool has_value)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((words[i].set != NULL) == has_value && strcmp(words[i].name, name) == 0) {
            return &words[i];
        }
    }
    return NULL;
}

/* Takes in one `name=value` or `name`; changes `item`. */
static bool take_word(struct fault *fault, char *item, struct text *why)
{
    char *equals = strchr(item, '=');
    if (equals != NULL) {
        *equals = '\0';
    }
    const struct word *word = find_word(item, equals != NULL);
    if (word == NULL) {
        text_printf(why, "unknown word '%s'%s", item, equals != NULL ? " with a value" : "");
        return false;
    }
    if (word->set != NULL && !word->set(fault, equals + 1)) {
        text_printf(why, "%s: '%s' is no value of it", item, equals + 1);
        return false;
    }
    if (word->set != NULL) {
        return true;
    }
    if (fault->kind != FAULT_KIND_NONE) {
        text_printf(why, "'%s' after another kind of fault", item);
        return false;
    }
    fault->kind = word->kind;
    return true;
}

static bool take_words(struct fault *fault, const char *spec, struct text *why)
{
    bool ok = true;
    while (ok) {
        /* a message may hold commas: it is the last word */
        bool is_last = strncmp(spec, "message=", strlen("message=")) == 0;
        size_t len = is_last ? strlen(spec) : strcspn(spec, ",");
        char *item = mem_copy(spec, len);
        ok = take_word(fault, item, why);
        free(item);
        if (spec[len] == '\0') {
            break;
        }
        spec += len + 1;
    }
    return ok;
}

static bool finish(struct fault *fault, struct text *why)
{
    if (fault->kind == FAULT_KIND_NONE && fault->status >= 300) {
        fault->kind = FAULT_KIND_STATUS;
    }
    if (fault->kind == FAULT_KIND_NONE && fault->status == 0 && fault->delay_ms == 0) {
        text_puts(why, "it names no fault");
        return false;
    }
    return true;
}

struct fault *fault_create(const char *spec, struct text *why)
{
    struct fault *fault = mem_alloc(1, sizeof(*fault));
    *fault = (struct fault){.spec = mem_copy_string(spec),
                            .references = 1,
                            .retry_after_s = -1,
                            .applied = -1,
                            .p = 1,
                            .left = -1};
    if (!take_words(fault, spec, why) || !finish(fault, why)) {
        fault_release(fault);
        return NULL;
    }
    return fault;
}

void fault_release(struct fault *fault)
{
    if (fault == NULL || --fault->references > 0) {
        return;
    }
    free(fault->spec);
    free(fault->customer);
    free(fault->type);
    free(fault->param);
    free(fault->message);
    for (size_t i = 0; i < FAULT_HEADERS; i++) {
        free(fault->headers[i]);
    }
    free(fault);
}

bool fault_delays_update(const struct fault *fault)
{
    return fault->kind == FAULT_KIND_NONE && fault->status == 0 && fault->applied == 0;
}

bool fault_applies(const struct fault *fault)
{
    if (fault_delays_update(fault)) {
        return true;
    }
    if (fault->applied >= 0) {
        return fault->applied == 1;
    }
    return fault->kind != FAULT_KIND_STATUS && fault->kind != FAULT_KIND_REDIRECT &&
           fault->status < 300;
}

bool fault_needs_acceptance(const struct fault *fault)
{
    switch (fault->kind) {
    case FAULT_KIND_NONE:
        return fault->status != 0; /* a mere delay holds up refusals too */
    case FAULT_KIND_OTHER_ID:
    case FAULT_KIND_NOT_JSON:
    case FAULT_KIND_HUGE:
    case FAULT_KIND_EMPTY:
        return fault->status < 300;
    case FAULT_KIND_STATUS:
    case FAULT_KIND_RESET:
    case FAULT_KIND_HANG:
    case FAULT_KIND_CUT:
    case FAULT_KIND_REDIRECT:
        return false;
    }
    return false;
}

void faults_add(struct faults *faults, struct fault *fault)
{
    faults->list = mem_resize(faults->list, faults->count + 1, sizeof(struct fault *));
    faults->list[faults->count++] = fault;
}

/* splitmix64: small, and the same everywhere for the same seed. */
static double next_random(struct faults *faults)
{
    faults->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = faults->random;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (double)(z >> 11) / 9007199254740992.0;
}

static bool hits(struct faults *faults, const struct fault *fault, const char *customer)
{
    if (fault->left == 0) {
        return false;
    }
    if (fault->customer != NULL && strcasecmp(fault->customer, customer) != 0) {
        return false;
    }
    /* no number is drawn for a sure fault: other faults keep their sequence */
    return fault->p >= 1 || next_random(faults) < fault->p;
}

struct fault *faults_pick(struct faults *faults, const char *customer)
{
    for (size_t i = 0; i < faults->count; i++) {
        struct fault *fault = faults->list[i];
        if (!hits(faults, fault, customer)) {
            continue;
        }
        fault->left -= fault->left > 0;
        fault->hits++;
        fault->references++;
        return fault;
    }
    return NULL;
}

void faults_return(struct fault *fault)
{
    fault->left += fault->left >= 0;
    fault->hits--;
    fault_release(fault);
}

void faults_clear(struct faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        fault_release(faults->list[i]);
    }
    free(faults->list);
    faults->list = NULL;
    faults->count = 0;
}
