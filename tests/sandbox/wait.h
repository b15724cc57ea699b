/*
 * wait: everything that waits for a point in time, the earliest first (a binary
 * heap). A waiter belongs to its owner and knows its place, so it can leave early.
 */
#ifndef SANDBOX_WAIT_H
#define SANDBOX_WAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAIT_FOREVER INT64_MAX

struct waiter {
    int64_t due_ns;
    size_t place; /* in the heap + 1; 0: does not wait */
    void *owner;
};

struct waits {
    struct waiter **heap;
    size_t count;
    size_t room;
};

void waits_add(struct waits *waits, struct waiter *waiter, int64_t due_ns);
void waits_remove(struct waits *waits, struct waiter *waiter);

/* The next one, or NULL. It stays until it is removed. */
struct waiter *waits_peek(const struct waits *waits);

/* The heap itself; no waiter may be left in it. */
void waits_free(struct waits *waits);

#endif
