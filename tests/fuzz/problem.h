// For targets that make problems.
#ifndef PROBLEM_H
#define PROBLEM_H

#include "config/problems.h"

// A problem's line is for a person's terminal: UTF-8, nothing that moves the cursor, and its parts
// are those of the line.
void problem_check(struct problems *problems, size_t index);

#endif
