// Writes the JSON Schemas for editors from the tables that the program itself reads by:
//
//   imprint-schema config     config/imprint-sync.schema.json
//   imprint-schema mapping    config/mapping.schema.json
//
// A schema says less than `check` (nothing of files, URLs or what goes together), but nothing that
// the program takes is refused by it.
#include "base/mem.h"
#include "config/keys.h"
#include "config/mapping_option.h"
#include "config/value.h"
#include "domain/target.h"

#include <assert.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 64, TEXT_CAP = 4096 };

// ---- JSON ----

static void add(struct json_object *object, const char *name, struct json_object *value)
{
    int failed = json_object_object_add(object, name, value);
    assert(failed == 0);
    (void)failed;
}

static void add_text(struct json_object *object, const char *name, const char *text)
{
    add(object, name, json_object_new_string(text));
}

static void append(struct json_object *array, struct json_object *value)
{
    int failed = json_object_array_add(array, value);
    assert(failed == 0);
    (void)failed;
}

static struct json_object *must_parse(const char *json)
{
    struct json_object *value = json_tokener_parse(json);
    assert(value != NULL);
    return value;
}

static struct json_object *reference(const char *name)
{
    char text[2 * TEXT_CAP];
    snprintf(text, sizeof text, "{\"$ref\": \"#/$defs/%s\"}", name);
    return must_parse(text);
}

// {"anyOf": [first, second]}
static struct json_object *either(struct json_object *first, struct json_object *second)
{
    struct json_object *list = json_object_new_array();
    struct json_object *schema = json_object_new_object();
    append(list, first);
    append(list, second);
    add(schema, "anyOf", list);
    return schema;
}

static struct json_object *closed_object(struct json_object *properties)
{
    struct json_object *schema =
        must_parse("{\"type\": \"object\", \"additionalProperties\": false}");
    add(schema, "properties", properties);
    return schema;
}

// ---- keys ----

// A choice as YAML may take it: 1.1 without quotes is a number, and means the same.
static struct json_object *choice_names(const struct key *key)
{
    struct json_object *names = json_object_new_array();
    for (const struct key_choice *choice = key->choices; choice->name != NULL; choice++) {
        append(names, json_object_new_string(choice->name));
        if (str_is_digit(choice->name[0])) {
            append(names, must_parse(choice->name));
        }
    }
    struct json_object *schema = json_object_new_object();
    add(schema, "enum", names);
    return schema;
}

static struct json_object *duration(const struct key *key)
{
    struct json_object *text =
        must_parse("{\"type\": \"string\", \"pattern\": \"^([0-9]+(ms|s|m|h|d)|0+)$\"}");
    return key->min > 0 ? text : either(text, must_parse("{\"const\": 0}"));
}

static struct json_object *integer(const struct key *key)
{
    struct json_object *schema = must_parse("{\"type\": \"integer\"}");
    add(schema, "minimum", json_object_new_int64(key->min));
    add(schema, "maximum", json_object_new_int64(key->max));
    return schema;
}

// A class, then single statuses; 401, 403 and 429 never are the row's fault.
static struct json_object *outcomes(const struct key *key)
{
    static const char *const not_dead[] = {"401", "403", "429"};
    struct json_object *schema =
        must_parse("{\"type\": [\"object\", \"null\"], \"additionalProperties\": false}");
    struct json_object *patterns = json_object_new_object();
    struct json_object *properties = json_object_new_object();
    add(patterns, "^[45]([0-9][0-9]|xx)$", either(choice_names(key), reference("variable")));
    for (size_t i = 0; i < sizeof not_dead / sizeof not_dead[0]; i++) {
        add(properties, not_dead[i], must_parse("{\"not\": {\"const\": \"dead\"}}"));
    }
    add(schema, "patternProperties", patterns);
    add(schema, "properties", properties);
    return schema;
}

// Text may look like a number, and a key that is not set may be written empty.
static struct json_object *text(const struct key *key)
{
    struct json_object *schema =
        must_parse("{\"type\": [\"string\", \"number\", \"boolean\"], \"minLength\": 1}");
    if (!key->required) {
        struct json_object *types = NULL;
        json_object_object_get_ex(schema, "type", &types);
        append(types, json_object_new_string("null"));
    }
    return schema;
}

static struct json_object *value_schema(const struct key *key)
{
    switch (key->type) {
    case KEY_TYPE_TEXT:
    case KEY_TYPE_PATH:
        return text(key);
    case KEY_TYPE_INTEGER:
        return either(integer(key), reference("variable"));
    case KEY_TYPE_DURATION:
        return either(duration(key), reference("variable"));
    case KEY_TYPE_RATE:
        return either(must_parse("{\"type\": \"string\", \"pattern\": \"^[0-9]+/[smh]$\"}"),
                      reference("variable"));
    case KEY_TYPE_BOOL:
        return either(must_parse("{\"type\": \"boolean\"}"), reference("variable"));
    case KEY_TYPE_ENUM:
        return either(choice_names(key), reference("variable"));
    case KEY_TYPE_OUTCOMES:
        return outcomes(key);
    case KEY_TYPE_TREE:
        return either(reference(key->path), must_parse("{\"type\": \"null\"}"));
    case KEY_TYPE_SECTION:
        break;
    }
    assert(false); // sections are written by section()
    return NULL;
}

