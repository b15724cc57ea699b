// A row through a mapping to the body of a request, all three made from the input: the mapping by
// its first bytes, the row by the rest. The body keeps the contract, by the judgement of a reader
// and rules that are not the program's; or the row is refused, with reasons that do not quote it.
//
// Input: HEAD_BYTES choices (four for each target, then those for the run), then the row: JSON as
// it is, or choices for values, so that what is random is the row's content and not its brackets.
#include "base/buf.h"
#include "config/mapping_load.h"
#include "contract.h"
#include "domain/mapper.h"
#include "domain/row.h"
#include "domain/target.h"
#include "fuzz.h"
#include "json.h"

#include <json-c/json.h>

enum {
    TEXT_CAP = 8 << 20,
    BODY_CAP = 1 << 20,
    ROW_DEPTH = 4000,
    METADATA_NAMES = 3,
    TARGET_BYTES = 4,
    RUN_BYTES = 8,
    COLUMNS = 6, // "a" to "f"; the currency stands in "c"
    REASONS_MOST = 1000,
    VALUE_DEPTH = 3,
};

static void put(struct buf *out, const char *text)
{
    FUZZ_CHECK(buf_append_str(out, str_of(text)));
}

// ---- the mapping ----

// What each type takes as a constant.
static const char *const constants[FIELDTYPE_COUNT] = {
    [FIELDTYPE_ID_TEXT] = "' say \"hi\" '",
    [FIELDTYPE_ID_INTEGER] = "42.0",
    [FIELDTYPE_ID_EMAIL] = "a@b.co",
    [FIELDTYPE_ID_PHONE] = "'+4915112345678'",
    [FIELDTYPE_ID_LANGUAGE] = "de_DE",
    [FIELDTYPE_ID_COUNTRY] = "de",
    [FIELDTYPE_ID_US_STATE] = "Texas",
    [FIELDTYPE_ID_CURRENCY] = "eur",
    [FIELDTYPE_ID_MINOR_UNITS] = "7",
    [FIELDTYPE_ID_TIMESTAMP] = "'2020-02-29'",
    [FIELDTYPE_ID_MONTHS_SINCE] = "'2020-02-29'",
    [FIELDTYPE_ID_BOOLEAN] = "yes",
    [FIELDTYPE_ID_JSON] = "true",
};

struct made {
    struct buf yaml;
    size_t leaves;
    bool sends_null;
};

static enum fieldtype_id choose_type(const struct target *target, unsigned choice)
{
    enum fieldtype_id type = target->type;
    for (unsigned i = 0; i < choice % FIELDTYPE_COUNT; i++) {
        do {
            type = (type + 1) % FIELDTYPE_COUNT;
        } while (!target_takes(target, type));
    }
    return type;
}

// What concerns one type only.
static void put_type_options(struct made *made, enum fieldtype_id type, unsigned choice)
{
    static const char *const codes[] = {"", ", calling_code: 44", ", calling_code: 39"};
    static const char *const zones[] = {"", ", timezone: '+05:30'", ", timezone: Europe/Berlin"};
    if (type == FIELDTYPE_ID_PHONE) {
        put(&made->yaml, codes[choice % 3]);
    } else if (type == FIELDTYPE_ID_TIMESTAMP || type == FIELDTYPE_ID_MONTHS_SINCE) {
        put(&made->yaml, zones[choice % 3]);
    } else if (type == FIELDTYPE_ID_MINOR_UNITS) {
        put(&made->yaml, ", currency: c");
    } else if (type == FIELDTYPE_ID_TEXT || type == FIELDTYPE_ID_EMAIL) {
        put(&made->yaml, choice % 3 == 1 ? ", max_length: 12" : "");
    }
}

