#include "app/report_html.h"

#include "app/report_chart.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Colours by variables: light, or dark as the reader's system wants it; paper is light.
static const char html_head[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"en\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'\">\n"
    "<title>imprint-sync report</title>\n"
    "<style>\n"
    ":root{--paper:#fff;--card:#f7f8fa;--ink:#1a2230;--soft:#5d6778;--grid:#e3e6eb;--blue:#2f6fdb;"
    "--teal:#0c8a7b;--amber:#c77700;--red:#c9303e;--violet:#7457d6;--grey:#8a93a3;--green:#3f9b68;"
    "--pink:#b8328f;--orange:#d8591c}\n";

static const char html_dark[] =
    "@media screen and (prefers-color-scheme:dark){:root{--paper:#12161d;--card:#1a2029;"
    "--ink:#e4e8ee;--soft:#98a3b3;--grid:#2a323e;--blue:#6ea3ff;--teal:#3fcbb6;--amber:#f2b03d;"
    "--red:#ff6e74;--violet:#a892ff;--grey:#78828f;--green:#4fb27d;--pink:#e874c4;"
    "--orange:#ff8f57}}\n";

static const char html_style[] =
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:1080px;padding:24px 20px 40px;background:var(--paper);"
    "color:var(--ink);font:15px/1.45 system-ui,-apple-system,\"Segoe UI\",\"Liberation Sans\","
    "sans-serif}\n"
    "h1{font-size:22px;margin:0 0 2px}h2{font-size:15px;margin:26px 0 4px}\n"
    "p{margin:4px 0}.soft,.none,footer{color:var(--soft)}.say{margin:10px 0 16px;font-size:16px}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(132px,1fr));gap:10px;"
    "margin:0;padding:0;list-style:none}\n"
    ".tiles li{background:var(--card);border-radius:8px;padding:10px 12px}\n"
    ".tiles b{display:block;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}\n"
    ".tiles span{color:var(--soft);font-size:13px}.tiles .bad b{color:var(--red)}\n"
    ".legend{color:var(--soft);font-size:13px;display:flex;flex-wrap:wrap;gap:2px 16px;"
    "align-items:center}\n"
    ".legend i{display:inline-block;border:5px solid;border-width:5px 7px;border-radius:2px;"
    "margin-right:6px}\n" // a border, as printers leave backgrounds out
    ".legend i.stroke{width:14px;border-radius:0;vertical-align:4px}\n"
    "svg{display:block;width:100%;height:auto;overflow:visible}\n"
    "svg text{font:11px system-ui,\"Liberation Sans\",sans-serif;fill:var(--soft);"
    "font-variant-numeric:tabular-nums}\n"
    ".value{text-anchor:end}.time{text-anchor:middle}.left{text-anchor:start}.day{font-weight:600}"
    "\n"
    ".grid{stroke:var(--grid);stroke-width:1}\n";

static const char html_marks[] =
    ".c0{--c:var(--grey)}.c1{--c:var(--blue)}.c2{--c:var(--teal)}.c3{--c:var(--amber)}"
    ".c4{--c:var(--red)}.c5{--c:var(--violet)}\n"
    ".bar{fill:var(--c)}.pale{opacity:.35}.area{fill:var(--c);opacity:.18}\n"
    ".line{fill:none;stroke:var(--c);stroke-width:1.5;stroke-linejoin:round}\n"
    ".line.c0,i.stroke.c0{stroke-dasharray:5 4;border-top-style:dashed}\n"
    "i.fill{border-color:var(--c)}.legend i.stroke{border-width:2px 0 0;border-color:var(--c)}\n"
    "i.stroke.c0{border-top-style:dashed}\n"
    ".tips rect{fill:transparent}.tips rect:hover{fill:var(--ink);opacity:.12}\n"
    ".band{fill:var(--b)}i.band{border-color:var(--b)}.shade{fill:var(--b);opacity:.13}\n"
    ".s-open{--b:var(--green)}.s-paused{--b:var(--amber)}.s-manual{--b:var(--teal)}"
    ".s-stopped{--b:var(--grey)}.s-database{--b:var(--violet)}.s-rejected{--b:var(--blue)}"
    ".s-url{--b:var(--orange)}.s-down{--b:var(--red)}.s-unauthorized{--b:var(--pink)}\n"
    "table{border-collapse:collapse;width:100%;font-size:14px}\n"
    "th{text-align:left;font-weight:600;color:var(--soft)}\n"
    "th,td{padding:4px 12px 4px 0;border-bottom:1px solid var(--grid);vertical-align:top}\n"
    ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".t{white-space:nowrap;font-variant-numeric:tabular-nums}\n"
    "th.n,td.n{padding-right:28px}td.w{overflow-wrap:anywhere}code{font-family:ui-monospace,"
    "\"Liberation Mono\",monospace;"
    "font-size:13px}\n"
    ".cols{columns:3 220px;font-size:14px;column-gap:28px}"
    ".cols div{display:flex;justify-content:space-between}\n"
    "footer{margin-top:30px;font-size:13px;border-top:1px solid var(--grid);padding-top:10px}\n"
    "@media screen and (max-width:720px){body{padding:16px 12px 32px}.charts,.wide{overflow-x:auto}"
    ".charts section{min-width:680px}.charts h2,.charts .legend,.charts .none{position:sticky;"
    "left:0;width:calc(100vw - 24px)}svg text{font-size:13px}.wide table{min-width:760px}\n"
    ".notes tr{display:block;padding:6px 0;border-bottom:1px solid var(--grid)}"
    ".notes td{display:inline-block;border:0;padding:0 10px 0 0}"
    ".notes td.w{display:block}.notes td.w:empty{display:none}}\n"
    "@media print{body{padding:0;max-width:none;font-size:11pt}svg text{font-size:13px}"
    ".charts section,.tiles li,tr{break-inside:avoid}h2{break-after:avoid}"
    ".tiles li{border:1px solid var(--grid)}.tips{display:none}"
    "*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}\n"
    "</style>\n</head>\n<body>\n";

// ---- texts ---------------------------------------------------------------------------------

// Whatever the log holds: no byte of it becomes markup.
static void html_text(FILE *out, const char *text)
{
    bool utf8 = str_is_utf8(str_of(text));
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char byte = (unsigned char)*c;
        if (*c == '&') {
            fputs("&amp;", out);
        } else if (*c == '<') {
            fputs("&lt;", out);
        } else if (*c == '>') {
            fputs("&gt;", out);
        } else {
            fputc(byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !utf8) ? '?' : *c, out);
        }
    }
}

