#include "config/mapping_option.h"

#include "config/mapping_constant.h"
#include "config/value.h"
#include "config/zone_file.h"

#include <assert.h>

#define OPTION_LENGTH_MOST INT64_C(1000000)
enum { OPTION_KEY_BYTES = 128 };

// In the order of reading, which puts what a constant is checked with before the constants.
enum option_id {
    OPTION_ID_FROM,
    OPTION_ID_AS,
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
    const struct yaml_node *options[OPTION_COUNT]; // NULL: not given, or not to be read
    struct mapping_leaf leaf;                      // `type` is NULL when `as` was wrong
};

// ---- reading ----

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
        loader_report(loader, node->place, "type json is allowed below metadata only");
        return;
    }
    const char *names[LOADER_NAMES_MAX];
    size_t count = fieldtype_names(draft->target->feeds, names);
    struct buf list;
    buf_init(&list, LOADER_PATH_CAP);
    bool fits = true;
    for (size_t i = 0; fits && i < count; i++) {
        fits = buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    loader_report(loader, node->place, "type %s cannot feed %s; allowed: %.*s", type->name,
                  draft->target->path, STR_ARG(buf_peek(&list)));
    buf_free(&list);
}

static void read_as(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    draft->leaf.type = NULL;
    if (!loader_is_scalar(loader, node, "the name of a type")) {
        return;
    }
    const struct fieldtype *type = fieldtype_find(node->text);
    if (type == NULL) {
        const char *names[LOADER_NAMES_MAX];
        size_t count = fieldtype_names(UINT32_MAX, names);
        loader_report_unknown(loader, node->place, "type", node->text, names, count);
    } else if (!target_takes(draft->target, type->id)) {
        report_feed(loader, node, draft, type);
    } else {
        draft->leaf.type = type;
    }
}

void option_read_path(struct loader *loader, const struct yaml_node *node,
                      struct mapping_path *path)
{
    struct err err;
    if (!loader_is_scalar(loader, node, "a column, or a path such as address.line1") ||
        !loader_is_name(loader, node->place, node->text)) {
        return;
    }
    if (!mapping_path_compile(loader->mapping, node->text, path, &err)) {
        loader_report(loader, node->place, "the path \"%.*s\" %s",
                      STR_ARG(problems_excerpt(node->text)), err.text);
    }
}

static void read_from(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    option_read_path(loader, node, &draft->leaf.from);
}

static void read_currency(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    if (draft->leaf.type->id != FIELDTYPE_ID_MINOR_UNITS) {
        loader_report(loader, node->place, "goes with type minor_units only, not with %s",
                      draft->leaf.type->name);
        return;
    }
    option_read_path(loader, node, &draft->leaf.currency);
}

static void read_calling_code(struct loader *loader, const struct yaml_node *node,
                              struct draft *draft)
{
    const char *allowed = "1 to 3 digits that do not begin with 0, such as 44";
    if (draft->leaf.type->id != FIELDTYPE_ID_PHONE) {
        loader_report(loader, node->place, "goes with type phone only, not with %s",
                      draft->leaf.type->name);
        return;
    }
    if (!loader_is_scalar(loader, node, allowed)) {
        return;
    }
    struct str code = node->text;
    bool ok = code.len >= 1 && code.len <= 3 && code.ptr[0] != '0';
    for (size_t i = 0; i < code.len; i++) {
        ok = ok && str_is_digit(code.ptr[i]);
    }
    if (!ok) {
        loader_report(loader, node->place, "is \"%.*s\"; allowed: %s",
                      STR_ARG(problems_excerpt(code)), allowed);
        return;
    }
    draft->leaf.options.calling_code = mapping_keep(loader->mapping, code);
}

static void read_timezone(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    enum fieldtype_id type = draft->leaf.type->id;
    if (type != FIELDTYPE_ID_TIMESTAMP && type != FIELDTYPE_ID_MONTHS_SINCE) {
        loader_report(loader, node->place,
                      "goes with types timestamp and months_since only, not with %s",
                      draft->leaf.type->name);
        return;
    }
    if (!loader_is_scalar(loader, node, "a time zone, such as UTC or America/New_York")) {
        return;
    }
    struct zone *zone = zone_fixed(node->text);
    zone = zone == NULL ? zone_file_read(node->text) : zone;
    if (zone == NULL) {
        loader_report(
            loader, node->place,
            "unknown time zone \"%.*s\"; allowed: UTC, an offset such as +02:00, or a name "
            "below " ZONE_FILE_FOLDER ", such as America/New_York",
            STR_ARG(problems_excerpt(node->text)));
        return;
    }
    mapping_keep_zone(loader->mapping, zone);
    draft->leaf.options.zone = zone;
    draft->leaf.timezone = mapping_keep(loader->mapping, node->text);
}

