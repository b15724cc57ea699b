// The source's columns as `check` sees them: is everything there that the configuration names, and
// can it become what the mapping wants of it?
#include "app/check.h"

#include "base/mem.h"
#include "domain/columntype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Names, and types below all domains.
static const char columns_sql[] =
    "SELECT a.attname, format_type(b.oid, NULL), b.typcategory FROM pg_attribute AS a"
    " CROSS JOIN LATERAL (WITH RECURSIVE base (oid, depth) AS (SELECT a.atttypid, 0 UNION ALL"
    "  SELECT t.typbasetype, base.depth + 1 FROM base JOIN pg_type AS t ON t.oid = base.oid"
    "  WHERE t.typtype = 'd') SELECT t.oid, t.typcategory FROM base JOIN pg_type AS t"
    "  ON t.oid = base.oid ORDER BY base.depth DESC LIMIT 1) AS b"
    " WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

struct columns {
    const struct config *config;
    struct report *report;
    const char *source;
    const struct pgrows *rows;
    const char **names;
    size_t count;
    bool complete; // none was missing
};

static bool columns_find(const struct columns *columns, const char *name, size_t *index)
{
    for (*index = 0; *index < columns->count; (*index)++) {
        if (strcmp(columns->names[*index], name) == 0) {
            return true;
        }
    }
    return false;
}

// Is it there? `user` names it in the configuration.
static bool columns_demand(struct columns *columns, const char *what, const char *user,
                           const char *name, size_t *index)
{
    if (columns_find(columns, name, index)) {
        return true;
    }
    const char *nearest = str_nearest(str_of(name), columns->names, columns->count);
    columns->complete = false;
    report_fail(columns->report, ERR_KIND_CONFIG, what, NULL, "%s: %s has no column %s%s%s%s", user,
                columns->source, name, nearest == NULL ? "" : "; did you mean ",
                nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
    return false;
}

// ---- types ---------------------------------------------------------------------------------

// A column of the source for one field of the request.
struct use {
    const struct mapping_leaf *leaf;
    const char *column;
    const char *type; // in Postgres
    char category;
};

// "text, boolean or json"
static void feeds_text(uint32_t feeds, char *out, size_t room)
{
    out[0] = '\0';
    for (int id = 0; id < FIELDTYPE_COUNT; id++) {
        if ((feeds >> id & 1) != 0) {
            bool last = feeds >> id == 1;
            size_t len = strlen(out);
            snprintf(out + len, room - len, "%s%s",
                     len == 0 ? ""
                     : last   ? " or "
                              : ", ",
                     fieldtype_get((enum fieldtype_id)id)->name);
        }
    }
}

static void use_check_type(const struct use *use, struct report *report, enum fieldtype_id id)
{
    char feeds[200];
    feeds_text(columntype_feeds(use->type, use->category), feeds, sizeof feeds);
    const char *wanted = fieldtype_get(id)->name;
    switch (columntype_fit(use->type, use->category, id)) {
    case COLUMNTYPE_FIT_FITS:
        break;
    case COLUMNTYPE_FIT_DOUBTFUL:
        report_warn(report, "mapping", NULL,
                    "%s: column %s is %s, of which only single values can become %s; a member of "
                    "an object is %s.name",
                    use->leaf->target, use->column, use->type, wanted, use->column);
        break;
    case COLUMNTYPE_FIT_NEVER:
        report_fail(report, ERR_KIND_CONFIG, "mapping", NULL,
                    "%s: column %s is %s, which can never be a valid %s, only %s",
                    use->leaf->target, use->column, use->type, wanted, feeds);
        break;
    }
}

static void use_check_member(const struct use *use, struct report *report, struct str member)
{
    if (!columntype_has_members(use->type, use->category)) {
        report_fail(report, ERR_KIND_CONFIG, "mapping", NULL,
                    "%s: %s.%.*s is a member of column %s, but that is %s and has none (json, "
                    "jsonb and composite types do)",
                    use->leaf->target, use->column, STR_ARG(member), use->column, use->type);
    }
}

// ---- the mapping ---------------------------------------------------------------------------

// `path` of the leaf is to become `id`; with a map any value can.
static void columns_check_path(struct columns *columns, const struct mapping_leaf *leaf,
                               const struct mapping_path *path, enum fieldtype_id id, bool mapped)
{
    size_t index;
    struct use use = {.leaf = leaf,
                      .column = mapping_column_name(columns->config->mapping, path->column)};
    if (!columns_demand(columns, "mapping", leaf->target, use.column, &index)) {
        return;
    }
    use.type = pgrows_text(columns->rows, index, 1);
    use.category = pgrows_text(columns->rows, index, 2)[0];
    if (path->key_count > 0) {
        use_check_member(&use, columns->report, path->keys[0]); // its type only the row tells
    } else if (!mapped) {
        use_check_type(&use, columns->report, id);
    }
}

static void columns_check_mapping(struct columns *columns)
{
    const struct mapping *mapping = columns->config->mapping;
    size_t failures = columns->report->failures;
    for (size_t i = 0; i < mapping_leaf_count(mapping); i++) {
        const struct mapping_leaf *leaf = mapping_leaf_at(mapping, i);
        if (leaf->from.text.len > 0) {
            columns_check_path(columns, leaf, &leaf->from, leaf->type->id, leaf->choice_count > 0);
        }
        if (leaf->currency.text.len > 0) {
            columns_check_path(columns, leaf, &leaf->currency, FIELDTYPE_ID_CURRENCY, false);
        }
    }
    if (columns->report->failures == failures) {
        report_ok(columns->report, "mapping", "%s has the %zu columns that it reads",
                  columns->source, mapping_column_count(mapping));
    }
}

static void columns_read(void *ctx, const struct pgrows *rows)
{
    struct columns *columns = ctx;
    const struct config_source *source = &columns->config->source;
    columns->rows = rows;
    columns->count = pgrows_count(rows);
    columns->names = mem_calloc(columns->count, sizeof *columns->names);
    for (size_t i = 0; i < columns->count; i++) {
        columns->names[i] = pgrows_text(rows, i, 0);
    }
    size_t index;
    columns->complete = true;
    (void)columns_demand(columns, "source", "source.customer_id", source->customer_id, &index);
    if (source->updated_at != NULL) {
        (void)columns_demand(columns, "source", "source.updated_at", source->updated_at, &index);
    }
    columns_check_mapping(columns);
    free(columns->names);
}

bool check_columns(struct check *check, const char *source, bool *complete, struct err *err)
{
    struct columns columns = {.config = check->config, .report = &check->report, .source = source};
    const char *const params[] = {check->config->source.relation};
    bool ok = session_query(check->session, columns_sql, params, 1, columns_read, &columns, err);
    *complete = columns.complete;
    return ok;
}
