-- Watching CRM tables: a change of a watched row enqueues thin rows for its customers.

SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL ROLE imprint_sync_owner;

DO $$
BEGIN
    IF current_user <> 'imprint_sync_owner' THEN
        RAISE EXCEPTION 'this file must run inside one transaction (psql --single-transaction)';
    END IF;
END
$$;

-- What was asked for. The names are kept beside the OIDs: they tell a dropped table from a
-- renamed one, and what it was called.
CREATE TABLE imprint_sync.watched (
    id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    watched      regclass    NOT NULL,
    watched_name text        NOT NULL,
    watched_key  name        NOT NULL,
    source       regclass    NOT NULL,
    source_name  text        NOT NULL,
    source_key   name        NOT NULL,
    customer_id  name        NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    UNIQUE (watched, watched_key)
);

-- One row for each failed trigger call. Never updated: two CRM transactions must not wait for
-- each other on a counter. The daemon adds them up and deletes them.
CREATE TABLE imprint_sync.watch_error (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    failed_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    watched_name text        NOT NULL,
    trigger_name name        NOT NULL,
    sqlstate     text        NOT NULL
);


-- 1. Looking things up -----------------------------------------------------------------------

CREATE FUNCTION imprint_sync.watch_function_name(p_id int) RETURNS name
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('watch_%s', p_id)::name $$;

CREATE FUNCTION imprint_sync.watch_trigger_name(p_id int, p_event text) RETURNS name
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT format('imprint_sync_%s_%s', p_id, lower(p_event))::name $$;

-- Name with schema, whatever the search_path; NULL when the relation is gone.
CREATE FUNCTION imprint_sync.relation_name(p_relation oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', n.nspname, c.relname)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = p_relation;
$$;

-- The type of a column under its domains; NULL when there is no such column.
CREATE FUNCTION imprint_sync.column_type(p_relation regclass, p_column name) RETURNS regtype
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE base (type, depth) AS (
        SELECT a.atttypid, 0 FROM pg_attribute a
         WHERE a.attrelid = p_relation AND a.attname = p_column AND a.attnum > 0
           AND NOT a.attisdropped
        UNION ALL
        SELECT t.typbasetype, b.depth + 1 FROM base b JOIN pg_type t ON t.oid = b.type
         WHERE t.typtype = 'd'
    )
    SELECT type::regtype FROM base ORDER BY depth DESC LIMIT 1;
$$;

-- The table, its partitions and its children by inheritance: a statement that names a child
-- fires the child's statement triggers only.
CREATE FUNCTION imprint_sync.watch_relations(p_watched regclass) RETURNS SETOF regclass
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE tree (relation) AS (
        SELECT p_watched::oid
        UNION
        SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relation
    )
    SELECT relation::regclass FROM tree ORDER BY relation;
$$;

-- A deleted row of a table that is unique in the key is the customer's own row: there is
-- nobody left to send. Everywhere else a deleted row changes a customer that lives on.
CREATE FUNCTION imprint_sync.watch_events(p_watched regclass, p_watched_key name)
    RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('INSERT'), ('UPDATE')
    UNION ALL
    SELECT 'DELETE' WHERE NOT EXISTS (
        SELECT FROM pg_index i
          JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         WHERE i.indrelid = p_watched AND a.attname = p_watched_key
           AND i.indisunique AND i.indisvalid AND i.indimmediate
           AND i.indnkeyatts = 1 AND i.indpred IS NULL);
$$;

-- The type's own equality, which an extension may have put outside of the trigger's
-- search_path (citext).
CREATE FUNCTION imprint_sync.equality_operator(p_left regtype, p_right regtype) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
           FROM pg_opclass c
           JOIN pg_am am ON am.oid = c.opcmethod AND am.amname = 'btree'
           JOIN pg_amop ao ON ao.amopfamily = c.opcfamily AND ao.amopstrategy = 3
                          AND ao.amoplefttype = c.opcintype AND ao.amoprighttype = c.opcintype
           JOIN pg_operator o ON o.oid = ao.amopopr
           JOIN pg_namespace n ON n.oid = o.oprnamespace
          WHERE c.opcdefault AND c.opcintype = p_left AND p_left = p_right),
        'OPERATOR(pg_catalog.=)');
