// The source as `check` sees it: may it be read, does it show every customer, and by an index? (Its
// columns: check_columns.c.)
#include "app/check.h"

#include "base/buf.h"
#include "base/mem.h"
#include "domain/plan.h"
#include "io/pgarray.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_SQL_MAX = 65536, CHECK_NAME_MAX = 300 };

struct check_source {
    struct check *check;
    const char *relation;      // as configured
    bool fine;                 // so far: it can be read
    char name[CHECK_NAME_MAX]; // with schema, quoted
    char kind;                 // pg_class.relkind
    struct str plan;
};

static bool source_query(struct check_source *source, const char *sql, const char *param,
                         session_read_fn read, struct err *err)
{
    const char *const params[] = {source->relation, param};
    return session_query(source->check->session, sql, params, param == NULL ? 1 : 2, read, source,
                         err);
}

// ---- may it be found -----------------------------------------------------------------------

// To look a name up in a schema takes USAGE on it, and without it is an error.
static const char source_schema_sql[] =
    "SELECT quote_ident(name.part[1]), n.oid IS NOT NULL,"
    " coalesce(has_schema_privilege(n.oid, 'USAGE'), false)"
    " FROM (SELECT parse_ident($1)) AS name (part)"
    " LEFT JOIN pg_namespace AS n ON n.nspname = name.part[1] WHERE cardinality(name.part) = 2";

static void source_read_schema(void *ctx, const struct pgrows *rows)
{
    struct check_source *source = ctx;
    struct report *report = &source->check->report;
    if (pgrows_count(rows) == 0) {
        return; // no schema is named
    }
    const char *schema = pgrows_text(rows, 0, 0);
    if (!pgrows_bool(rows, 0, 1)) {
        report_fail(report, ERR_KIND_CONFIG, "source", NULL,
                    "source.relation %s: there is no schema %s", source->relation, schema);
        source->fine = false;
    } else if (!pgrows_bool(rows, 0, 2)) {
        char todo[CHECK_NAME_MAX * 2];
        snprintf(todo, sizeof todo, "GRANT USAGE ON SCHEMA %s TO %s", schema,
                 source->check->grantee);
        report_fail(report, ERR_KIND_CONFIG, "right", todo, "USAGE ON SCHEMA %s is missing",
                    schema);
        source->fine = false;
    } else {
        report_ok(report, "right", "USAGE ON SCHEMA %s", schema);
    }
}

static bool source_find(struct check_source *source, struct err *err)
{
    if (!source_query(source, source_schema_sql, NULL, source_read_schema, err)) {
        if (err->kind == ERR_KIND_INTERNAL) {
            err_set(err, ERR_KIND_CONFIG, "source.relation %s is not the name of a relation",
                    source->relation);
        }
        return false;
    }
    if (!source->fine) {
        return true;
    }
    struct outbox_hello hello;
    if (!session_hello(source->check->session, &hello, err)) {
        return false;
    }
    // A key column that does not exist is told with the other columns, and the nearest name.
    if (hello.source != OUTBOX_SOURCE_READY && hello.source != OUTBOX_SOURCE_NO_COLUMN) {
        report_fail(&source->check->report, ERR_KIND_CONFIG, "source", NULL, "%s: %s",
                    source->relation, outbox_source_reason(hello.source));
        source->fine = false;
    }
    return true;
}

// ---- what it reads -------------------------------------------------------------------------

// The source and, below views, everything that these read, with the role whose rights count there:
// the view's owner, or with security_invoker whoever asks. Does row security hide rows from it? Not
// where a policy shows it all of them.
static const char source_reads_sql[] =
    "WITH RECURSIVE me (oid) AS (SELECT oid FROM pg_roles WHERE rolname = current_user),"
    " reads (oid, role) AS ("
    "  SELECT to_regclass($1)::oid, (SELECT oid FROM me)"
    "  UNION"
    "  SELECT d.refobjid, CASE WHEN EXISTS (SELECT FROM pg_options_to_table(v.reloptions)"
    "    WHERE option_name = 'security_invoker' AND option_value::bool)"
    "    THEN (SELECT oid FROM me) ELSE v.relowner END"
    "   FROM reads JOIN pg_class AS v ON v.oid = reads.oid AND v.relkind = 'v'"
    "   JOIN pg_rewrite AS w ON w.ev_class = v.oid"
    "   JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid"
    "    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid"
    " ), policy AS ("
    "  SELECT p.polrelid, reads.role, p.polpermissive,"
    "   pg_get_expr(p.polqual, p.polrelid) = 'true' AS everything"
    "   FROM reads JOIN pg_policy AS p ON p.polrelid = reads.oid AND p.polcmd IN ('r', '*')"
    "   WHERE EXISTS (SELECT FROM unnest(p.polroles) AS r (oid)"
    "    WHERE r.oid = 0 OR pg_has_role(reads.role, r.oid, 'USAGE'))"
    " ) SELECT format('%I.%I', n.nspname, c.relname), c.relkind, quote_ident(r.rolname),"
    "  c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls"
    "   AND (c.relforcerowsecurity OR NOT pg_has_role(reads.role, c.relowner, 'USAGE'))"
    "   AND NOT (EXISTS (SELECT FROM policy AS p WHERE (p.polrelid, p.role) = (c.oid, r.oid)"
    "     AND p.polpermissive AND p.everything)"
    "    AND NOT EXISTS (SELECT FROM policy AS p WHERE (p.polrelid, p.role) = (c.oid, r.oid)"
    "     AND NOT p.polpermissive AND p.everything IS NOT TRUE))"
    " FROM reads JOIN pg_class AS c ON c.oid = reads.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_roles AS r ON r.oid = reads.role"
    " ORDER BY c.oid <> to_regclass($1), 1";

