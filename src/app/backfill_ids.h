// The ids of `backfill --customers`: one a line, checked as a whole before anything is enqueued,
// then read page by page, so that a list of any length takes no memory.
#ifndef APP_BACKFILL_IDS_H
#define APP_BACKFILL_IDS_H

#include "base/err.h"
#include "io/pgarray.h"

#include <stdbool.h>
#include <stdint.h>

enum { IDS_DIGEST_SIZE = 65 };

struct ids;

// `path` "-" is standard input. NULL with the lines that are wrong, or that it cannot be read.
// Blank lines are no ids.
struct ids *ids_open(const char *path, struct err *err);
void ids_close(struct ids *ids);

int64_t ids_count(const struct ids *ids);
const char *ids_digest(const struct ids *ids); // hex; the same for the same ids in the same order

struct ids_page {
    int64_t line; // where it ends
    int64_t count;
    bool ended;
};
// Adds up to `most` ids behind line `after`.
void ids_read(struct ids *ids, int64_t after, int64_t most, struct pgarray *keys,
              struct ids_page *page);

#endif