$$;


-- 2. The trigger functions -------------------------------------------------------------------

-- One function a watch, with its names written in: its plans are cached, where EXECUTE would
-- parse and plan the source view at each statement of the CRM.

-- The statements that enqueue the customer of the only key, "trigger".key.
CREATE FUNCTION imprint_sync.watch_one_text(p_watch imprint_sync.watched) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT CASE WHEN p_watch.source_key = p_watch.customer_id THEN $sql$
            INSERT INTO imprint_sync.outbox (customer_id) VALUES ("trigger".key::text);$sql$
    ELSE format($sql$
            INSERT INTO imprint_sync.outbox (customer_id)
            SELECT DISTINCT s.%1$I::text FROM %2$s AS s
             WHERE s.%3$I %4$s "trigger".key AND s.%1$I IS NOT NULL;$sql$,
            p_watch.customer_id, p_watch.source_name, p_watch.source_key,
            imprint_sync.equality_operator(
                imprint_sync.column_type(p_watch.source, p_watch.source_key),
                imprint_sync.column_type(p_watch.watched, p_watch.watched_key)))
    END;
$body$;

-- The statements that enqueue the customers of the keys which the query p_changed returns as k.
CREATE FUNCTION imprint_sync.watch_many_text(p_watch imprint_sync.watched, p_changed text)
    RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT CASE WHEN p_watch.source_key = p_watch.customer_id THEN format($sql$
            INSERT INTO imprint_sync.outbox (customer_id)
            SELECT DISTINCT k::text FROM (%s) AS changed (k) WHERE k IS NOT NULL;$sql$, p_changed)
    ELSE
        -- Keys in arrays: a plan that does not depend on how many rows the first statement of
        -- the session had, and a condition that also reaches into a view with GROUP BY.
        -- trigger.keys: a bare keys would be the source's column of that name.
        format($sql$
            FOR keys IN
                SELECT array_agg(k) FROM (
                    SELECT k, (row_number() OVER (ORDER BY k) - 1) / 1000 AS part
                      FROM (SELECT DISTINCT k FROM (%1$s) AS changed (k) WHERE k IS NOT NULL) AS d
                ) AS numbered GROUP BY part
            LOOP
                INSERT INTO imprint_sync.outbox (customer_id)
                SELECT DISTINCT s.%2$I::text FROM %3$s AS s
                 WHERE s.%4$I %5$s ANY ("trigger".keys) AND s.%2$I IS NOT NULL;
            END LOOP;$sql$,
            p_changed, p_watch.customer_id, p_watch.source_name, p_watch.source_key,
            imprint_sync.equality_operator(
                imprint_sync.column_type(p_watch.source, p_watch.source_key),
                imprint_sync.column_type(p_watch.watched, p_watch.watched_key)))
    END;
$body$;

-- The usual statement of a CRM changes one row. The query p_one finds out, and sets key and
-- changed: without aggregates and arrays that is a third of the work. FOUND is false for any
-- other number of rows, and for NULL keys.
CREATE FUNCTION imprint_sync.watch_enqueue_text(
    p_watch imprint_sync.watched, p_one text, p_changed text
) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT format($sql$
        %1$s;
        IF NOT FOUND THEN%2$s
        ELSIF changed THEN%3$s
        END IF;$sql$,
        p_one, imprint_sync.watch_many_text(p_watch, p_changed),
        imprint_sync.watch_one_text(p_watch));
$body$;

