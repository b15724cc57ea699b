#include "app/backfill_ids.h"

#include "base/mem.h"
#include "base/str.h"
#include "domain/update.h"
#include "io/digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IDS_LINE_MAX = 1024, // a longer line is no id, whatever it is
    IDS_WRONG_SHOWN = 10,
};

struct ids {
    FILE *file;
    int64_t line; // that was read last
    int64_t count;
    char digest[IDS_DIGEST_SIZE];
};

static const struct str ids_bom = {"\xEF\xBB\xBF", 3}; // as spreadsheets write it

// False at the end. A line that is too long, or holds a NUL, yields a text that is no id.
static bool ids_next(struct ids *ids, char text[IDS_LINE_MAX], struct str *id)
{
    if (fgets(text, IDS_LINE_MAX, ids->file) == NULL) {
        return false;
    }
    ids->line++;
    size_t len = strlen(text);
    bool cut = len == IDS_LINE_MAX - 1 && text[len - 1] != '\n';
    for (int c = 0; cut && c != '\n' && c != EOF;) {
        c = fgetc(ids->file);
    }
    bool broken = !cut && (len == 0 || text[len - 1] != '\n') && !feof(ids->file);
    struct str line = broken ? STR("(NUL)") : (struct str){text, len};
    if (ids->line == 1 && str_starts(line, ids_bom)) {
        line = (struct str){line.ptr + ids_bom.len, line.len - ids_bom.len};
    }
    *id = cut ? line : str_trim(line);
    return true;
}

static void ids_rewind(struct ids *ids)
{
    rewind(ids->file);
    ids->line = 0;
}

// What cannot be read twice is kept in a file that nobody else sees.
static bool ids_make_seekable(struct ids *ids, struct err *err)
{
    if (fseek(ids->file, 0, SEEK_SET) == 0) {
        return true;
    }
    FILE *copy = tmpfile();
    char chunk[16384];
    size_t got = 0;
    bool ok = copy != NULL;
    while (ok && (got = fread(chunk, 1, sizeof chunk, ids->file)) > 0) {
        ok = fwrite(chunk, 1, got, copy) == got;
    }
    ok = ok && !ferror(ids->file) && fflush(copy) == 0;
    int problem = errno;
    if (ids->file != stdin) {
        fclose(ids->file);
    }
    ids->file = copy;
    if (ok) {
        ids_rewind(ids);
    }
    return ok || err_set(err, ERR_KIND_DATA, "--customers: the list cannot be kept: %s",
                         strerror(problem));
}

struct ids_wrong {
    int64_t count;
    int64_t lines[IDS_WRONG_SHOWN];
};

static bool ids_refuse(const char *path, const struct ids_wrong *wrong, struct err *err)
{
    char lines[300] = "";
    size_t len = 0;
    for (int64_t i = 0; i < wrong->count && i < IDS_WRONG_SHOWN; i++) {
        len += (size_t)snprintf(lines + len, sizeof lines - len, "%s%lld", i == 0 ? "" : ", ",
                                (long long)wrong->lines[i]);
    }
    // Not the line itself: it may be anything, an e-mail address for instance.
    return err_set(err, ERR_KIND_DATA,
                   "--customers: %s: no Imprint id ([A-Za-z0-9_-]{1,64}) in line %s%s; nothing was "
                   "enqueued",
                   strcmp(path, "-") == 0 ? "standard input" : path, lines,
                   wrong->count > IDS_WRONG_SHOWN ? ", ..." : "");
}

// Each hash covers the one before.
static void ids_digest_line(struct digest *digest, unsigned char hash[DIGEST_BYTES], struct str id)
{
    char text[DIGEST_BYTES + IDS_LINE_MAX];
    memcpy(text, hash, DIGEST_BYTES);
    memcpy(text + DIGEST_BYTES, id.ptr, id.len);
    digest_body(digest, (struct str){text, DIGEST_BYTES + id.len}, hash);
}

static bool ids_check(struct ids *ids, const char *path, struct err *err)
{
    char text[IDS_LINE_MAX];
    struct str id;
    struct ids_wrong wrong = {.count = 0};
    unsigned char hash[DIGEST_BYTES] = {0};
    struct digest *digest = digest_create(STR("customers"));
    while (ids_next(ids, text, &id)) {
        if (id.len > 0 && update_id_is_valid(id)) {
            ids->count++;
            ids_digest_line(digest, hash, id);
        } else if (id.len > 0 && wrong.count++ < IDS_WRONG_SHOWN) {
            wrong.lines[wrong.count - 1] = ids->line;
        }
    }
    digest_destroy(digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        snprintf(ids->digest + 2 * i, 3, "%02x", hash[i]);
    }
    if (ferror(ids->file)) {
        return err_set(err, ERR_KIND_DATA, "--customers: %s cannot be read", path);
    }
    if (wrong.count > 0) {
        return ids_refuse(path, &wrong, err);
    }
    ids_rewind(ids);
    return ids->count > 0 || err_set(err, ERR_KIND_DATA, "--customers: the list holds no id");
}

struct ids *ids_open(const char *path, struct err *err)
{
    struct ids *ids = mem_calloc(1, sizeof *ids);
    ids->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (ids->file == NULL) {
        err_set(err, ERR_KIND_DATA, "--customers: %s: %s", path, strerror(errno));
    } else if (ids_make_seekable(ids, err) && ids_check(ids, path, err)) {
        return ids;
    }
    ids_close(ids);
    return NULL;
}

void ids_close(struct ids *ids)
{
    if (ids != NULL) {
        if (ids->file != NULL && ids->file != stdin) {
            fclose(ids->file);
        }
        free(ids);
    }
}

int64_t ids_count(const struct ids *ids)
{
    return ids->count;
}

const char *ids_digest(const struct ids *ids)
{
    return ids->digest;
}

void ids_read(struct ids *ids, int64_t after, int64_t most, struct pgarray *keys,
              struct ids_page *page)
{
    char text[IDS_LINE_MAX];
    struct str id;
    *page = (struct ids_page){.line = after};
    if (after < ids->line) {
        ids_rewind(ids);
    }
    while (page->count < most && !page->ended) {
        page->ended = !ids_next(ids, text, &id);
        // What has changed since it was checked is left out.
        if (!page->ended && ids->line > after && id.len > 0 && update_id_is_valid(id)) {
            pgarray_add_text(keys, id);
            page->count++;
        }
    }
    page->line = ids->line > after ? ids->line : after;
}
