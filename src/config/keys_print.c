// From struct config back to text, by the table of keys.
#include "config/keys.h"

#include "config/mapping_print.h"
#include "config/value.h"

enum { KEYS_CLASS_PROBE = 90 }; // 490 and 590: statuses that nobody assigns

static const char *keys_choice_name(const struct key *key, unsigned value)
{
    for (const struct key_choice *choice = key->choices; choice->name != NULL; choice++) {
        if (choice->value == value) {
            return choice->name;
        }
    }
    return "?";
}

static bool keys_is_in_class(int status)
{
    return status != 401 && status != 403 && status != 429;
}

// What a whole class was set to, or VERDICT_OUTCOME_DEFAULT.
static enum verdict_outcome keys_class_outcome(const struct config *config, int first)
{
    for (int status = first; status < first + 100; status++) {
        if (keys_is_in_class(status) && config->retry.outcomes[status] == VERDICT_OUTCOME_DEFAULT) {
            return VERDICT_OUTCOME_DEFAULT;
        }
    }
    return config->retry.outcomes[first + KEYS_CLASS_PROBE];
}

static bool keys_print_class(const struct config *config, const struct key *key, int first,
                             bool *any, struct buf *out)
{
    enum verdict_outcome all = keys_class_outcome(config, first);
    bool ok = true;
    if (all != VERDICT_OUTCOME_DEFAULT) {
        ok = buf_printf(out, "%s%dxx: %s", *any ? ", " : "", first / 100,
                        keys_choice_name(key, all));
        *any = true;
    }
    for (int status = first; ok && status < first + 100; status++) {
        enum verdict_outcome kind = config->retry.outcomes[status];
        bool said = kind == VERDICT_OUTCOME_DEFAULT || (kind == all && keys_is_in_class(status));
        if (!said) {
            ok = buf_printf(out, "%s%d: %s", *any ? ", " : "", status, keys_choice_name(key, kind));
            *any = true;
        }
    }
    return ok;
}

static bool keys_print_outcomes(const struct config *config, const struct key *key, struct buf *out)
{
    bool any = false;
    return buf_append_char(out, '{') && keys_print_class(config, key, 400, &any, out) &&
           keys_print_class(config, key, 500, &any, out) && buf_append_char(out, '}');
}

static bool keys_print_text(const struct key *key, const char *text, struct buf *out)
{
    if (text == NULL) {
        return true;
    }
    return key->secret ? buf_append_str(out, STR("(set)")) : value_print_text(str_of(text), out);
}

bool keys_print_value(const struct config *config, const struct key *key, struct buf *out)
{
    const void *field = keys_peek(config, key);
    const struct config_rate *rate = field;
    switch (key->type) {
    case KEY_TYPE_TEXT:
    case KEY_TYPE_PATH:
        return keys_print_text(key, *(char *const *)field, out);
    case KEY_TYPE_INTEGER:
        return buf_printf(out, "%lld", (long long)*(const int64_t *)field);
    case KEY_TYPE_DURATION:
        return value_print_duration(*(const int64_t *)field, out);
    case KEY_TYPE_RATE:
        return value_print_rate(rate->count, rate->per_ns, out);
    case KEY_TYPE_BOOL:
        return buf_append_str(out, *(const bool *)field ? STR("true") : STR("false"));
    case KEY_TYPE_ENUM:
        return buf_append_str(out, str_of(keys_choice_name(key, *(const unsigned *)field)));
    case KEY_TYPE_OUTCOMES:
        return keys_print_outcomes(config, key, out);
    case KEY_TYPE_SECTION:
    case KEY_TYPE_TREE:
        return true;
    }
    return false;
}

static const char *keys_indent(const struct key *key)
{
    return strchr(key->path, '.') == NULL ? "" : "  ";
}

// "  timeout: 15s"; a key without a value ends in its colon.
static bool keys_print_line(const struct config *config, const struct key *key, struct buf *out)
{
    size_t before = 0;
    bool ok = buf_printf(out, "%s%s: ", keys_indent(key), keys_name(key));
    before = out->len;
    ok = ok && keys_print_value(config, key, out);
    if (ok && out->len == before) {
        buf_truncate(out, before - 1);
    }
    return ok && buf_append_char(out, '\n');
}

// Always here, wherever it was written: what is printed is whole, and loads by itself.
static bool keys_print_mapping(const struct config *config, struct buf *out)
{
    bool ok = true;
    if (config->mapping_file != NULL) {
        ok = buf_append_str(out, STR("# mapping_file: ")) &&
             value_print_text(str_of(config->mapping_file), out) && buf_append_char(out, '\n');
    }
    return ok && buf_append_str(out, STR("mapping:\n")) && mapping_print(config->mapping, out);
}

bool config_print(const struct config *config, struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; ok && i < keys_count(); i++) {
        const struct key *key = keys_at(i);
        bool mapping =
            key->type == KEY_TYPE_TREE || key->offset == offsetof(struct config, mapping_file);
        ok = mapping || keys_print_line(config, key, out);
    }
    return ok && keys_print_mapping(config, out);
}

static const char *keys_note(const struct key *key)
{
    if (key->required) {
        return key->restart ? " (required; restart to change)" : " (required)";
    }
    return key->restart && key->type != KEY_TYPE_SECTION ? " (restart to change)" : "";
}

// What is allowed, where that is a matter of choice or range.
static bool keys_print_allowed(const struct key *key, struct buf *out)
{
    const char *indent = keys_indent(key);
    if (key->type == KEY_TYPE_ENUM) {
        return buf_printf(out, "%s# One of: ", indent) && keys_print_choices(key, out) &&
               buf_append_char(out, '\n');
    }
    if (key->type == KEY_TYPE_INTEGER) {
        return buf_printf(out, "%s# %lld to %lld\n", indent, (long long)key->min,
                          (long long)key->max);
    }
    if (key->type == KEY_TYPE_DURATION) {
        return buf_printf(out, "%s# ", indent) && value_print_duration(key->min, out) &&
               buf_append_str(out, STR(" to ")) && value_print_duration(key->max, out) &&
               buf_append_char(out, '\n');
    }
    return true;
}

// Help, what is allowed, and the key with its default, commented out unless it must be filled in.
static bool keys_print_default(const struct key *key, struct buf *out)
{
    const char *indent = keys_indent(key);
    bool section = key->type == KEY_TYPE_SECTION;
    bool ok = (!section || out->len == 0 || buf_append_char(out, '\n')) &&
              buf_printf(out, "%s# %s%s\n", indent, key->help, keys_note(key)) &&
              keys_print_allowed(key, out);
    return ok && buf_printf(out, "%s%s%s:%s%s\n", indent, section || key->required ? "" : "#",
                            keys_name(key), key->fallback == NULL ? "" : " ",
                            key->fallback == NULL ? "" : key->fallback);
}

bool config_print_defaults(struct buf *out)
{
    bool ok = true;
    for (size_t i = 0; ok && i < keys_count(); i++) {
        ok = keys_print_default(keys_at(i), out);
    }
    return ok;
}
