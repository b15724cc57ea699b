// Any text as a log: what is understood points into it, and the history stays within its bounds.
#include "domain/history.h"
#include "domain/scale.h"
#include "fuzz.h"

#include <math.h>

static void check_history(const struct history *history)
{
    size_t count = series_count(history->series);
    FUZZ_CHECK(count <= SERIES_BUCKETS && (count > 0 || history->lines == 0));
    FUZZ_CHECK(history->reason_count <= HISTORY_REASONS && history->event_count <= HISTORY_EVENTS &&
               history->note_count <= HISTORY_NOTES);
    FUZZ_CHECK(history->first_us <= history->last_us);
    for (size_t sum = 0; sum < HISTORY_SUM_STATE + HISTORY_STATES; sum++) {
        double total = 0;
        for (size_t i = 0; i < count; i++) {
            FUZZ_CHECK(series_sum(history->series, i, sum) >= 0);
            total += series_sum(history->series, i, sum);
        }
        FUZZ_CHECK(fabs(total - history->totals[sum]) <= 1e-6 * (1 + total));
        FUZZ_CHECK(scale_step(total) > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct history *history = history_create();
    struct logline line;
    logline_init(&line);
    while (rest.len > 0) {
        struct str text;
        str_split(rest, '\n', &text, &rest);
        bool understood = logline_parse(&line, text);
        FUZZ_CHECK(understood == (line.event.len > 0) && line.count <= LOGLINE_FIELDS);
        if (text.len == 0) {
            history_next_log(history);
        } else if (understood && !history_add(history, &line)) {
            FUZZ_CHECK(history->lines > 0); // years away from the others
        }
    }
    check_history(history);
    logline_free(&line);
    history_destroy(history);
    return 0;
}
