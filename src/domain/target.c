#include "domain/target.h"

#define FEED(type) (UINT32_C(1) << FIELDTYPE_ID_##type)

// Free text: whatever makes a string.
#define FEEDS_TEXT                                                                                 \
    (FEED(TEXT) | FEED(EMAIL) | FEED(PHONE) | FEED(LANGUAGE) | FEED(COUNTRY) | FEED(US_STATE) |    \
     FEED(CURRENCY) | FEED(TIMESTAMP))
#define FEEDS_ANY ((UINT32_C(1) << FIELDTYPE_COUNT) - 1)

// Where the contract gives a field a form (E.164, ISO 639-1, ISO 3166-1 alpha-3, ISO 4217, RFC
// 3339) only the type that makes this form may feed it: a plain text would be refused by the API,
// row by row, instead of by `check`.
static const struct target targets[] = {
    {"email", FIELDTYPE_ID_EMAIL, FEED(EMAIL), "E-mail address."},
    {"phone", FIELDTYPE_ID_PHONE, FEED(PHONE), "Telephone number in E.164."},
    {"first_name", FIELDTYPE_ID_TEXT, FEEDS_TEXT, "First name."},
    {"last_name", FIELDTYPE_ID_TEXT, FEEDS_TEXT, "Last name."},
    {"preferred_language", FIELDTYPE_ID_LANGUAGE, FEED(LANGUAGE), "Language by ISO 639-1."},
    {"street_line1", FIELDTYPE_ID_TEXT, FEEDS_TEXT, "Mailing address, first line."},
    {"street_line2", FIELDTYPE_ID_TEXT, FEEDS_TEXT, "Mailing address, second line."},
    {"city", FIELDTYPE_ID_TEXT, FEEDS_TEXT, "Mailing address, city."},
    {"state", FIELDTYPE_ID_TEXT, FEED(TEXT) | FEED(US_STATE),
     "Mailing address, state; `as: us_state` turns names into the two letters."},
    {"postal_code", FIELDTYPE_ID_TEXT, FEEDS_TEXT, "Mailing address, postal code."},
    {"customer_history.email", FIELDTYPE_ID_EMAIL, FEED(EMAIL),
     "E-mail address of the account with the partner."},
    {"customer_history.phone", FIELDTYPE_ID_PHONE, FEED(PHONE),
     "Telephone number of the account with the partner, in E.164."},
    {"customer_history.first_name", FIELDTYPE_ID_TEXT, FEEDS_TEXT,
     "First name in the account with the partner."},
    {"customer_history.last_name", FIELDTYPE_ID_TEXT, FEEDS_TEXT,
     "Last name in the account with the partner."},
    {"customer_history.preferred_language", FIELDTYPE_ID_LANGUAGE, FEED(LANGUAGE),
     "Language of the account with the partner, by ISO 639-1."},
    {"customer_history.address.street_line1", FIELDTYPE_ID_TEXT, FEEDS_TEXT,
     "Address of the account, first line."},
    {"customer_history.address.street_line2", FIELDTYPE_ID_TEXT, FEEDS_TEXT,
     "Address of the account, second line."},
    {"customer_history.address.city", FIELDTYPE_ID_TEXT, FEEDS_TEXT,
     "Address of the account, city."},
    {"customer_history.address.state", FIELDTYPE_ID_TEXT, FEED(TEXT) | FEED(US_STATE),
     "Address of the account, state; `as: us_state` turns names into the two letters."},
    {"customer_history.address.postal_code", FIELDTYPE_ID_TEXT, FEEDS_TEXT,
     "Address of the account, postal code."},
    {"customer_history.address.country", FIELDTYPE_ID_COUNTRY, FEED(COUNTRY),
     "Address of the account, country by ISO 3166-1 alpha-3."},
    {"customer_history.account_tenure", FIELDTYPE_ID_INTEGER, FEED(INTEGER) | FEED(MONTHS_SINCE),
     "Age of the account in months; `as: months_since` counts them from a date."},
    {"customer_history.ltv_amount", FIELDTYPE_ID_MINOR_UNITS, FEED(MINOR_UNITS) | FEED(INTEGER),
     "Lifetime value in the minor unit of ltv_currency; `as: integer` when the column is in minor "
     "units already."},
    {"customer_history.ltv_currency", FIELDTYPE_ID_CURRENCY, FEED(CURRENCY),
     "Currency of ltv_amount by ISO 4217."},
    {"customer_history.loyalty_tier", FIELDTYPE_ID_TEXT, FEEDS_TEXT, "Tier, such as GOLD."},
    {"customer_history.account_created_at", FIELDTYPE_ID_TIMESTAMP, FEED(TIMESTAMP),
     "When the account was opened, by RFC 3339."},
    {"customer_history.transaction_count", FIELDTYPE_ID_INTEGER, FEED(INTEGER),
     "Number of transactions."},
    {"metadata.*", FIELDTYPE_ID_TEXT, FEEDS_ANY, "Free names and values."},
};

enum { TARGET_COUNT = sizeof targets / sizeof targets[0] };

// The path of every object; what a name below one of them may be is in the table above.
static const struct {
    const char *path;
    const char *name; // within its parent
    const char *parent;
} objects[] = {
    {"customer_history", "customer_history", ""},
    {"customer_history.address", "address", "customer_history"},
    {"metadata", "metadata", ""},
};

enum { OBJECT_COUNT = sizeof objects / sizeof objects[0] };

size_t target_count(void)
{
    return TARGET_COUNT;
}

const struct target *target_at(size_t index)
{
    return &targets[index];
}

const struct target *target_find(struct str path)
{
    const struct target *metadata = &targets[TARGET_COUNT - 1];
    if (str_starts(path, STR("metadata."))) {
        return path.len > sizeof "metadata." - 1 ? metadata : NULL;
    }
    for (const struct target *target = targets; target < metadata; target++) {
        if (str_equal(path, str_of(target->path))) {
            return target;
        }
    }
    return NULL;
}

bool target_is_object(struct str path)
{
    bool found = path.len == 0;
    for (size_t i = 0; i < OBJECT_COUNT && !found; i++) {
        found = str_equal(path, str_of(objects[i].path));
    }
    return found;
}

// The name of `path` within `object`, or NULL when it does not stand directly below it.
static const char *member_name(const char *path, struct str object)
{
    const char *name = path;
    if (object.len > 0) {
        if (!str_starts(str_of(path), object) || path[object.len] != '.') {
            return NULL;
        }
        name += object.len + 1;
    }
    return strchr(name, '.') == NULL && name[0] != '*' ? name : NULL;
}

size_t target_members(struct str object, const char **names, size_t room)
{
    size_t count = 0;
    for (size_t i = 0; i < TARGET_COUNT; i++) {
        const char *name = member_name(targets[i].path, object);
        if (name != NULL && count++ < room) {
            names[count - 1] = name;
        }
    }
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        if (str_equal(str_of(objects[i].parent), object) && count++ < room) {
            names[count - 1] = objects[i].name;
        }
    }
    return count;
}

bool target_takes(const struct target *target, enum fieldtype_id type)
{
    return (target->feeds >> type & 1) != 0;
}