static void source_read_one(struct check_source *source, const struct pgrows *rows, size_t i)
{
    struct report *report = &source->check->report;
    const char *name = pgrows_text(rows, i, 0);
    const char *role = pgrows_text(rows, i, 2);
    char kind = pgrows_text(rows, i, 1)[0];
    if (kind == 'm' || kind == 'f') {
        report_warn(report, "source", NULL,
                    "%s reads %s, a %s: it may show an older state than the change that was "
                    "announced",
                    source->name, name, kind == 'm' ? "materialized view" : "foreign table");
    }
    if (pgrows_bool(rows, i, 3)) {
        char todo[CHECK_NAME_MAX * 3];
        snprintf(todo, sizeof todo,
                 "CREATE POLICY imprint_sync ON %s FOR SELECT TO %s USING (true)", name, role);
        report_fail(report, ERR_KIND_CONFIG, "source", todo,
                    "row security of %s hides rows from %s: customers would be missing", name,
                    role);
    }
}

static void source_read_reads(void *ctx, const struct pgrows *rows)
{
    struct check_source *source = ctx;
    for (size_t i = 0; i < pgrows_count(rows); i++) {
        if (i == 0) {
            snprintf(source->name, sizeof source->name, "%s", pgrows_text(rows, i, 0));
            source->kind = pgrows_text(rows, i, 1)[0];
        }
        source_read_one(source, rows, i);
    }
}

// ---- rights --------------------------------------------------------------------------------

static const char source_rights_sql[] =
    "SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a"
    " WHERE a.attrelid = to_regclass($1) AND a.attname = ANY ($2::text[])"
    " AND NOT has_column_privilege(a.attrelid, a.attnum, 'SELECT')";

static void source_read_rights(void *ctx, const struct pgrows *rows)
{
    struct check_source *source = ctx;
    struct report *report = &source->check->report;
    if (pgrows_null(rows, 0, 0)) {
        report_ok(report, "right", "SELECT ON %s", source->name);
        return;
    }
    char todo[CHECK_NAME_MAX * 3];
    snprintf(todo, sizeof todo, "GRANT SELECT ON %s TO %s", source->name, source->check->grantee);
    report_fail(report, ERR_KIND_CONFIG, "right", todo, "SELECT (%s) ON %s is missing",
                pgrows_text(rows, 0, 0), source->name);
    source->fine = false;
}

static bool source_check_rights(struct check_source *source, struct err *err)
{
    const struct config *config = source->check->config;
    struct pgarray array;
    pgarray_init(&array);
    pgarray_add_text(&array, str_of(config->source.customer_id));
    for (size_t i = 0; i < mapping_column_count(config->mapping); i++) {
        pgarray_add_text(&array, str_of(mapping_column_name(config->mapping, i)));
    }
    char *columns = pgarray_take(&array);
    bool ok = source_query(source, source_rights_sql, columns, source_read_rights, err);
    free(columns);
    return ok;
}

// ---- size and indexes ----------------------------------------------------------------------

static void source_read_size(void *ctx, const struct pgrows *rows)
{
    struct check_source *source = ctx;
    const char *kind = source->kind == 'v'   ? "view"
                       : source->kind == 'p' ? "partitioned table"
                                             : "table";
    struct str plan = str_of(pgrows_text(rows, 0, 0));
    report_ok(&source->check->report, "source", "%s, a %s of about %lld rows (planner's estimate)",
              source->name, kind, (long long)plan_rows(plan));
}

