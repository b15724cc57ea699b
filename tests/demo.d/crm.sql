-- A small CRM, as it might stand in any shop: nothing in it knows of Imprint but the column with
-- Imprint's customer id. The view is what imprint-sync reads: one row per customer. It aggregates
-- with LATERAL, so that looking up one customer costs a few index accesses, however many orders
-- there are.
CREATE SCHEMA crm;

CREATE TABLE crm.customers (
    id                  bigint PRIMARY KEY,
    imprint_customer_id uuid UNIQUE,        -- NULL: not linked to Imprint (yet)
    email               text,
    mobile              text,
    first_name          text,
    last_name           text,
    locale              text,
    tier                int,
    loyalty_id          bigint,
    joined_at           timestamptz,
    currency            text,
    updated_at          timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE crm.addresses (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES crm.customers ON DELETE CASCADE,
    is_primary  boolean NOT NULL DEFAULT true,
    line1       text,
    line2       text,
    city        text,
    state       text,
    postal_code text,
    country     text
);
CREATE INDEX ON crm.addresses (customer_id);

CREATE TABLE crm.orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES crm.customers ON DELETE CASCADE,
    amount      numeric NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON crm.orders (customer_id);

CREATE VIEW crm.imprint_customers AS
SELECT c.id AS crm_id, c.imprint_customer_id, c.email, c.mobile, c.first_name, c.last_name,
       c.locale, c.tier, c.loyalty_id, c.joined_at, c.currency AS ltv_currency,
       a.address, o.lifetime_value, o.order_count,
       greatest(c.updated_at, o.placed_at) AS updated_at
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
