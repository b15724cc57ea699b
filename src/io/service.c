#include "io/service.h"

#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>

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

bool service_has_journal(void)
{
    return getenv("JOURNAL_STREAM") != NULL;
}