CREATE FUNCTION imprint_sync.watch_function_text(p_watch imprint_sync.watched) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $body$
    SELECT format($sql$
#variable_conflict use_column
<<"trigger">>
DECLARE
    key     %1$s;
    keys    %1$s[];
    changed boolean;
BEGIN
    CASE TG_OP
    WHEN 'UPDATE' THEN%4$s
    WHEN 'INSERT' THEN%2$s
    WHEN 'DELETE' THEN%3$s
    END CASE;
    RETURN NULL;
EXCEPTION
WHEN serialization_failure THEN
    RAISE;  -- asks the CRM to repeat its transaction; to go on would break its isolation
WHEN OTHERS OR assert_failure THEN
    -- No message: those of Postgres quote values.
    RAISE WARNING 'imprint-sync: a change of %%.%% was not enqueued (SQLSTATE %%)',
        TG_TABLE_SCHEMA, TG_TABLE_NAME, SQLSTATE;
    BEGIN
        INSERT INTO imprint_sync.watch_error (watched_name, trigger_name, sqlstate)
        VALUES (format('%%I.%%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), TG_NAME, SQLSTATE);
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    RETURN NULL;
END
$sql$,
        t.key,
        imprint_sync.watch_enqueue_text(p_watch,
            format($sql$
        SELECT n.%1$I::%2$s, true INTO key, changed FROM new_rows AS n
         WHERE n.%1$I IS NOT NULL AND NOT EXISTS (SELECT FROM new_rows OFFSET 1)$sql$,
                p_watch.watched_key, t.key),
            format('SELECT n.%I FROM new_rows AS n', p_watch.watched_key)),
        imprint_sync.watch_enqueue_text(p_watch,
            format($sql$
        SELECT o.%1$I::%2$s, true INTO key, changed FROM old_rows AS o
         WHERE o.%1$I IS NOT NULL AND NOT EXISTS (SELECT FROM old_rows OFFSET 1)$sql$,
                p_watch.watched_key, t.key),
            format('SELECT o.%I FROM old_rows AS o', p_watch.watched_key)),
        imprint_sync.watch_enqueue_text(p_watch,
            -- *<> compares the bytes: json has no equality, and equal is not the same (citext,
            -- 1.0 and 1.00). There are never more new rows than old ones.
            format($sql$
        SELECT n.%1$I::%2$s, ROW(o.*)::record *<> ROW(n.*)::record INTO key, changed
          FROM old_rows AS o CROSS JOIN new_rows AS n
         WHERE o.%1$I %3$s n.%1$I AND NOT EXISTS (SELECT FROM old_rows OFFSET 1)$sql$,
                p_watch.watched_key, t.key, imprint_sync.equality_operator(t.type, t.type)),
            -- Rows that are in only one of OLD and NEW, compared as text, which can be grouped.
            -- ROW(n.*): a bare n would be the column n of a table that has one.
            format($sql$
            SELECT k FROM (
                SELECT o.%1$I AS k, ROW(o.*)::text AS r, -1 AS d FROM old_rows AS o
                UNION ALL
                SELECT n.%1$I, ROW(n.*)::text, 1 FROM new_rows AS n
            ) AS both_sides GROUP BY k, r HAVING sum(d) <> 0$sql$, p_watch.watched_key)))
      FROM (SELECT c.type, format_type(c.type, -1)
              FROM imprint_sync.column_type(p_watch.watched, p_watch.watched_key) AS c (type)
           ) AS t (type, key);
$body$;

-- The settings: the text of a value is exact, whatever the CRM's session has set, and the lookup
-- is planned once (250 us a statement with a new plan each time, 175 without).
CREATE FUNCTION imprint_sync.watch_create_function(p_watch imprint_sync.watched) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION imprint_sync.%I() RETURNS trigger LANGUAGE plpgsql '
        'SECURITY DEFINER SET search_path = pg_catalog, pg_temp '
        'SET extra_float_digits = 3 SET "DateStyle" = ''ISO'' '
        'SET plan_cache_mode = force_generic_plan AS %L',
        imprint_sync.watch_function_name(p_watch.id), imprint_sync.watch_function_text(p_watch));
END
$$;

-- Runs the trigger's lookup for no key, as the trigger will run it: missing rights, also behind
-- a security_invoker view, and types that cannot be compared show here, not in the CRM.
CREATE FUNCTION imprint_sync.watch_probe(p_watch imprint_sync.watched) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key_type    regtype := imprint_sync.column_type(p_watch.watched, p_watch.watched_key);
    source_type regtype := imprint_sync.column_type(p_watch.source, p_watch.source_key);
BEGIN
    EXECUTE format('SELECT DISTINCT k FROM unnest(NULL::%s[]) AS k ORDER BY k',
                   format_type(key_type, -1));
    IF p_watch.source_key = p_watch.customer_id THEN
        RETURN;
    END IF;
    IF row_security_active(p_watch.source) THEN
        RAISE EXCEPTION 'row security of % hides rows from imprint_sync_owner', p_watch.source_name
            USING HINT = 'Use a view whose owner sees all rows.';
    END IF;
    EXECUTE format('SELECT s.%I::text FROM %s AS s WHERE s.%I %s ANY (NULL::%s[]) LIMIT 0',
                   p_watch.customer_id, p_watch.source_name, p_watch.source_key,
                   imprint_sync.equality_operator(source_type, key_type),
                   format_type(key_type, -1));
EXCEPTION WHEN undefined_function THEN
    RAISE EXCEPTION 'column % of % (%) cannot be compared with column % of % (%)',
        p_watch.watched_key, p_watch.watched_name, key_type,
        p_watch.source_key, p_watch.source_name, source_type
        USING ERRCODE = 'datatype_mismatch';
END
$$;


-- 3. watch and unwatch -----------------------------------------------------------------------

CREATE FUNCTION imprint_sync.watch_require_table(p_relation regclass) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation_name text := imprint_sync.relation_name(p_relation);
    kind     "char";
    storage  "char";
    schema   name;
BEGIN
    SELECT c.relkind, c.relpersistence, n.nspname INTO kind, storage, schema
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = p_relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no relation %', p_relation USING ERRCODE = 'undefined_table';
    ELSIF kind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% cannot be watched: it is %, not a table', relation_name,
            CASE kind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view'
                      WHEN 'f' THEN 'a foreign table' ELSE 'something else' END
            USING ERRCODE = 'wrong_object_type',
                  HINT = 'Watch the tables that it reads.';
    ELSIF storage = 't' THEN
        RAISE EXCEPTION '% cannot be watched: it is a temporary table', relation_name
            USING ERRCODE = 'wrong_object_type';
    ELSIF schema IN ('pg_catalog', 'information_schema', 'pg_toast', 'imprint_sync') THEN
        RAISE EXCEPTION '% cannot be watched: it belongs to schema %', relation_name, schema
            USING ERRCODE = 'wrong_object_type';
    ELSIF EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = p_relation) THEN
        RAISE EXCEPTION '% cannot be watched: a subscription writes it, which fires no statement triggers',
            relation_name
            USING ERRCODE = 'wrong_object_type', HINT = 'Watch it where it is published.';
    ELSIF NOT has_table_privilege(p_relation, 'TRIGGER') THEN
        RAISE EXCEPTION 'role % may not create triggers on %', current_user, relation_name
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Call watch as the owner of the table.';
    END IF;