static bool source_check_size(struct check_source *source, struct err *err)
{
    char sql[CHECK_NAME_MAX + 64];
    snprintf(sql, sizeof sql, "EXPLAIN (FORMAT JSON) SELECT FROM %s", source->name);
    return session_query(source->check->session, sql, NULL, 0, source_read_size, source, err);
}

// $3 is what to index, as a plan shows it: of a varchar with a cast to text, which an index on the
// column serves as well. Of a partition the whole table gets the index, which cannot be made
// CONCURRENTLY.
static const char source_index_sql[] =
    "SELECT format('CREATE INDEX %sON %I.%I (%s)',"
    "  CASE WHEN c.relkind = 'p' THEN '' ELSE 'CONCURRENTLY ' END, n.nspname, c.relname,"
    "  CASE WHEN key.text ~ '^([a-z_][a-z0-9_$]*|\"([^\"]|\"\")+\")$' THEN key.text"
    "   ELSE '(' || key.text || ')' END)"
    " FROM pg_class AS scanned JOIN pg_namespace AS home ON home.oid = scanned.relnamespace"
    " JOIN pg_class AS c ON c.oid = coalesce(pg_partition_root(scanned.oid), scanned.oid)"
    " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " CROSS JOIN LATERAL (SELECT coalesce((SELECT quote_ident(a.attname) FROM pg_attribute AS a"
    "  WHERE a.attrelid = c.oid AND a.atttypid = 'varchar'::regtype AND a.attnum > 0"
    "  AND '(' || quote_ident(a.attname) || ')::text' = $3), $3)) AS key (text)"
    " WHERE home.nspname = $1 AND scanned.relname = $2";

static void source_read_index(void *ctx, const struct pgrows *rows)
{
    char **todo = ctx;
    *todo = pgrows_count(rows) == 0 || pgrows_null(rows, 0, 0)
                ? NULL
                : mem_strdup(pgrows_text(rows, 0, 0));
}

static bool source_warn_scan(struct check_source *source, const struct plan_scan *scan,
                             struct err *err)
{
    char *todo = NULL;
    const char *const params[] = {scan->schema, scan->relation, scan->key};
    if (scan->key != NULL && !session_query(source->check->session, source_index_sql, params, 3,
                                            source_read_index, &todo, err)) {
        return false;
    }
    report_warn(&source->check->report, "index", todo,
                "reading one customer reads all of table %s.%s: no index leads to the customer's "
                "rows",
                scan->schema, scan->relation);
    free(todo);
    return true;
}

static void source_on_plan(void *ctx, const struct pgconn_failure *failure, struct str plan)
{
    struct check_source *source = ctx;
    struct report *report = &source->check->report;
    if (failure != NULL) {
        report_fail(report, failure->lost ? ERR_KIND_UNAVAILABLE : ERR_KIND_CONFIG, "source", NULL,
                    "%s cannot be read: %s", source->name, failure->text);
    } else {
        source->plan = (struct str){mem_strndup(plan.ptr, plan.len), plan.len};
    }
    session_wake(source->check->session);
}

static bool source_check_indexes(struct check_source *source, struct err *err)
{
    outbox_plan_source(session_outbox(source->check->session), source_on_plan, source);
    if (!session_wait(source->check->session, err) || source->plan.ptr == NULL) {
        return err->kind == ERR_KIND_NONE;
    }
    struct plan_scans scans;
    plan_scans_find(&scans, source->plan);
    bool ok = true;
    for (size_t i = 0; ok && i < scans.count; i++) {
        ok = source_warn_scan(source, &scans.list[i], err);
    }
    if (scans.count == 0) {
        report_ok(&source->check->report, "index", "one customer is read by an index");
    }
    plan_scans_free(&scans);
    mem_free_text(source->plan.ptr);
    return ok;
}

// ---- all of it -----------------------------------------------------------------------------

static bool source_look(struct check_source *source, struct err *err)
{
    if (!source_find(source, err) || !source->fine) {
        return err->kind == ERR_KIND_NONE;
    }
    bool complete = false;
    if (!source_query(source, source_reads_sql, NULL, source_read_reads, err) ||
        !source_check_rights(source, err) ||
        !check_columns(source->check, source->name, &complete, err)) {
        return false;
    }
    // Without a right or a column there is no plan.
    return !source->fine || !complete ||
           (source_check_size(source, err) && source_check_indexes(source, err));
}

void check_source(struct check *check)
{
    struct err err = {.kind = ERR_KIND_NONE};
    struct check_source source = {
        .check = check, .relation = check->config->source.relation, .fine = true};
    if (source.relation == NULL) {
        report_warn(&check->report, "source", NULL,
                    "none is configured: rows without a payload will be held");
    } else if (!source_look(&source, &err)) {
        report_fail(&check->report, err.kind, "source", NULL, "%s", err.text);
    }
}
