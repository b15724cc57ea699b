-- What the application of tests/chaos writes. Every change counts up a version in the same
-- transaction, one for each table, so that two tables of one customer can change in transactions
-- that run side by side, and what Imprint was sent can be told old from new.
CREATE SCHEMA shop;

CREATE TABLE shop.customers (
    id         int PRIMARY KEY,
    imprint_id text UNIQUE NOT NULL,
    email      text NOT NULL,
    first_name text NOT NULL,
    version    bigint NOT NULL DEFAULT 0
);

CREATE TABLE shop.addresses (
    customer_id int PRIMARY KEY REFERENCES shop.customers,
    city        text NOT NULL,
    version     bigint NOT NULL DEFAULT 0
);

CREATE TABLE shop.orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id int NOT NULL REFERENCES shop.customers,
    amount      numeric NOT NULL
);
CREATE INDEX ON shop.orders (customer_id);

-- The version of all orders of a customer: their number and sum also go down.
CREATE TABLE shop.order_tally (
    customer_id int PRIMARY KEY REFERENCES shop.customers,
    version     bigint NOT NULL DEFAULT 0
);

CREATE VIEW shop.imprint_customers AS
SELECT c.id AS crm_id, c.imprint_id, c.email, c.first_name, a.city,
       o.amount, o.orders, 'USD'::text AS currency,
       c.version, a.version AS address_version, t.version AS orders_version
  FROM shop.customers c
  JOIN shop.addresses a ON a.customer_id = c.id
  JOIN shop.order_tally t ON t.customer_id = c.id
 CROSS JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS amount, count(*) AS orders
                       FROM shop.orders WHERE customer_id = c.id) o;

-- Customers whose rows an application writes to the outbox itself: one column at a time.
CREATE TABLE shop.members (
    imprint_id text PRIMARY KEY,
    email      text,
    first_name text,
    city       text,
    version    bigint NOT NULL DEFAULT 0
);

-- Without a version: these go back to what they were.
CREATE TABLE shop.switches (
    imprint_id text PRIMARY KEY,
    first_name text
);

DO $$
BEGIN
    CREATE ROLE sync_daemon LOGIN IN ROLE imprint_sync_daemon;
EXCEPTION WHEN duplicate_object THEN
    NULL;
END
$$;
GRANT USAGE ON SCHEMA shop TO imprint_sync_daemon;
GRANT SELECT ON shop.imprint_customers TO imprint_sync_daemon;

SELECT imprint_sync.watch('shop.imprint_customers', 'crm_id', 'imprint_id', 'shop.customers', 'id');
SELECT imprint_sync.watch('shop.imprint_customers', 'crm_id', 'imprint_id', 'shop.addresses',
                          'customer_id');
SELECT imprint_sync.watch('shop.imprint_customers', 'crm_id', 'imprint_id', 'shop.orders',
                          'customer_id');
