/*
 * answer: what a request is answered with: status, content type, body, and the few
 * headers that differ. Knows the three documented shapes of an error body.
 * Zero it, fill it once, free it; filling it again replaces the body.
 */
#ifndef SANDBOX_ANSWER_H
#define SANDBOX_ANSWER_H

#include "text.h"

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stdint.h>

enum answer_shape {
    ANSWER_SHAPE_ERROR_OBJECT, /* 1: {"error": {"type", "message", "param"}} */
    ANSWER_SHAPE_BAD_REQUEST,  /* 2: {"path", "error", "status", "details", "timestamp"} */
    ANSWER_SHAPE_FLAT,         /* 3: {"type", "message", "param"} */
    ANSWER_SHAPE_HTML,         /* what a gateway says; not documented */
};

struct answer {
    int status;
    const char *content_type;
    struct text body;
    bool has_retry_after;
    int64_t retry_after_s;
    bool retry_after_date; /* as a date instead of seconds */
    const char *allow;     /* the methods that go with a 405; a constant */
    char *location;
};

/* All borrowed. `details` may be NULL: then the message is the one detail. */
struct problem {
    const char *type; /* NULL: the one that goes with the status */
    const char *message;
    const char *param;
    const char *path;
    struct json_object *details;
};

void answer_set_error(struct answer *answer, int status, enum answer_shape shape,
                      const struct problem *problem);

/* `content_type` must be a constant. */
void answer_set_text(struct answer *answer, int status, const char *content_type, const char *body);

/* Takes the text over. */
void answer_set_json(struct answer *answer, int status, struct text *body);

void answer_free(struct answer *answer);

#endif
