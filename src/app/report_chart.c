#include "app/report_chart.h"

#include "base/buf.h"
#include "domain/human.h"
#include "domain/instant.h"
#include "domain/scale.h"

#include <math.h>
#include <string.h>

// In units of the drawing, which the page scales to its width.
enum {
    CHART_WIDTH = 1000,
    CHART_LEFT = 72, // room for the values
    CHART_RIGHT = 12,
    CHART_PLOT = CHART_WIDTH - CHART_LEFT - CHART_RIGHT,
    CHART_HEAD = 8,
    CHART_FOOT = 20, // room for the times
    CHART_TICKS = 9,
    CHART_BAND = 30,
};
#define CHART_US_PER_S INT64_C(1000000)

enum chart_mark {
    CHART_MARK_BAR,  // of a sum
    CHART_MARK_RATE, // a sum, by the second
    CHART_MARK_AREA, // a level
    CHART_MARK_LINE,
};

struct chart_part {
    enum chart_mark mark;
    size_t column; // of the series: a sum for BAR and RATE, else a level
    const char *label;
    const char *style; // a class of the style sheet
};

struct chart {
    const char *title;
    const char *none; // said instead when there is nothing
    enum report_unit unit;
    bool per_bucket; // the heading names the width of a bucket
    bool stacked;    // bars stand on each other
    bool decades;    // a logarithmic axis
    int height;
    struct chart_part parts[4];
    size_t count;
};

static const struct chart charts[] = {
    {.title = "Rate against limit, requests a second",
     .none = "No requests.",
     .unit = REPORT_UNIT_RATE,
     .height = 130,
     .parts = {{CHART_MARK_RATE, HISTORY_SUM_SENT, "sent", "c1"},
               {CHART_MARK_LINE, HISTORY_LEVEL_RATE, "allowed at the time", "c2"},
               {CHART_MARK_LINE, HISTORY_LEVEL_RATE_LIMIT, "limit (delivery.rate)", "c0"}},
     .count = 3},
    {.title = "Sent and accepted",
     .none = "No requests.",
     .unit = REPORT_UNIT_COUNT,
     .per_bucket = true,
     .height = 110,
     .parts = {{CHART_MARK_BAR, HISTORY_SUM_SENT, "sent", "c1 pale"},
               {CHART_MARK_BAR, HISTORY_SUM_OK, "accepted", "c1"}},
     .count = 2},
    {.title = "Retried and dead",
     .none = "Nothing was retried, and no row died.",
     .unit = REPORT_UNIT_COUNT,
     .per_bucket = true,
     .stacked = true,
     .height = 80,
     .parts = {{CHART_MARK_BAR, HISTORY_SUM_RETRIED, "retried", "c3"},
               {CHART_MARK_BAR, HISTORY_SUM_DEAD, "dead rows", "c4"}},
     .count = 2},
    {.title = "Backlog, rows waiting",
     .none = "No row was seen waiting.",
     .unit = REPORT_UNIT_COUNT,
     .height = 110,
     .parts = {{CHART_MARK_AREA, HISTORY_LEVEL_PENDING, "pending", "c5"}},
     .count = 1},
    {.title = "Age of the oldest row waiting",
     .none = "No row was seen waiting.",
     .unit = REPORT_UNIT_SECONDS,
     .height = 110,
     .parts = {{CHART_MARK_AREA, HISTORY_LEVEL_OLDEST_S, "oldest", "c5"}},
     .count = 1},
    {.title = "Time of a request, and from change to acceptance (logarithmic)",
     .none = "No answer was timed.",
     .unit = REPORT_UNIT_MS,
     .decades = true,
     .height = 150,
     .parts = {{CHART_MARK_LINE, HISTORY_LEVEL_P50_MS, "request, median", "c1"},
               {CHART_MARK_LINE, HISTORY_LEVEL_P95_MS, "95 %", "c2"},
               {CHART_MARK_LINE, HISTORY_LEVEL_P99_MS, "99 %", "c3"},
               {CHART_MARK_LINE, HISTORY_LEVEL_LAG_P99_MS, "change to acceptance, 99 %", "c0"}},
     .count = 4},
};

// The lines of a logarithmic axis of times: about a decade apart, and round for people.
static const struct chart_time {
    double ms;
    const char *label;
} chart_times_ms[] = {
    {0.01, "10 µs"},      {0.1, "0.1 ms"},        {1, "1 ms"},    {10, "10 ms"},
    {100, "100 ms"},      {1e3, "1 s"},           {1e4, "10 s"},  {6e4, "1 min"},
    {6e5, "10 min"},      {36e5, "1 h"},          {36e6, "10 h"}, {864e5 * 4, "4 d"},
    {864e5 * 40, "40 d"}, {864e5 * 400, "400 d"},
};
enum { CHART_TIMES_MS = sizeof chart_times_ms / sizeof chart_times_ms[0] };

