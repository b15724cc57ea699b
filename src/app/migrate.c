// `imprint-sync migrate`: brings the schema to the version this program knows.
#include "app/migrations.h"
#include "app/options.h"
#include "app/session.h"
#include "app/settings.h"
#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

enum { MIGRATE_SQL_MAX = 4 * 1024 * 1024 };

static void migrate_read_version(void *ctx, const struct pgrows *rows)
{
    int64_t *version = ctx;
    *version = pgrows_int64(rows, 0, 0);
}

// 0 while there is no schema.
static bool migrate_version(struct session *session, int64_t *version, struct err *err)
{
    int64_t present = 0;
    return session_query(
               session,
               "SELECT CASE WHEN to_regclass('imprint_sync.schema_version') IS NULL THEN 0"
               " ELSE 1 END",
               NULL, 0, migrate_read_version, &present, err) &&
           (present == 0 ||
            session_query(session,
                          "SELECT coalesce(max(version), 0) FROM imprint_sync.schema_version", NULL,
                          0, migrate_read_version, version, err));
}

// One version as one simple query, a transaction.
static char *migrate_sql(size_t index)
{
    struct buf sql;
    buf_init(&sql, MIGRATE_SQL_MAX);
    bool ok = buf_printf(&sql,
                         "BEGIN;\n%s\n\nINSERT INTO imprint_sync.schema_version (version) VALUES "
                         "(%zu);\nCOMMIT;\n",
                         migrations[index].sql, index + 1);
    if (!ok) {
        abort();
    }
    return buf_take(&sql);
}

static int migrate_print(void)
{
    for (size_t i = 0; i < migration_count; i++) {
        char *sql = migrate_sql(i);
        printf("-- version %zu: %s\n%s\n", i + 1, migrations[i].name, sql);
        free(sql);
    }
    return EX_OK;
}

static bool migrate_apply(struct session *session, size_t index, struct err *err)
{
    char *sql = migrate_sql(index);
    bool ok = session_execute(session, sql, err);
    free(sql);
    if (!ok) {
        return err_context(err, "version %zu (%s) was not applied", index + 1,
                           migrations[index].name);
    }
    printf("applied version %zu: %s\n", index + 1, migrations[index].name);
    return true;
}

// The lock is a session's here: it must span the transactions.
static bool migrate_all(struct session *session, struct err *err)
{
    int64_t version = 0;
    if (!session_query(session, "SELECT pg_advisory_lock(7236846293846)", NULL, 0, NULL, NULL,
                       err) ||
        !migrate_version(session, &version, err)) {
        return false;
    }
    if (version > (int64_t)migration_count) {
        return err_set(err, ERR_KIND_CONFIG,
                       "the schema has version %lld, this program knows only %zu: install the "
                       "newer imprint-sync",
                       (long long)version, migration_count);
    }
    for (size_t i = (size_t)version; i < migration_count; i++) {
        if (!migrate_apply(session, i, err)) {
            return false;
        }
    }
    printf("the schema imprint_sync is at version %zu%s\n", migration_count,
           version == (int64_t)migration_count ? ": nothing to do" : "");
    return true;
}

int migrate_run(const struct options *options)
{
    if (options->print) {
        return migrate_print();
    }
    struct err err = {.kind = ERR_KIND_NONE};
    struct config *config = settings_load(options->config_path);
    if (config == NULL) {
        return EX_CONFIG;
    }
    struct session *session = session_open(config, &err);
    bool ok = session != NULL && migrate_all(session, &err);
    if (!ok) {
        fprintf(stderr, "imprint-sync: migrate: %s\n", err.text);
    }
    session_close(session);
    config_destroy(config);
    return err_exit_code(err.kind);
}
