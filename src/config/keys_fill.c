// From the YAML tree into struct config, by the table of keys.
#include "config/keys.h"

#include "base/mem.h"
#include "config/keys_unknown.h"
#include "config/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEYS_PATH_BYTES = 128, KEYS_LIST_BYTES = 512, KEYS_TEXT_BYTES = 65536 };

struct keys_fill {
    struct str directory;
    struct config *config;
    struct keys_seen *seen;
    struct problems *problems;
};

// One value on its way into its field.
struct keys_input {
    const struct key *key;
    struct str text;  // with each ${NAME} replaced
    struct str shown; // what messages show: as written, since a variable may hold a secret
    struct str directory;
};

// Sets the field, or says in `err` what was found and what is allowed.
typedef bool (*keys_parse_fn)(const struct keys_input *input, void *field, struct err *err);

// Parsers, one a type

static bool keys_check_text(struct str text, struct err *err)
{
    if (text.len == 0) {
        return err_set(err, ERR_KIND_CONFIG, "is empty");
    }
    if (!str_is_utf8(text)) {
        return err_set(err, ERR_KIND_CONFIG, "is not UTF-8");
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7F) {
            return err_set(err, ERR_KIND_CONFIG, "holds a control character or more than one line");
        }
    }
    return true;
}

static bool keys_parse_text(const struct keys_input *input, void *field, struct err *err)
{
    if (!keys_check_text(input->text, err)) {
        return false;
    }
    if (input->key->secret && str_equal(input->text, STR("(set)"))) {
        return err_set(err, ERR_KIND_CONFIG,
                       "is \"(set)\", which a printed configuration shows instead of the value");
    }
    *(char **)field = mem_strndup(input->text.ptr, input->text.len);
    return true;
}

static bool keys_parse_path(const struct keys_input *input, void *field, struct err *err)
{
    if (!keys_check_text(input->text, err)) {
        return false;
    }
    struct buf path;
    buf_init(&path, KEYS_TEXT_BYTES);
    bool ok = true;
    if (input->text.ptr[0] != '/') {
        ok = buf_append_str(&path, input->directory);
    }
    if (!ok || !buf_append_str(&path, input->text)) {
        buf_free(&path);
        return err_set(err, ERR_KIND_CONFIG, "is too long");
    }
    *(char **)field = buf_take(&path);
    return true;
}

static bool keys_parse_integer(const struct keys_input *input, void *field, struct err *err)
{
    const struct key *key = input->key;
    int64_t value = 0;
    if (!str_to_int64(input->text, &value)) {
        return err_set(err, ERR_KIND_CONFIG,
                       "\"%.*s\" is not a whole number; allowed is %lld to %lld",
                       STR_ARG(input->shown), (long long)key->min, (long long)key->max);
    }
    if (value < key->min || value > key->max) {
        return err_set(err, ERR_KIND_CONFIG, "%.*s is out of range; allowed is %lld to %lld",
                       STR_ARG(input->shown), (long long)key->min, (long long)key->max);
    }
    *(int64_t *)field = value;
    return true;
}

static bool keys_parse_duration(const struct keys_input *input, void *field, struct err *err)
{
    const struct key *key = input->key;
    int64_t value = 0;
    if (!value_parse_duration(input->text, &value)) {
        return err_set(err, ERR_KIND_CONFIG,
                       "\"%.*s\" is not a duration; write it like 250ms, 30s, 15m, 24h or 7d",
                       STR_ARG(input->shown));
    }
    if (value < key->min || value > key->max) {
        struct buf range;
        buf_init(&range, KEYS_LIST_BYTES);
        bool ok = value_print_duration(key->min, &range) && buf_append_str(&range, STR(" to ")) &&
                  value_print_duration(key->max, &range);
        assert(ok); // two short words
        (void)ok;
        err_set(err, ERR_KIND_CONFIG, "%.*s is out of range; allowed is %s", STR_ARG(input->shown),
                range.data);
        buf_free(&range);
        return false;
    }
    *(int64_t *)field = value;
    return true;
}

static bool keys_parse_rate(const struct keys_input *input, void *field, struct err *err)
{
    const struct key *key = input->key;
    struct config_rate rate = {0};
    if (!value_parse_rate(input->text, &rate.count, &rate.per_ns)) {
        return err_set(err, ERR_KIND_CONFIG,
                       "\"%.*s\" is not a rate; write it like 50/s, 3000/m or 100000/h",
                       STR_ARG(input->shown));
    }
    if (rate.count < key->min || rate.count > key->max) {
        return err_set(err, ERR_KIND_CONFIG, "%.*s is out of range; allowed are %lld to %lld",
                       STR_ARG(input->shown), (long long)key->min, (long long)key->max);
    }
    *(struct config_rate *)field = rate;
    return true;
}