// What is being drawn.
struct plot {
    FILE *out;
    const struct history *history;
    const struct chart *chart;
    double bottom; // of the axis
    double top;
};

// ---- values --------------------------------------------------------------------------------

void report_time(int64_t at_us, char text[REPORT_TIME_BYTES])
{
    char whole[INSTANT_TEXT_BYTES];
    instant_print(at_us, whole);
    snprintf(text, REPORT_TIME_BYTES, "%.10s %.8s", whole, whole + 11);
}

void report_value(enum report_unit unit, double value, char text[REPORT_VALUE_BYTES])
{
    struct buf out;
    bool ok = true;
    buf_init(&out, REPORT_VALUE_BYTES - 1);
    switch (unit) {
    case REPORT_UNIT_COUNT:
        ok = human_count((int64_t)(value + 0.5), &out);
        break;
    case REPORT_UNIT_RATE:
        ok = value < 10 ? buf_printf(&out, "%.3g", value)
                        : human_count((int64_t)(value + 0.5), &out);
        break;
    case REPORT_UNIT_SECONDS:
        ok = value == 0 ? buf_append_char(&out, '0') : human_age(value, &out);
        break;
    case REPORT_UNIT_MS:
        ok = human_ms(value, &out);
        break;
    }
    snprintf(text, REPORT_VALUE_BYTES, "%s", ok ? buf_peek(&out).ptr : "?");
    buf_free(&out);
}

static double chart_width_s(const struct history *history)
{
    return (double)series_width_us(history->series) / (double)CHART_US_PER_S;
}

static bool plot_value(const struct plot *plot, const struct chart_part *part, size_t bucket,
                       double *value)
{
    const struct series *series = plot->history->series;
    if (part->mark == CHART_MARK_AREA || part->mark == CHART_MARK_LINE) {
        return series_top(series, bucket, part->column, value);
    }
    *value = series_sum(series, bucket, part->column);
    if (part->mark == CHART_MARK_RATE) {
        double rate;
        *value /= chart_width_s(plot->history);
        return series_top(series, bucket, HISTORY_LEVEL_RATE, &rate) || *value > 0;
    }
    return *value > 0;
}

// ---- places --------------------------------------------------------------------------------

static double plot_x(const struct plot *plot, double bucket)
{
    return CHART_LEFT + bucket * CHART_PLOT / (double)series_count(plot->history->series);
}

static double plot_y(const struct plot *plot, double value)
{
    double part;
    if (plot->chart->decades) {
        double low = log10(plot->bottom);
        part = value <= plot->bottom ? 0 : (log10(value) - low) / (log10(plot->top) - low);
    } else {
        part = value / plot->top;
    }
    return CHART_HEAD + (1 - (part > 1 ? 1 : part)) * plot->chart->height;
}

// What the parts of a bucket reach: the highest, or together. Zero where there is nothing.
struct reach {
    double top;
    double low;
    bool shown; // the first part, or any of a stack: a limit alone is nothing
};

static struct reach plot_reach(const struct plot *plot, size_t bucket)
{
    struct reach reach = {.low = (double)INFINITY};
    for (size_t i = 0; i < plot->chart->count; i++) {
        double value;
        if (plot_value(plot, &plot->chart->parts[i], bucket, &value) && value > 0) {
            reach.top = plot->chart->stacked ? reach.top + value : fmax(reach.top, value);
            reach.low = fmin(reach.low, value);
            reach.shown = reach.shown || i == 0 || plot->chart->stacked;
        }
    }
    return reach;
}

// From the line at or below `low` to the one at or above `high`, and at least one apart.
static void plot_scale_decades(struct plot *plot, double low, double high)
{
    size_t first = 0;
    while (first + 2 < CHART_TIMES_MS && chart_times_ms[first + 1].ms <= low) {
        first++;
    }
    size_t last = first + 1;
    while (last + 1 < CHART_TIMES_MS && chart_times_ms[last].ms < high) {
        last++;
    }
    plot->bottom = chart_times_ms[first].ms;
    plot->top = chart_times_ms[last].ms;
}

