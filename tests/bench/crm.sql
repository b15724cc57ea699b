-- Fills the demo's CRM (tests/demo.d/crm.sql) with as many customers and orders as the settings
-- bench.customers and bench.orders say, the same ones every time:
--
--   PGOPTIONS='-c bench.customers=20000 -c bench.orders=100000' psql -f tests/bench/crm.sql
--
-- As in a real CRM: Imprint's ids are in no order, orders stand in the order in which they were
-- placed, so those of one customer are spread over the whole table, a fifth of the customers makes
-- half of the purchases, and one in twenty has never bought anything. All can be sent.
SET session_replication_role = replica; -- neither triggers of watch() nor foreign keys, row by row

-- A number in 0 ... n - 1 that looks like chance; another one for each `what`.
CREATE FUNCTION pg_temp.pick(number bigint, what int, n bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$SELECT (hashint8extended(number, what) & 4611686018427387903) % n$$;

INSERT INTO crm.customers (id, imprint_customer_id, email, mobile, first_name, last_name, locale,
                           tier, loyalty_id, joined_at, currency, updated_at)
SELECT n, md5('customer ' || n)::uuid,
       lower(f.name) || '.' || lower(l.name) || n || '@example.com',
       CASE pg_temp.pick(n, 1, 10)
           WHEN 0 THEN NULL
           WHEN 1 THEN '+1' || p.area || p.line
           WHEN 2 THEN p.area || '-' || left(p.line, 3) || '-' || right(p.line, 4)
           ELSE '(' || p.area || ') ' || left(p.line, 3) || '-' || right(p.line, 4)
       END,
       f.name, l.name,
       (ARRAY['en_US', 'en_US', 'en', 'es_MX', NULL])[1 + pg_temp.pick(n, 2, 5)],
       nullif(pg_temp.pick(n, 3, 4), 0), 70000000 + n,
       '2012-01-01Z'::timestamptz + pg_temp.pick(n, 4, 4800 * 86400::bigint) * interval '1 second',
       'USD', '2025-06-01Z'::timestamptz + n % 86400 * interval '1 second'
  FROM generate_series(1, current_setting('bench.customers')::bigint) AS n
 CROSS JOIN LATERAL (
       SELECT (ARRAY['Ada', 'Jane', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Ken', 'Margaret',
                     'Dennis', 'Radia', 'Tony', 'Frances'])[1 + pg_temp.pick(n, 5, 12)] AS name) f
 CROSS JOIN LATERAL (
       SELECT (ARRAY['Lovelace', 'Doe', 'Hopper', 'Turing', 'Liskov', 'Thompson', 'Hamilton',
                     'Ritchie', 'Perlman', 'Hoare', 'Allen'])[1 + pg_temp.pick(n, 6, 11)] AS name) l
 CROSS JOIN LATERAL (
       SELECT (ARRAY['415', '212', '617', '808'])[1 + pg_temp.pick(n, 7, 4)] AS area,
              (2000000 + pg_temp.pick(n, 8, 7990000))::text AS line) p;

INSERT INTO crm.addresses (customer_id, line1, line2, city, state, postal_code, country)
SELECT n, 1 + pg_temp.pick(n, 11, 9000) || ' Market Street',
       CASE WHEN pg_temp.pick(n, 12, 4) = 0 THEN 'Apt ' || 1 + pg_temp.pick(n, 13, 90) END,
       (ARRAY['San Francisco', 'New York', 'Boston', 'Honolulu'])[c],
       (ARRAY['CA', 'New York', 'ma', 'HI'])[c],
       (ARRAY['94103', '10001', '02108', '96813'])[c], (ARRAY['US', 'USA'])[1 + n % 2]
  FROM generate_series(1, current_setting('bench.customers')::bigint) AS n
 CROSS JOIN LATERAL (SELECT 1 + pg_temp.pick(n, 14, 4) AS c) AS c
 WHERE pg_temp.pick(n, 15, 10) > 0;

-- The index is made afterwards: for ten million orders half the time.
DROP INDEX crm.orders_customer_id_idx;
INSERT INTO crm.orders (customer_id, amount, placed_at)
SELECT CASE pg_temp.pick(n, 21, 2)
           WHEN 0 THEN 1 + pg_temp.pick(n, 22, s.buyers) % greatest(s.buyers / 5, 1)
           ELSE 1 + pg_temp.pick(n, 22, s.buyers)
       END,
       (199 + pg_temp.pick(n, 23, 30000))::numeric / 100,
       '2020-01-01Z'::timestamptz + n * (interval '2000 days' / s.orders)
  FROM (SELECT current_setting('bench.orders')::bigint AS orders,
               greatest(current_setting('bench.customers')::bigint * 19 / 20, 1) AS buyers) AS s
 CROSS JOIN LATERAL generate_series(1, s.orders) AS n;
CREATE INDEX orders_customer_id_idx ON crm.orders (customer_id);

-- The customer's whole history, by the demo's view and one column more.
CREATE OR REPLACE VIEW crm.imprint_customers AS
SELECT c.id AS crm_id, c.imprint_customer_id, c.email, c.mobile, c.first_name, c.last_name,
       c.locale, c.tier, c.loyalty_id, c.joined_at, c.currency AS ltv_currency,
       a.address, o.lifetime_value, o.order_count,
       greatest(c.updated_at, o.placed_at) AS updated_at, o.placed_at AS last_order_at
  FROM crm.customers c
  LEFT JOIN LATERAL (
        SELECT jsonb_build_object('line1', line1, 'line2', line2, 'city', city, 'state', state,
                                  'postal_code', postal_code, 'country', country) AS address
          FROM crm.addresses
         WHERE customer_id = c.id
         ORDER BY is_primary DESC, id LIMIT 1) a ON true
 CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS lifetime_value, count(*) AS order_count,
               max(placed_at) AS placed_at
          FROM crm.orders
         WHERE customer_id = c.id) o;

SET session_replication_role = DEFAULT;
