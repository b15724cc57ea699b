// Writes the reference parts of the manual pages, in mdoc, from the tables that the program itself
// reads by: imprint-manual keys|targets|types|options. manual.py puts them into docs/man.
#include "base/buf.h"
#include "config/keys.h"
#include "config/mapping_option.h"
#include "config/value.h"
#include "domain/target.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_CAP = 4096 };

// ---- mdoc ----

// A character of a text line; `quote` tells opening from closing backquotes.
static void put_char(char c, bool *quote)
{
    switch (c) {
    case '\\':
        fputs("\\e", stdout);
        break;
    case '-':
        fputs("\\-", stdout);
        break;
    case '`':
        *quote = !*quote;
        fputs(*quote ? "\\(oq" : "\\(cq", stdout);
        break;
    default:
        putchar(c);
    }
}

// Text lines, one for each sentence, as mdoc wants them. `text` begins with no dot or apostrophe.
static void put_text(const char *text)
{
    bool quote = false;
    for (const char *at = text; *at != '\0'; at++) {
        bool sentence = at > text && at[-1] == '.' && at[0] == ' ' && isupper((unsigned char)at[1]);
        if (sentence) {
            putchar('\n');
        } else {
            put_char(*at, &quote);
        }
    }
    putchar('\n');
}

// `text` as what one types, with the closing punctuation of the sentence.
static void put_literal(const char *text, const char *punctuation)
{
    printf(".Ql \"");
    bool quote = false;
    for (const char *at = text; *at != '\0'; at++) {
        put_char(*at, &quote);
    }
    printf("\" %s\n", punctuation);
}

// ---- keys ----

static const char *type_name(const struct key *key)
{
    switch (key->type) {
    case KEY_TYPE_TEXT:
        return "text";
    case KEY_TYPE_PATH:
        return "path";
    case KEY_TYPE_INTEGER:
        return "number";
    case KEY_TYPE_DURATION:
        return "duration";
    case KEY_TYPE_RATE:
        return "rate";
    case KEY_TYPE_BOOL:
        return "bool";
    case KEY_TYPE_ENUM:
        return "choice";
    case KEY_TYPE_OUTCOMES:
        return "outcomes";
    case KEY_TYPE_TREE:
        return "tree";
    case KEY_TYPE_SECTION:
        break;
    }
    assert(false); // sections have no value
    return "";
}

static void put_duration(int64_t ns)
{
    struct buf text;
    buf_init(&text, TEXT_CAP);
    bool ok = value_print_duration(ns, &text);
    assert(ok); // bounds are whole milliseconds
    (void)ok;
    printf("%.*s", (int)text.len, text.data);
    buf_free(&text);
}

static void put_choices(const struct key *key)
{
    struct buf names;
    buf_init(&names, TEXT_CAP);
    bool ok = keys_print_choices(key, &names);
    assert(ok); // a few words
    (void)ok;
    printf("One of %.*s.\n", (int)names.len, names.data);
    buf_free(&names);
}

static void put_range(const struct key *key)
{
    switch (key->type) {
    case KEY_TYPE_INTEGER:
        printf("From %lld to %lld.\n", (long long)key->min, (long long)key->max);
        break;
    case KEY_TYPE_DURATION:
        printf("From ");
        put_duration(key->min);
        printf(" to ");
        put_duration(key->max);
        puts(".");
        break;
    case KEY_TYPE_ENUM:
    case KEY_TYPE_OUTCOMES:
        put_choices(key);
        break;
    case KEY_TYPE_SECTION:
    case KEY_TYPE_TEXT:
    case KEY_TYPE_PATH:
    case KEY_TYPE_RATE:
    case KEY_TYPE_BOOL:
    case KEY_TYPE_TREE:
        break;
    }
}

static void put_key(const struct key *key)
{
    printf(".It Cm %s : Ar %s\n", key->path, type_name(key));
    put_text(key->help);
    put_range(key);
    if (key->required) {
        puts("Required.");
    }
    if (key->fallback != NULL) {
        puts("Default:");
        put_literal(key->fallback, ".");
    }
    if (key->restart) {
        puts("Takes a restart to change.");
    }
}

static void put_keys(void)
{
    bool listing = false;
    for (size_t i = 0; i < keys_count(); i++) {
        const struct key *key = keys_at(i);
        bool section = key->type == KEY_TYPE_SECTION;
        bool outside = strchr(key->path, '.') == NULL;
        if (listing && outside && (section || strchr(keys_at(i - 1)->path, '.') != NULL)) {
            puts(".El");
            listing = false;
        }
        if (section) {
            printf(".Ss Section %s\n", key->path);
            put_text(key->help);
            continue;
        }
        if (!listing) {
            puts(outside ? ".Ss The mapping\n.Bl -tag -width Ds" : ".Bl -tag -width Ds");
            listing = true;
        }
        put_key(key);
    }
    puts(".El");
}

// ---- the mapping ----

// The target's own type, then what `as` may make of it.
static void put_target(const struct target *target)
{
    printf(".It Cm %s\n", target->path);
    put_text(target->help);
    printf("Type:\n.Cm %s", fieldtype_get(target->type)->name);
    const char *also = " ;\nalso";
    for (int id = 0; id < FIELDTYPE_COUNT; id++) {
        if (id != (int)target->type && target_takes(target, (enum fieldtype_id)id)) {
            printf("%s\n.Cm %s", also, fieldtype_get((enum fieldtype_id)id)->name);
            also = " ,";
        }
    }
    puts(" .");
}

static void put_targets(void)
{
    puts(".Bl -tag -width Ds");
    for (size_t i = 0; i < target_count(); i++) {
        put_target(target_at(i));
    }
    puts(".El");
}

static void put_types(void)
{
    static const char *const makes[] = {
        [FIELDTYPE_MAKES_STRING] = "a string",
        [FIELDTYPE_MAKES_INTEGER] = "an integer",
        [FIELDTYPE_MAKES_BOOLEAN] = "true or false",
        [FIELDTYPE_MAKES_ANY] = "any value",
    };
    puts(".Bl -tag -width Ds");
    for (int id = 0; id < FIELDTYPE_COUNT; id++) {
        const struct fieldtype *type = fieldtype_get((enum fieldtype_id)id);
        printf(".It Cm %s\n", type->name);
        put_text(type->help);
        printf("Makes %s.\n", makes[type->makes]);
    }
    puts(".El");
}

static void put_options(void)
{
    puts(".Bl -tag -width Ds");
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        printf(".It Cm %s\n", option->name);
        put_text(option->help);
        if (!option->beside_value) {
            puts("Does not go with");
            puts(".Cm value .");
        }
    }
    puts(".El");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*put)(void);
    } parts[] = {
        {"keys", put_keys},
        {"targets", put_targets},
        {"types", put_types},
        {"options", put_options},
    };
    for (size_t i = 0; argc == 2 && i < sizeof parts / sizeof parts[0]; i++) {
        if (strcmp(argv[1], parts[i].name) == 0) {
            parts[i].put();
            return 0;
        }
    }
    fputs("usage: imprint-manual keys|targets|types|options\n", stderr);
    return 64;
}