// False when there is nothing to show.
static bool plot_scale(struct plot *plot)
{
    struct reach all = {.low = (double)INFINITY};
    for (size_t i = 0; i < series_count(plot->history->series); i++) {
        struct reach reach = plot_reach(plot, i);
        all.top = fmax(all.top, reach.top);
        all.low = fmin(all.low, reach.low);
        all.shown = all.shown || reach.shown;
    }
    if (all.shown && plot->chart->decades) {
        plot_scale_decades(plot, all.low, all.top);
    } else {
        plot->top = all.top * 1.05;
    }
    return all.shown;
}

// ---- axes ----------------------------------------------------------------------------------

static void plot_line_of(const struct plot *plot, double value, const char *text)
{
    double y = plot_y(plot, value);
    fprintf(plot->out,
            "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
            "<text class=\"value\" x=\"%d\" y=\"%.1f\">%s</text>\n",
            CHART_LEFT, CHART_WIDTH - CHART_RIGHT, y, y, CHART_LEFT - 8, y + 4, text);
}

static void plot_decades(const struct plot *plot)
{
    for (size_t i = 0; i < CHART_TIMES_MS; i++) {
        const struct chart_time *time = &chart_times_ms[i];
        if (time->ms >= plot->bottom && time->ms <= plot->top) {
            plot_line_of(plot, time->ms, time->label);
        }
    }
}

static void plot_values(const struct plot *plot)
{
    if (plot->chart->decades) {
        plot_decades(plot);
        return;
    }
    double step = plot->chart->unit == REPORT_UNIT_SECONDS && plot->top > 10
                      ? (double)scale_time_step_s((int64_t)plot->top, 4)
                      : scale_step(plot->top);
    if (plot->chart->unit == REPORT_UNIT_COUNT && step < 1) {
        step = 1;
    }
    for (int i = 0; i * step <= plot->top; i++) {
        char text[REPORT_VALUE_BYTES];
        report_value(plot->chart->unit, i * step, text);
        plot_line_of(plot, i * step, text);
    }
}

static void chart_tick(FILE *out, double x, int y, int64_t at_s, int64_t step_s, bool first)
{
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char text[REPORT_TIME_BYTES];
    report_time(at_s * CHART_US_PER_S, text);
    int month = (text[5] - '0') * 10 + (text[6] - '0');
    // At the left edge it begins there, as the zero of the values stands before it.
    fprintf(out, "<text class=\"time%s%s\" x=\"%.1f\" y=\"%d\">", at_s % 86400 == 0 ? " day" : "",
            x < CHART_LEFT + 30 ? " left" : "", x, y);
    if (first || at_s % 86400 == 0) {
        const char *day = text[8] == '0' ? text + 9 : text + 8;
        fprintf(out, "%.*s %s%s", (int)(text + 10 - day), day, months[month - 1],
                at_s % 86400 != 0 ? " " : "");
    }
    if (at_s % 86400 != 0) {
        fprintf(out, "%.*s", step_s < 60 ? 8 : 5, text + 11);
    }
    fputs("</text>\n", out);
}

// The axis of time, below `height`.
static void chart_times(FILE *out, const struct history *history, int height)
{
    const struct series *series = history->series;
    int64_t width_s = series_width_us(series) / CHART_US_PER_S;
    int64_t start_s = series_start_us(series) / CHART_US_PER_S;
    int64_t span_s = width_s * (int64_t)series_count(series);
    int64_t step_s = scale_time_step_s(span_s, CHART_TICKS);
    bool first = true;
    for (int64_t at = (start_s + step_s - 1) / step_s * step_s; at < start_s + span_s;
         at += step_s) {
        double x = CHART_LEFT + (double)(at - start_s) * CHART_PLOT / (double)span_s;
        fprintf(out, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n", x, x,
                CHART_HEAD, CHART_HEAD + height);
        // Not cut off at the edge.
        if (x < CHART_WIDTH - 40) {
            chart_tick(out, x, CHART_HEAD + height + 15, at, step_s, first);
        }
        first = false;
    }
}

// ---- marks ---------------------------------------------------------------------------------

static void plot_bars(const struct plot *plot, size_t index)
{
    const struct chart_part *part = &plot->chart->parts[index];
    double floor_y = CHART_HEAD + plot->chart->height;
    fprintf(plot->out, "<path class=\"bar %s\" d=\"", part->style);
    for (size_t i = 0; i < series_count(plot->history->series); i++) {
        double value;
        double below = 0;
        for (size_t j = 0; plot->chart->stacked && j < index; j++) {
            double other;
            below += plot_value(plot, &plot->chart->parts[j], i, &other) ? other : 0;
        }
        if (plot_value(plot, part, i, &value)) {
            double low = below > 0 ? plot_y(plot, below) : floor_y;
            double high = fmin(plot_y(plot, below + value), low - 1); // one dead row is seen
            fprintf(plot->out, "M%.1f %.1fV%.1fH%.1fV%.1fz", plot_x(plot, (double)i), low, high,
                    plot_x(plot, (double)i + 0.86), low);
        }
    }
    fputs("\"/>\n", plot->out);
}

