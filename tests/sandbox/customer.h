/*
 * customer: one customer as the sandbox knows it: what was accepted, merged, and the
 * Customer object that answers are made of. Kept as JSON text, which takes a fraction
 * of the memory of json-c's trees: a backfill may bring a million of them.
 */
#ifndef SANDBOX_CUSTOMER_H
#define SANDBOX_CUSTOMER_H

#include "text.h"

#include <json-c/json_object.h>
#include <stdint.h>

struct customer {
    char *id;        /* a UUID in upper case, anything else as first known */
    char *last_body; /* NULL before the first update */
    char *state;     /* all updates merged; NULL: the same as last_body */
    int64_t count;   /* accepted updates */
    int64_t created_ns;
    int64_t updated_ns;
};

struct customer *customer_create(const char *id, int64_t wall_ns);
void customer_destroy(struct customer *customer);

void customer_apply(struct customer *customer, struct json_object *body, int64_t wall_ns);

/* The Customer of the contract; `id` may be another one than its own. */
void customer_put_answer(struct text *text, const struct customer *customer, const char *id);

/* What the control endpoints tell of it. */
void customer_put_record(struct text *text, const struct customer *customer);

#endif
