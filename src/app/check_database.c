// The database's side of `check`: server, role, schema and every right of the daemon's role.
#include "app/check.h"

#include <stdio.h>

// The schema has functions with a body of SQL (RETURN) and CREATE OR REPLACE TRIGGER, which came
// with 14. Tests run on what is packaged for Debian 12.
enum { CHECK_SERVER_MIN = 140000, CHECK_SERVER_TESTED = 150000 };

static void check_server(struct check *check)
{
    int version = pgconn_server_version(session_conn(check->session));
    int major = version / 10000;
    int minor = version % 10000;
    if (version < CHECK_SERVER_MIN) {
        report_fail(&check->report, ERR_KIND_CONFIG, "database", NULL,
                    "PostgreSQL %d.%d is too old: %d or newer is needed", major, minor,
                    CHECK_SERVER_MIN / 10000);
    } else if (version < CHECK_SERVER_TESTED) {
        report_warn(&check->report, "database", NULL,
                    "PostgreSQL %d.%d has what is needed, but tests are made with %d and newer",
                    major, minor, CHECK_SERVER_TESTED / 10000);
    } else {
        report_ok(&check->report, "database", "PostgreSQL %d.%d", major, minor);
    }
}

// ---- role and schema -----------------------------------------------------------------------

// By the catalogs, which everybody may read: a name such as 'imprint_sync.outbox'::regclass fails
// for a role without USAGE.
static const char check_role_sql[] =
    "SELECT quote_ident(current_user), r.rolsuper,"
    " coalesce(pg_has_role(to_regrole('imprint_sync_daemon')::oid, 'USAGE'), false),"
    " n.oid IS NOT NULL AND v.oid IS NOT NULL,"
    " coalesce(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(v.oid, 'SELECT'),"
    "  false)"
    " FROM pg_roles AS r LEFT JOIN pg_namespace AS n ON n.nspname = 'imprint_sync'"
    " LEFT JOIN pg_class AS v ON v.relnamespace = n.oid AND v.relname = 'schema_version'"
    " WHERE r.rolname = current_user";

struct check_role {
    struct check *check;
    char name[140];
    bool member; // of the group that has the rights
    bool schema; // it is there
    bool may_read_version;
};

static void check_read_role(void *ctx, const struct pgrows *rows)
{
    struct check_role *role = ctx;
    struct report *report = &role->check->report;
    bool superuser = pgrows_bool(rows, 0, 1);
    snprintf(role->name, sizeof role->name, "%s", pgrows_text(rows, 0, 0));
    role->member = pgrows_bool(rows, 0, 2);
    role->schema = pgrows_bool(rows, 0, 3);
    role->may_read_version = pgrows_bool(rows, 0, 4);
    if (superuser) {
        report_warn(report, "role", "CREATE ROLE imprint_sync LOGIN IN ROLE imprint_sync_daemon",
                    "%s is a superuser: the daemon should be a role that may do no more than it "
                    "needs",
                    role->name);
    } else {
        report_ok(report, "role", "%s, %s of imprint_sync_daemon", role->name,
                  role->member ? "a member" : "no member");
    }
}

static void check_read_version(void *ctx, const struct pgrows *rows)
{
    struct check *check = ctx;
    long long version = (long long)pgrows_int64(rows, 0, 0);
    if (version < OUTBOX_SCHEMA_VERSION) {
        report_fail(&check->report, ERR_KIND_CONFIG, "schema", "imprint-sync migrate",
                    "version %lld is there, %d is needed: run `imprint-sync migrate`", version,
                    OUTBOX_SCHEMA_VERSION);
    } else if (version > OUTBOX_SCHEMA_VERSION) {
        report_fail(&check->report, ERR_KIND_CONFIG, "schema", NULL,
                    "version %lld is there, this program knows only %d: install the newer one",
                    version, OUTBOX_SCHEMA_VERSION);
    } else {
        report_ok(&check->report, "schema", "imprint_sync, version %lld", version);
    }
}

// Goes on only where there is a schema.
static bool check_schema(struct check *check, const struct check_role *role, struct err *err)
{
    if (!role->schema) {
        report_fail(&check->report, ERR_KIND_CONFIG, "schema", "imprint-sync migrate",
                    "there is no schema imprint_sync: run `imprint-sync migrate`");
        return false;
    }
    return !role->may_read_version ||
           session_query(check->session, "SELECT max(version) FROM imprint_sync.schema_version",
                         NULL, 0, check_read_version, check, err);
}