// The characters of the types that make a code; shorter than that every value would be invalid.
static const int64_t code_lengths[FIELDTYPE_COUNT] = {
    [FIELDTYPE_ID_LANGUAGE] = 2, [FIELDTYPE_ID_COUNTRY] = 3,    [FIELDTYPE_ID_US_STATE] = 2,
    [FIELDTYPE_ID_CURRENCY] = 3, [FIELDTYPE_ID_TIMESTAMP] = 24,
};

static void read_max_length(struct loader *loader, const struct yaml_node *node,
                            struct draft *draft)
{
    const char *allowed = "a number of characters from 1 to 1000000";
    int64_t length = 0;
    if (draft->leaf.type->makes != FIELDTYPE_MAKES_STRING) {
        loader_report(loader, node->place, "goes with types that make a text only, not with %s",
                      draft->leaf.type->name);
        return;
    }
    if (!loader_is_scalar(loader, node, allowed)) {
        return;
    }
    if (!value_parse_count(node->text, &length) || length < 1 || length > OPTION_LENGTH_MOST) {
        loader_report(loader, node->place, "is \"%.*s\"; allowed: %s",
                      STR_ARG(problems_excerpt(node->text)), allowed);
        return;
    }
    int64_t always = code_lengths[draft->leaf.type->id];
    if (length < always) {
        loader_report(loader, node->place, "is %lld; type %s always makes %lld characters",
                      (long long)length, draft->leaf.type->name, (long long)always);
        return;
    }
    draft->leaf.options.max_length = length;
}

static void read_required(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    static const char *const words[] = {"false", "true"};
    draft->leaf.required = loader_read_word(loader, node, words, 2, "true, false") == 1;
    if (draft->leaf.required && draft->options[OPTION_ID_DEFAULT] != NULL) {
        loader_report(loader, node->place, "does not go with default, which replaces NULL");
    }
}

bool option_read_omit(struct loader *loader, const struct yaml_node *node)
{
    static const char *const words[] = {"fail", "omit"};
    return loader_read_word(loader, node, words, 2, "fail, omit") == 1;
}

static void read_on_invalid(struct loader *loader, const struct yaml_node *node,
                            struct draft *draft)
{
    draft->leaf.omit_invalid = option_read_omit(loader, node);
}

static const char *const null_words[] = {
    [MAPPING_NULL_OMIT] = "omit",
    [MAPPING_NULL_SEND] = "null",
    [MAPPING_NULL_FAIL] = "fail",
};

static void read_when_null(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    // `when_null: null` is natural to write, and YAML's null.
    struct yaml_node text = *node;
    if (text.kind == YAML_KIND_NULL && !text.unknown) {
        text =
            (struct yaml_node){.kind = YAML_KIND_SCALAR, .place = node->place, .text = STR("null")};
    }
    int word = loader_read_word(loader, &text, null_words, 3, "omit, null, fail");
    if (word < 0) {
        return;
    }
    draft->leaf.when_null = (enum mapping_null)word;
    if (draft->leaf.required && word != MAPPING_NULL_FAIL) {
        loader_report(loader, node->place, "does not go with required, which refuses NULL");
    }
    // With a map there is still the NULL that the map itself gives.
    if (draft->options[OPTION_ID_DEFAULT] != NULL && draft->options[OPTION_ID_MAP] == NULL) {
        loader_report(loader, node->place, "does not go with default, which replaces NULL");
    }
}

static void read_value(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    if (draft->leaf.type->id == FIELDTYPE_ID_MINOR_UNITS) {
        loader_report(loader, node->place,
                      "type minor_units takes no constant, as the currency is not known; use `as: "
                      "integer` with the minor units");
        return;
    }
    draft->leaf.constant = constant_read(loader, node, &draft->leaf);
}

// What a key cannot be, as values are compared; NULL when it may match.
static const char *unmatched_key(const struct yaml_pair *pair, const struct draft *draft)
{
    if (str_trim(pair->key).len != pair->key.len) {
        return "the key can never match; values are compared without white space at the ends";
    }
    if (pair->key.len > 0 && memchr(pair->key.ptr, '\0', pair->key.len) != NULL) {
        return "the key can never match; no text in Postgres holds the character U+0000";
    }
    if (str_equal(pair->key, STR("null"))) {
        return draft->leaf.required ? "the key can never match, as required refuses NULL" : NULL;
    }
    if (!pair->key_quoted && yaml_is_null(pair->key)) {
        return "the key can never match NULL; write null, or the text in quotes";
    }
    return NULL;
}