// Steps, since a bucket has one value; broken where nothing is known. `closed` makes it an area.
static void plot_steps(const struct plot *plot, const struct chart_part *part, bool closed)
{
    size_t count = series_count(plot->history->series);
    double floor_y = CHART_HEAD + plot->chart->height;
    bool drawing = false;
    for (size_t i = 0; i <= count; i++) {
        double value = 0;
        bool there = i < count && plot_value(plot, part, i, &value);
        double y = plot_y(plot, value);
        if (there && !drawing) {
            fprintf(plot->out, "M%.1f %.1f", plot_x(plot, (double)i), closed ? floor_y : y);
        }
        if (there) {
            fprintf(plot->out, "V%.1fH%.1f", y, plot_x(plot, (double)i + 1));
        }
        if (!there && drawing && closed) {
            fprintf(plot->out, "V%.1fz", floor_y);
        }
        drawing = there;
    }
}

static void plot_part(const struct plot *plot, size_t index)
{
    const struct chart_part *part = &plot->chart->parts[index];
    if (part->mark == CHART_MARK_BAR) {
        plot_bars(plot, index);
        return;
    }
    if (part->mark != CHART_MARK_LINE) {
        fprintf(plot->out, "<path class=\"area %s\" d=\"", part->style);
        plot_steps(plot, part, true);
        fputs("\"/>\n", plot->out);
    }
    fprintf(plot->out, "<path class=\"line %s\" d=\"", part->style);
    plot_steps(plot, part, false);
    fputs("\"/>\n", plot->out);
}

static void plot_tip_begin(const struct plot *plot, size_t bucket)
{
    const struct series *series = plot->history->series;
    char time[REPORT_TIME_BYTES];
    report_time(series_start_us(series) + (int64_t)bucket * series_width_us(series), time);
    fprintf(plot->out, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"><title>%s",
            plot_x(plot, (double)bucket), CHART_HEAD, plot_x(plot, 1) - CHART_LEFT,
            plot->chart->height, time);
}

// A tooltip over a bucket that has something.
static void plot_tip(const struct plot *plot, size_t bucket)
{
    bool begun = false;
    for (size_t i = 0; i < plot->chart->count; i++) {
        double value;
        char text[REPORT_VALUE_BYTES];
        if (!plot_value(plot, &plot->chart->parts[i], bucket, &value)) {
            continue;
        }
        if (!begun) {
            plot_tip_begin(plot, bucket);
        }
        begun = true;
        report_value(plot->chart->unit, value, text);
        fprintf(plot->out, "\n%s: %s", plot->chart->parts[i].label, text);
    }
    fputs(begun ? "</title></rect>\n" : "", plot->out);
}

static void plot_tips(const struct plot *plot)
{
    fputs("<g class=\"tips\">\n", plot->out);
    for (size_t i = 0; i < series_count(plot->history->series); i++) {
        plot_tip(plot, i);
    }
    fputs("</g>\n", plot->out);
}

// ---- states --------------------------------------------------------------------------------

// The worst of a bucket, so that nothing short is lost; HISTORY_STATES when none is known.
static size_t chart_worst_state(const struct history *history, size_t bucket)
{
    for (size_t i = HISTORY_STATES; i > 0; i--) {
        if (history_state_s(history, bucket, (enum history_state)(i - 1)) > 0) {
            return i - 1;
        }
    }
    return HISTORY_STATES;
}

struct chart_run {
    size_t from; // buckets
    size_t to;
    size_t state;
};

// The next buckets of one known state behind `run`, which begins as {0}.
static bool chart_next_run(const struct history *history, struct chart_run *run)
{
    size_t count = series_count(history->series);
    run->from = run->to;
    while (run->from < count &&
           (run->state = chart_worst_state(history, run->from)) == HISTORY_STATES) {
        run->from++;
    }
    run->to = run->from;
    while (run->to < count && chart_worst_state(history, run->to) == run->state) {
        run->to++;
    }
    return run->from < count;
}

