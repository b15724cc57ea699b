#include "io/file.h"

#include "base/access.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_SECRET_MAX = 65536 };

// Reads up to `room` bytes; -1 with errno on failure. `status` is that of the file that was read.
static ssize_t file_read(const char *path, char *bytes, size_t room, struct stat *status)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    size_t len = 0;
    ssize_t got = 1;
    while (got != 0 && len < room) {
        got = read(fd, bytes + len, room - len);
        if (got < 0 && errno != EINTR) {
            break;
        }
        len += got > 0 ? (size_t)got : 0;
    }
    got = fstat(fd, status) == 0 ? got : -1;
    int saved = errno;
    close(fd);
    errno = saved;
    return got < 0 ? -1 : (ssize_t)len;
}

static const char *file_secret_fault(struct str text, size_t read_bytes)
{
    if (read_bytes > FILE_SECRET_MAX) {
        return "is over 64 KiB: that is no key or password";
    }
    if (text.len == 0) {
        return "is empty";
    }
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7F) {
            return "holds a line break or control character inside: one line is expected";
        }
    }
    return NULL;
}

static bool file_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool file_read_secret(const char *path, char **secret, struct err *err)
{
    char *bytes = mem_calloc(FILE_SECRET_MAX + 2, 1);
    struct stat status;
    ssize_t len = file_read(path, bytes, FILE_SECRET_MAX + 1, &status);
    bool ok = len >= 0;
    if (!ok) {
        err_set(err, ERR_KIND_CONFIG, "cannot read %s: %s", path, strerror(errno));
    } else if (access_is_open(path, &status)) {
        ok = err_set(err, ERR_KIND_CONFIG, "cannot use %s: %s", path, access_open_reason);
    } else {
        struct str text = {bytes, (size_t)len};
        while (text.len > 0 && file_is_blank(text.ptr[text.len - 1])) {
            text.len--;
        }
        const char *fault = file_secret_fault(text, (size_t)len);
        ok = fault == NULL || err_set(err, ERR_KIND_CONFIG, "%s %s", path, fault);
        *secret = ok ? mem_strndup(text.ptr, text.len) : NULL;
    }
    mem_wipe(bytes, FILE_SECRET_MAX + 2);
    free(bytes);
    return ok;
}

static int64_t file_time_ns(struct timespec time)
{
    return time.tv_sec * CLOCK_NS_PER_SEC + time.tv_nsec;
}

struct file_stamp file_stamp(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        return (struct file_stamp){.inode = 0};
    }
    return (struct file_stamp){
        .device = status.st_dev,
        .inode = status.st_ino,
        .bytes = status.st_size,
        .modified_ns = file_time_ns(status.st_mtim),
        .changed_ns = file_time_ns(status.st_ctim),
    };
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}
