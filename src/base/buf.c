#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_FIRST_ROOM = 128 };

void buf_init(struct buf *buf, size_t cap)
{
    *buf = (struct buf){.cap = cap};
}

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.cap = buf->cap};
}

void buf_reset(struct buf *buf)
{
    buf_truncate(buf, 0);
}

void buf_truncate(struct buf *buf, size_t len)
{
    assert(len <= buf->len);
    buf->len = len;
    if (buf->data != NULL) {
        buf->data[len] = '\0';
    }
}

bool buf_reserve(struct buf *buf, size_t more)
{
    if (more > buf->cap - buf->len) {
        return false;
    }
    size_t need = buf->len + more + 1;
    if (need > buf->room) {
        size_t room = buf->room < BUF_FIRST_ROOM ? BUF_FIRST_ROOM : buf->room;
        while (room < need) {
            room *= 2;
        }
        buf->data = mem_resize(buf->data, room, 1);
        buf->room = room;
    }
    return true;
}

bool buf_append(struct buf *buf, const char *bytes, size_t len)
{
    if (!buf_reserve(buf, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, bytes, len);
    }
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

bool buf_append_str(struct buf *buf, struct str text)
{
    return buf_append(buf, text.ptr, text.len);
}

bool buf_append_char(struct buf *buf, char c)
{
    return buf_append(buf, &c, 1);
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    // Mostly there is room already; what does not fit is cut, and not counted, until there is.
    size_t room = buf->room - buf->len;
    char *end = room == 0 ? NULL : buf->data + buf->len;
    va_start(args, format);
    int len = vsnprintf(end, room, format, args);
    va_end(args);
    if (len < 0 || !buf_reserve(buf, (size_t)len)) {
        buf_truncate(buf, buf->len);
        return false;
    }
    if ((size_t)len >= room) {
        va_start(args, format);
        vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
        va_end(args);
    }
    buf->len += (size_t)len;
    return true;
}

char *buf_take(struct buf *buf)
{
    char *data = buf->data == NULL ? mem_strdup("") : buf->data;
    *buf = (struct buf){.cap = buf->cap};
    return data;
}
