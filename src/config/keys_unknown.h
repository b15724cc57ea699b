// What is said about a key that is none: what was probably meant, or what is allowed.
#ifndef CONFIG_KEYS_UNKNOWN_H
#define CONFIG_KEYS_UNKNOWN_H

#include "config/problems.h"
#include "config/yaml.h"

// What of a key is shown: "password=x" was meant to be a key and its value, which may be a secret.
struct str keys_shown_name(struct str name);

// `path` is that of the key, of what is shown.
void keys_report_unknown(struct problems *problems, struct str section,
                         const struct yaml_pair *pair, const char *path);

#endif
