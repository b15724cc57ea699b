/*
 * control: the endpoints below /_sandbox/ with which a test changes and inspects the
 * sandbox while it runs. They need no key, are not journalled, and no fault hits them.
 */
#ifndef SANDBOX_CONTROL_H
#define SANDBOX_CONTROL_H

#include "request.h"
#include "sandbox.h"

#include <stdbool.h>

bool control_owns(const char *path);

/* Sets the answer. */
void control_handle(struct sandbox *sandbox, struct request *request);

#endif
