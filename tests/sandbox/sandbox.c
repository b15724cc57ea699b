#include "sandbox.h"

#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static bool add_faults(struct sandbox *sandbox, const struct option_list *specs)
{
    for (size_t i = 0; i < specs->count; i++) {
        struct text why = {0};
        struct fault *fault = fault_create(specs->items[i], &why);
        if (fault == NULL) {
            fprintf(stderr, "imprint-sandbox: --fault %s: %s\n", specs->items[i], text_peek(&why));
            text_free(&why);
            return false;
        }
        faults_add(&sandbox->faults, fault);
        text_free(&why);
    }
    return true;
}

static bool open_files(struct sandbox *sandbox)
{
    const struct options *options = sandbox->options;
    if (!journal_open(&sandbox->journal, options->journal, options->journal_bodies)) {
        perror("imprint-sandbox: journal");
        return false;
    }
    if (options->strict_customers != NULL &&
        !store_load_strict(&sandbox->store, options->strict_customers, clock_wall_ns())) {
        perror("imprint-sandbox: strict-customers");
        return false;
    }
    return true;
}

static void init_values(struct sandbox *sandbox, const struct options *options)
{
    int64_t seed = options->seed >= 0 ? options->seed : clock_wall_ns();
    *sandbox = (struct sandbox){.options = options, .journal.fd = -1};
    sandbox->faults.random = (uint64_t)seed;
    sandbox->keys.any = options->api_keys.count == 0;
    for (size_t i = 0; i < options->api_keys.count; i++) {
        keys_add(&sandbox->keys, options->api_keys.items[i]);
    }
    rate_init(&sandbox->rate, options->rate_per_sec, (double)options->burst, clock_boot_ns());
}

int sandbox_init(struct sandbox *sandbox, const struct options *options)
{
    init_values(sandbox, options);
    if (!add_faults(sandbox, &options->faults)) {
        return EX_USAGE;
    }
    return open_files(sandbox) ? EXIT_SUCCESS : EXIT_FAILURE;
}

void sandbox_free(struct sandbox *sandbox)
{
    journal_close(&sandbox->journal);
    keys_clear(&sandbox->keys);
    faults_clear(&sandbox->faults);
    store_clear(&sandbox->store);
}
