#include "config/mapping_load.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/value.h"
#include "domain/target.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ZONE_FOLDER "/usr/share/zoneinfo/"
#define MAX_LENGTH_MOST INT64_C(1000000)

enum {
    PATH_CAP = 2048,
    NAME_BYTES = 128, // of a metadata name or of one column path
    NAMES_MAX = 32,   // members of an object, types, options
    CONSTANT_CAP = 4 << 20,
    ZONE_FILE_CAP = 256 << 10,
    ZONE_NAME_BYTES = 64,
};

struct loader {
    struct mapping *mapping;
    struct problems *problems;
    struct buf path;   // "mapping.customer_history.ltv_amount", as problems name the present node
    bool omit_invalid; // the top-level `on_invalid`
    int64_t wall_ns;
    struct buf json; // of the present constant
    struct buf converted;
    struct buf scratch;
};

// In the order of reading, which puts what a constant is checked with before the constants.
enum option_id {
    OPTION_ID_AS,
    OPTION_ID_FROM,
    OPTION_ID_CURRENCY,
    OPTION_ID_CALLING_CODE,
    OPTION_ID_TIMEZONE,
    OPTION_ID_MAX_LENGTH,
    OPTION_ID_REQUIRED,
    OPTION_ID_ON_INVALID,
    OPTION_ID_WHEN_NULL,
    OPTION_ID_VALUE,
    OPTION_ID_MAP,
    OPTION_ID_DEFAULT,
};
enum { OPTION_COUNT = OPTION_ID_DEFAULT + 1 };

// A leaf that is being read.
struct draft {
    const struct target *target;
    const struct yaml_node *options[OPTION_COUNT]; // NULL: not given
    struct mapping_leaf leaf;                      // `type` is NULL when `as` was wrong
};

struct option {
    const char *name;
    bool beside_value; // goes with a constant
    // Reads the option's value into the leaf, or reports.
    void (*read)(struct loader *loader, const struct yaml_node *node, struct draft *draft);
    const char *help;
};

// ---- messages ----

// Adds ".name" to the path in messages; returns what pop() takes.
static size_t push(struct loader *loader, struct str name)
{
    size_t before = loader->path.len;
    // A path that is too long is only shown shorter: names are checked elsewhere.
    bool fits = buf_append_char(&loader->path, '.') && buf_append_str(&loader->path, name);
    (void)fits;
    return before;
}

static void pop(struct loader *loader, size_t before)
{
    buf_truncate(&loader->path, before);
}

// The path without "mapping."; empty for the mapping itself.
static struct str target_path(const struct loader *loader)
{
    struct str path = buf_peek(&loader->path);
    size_t prefix = sizeof "mapping." - 1;
    return path.len <= prefix ? STR("") : (struct str){path.ptr + prefix, path.len - prefix};
}

#define report(loader, place, ...)                                                                 \
    problems_add((loader)->problems, (place), (loader)->path.data, __VA_ARGS__)

