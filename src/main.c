#include "app/commands.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int code = commands_run(argc, argv);
    // A full disk must not make a cut answer look whole.
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs("imprint-sync: standard output could not be written\n", stderr);
        return code == EXIT_SUCCESS ? EXIT_FAILURE : code;
    }
    return code;
}