static void html_count(FILE *out, double value)
{
    char text[REPORT_VALUE_BYTES];
    report_value(REPORT_UNIT_COUNT, value, text);
    fputs(text, out);
}

static void html_time_cell(FILE *out, int64_t at_us)
{
    char text[REPORT_TIME_BYTES];
    report_time(at_us, text);
    fprintf(out, "<td class=\"t\">%s</td>", text);
}

// ---- the head ------------------------------------------------------------------------------

static void html_tile(FILE *out, enum report_unit unit, double value, const char *label, bool bad)
{
    char text[REPORT_VALUE_BYTES];
    report_value(unit, value, text);
    fprintf(out, "<li%s><b>%s</b><span>%s</span></li>\n", bad && value > 0 ? " class=\"bad\"" : "",
            isnan(value) ? "not said" : text, label);
}

static void html_tiles(FILE *out, const struct history *history)
{
    const double *totals = history->totals;
    const double *tops = history->tops;
    fputs("<ul class=\"tiles\">\n", out);
    html_tile(out, REPORT_UNIT_COUNT, totals[HISTORY_SUM_SENT], "requests sent", false);
    html_tile(out, REPORT_UNIT_COUNT, totals[HISTORY_SUM_OK], "accepted", false);
    html_tile(out, REPORT_UNIT_COUNT, totals[HISTORY_SUM_UNCHANGED], "unchanged", false);
    html_tile(out, REPORT_UNIT_COUNT, totals[HISTORY_SUM_RETRIED], "retried", false);
    html_tile(out, REPORT_UNIT_COUNT, totals[HISTORY_SUM_DEAD], "rows died", true);
    html_tile(out, REPORT_UNIT_COUNT, tops[HISTORY_LEVEL_PENDING], "highest backlog", false);
    html_tile(out, REPORT_UNIT_SECONDS, tops[HISTORY_LEVEL_OLDEST_S], "longest wait seen", false);
    fputs("</ul>\n", out);
}

// The worst state first.
static void html_say(FILE *out, const struct history *history)
{
    double known = 0;
    char text[REPORT_VALUE_BYTES];
    for (size_t i = 0; i < HISTORY_STATES; i++) {
        known += history->totals[HISTORY_SUM_STATE + i];
    }
    if (!(known > 0)) {
        return;
    }
    double open = history->totals[HISTORY_SUM_STATE + HISTORY_STATE_OPEN];
    double percent = floor(open * 1000 / known) / 10; // never rounded up to all
    fprintf(out, "<p class=\"say\">The way to Imprint was open for %.4g&nbsp;%% of the time",
            percent);
    const char *before = "; otherwise ";
    for (size_t i = HISTORY_STATES; i > 1; i--) {
        double seconds = history->totals[HISTORY_SUM_STATE + i - 1];
        if (seconds > 0) {
            report_value(REPORT_UNIT_SECONDS, seconds, text);
            fprintf(out, "%s%s for %s", before, history_state_name((enum history_state)(i - 1)),
                    text);
            before = ", ";
        }
    }
    fputs(".</p>\n", out);
}

static void html_title(FILE *out, const struct history *history)
{
    char from[REPORT_TIME_BYTES];
    char to[REPORT_TIME_BYTES];
    char span[REPORT_VALUE_BYTES];
    report_time(history->first_us, from);
    report_time(history->last_us, to);
    report_value(REPORT_UNIT_SECONDS, (double)(history->last_us - history->first_us) / 1e6, span);
    fprintf(out,
            "<h1>imprint-sync, %.10s</h1>\n<p class=\"soft\">%s to %s UTC, %s, from the log</p>\n",
            from, from, to, span);
}

