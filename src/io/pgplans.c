#include "io/pgplans.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pgplans_find(const struct pgplans *plans, const char *sql)
{
    for (int i = 0; i < plans->count; i++) {
        if (strcmp(plans->texts[i], sql) == 0) {
            return i;
        }
    }
    return -1;
}

int pgplans_add(struct pgplans *plans, const char *sql)
{
    assert(plans->count < PGPLANS_MAX);
    plans->texts[plans->count] = mem_strdup(sql);
    return plans->count++;
}

void pgplans_clear(struct pgplans *plans)
{
    for (int i = 0; i < plans->count; i++) {
        free(plans->texts[i]);
    }
    *plans = (struct pgplans){.count = 0};
}

void pgplans_name(int number, char name[PGPLANS_NAME_SIZE])
{
    snprintf(name, PGPLANS_NAME_SIZE, "imprint_%d", number);
}
