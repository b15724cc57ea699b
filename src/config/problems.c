#include "config/problems.h"

#include "base/buf.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROBLEMS_LINE_CAP = 8192, PROBLEMS_TEXT_BYTES = 1024, PROBLEMS_EXCERPT_BYTES = 40 };

struct problem {
    char *line_text;
    size_t file_len; // of the file's name at its head
    size_t key_at;   // where the key begins, and the reason
    size_t reason_at;
    int line;
    int column;
    size_t order; // of arrival: keeps the sort stable
};

struct problems {
    struct problem *list;
    size_t count;
    bool sorted;
};

struct problems *problems_create(void)
{
    return mem_calloc(1, sizeof(struct problems));
}

void problems_destroy(struct problems *problems)
{
    if (problems == NULL) {
        return;
    }
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->list[i].line_text);
    }
    free(problems->list);
    free(problems);
}

// What stands in a file may hold escape sequences for the reader's terminal, or broken UTF-8.
static bool problems_append_clean(struct buf *out, struct str text)
{
    bool utf8 = str_is_utf8(text);
    bool ok = true;
    for (size_t i = 0; ok && i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool c1 = utf8 && c == 0xC2 && (unsigned char)text.ptr[i + 1] < 0xA0;
        if (c1) {
            ok = buf_printf(out, "\\u%04X", (unsigned char)text.ptr[++i]);
        } else if (c < 0x20 || c == 0x7F || (c >= 0x80 && !utf8)) {
            ok = buf_printf(out, "\\x%02X", c);
        } else {
            ok = buf_append_char(out, (char)c);
        }
    }
    return ok;
}

static bool problems_append_place(struct buf *out, struct yaml_place place)
{
    if (place.file == NULL) {
        return true;
    }
    return problems_append_clean(out, str_of(place.file)) &&
           (place.line == 0 || buf_printf(out, ":%d:%d", place.line, place.column)) &&
           buf_append_str(out, STR(": "));
}

// Room for one more: the array grows when its length is a power of two.
static void problems_grow(struct problems *problems)
{
    size_t count = problems->count;
    if ((count & (count - 1)) == 0) {
        size_t room = count == 0 ? 1 : count * 2;
        problems->list = mem_resize(problems->list, room, sizeof *problems->list);
    }
}

void problems_add(struct problems *problems, struct yaml_place place, const char *key,
                  const char *format, ...)
{
    char text[PROBLEMS_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    struct buf line;
    buf_init(&line, PROBLEMS_LINE_CAP);
    bool ok = problems_append_place(&line, place);
    size_t key_at = line.len;
    if (ok && key != NULL && key[0] != '\0') {
        ok = problems_append_clean(&line, str_of(key)) && buf_append_str(&line, STR(": "));
    }
    size_t reason_at = line.len;
    // What passes the cap (a path of many kilobytes) is cut; the message still counts.
    ok = ok && problems_append_clean(&line, str_of(text));
    (void)ok;

    problems_grow(problems);
    problems->list[problems->count] = (struct problem){
        .line_text = buf_take(&line),
        .file_len = place.file == NULL ? 0 : strlen(place.file),
        .key_at = key_at,
        .reason_at = reason_at,
        .line = place.line,
        .column = place.column,
        .order = problems->count,
    };
    problems->count++;
    problems->sorted = false;
}

size_t problems_count(const struct problems *problems)
{
    return problems->count;
}

static int problems_compare_size(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int problems_compare(const void *left, const void *right)
{
    const struct problem *a = left;
    const struct problem *b = right;
    size_t shorter = a->file_len < b->file_len ? a->file_len : b->file_len;
    int order = strncmp(a->line_text, b->line_text, shorter);
    if (order == 0) {
        order = problems_compare_size(a->file_len, b->file_len);
    }
    if (order == 0) {
        order = (a->line > b->line) - (a->line < b->line);
    }
    if (order == 0) {
        order = (a->column > b->column) - (a->column < b->column);
    }
    return order == 0 ? problems_compare_size(a->order, b->order) : order;
}

static const struct problem *problems_get(struct problems *problems, size_t index)
{
    assert(index < problems->count);
    if (!problems->sorted) {
        qsort(problems->list, problems->count, sizeof *problems->list, problems_compare);
        problems->sorted = true;
        // Later arrivals sort behind equal places that are here already.
        for (size_t i = 0; i < problems->count; i++) {
            problems->list[i].order = i;
        }
    }
    return &problems->list[index];
}

const char *problems_line(struct problems *problems, size_t index)
{
    return problems_get(problems, index)->line_text;
}

// Up to `end`, without the ": " before it.
static struct str problems_cut(const char *text, size_t begin, size_t end)
{
    return (struct str){text + begin, end < begin + 2 ? 0 : end - begin - 2};
}

struct problem_parts problems_parts(struct problems *problems, size_t index)
{
    const struct problem *problem = problems_get(problems, index);
    const char *text = problem->line_text;
    struct str file = problems_cut(text, 0, problem->key_at);
    for (int i = 0; problem->line > 0 && i < 2; i++) { // ":line:column"
        while (file.len > 0 && file.ptr[--file.len] != ':') {
        }
    }
    return (struct problem_parts){
        .file = file,
        .line = problem->line,
        .column = problem->column,
        .key = problems_cut(text, problem->key_at, problem->reason_at),
        .reason = str_of(text + problem->reason_at),
    };
}

struct str problems_excerpt(struct str text)
{
    if (text.len > PROBLEMS_EXCERPT_BYTES) {
        text.len = PROBLEMS_EXCERPT_BYTES;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80) {
            text.len--;
        }
    }
    return text;
}