// `bits` 0: none.
static void put_null_options(struct made *made, enum fieldtype_id type, unsigned bits)
{
    struct buf *out = &made->yaml;
    bool replaced = (bits & 1) != 0;
    if (replaced) {
        FUZZ_CHECK(buf_printf(out, ", default: %s", constants[type]));
    } else if ((bits & 2) != 0) {
        put(out, ", required: true");
    } else if ((bits & 4) != 0) {
        put(out, ", when_null: 'null'");
        made->sends_null = true;
    } else if ((bits & 8) != 0) {
        put(out, ", when_null: fail");
    }
    if ((bits & 16) != 0) {
        FUZZ_CHECK(buf_printf(out, ", map: {1: %s, 'true': %s, gold: ~}", constants[type],
                              constants[type]));
    }
    put(out, (bits & 32) != 0 ? ", on_invalid: omit" : "");
}

static void put_leaf(struct made *made, const struct target *target, const uint8_t *choices)
{
    enum fieldtype_id type = choose_type(target, choices[1]);
    struct buf *out = &made->yaml;
    bool currency = str_equal(str_of(target->path), STR("customer_history.ltv_currency"));
    const char *path = (choices[0] & 0x40) != 0 ? ".k" : "";
    char column = (char)('a' + (choices[0] >> 1) % COLUMNS);
    made->leaves++;
    FUZZ_CHECK(buf_printf(out, "{as: %s", fieldtype_get(type)->name));
    put_type_options(made, type, choices[3]);
    if (currency) {
        put(out, ", from: c"); // whatever goes with an amount
    } else if ((choices[0] & 0x80) != 0 && type != FIELDTYPE_ID_MINOR_UNITS) {
        FUZZ_CHECK(buf_printf(out, ", value: %s", constants[type]));
    } else {
        FUZZ_CHECK(buf_printf(out, ", from: %c%s", column, path));
        put_null_options(made, type, choices[2]);
    }
    put(out, "}, ");
}

// All targets of `object`, each if the lowest bit of its choices says so.
static void put_targets(struct made *made, const char *object, const uint8_t *head)
{
    size_t len = strlen(object);
    for (size_t i = 0; i + 1 < target_count(); i++) {
        const struct target *target = target_at(i);
        bool here =
            strncmp(target->path, object, len) == 0 && strchr(target->path + len, '.') == NULL;
        if (here && (head[i * TARGET_BYTES] & 1) != 0) {
            FUZZ_CHECK(buf_printf(&made->yaml, "%s: ", target->path + len));
            put_leaf(made, target, &head[i * TARGET_BYTES]);
        }
    }
}

static void put_metadata(struct made *made, const uint8_t *head)
{
    static const char *const names[METADATA_NAMES] = {"id", "' \"x\"\\'", "'é'"};
    size_t first = target_count() - 1;
    for (size_t i = 0; i < METADATA_NAMES; i++) {
        const uint8_t *choices = &head[(first + i) * TARGET_BYTES];
        if ((choices[0] & 1) != 0) {
            FUZZ_CHECK(buf_printf(&made->yaml, "%s: ", names[i]));
            put_leaf(made, target_at(first), choices);
        }
    }
}

// An object in which nothing stands is taken back: a mapping has none.
static void put_object(struct made *made, const char *name, const char *object, const uint8_t *head)
{
    size_t before = made->yaml.len;
    size_t leaves = made->leaves;
    FUZZ_CHECK(buf_printf(&made->yaml, "%s: {", name));
    if (strcmp(name, "metadata") == 0) {
        put_metadata(made, head);
    } else {
        put_targets(made, object, head);
    }
    if (strcmp(name, "customer_history") == 0) {
        put_object(made, "address", "customer_history.address.", head);
    }
    if (made->leaves == leaves) {
        buf_truncate(&made->yaml, before);
    } else {
        put(&made->yaml, "}, ");
    }
}

static struct mapping *make_mapping(struct made *made, const uint8_t *head)
{
    buf_init(&made->yaml, TEXT_CAP);
    put(&made->yaml, "mapping: {");
    put_targets(made, "", head);
    put_object(made, "customer_history", "customer_history.", head);
    put_object(made, "metadata", "", head);
    put(&made->yaml, "}\n");
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(buf_peek(&made->yaml), "f", problems);
    FUZZ_CHECK(tree != NULL && problems_count(problems) == 0);
    struct mapping *mapping =
        mapping_load(yaml_get(yaml_root(tree), STR("mapping")), NULL, problems);
    yaml_destroy(tree);
    problems_destroy(problems);
    return mapping;
}

