// The document of `status`: what the database tells, section by section, and what follows from it.
// The JSON output is this document; the screen is drawn from it.
#ifndef APP_STATUS_MODEL_H
#define APP_STATUS_MODEL_H

#include "config/config.h"
#include "io/outbox_status.h"

#include <json-c/json.h>

// Owned by the caller (json_object_put).
struct json_object *status_model(const struct outbox_section *sections, size_t count,
                                 const struct config *config);

// Reading it: a member of a member, NULL where there is none; numbers are 0 and texts "" for what
// is not there.
struct json_object *status_at(struct json_object *object, const char *key);
double status_number(struct json_object *object, const char *key);
int64_t status_count(struct json_object *object, const char *key);
const char *status_text(struct json_object *object, const char *key);
bool status_flag(struct json_object *object, const char *key);

#endif
