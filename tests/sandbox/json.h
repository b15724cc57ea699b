/*
 * json: reads JSON as RFC 8259 has it, and nothing looser, into json-c objects.
 * json-c's own reader clamps integers beyond int64 and takes duplicate keys, comments
 * and NaN; here a number keeps its text: an integer that fits int64 becomes
 * json_type_int, every other number json_type_double that prints as it was written.
 */
#ifndef SANDBOX_JSON_H
#define SANDBOX_JSON_H

#include "text.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * True and the value (the caller puts it; JSON null is NULL), or false and a reason
 * (a constant). The whole text must be one value.
 */
bool json_read(const char *data, size_t len, struct json_object **value, const char **why)
    __attribute__((warn_unused_result));

/* Compact; valid until the object changes or goes. */
const char *json_peek_text(struct json_object *value);

void json_put_text(struct text *text, struct json_object *value);

#endif
