// `report`: lines of the log in, one page of HTML out. The log is read line by line and never held.
#include "app/options.h"
#include "app/report_html.h"
#include "base/err.h"
#include "base/mem.h"
#include "domain/history.h"
#include "domain/logline.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum { REPORT_LINE_MAX = 65536 }; // a longer one is none of ours

struct report_reader {
    struct history *history;
    struct logline line;
    struct report_input input;
    char *text;
};

static void report_take_line(struct report_reader *reader, struct str text, bool whole)
{
    reader->input.lines++;
    if (whole && logline_parse(&reader->line, text) &&
        history_add(reader->history, &reader->line)) {
        return;
    }
    if (reader->input.bad_lines++ == 0) {
        reader->input.first_bad_line = reader->input.lines;
    }
}

// The rest of a line that is too long.
static void report_skip_line(FILE *file)
{
    int c;
    do {
        c = getc(file);
    } while (c != EOF && c != '\n');
}

static bool report_read(struct report_reader *reader, FILE *file, const char *name, struct err *err)
{
    size_t len = 0;
    int c;
    history_next_log(reader->history);
    reader->input.files++;
    while ((c = getc(file)) != EOF) {
        if (c == '\n') {
            report_take_line(reader, (struct str){reader->text, len}, true);
            len = 0;
        } else if (len == REPORT_LINE_MAX) {
            report_skip_line(file);
            report_take_line(reader, STR(""), false);
            len = 0;
        } else {
            reader->text[len++] = (char)c;
        }
    }
    if (len > 0) {
        report_take_line(reader, (struct str){reader->text, len}, true);
    }
    return !ferror(file) ||
           err_set(err, ERR_KIND_INTERNAL, "%s cannot be read: %s", name, strerror(errno));
}

static bool report_read_file(struct report_reader *reader, const char *path, struct err *err)
{
    if (strcmp(path, "-") == 0) {
        return report_read(reader, stdin, "standard input", err);
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return err_set(err, ERR_KIND_INTERNAL, "%s cannot be opened: %s", path, strerror(errno));
    }
    bool ok = report_read(reader, file, path, err);
    fclose(file);
    return ok;
}

static bool report_read_all(struct report_reader *reader, const struct options *options,
                            struct err *err)
{
    bool ok = options->operand_count > 0 || report_read_file(reader, "-", err);
    for (size_t i = 0; ok && i < options->operand_count; i++) {
        ok = report_read_file(reader, options->operands[i], err);
    }
    if (ok && reader->history->lines == 0) {
        return err_set(
            err, ERR_KIND_DATA,
            "no line of imprint-sync's log among %lld read; give it the log as it is, or "
            "journalctl -o cat -u imprint-sync (log.format journal: -o json)",
            (long long)reader->input.lines);
    }
    return ok;
}

static bool report_write(const struct report_reader *reader, struct err *err)
{
    report_html(stdout, reader->history, &reader->input);
    return (fflush(stdout) == 0 && !ferror(stdout)) ||
           err_set(err, ERR_KIND_INTERNAL, "the page cannot be written: %s", strerror(errno));
}

static const char *report_misuse(const struct options *options)
{
    if (isatty(STDOUT_FILENO)) {
        return "writes a page of HTML to standard output: add > report.html";
    }
    if (options->operand_count == 0 && isatty(STDIN_FILENO)) {
        return "needs a log: name its files, or pipe it in";
    }
    return NULL;
}

int report_page_run(const struct options *options)
{
    const char *misuse = report_misuse(options);
    if (misuse != NULL) {
        fprintf(stderr, "imprint-sync: report: %s\n", misuse);
        return EX_USAGE;
    }
    struct err err = {.kind = ERR_KIND_NONE};
    struct report_reader reader = {.history = history_create(),
                                   .text = mem_calloc(REPORT_LINE_MAX, 1)};
    logline_init(&reader.line);
    if (!report_read_all(&reader, options, &err) || !report_write(&reader, &err)) {
        fprintf(stderr, "imprint-sync: report: %s\n", err.text);
    }
    logline_free(&reader.line);
    history_destroy(reader.history);
    free(reader.text);
    return err_exit_code(err.kind);
}
