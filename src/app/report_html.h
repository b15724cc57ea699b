// The page of `report`: one file of HTML with everything in it.
#ifndef APP_REPORT_HTML_H
#define APP_REPORT_HTML_H

#include "domain/history.h"

#include <stdint.h>
#include <stdio.h>

// What the page's foot says of the input.
struct report_input {
    int64_t lines;
    int64_t bad_lines;      // no lines of the log
    int64_t first_bad_line; // counted through all files
    int64_t files;
};

// `history` has at least one line. Errors stay with `out`.
void report_html(FILE *out, const struct history *history, const struct report_input *input);

#endif
