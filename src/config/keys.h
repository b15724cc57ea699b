// The table of configuration keys, one row a key: it parses, checks, gives the defaults, prints,
// and is the reference. To add a key: a field in struct config and a row in keys.c.
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"
#include "config/problems.h"
#include "config/yaml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum key_type {
    KEY_TYPE_SECTION,  // holds the keys whose path begins with its own and a dot; no field
    KEY_TYPE_TEXT,     // char *
    KEY_TYPE_PATH,     // char *, made absolute or relative to the main file's folder
    KEY_TYPE_INTEGER,  // int64_t
    KEY_TYPE_DURATION, // int64_t, nanoseconds
    KEY_TYPE_RATE,     // struct config_rate
    KEY_TYPE_BOOL,     // bool
    KEY_TYPE_ENUM,     // any enum of `choices`
    KEY_TYPE_OUTCOMES, // enum config_outcome_kind[600]
    KEY_TYPE_TREE,     // read elsewhere; no field
};

struct key_choice {
    const char *name; // NULL ends the list
    unsigned value;
};

struct key {
    const char *path; // dotted: at most one section
    enum key_type type;
    bool required;
    bool restart;         // a reload cannot change it
    bool secret;          // never printed
    bool hidden;          // a wrong value is not shown: it is easily a secret in the wrong place
    const char *fallback; // the default as it would be written; NULL: none
    int64_t min;          // INTEGER, DURATION; RATE: of the count
    int64_t max;
    const struct key_choice *choices; // ENUM and OUTCOMES
    size_t offset;                    // of its field, in struct config
    const char *help;
};

enum { KEYS_MAX = 64 };

// Where each key stood in the main file, for the checks that take more than one.
struct keys_seen {
    struct yaml_place root;
    const struct yaml_node *nodes[KEYS_MAX]; // NULL: not written, or written empty
    struct yaml_place places[KEYS_MAX];      // of the key; `line` 0 where it was not written
    bool broken[KEYS_MAX];                   // its value was refused and is the default
};

size_t keys_count(void);
const struct key *keys_at(size_t index);
// KEYS_MAX when there is none.
size_t keys_find(struct str path);

// The key's field in a config.
void *keys_field(struct config *config, const struct key *key);
const void *keys_peek(const struct config *config, const struct key *key);

// Fills `config` with defaults and with what stands in `root` (NULL: nothing). `directory` is put
// in front of relative paths: it is empty or ends in a slash. Everything wrong goes to `problems`.
void keys_fill(const struct yaml_node *root, struct str directory, struct config *config,
               struct keys_seen *seen, struct problems *problems);

// Frees the texts that keys_fill made.
void keys_free(struct config *config);

// Appends a value as it would be written.
bool keys_print_value(const struct config *config, const struct key *key,
                      struct buf *out) MUST_CHECK;

// The names of the allowed choices: "sandbox, production or custom".
bool keys_print_choices(const struct key *key, struct buf *out) MUST_CHECK;

// The last part of a key's path, by which it is written in its section.
const char *keys_name(const struct key *key);

// The names of a section's keys (empty: of those at the top), for messages. Returns how many.
size_t keys_names(struct str section, const char *names[KEYS_MAX]);

#endif