// ---- rights --------------------------------------------------------------------------------

// One row a right, as the migrations grant them to imprint_sync_daemon; a test holds this list
// against what they grant. Functions by name, whatever their arguments.
#define CHECK_RIGHTS                                                                               \
    " ('schema', 'imprint_sync', 'USAGE', NULL),"                                                  \
    " ('table', 'schema_version', 'SELECT', NULL),"                                                \
    " ('table', 'outbox', 'SELECT', NULL),"                                                        \
    " ('table', 'outbox', 'INSERT', 'customer_id, payload, priority, run_id'),"                    \
    " ('table', 'outbox', 'UPDATE',"                                                               \
    "  'status, attempts, due_at, settled_at, http_status, error, payload, run_id'),"              \
    " ('table', 'outbox', 'DELETE', NULL),"                                                        \
    " ('table', 'outbox_id_seq', 'SELECT', NULL),"                                                 \
    " ('table', 'idle_until', 'SELECT', NULL),"                                                    \
    " ('table', 'customer_state', 'SELECT', NULL),"                                                \
    " ('table', 'customer_state', 'INSERT', NULL),"                                                \
    " ('table', 'customer_state', 'UPDATE', NULL),"                                                \
    " ('table', 'customer_state', 'DELETE', NULL),"                                                \
    " ('table', 'lease', 'SELECT', NULL),"                                                         \
    " ('table', 'lease', 'UPDATE', 'renewals'),"                                                   \
    " ('table', 'instance', 'SELECT', NULL),"                                                      \
    " ('table', 'watched', 'SELECT', NULL),"                                                       \
    " ('table', 'watch_error', 'SELECT', NULL),"                                                   \
    " ('table', 'watch_error', 'DELETE', NULL),"                                                   \
    " ('table', 'pool', 'SELECT', NULL),"                                                          \
    " ('table', 'server', 'SELECT', NULL),"                                                        \
    " ('function', 'idle', 'EXECUTE', NULL),"                                                      \
    " ('function', 'heartbeat', 'EXECUTE', NULL),"                                                 \
    " ('function', 'goodbye', 'EXECUTE', NULL),"                                                   \
    " ('function', 'pause', 'EXECUTE', NULL),"                                                     \
    " ('function', 'resume', 'EXECUTE', NULL),"                                                    \
    " ('function', 'watch_check', 'EXECUTE', NULL),"                                               \
    " ('table', 'discarded', 'SELECT', NULL),"                                                     \
    " ('table', 'discarded', 'INSERT', NULL),"                                                     \
    " ('table', 'last_prune', 'SELECT', NULL),"                                                    \
    " ('table', 'last_prune', 'UPDATE', 'ended_at, deleted, kept_since'),"                         \
    " ('function', 'error_type', 'EXECUTE', NULL),"                                                \
    " ('function', 'error_params', 'EXECUTE', NULL),"                                              \
    " ('function', 'error_is_name', 'EXECUTE', NULL),"                                             \
    " ('function', 'error_targets', 'EXECUTE', NULL),"                                             \
    " ('function', 'error_reason', 'EXECUTE', NULL),"                                              \
    " ('function', 'retry_lock', 'EXECUTE', NULL),"                                                \
    " ('function', 'retry_thin', 'EXECUTE', NULL),"                                                \
    " ('function', 'retry_later', 'EXECUTE', NULL),"                                               \
    " ('function', 'retry_rows', 'EXECUTE', NULL),"                                                \
    " ('function', 'retry_hold', 'EXECUTE', NULL),"                                                \
    " ('function', 'retry_release', 'EXECUTE', NULL),"                                             \
    " ('function', 'report', 'EXECUTE', NULL),"                                                    \
    " ('function', 'vacuum_blocker', 'EXECUTE', NULL),"                                            \
    " ('table', 'backfill_run', 'SELECT', NULL),"                                                  \
    " ('table', 'backfill_run', 'INSERT', NULL),"                                                  \
    " ('table', 'backfill_run', 'UPDATE', NULL),"                                                  \
    " ('table', 'backfill_run', 'DELETE', NULL),"                                                  \
    " ('function', 'backfill_page', 'EXECUTE', NULL),"                                             \
    " ('function', 'backfill_cancel_rows', 'EXECUTE', NULL)"