static bool is_json(const struct key *key)
{
    return key->type == KEY_TYPE_INTEGER || key->type == KEY_TYPE_BOOL ||
           key->type == KEY_TYPE_OUTCOMES;
}

static void describe(struct json_object *schema, const struct key *key)
{
    char help[TEXT_CAP];
    snprintf(help, sizeof help, "%s%s%s", key->help, key->required ? " Required." : "",
             key->restart && key->type != KEY_TYPE_SECTION ? " Takes a restart to change." : "");
    add_text(schema, "description", help);
    if (key->fallback != NULL) {
        add(schema, "default",
            is_json(key) ? must_parse(key->fallback) : json_object_new_string(key->fallback));
    }
}

static struct json_object *section(const struct key *key);

// The keys of a section, "" being the file. `*required` gets the names of those that must stand.
static struct json_object *section_keys(struct str path, struct json_object *required)
{
    struct json_object *properties = json_object_new_object();
    const char *names[KEYS_MAX];
    size_t count = keys_names(path, names);
    for (size_t i = 0; i < count; i++) {
        char whole[TEXT_CAP];
        snprintf(whole, sizeof whole, "%.*s%s%s", STR_ARG(path), path.len == 0 ? "" : ".",
                 names[i]);
        const struct key *key = keys_at(keys_find(str_of(whole)));
        bool holds = key->type == KEY_TYPE_SECTION;
        struct json_object *schema = holds ? section(key) : value_schema(key);
        struct json_object *inner = NULL;
        bool needed =
            key->required || (holds && json_object_object_get_ex(schema, "required", &inner));
        describe(schema, key);
        add(properties, names[i], schema);
        if (needed) {
            append(required, json_object_new_string(names[i]));
        }
    }
    return properties;
}

static struct json_object *section(const struct key *key)
{
    struct json_object *required = json_object_new_array();
    struct json_object *schema = closed_object(section_keys(str_of(key->path), required));
    if (json_object_array_length(required) > 0) {
        add(schema, "required", required);
    } else {
        json_object_put(required);
        add(schema, "type", must_parse("[\"object\", \"null\"]"));
    }
    return schema;
}

// ---- the mapping ----

static struct json_object *type_names(uint32_t feeds)
{
    struct json_object *names = json_object_new_array();
    for (int id = 0; id < FIELDTYPE_COUNT; id++) {
        if ((feeds >> id & 1) != 0) {
            append(names, json_object_new_string(fieldtype_get((enum fieldtype_id)id)->name));
        }
    }
    struct json_object *schema = json_object_new_object();
    add(schema, "enum", names);
    return schema;
}

// Either a column, or a constant without what goes with columns only.
static struct json_object *from_or_value(void)
{
    struct json_object *list = json_object_new_array();
    struct json_object *constant = must_parse("{\"required\": [\"value\"]}");
    struct json_object *refused = json_object_new_object();
    for (size_t i = 0; i < option_count(); i++) {
        if (!option_at(i)->beside_value) {
            add(refused, option_at(i)->name, json_object_new_boolean(false));
        }
    }
    add(constant, "properties", refused);
    append(list, must_parse("{\"required\": [\"from\"], \"properties\": {\"value\": false}}"));
    append(list, constant);
    return list;
}

static struct json_object *option_reference(const struct option *option)
{
    char name[TEXT_CAP];
    snprintf(name, sizeof name, "option.%s", option->name);
    return reference(name);
}

static void define_options(struct json_object *defs)
{
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        if (option->schema != NULL) {
            char name[TEXT_CAP];
            snprintf(name, sizeof name, "option.%s", option->name);
            struct json_object *schema = must_parse(option->schema);
            add_text(schema, "description", option->help);
            add(defs, name, schema);
        }
    }
}

static struct json_object *long_form(uint32_t feeds)
{
    struct json_object *properties = json_object_new_object();
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        if (option->schema == NULL) {
            struct json_object *types = type_names(feeds);
            add_text(types, "description", option->help);
            add(properties, option->name, types);
        } else {
            add(properties, option->name, option_reference(option));
        }
    }
    struct json_object *schema = closed_object(properties);
    add(schema, "oneOf", from_or_value());
    return schema;
}

// Targets that take the same types share a definition, called after the first of them.
static const char *definition_of(const struct target *target)
{
    const struct target *first = target_at(0);
    while (first->feeds != target->feeds) {
        first++;
    }
    return first->path;
}

