"""What Imprint must hold for a customer of the demo's CRM, worked out from the tables (not from the
view, and with none of imprint-sync's code), and the comparison with what the sandbox holds."""

import datetime
import decimal

import people


def prune(value):
    """Without members that have no value, and without objects that are empty for that."""
    if not isinstance(value, dict):
        return value
    pruned = {k: prune(v) for k, v in value.items()}
    return {k: v for k, v in pruned.items() if v is not None and v != {}}


def months_between(start, end):
    months = (end.year - start.year) * 12 + end.month - start.month
    earlier = (end.day, end.time()) < (start.day, start.time())
    return months - (1 if earlier else 0)


def rfc3339(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def minor_units(amount, currency):
    return int(decimal.Decimal(amount).scaleb(people.EXPONENTS[currency]).to_integral_exact())


def body(customer, address, amounts, now):
    """The request for one customer: dicts of the rows of its tables, and its orders' amounts."""
    clean = people.CLEAN
    address = address or {}
    joined = customer["joined_at"]
    if joined is not None:
        joined = joined.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    state = clean["state"].get(address.get("state"))
    total = sum((decimal.Decimal(a) for a in amounts), decimal.Decimal(0))
    return prune({
        "email": customer["email"],
        "phone": clean["phone"].get(customer["mobile"]),
        "first_name": customer["first_name"],
        "last_name": customer["last_name"],
        "preferred_language": clean["language"].get(customer["locale"]),
        "street_line1": address.get("line1"),
        "street_line2": address.get("line2"),
        "city": address.get("city"),
        "state": state,
        "postal_code": address.get("postal_code"),
        "customer_history": {
            "address": {"country": clean["country"].get(address.get("country"))},
            "account_tenure": months_between(joined, now) if joined else None,
            "ltv_amount": minor_units(total, customer["currency"]),
            "ltv_currency": customer["currency"],
            "loyalty_tier": people.TIERS[customer["tier"]],
            "account_created_at": rfc3339(joined) if joined else None,
            "transaction_count": len(amounts),
        },
        "metadata": {
            "loyalty_id": None if customer["loyalty_id"] is None else str(customer["loyalty_id"]),
        },
    })


def rows(cursor, statement):
    cursor.execute(statement)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def expected_bodies(connection, skip=()):
    """{Imprint id: body} of every linked customer whose CRM id is not in `skip`."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    with connection.cursor() as cursor:
        addresses = {}
        for row in rows(cursor, "SELECT * FROM crm.addresses ORDER BY is_primary, id DESC"):
            addresses[row["customer_id"]] = row
        amounts = {}
        for row in rows(cursor, "SELECT customer_id, amount FROM crm.orders"):
            amounts.setdefault(row["customer_id"], []).append(row["amount"])
        return {
            str(row["imprint_customer_id"]): body(
                row, addresses.get(row["id"]), amounts.get(row["id"], []), now)
            for row in rows(cursor, "SELECT * FROM crm.customers")
            if row["imprint_customer_id"] is not None and row["id"] not in skip
        }


def differences(expected, found, path=""):
    """One line for each field that differs."""
    if isinstance(expected, dict) and isinstance(found, dict):
        lines = []
        for key in sorted(set(expected) | set(found)):
            lines += differences(expected.get(key), found.get(key), f"{path}.{key}".lstrip("."))
        return lines
    if type(expected) is type(found) and expected == found:
        return []
    return [f"{path}: expected {expected!r}, found {found!r}"]
