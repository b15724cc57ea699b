// The constants of a mapping: `value`, `default` and the results of a `map`.
#ifndef CONFIG_MAPPING_CONSTANT_H
#define CONFIG_MAPPING_CONSTANT_H

#include "config/mapping_loader.h"

// A scalar as JSON that the leaf's type takes, kept by the mapping; kind ABSENT after reporting.
// The leaf's type and options must have been read.
struct jsontext constant_read(struct loader *loader, const struct yaml_node *node,
                              const struct mapping_leaf *leaf);

// Appends a constant as it would be written; nothing for kind ABSENT.
bool constant_print(struct jsontext constant, struct buf *out) MUST_CHECK;

#endif
