#include "config/keys_unknown.h"

#include "config/keys.h"

enum { KEYS_WORD_BYTES = 128, KEYS_LIST_BYTES = 512 };

// Where a secret belongs that stands under a name like this: apiKey, db_password, Bearer.
static const char *keys_secret_home(struct str name)
{
    static const struct {
        const char *word;
        bool whole; // the word alone
        const char *home;
    } rows[] = {
        {"passw", false, "database.password_file"},
        {"pass", true, "database.password_file"},
        {"pwd", false, "database.password_file"},
        {"clientkey", false, "imprint.client_key_file"},
        {"privatekey", false, "imprint.client_key_file"},
        {"key", true, "imprint.api_key_file"},
        {"apikey", false, "imprint.api_key_file"},
        {"token", false, "imprint.api_key_file"},
        {"secret", false, "imprint.api_key_file"},
        {"bearer", false, "imprint.api_key_file"},
        {"authorization", false, "imprint.api_key_file"},
        {"credential", false, "imprint.api_key_file"},
    };
    char letters[KEYS_WORD_BYTES];
    size_t len = 0;
    for (size_t i = 0; i < name.len && len + 1 < sizeof letters; i++) {
        char c = str_lower_char(name.ptr[i]);
        if (c >= 'a' && c <= 'z') {
            letters[len++] = c;
        }
    }
    letters[len] = '\0';
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *found = strstr(letters, rows[i].word);
        if (found != NULL && (!rows[i].whole || strlen(rows[i].word) == len)) {
            return rows[i].home;
        }
    }
    return NULL;
}

struct str keys_shown_name(struct str name)
{
    size_t len = 0;
    while (len < name.len && name.ptr[len] != '=' && name.ptr[len] != ':') {
        len++;
    }
    return problems_excerpt((struct str){name.ptr, len});
}

// The full path of a key that has this name in another section.
static const char *keys_elsewhere(struct str name)
{
    for (size_t i = 0; i < keys_count(); i++) {
        if (str_equal(name, str_of(keys_name(keys_at(i))))) {
            return keys_at(i)->path;
        }
    }
    return NULL;
}

static void keys_report_unlike(struct problems *problems, const struct yaml_pair *pair,
                               const char *path, const char *const *names, size_t count)
{
    struct buf list;
    buf_init(&list, KEYS_LIST_BYTES);
    for (size_t i = 0; i < count; i++) {
        // Past the cap the list is cut, which is still of use.
        (void)!buf_printf(&list, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    problems_add(problems, pair->key_place, path, "unknown key; allowed here: %s",
                 buf_peek(&list).ptr);
    buf_free(&list);
}

// A name that could be one; the section has these.
static void keys_report_name(struct problems *problems, struct str section,
                             const struct yaml_pair *pair, const char *path)
{
    const char *names[KEYS_MAX];
    size_t count = keys_names(section, names);
    const char *nearest = str_nearest(pair->key, names, count);
    const char *elsewhere = keys_elsewhere(pair->key);
    if (elsewhere != NULL) {
        problems_add(problems, pair->key_place, path, "unknown key; did you mean %s?", elsewhere);
    } else if (nearest != NULL) {
        problems_add(problems, pair->key_place, path, "unknown key; did you mean %.*s%s%s?",
                     STR_ARG(section), section.len == 0 ? "" : ".", nearest);
    } else {
        keys_report_unlike(problems, pair, path, names, count);
    }
}

void keys_report_unknown(struct problems *problems, struct str section,
                         const struct yaml_pair *pair, const char *path)
{
    const char *names[KEYS_MAX];
    size_t count = keys_names(section, names);
    struct str shown = keys_shown_name(pair->key);
    const char *home = keys_secret_home(shown);
    if (home != NULL && str_nearest(shown, names, count) == NULL) {
        problems_add(problems, pair->key_place, path,
                     "a secret written inline is refused; put it in a file and name that in %s",
                     home);
    } else if (memchr(pair->key.ptr, '=', pair->key.len) != NULL ||
               memchr(pair->key.ptr, ':', pair->key.len) != NULL) {
        problems_add(problems, pair->key_place, path,
                     "unknown key; a value stands behind a colon and a space");
    } else if (memchr(pair->key.ptr, '.', pair->key.len) != NULL) {
        problems_add(problems, pair->key_place, path,
                     "unknown key; a key stands below its section, not behind a dot");
    } else {
        keys_report_name(problems, section, pair, path);
    }
}