// ---- the row ----

static const char *const texts[] = {
    "\"jane@example.com\"",
    "\"(415) 555-2671\"",
    "\"+44 (0)20 7946 0958\"",
    "\"en_US\"",
    "\"California\"",
    "\"US\"",
    "\"USD\"",
    "\"JPY\"",
    "\"340.00\"",
    "\"2025-02-13T19:08:07.123456+00:00\"",
    "\"2025-02-13\"",
    "\"infinity\"",
    "\"NaN\"",
    "\"gold\"",
    "\"\"",
    "\" \\t\"",
    "\"ZQXJ\"",
    "\"ZQXJ@ZQXJ\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"a\\u0007\\n\\\"\\\\b\\/\"",
    "null",
    "true",
    "false",
    "1",
    "0",
    "-0.0",
    "1e400",
    "9223372036854775807",
    "9223372036854775808",
    "123456789012345678901234567890.50",
    "1.5e-3",
};

enum { TEXT_COUNT = sizeof texts / sizeof texts[0] };

// Bytes beyond ASCII become characters of two and three bytes.
static void put_string(struct picks *picks, struct buf *out)
{
    unsigned len = pick_of(picks, 64);
    put(out, "\"");
    for (unsigned i = 0; i < len; i++) {
        unsigned byte = pick(picks);
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            FUZZ_CHECK(buf_printf(out, "\\u%04x", byte));
        } else if (byte < 0x80) {
            FUZZ_CHECK(buf_append_char(out, (char)byte));
        } else if (byte < 0xC0) {
            FUZZ_CHECK(buf_printf(out, "\xC2%c", (char)byte));
        } else {
            FUZZ_CHECK(buf_printf(out, "\xE2\x80%c", (char)(byte - 0x40)));
        }
    }
    put(out, "\"");
}

// Numbers, and texts that begin like numbers, dates and telephone numbers.
static void put_digits(struct picks *picks, struct buf *out)
{
    static const char *const forms[] = {"", "-", "\"", "\"+", "1e", "\"-"};
    static const char *const middles[] = {"", ".", "0000000000", "-02-", "e", ","};
    const char *form = forms[pick_of(picks, sizeof forms / sizeof forms[0])];
    const char *middle = middles[pick_of(picks, sizeof middles / sizeof middles[0])];
    bool number = strchr(form, '"') == NULL;
    middle = number && (strpbrk(middle, "-,") != NULL || form[0] == '1') ? "" : middle;
    unsigned first = 1 + 256 * pick(picks);
    first += pick(picks);
    FUZZ_CHECK(
        buf_printf(out, "%s%u%s%02u%s", form, first, middle, pick(picks), number ? "" : "\""));
}

static void put_times(struct buf *out, char c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(buf_append_char(out, c));
    }
}

// A text or a nesting whose size no small input could hold: up to 128 KiB, or 2,048 levels.
static void put_huge(struct picks *picks, struct buf *out)
{
    size_t size = (size_t)1 << pick_of(picks, 18);
    if (pick_of(picks, 2) == 0) {
        size = size < 2048 ? size : 2048;
        put_times(out, '[', size);
        put_times(out, ']', size);
    } else {
        put(out, "\"");
        put_times(out, 'x', size);
        put(out, "\"");
    }
}

// Recursion ends with VALUE_DEPTH.
static void put_value(struct picks *picks, struct buf *out, int depth)
{
    switch (pick_of(picks, depth == VALUE_DEPTH ? 4 : 8)) {
    case 0:
        put_string(picks, out);
        break;
    case 1:
        put_digits(picks, out);
        break;
    case 4:
        put(out, "{ \"k\" : ");
        put_value(picks, out, depth + 1);
        put(out, " }");
        break;
    case 5:
        put(out, "[");
        put_value(picks, out, depth + 1);
        put(out, ", ");
        put_value(picks, out, depth + 1);
        put(out, "]");
        break;
    case 6:
        put_huge(picks, out);
        break;
    default:
        put(out, texts[pick_of(picks, TEXT_COUNT)]);
        break;
    }
}

