// Sends updates to Imprint: libcurl's multi interface on the event loop. A worker is one transfer
// with its reusable easy handle; libcurl is never handed more than there are workers, since a
// transfer that waits inside it uses up its own timeout. Connections are kept alive; TLS is
// verified, redirects are not followed, answers over 1 MiB, or 64 KiB of headers, are cut.
//
// What a request must never do is leave twice or late: a PREREQFUNCTION stops libcurl's own silent
// repeat of a POST and every start past the lease's deadline, and the sockets forget what they
// still hold when a transfer is given up.
#ifndef IO_SENDER_H
#define IO_SENDER_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "domain/answer.h"
#include "io/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sender;

struct sender_options {
    const char *base_url;
    const char *update_path;  // holds "{customer_id}" once
    bool basic_auth;          // the key as user name with an empty password; else a bearer token
    const char *merchant_key; // NULL: none
    const char *ca_file;      // NULL: the system's
    const char *client_cert_file;
    const char *client_key_file;
    const char *proxy; // NULL: none, also not from the environment
    bool http2;
    int64_t connect_timeout_ns;
    int64_t timeout_ns;
    size_t workers;
};

// `answer` and what it points to are borrowed for the call. `elapsed_ns` counts from the submit.
typedef void (*sender_done_fn)(void *ctx, const struct answer *answer, int64_t elapsed_ns);

// Texts of `options` are copied. NULL with a reason when libcurl cannot be set up.
struct sender *sender_create(struct loop *loop, const struct sender_options *options,
                             struct err *err);
// Transfers under way are dropped without their call.
void sender_destroy(struct sender *sender);

// Puts a sender with other options in the place of `*sender`; it needs its key next. Transfers
// under way end as they began, on connections of their own, and with the last of them the old one
// goes. Nothing of it is used again, so certificates are read from their files anew. False with a
// reason, and `*sender` as it was, when libcurl cannot be set up.
bool sender_renew(struct sender **sender, const struct sender_options *options,
                  struct err *err) MUST_CHECK;

// The API key for transfers that begin from now on; copied.
void sender_set_key(struct sender *sender, const char *key);

size_t sender_free_workers(const struct sender *sender);
size_t sender_in_flight(const struct sender *sender); // those from before a sender_renew as well

// Those of them whose request has not left yet: they wait for their connection.
size_t sender_unsent(const struct sender *sender);

// Starts one POST with the next turn of the loop; there must be a free worker. `customer_id` is
// safe in a path (the caller has checked it); `body` is borrowed until the done call. No byte
// leaves after `not_after_ns` (the lease's deadline, CLOCK_BOOTTIME).
void sender_submit(struct sender *sender, struct str customer_id, struct str body,
                   int64_t not_after_ns, sender_done_fn done, void *ctx);

// Starts now what was submitted, for whoever has nothing more to submit in this turn. Calls nothing
// back.
void sender_flush(struct sender *sender);

// What a request with these options looks like, for people: method, URL and headers, a line each,
// with "(set)" in place of the keys. False when the buffer's cap is passed.
bool sender_describe(const struct sender_options *options, struct str customer_id,
                     size_t body_bytes, struct buf *out) MUST_CHECK;

#endif
