#include "app/options.h"

#include <stdio.h>
#include <sysexits.h>

int version_run(const struct options *options)
{
    (void)options;
    printf("imprint-sync %s\n", IMPRINT_VERSION);
    return EX_OK;
}