static void put_row(struct picks *picks, struct buf *out)
{
    unsigned present = pick(picks);
    bool first = true;
    put(out, "{");
    for (unsigned i = 0; i < COLUMNS; i++) {
        if ((present >> i & 1) == 0) {
            bool escaped = i == 1 && (present & 0x80) != 0; // b may be written \\u0062
            put(out, first ? "\"" : ", \"");
            FUZZ_CHECK(buf_printf(out, escaped ? "\\u%04x" : "%c", 'a' + i));
            put(out, "\":");
            put_value(picks, out, 0);
            first = false;
        }
    }
    put(out, "}");
}

// ---- what is promised ----

struct promise {
    const struct mapping *mapping;
    struct str reasons;
    enum mapper_result result;
    size_t notes;
    size_t broken;
    size_t sent;
};

static void take_note(void *ctx, const struct mapper_note *note)
{
    struct promise *promise = ctx;
    int states = (note->reason != NULL) + (note->left_out != NULL) + (note->json.len > 0);
    FUZZ_CHECK(note->target != NULL && note->type != NULL && states <= 1);
    promise->notes++;
    promise->broken += note->reason != NULL;
    promise->sent += note->json.len > 0;
}

static void check_reasons(struct str reasons)
{
    FUZZ_CHECK(reasons.len > 0 && reasons.len <= REASONS_MOST);
    FUZZ_CHECK(fuzz_is_printable(reasons));
    FUZZ_CHECK(memmem(reasons.ptr, reasons.len, "ZQXJ", 4) == NULL); // of `texts`
}

// Takes out the nulls that the mapping asked for, of which the contract says nothing.
static void drop_nulls(struct json_object *object)
{
    struct json_object_iter entry;
    const char *keys[64];
    size_t count = 0;
    json_object_object_foreachC(object, entry)
    {
        if (entry.val == NULL) {
            keys[count++] = entry.key;
        } else if (json_object_is_type(entry.val, json_type_object) &&
                   strcmp(entry.key, "metadata") != 0) {
            drop_nulls(entry.val);
        }
    }
    for (size_t i = 0; i < count; i++) {
        json_object_object_del(object, keys[i]);
    }
}

// An amount in minor units never goes without its currency.
static void check_amount(struct json_object *body, const struct mapping *mapping)
{
    struct json_object *history = NULL;
    const struct mapping_leaf *leaf =
        mapping_leaf_find(mapping, STR("customer_history.ltv_amount"));
    if (leaf == NULL || leaf->type->id != FIELDTYPE_ID_MINOR_UNITS ||
        !json_object_object_get_ex(body, "customer_history", &history) ||
        !json_object_object_get_ex(history, "ltv_amount", NULL)) {
        return;
    }
    FUZZ_CHECK(json_object_object_get_ex(history, "ltv_currency", NULL));
}

static void check_body(struct str text, const struct made *made, const struct mapping *mapping)
{
    struct json_object *body = NULL;
    const char *why = NULL;
    struct findings findings = {0};
    if (!json_read(text.ptr, text.len, &body, &why)) {
        // A value of 32 levels, which may be sent as metadata, is more than the reader takes.
        FUZZ_CHECK(strcmp(why, "nested too deeply") == 0);
        FUZZ_CHECK(jsontext_check(text, 2 + 32, NULL));
        return;
    }
    if (made->sends_null) {
        drop_nulls(body);
    }
    check_amount(body, mapping);
    bool empty = json_object_object_length(body) == 0;
    FUZZ_CHECK(contract_check(body, &findings) || (empty && made->sends_null));
    findings_free(&findings);
    json_object_put(body);
}

