// The end of every unit test's main().
#ifndef UNIT_SUITE_H
#define UNIT_SUITE_H

#include <check.h>

// Runs the suite as the environment says (CK_*) and frees it. Returns the exit code.
int suite_run(Suite *suite);

#endif
