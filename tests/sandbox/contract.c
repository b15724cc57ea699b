#include "contract.h"

#include "format.h"
#include "json.h"

#include <json-c/linkhash.h>
#include <string.h>

enum field_kind {
    FIELD_KIND_STRING,
    FIELD_KIND_EMAIL,
    FIELD_KIND_PHONE,
    FIELD_KIND_LANGUAGE,
    FIELD_KIND_COUNTRY,
    FIELD_KIND_CURRENCY,
    FIELD_KIND_DATE_TIME,
    FIELD_KIND_INTEGER,
    FIELD_KIND_OBJECT, /* with the fields of `members` */
    FIELD_KIND_FREE,   /* an object of any keys and values */
};

struct field {
    const char *name;
    enum field_kind kind;
    const struct field *members;
};

struct rule {
    enum json_type type;
    const char *type_error;
    bool (*holds)(const char *text);
    const char *message;
};

static const struct rule rules[] = {
    [FIELD_KIND_STRING] = {json_type_string, "must be a string", NULL, NULL},
    [FIELD_KIND_EMAIL] = {json_type_string, "must be a string", format_is_email,
                          "Invalid email format"},
    [FIELD_KIND_PHONE] = {json_type_string, "must be a string", format_is_phone,
                          "Invalid phone format"},
    [FIELD_KIND_LANGUAGE] = {json_type_string, "must be a string", format_is_language,
                             "Invalid ISO 639-1 language"},
    [FIELD_KIND_COUNTRY] = {json_type_string, "must be a string", format_is_three_capitals,
                            "Invalid ISO 3166-1 alpha-3 country"},
    [FIELD_KIND_CURRENCY] = {json_type_string, "must be a string", format_is_three_capitals,
                             "Invalid ISO 4217 currency"},
    [FIELD_KIND_DATE_TIME] = {json_type_string, "must be a string", format_is_date_time,
                              "Invalid RFC 3339 date-time"},
    /* json_read makes an int only of what is written as one and fits int64 */
    [FIELD_KIND_INTEGER] = {json_type_int, "must be a 64-bit integer", NULL, NULL},
    [FIELD_KIND_OBJECT] = {json_type_object, "must be an object", NULL, NULL},
    [FIELD_KIND_FREE] = {json_type_object, "must be an object", NULL, NULL},
};

static const struct field address_fields[] = {
    {"street_line1", FIELD_KIND_STRING, NULL}, {"street_line2", FIELD_KIND_STRING, NULL},
    {"city", FIELD_KIND_STRING, NULL},         {"state", FIELD_KIND_STRING, NULL},
    {"postal_code", FIELD_KIND_STRING, NULL},  {"country", FIELD_KIND_COUNTRY, NULL},
    {NULL, FIELD_KIND_STRING, NULL},
};

static const struct field history_fields[] = {
    {"email", FIELD_KIND_EMAIL, NULL},
    {"phone", FIELD_KIND_PHONE, NULL},
    {"first_name", FIELD_KIND_STRING, NULL},
    {"last_name", FIELD_KIND_STRING, NULL},
    {"preferred_language", FIELD_KIND_LANGUAGE, NULL},
    {"address", FIELD_KIND_OBJECT, address_fields},
    {"account_tenure", FIELD_KIND_INTEGER, NULL},
    {"ltv_amount", FIELD_KIND_INTEGER, NULL},
    {"ltv_currency", FIELD_KIND_CURRENCY, NULL},
    {"loyalty_tier", FIELD_KIND_STRING, NULL},
    {"account_created_at", FIELD_KIND_DATE_TIME, NULL},
    {"transaction_count", FIELD_KIND_INTEGER, NULL},
    {NULL, FIELD_KIND_STRING, NULL},
};

static const struct field update_fields[] = {
    {"email", FIELD_KIND_EMAIL, NULL},
    {"phone", FIELD_KIND_PHONE, NULL},
    {"first_name", FIELD_KIND_STRING, NULL},
    {"last_name", FIELD_KIND_STRING, NULL},
    {"preferred_language", FIELD_KIND_LANGUAGE, NULL},
    {"street_line1", FIELD_KIND_STRING, NULL},
    {"street_line2", FIELD_KIND_STRING, NULL},
    {"city", FIELD_KIND_STRING, NULL},
    {"state", FIELD_KIND_STRING, NULL},
    {"postal_code", FIELD_KIND_STRING, NULL},
    {"customer_history", FIELD_KIND_OBJECT, history_fields},
    {"metadata", FIELD_KIND_FREE, NULL},
    {NULL, FIELD_KIND_STRING, NULL},
};