static void check_run(struct mapper *mapper, const struct row *row, const struct made *made,
                      size_t cap, int64_t wall_ns)
{
    struct promise promise = {.mapping = row->mapping};
    struct buf body;
    struct buf again;
    buf_init(&body, cap);
    buf_init(&again, cap);
    enum mapper_result result = mapper_map(mapper, row, wall_ns, &body, take_note, &promise);
    FUZZ_CHECK(promise.notes == mapping_leaf_count(row->mapping));
    FUZZ_CHECK((result == MAPPER_RESULT_INVALID) == (promise.broken > 0));
    FUZZ_CHECK((result == MAPPER_RESULT_BODY) == (body.len > 0) && body.len <= cap);
    if (result == MAPPER_RESULT_INVALID) {
        check_reasons(mapper_reasons(mapper));
    }
    if (result == MAPPER_RESULT_BODY) {
        FUZZ_CHECK(promise.sent > 0);
        check_body(buf_peek(&body), made, row->mapping);
    }
    FUZZ_CHECK(mapper_map(mapper, row, wall_ns, &again, NULL, NULL) == result);
    FUZZ_CHECK(str_equal(buf_peek(&body), buf_peek(&again)));
    buf_free(&again);
    buf_free(&body);
}

// ---- one input ----

// Application rows, then perhaps the source's. False when one is no JSON that Postgres would hold.
static bool fill_row(struct row *row, struct buf *json, struct picks *picks, unsigned run)
{
    if ((run & 1) != 0) {
        struct json_object *value = NULL;
        const char *why = NULL;
        struct str text = {(const char *)picks->at, (size_t)(picks->end - picks->at)};
        bool added = row_add(row, text, (run & 2) != 0);
        bool good = json_read(text.ptr, text.len, &value, &why);
        json_object_put(value);
        return added && good;
    }
    size_t ends[3];
    size_t count = 1 + (run >> 2) % 3;
    for (size_t i = 0; i < count; i++) {
        put_row(picks, json);
        ends[i] = json->len;
    }
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        size_t start = i == 0 ? 0 : ends[i - 1];
        struct str text = {json->data + start, ends[i] - start};
        FUZZ_CHECK(row_add(row, text, i + 1 == count && (run & 2) != 0));
        good = good && jsontext_check(text, ROW_DEPTH, NULL);
    }
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t caps[] = {BODY_CAP, BODY_CAP / 16, 300, 40};
    uint8_t head[64 * TARGET_BYTES + RUN_BYTES] = {0};
    size_t mapping_bytes = (target_count() - 1 + METADATA_NAMES) * TARGET_BYTES;
    size_t head_bytes = mapping_bytes + RUN_BYTES;
    FUZZ_CHECK(head_bytes <= sizeof head);
    memcpy(head, data, size < head_bytes ? size : head_bytes);
    struct made made = {.leaves = 0};
    struct mapping *mapping = make_mapping(&made, head);
    if (mapping != NULL) {
        size_t skip = size < head_bytes ? size : head_bytes;
        struct picks picks = {data + skip, data + size};
        const uint8_t *run = &head[mapping_bytes];
        struct mapper *mapper = mapper_create();
        struct buf json;
        struct row row;
        buf_init(&json, TEXT_CAP);
        row_init(&row, mapping);
        bool good = fill_row(&row, &json, &picks, run[0]);
        int64_t wall_ns = (int64_t)run[2] * 86400 * 366 * 1000000000 / 2;
        if (good) {
            check_run(mapper, &row, &made, caps[run[1] % 4], wall_ns);
        } else { // then only that it does no harm
            struct buf body;
            buf_init(&body, BODY_CAP);
            (void)mapper_map(mapper, &row, wall_ns, &body, NULL, NULL);
            buf_free(&body);
        }
        row_free(&row);
        buf_free(&json);
        mapper_destroy(mapper);
    }
    mapping_destroy(mapping);
    buf_free(&made.yaml);
    return 0;
}
