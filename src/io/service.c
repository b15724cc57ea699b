#include "io/service.h"

#include <stdlib.h>
#include <systemd/sd-daemon.h>

void service_ready(void)
{
    sd_notify(0, "READY=1");
}

void service_reloading(void)
{
    sd_notify(0, "RELOADING=1");
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
