// Charts of `report` as SVG, one below the other on the same axis of time. No script: what a bucket
// holds shows as a tooltip. Colours are classes of the page's style sheet.
#ifndef APP_REPORT_CHART_H
#define APP_REPORT_CHART_H

#include "domain/history.h"

#include <stdio.h>

// All charts, each with its heading and legend.
void report_charts(FILE *out, const struct history *history);

// "2026-03-04 05:06:07", in UTC.
enum { REPORT_TIME_BYTES = 20 };
void report_time(int64_t at_us, char text[REPORT_TIME_BYTES]);

// A value as people read it: "1,234", "3 min", "1.2 s".
enum report_unit { REPORT_UNIT_COUNT, REPORT_UNIT_RATE, REPORT_UNIT_SECONDS, REPORT_UNIT_MS };
enum { REPORT_VALUE_BYTES = 40 };
void report_value(enum report_unit unit, double value, char text[REPORT_VALUE_BYTES]);

#endif
