"""A thousand customers as they stand in real tables: names of many scripts, telephone numbers and
countries in every spelling, gaps. The same for the same seed.

Every mess is made from something clean, and what is clean is remembered in CLEAN: that is what
expect.py compares with, so nothing here or there knows how imprint-sync reads a spelling.
"""

import datetime
import decimal
import random
import uuid

NAMES = """
Ada Lovelace|José Núñez|Siobhán O'Brien|Gabriele D'Annunzio|Zoë Brönte
王 秀英|張 偉|佐藤 さくら|鈴木 一郎
김 서연|Мария Иванова
Γιώργος Παπαδόπουλος
محمد الفاسي|شیرین رضایی
שרה כהן|प्रिया शर्मा
สมชาย ใจดี|Nguyễn Thị Hồng
Łukasz Wiśniewski|Åsa Sjöström|Işıl Öztürk
Ana 🌻 Flores|Mary-Jane van der Berg|J. "Bobby" Tables|Renate Müller-Lüdenscheidt
Tamás Szabó 👩‍💻|Cher|Malakʻai Kahananui|𐐒𐐲 Deseret
"""

PHONES = [  # national US numbers: area code, exchange, line
    "({a}) {b}-{c}", "{a}-{b}-{c}", "{a}.{b}.{c}", "{a} {b} {c}", "{a}{b}{c}", "1-{a}-{b}-{c}",
    "1 ({a}) {b} {c}", "+1 {a} {b} {c}", "+1{a}{b}{c}", "+1 ({a}) {b}-{c}", " {a}/{b}-{c} ",
    "{a}\u2011{b}\u2011{c}",
]
FOREIGN_PHONES = {
    "+49 30 901820": "+4930901820", "+81-3-3224-5000": "+81332245000",
    "+44 (20) 7946 0018": "+442079460018", "+965 2245 5000": "+96522455000",
}
STATES = {
    "CA": ["CA", "California", "california", " ca "], "NY": ["New York", "NY"],
    "TX": ["Texas", "TX", "TEXAS"], "WA": ["Washington", "wa"], "MA": ["Massachusetts", "MA"],
    "HI": ["Hawaii", "HI"],
}
COUNTRIES = {
    "USA": ["US", "USA", "usa", "United States", "us"], "DEU": ["Germany", "DE", "DEU"],
    "JPN": ["Japan", "JP", "jpn"], "KWT": ["Kuwait", "KW"],
}
LANGUAGES = {
    "en": ["en", "en_US", "en-GB", "EN"], "es": ["es", "es_MX", "es-419"], "fr": ["fr", "fr_CA"],
    "de": ["de_DE", "de"], "ja": ["ja", "ja_JP"], "zh": ["zh", "zh_TW", "zh-Hant-TW"],
    "ar": ["ar", "ar_KW"],
}
TIERS = {1: "SILVER", 2: "GOLD", 3: "PLATINUM", 7: "MEMBER", None: "MEMBER"}
EXPONENTS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
# What cannot be sent, and which field says so.
BROKEN = [
    ({"email": "not an address"}, "email"),
    ({"email": "two@@signs.example"}, "email"),
    ({"email": "nobody@"}, "email"),
    ({"mobile": "ask at the desk"}, "phone"),
    ({"mobile": "555-01"}, "phone"),
    ({"currency": None}, "customer_history.ltv_amount"),
    ({"amount": "19.999"}, "customer_history.ltv_amount"),
]

CLEAN = {"phone": dict(FOREIGN_PHONES), "state": {}, "country": {}, "language": {}}


def messy(rng, kind, table):
    """Some spelling of some value, remembered; or NULL."""
    if rng.random() < 0.08:
        return None
    clean = rng.choice(sorted(table))
    spelling = rng.choice(table[clean])
    CLEAN[kind][spelling] = clean
    return spelling


def messy_phone(rng):
    if rng.random() < 0.08:
        return None
    if rng.random() < 0.05:
        return rng.choice(sorted(FOREIGN_PHONES))
    a, b, c = rng.choice(["415", "212", "617", "808"]), rng.randint(200, 989), rng.randint(0, 9999)
    if b % 100 == 11:
        b += 1
    spelling = rng.choice(PHONES).format(a=a, b=b, c=f"{c:04d}")
    CLEAN["phone"][spelling] = f"+1{a}{b}{c:04d}"
    return spelling