// "what "found": did you mean NEAREST?", or the whole list when nothing is near.
static void report_unknown(struct loader *loader, struct yaml_place place, const char *what,
                           struct str found, const char *const *names, size_t count)
{
    const char *nearest = str_nearest(found, names, count);
    if (nearest != NULL) {
        report(loader, place, "unknown %s \"%.*s\"; did you mean \"%s\"?", what,
               STR_ARG(problems_excerpt(found)), nearest);
        return;
    }
    struct buf list;
    buf_init(&list, PATH_CAP);
    bool fits = true;
    for (size_t i = 0; fits && i < count; i++) {
        fits = buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    report(loader, place, "unknown %s \"%.*s\"; allowed: %.*s", what,
           STR_ARG(problems_excerpt(found)), STR_ARG(buf_peek(&list)));
    buf_free(&list);
}

// ---- scalars ----

static const char *kind_words(const struct yaml_node *node)
{
    switch (node->kind) {
    case YAML_KIND_NULL:
        return "is empty";
    case YAML_KIND_SCALAR:
        return "is a single value";
    case YAML_KIND_SEQUENCE:
        return "is a list";
    case YAML_KIND_MAPPING:
        return node->count == 0 ? "is empty" : "is a mapping";
    }
    return "";
}

static bool is_scalar(struct loader *loader, const struct yaml_node *node, const char *allowed)
{
    if (node->kind != YAML_KIND_SCALAR) {
        report(loader, node->place, "%s; allowed: %s", kind_words(node), allowed);
    }
    return node->kind == YAML_KIND_SCALAR;
}

static bool is_full_mapping(struct loader *loader, const struct yaml_node *node,
                            const char *allowed)
{
    bool ok = node->kind == YAML_KIND_MAPPING && node->count > 0;
    if (!ok) {
        report(loader, node->place, "%s; allowed: %s", kind_words(node), allowed);
    }
    return ok;
}

// Reads one of `count` words; -1 after reporting.
static int read_word(struct loader *loader, const struct yaml_node *node, const char *const *words,
                     int count, const char *allowed)
{
    if (!is_scalar(loader, node, allowed)) {
        return -1;
    }
    for (int i = 0; i < count; i++) {
        if (str_equal(node->text, str_of(words[i]))) {
            return i;
        }
    }
    report(loader, node->place, "is \"%.*s\"; allowed: %s", STR_ARG(problems_excerpt(node->text)),
           allowed);
    return -1;
}

// Names end up in messages, in reasons and in the request: they are kept short and printable.
static bool is_name(struct loader *loader, struct yaml_place place, struct str name)
{
    if (name.len == 0) {
        report(loader, place, "an empty name");
        return false;
    }
    if (name.len > NAME_BYTES) {
        report(loader, place, "a name of %zu bytes; at most %d are allowed", name.len,
               (int)NAME_BYTES);
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7F) {
            report(loader, place, "a name with a control character");
            return false;
        }
    }
    return true;
}

// ---- constants ----

// What a scalar is in JSON: as in YAML 1.2, unquoted `true`, `false` and JSON's numbers are no
// texts. 007 and 1.2.3 are: a postal code keeps its zeros.
static enum jsontext_kind scalar_kind(const struct yaml_node *node)
{
    if (node->quoted) {
        return JSONTEXT_KIND_STRING;
    }
    if (!jsontext_check(node->text, 1, NULL)) {
        return JSONTEXT_KIND_STRING;
    }
    enum jsontext_kind kind = jsontext_of(node->text).kind;
    return kind == JSONTEXT_KIND_BOOLEAN || kind == JSONTEXT_KIND_NUMBER ? kind
                                                                         : JSONTEXT_KIND_STRING;
}

// The constant as the mapping keeps it. Kind ABSENT after reporting.
static struct jsontext constant_text(struct loader *loader, const struct yaml_node *node)
{
    struct jsontext constant = {.kind = JSONTEXT_KIND_ABSENT};
    if (!is_scalar(loader, node, "a single value")) {
        return constant;
    }
    if (value_has_variable(node->text)) {
        report(loader, node->place, "holds a ${...}; the mapping takes no variables");
        return constant;
    }
    buf_reset(&loader->json);
    constant.kind = scalar_kind(node);
    bool fits = constant.kind == JSONTEXT_KIND_STRING ? jsontext_encode(node->text, &loader->json)
                                                      : buf_append_str(&loader->json, node->text);
    if (!fits) {
        report(loader, node->place, "is too long");
        return (struct jsontext){.kind = JSONTEXT_KIND_ABSENT};
    }
    constant.text = mapping_keep(loader->mapping, buf_peek(&loader->json));
    return constant;
}

// Runs the type over a constant, so that a wrong one stops the start and not every row.
static bool constant_passes(struct loader *loader, const struct yaml_node *node,
                            const struct draft *draft, struct jsontext constant)
{
    struct fieldtype_input input = {
        .value = constant,
        .options = &draft->leaf.options,
        // The row's currency is not known here. What yen take, which have no decimals, all take.
        .currency = STR("JPY"),
        .wall_ns = loader->wall_ns,
        .scratch = &loader->scratch,
    };
    buf_reset(&loader->converted);
    const char *reason = draft->leaf.type->convert(&input, &loader->converted);
    if (reason != NULL) {
        report(loader, node->place, "\"%.*s\" %s", STR_ARG(problems_excerpt(node->text)), reason);
    }
    return reason == NULL;
}

