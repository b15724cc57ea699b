// The table of the options of a mapping's leaf, one row an option: it reads, checks, prints, and is
// the reference. To add one: a field in struct mapping_leaf, a row and its two functions.
#ifndef CONFIG_MAPPING_OPTION_H
#define CONFIG_MAPPING_OPTION_H

#include "config/mapping_loader.h"
#include "domain/target.h"

struct draft;

struct option {
    const char *name;
    const char *help;   // one sentence for the manual
    const char *schema; // of its value, as JSON Schema for editors; NULL: the names of types
    bool beside_value;  // goes with a constant
    // Reads the option's value into the leaf, or reports.
    void (*read)(struct loader *loader, const struct yaml_node *node, struct draft *draft);
    // Appends the leaf's value as it would be written; nothing where it is not given.
    bool (*print)(const struct mapping_leaf *leaf, struct buf *out);
};

size_t option_count(void);
const struct option *option_at(size_t index);

// Reads a leaf's long form, all options of it, and reports what is wrong. `leaf` holds what it has
// without options; its type is NULL after a wrong `as`.
void option_read_all(struct loader *loader, const struct yaml_node *node,
                     const struct target *target, struct mapping_leaf *leaf);

// A column or a path into one; unchanged after reporting.
void option_read_path(struct loader *loader, const struct yaml_node *node,
                      struct mapping_path *path);

// True for omit, false for fail and after reporting.
bool option_read_omit(struct loader *loader, const struct yaml_node *node);

#endif