static void read_choice(struct loader *loader, const struct yaml_pair *pair, struct draft *draft)
{
    const char *unmatched = unmatched_key(pair, draft);
    if (unmatched != NULL) {
        loader_report(loader, pair->key_place, "%s", unmatched);
        return;
    }
    struct jsontext result = {.kind = JSONTEXT_KIND_NULL, .text = STR("null")};
    if (pair->value->kind != YAML_KIND_NULL) {
        result = constant_read(loader, pair->value, &draft->leaf);
    }
    draft->leaf.choices[draft->leaf.choice_count++] = (struct mapping_choice){
        .key = mapping_keep(loader->mapping, pair->key),
        .result = result,
    };
}

static void read_map(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    if (!loader_is_full(loader, node, "a mapping of values to results, such as {1: GOLD}")) {
        return;
    }
    draft->leaf.choices =
        mapping_alloc(loader->mapping, node->count, sizeof draft->leaf.choices[0]);
    for (size_t i = 0; i < node->count; i++) {
        size_t before = loader_push(loader, node->pairs[i].key);
        read_choice(loader, &node->pairs[i], draft);
        loader_pop(loader, before);
    }
}

static void read_default(struct loader *loader, const struct yaml_node *node, struct draft *draft)
{
    draft->leaf.fallback = constant_read(loader, node, &draft->leaf);
}

// ---- printing ----

// Each appends the option's value as it would be written; nothing where it is not given.

static bool print_as(const struct mapping_leaf *leaf, struct buf *out)
{
    return buf_append_str(out, str_of(leaf->type->name));
}

static bool print_path(const struct mapping_path *path, struct buf *out)
{
    return path->text.len == 0 || value_print_name(path->text, out);
}

static bool print_from(const struct mapping_leaf *leaf, struct buf *out)
{
    return print_path(&leaf->from, out);
}

static bool print_currency(const struct mapping_leaf *leaf, struct buf *out)
{
    return print_path(&leaf->currency, out);
}

static bool print_calling_code(const struct mapping_leaf *leaf, struct buf *out)
{
    return buf_append_str(out, leaf->options.calling_code);
}

static bool print_timezone(const struct mapping_leaf *leaf, struct buf *out)
{
    return leaf->timezone.len == 0 || value_print_name(leaf->timezone, out);
}

static bool print_max_length(const struct mapping_leaf *leaf, struct buf *out)
{
    int64_t length = leaf->options.max_length;
    return length == 0 || buf_printf(out, "%lld", (long long)length);
}

static bool print_required(const struct mapping_leaf *leaf, struct buf *out)
{
    return !leaf->required || buf_append_str(out, STR("true"));
}

static bool print_on_invalid(const struct mapping_leaf *leaf, struct buf *out)
{
    // The top-level one may have reached a constant, too, where it says nothing.
    bool said = leaf->omit_invalid && leaf->constant.kind == JSONTEXT_KIND_ABSENT;
    return !said || buf_append_str(out, STR("omit"));
}

static bool print_when_null(const struct mapping_leaf *leaf, struct buf *out)
{
    return leaf->when_null == MAPPING_NULL_OMIT ||
           buf_append_str(out, str_of(null_words[leaf->when_null]));
}

static bool print_value(const struct mapping_leaf *leaf, struct buf *out)
{
    return constant_print(leaf->constant, out);
}

static bool print_map(const struct mapping_leaf *leaf, struct buf *out)
{
    bool ok = leaf->choice_count == 0 || buf_append_char(out, '{');
    for (size_t i = 0; ok && i < leaf->choice_count; i++) {
        const struct mapping_choice *choice = &leaf->choices[i];
        // The question mark, since YAML takes no longer key without it.
        ok = (i == 0 || buf_append_str(out, STR(", "))) &&
             (choice->key.len <= OPTION_KEY_BYTES || buf_append_str(out, STR("? "))) &&
             value_print_name(choice->key, out) && buf_append_str(out, STR(": ")) &&
             constant_print(choice->result, out);
    }
    return ok && (leaf->choice_count == 0 || buf_append_char(out, '}'));
}

static bool print_default(const struct mapping_leaf *leaf, struct buf *out)
{
    return constant_print(leaf->fallback, out);
}

// ---- the table ----