// A constant that its type takes; kind ABSENT after reporting.
static struct jsontext read_constant(struct loader *loader, const struct yaml_node *node,
                                     const struct draft *draft)
{
    struct jsontext constant = constant_text(loader, node);
    if (constant.kind != JSONTEXT_KIND_ABSENT && !constant_passes(loader, node, draft, constant)) {
        constant.kind = JSONTEXT_KIND_ABSENT;
    }
    return constant;
}

// ---- options ----

static size_t fieldtype_names(uint32_t feeds, const char **names)
{
    size_t count = 0;
    for (int id = 0; id < FIELDTYPE_COUNT; id++) {
        if ((feeds >> id & 1) != 0) {
            names[count++] = fieldtype_get((enum fieldtype_id)id)->name;
        }
    }
    return count;
}

static void report_feed(struct loader *loader, const struct yaml_node *node,
                        const struct draft *draft, const struct fieldtype *type)
{
    if (type->id == FIELDTYPE_ID_JSON) {
        report(loader, node->place, "type json is allowed below metadata only");
        return;
    }
    const char *names[NAMES_MAX];
    size_t count = fieldtype_names(draft->target->feeds, names);
    struct buf list;
    buf_init(&list, PATH_CAP);
    bool fits = true;
    for (size_t i = 0; fits && i < count; i++) {
        fits = buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    report(loader, node->place, "type %s cannot feed %s; allowed: %.*s", type->name,
           draft->target->path, STR_ARG(buf_peek(&list)));
    buf_free(&list);
}

static void read_as(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    draft->leaf.type = NULL;
    if (!is_scalar(loader, node, "the name of a type")) {
        return;
    }
    const struct fieldtype *type = fieldtype_find(node->text);
    if (type == NULL) {
        const char *names[NAMES_MAX];
        size_t count = fieldtype_names(UINT32_MAX, names);
        report_unknown(loader, node->place, "type", node->text, names, count);
    } else if (!target_takes(draft->target, type->id)) {
        report_feed(loader, node, draft, type);
    } else {
        draft->leaf.type = type;
    }
}

static void read_path(struct loader *loader, const struct yaml_node *node,
                      struct mapping_path *path)
{
    struct err err;
    if (!is_scalar(loader, node, "a column, or a path such as address.line1") ||
        !is_name(loader, node->place, node->text)) {
        return;
    }
    if (!mapping_path_compile(loader->mapping, node->text, path, &err)) {
        report(loader, node->place, "the path \"%.*s\" %s", STR_ARG(problems_excerpt(node->text)),
               err.text);
    }
}

static void read_from(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    read_path(loader, node, &draft->leaf.from);
}

static void read_currency(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    if (draft->leaf.type->id != FIELDTYPE_ID_MINOR_UNITS) {
        report(loader, node->place, "goes with type minor_units only, not with %s",
               draft->leaf.type->name);
        return;
    }
    read_path(loader, node, &draft->leaf.currency);
}

static void read_calling_code(struct loader *loader, const struct yaml_node *node,
                              struct draft *draft)
{
    const char *allowed = "1 to 3 digits that do not begin with 0, such as 44";
    if (draft->leaf.type->id != FIELDTYPE_ID_PHONE) {
        report(loader, node->place, "goes with type phone only, not with %s",
               draft->leaf.type->name);
        return;
    }
    if (!is_scalar(loader, node, allowed)) {
        return;
    }
    struct str code = node->text;
    bool ok = code.len >= 1 && code.len <= 3 && code.ptr[0] != '0';
    for (size_t i = 0; i < code.len; i++) {
        ok = ok && str_is_digit(code.ptr[i]);
    }
    if (!ok) {
        report(loader, node->place, "is \"%.*s\"; allowed: %s", STR_ARG(problems_excerpt(code)),
               allowed);
        return;
    }
    draft->leaf.options.calling_code = mapping_keep(loader->mapping, code);
}

// A name of the zone database that cannot lead out of its folder.
static bool is_zone_name(struct str name)
{
    bool ok = name.len > 0 && name.len <= ZONE_NAME_BYTES && name.ptr[0] != '/';
    for (size_t i = 0; ok && i < name.len; i++) {
        char c = str_lower_char(name.ptr[i]);
        ok = (c >= 'a' && c <= 'z') || str_is_digit(c) || strchr("_+/-", c) != NULL;
    }
    return ok;
}

static bool read_file(const char *path, struct buf *content)
{
    char block[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    ssize_t got = 0;
    bool fits = true;
    do {
        got = read(fd, block, sizeof block);
        fits = got <= 0 || buf_append(content, block, (size_t)got);
    } while (got > 0 && fits);
    close(fd);
    return got == 0 && fits && content->len > 0;
}

static struct zone *zone_named(struct str name)
{
    char path[sizeof ZONE_FOLDER + ZONE_NAME_BYTES];
    struct buf content;
    if (!is_zone_name(name)) {
        return NULL;
    }
    snprintf(path, sizeof path, ZONE_FOLDER "%.*s", STR_ARG(name));
    buf_init(&content, ZONE_FILE_CAP);
    struct zone *zone = read_file(path, &content) ? zone_parse(buf_peek(&content), NULL) : NULL;
    buf_free(&content);
    return zone;
}

static void read_timezone(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    enum fieldtype_id type = draft->leaf.type->id;
    if (type != FIELDTYPE_ID_TIMESTAMP && type != FIELDTYPE_ID_MONTHS_SINCE) {
        report(loader, node->place, "goes with types timestamp and months_since only, not with %s",
               draft->leaf.type->name);
        return;
    }
    if (!is_scalar(loader, node, "a time zone, such as UTC or America/New_York")) {
        return;
    }
    struct zone *zone = zone_fixed(node->text);
    zone = zone == NULL ? zone_named(node->text) : zone;
    if (zone == NULL) {
        report(loader, node->place,
               "unknown time zone \"%.*s\"; allowed: UTC, an offset such as +02:00, or a name "
               "below " ZONE_FOLDER ", such as America/New_York",
               STR_ARG(problems_excerpt(node->text)));
        return;
    }
    mapping_keep_zone(loader->mapping, zone);
    draft->leaf.options.zone = zone;
}

static void read_max_length(struct loader *loader, const struct yaml_node *node,
                            struct draft *draft)
{
    const char *allowed = "a number of characters from 1 to 1000000";
    int64_t length = 0;
    if (draft->leaf.type->makes != FIELDTYPE_MAKES_STRING) {
        report(loader, node->place, "goes with types that make a text only, not with %s",
               draft->leaf.type->name);
        return;
    }
    if (!is_scalar(loader, node, allowed)) {
        return;
    }
    if (!value_parse_count(node->text, &length) || length < 1 || length > MAX_LENGTH_MOST) {
        report(loader, node->place, "is \"%.*s\"; allowed: %s",
               STR_ARG(problems_excerpt(node->text)), allowed);
        return;
    }
    draft->leaf.options.max_length = length;
}

static void read_required(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    static const char *const words[] = {"false", "true"};
    draft->leaf.required = read_word(loader, node, words, 2, "true, false") == 1;
    if (draft->leaf.required && draft->options[OPTION_ID_DEFAULT] != NULL) {
        report(loader, node->place, "does not go with default, which replaces NULL");
    }
}

// True for omit, false for fail and after reporting.
static bool read_omit(struct loader *loader, const struct yaml_node *node)
{
    static const char *const words[] = {"fail", "omit"};
    return read_word(loader, node, words, 2, "fail, omit") == 1;
}

static void read_on_invalid(struct loader *loader, const struct yaml_node *node,
                            struct draft *draft)
{
    draft->leaf.omit_invalid = read_omit(loader, node);
}

static void read_when_null(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    static const char *const words[] = {
        [MAPPING_NULL_OMIT] = "omit",
        [MAPPING_NULL_SEND] = "null",
        [MAPPING_NULL_FAIL] = "fail",
    };
    // `when_null: null` is natural to write, and YAML's null.
    struct yaml_node text = *node;
    if (text.kind == YAML_KIND_NULL) {
        text =
            (struct yaml_node){.kind = YAML_KIND_SCALAR, .place = node->place, .text = STR("null")};
    }
    int word = read_word(loader, &text, words, 3, "omit, null, fail");
    if (word < 0) {
        return;
    }
    draft->leaf.when_null = (enum mapping_null)word;
    if (draft->leaf.required && word != MAPPING_NULL_FAIL) {
        report(loader, node->place, "does not go with required, which refuses NULL");
    }
    // With a map there is still the NULL that the map itself gives.
    if (draft->options[OPTION_ID_DEFAULT] != NULL && draft->options[OPTION_ID_MAP] == NULL) {
        report(loader, node->place, "does not go with default, which replaces NULL");
    }
}

static void read_value(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    if (draft->leaf.type->id == FIELDTYPE_ID_MINOR_UNITS) {
        report(loader, node->place,
               "type minor_units takes no constant, as the currency is not known; use `as: "
               "integer` with the minor units");
        return;
    }
    draft->leaf.constant = read_constant(loader, node, draft);
}

static bool is_map_key(struct loader *loader, const struct yaml_pair *pair,
                       const struct draft *draft)
{
    if (str_trim(pair->key).len != pair->key.len) {
        report(loader, pair->key_place,
               "the key can never match; values are compared without white space at the ends");
        return false;
    }
    if (str_equal(pair->key, STR("null")) && draft->leaf.required) {
        report(loader, pair->key_place, "the key can never match, as required refuses NULL");
        return false;
    }
    return true;
}

static void read_choice(struct loader *loader, const struct yaml_pair *pair, struct draft *draft)
{
    if (!is_map_key(loader, pair, draft)) {
        return;
    }
    struct jsontext result = {.kind = JSONTEXT_KIND_NULL, .text = STR("null")};
    if (pair->value->kind != YAML_KIND_NULL) {
        result = read_constant(loader, pair->value, draft);
    }
    draft->leaf.choices[draft->leaf.choice_count++] = (struct mapping_choice){
        .key = mapping_keep(loader->mapping, pair->key),
        .result = result,
    };
}

static void read_map(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    if (!is_full_mapping(loader, node, "a mapping of values to results, such as {1: GOLD}")) {
        return;
    }
    draft->leaf.choices =
        mapping_alloc(loader->mapping, node->count, sizeof draft->leaf.choices[0]);
    for (size_t i = 0; i < node->count; i++) {
        size_t before = push(loader, node->pairs[i].key);
        read_choice(loader, &node->pairs[i], draft);
        pop(loader, before);
    }
}

static void read_default(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    draft->leaf.fallback = read_constant(loader, node, draft);
}

static const struct option options[] = {
    [OPTION_ID_AS] = {"as", true, read_as, "The type; without it the target's own."},
    [OPTION_ID_FROM] = {"from", false, read_from, "The column, or a path into a json column."},
    [OPTION_ID_CURRENCY] = {"currency", false, read_currency,
                            "minor_units: the column with the currency of the amount."},
    [OPTION_ID_CALLING_CODE] = {"calling_code", true, read_calling_code,
                                "phone: the country calling code of national numbers (1)."},
    [OPTION_ID_TIMEZONE] = {"timezone", true, read_timezone,
                            "timestamp, months_since: the zone of values without one (UTC)."},
    [OPTION_ID_MAX_LENGTH] = {"max_length", true, read_max_length,
                              "Characters of the result; a longer one is invalid."},
    [OPTION_ID_REQUIRED] = {"required", false, read_required,
                            "true: NULL breaks the row, and so does a source row without the "
                            "column."},
    [OPTION_ID_ON_INVALID] = {"on_invalid", false, read_on_invalid,
                              "What an invalid value does: fail breaks the row, omit leaves the "
                              "field out."},
    [OPTION_ID_WHEN_NULL] = {"when_null", false, read_when_null,
                             "What NULL does: omit leaves the field out, null sends null, fail "
                             "breaks the row."},
    [OPTION_ID_VALUE] = {"value", true, read_value,
                         "A constant instead of a column; sent only with another field of the "
                         "same object."},
    [OPTION_ID_MAP] = {"map", false, read_map,
                       "Replaces values before the type is applied; what is not in it is invalid "
                       "unless there is a default."},
    [OPTION_ID_DEFAULT] = {"default", false, read_default,
                           "Replaces NULL and values that are not in the map, never an absent "
                           "column."},
};
static_assert(sizeof options / sizeof options[0] == OPTION_COUNT, "a row for each option");

size_t mapping_load_option_count(void)
{
    return OPTION_COUNT;
}

const char *mapping_load_option_name(size_t index)
{
    return options[index].name;
}

const char *mapping_load_option_help(size_t index)
{
    return options[index].help;
}

// ---- leaves ----

// Sorts the pairs of a long form by option.
static void collect_options(struct loader *loader, const struct yaml_node *node,
                            struct draft *draft)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_pair *pair = &node->pairs[i];
        size_t id = 0;
        while (id < OPTION_COUNT && !str_equal(pair->key, str_of(options[id].name))) {
            id++;
        }
        if (id < OPTION_COUNT) {
            draft->options[id] = pair->value;
            continue;
        }
        const char *names[OPTION_COUNT];
        for (size_t name = 0; name < OPTION_COUNT; name++) {
            names[name] = options[name].name;
        }
        report_unknown(loader, pair->key_place, "option", pair->key, names, OPTION_COUNT);
    }
}