// What is not there has no row: then the schema's version is another one, which has been said.
static const char check_rights_sql[] =
    "WITH want (kind, object, privilege, columns) AS (VALUES" CHECK_RIGHTS "),"
    " numbered AS (SELECT row_number() OVER () AS number, want.* FROM want),"
    " ours AS (SELECT oid FROM pg_namespace WHERE nspname = 'imprint_sync'),"
    " found AS ("
    "  SELECT w.number, w.privilege || ' ON SCHEMA imprint_sync' AS name,"
    "   has_schema_privilege(ours.oid, w.privilege) AS granted"
    "   FROM numbered AS w CROSS JOIN ours WHERE w.kind = 'schema'"
    "  UNION ALL"
    "  SELECT w.number, w.privilege || coalesce(' (' || w.columns || ')', '')"
    "    || ' ON imprint_sync.' || w.object,"
    "   CASE WHEN w.columns IS NULL THEN has_table_privilege(c.oid, w.privilege)"
    "    ELSE (SELECT bool_and(has_column_privilege(c.oid, a.attnum, w.privilege))"
    "     FROM pg_attribute AS a WHERE a.attrelid = c.oid"
    "     AND a.attname = ANY (string_to_array(w.columns, ', '))) END"
    "   FROM numbered AS w CROSS JOIN ours JOIN pg_class AS c"
    "    ON c.relnamespace = ours.oid AND c.relname = w.object WHERE w.kind = 'table'"
    "  UNION ALL"
    "  SELECT w.number, w.privilege || ' ON FUNCTION imprint_sync.' || w.object,"
    "   bool_and(has_function_privilege(p.oid, w.privilege))"
    "   FROM numbered AS w CROSS JOIN ours JOIN pg_proc AS p"
    "    ON p.pronamespace = ours.oid AND p.proname = w.object WHERE w.kind = 'function'"
    "   GROUP BY w.number, w.privilege, w.object"
    " ) SELECT name, granted, coalesce($1, 'GRANT ' || name || ' TO imprint_sync_daemon')"
    " FROM found ORDER BY number";

static void check_read_rights(void *ctx, const struct pgrows *rows)
{
    struct check *check = ctx;
    for (size_t i = 0; i < pgrows_count(rows); i++) {
        const char *name = pgrows_text(rows, i, 0);
        if (pgrows_bool(rows, i, 1)) {
            report_ok(&check->report, "right", "%s", name);
        } else {
            report_fail(&check->report, ERR_KIND_CONFIG, "right", pgrows_text(rows, i, 2),
                        "%s is missing", name);
        }
    }
}

static bool check_rights(struct check *check, const struct check_role *role, struct err *err)
{
    char join[200];
    snprintf(join, sizeof join, "GRANT imprint_sync_daemon TO %s", role->name);
    // A member lacks what was taken from the group.
    const char *const todo[] = {role->member ? NULL : join};
    return session_query(check->session, check_rights_sql, todo, 1, check_read_rights, check, err);
}

// ---- all of it -----------------------------------------------------------------------------

static bool check_role(struct check *check, struct check_role *role, struct err *err)
{
    if (!session_query(check->session, check_role_sql, NULL, 0, check_read_role, role, err)) {
        return false;
    }
    snprintf(check->grantee, sizeof check->grantee, "%s",
             role->member ? "imprint_sync_daemon" : role->name);
    return true;
}

void check_database(struct check *check)
{
    struct err err = {.kind = ERR_KIND_NONE};
    size_t failures = check->report.failures;
    check->session = session_open(check->config, &err);
    if (check->session == NULL) {
        report_fail(&check->report, err.kind, "database", NULL, "%s", err.text);
        return;
    }
    check_server(check);
    if (check->report.failures > failures) {
        return; // what follows is written for newer ones
    }
    struct check_role role = {.check = check};
    bool ok = check_role(check, &role, &err) && check_schema(check, &role, &err) &&
              check_rights(check, &role, &err);
    check->ready = ok && check->report.failures == failures;
    if (err.kind != ERR_KIND_NONE) {
        report_fail(&check->report, err.kind, "database", NULL, "%s", err.text);
    }
}