static const struct option options[] = {
    [OPTION_ID_FROM] =
        {
            .name = "from",
            .help = "The column, or a path into a json column.",
            .schema = "{\"$ref\": \"#/$defs/path\"}",
            .beside_value = false,
            .read = read_from,
            .print = print_from,
        },
    [OPTION_ID_AS] =
        {
            .name = "as",
            .help = "The type; without it the target's own.",
            .schema = NULL,
            .beside_value = true,
            .read = read_as,
            .print = print_as,
        },
    [OPTION_ID_CURRENCY] =
        {
            .name = "currency",
            .help = "minor_units: the column with the currency of the amount.",
            .schema = "{\"$ref\": \"#/$defs/path\"}",
            .beside_value = false,
            .read = read_currency,
            .print = print_currency,
        },
    [OPTION_ID_CALLING_CODE] =
        {
            .name = "calling_code",
            .help = "phone: the country calling code of national numbers (1).",
            .schema = "{\"type\": [\"integer\", \"string\"], \"minimum\": 1, \"maximum\": 999, "
                      "\"pattern\": \"^[1-9][0-9]{0,2}$\"}",
            .beside_value = true,
            .read = read_calling_code,
            .print = print_calling_code,
        },
    [OPTION_ID_TIMEZONE] =
        {
            .name = "timezone",
            .help = "timestamp, months_since: the zone of values without one (UTC).",
            .schema = "{\"type\": [\"string\", \"number\"], \"minLength\": 1}",
            .beside_value = true,
            .read = read_timezone,
            .print = print_timezone,
        },
    [OPTION_ID_MAX_LENGTH] =
        {
            .name = "max_length",
            .help = "Characters of the result; a longer one is invalid.",
            .schema = "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 1000000}",
            .beside_value = true,
            .read = read_max_length,
            .print = print_max_length,
        },
    [OPTION_ID_REQUIRED] =
        {
            .name = "required",
            .help = "true: NULL breaks the row, and so does a source row without the column.",
            .schema = "{\"type\": \"boolean\"}",
            .beside_value = false,
            .read = read_required,
            .print = print_required,
        },
    [OPTION_ID_ON_INVALID] =
        {
            .name = "on_invalid",
            .help = "What an invalid value does: fail breaks the row, omit leaves the field out.",
            .schema = "{\"enum\": [\"fail\", \"omit\"]}",
            .beside_value = false,
            .read = read_on_invalid,
            .print = print_on_invalid,
        },
    [OPTION_ID_WHEN_NULL] =
        {
            .name = "when_null",
            .help =
                "What NULL does: omit leaves the field out, null sends null, fail breaks the row.",
            .schema = "{\"enum\": [\"omit\", \"null\", \"fail\", null]}",
            .beside_value = false,
            .read = read_when_null,
            .print = print_when_null,
        },
    [OPTION_ID_VALUE] =
        {
            .name = "value",
            .help =
                "A constant instead of a column; sent only with another field of the same object.",
            .schema = "{\"$ref\": \"#/$defs/constant\"}",
            .beside_value = true,
            .read = read_value,
            .print = print_value,
        },
    [OPTION_ID_MAP] =
        {
            .name = "map",
            .help = "Replaces values before the type is applied; what is not in it is invalid "
                    "unless there is a default.",
            .schema = "{\"type\": \"object\", \"minProperties\": 1, \"additionalProperties\": "
                      "{\"anyOf\": [{\"$ref\": \"#/$defs/constant\"}, {\"type\": \"null\"}]}}",
            .beside_value = false,
            .read = read_map,
            .print = print_map,
        },
    [OPTION_ID_DEFAULT] =
        {
            .name = "default",
            .help = "Replaces NULL and values that are not in the map, never an absent column.",
            .schema = "{\"$ref\": \"#/$defs/constant\"}",
            .beside_value = false,
            .read = read_default,
            .print = print_default,
        },
};
static_assert(sizeof options / sizeof options[0] == OPTION_COUNT, "a row for each option");

size_t option_count(void)
{
    return OPTION_COUNT;
}

const struct option *option_at(size_t index)
{
    assert(index < OPTION_COUNT);
    return &options[index];
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
        loader_report_unknown(loader, pair->key_place, "option", pair->key, names, OPTION_COUNT);
    }
}

// Reports what cannot stand together, and takes it out, so that the rest is read as it is meant.
static void check_combination(struct loader *loader, const struct yaml_node *node,
                              struct draft *draft)
{
    bool constant = draft->options[OPTION_ID_VALUE] != NULL;
    if (!constant && draft->options[OPTION_ID_FROM] == NULL) {
        loader_report(loader, node->place, "has neither from (a column) nor value (a constant)");
    }
    for (size_t id = 0; constant && id < OPTION_COUNT; id++) {
        if (draft->options[id] != NULL && !options[id].beside_value) {
            loader_report(loader, draft->options[id]->place,
                          "%s does not go with value, a constant", options[id].name);
            draft->options[id] = NULL;
        }
    }
}

static void read_all(struct loader *loader, struct draft *draft)
{
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        // Without the type, which was reported, nothing more can be said about the rest.
        if (draft->options[id] != NULL && draft->leaf.type != NULL) {
            size_t before = loader_push(loader, str_of(options[id].name));
            options[id].read(loader, draft->options[id], draft);
            loader_pop(loader, before);
        }
    }
}

void option_read_all(struct loader *loader, const struct yaml_node *node,
                     const struct target *target, struct mapping_leaf *leaf)
{
    struct draft draft = {.target = target, .leaf = *leaf};
    collect_options(loader, node, &draft);
    check_combination(loader, node, &draft);
    read_all(loader, &draft);
    *leaf = draft.leaf;
}
