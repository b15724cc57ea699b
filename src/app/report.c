#include "app/report.h"

#include "base/buf.h"
#include "domain/jsontext.h"

#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>

enum { REPORT_TEXT_MAX = 4096, REPORT_LINE_MAX = 65536 };

static const char *const report_levels[] = {
    [REPORT_LEVEL_OK] = "ok",
    [REPORT_LEVEL_WARNING] = "warning",
    [REPORT_LEVEL_FAILED] = "failed",
};

// What comes from a server must neither move the cursor nor break the JSON.
static void report_clean(char *text)
{
    bool utf8 = str_is_utf8(str_of(text));
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < ' ' || *p == 0x7f || (*p >= 0x80 && !utf8)) {
            *p = '?';
        }
    }
}

static bool report_append_member(struct buf *line, const char *name, const char *text)
{
    return buf_printf(line, ", \"%s\": ", name) &&
           (text == NULL ? buf_append_str(line, STR("null")) : jsontext_encode(str_of(text), line));
}

static void report_print_json(const struct report *report, const char *level, const char *what,
                              const char *text, const char *todo)
{
    struct buf line;
    buf_init(&line, REPORT_LINE_MAX);
    if (buf_printf(&line, "%s{\"level\": \"%s\", \"check\": \"%s\"",
                   report->entries == 0 ? "[\n  " : ",\n  ", level, what) &&
        report_append_member(&line, "text", text) && report_append_member(&line, "todo", todo) &&
        buf_append_char(&line, '}')) {
        fputs(line.data, stdout);
    }
    buf_free(&line);
}

static void report_add(struct report *report, enum report_level level, const char *what,
                       const char *todo, const char *format, va_list args)
    __attribute__((format(printf, 5, 0)));

static void report_add(struct report *report, enum report_level level, const char *what,
                       const char *todo, const char *format, va_list args)
{
    char text[REPORT_TEXT_MAX];
    char clean_todo[REPORT_TEXT_MAX];
    vsnprintf(text, sizeof text, format, args);
    report_clean(text);
    snprintf(clean_todo, sizeof clean_todo, "%s", todo == NULL ? "" : todo);
    report_clean(clean_todo);
    if (report->json) {
        report_print_json(report, report_levels[level], what, text,
                          todo == NULL ? NULL : clean_todo);
    } else {
        printf("%-8s %-14s %s\n", report_levels[level], what, text);
        if (todo != NULL) {
            printf("%-8s %-14s -> %s\n", "", "", clean_todo);
        }
    }
    if (level == REPORT_LEVEL_FAILED && report->failures == 0) {
        snprintf(report->first, sizeof report->first, "%.40s: %.460s", what, text);
    }
    report->entries++;
    report->warnings += level == REPORT_LEVEL_WARNING ? 1 : 0;
    report->failures += level == REPORT_LEVEL_FAILED ? 1 : 0;
}

void report_begin(struct report *report, bool json)
{
    *report = (struct report){.json = json, .exit_code = EX_OK};
}

void report_ok(struct report *report, const char *what, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report_add(report, REPORT_LEVEL_OK, what, NULL, format, args);
    va_end(args);
}

void report_warn(struct report *report, const char *what, const char *todo, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report_add(report, REPORT_LEVEL_WARNING, what, todo, format, args);
    va_end(args);
}

void report_fail(struct report *report, enum err_kind kind, const char *what, const char *todo,
                 const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report_add(report, REPORT_LEVEL_FAILED, what, todo, format, args);
    va_end(args);
    if (report->exit_code == EX_OK) {
        report->exit_code = err_exit_code(kind);
    }
}

int report_end(struct report *report)
{
    if (report->json) {
        puts(report->entries == 0 ? "[]" : "\n]");
    }
    fflush(stdout);
    if (report->failures > 0) {
        fprintf(stderr, "imprint-sync: check: %zu failed; first %s\n", report->failures,
                report->first);
    }
    return report->exit_code;
}