def messy_name(rng):
    first, _, last = rng.choice(NAMES.replace("\n", "|").strip("|").split("|")).partition(" ")
    return (None if rng.random() < 0.03 else first), last or None


def messy_amount(rng, currency):
    places = EXPONENTS[currency]
    cents = rng.choice([0, 1, 5, 99, rng.randint(100, 10**7)])
    amount = decimal.Decimal(cents).scaleb(-places)
    return str(amount.normalize() if rng.random() < 0.2 and cents else amount)


def joined(rng, today):
    """A time whose day is not about to make a month full while the demo runs."""
    while True:
        day = today - datetime.timedelta(days=rng.randint(40, 9000))
        if abs((day.day - today.day + 15) % 31 - 15) > 2 and day.day < 28:
            break
    moment = datetime.datetime(day.year, day.month, day.day, rng.randint(0, 23), rng.randint(0, 59),
                               rng.randint(0, 59), rng.choice([0, 1000, 123456, 999999]))
    return moment.isoformat() + rng.choice(["+00", "-08", "+05:30", "+09"])


def customer(rng, number, today):
    first, last = messy_name(rng)
    currency = rng.choices(["USD", "EUR", "JPY", "KWD"], [80, 8, 6, 6])[0]
    email = rng.choice(["user{}@example.com", "User.{}+crm@Example.COM", "u_{}@mail.example.co.uk",
                        "o'brien{}@example.org"]).format(number)
    return {
        "id": number,
        "imprint_customer_id":  # one in fifty is not linked to Imprint
            None if number % 50 == 49 else str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "email": None if rng.random() < 0.04 else email,
        "mobile": messy_phone(rng),
        "first_name": first,
        "last_name": last,
        "locale": messy(rng, "language", LANGUAGES),
        "tier": rng.choice(list(TIERS)),
        "loyalty_id": rng.choice([None, 7 * 10**15 + number, number]),
        "joined_at": None if rng.random() < 0.03 else joined(rng, today),
        "currency": currency,
    }


def address(rng, owner):
    country = messy(rng, "country", COUNTRIES)
    american = CLEAN["country"].get(country) == "USA"
    return {
        "customer_id": owner["id"],
        "is_primary": True,
        "line1": f"{rng.randint(1, 9999)} " + rng.choice(
            ["Main St", "Straße des 17. Juni", "Rue de l'Église", "桃园路"]),
        "line2": rng.choice([None, None, "Apt #4B", "c/o O'Hara"]),
        "city": rng.choice(["Springfield", "München", "東京", "São Paulo"]),
        "state": messy(rng, "state", STATES) if american else rng.choice([None, "Bayern"]),
        "postal_code": rng.choice(["02134", "94107-1234", "10557", None]),
        "country": country,
    }


def orders_for(rng, owner, count):
    return [{"customer_id": owner["id"], "amount": messy_amount(rng, owner["currency"] or "USD")}
            for _ in range(count)]


def make(count=1000, seed=1, today=None):
    """(customers, addresses, orders, broken): rows as dicts; `broken` maps a customer's id to the
    field that keeps it from being sent."""
    rng = random.Random(seed)
    today = today or datetime.datetime.now(datetime.timezone.utc).date()
    customers = [customer(rng, number, today) for number in range(1, count + 1)]
    addresses = [address(rng, c) for c in customers if rng.random() < 0.9]
    orders = [o for c in customers for o in orders_for(rng, c, rng.choice([0, 0, 1, 2, 3]))]
    broken = {}
    for place, (change, field) in enumerate(BROKEN):
        victim = customers[10 + place]
        broken[victim["id"]] = field
        victim.update({k: v for k, v in change.items() if k != "amount"})
        if "amount" in change:
            victim["currency"] = "USD"
            orders = [o for o in orders if o["customer_id"] != victim["id"]]
            orders.append({"customer_id": victim["id"], "amount": change["amount"]})
    # The amount that a double cannot hold.
    rich = customers[0]
    rich.update(currency="USD", first_name="王", last_name="秀英")
    orders = [o for o in orders if o["customer_id"] != rich["id"]]
    orders.append({"customer_id": rich["id"], "amount": "90071992547409.93"})
    return customers, addresses, orders, broken
