// Makes the body of one request from one row, by the compiled mapping. Pure: same row, same time,
// same body, byte for byte (the fields stand in the order of the mapping), so bodies can be
// compared by hash.
#ifndef DOMAIN_MAPPER_H
#define DOMAIN_MAPPER_H

#include "base/buf.h"
#include "domain/mapping.h"
#include "domain/row.h"

#include <stdint.h>

enum mapper_result {
    MAPPER_RESULT_BODY,    // `body` holds the JSON of the request
    MAPPER_RESULT_NOTHING, // the row maps to nothing: there is nothing to send
    MAPPER_RESULT_INVALID, // the row cannot be sent: the reasons say why
    MAPPER_RESULT_TOO_BIG, // the body would pass the buffer's cap
};

// What became of one leaf, for render and for the reasons of dead rows.
struct mapper_note {
    const char *target;   // "customer_history.ltv_amount"
    const char *column;   // "lifetime_value", a path, or NULL for a constant
    const char *type;     // "minor_units"
    const char *reason;   // NULL: it went into the body or was left out by rule
    const char *left_out; // the rule it was left out by; NULL: it went into the body or is broken
    struct str json;      // what went into the body; empty when left out. Valid during the call.
};
typedef void (*mapper_note_fn)(void *ctx, const struct mapper_note *note);

struct mapper; // the working memory of mapping: reused from row to row

struct mapper *mapper_create(void);
void mapper_destroy(struct mapper *mapper);

// `body` is reset first, and empty again when the result is not BODY. `wall_ns` is now, since 1970
// UTC (for months_since). `note` may be NULL; it is called for each leaf in the order of the
// mapping, also behind the first that fails. Broken fields are INVALID even where the body is too
// big as well; so is a value that alone is too big.
enum mapper_result mapper_map(struct mapper *mapper, const struct row *row, int64_t wall_ns,
                              struct buf *body, mapper_note_fn note, void *ctx);

// After MAPPER_RESULT_INVALID: every broken field as "target: column C: reason", joined by "; ", at
// most 1,000 bytes, never a value. Borrowed until the next call.
struct str mapper_reasons(const struct mapper *mapper);

#endif