static bool keys_parse_bool(const struct keys_input *input, void *field, struct err *err)
{
    bool yes = str_equal(input->text, STR("true"));
    if (!yes && !str_equal(input->text, STR("false"))) {
        return err_set(err, ERR_KIND_CONFIG, "\"%.*s\" is neither true nor false",
                       STR_ARG(input->shown));
    }
    *(bool *)field = yes;
    return true;
}

static bool keys_refuse_choice(const struct keys_input *input, struct err *err)
{
    const char *names[KEYS_MAX];
    size_t count = 0;
    for (const struct key_choice *choice = input->key->choices; choice->name != NULL; choice++) {
        names[count++] = choice->name;
    }
    struct buf list;
    buf_init(&list, KEYS_LIST_BYTES);
    bool ok = keys_print_choices(input->key, &list);
    assert(ok); // the longest list fits many times
    (void)ok;
    const char *nearest = str_nearest(input->text, names, count);
    if (input->key->hidden) {
        err_set(err, ERR_KIND_CONFIG, "is unknown (not shown, it may be a secret); use %s",
                list.data);
    } else if (nearest != NULL) {
        err_set(err, ERR_KIND_CONFIG, "\"%.*s\" is unknown; did you mean %s? Allowed: %s",
                STR_ARG(input->shown), nearest, list.data);
    } else {
        err_set(err, ERR_KIND_CONFIG, "\"%.*s\" is unknown; use %s", STR_ARG(input->shown),
                list.data);
    }
    buf_free(&list);
    return false;
}

// Every enum of C is an unsigned int here; the compiler checks it where one is assigned.
static_assert(sizeof(enum config_auth) == sizeof(unsigned), "enums are as wide as unsigned");

static bool keys_parse_enum(const struct keys_input *input, void *field, struct err *err)
{
    for (const struct key_choice *choice = input->key->choices; choice->name != NULL; choice++) {
        if (str_equal(input->text, str_of(choice->name))) {
            *(unsigned *)field = choice->value;
            return true;
        }
    }
    return keys_refuse_choice(input, err);
}

static const keys_parse_fn keys_parsers[] = {
    [KEY_TYPE_TEXT] = keys_parse_text,       [KEY_TYPE_PATH] = keys_parse_path,
    [KEY_TYPE_INTEGER] = keys_parse_integer, [KEY_TYPE_DURATION] = keys_parse_duration,
    [KEY_TYPE_RATE] = keys_parse_rate,       [KEY_TYPE_BOOL] = keys_parse_bool,
    [KEY_TYPE_ENUM] = keys_parse_enum,       [KEY_TYPE_OUTCOMES] = NULL,
};

static bool keys_is_scalar(enum key_type type)
{
    return type < KEY_TYPE_OUTCOMES && keys_parsers[type] != NULL;
}

// Single values

static const char *keys_kind_name(enum yaml_kind kind)
{
    switch (kind) {
    case YAML_KIND_NULL:
        return "nothing";
    case YAML_KIND_SCALAR:
        return "a single value";
    case YAML_KIND_SEQUENCE:
        return "a list";
    case YAML_KIND_MAPPING:
        return "a section";
    }
    return "something";
}

// A scalar's text into `field`, through ${NAME} and the type's parser.
static bool keys_parse(const struct keys_fill *fill, const struct key *key, keys_parse_fn parse,
                       const struct yaml_node *node, void *field, struct err *err)
{
    bool plain_type = key->type == KEY_TYPE_INTEGER || key->type == KEY_TYPE_BOOL;
    if (plain_type && node->quoted && !value_has_variable(node->text)) {
        return err_set(err, ERR_KIND_CONFIG, "is a text in quotes; write it without quotes");
    }
    struct buf text;
    buf_init(&text, KEYS_TEXT_BYTES);
    bool ok = value_expand(node->text, &text, err);
    if (ok) {
        struct keys_input input = {
            .key = key,
            .text = buf_peek(&text),
            .shown = problems_excerpt(node->text),
            .directory = fill->directory,
        };
        ok = parse(&input, field, err);
    }
    if (text.data != NULL) {
        mem_wipe(text.data, text.len); // a variable may have held a secret
    }
    buf_free(&text);
    return ok;
}

