#include "cert.h"
#include "options.h"
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sysexits.h>

static int run(const struct options *options)
{
    if (options->help) {
        options_print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (options->make_cert != NULL) {
        return cert_make(options->make_cert) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (options->die_with_parent) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    }
    return server_run(options);
}

int main(int argc, char **argv)
{
    struct options options;
    int status = options_parse(&options, argc, argv) ? run(&options) : EX_USAGE;
    options_free(&options);
    return status;
}
