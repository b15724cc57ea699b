// A growable byte buffer with a compulsory cap, so that no input decides how much memory is taken.
// It is always NUL-terminated behind its content. Life cycle: buf_init, append..., buf_free;
// buf_reset empties it and keeps the memory. A failed append leaves the content as it was.
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *data; // NULL until the first append
    size_t len;
    size_t room;
    size_t cap; // most bytes of content
};

void buf_init(struct buf *buf, size_t cap);
void buf_free(struct buf *buf);
void buf_reset(struct buf *buf);
// Cuts the content to `len` bytes, which must not be more than it holds.
void buf_truncate(struct buf *buf, size_t len);

// False when the cap would be passed. What is appended within the room reserved moves nothing: of a
// secret no copy is left behind in memory that was given back.
bool buf_reserve(struct buf *buf, size_t more) MUST_CHECK;

// False when the cap would be passed.
bool buf_append(struct buf *buf, const char *bytes, size_t len) MUST_CHECK;
bool buf_append_str(struct buf *buf, struct str text) MUST_CHECK;
bool buf_append_char(struct buf *buf, char c) MUST_CHECK;
bool buf_printf(struct buf *buf, const char *format, ...) MUST_CHECK
    __attribute__((format(printf, 2, 3)));

// Borrowed; valid until the next append.
static inline struct str buf_peek(const struct buf *buf)
{
    return (struct str){buf->data == NULL ? "" : buf->data, buf->len};
}

// Hands the NUL-terminated content over to the caller, who frees it; the buffer is empty again.
char *buf_take(struct buf *buf);

#endif
