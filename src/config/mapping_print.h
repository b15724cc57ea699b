// A compiled mapping back to YAML.
#ifndef CONFIG_MAPPING_PRINT_H
#define CONFIG_MAPPING_PRINT_H

#include "base/buf.h"
#include "domain/mapping.h"

// Appends what stands below the key `mapping`: each field in its long form, with its type. Read
// again it is the same mapping. False when the buffer's cap is passed.
bool mapping_print(const struct mapping *mapping, struct buf *out) MUST_CHECK;

#endif
