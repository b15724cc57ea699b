/*
 * contract: the rules of an update's body, as a table: which fields there are, which
 * type and format each has, which objects are merged into what is known already.
 * Knows nothing of HTTP; api turns its findings into answers.
 */
#ifndef SANDBOX_CONTRACT_H
#define SANDBOX_CONTRACT_H

#include "text.h"

#include <json-c/json_object.h>
#include <stdbool.h>

/*
 * What is wrong with a body. `type_errors` (a JSON array of texts, or NULL) has every
 * value of the wrong type; `type`, `param` and `message` tell the first broken rule.
 * Texts quote the customer's data, as the API's do. Zero it, free it.
 */
struct findings {
    struct json_object *type_errors;
    const char *type;
    struct text param;
    struct text message;
};

/* `body` must be an object. True when nothing was found. */
bool contract_check(struct json_object *body, struct findings *findings);

void findings_free(struct findings *findings);

/* Merges a checked body into `state` (an object), sharing its values. */
void contract_merge(struct json_object *state, struct json_object *body);

#endif