/* The way to the value that is looked at, as a chain from the innermost key outwards. */
struct path {
    const struct path *parent;
    const char *key;
};

static void put_path(struct text *text, const struct path *path)
{
    if (path->parent != NULL) {
        put_path(text, path->parent);
        text_add(text, ".", 1);
    }
    text_puts(text, path->key);
}

static const struct field *find_field(const struct field *fields, const char *name)
{
    for (; fields != NULL && fields->name != NULL; fields++) {
        if (strcmp(fields->name, name) == 0) {
            return fields;
        }
    }
    return NULL;
}

static void report_type(struct findings *findings, const struct path *path, const char *error,
                        struct json_object *value)
{
    struct text detail = {0};
    put_path(&detail, path);
    text_printf(&detail, ": %s but was %s", error, json_peek_text(value));
    if (findings->type_errors == NULL) {
        findings->type_errors = json_object_new_array();
    }
    json_object_array_add(findings->type_errors, json_object_new_string(text_peek(&detail)));
    text_free(&detail);
}

/* Only the first is told, as the API does. */
static void report_rule(struct findings *findings, const struct path *path, const char *message,
                        const char *quoted)
{
    if (findings->type != NULL) {
        return;
    }
    findings->type = "INVALID_REQUEST_ERROR";
    put_path(&findings->param, path);
    text_printf(&findings->message, "%s: %s", message, quoted);
}

static void check_object(struct json_object *object, const struct field *fields,
                         const struct path *parent, struct findings *findings);

/* A text with a NUL inside has no format at all. */
static bool rule_holds(const struct rule *rule, struct json_object *value)
{
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) && rule->holds(text);
}

static void check_value(struct json_object *value, const struct field *field,
                        const struct path *path, struct findings *findings)
{
    const struct rule *rule = &rules[field->kind];
    if (json_object_get_type(value) != rule->type) {
        report_type(findings, path, rule->type_error, value);
    } else if (field->kind == FIELD_KIND_OBJECT) {
        check_object(value, field->members, path, findings);
    } else if (rule->holds != NULL && !rule_holds(rule, value)) {
        report_rule(findings, path, rule->message, json_object_get_string(value));
    }
}

static void check_object(struct json_object *object, const struct field *fields,
                         const struct path *parent, struct findings *findings)
{
    json_object_object_foreach(object, key, value)
    {
        const struct path path = {parent, key};
        const struct field *field = find_field(fields, key);
        if (field == NULL) {
            report_rule(findings, &path, "Unknown field", key);
        } else {
            check_value(value, field, &path, findings);
        }
    }
}

bool contract_check(struct json_object *body, struct findings *findings)
{
    check_object(body, update_fields, NULL, findings);
    if (json_object_object_length(body) == 0) {
        findings->type = "BAD_REQUEST_ERROR";
        text_puts(&findings->message, "At least one property must be given");
    }
    return findings->type_errors == NULL && findings->type == NULL;
}

void findings_free(struct findings *findings)
{
    json_object_put(findings->type_errors);
    text_free(&findings->param);
    text_free(&findings->message);
    *findings = (struct findings){0};
}

static void merge_object(struct json_object *state, struct json_object *body,
                         const struct field *fields)
{
    json_object_object_foreach(body, key, value)
    {
        const struct field *field = find_field(fields, key);
        struct json_object *known = NULL;
        bool by_key = field != NULL &&
                      (field->kind == FIELD_KIND_OBJECT || field->kind == FIELD_KIND_FREE) &&
                      json_object_object_get_ex(state, key, &known);
        if (by_key) {
            merge_object(known, value, field->members);
        } else {
            json_object_object_add(state, key, json_object_get(value));
        }
    }
}

void contract_merge(struct json_object *state, struct json_object *body)
{
    merge_object(state, body, update_fields);
}