static void chart_band(FILE *out, const struct history *history, const struct chart_run *run,
                       const char *style, int height)
{
    const struct series *series = history->series;
    const char *name = history_state_name((enum history_state)run->state);
    char begin[REPORT_TIME_BYTES];
    char end[REPORT_TIME_BYTES];
    double unit = CHART_PLOT / (double)series_count(series);
    report_time(series_start_us(series) + (int64_t)run->from * series_width_us(series), begin);
    report_time(series_start_us(series) + (int64_t)run->to * series_width_us(series), end);
    fprintf(out,
            "<rect class=\"%s s-%s\" x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\">"
            "<title>%s\n%s to %s</title></rect>\n",
            style, name, CHART_LEFT + (double)run->from * unit, CHART_HEAD,
            (double)(run->to - run->from) * unit, height, name, begin, end);
}

// Behind a chart: when the way was not open.
static void chart_shades(FILE *out, const struct history *history, int height)
{
    struct chart_run run = {0};
    while (chart_next_run(history, &run)) {
        if (run.state != HISTORY_STATE_OPEN) {
            chart_band(out, history, &run, "shade", height);
        }
    }
}

// ---- charts --------------------------------------------------------------------------------

static void chart_svg_begin(FILE *out, const char *title, int height)
{
    fprintf(out,
            "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\" "
            "xmlns=\"http://www.w3.org/2000/svg\">\n",
            CHART_WIDTH, CHART_HEAD + height + CHART_FOOT, title);
}

static void plot_heading(const struct plot *plot)
{
    const struct chart *chart = plot->chart;
    fprintf(plot->out, "<section>\n<h2>%s", chart->title);
    if (chart->per_bucket) {
        char width[REPORT_VALUE_BYTES];
        double width_s = chart_width_s(plot->history);
        report_value(REPORT_UNIT_SECONDS, width_s, width);
        fprintf(plot->out, ", per %s", width);
    }
    fputs("</h2>\n", plot->out);
}

static void plot_legend(const struct plot *plot)
{
    fputs("<p class=\"legend\">", plot->out);
    for (size_t i = 0; i < plot->chart->count; i++) {
        const struct chart_part *part = &plot->chart->parts[i];
        fprintf(plot->out, "<span><i class=\"%s %s\"></i>%s</span>",
                part->mark == CHART_MARK_LINE ? "stroke" : "fill", part->style, part->label);
    }
    fputs("</p>\n", plot->out);
}

static void chart_draw(FILE *out, const struct history *history, const struct chart *chart)
{
    struct plot plot = {.out = out, .history = history, .chart = chart};
    plot_heading(&plot);
    if (!plot_scale(&plot)) {
        fprintf(out, "<p class=\"none\">%s</p>\n</section>\n", chart->none);
        return;
    }
    plot_legend(&plot);
    chart_svg_begin(out, chart->title, chart->height);
    chart_shades(out, history, chart->height);
    plot_values(&plot);
    chart_times(out, history, chart->height);
    for (size_t i = 0; i < chart->count; i++) {
        plot_part(&plot, i);
    }
    plot_tips(&plot);
    fputs("</svg>\n</section>\n", out);
}

static void chart_states(FILE *out, const struct history *history)
{
    double known_s = 0;
    for (size_t i = 0; i < HISTORY_STATES; i++) {
        known_s += history->totals[HISTORY_SUM_STATE + i];
    }
    fputs("<section>\n<h2>The way to Imprint, as the daemon saw it</h2>\n", out);
    if (!(known_s > 0)) {
        fputs("<p class=\"none\">No line tells.</p>\n</section>\n", out);
        return;
    }
    fputs("<p class=\"legend\">", out);
    for (size_t i = 0; i < HISTORY_STATES; i++) {
        double seconds = history->totals[HISTORY_SUM_STATE + i];
        if (seconds > 0) {
            char text[REPORT_VALUE_BYTES];
            report_value(REPORT_UNIT_SECONDS, seconds, text);
            fprintf(out, "<span><i class=\"band s-%s\"></i>%s, %s</span>",
                    history_state_name((enum history_state)i),
                    history_state_name((enum history_state)i), text);
        }
    }
    fputs("</p>\n", out);
    chart_svg_begin(out, "The way to Imprint", CHART_BAND);
    chart_times(out, history, CHART_BAND);
    struct chart_run run = {0};
    while (chart_next_run(history, &run)) {
        chart_band(out, history, &run, "band", CHART_BAND);
    }
    fputs("</svg>\n</section>\n", out);
}

void report_charts(FILE *out, const struct history *history)
{
    fputs("<div class=\"charts\">\n", out); // one, so that all scroll together
    chart_states(out, history);
    for (size_t i = 0; i < sizeof charts / sizeof charts[0]; i++) {
        chart_draw(out, history, &charts[i]);
    }
    fputs("</div>\n", out);
}
