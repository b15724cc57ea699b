// What the readers of the mapping have in common: the mapping under construction, the path that
// messages name, and the reading of single values. For src/config/mapping_*.c only.
#ifndef CONFIG_MAPPING_LOADER_H
#define CONFIG_MAPPING_LOADER_H

#include "base/buf.h"
#include "config/problems.h"
#include "config/yaml.h"
#include "domain/mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOADER_PATH_CAP = 2048,
    LOADER_NAMES_MAX = 32, // members of an object, types, options
};

struct loader {
    struct mapping *mapping; // owned until it is taken out
    struct problems *problems;
    struct buf path;   // "mapping.customer_history.ltv_amount", as problems name the present node
    bool omit_invalid; // the top-level `on_invalid`
    size_t unknowns;   // aliases that were to be read
    int64_t wall_ns;
    struct buf json; // of the present constant
    struct buf converted;
    struct buf scratch;
};

void loader_init(struct loader *loader, struct problems *problems);
void loader_free(struct loader *loader);

// Counts what keeps a mapping from being complete: problems, and aliases, which the YAML tree has
// reported. What has added to it is not used.
size_t loader_faults(const struct loader *loader);

// Adds ".name" to the path in messages; returns what loader_pop takes.
size_t loader_push(struct loader *loader, struct str name);
void loader_pop(struct loader *loader, size_t before);

// The path without "mapping."; empty for the mapping itself.
struct str loader_target(const struct loader *loader);

#define loader_report(loader, place, ...)                                                          \
    problems_add((loader)->problems, (place), (loader)->path.data, __VA_ARGS__)

// "unknown WHAT "found"; did you mean NEAREST?", or the whole list when nothing is near.
void loader_report_unknown(struct loader *loader, struct yaml_place place, const char *what,
                           struct str found, const char *const *names, size_t count);

// All return false (or -1) after reporting what was found and what is allowed; of an alias nothing
// is said again.
bool loader_is_scalar(struct loader *loader, const struct yaml_node *node, const char *allowed);
// A mapping with at least one pair.
bool loader_is_full(struct loader *loader, const struct yaml_node *node, const char *allowed);
// The index of one of `count` words.
int loader_read_word(struct loader *loader, const struct yaml_node *node, const char *const *words,
                     int count, const char *allowed);
// Names end up in messages, in reasons and in the request: they are kept short and printable.
bool loader_is_name(struct loader *loader, struct yaml_place place, struct str name);

#endif