// What needs no look into the options' values.
static bool check_combination(struct loader *loader, const struct yaml_node *node,
                              const struct draft *draft)
{
    const struct yaml_node *value = draft->options[OPTION_ID_VALUE];
    const struct yaml_node *from = draft->options[OPTION_ID_FROM];
    if (value == NULL && from == NULL) {
        report(loader, node->place, "has neither from (a column) nor value (a constant)");
        return false;
    }
    bool ok = true;
    for (size_t id = 0; value != NULL && id < OPTION_COUNT; id++) {
        if (draft->options[id] != NULL && !options[id].beside_value) {
            report(loader, draft->options[id]->place, "%s does not go with value, a constant",
                   options[id].name);
            ok = false;
        }
    }
    return ok;
}

static void read_options(struct loader *loader, struct draft *draft)
{
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        // Without the type, which was reported, nothing more can be said about the rest.
        if (draft->options[id] != NULL && draft->leaf.type != NULL) {
            size_t before = push(loader, str_of(options[id].name));
            options[id].read(loader, draft->options[id], draft);
            pop(loader, before);
        }
    }
}

static void read_long_form(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    collect_options(loader, node, draft);
    if (check_combination(loader, node, draft)) {
        read_options(loader, draft);
    }
}

static void read_short_form(struct loader *loader, const struct yaml_node *node,
                            struct draft *draft)
{
    if (is_scalar(loader, node, "a column, or a mapping with from or value")) {
        read_path(loader, node, &draft->leaf.from);
    }
}