END
$$;

-- A statement that names the parent fires the parent's triggers only.
CREATE FUNCTION imprint_sync.watch_require_root(p_watched regclass) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parent oid := (SELECT min(inhparent) FROM pg_inherits WHERE inhrelid = p_watched);
BEGIN
    IF parent IS NOT NULL THEN
        RAISE EXCEPTION '% cannot be watched alone: it is a part of %',
            imprint_sync.relation_name(p_watched), imprint_sync.relation_name(parent)
            USING ERRCODE = 'wrong_object_type', HINT = 'Watch the whole table.';
    END IF;
END
$$;

CREATE FUNCTION imprint_sync.watch_require_column(p_relation regclass, p_column name)
    RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF imprint_sync.column_type(p_relation, p_column) IS NULL THEN
        RAISE EXCEPTION '% has no column %', imprint_sync.relation_name(p_relation),
            coalesce(quote_ident(p_column), 'NULL')
            USING ERRCODE = 'undefined_column';
    END IF;
END
$$;

CREATE FUNCTION imprint_sync.watch_require_source(p_source regclass) RETURNS void
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    kind "char" := (SELECT relkind FROM pg_class WHERE oid = p_source);
BEGIN
    IF kind IS NULL THEN
        RAISE EXCEPTION 'there is no relation %', p_source USING ERRCODE = 'undefined_table';
    ELSIF kind NOT IN ('r', 'p', 'v') THEN
        RAISE EXCEPTION '% cannot be the source: it must be a table or a view, which show the same snapshot as the queue',
            imprint_sync.relation_name(p_source) USING ERRCODE = 'wrong_object_type';
    END IF;
