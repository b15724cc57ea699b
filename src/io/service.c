// The place in this file is of no use to who reads the log.
#define SD_JOURNAL_SUPPRESS_LOCATION

#include "io/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

enum { SERVICE_FIELDS = 64 };
static const char service_journal_socket[] = "/run/systemd/journal/socket";

bool service_is_managed(void)
{
    return getenv("NOTIFY_SOCKET") != NULL;
}

void service_ready(void)
{
    sd_notify(0, "READY=1");
}

void service_reloading(void)
{
    // By the time systemd (253 and later) tells this reload from one before.
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
               (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void service_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void service_status(const char *text)
{
    sd_notifyf(0, "STATUS=%s", text);
}

int64_t service_watchdog_ns(void)
{
    uint64_t usec = 0;
    return sd_watchdog_enabled(0, &usec) > 0 && usec < INT64_MAX / 1000 ? (int64_t)usec * 1000 : 0;
}

void service_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}

bool service_has_journal(void)
{
    // The variable is inherited, by a terminal's programs too: what it names must be what we write
    // to.
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    if (stream == NULL || fstat(STDERR_FILENO, &status) != 0) {
        return false;
    }
    char mine[64];
    snprintf(mine, sizeof mine, "%llu:%llu", (unsigned long long)status.st_dev,
             (unsigned long long)status.st_ino);
    return strcmp(stream, mine) == 0;
}

bool service_send_journal(void *ctx, const struct str *fields, size_t count)
{
    (void)ctx;
    struct iovec parts[SERVICE_FIELDS];
    if (count > SERVICE_FIELDS) {
        count = SERVICE_FIELDS;
    }
    for (size_t i = 0; i < count; i++) {
        // An iovec is for reading and writing; this one is only read.
        memcpy(&parts[i].iov_base, &fields[i].ptr, sizeof parts[i].iov_base);
        parts[i].iov_len = fields[i].len;
    }
    // Without a socket sd_journal_sendv() drops the entry and calls it a success.
    return access(service_journal_socket, W_OK) == 0 && sd_journal_sendv(parts, (int)count) == 0;
}
