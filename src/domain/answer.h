// What one finished transfer brought back: how it ended, the status, the body and the headers that
// say when to come back. The sender fills it: answer_init, answer_header for every header line it
// sees (the parsing lives here, is bounded, and ignores junk), then transport, status and body.
// Plain data; nothing in it is owned.
#ifndef DOMAIN_ANSWER_H
#define DOMAIN_ANSWER_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

// Whatever the API asks for, longer than this we do not wait: then one probe.
#define ANSWER_PAUSE_MAX_NS (INT64_C(3600) * 1000000000)

enum answer_transport {
    ANSWER_TRANSPORT_ANSWERED,     // a whole answer, or one cut by us (body_cut, body_too_big)
    ANSWER_TRANSPORT_NOT_SENT,     // DNS, connect or TLS failed: nothing left this machine
    ANSWER_TRANSPORT_UNKNOWN,      // timeout, reset, protocol error, cut off: Imprint may have it
    ANSWER_TRANSPORT_REFUSED_HERE, // our own guard (lease, repeat) stopped it before any byte left
};

// Numbers from the headers; -1: absent or not understood.
struct answer_limit {
    int64_t remaining;
    int64_t reset; // seconds from now, or since 1970 when above 10^9
};

struct answer_headers {
    int64_t retry_after_s;       // Retry-After: 120
    int64_t retry_at_s;          // Retry-After: <date>, since 1970
    int64_t date_s;              // Date, since 1970
    struct answer_limit limit;   // RateLimit-Remaining, RateLimit-Reset
    struct answer_limit x_limit; // the same with X-
};

// What the request carried to be let in: the key, the form it was sent in, the merchant key.
enum { ANSWER_SECRETS = 3 };

struct answer {
    enum answer_transport transport;
    int status;        // 0: none
    struct str body;   // borrowed
    bool body_cut;     // the connection ended before the body did
    bool body_too_big; // we stopped reading
    // A constant token for the log where there was no whole answer: "dns", "connect", "tls",
    // "timeout", "reset", "protocol", "lease", "repeat", ...; NULL otherwise.
    const char *failure;
    struct str secrets[ANSWER_SECRETS]; // never quoted from the body, which may; borrowed; or empty
    struct answer_headers headers;
};

// No answer yet: transport NOT_SENT, no header seen.
void answer_init(struct answer *answer);

// One header line, with or without its line end. A status line ("HTTP/1.1 200") starts over, so
// that the headers of a proxy's or an interim answer do not count.
void answer_header(struct answer *answer, struct str line);

// How long the API asks us to stay away: Retry-After, or the reset of a rate limit of which nothing
// remains (with 429 it need not say so). Dates count against the answer's own Date, so no clock of
// ours is involved; without a Date they are ignored. 0: nothing was asked. At most
// ANSWER_PAUSE_MAX_NS.
int64_t answer_pause_ns(const struct answer *answer);

// An HTTP date in one of its three forms (RFC 9110, 5.6.7) to seconds since 1970; false: none.
bool answer_parse_date(struct str text, int64_t *seconds);

#endif