END
$$;

-- Lets the trigger functions read what they look up. Grants only what is missing: a role that
-- may not grant can still watch after somebody else did.
CREATE FUNCTION imprint_sync.watch_grant(p_watch imprint_sync.watched) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema  name := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                      WHERE c.oid = p_watch.source);
    on_schema text := format('GRANT USAGE ON SCHEMA %I TO imprint_sync_owner', schema);
    on_source text := format('GRANT SELECT (%I, %I) ON %s TO imprint_sync_owner',
                             p_watch.source_key, p_watch.customer_id, p_watch.source_name);
    missing text[] := '{}';
BEGIN
    IF p_watch.source_key = p_watch.customer_id THEN
        RETURN;                         -- no lookup, no right
    END IF;
    IF NOT has_schema_privilege('imprint_sync_owner', schema, 'USAGE') THEN
        missing := missing || on_schema;
    END IF;
    IF NOT has_column_privilege('imprint_sync_owner', p_watch.source, p_watch.source_key, 'SELECT')
       OR NOT has_column_privilege('imprint_sync_owner', p_watch.source, p_watch.customer_id, 'SELECT')
    THEN
        missing := missing || on_source;
    END IF;
    FOR i IN 1 .. cardinality(missing) LOOP
        BEGIN
            EXECUTE missing[i];
        EXCEPTION WHEN insufficient_privilege THEN
            NULL;                       -- without any grant option; with a part of it: a warning
        END;
    END LOOP;
    IF NOT has_schema_privilege('imprint_sync_owner', schema, 'USAGE')
       OR NOT has_column_privilege('imprint_sync_owner', p_watch.source, p_watch.source_key, 'SELECT')
       OR NOT has_column_privilege('imprint_sync_owner', p_watch.source, p_watch.customer_id, 'SELECT')
    THEN
        RAISE EXCEPTION 'role % may not grant imprint_sync_owner what its triggers need', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Let the owner run first: ' || array_to_string(missing, '; ');
    END IF;
END
$$;

-- Leaves a trigger alone that is as it should be: replacing it would block writers.
CREATE FUNCTION imprint_sync.watch_create_trigger(p_id int, p_relation regclass, p_event text)
    RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM imprint_sync.watch_trigger_state(p_id, p_relation, p_event)
                    WHERE problem IS NULL) THEN
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER %I AFTER %s ON %s REFERENCING %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION imprint_sync.%I()',
            imprint_sync.watch_trigger_name(p_id, p_event), p_event,
            imprint_sync.relation_name(p_relation),
            CASE p_event WHEN 'INSERT' THEN 'NEW TABLE AS new_rows'
                         WHEN 'DELETE' THEN 'OLD TABLE AS old_rows'
                         ELSE 'OLD TABLE AS old_rows NEW TABLE AS new_rows' END,
            imprint_sync.watch_function_name(p_id));
    END IF;
END
$$;

