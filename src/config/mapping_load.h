// Compiles the mapping (imprint-sync(5), "mapping") from its YAML tree into the domain's form, and
// reports every mistake in it: unknown targets, types and options, what cannot go together, and
// constants that their type refuses. Reads the time zones that the mapping names.
#ifndef CONFIG_MAPPING_LOAD_H
#define CONFIG_MAPPING_LOAD_H

#include "config/problems.h"
#include "config/yaml.h"
#include "domain/mapping.h"

// `mapping_node` is the value of the key `mapping`, `on_invalid_node` that of the key `on_invalid`
// beside it, or NULL. Returns NULL after adding problems. The result borrows nothing from the tree,
// which may be destroyed; the caller owns it (mapping_destroy).
struct mapping *mapping_load(const struct yaml_node *mapping_node,
                             const struct yaml_node *on_invalid_node, struct problems *problems);

#endif