static void define_fields(struct json_object *defs)
{
    for (size_t i = 0; i < target_count(); i++) {
        const struct target *target = target_at(i);
        const char *name = definition_of(target);
        if (name == target->path) {
            add(defs, name, either(reference("path"), long_form(target->feeds)));
        }
    }
}

static struct json_object *field(const struct target *target)
{
    struct json_object *schema = reference(definition_of(target));
    add_text(schema, "description", target->help);
    return schema;
}

static struct json_object *metadata(void)
{
    struct json_object *schema =
        must_parse("{\"type\": \"object\", \"minProperties\": 1,"
                   " \"propertyNames\": {\"minLength\": 1, \"maxLength\": 128}}");
    add(schema, "additionalProperties", field(target_find(STR("metadata.x"))));
    return schema;
}

// Calls itself for the objects of the contract.
static struct json_object *object(struct str path)
{
    const char *names[NAMES_MAX];
    size_t count = target_members(path, names, NAMES_MAX);
    if (count == 0) {
        return metadata();
    }
    struct json_object *properties = json_object_new_object();
    for (size_t i = 0; i < count; i++) {
        char whole[TEXT_CAP];
        snprintf(whole, sizeof whole, "%.*s%s%s", STR_ARG(path), path.len == 0 ? "" : ".",
                 names[i]);
        const struct target *target = target_find(str_of(whole));
        add(properties, names[i], target != NULL ? field(target) : object(str_of(whole)));
    }
    struct json_object *schema = closed_object(properties);
    add(schema, "minProperties", json_object_new_int(1));
    return schema;
}

static struct json_object *definitions(void)
{
    struct json_object *defs = json_object_new_object();
    add(defs, "variable",
        must_parse("{\"type\": \"string\", \"pattern\": \"[$][{][A-Za-z_][A-Za-z0-9_]*[}]\"}"));
    add(defs, "path",
        must_parse("{\"type\": [\"string\", \"number\", \"boolean\"],"
                   " \"minLength\": 1, \"maxLength\": 128,"
                   " \"pattern\": \"^[^.]+([.][^.]+){0,7}$\"}"));
    add(defs, "constant", must_parse("{\"type\": [\"string\", \"number\", \"boolean\"]}"));
    add(defs, "on_invalid", must_parse("{\"enum\": [\"fail\", \"omit\"]}"));
    define_options(defs);
    define_fields(defs);
    add(defs, "mapping", object(STR("")));
    return defs;
}

// ---- the files ----

static struct json_object *head(const char *title)
{
    struct json_object *schema = json_object_new_object();
    add_text(schema, "$schema", "https://json-schema.org/draft/2020-12/schema");
    add_text(schema, "$comment", "Written by tests/schema, from the tables of the program.");
    add_text(schema, "title", title);
    return schema;
}

static void add_file(struct json_object *schema, struct json_object *properties,
                     struct json_object *required)
{
    add_text(schema, "type", "object");
    add(schema, "additionalProperties", json_object_new_boolean(false));
    add(schema, "required", required);
    add(schema, "properties", properties);
    add(schema, "$defs", definitions());
}

static struct json_object *config_file(void)
{
    struct json_object *schema = head("Configuration of imprint-sync");
    struct json_object *required = json_object_new_array();
    struct json_object *properties = section_keys(STR(""), required);
    add_file(schema, properties, required);
    struct json_object *list = json_object_new_array();
    add(schema, "oneOf", list);
    append(list, must_parse("{\"required\": [\"mapping_file\"], \"properties\":"
                            " {\"mapping_file\": {\"not\": {\"type\": \"null\"}},"
                            " \"mapping\": {\"type\": \"null\"},"
                            " \"on_invalid\": {\"type\": \"null\"}}}"));
    append(list, must_parse("{\"required\": [\"mapping\"], \"properties\":"
                            " {\"mapping\": {\"type\": \"object\"},"
                            " \"mapping_file\": {\"type\": \"null\"}}}"));
    return schema;
}

static struct json_object *mapping_file(void)
{
    static const char *const names[] = {"on_invalid", "mapping"};
    struct json_object *schema = head("Mapping of imprint-sync");
    struct json_object *properties = json_object_new_object();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct json_object *property = reference(names[i]);
        describe(property, keys_at(keys_find(str_of(names[i]))));
        add(properties, names[i], property);
    }
    add_file(schema, properties, must_parse("[\"mapping\"]"));
    return schema;
}

int main(int argc, char **argv)
{
    const char *which = argc == 2 ? argv[1] : "";
    struct json_object *schema = NULL;
    if (strcmp(which, "config") == 0) {
        schema = config_file();
    } else if (strcmp(which, "mapping") == 0) {
        schema = mapping_file();
    } else {
        fputs("usage: imprint-schema config|mapping\n", stderr);
        return 64;
    }
    puts(json_object_to_json_string_ext(schema, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(schema);
    return 0;
}
