/*
 * journal: one JSON line for every POST request, when it has ended, written with one
 * write(2) to a file opened for appending, so that several writers and readers never
 * see half a line of each other. Without a file it does nothing.
 */
#ifndef SANDBOX_JOURNAL_H
#define SANDBOX_JOURNAL_H

#include "request.h"

#include <stdbool.h>
#include <stdint.h>

struct journal {
    int fd; /* -1: none */
    bool with_bodies;
    struct text line;
};

/* `file` may be NULL. False and errno when it cannot be opened. */
bool journal_open(struct journal *journal, const char *file, bool with_bodies)
    __attribute__((warn_unused_result));

void journal_write(struct journal *journal, struct request *request, int64_t end_ns, bool aborted);

void journal_close(struct journal *journal);

#endif
