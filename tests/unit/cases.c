#include "cases.h"

#include "base/buf.h"
#include "base/mem.h"

#include <check.h>
#include <stdlib.h>

void cases_open(struct cases *cases, const char *name, size_t fields)
{
    char path[4096];
    ck_assert(fields <= CASES_FIELDS_MAX);
    *cases = (struct cases){.name = name, .fields = fields};
    snprintf(path, sizeof path, "%s/%s", TEST_CASES_DIR, name);
    cases->file = fopen(path, "re");
    ck_assert_msg(cases->file != NULL, "cannot open %s", path);
}

// A copy in memory that ends where the text does, so that the sanitizer sees a byte read too many.
static struct str copy_exactly(struct str text)
{
    char *copy = malloc(text.len == 0 ? 1 : text.len);
    ck_assert(copy != NULL);
    for (size_t i = 0; i < text.len; i++) {
        copy[i] = text.ptr[i];
    }
    return (struct str){copy, text.len};
}

static void free_fields(struct cases *cases)
{
    for (size_t i = 0; i < CASES_FIELDS_MAX; i++) {
        mem_free_text(cases->field[i].ptr);
        cases->field[i] = (struct str){.len = 0};
    }
}

static void split_line(struct cases *cases, struct str line)
{
    size_t count = 0;
    bool more = true;
    while (more) {
        struct str field;
        ck_assert_msg(count < cases->fields, "%s: more than %zu fields", cases->where,
                      cases->fields);
        more = str_split(line, '\t', &field, &line);
        cases->field[count++] = copy_exactly(field);
    }
    ck_assert_msg(count == cases->fields, "%s: %zu fields, not %zu", cases->where, count,
                  cases->fields);
}

bool cases_next(struct cases *cases)
{
    ssize_t len;
    free_fields(cases);
    while ((len = getline(&cases->line, &cases->room, cases->file)) >= 0) {
        cases->number++;
        snprintf(cases->where, sizeof cases->where, "%s:%zu", cases->name, cases->number);
        struct str line = {cases->line, (size_t)len};
        line.len -= str_ends(line, STR("\n"));
        if (line.len > 0 && line.ptr[0] != '#') {
            split_line(cases, line);
            cases->count++;
            return true;
        }
    }
    return false;
}

void cases_close(struct cases *cases)
{
    ck_assert_msg(cases->count > 0, "%s: no cases", cases->name);
    free_fields(cases);
    fclose(cases->file);
    free(cases->line);
}

struct str cases_must_read(const char *path, char **data)
{
    FILE *file = fopen(path, "re");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    struct buf content;
    buf_init(&content, 1 << 20);
    char chunk[4096];
    size_t len;
    while ((len = fread(chunk, 1, sizeof chunk, file)) > 0) {
        ck_assert_msg(buf_append(&content, chunk, len), "%s is too big", path);
    }
    fclose(file);
    struct str text = {.len = content.len};
    *data = buf_take(&content);
    text.ptr = *data;
    return text;
}