static void check_currency_given(struct loader *loader, const struct yaml_node *node,
                                 const struct draft *draft)
{
    if (draft->leaf.type->id == FIELDTYPE_ID_MINOR_UNITS && draft->leaf.currency.text.len == 0) {
        report(loader, node->place,
               "type minor_units needs the option currency, the column with the currency");
    }
}

static void load_leaf(struct loader *loader, const struct yaml_pair *pair,
                      const struct target *target)
{
    size_t before = problems_count(loader->problems);
    struct draft draft = {
        .target = target,
        .leaf = {.type = fieldtype_get(target->type), .omit_invalid = loader->omit_invalid},
    };
    if (pair->value->kind == YAML_KIND_MAPPING) {
        read_long_form(loader, pair->value, &draft);
    } else {
        read_short_form(loader, pair->value, &draft);
    }
    if (problems_count(loader->problems) == before) {
        check_currency_given(loader, pair->value, &draft);
    }
    if (problems_count(loader->problems) > before) {
        return;
    }
    struct err err;
    draft.leaf.target = mapping_keep(loader->mapping, target_path(loader)).ptr;
    if (!mapping_add(loader->mapping, pair->key, &draft.leaf, &err)) {
        report(loader, pair->value->place, "%s", err.text);
    }
}

// ---- the tree ----