static void keys_fill_scalar(struct keys_fill *fill, size_t index, const struct yaml_node *node)
{
    const struct key *key = keys_at(index);
    struct err err = {0};
    bool ok = false;
    if (node->kind == YAML_KIND_SCALAR) {
        void *field = keys_field(fill->config, key);
        ok = keys_parse(fill, key, keys_parsers[key->type], node, field, &err);
    } else if (node->kind != YAML_KIND_NULL) {
        err_set(&err, ERR_KIND_CONFIG, "%s was found where a single value belongs",
                keys_kind_name(node->kind));
    } else if (key->fallback != NULL) {
        err_set(&err, ERR_KIND_CONFIG, "has no value; leave the key out for the default (%s)",
                key->fallback);
    } else {
        return; // `proxy:` with nothing behind it is not set
    }
    fill->seen->nodes[index] = node;
    if (!ok) {
        fill->seen->broken[index] = true;
        problems_add(fill->problems, node->place, key->path, "%s", err.text);
    }
}

// retry.outcomes

struct keys_statuses {
    int first;
    int last;
};

static bool keys_parse_statuses(struct str text, struct keys_statuses *statuses)
{
    bool known_class = text.len == 3 && (text.ptr[0] == '4' || text.ptr[0] == '5');
    int64_t status = 0;
    if (known_class && text.ptr[1] == 'x' && text.ptr[2] == 'x') {
        int first = (text.ptr[0] - '0') * 100;
        *statuses = (struct keys_statuses){first, first + 99};
        return true;
    }
    if (known_class && value_parse_count(text, &status)) {
        *statuses = (struct keys_statuses){(int)status, (int)status};
        return true;
    }
    return false;
}

// The key or the rate is at fault in these answers, never a row.
static bool keys_is_not_the_rows(int status)
{
    return status == 401 || status == 403 || status == 429;
}

static void keys_set_outcomes(struct config *config, struct keys_statuses statuses,
                              enum verdict_outcome kind)
{
    bool single = statuses.first == statuses.last;
    for (int status = statuses.first; status <= statuses.last; status++) {
        if (single || !keys_is_not_the_rows(status)) {
            config->retry.outcomes[status] = kind;
        }
    }
}

static bool keys_parse_outcome(const struct keys_fill *fill, const struct key *key,
                               const struct yaml_pair *pair, struct keys_statuses statuses,
                               unsigned *kind, struct err *err)
{
    if (pair->value->kind != YAML_KIND_SCALAR) {
        return err_set(err, ERR_KIND_CONFIG, "%s was found where retry, dead or hold belongs",
                       keys_kind_name(pair->value->kind));
    }
    if (!keys_parse(fill, key, keys_parse_enum, pair->value, kind, err)) {
        return false;
    }
    bool single = statuses.first == statuses.last;
    if (*kind == VERDICT_OUTCOME_DEAD && single && keys_is_not_the_rows(statuses.first)) {
        return err_set(
            err, ERR_KIND_CONFIG,
            "dead is not allowed: this answer is about the key or the rate, not the row");
    }
    return true;
}

static void keys_fill_outcome(struct keys_fill *fill, const struct key *key,
                              const struct yaml_pair *pair, bool classes)
{
    if (pair->value->unknown) {
        return;
    }
    char path[KEYS_PATH_BYTES];
    snprintf(path, sizeof path, "%s.%.*s", key->path, STR_ARG(problems_excerpt(pair->key)));
    struct keys_statuses statuses = {0};
    if (!keys_parse_statuses(pair->key, &statuses)) {
        if (classes) { // said once, in the first round
            problems_add(fill->problems, pair->key_place, path,
                         "is no status of a failure; write 400 to 599, 4xx or 5xx");
        }
        return;
    }
    if (classes != (statuses.first != statuses.last)) {
        return;
    }
    struct err err = {0};
    unsigned kind = VERDICT_OUTCOME_DEFAULT;
    if (keys_parse_outcome(fill, key, pair, statuses, &kind, &err)) {
        keys_set_outcomes(fill->config, statuses, (enum verdict_outcome)kind);
    } else {
        problems_add(fill->problems, pair->value->place, path, "%s", err.text);
    }
}

static void keys_fill_outcomes(struct keys_fill *fill, size_t index, const struct yaml_node *node)
{
    const struct key *key = keys_at(index);
    if (node->kind != YAML_KIND_MAPPING && node->kind != YAML_KIND_NULL) {
        problems_add(fill->problems, node->place, key->path,
                     "%s was found where statuses belong; write it like {409: retry, 5xx: hold}",
                     keys_kind_name(node->kind));
        return;
    }
    // A single status counts before its class, in whatever order they stand.
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < node->count; i++) {
            keys_fill_outcome(fill, key, &node->pairs[i], round == 0);
        }
    }
}

// The walk

static void keys_fill_section(struct keys_fill *fill, struct str section,
                              const struct yaml_node *node);