-- Exactly one row; problem is NULL when the trigger is as watch() made it.
CREATE FUNCTION imprint_sync.watch_trigger_state(p_id int, p_relation regclass, p_event text)
    RETURNS TABLE (trigger_name name, problem text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.name,
           CASE WHEN t.oid IS NULL THEN 'trigger missing'
                WHEN t.tgenabled NOT IN ('O', 'A') THEN 'trigger disabled'
                WHEN t.tgfoid IS DISTINCT FROM to_regproc(format('imprint_sync.%I',
                         imprint_sync.watch_function_name(p_id)))::oid
                  OR t.tgqual IS NOT NULL OR cardinality(t.tgattr::int2[]) > 0
                THEN 'trigger replaced'
           END
      FROM (SELECT imprint_sync.watch_trigger_name(p_id, p_event)) AS w (name)
      LEFT JOIN pg_trigger t ON t.tgrelid = p_relation AND t.tgname = w.name;
$$;

CREATE FUNCTION imprint_sync.watch_register(
    p_source regclass, p_source_key name, p_customer_id name, p_watched regclass, p_watched_key name
) RETURNS imprint_sync.watched
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO imprint_sync.watched AS w
        (watched, watched_name, watched_key, source, source_name, source_key, customer_id)
    VALUES (p_watched, imprint_sync.relation_name(p_watched), p_watched_key,
            p_source, imprint_sync.relation_name(p_source), p_source_key, p_customer_id)
    ON CONFLICT (watched, watched_key) DO UPDATE
       SET watched_name = excluded.watched_name, source = excluded.source,
           source_name = excluded.source_name, source_key = excluded.source_key,
           customer_id = excluded.customer_id
    RETURNING w.*;
$$;

CREATE FUNCTION imprint_sync.watch(
    source regclass, source_key name, customer_id name, watched regclass, watched_key name
) RETURNS void
    LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    entry    imprint_sync.watched;
    relation regclass;
    event    text;
BEGIN
    PERFORM imprint_sync.watch_require_source(source),
            imprint_sync.watch_require_column(source, source_key),
            imprint_sync.watch_require_column(source, customer_id);
    PERFORM imprint_sync.watch_require_table(watched),
            imprint_sync.watch_require_root(watched);
    FOR relation IN SELECT imprint_sync.watch_relations(watched) LOOP
        PERFORM imprint_sync.watch_require_table(relation),
                imprint_sync.watch_require_column(relation, watched_key);
    END LOOP;

    entry := imprint_sync.watch_register(source, source_key, customer_id, watched, watched_key);
    PERFORM imprint_sync.watch_grant(entry);
    PERFORM imprint_sync.watch_probe(entry);
    PERFORM imprint_sync.watch_create_function(entry);
    FOR relation IN SELECT imprint_sync.watch_relations(watched) LOOP
        FOR event IN SELECT imprint_sync.watch_events(watched, watched_key) LOOP
            PERFORM imprint_sync.watch_create_trigger(entry.id, relation, event);
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON FUNCTION imprint_sync.watch(regclass, name, name, regclass, name) IS
    'a change of watched changes the row of source whose source_key equals watched_key; call again to repair or to add partitions';

-- Without a key: all watches of the table. The function takes its triggers with it, also those
-- on partitions and on a table that was renamed since.
CREATE FUNCTION imprint_sync.unwatch(watched regclass, watched_key name DEFAULT NULL)
    RETURNS int
    LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp
                     SET client_min_messages = warning
AS $$
#variable_conflict use_variable
DECLARE
    entry   imprint_sync.watched;
    removed int := 0;
BEGIN
    FOR entry IN
        DELETE FROM imprint_sync.watched AS w
         WHERE w.watched = unwatch.watched
           AND (unwatch.watched_key IS NULL OR w.watched_key = unwatch.watched_key)
        RETURNING w.*
    LOOP
        EXECUTE format('DROP FUNCTION IF EXISTS imprint_sync.%I() CASCADE',
                       imprint_sync.watch_function_name(entry.id));
        removed := removed + 1;
    END LOOP;
    RETURN removed;
END
$$;


-- 4. The check -------------------------------------------------------------------------------

-- Everything by which a watch can have been lost, one row each; no row: all is well.
CREATE FUNCTION imprint_sync.watch_check()
    RETURNS TABLE (watched text, trigger_name text, problem text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET jit = off                       -- the catalogs have no statistics for it: 650 ms, not 3
AS $$
    WITH entry AS (
        SELECT w.*, imprint_sync.relation_name(w.watched) AS name_now,
               imprint_sync.relation_name(w.source) AS source_now
          FROM imprint_sync.watched w
    )
    SELECT e.watched_name, NULL::text, 'table dropped' FROM entry e WHERE e.name_now IS NULL
    UNION ALL
    SELECT e.watched_name, NULL, 'another table has its name now' FROM entry e
     WHERE e.name_now <> e.watched_name
       AND EXISTS (SELECT FROM pg_class c WHERE imprint_sync.relation_name(c.oid) = e.watched_name)
    UNION ALL
    SELECT e.name_now, NULL, format('key column %I missing', e.watched_key) FROM entry e
     WHERE e.name_now IS NOT NULL
       AND imprint_sync.column_type(e.watched, e.watched_key) IS NULL
    UNION ALL
    SELECT e.name_now, NULL, format('source %s dropped', e.source_name) FROM entry e
     WHERE e.name_now IS NOT NULL AND e.source_now IS NULL AND e.source_key <> e.customer_id
    UNION ALL
    SELECT e.name_now, NULL, format('source column %I missing', c.name)
      FROM entry e CROSS JOIN LATERAL (VALUES (e.source_key), (e.customer_id)) AS c (name)
     WHERE e.name_now IS NOT NULL AND e.source_now IS NOT NULL AND e.source_key <> e.customer_id
       AND imprint_sync.column_type(e.source, c.name) IS NULL
    UNION ALL
    -- The trigger function names the source; a column that is missing is reported above.
    SELECT e.name_now, NULL, format('source %s renamed to %s', e.source_name, e.source_now)
      FROM entry e WHERE e.name_now IS NOT NULL AND e.source_now <> e.source_name
       AND e.source_key <> e.customer_id
    UNION ALL
    SELECT e.name_now, NULL, format('imprint_sync_owner may not read %s', e.source_now)
      FROM entry e JOIN pg_class s ON s.oid = e.source
     WHERE e.name_now IS NOT NULL AND e.source_key <> e.customer_id
       AND imprint_sync.column_type(e.source, e.source_key) IS NOT NULL
       AND imprint_sync.column_type(e.source, e.customer_id) IS NOT NULL
       AND NOT (has_schema_privilege('imprint_sync_owner', s.relnamespace, 'USAGE')
                AND has_column_privilege('imprint_sync_owner', s.oid, e.source_key, 'SELECT')
                AND has_column_privilege('imprint_sync_owner', s.oid, e.customer_id, 'SELECT'))
    UNION ALL
    SELECT e.name_now, NULL, format('row security of %s hides rows', e.source_now)
      FROM entry e
     WHERE e.name_now IS NOT NULL AND e.source_now IS NOT NULL AND e.source_key <> e.customer_id
       AND row_security_active(e.source)
    UNION ALL
    SELECT imprint_sync.relation_name(r.relation), s.trigger_name,
           CASE WHEN r.relation <> e.watched AND s.problem = 'trigger missing'
                THEN 'partition without trigger' ELSE s.problem END
      FROM entry e
     CROSS JOIN LATERAL imprint_sync.watch_relations(e.watched) AS r (relation)
     CROSS JOIN LATERAL imprint_sync.watch_events(e.watched, e.watched_key) AS v (event)
     CROSS JOIN LATERAL imprint_sync.watch_trigger_state(e.id, r.relation, v.event) AS s
     WHERE e.name_now IS NOT NULL AND s.problem IS NOT NULL
     ORDER BY 1, 2, 3;
$$;


-- 5. Rights ----------------------------------------------------------------------------------

-- watch and unwatch are for a superuser or a member of imprint_sync_owner: nothing to grant.
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA imprint_sync FROM PUBLIC;
GRANT EXECUTE ON FUNCTION imprint_sync.slot_of(text) TO PUBLIC;

GRANT SELECT ON imprint_sync.watched TO imprint_sync_daemon;
GRANT SELECT, DELETE ON imprint_sync.watch_error TO imprint_sync_daemon;
GRANT EXECUTE ON FUNCTION imprint_sync.watch_check() TO imprint_sync_daemon;