// The target elsewhere in the tree that has this name: "country" stands below
// "customer_history.address" only.
static const char *target_elsewhere(struct str name)
{
    for (size_t i = 0; i < target_count(); i++) {
        const char *path = target_at(i)->path;
        const char *dot = strrchr(path, '.');
        if (dot != NULL && str_equal(name, str_of(dot + 1))) {
            return path;
        }
    }
    return NULL;
}

static void report_target(struct loader *loader, const struct yaml_pair *pair, struct str object)
{
    const char *elsewhere = target_elsewhere(pair->key);
    const char *names[NAMES_MAX];
    if (memchr(pair->key.ptr, '.', pair->key.len) != NULL) {
        report(loader, pair->key_place,
               "unknown target; a field of an object is written below it, indented");
    } else if (elsewhere != NULL) {
        report(loader, pair->key_place, "unknown target here; did you mean \"%s\"?", elsewhere);
    } else {
        size_t count = target_members(object, names, NAMES_MAX);
        report_unknown(loader, pair->key_place, "target", pair->key, names,
                       count < NAMES_MAX ? count : NAMES_MAX);
    }
}

static void load_object(struct loader *loader, const struct yaml_node *node);

static void load_child(struct loader *loader, const struct yaml_pair *pair)
{
    mapping_open(loader->mapping, pair->key);
    load_object(loader, pair->value);
    mapping_close(loader->mapping);
}