// ---- tables --------------------------------------------------------------------------------

static int html_by_rows(const void *a, const void *b)
{
    const struct history_reason *one = a;
    const struct history_reason *two = b;
    int less = (one->rows < two->rows) - (one->rows > two->rows);
    return less != 0 ? less : strcmp(one->text, two->text);
}

static void html_reasons(FILE *out, const struct history *history)
{
    fputs("<section class=\"wide\">\n<h2>Why rows became dead</h2>\n", out);
    if (history->reason_count == 0) {
        fputs("<p class=\"none\">None did.</p>\n</section>\n", out);
        return;
    }
    struct history_reason sorted[HISTORY_REASONS];
    memcpy(sorted, history->reasons, history->reason_count * sizeof sorted[0]);
    qsort(sorted, history->reason_count, sizeof sorted[0], html_by_rows);
    fputs("<table><thead><tr><th>reason</th><th class=\"n\">rows</th><th class=\"n\">updates</th>"
          "<th>first</th><th>last</th></tr></thead><tbody>\n",
          out);
    for (size_t i = 0; i < history->reason_count; i++) {
        fputs("<tr><td class=\"w\"><code>", out);
        html_text(out, sorted[i].text);
        fputs("</code></td><td class=\"n\">", out);
        html_count(out, (double)sorted[i].rows);
        fputs("</td><td class=\"n\">", out);
        html_count(out, (double)sorted[i].updates);
        fputs("</td>", out);
        html_time_cell(out, sorted[i].first_us);
        html_time_cell(out, sorted[i].last_us);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table>\n", out);
    if (history->other_rows > 0) {
        fputs("<p class=\"soft\">And ", out);
        html_count(out, (double)history->other_rows);
        fprintf(out, " rows for reasons beyond the first %d.</p>\n", HISTORY_REASONS);
    }
    fputs("</section>\n", out);
}

static void html_note(FILE *out, const struct history_note *note)
{
    fputs("<tr>", out);
    html_time_cell(out, note->first_us);
    fputs("<td class=\"t\"><code>", out);
    html_text(out, note->event);
    fputs("</code></td><td class=\"w\">", out);
    html_text(out, note->text);
    if (note->count > 1) {
        char until[REPORT_TIME_BYTES];
        report_time(note->last_us, until);
        fprintf(out, " <span class=\"soft\">(%lld times, until %s)</span>", (long long)note->count,
                until);
    }
    fputs("</td></tr>\n", out);
}

static void html_notes(FILE *out, const struct history *history)
{
    fputs("<section class=\"notes\">\n<h2>What happened</h2>\n", out);
    if (history->note_count == 0) {
        fputs("<p class=\"none\">No change was logged.</p>\n</section>\n", out);
        return;
    }
    fputs("<table><tbody>\n", out);
    for (size_t i = 0; i < history->note_count; i++) {
        if (i == HISTORY_NOTES / 2 && history->notes_left_out > 0) {
            fputs("<tr><td colspan=\"3\" class=\"soft\">", out);
            html_count(out, (double)history->notes_left_out);
            fputs(" left out here</td></tr>\n", out);
        }
        html_note(out, &history->notes[i]);
    }
    fputs("</tbody></table>\n</section>\n", out);
}

static void html_events(FILE *out, const struct history *history)
{
    fputs("<section>\n<h2>Lines of the log, by event</h2>\n<div class=\"cols\">\n", out);
    for (size_t i = 0; i < history->event_count; i++) {
        fputs("<div><code>", out);
        html_text(out, history->events[i].name);
        fputs("</code><span>", out);
        html_count(out, (double)history->events[i].count);
        fputs("</span></div>\n", out);
    }
    fputs("</div>\n</section>\n", out);
}

static void html_foot(FILE *out, const struct report_input *input)
{
    fputs("<footer><p>Made by imprint-sync " IMPRINT_VERSION " from ", out);
    html_count(out, (double)input->lines);
    fputs(input->lines == 1 ? " line" : " lines", out);
    if (input->files > 1) {
        fprintf(out, " of %lld logs", (long long)input->files);
    }
    if (input->bad_lines > 0) {
        fputs("; ", out);
        html_count(out, (double)input->bad_lines);
        fprintf(out, " of these were no lines of its log (the first: %lld) and are left out",
                (long long)input->first_bad_line);
    }
    fputs(". Times are UTC. Levels are the highest of each interval. No customer's id and no value "
          "of a customer is on this page.</p></footer>\n</body>\n</html>\n",
          out);
}

void report_html(FILE *out, const struct history *history, const struct report_input *input)
{
    fputs(html_head, out);
    fputs(html_dark, out);
    fputs(html_style, out);
    fputs(html_marks, out);
    html_title(out, history);
    html_say(out, history);
    html_tiles(out, history);
    report_charts(out, history);
    html_reasons(out, history);
    html_notes(out, history);
    html_events(out, history);
    html_foot(out, input);
}
