// The judgement: from one answer to what becomes of the row and what it says about the way to the
// API. The table of the design, section 5, is here and nowhere else. Pure; texts are copied, so a
// verdict outlives its answer.
//
// What may be logged: kind, cause, status, type, param, reason. `error` may quote a customer's data
// and goes into the database row only.
#ifndef DOMAIN_VERDICT_H
#define DOMAIN_VERDICT_H

#include "base/str.h"
#include "domain/answer.h"

#include <stdbool.h>
#include <stdint.h>

enum verdict_kind {
    VERDICT_KIND_DONE,  // accepted (I6)
    VERDICT_KIND_RETRY, // later again, with an attempt counted
    VERDICT_KIND_DEAD,  // will never pass as it is
    VERDICT_KIND_HOLD,  // not the row's fault: untouched, no attempt
};

// What the answer says about the way to the API; the pool acts on it.
enum verdict_cause {
    VERDICT_CAUSE_ACCEPTED,     // a success
    VERDICT_CAUSE_ROW,          // a matter of this row only, by an override of the configuration
    VERDICT_CAUSE_OTHER_ID,     // 2xx of another customer: retry, but no failure of the API
    VERDICT_CAUSE_REJECTED,     // 4xx in a documented shape: the API is well and refuses the row
    VERDICT_CAUSE_FAILURE,      // 5xx, 408, 425, 2xx that is no answer, no answer at all
    VERDICT_CAUSE_THROTTLED,    // 429
    VERDICT_CAUSE_UNAUTHORIZED, // 401
    VERDICT_CAUSE_FORBIDDEN,    // 403
    VERDICT_CAUSE_URL,          // 3xx, 4xx without a documented shape: something else answered
    VERDICT_CAUSE_REFUSED_HERE, // our own guard: nothing was sent, nothing is known
};
enum { VERDICT_CAUSE_COUNT = VERDICT_CAUSE_REFUSED_HERE + 1 };

// retry.outcomes of the configuration, by HTTP status.
enum verdict_outcome {
    VERDICT_OUTCOME_DEFAULT, // no override
    VERDICT_OUTCOME_RETRY,
    VERDICT_OUTCOME_DEAD,
    VERDICT_OUTCOME_HOLD,
};

enum {
    VERDICT_STATUS_COUNT = 600, // statuses are 0..599
    VERDICT_NAME_SIZE = 65,     // of type and param, with the NUL
    VERDICT_ERROR_CHARS = 1000,
    VERDICT_ERROR_SIZE = 4 * VERDICT_ERROR_CHARS + 1,
};

struct verdict {
    int64_t pause_ns;   // the API asked us to stay away so long; 0: it did not
    const char *reason; // a constant token for the log: "timeout", "rejected", "not_json", ...
    enum verdict_kind kind;
    enum verdict_cause cause;
    int status;                   // 0: no answer
    bool unknown_outcome;         // Imprint may have it or be at it: wait at least `timeout`
    char type[VERDICT_NAME_SIZE]; // "" unless [A-Za-z0-9_.\[\]-]{1,64}
    char param[VERDICT_NAME_SIZE];
    // For the row: type, param and message, at most 1,000 characters of UTF-8 without controls.
    // The key, where the API quotes it, reads (key). Never logged. "" when the answer had none.
    char error[VERDICT_ERROR_SIZE];
};

// Judges the answer to an update of `customer_id`. `outcomes` has VERDICT_STATUS_COUNT entries, or
// is NULL. Overrides do not touch 2xx: done means accepted.
//   retry: with an attempt; no longer the pool's matter (except 5xx, 408, 425, 429).
//   dead:  as a documented rejection, so that a storm of them still pauses the pool.
//   hold:  untouched, and the pool stops as for a wrong URL (a held row would come again at once).
void verdict_judge(struct verdict *verdict, const struct answer *answer, struct str customer_id,
                   const enum verdict_outcome *outcomes);

const char *verdict_kind_name(enum verdict_kind kind);
const char *verdict_cause_name(enum verdict_cause cause);

#endif