// `metadata: {from: x, as: json}` would quietly make fields called "from" and "as".
static void load_metadata(struct loader *loader, const struct yaml_pair *pair)
{
    bool word = str_equal(pair->key, STR("from")) || str_equal(pair->key, STR("value"));
    if (word && pair->value->kind == YAML_KIND_SCALAR) {
        report(loader, pair->key_place,
               "metadata is an object, not a field; a member with this name needs the long form "
               "{from: COLUMN}");
        return;
    }
    load_leaf(loader, pair, target_find(target_path(loader)));
}

static void load_known(struct loader *loader, const struct yaml_pair *pair, struct str object)
{
    struct str path = target_path(loader);
    // A key with a dot is no name, even where together with its object it looks like a path.
    bool name = memchr(pair->key.ptr, '.', pair->key.len) == NULL;
    const struct target *target = name ? target_find(path) : NULL;
    if (name && target_is_object(path)) {
        load_child(loader, pair);
    } else if (target != NULL) {
        load_leaf(loader, pair, target);
    } else {
        report_target(loader, pair, object);
    }
}

static void load_pair(struct loader *loader, const struct yaml_pair *pair, struct str object)
{
    size_t before = push(loader, pair->key);
    // Before anything is looked up: the path of an empty or an endless name is not its own.
    if (is_name(loader, pair->key_place, pair->key)) {
        if (str_equal(object, STR("metadata"))) {
            load_metadata(loader, pair);
        } else {
            load_known(loader, pair, object);
        }
    }
    pop(loader, before);
}

// Calls itself for the three objects of the contract only, whatever the file holds.
static void load_object(struct loader *loader, const struct yaml_node *node)
{
    if (!is_full_mapping(loader, node, "a mapping of targets")) {
        return;
    }
    char object[NAME_BYTES];
    struct str path = target_path(loader);
    assert(path.len < sizeof object); // the path of a known object
    memcpy(object, path.ptr, path.len);
    for (size_t i = 0; i < node->count; i++) {
        // The buffer behind the path may move: the object's own is a copy.
        load_pair(loader, &node->pairs[i], (struct str){object, path.len});
    }
}

// ---- what concerns several leaves ----

