#include "config/zone_file.h"

#include "base/buf.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { ZONE_FILE_CAP = 256 << 10, ZONE_FILE_NAME_BYTES = 64 };

// A name of the zone database that cannot lead out of its folder.
static bool is_zone_name(struct str name)
{
    bool ok = name.len > 0 && name.len <= ZONE_FILE_NAME_BYTES && name.ptr[0] != '/';
    for (size_t i = 0; ok && i < name.len; i++) {
        char c = str_lower_char(name.ptr[i]);
        ok = (c >= 'a' && c <= 'z') || str_is_digit(c) || strchr("_+/-", c) != NULL;
    }
    return ok;
}

static bool read_file(const char *path, struct buf *content)
{
    char block[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    ssize_t got = 0;
    bool fits = true;
    do {
        got = read(fd, block, sizeof block);
        fits = got <= 0 || buf_append(content, block, (size_t)got);
    } while (got > 0 && fits);
    close(fd);
    return got == 0 && fits && content->len > 0;
}

struct zone *zone_file_read(struct str name)
{
    char path[sizeof ZONE_FILE_FOLDER + ZONE_FILE_NAME_BYTES];
    struct buf content;
    if (!is_zone_name(name)) {
        return NULL;
    }
    snprintf(path, sizeof path, ZONE_FILE_FOLDER "%.*s", STR_ARG(name));
    buf_init(&content, ZONE_FILE_CAP);
    struct zone *zone = read_file(path, &content) ? zone_parse(buf_peek(&content), NULL) : NULL;
    buf_free(&content);
    return zone;
}