static void keys_fill_key(struct keys_fill *fill, size_t index, const struct yaml_pair *pair)
{
    const struct key *key = keys_at(index);
    const struct yaml_node *node = pair->value;
    fill->seen->places[index] = pair->key_place;
    if (node->unknown) {
        fill->seen->nodes[index] = node;
        fill->seen->broken[index] = true;
        return;
    }
    switch (key->type) {
    case KEY_TYPE_SECTION:
        keys_fill_section(fill, str_of(key->path), node);
        break;
    case KEY_TYPE_TREE:
        fill->seen->nodes[index] = node->kind == YAML_KIND_NULL ? NULL : node;
        break;
    case KEY_TYPE_OUTCOMES:
        keys_fill_outcomes(fill, index, node);
        break;
    case KEY_TYPE_TEXT:
    case KEY_TYPE_PATH:
    case KEY_TYPE_INTEGER:
    case KEY_TYPE_DURATION:
    case KEY_TYPE_RATE:
    case KEY_TYPE_BOOL:
    case KEY_TYPE_ENUM:
        keys_fill_scalar(fill, index, node);
        break;
    }
}

static void keys_fill_section(struct keys_fill *fill, struct str section,
                              const struct yaml_node *node)
{
    if (node->kind == YAML_KIND_NULL) {
        return; // all of its keys are commented out
    }
    if (node->kind != YAML_KIND_MAPPING) {
        const char *what = section.len == 0 ? "the file" : section.ptr;
        problems_add(fill->problems, node->place, section.ptr,
                     "%s was found where the keys of %s belong", keys_kind_name(node->kind), what);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_pair *pair = &node->pairs[i];
        char path[KEYS_PATH_BYTES];
        snprintf(path, sizeof path, "%.*s%s%.*s", STR_ARG(section), section.len == 0 ? "" : ".",
                 STR_ARG(keys_shown_name(pair->key)));
        // A dot in the key itself must not reach into a section.
        bool whole = keys_shown_name(pair->key).len == pair->key.len;
        bool dotted = memchr(pair->key.ptr, '.', pair->key.len) != NULL;
        size_t index = dotted || !whole ? KEYS_MAX : keys_find(str_of(path));
        if (index < KEYS_MAX) {
            keys_fill_key(fill, index, pair);
        } else {
            keys_report_unknown(fill->problems, section, pair, path);
        }
    }
}

// What was not written

// The key's section; KEYS_MAX when it has none.
static size_t keys_parent(size_t index)
{
    struct str section;
    struct str name;
    bool deep = str_split(str_of(keys_at(index)->path), '.', &section, &name);
    return deep ? keys_find(section) : KEYS_MAX;
}

static void keys_report_missing(struct keys_fill *fill, size_t index)
{
    const struct keys_seen *seen = fill->seen;
    size_t parent = keys_parent(index);
    if (parent < KEYS_MAX && seen->broken[parent]) {
        return; // nobody knows what stands in it
    }
    // The place to point at: the key itself if written empty, its section, the file.
    struct yaml_place place = seen->root;
    if (seen->places[index].line != 0) {
        place = seen->places[index];
    } else if (parent < KEYS_MAX && seen->places[parent].line != 0) {
        place = seen->places[parent];
    }
    problems_add(fill->problems, place, keys_at(index)->path, "is missing, but required: %s",
                 keys_at(index)->help);
}

static void keys_fill_missing(struct keys_fill *fill, size_t index)
{
    const struct key *key = keys_at(index);
    struct keys_seen *seen = fill->seen;
    if (seen->nodes[index] != NULL && !seen->broken[index]) {
        return;
    }
    if (key->required && seen->nodes[index] == NULL) {
        seen->broken[index] = true;
        keys_report_missing(fill, index);
    }
    if (keys_is_scalar(key->type) && key->fallback != NULL) {
        struct keys_input input = {.key = key, .text = str_of(key->fallback)};
        struct err err = {0};
        bool ok = keys_parsers[key->type](&input, keys_field(fill->config, key), &err);
        assert(ok); // a default that its own row refuses
        (void)ok;
    }
}

void keys_fill(const struct yaml_node *root, struct str directory, struct config *config,
               struct keys_seen *seen, struct problems *problems)
{
    struct keys_fill fill = {
        .directory = directory,
        .config = config,
        .seen = seen,
        .problems = problems,
    };
    if (root != NULL) {
        keys_fill_section(&fill, STR(""), root);
    }
    for (size_t i = 0; i < keys_count(); i++) {
        keys_fill_missing(&fill, i);
    }
}

// A DSN may hold a password that came from a variable.
static void keys_free_text(char **text)
{
    if (*text != NULL) {
        mem_wipe(*text, strlen(*text));
    }
    free(*text);
    *text = NULL;
}

void keys_free(struct config *config)
{
    for (size_t i = 0; i < keys_count(); i++) {
        const struct key *key = keys_at(i);
        if (key->type == KEY_TYPE_TEXT || key->type == KEY_TYPE_PATH) {
            keys_free_text(keys_field(config, key));
        }
    }
}