static void check_currency(struct loader *loader, const struct yaml_node *node,
                           const struct mapping_leaf *currency, struct str column)
{
    if (!str_equal(currency->from.text, column)) {
        report(loader, node->place,
               "must come from the column \"%.*s\", as the currency of ltv_amount does",
               STR_ARG(column));
    } else if (currency->choice_count > 0 || currency->options.max_length > 0) {
        report(loader, node->place,
               "must be sent as it is in the column \"%.*s\", by which ltv_amount is counted: "
               "without map and max_length",
               STR_ARG(column));
    }
}

// An amount means nothing without its currency, and sent with another it would be wrong by a
// factor: both must come from the same column, unchanged.
static void check_amount(struct loader *loader, const struct yaml_node *history)
{
    const struct yaml_node *node = yaml_get(history, STR("ltv_currency"));
    const struct mapping_leaf *amount =
        mapping_leaf_find(loader->mapping, STR("customer_history.ltv_amount"));
    const struct mapping_leaf *currency =
        mapping_leaf_find(loader->mapping, STR("customer_history.ltv_currency"));
    if (amount == NULL || amount->currency.text.len == 0) {
        return;
    }
    if (node == NULL) {
        size_t before = push(loader, STR("ltv_amount"));
        report(loader, yaml_get(history, STR("ltv_amount"))->place,
               "needs ltv_currency beside it, from the same column \"%s\"",
               amount->currency.text.ptr);
        pop(loader, before);
    } else if (currency != NULL) { // else it is broken, and was reported
        size_t before = push(loader, STR("ltv_currency"));
        check_currency(loader, node, currency, amount->currency.text);
        pop(loader, before);
    }
}

static void check_columns(struct loader *loader, const struct yaml_node *node)
{
    for (size_t i = 0; i < mapping_leaf_count(loader->mapping); i++) {
        if (mapping_leaf_at(loader->mapping, i)->constant.kind == JSONTEXT_KIND_ABSENT) {
            return;
        }
    }
    report(loader, node->place, "maps no column; with constants alone nothing is ever sent");
}

static void load_all(struct loader *loader, const struct yaml_node *node)
{
    size_t before = problems_count(loader->problems);
    load_object(loader, node);
    size_t root = push(loader, STR("customer_history"));
    check_amount(loader, yaml_get(node, STR("customer_history")));
    pop(loader, root);
    if (problems_count(loader->problems) == before) {
        check_columns(loader, node);
    }
}

static void read_global(struct loader *loader, const struct yaml_node *on_invalid_node)
{
    if (on_invalid_node == NULL) {
        return;
    }
    struct buf path = loader->path;
    buf_init(&loader->path, PATH_CAP);
    bool fits = buf_append_str(&loader->path, STR("on_invalid"));
    assert(fits);
    (void)fits;
    loader->omit_invalid = read_omit(loader, on_invalid_node);
    buf_free(&loader->path);
    loader->path = path;
}

static void loader_init(struct loader *loader, struct problems *problems)
{
    *loader = (struct loader){
        .mapping = mapping_create(),
        .problems = problems,
        .wall_ns = clock_wall_ns(),
    };
    buf_init(&loader->path, PATH_CAP);
    buf_init(&loader->json, CONSTANT_CAP);
    buf_init(&loader->converted, CONSTANT_CAP);
    buf_init(&loader->scratch, CONSTANT_CAP);
    bool fits = buf_append_str(&loader->path, STR("mapping"));
    assert(fits);
    (void)fits;
}

static void loader_free(struct loader *loader)
{
    mapping_destroy(loader->mapping);
    buf_free(&loader->scratch);
    buf_free(&loader->converted);
    buf_free(&loader->json);
    buf_free(&loader->path);
}

struct mapping *mapping_load(const struct yaml_node *mapping_node,
                             const struct yaml_node *on_invalid_node, struct problems *problems)
{
    size_t before = problems_count(problems);
    struct loader loader;
    loader_init(&loader, problems);
    read_global(&loader, on_invalid_node);
    load_all(&loader, mapping_node);

    struct mapping *mapping = NULL;
    if (problems_count(problems) == before) {
        mapping = loader.mapping;
        loader.mapping = NULL;
    }
    loader_free(&loader);
    return mapping;
}
