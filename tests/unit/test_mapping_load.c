// From YAML to the compiled mapping: what loads, and the exact message for what does not.
#include "base/mem.h"
#include "config/mapping_load.h"
#include "config/mapping_option.h"
#include "domain/target.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>

enum { LINES_CAP = 1 << 16 };

// ---- helpers ----

// Loads the YAML, whose root holds `mapping` and perhaps `on_invalid`. All problems, one a line,
// end up in `lines`.
static struct mapping *load(const char *yaml, struct buf *lines)
{
    struct problems *problems = problems_create();
    struct yaml_tree *tree = yaml_read_text(str_of(yaml), "m.yaml", problems);
    struct mapping *mapping = NULL;
    if (tree != NULL) {
        const struct yaml_node *root = yaml_root(tree);
        mapping = mapping_load(yaml_get(root, STR("mapping")), yaml_get(root, STR("on_invalid")),
                               problems);
    }
    yaml_destroy(tree); // the mapping must not need it
    buf_init(lines, LINES_CAP);
    for (size_t i = 0; i < problems_count(problems); i++) {
        ck_assert(buf_printf(lines, "%s\n", problems_line(problems, i)));
    }
    problems_destroy(problems);
    return mapping;
}

static struct mapping *must_load(const char *yaml)
{
    struct buf lines;
    struct mapping *mapping = load(yaml, &lines);
    ck_assert_msg(mapping != NULL && lines.len == 0, "%s\n%s", yaml,
                  lines.data == NULL ? "" : lines.data);
    buf_free(&lines);
    return mapping;
}

// ---- what loads ----

static const struct mapping_leaf *must_find(const struct mapping *mapping, const char *target)
{
    const struct mapping_leaf *leaf = mapping_leaf_find(mapping, str_of(target));
    ck_assert_msg(leaf != NULL, "%s", target);
    return leaf;
}

static void check_text(const char *got, const char *want)
{
    ck_assert_str_eq(got, want);
}

START_TEST(loads_the_example_of_the_design)
{
    struct mapping *mapping = must_load(
        "mapping:\n"
        "  email:              email\n"
        "  phone:              {from: mobile}\n"
        "  preferred_language: {from: locale}\n"
        "  state:              {from: address.state, as: us_state}\n"
        "  customer_history:\n"
        "    address:\n"
        "      country:        {value: USA}\n"
        "    account_tenure:   {from: joined_at, as: months_since}\n"
        "    ltv_amount:       {from: lifetime_value, as: minor_units, currency: ltv_currency}\n"
        "    ltv_currency:     ltv_currency\n"
        "    account_created_at: joined_at\n"
        "    loyalty_tier:     {from: tier, map: {1: SILVER, 2: GOLD}, default: MEMBER}\n"
        "  metadata:\n"
        "    loyalty_id:       {from: loyalty_id, as: text}\n");
    const char *const columns[] = {
        "email",          "mobile",       "locale", "address",    "joined_at",
        "lifetime_value", "ltv_currency", "tier",   "loyalty_id",
    };
    ck_assert(mapping_leaf_count(mapping) == 11);
    ck_assert(mapping_column_count(mapping) == sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        check_text(mapping_column_name(mapping, i), columns[i]);
    }
    const struct mapping_leaf *amount = must_find(mapping, "customer_history.ltv_amount");
    check_text(amount->type->name, "minor_units");
    check_text(amount->currency.text.ptr, "ltv_currency");
    const struct mapping_leaf *tier = must_find(mapping, "customer_history.loyalty_tier");
    ck_assert(tier->choice_count == 2);
    check_text(tier->fallback.text.ptr, "\"MEMBER\"");
    const struct mapping_leaf *country = must_find(mapping, "customer_history.address.country");
    check_text(country->constant.text.ptr, "\"USA\"");
    mapping_destroy(mapping);
}
END_TEST

// The mapping that maps nothing but `path`, from a column.
static void write_mapping(const char *path, struct buf *yaml)
{
    struct str part;
    struct str rest = str_of(path);
    bool more = true;
    ck_assert(buf_printf(yaml, "mapping:\n"));
    for (int depth = 1; more; depth++) {
        more = str_split(rest, '.', &part, &rest);
        ck_assert(buf_printf(yaml, "%*s\"%.*s\":%s\n", depth * 2, "", STR_ARG(part),
                             more ? "" : " column"));
    }
}

static void check_short_form(const struct target *target)
{
    struct buf yaml;
    buf_init(&yaml, LINES_CAP);
    write_mapping(target->path, &yaml);
    struct mapping *mapping = must_load(yaml.data);
    check_text(mapping_leaf_at(mapping, 0)->target, target->path);
    ck_assert(mapping_leaf_at(mapping, 0)->type->id == target->type);
    mapping_destroy(mapping);
    buf_free(&yaml);
}

START_TEST(every_target_loads_in_the_short_form)
{
    for (size_t i = 0; i < target_count(); i++) {
        if (target_at(i)->type != FIELDTYPE_ID_MINOR_UNITS) { // needs a currency
            check_short_form(target_at(i));
        }
    }
}
END_TEST

START_TEST(every_option_loads)
{
    struct mapping *mapping =
        must_load("on_invalid: omit\n"
                  "mapping:\n"
                  "  phone: {from: p, calling_code: 44, required: true, on_invalid: fail}\n"
                  "  city: {from: c, max_length: 30, when_null: null}\n"
                  "  state: {from: s, when_null: 'null'}\n"
                  "  last_name: {from: l, when_null: fail, required: true}\n"
                  "  first_name: {from: f, required: false, default: Jane, map: {'': null}, "
                  "when_null: fail}\n"
                  "  customer_history:\n"
                  "    account_created_at: {from: j, timezone: Europe/Berlin}\n"
                  "    account_tenure: {from: j, as: months_since, timezone: -0330}\n");
    const struct mapping_leaf *phone = mapping_leaf_at(mapping, 0);
    ck_assert(str_equal(phone->options.calling_code, STR("44")));
    ck_assert(phone->required && !phone->omit_invalid);
    const struct mapping_leaf *city = mapping_leaf_at(mapping, 1);
    ck_assert(city->options.max_length == 30 && city->when_null == MAPPING_NULL_SEND);
    ck_assert(city->omit_invalid && !city->required);
    ck_assert(mapping_leaf_at(mapping, 2)->when_null == MAPPING_NULL_SEND);
    ck_assert(mapping_leaf_at(mapping, 3)->when_null == MAPPING_NULL_FAIL);
    ck_assert(mapping_leaf_at(mapping, 4)->choices[0].result.kind == JSONTEXT_KIND_NULL);
    const struct mapping_leaf *created = mapping_leaf_at(mapping, 5);
    // 2024-07-01 00:00 on the local clock
    ck_assert(zone_offset_at_local(created->options.zone, 1719792000) == 7200);
    ck_assert(zone_offset_at_local(mapping_leaf_at(mapping, 6)->options.zone, 0) == -12600);
    mapping_destroy(mapping);
}
END_TEST

START_TEST(constants_keep_their_kind)
{
    struct mapping *mapping = must_load("mapping:\n"
                                        "  email: email\n"
                                        "  metadata:\n"
                                        "    a: {value: 1.50, as: json}\n"
                                        "    b: {value: '1.50', as: json}\n"
                                        "    c: {value: true, as: json}\n"
                                        "    d: {value: \"true\", as: json}\n"
                                        "    e: {value: 007, as: json}\n"
                                        "    f: {value: \"a\\\"b\\n\", as: json}\n"
                                        "    g: {value: True, as: json}\n"
                                        "    h: {value: '[1]', as: json}\n"
                                        "    i: {value: -1e5, as: json}\n"
                                        "    j: {value: 'null', as: json}\n"
                                        "    k: {value: '', as: json}\n");
    const char *const wanted[] = {"1.50",    "\"1.50\"",      "true",     "\"true\"",
                                  "\"007\"", "\"a\\\"b\\n\"", "\"True\"", "\"[1]\"",
                                  "-1e5",    "\"null\"",      "\"\""};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        check_text(mapping_leaf_at(mapping, i + 1)->constant.text.ptr, wanted[i]);
    }
    mapping_destroy(mapping);
}
END_TEST

START_TEST(every_option_has_its_help)
{
    ck_assert_uint_eq(option_count(), 12);
    for (size_t i = 0; i < option_count(); i++) {
        const struct option *option = option_at(i);
        ck_assert(strlen(option->name) > 0 && str_ends(str_of(option->help), STR(".")));
        ck_assert((option->schema == NULL) == (strcmp(option->name, "as") == 0));
    }
}
END_TEST

// ---- what does not ----

static const struct {
    const char *yaml;
    const char *problems;
} wrong[] = {
    // The whole
    {"mapping:\n", "m.yaml:1:9: mapping: is empty; allowed: a mapping of targets\n"},
    {"mapping: {}\n", "m.yaml:1:10: mapping: is empty; allowed: a mapping of targets\n"},
    {"mapping: email\n",
     "m.yaml:1:10: mapping: is a single value; allowed: a mapping of targets\n"},
    {"mapping: [email]\n", "m.yaml:1:10: mapping: is a list; allowed: a mapping of targets\n"},
    {"mapping:\n  email: {value: a@example.com}\n",
     "m.yaml:2:3: mapping: maps no column; with constants alone nothing is ever sent\n"},
    {"on_invalid: drop\nmapping:\n  email: e\n",
     "m.yaml:1:13: on_invalid: is \"drop\"; allowed: fail, omit\n"},
    {"on_invalid:\nmapping:\n  email: e\n",
     "m.yaml:1:12: on_invalid: is empty; allowed: fail, omit\n"},
    {"on_invalid: [omit]\nmapping:\n  email: e\n",
     "m.yaml:1:13: on_invalid: is a list; allowed: fail, omit\n"},

    // Targets
    {"mapping:\n  emial: e\n",
     "m.yaml:2:3: mapping.emial: unknown target \"emial\"; did you mean \"email\"?\n"},
    {"mapping:\n  customer_histroy: {email: e}\n",
     "m.yaml:2:3: mapping.customer_histroy: unknown target \"customer_histroy\"; did you mean "
     "\"customer_history\"?\n"},
    {"mapping:\n  customer_history:\n    ltv_ammount: e\n",
     "m.yaml:3:5: mapping.customer_history.ltv_ammount: unknown target \"ltv_ammount\"; did you "
     "mean \"ltv_amount\"?\n"},
    {"mapping:\n  customer_history: {address: {town: t}}\n",
     "m.yaml:2:32: mapping.customer_history.address.town: unknown target \"town\"; allowed: "
     "street_line1, street_line2, city, state, postal_code, country\n"},
    {"mapping:\n  country: c\n", "m.yaml:2:3: mapping.country: unknown target here; did you mean "
                                 "\"customer_history.address.country\"?\n"},
    {"mapping:\n  customer_history: {city: c}\n",
     "m.yaml:2:22: mapping.customer_history.city: unknown target here; did you mean "
     "\"customer_history.address.city\"?\n"},
    {"mapping:\n  customer_history.email: e\n",
     "m.yaml:2:3: mapping.customer_history.email: unknown target; a field of an object is written "
     "below it, indented\n"},
    {"mapping:\n  customer_history.address: {city: e}\n",
     "m.yaml:2:3: mapping.customer_history.address: unknown target; a field of an object is "
     "written below it, indented\n"},
    {"mapping:\n  metadata.x: e\n",
     "m.yaml:2:3: mapping.metadata.x: unknown target; a field of an object is written below it, "
     "indented\n"},
    {"mapping:\n  '': {email: e}\n", "m.yaml:2:3: mapping.: an empty name\n"},
    {"mapping:\n  \"a\\0b\": e\n", "m.yaml:2:3: mapping.a: a name with a control character\n"},
    {"mapping:\n  email: e\n  email: f\n",
     "m.yaml:3:3: mapping.email: duplicate key; the first is in line 2\n"},
    {"mapping:\n  customer_history: history\n",
     "m.yaml:2:21: mapping.customer_history: is a single value; allowed: a mapping of targets\n"},
    {"mapping:\n  email: e\n  customer_history:\n",
     "m.yaml:3:20: mapping.customer_history: is empty; allowed: a mapping of targets\n"},
    {"mapping:\n  email: e\n  metadata: {}\n",
     "m.yaml:3:13: mapping.metadata: is empty; allowed: a mapping of targets\n"},
    {"mapping:\n  metadata: {from: prefs, as: json}\n",
     "m.yaml:2:14: mapping.metadata.from: metadata is an object, not a field; a member with this "
     "name needs the long form {from: COLUMN}\n"},
    {"mapping:\n  metadata: {'': x}\n", "m.yaml:2:14: mapping.metadata.: an empty name\n"},
    {"mapping:\n  metadata: {a: {b: c}}\n",
     "m.yaml:2:17: mapping.metadata.a: has neither from (a column) nor value (a constant)\n"
     "m.yaml:2:18: mapping.metadata.a: unknown option \"b\"; allowed: from, as, currency, "
     "calling_code, timezone, max_length, required, on_invalid, when_null, value, map, default\n"},

    // Leaves
    {"mapping:\n  email:\n",
     "m.yaml:2:9: mapping.email: is empty; allowed: a column, or a mapping with from or value\n"},
    {"mapping:\n  email: [a, b]\n",
     "m.yaml:2:10: mapping.email: is a list; allowed: a column, or a mapping with from or value\n"},
    {"mapping:\n  email: ''\n", "m.yaml:2:10: mapping.email: an empty name\n"},
    {"mapping:\n  city: address..city\n",
     "m.yaml:2:9: mapping.city: the path \"address..city\" has an empty part between dots\n"},
    {"mapping:\n  city: a.b.c.d.e.f.g.h.i\n",
     "m.yaml:2:9: mapping.city: the path \"a.b.c.d.e.f.g.h.i\" has more than 8 parts\n"},
    {"mapping:\n  city: {from: .city}\n",
     "m.yaml:2:16: mapping.city.from: the path \".city\" has an empty part between dots\n"},
    {"mapping:\n  city: {from: [city]}\n",
     "m.yaml:2:16: mapping.city.from: is a list; allowed: a column, or a path such as "
     "address.line1\n"},
    {"mapping:\n  city: {from: \"a\\x1Bb\"}\n",
     "m.yaml:2:16: mapping.city.from: a name with a control character\n"},
    {"mapping:\n  email: {as: email}\n",
     "m.yaml:2:10: mapping.email: has neither from (a column) nor value (a constant)\n"},
    {"mapping:\n  email: {}\n",
     "m.yaml:2:10: mapping.email: has neither from (a column) nor value (a constant)\n"},
    {"mapping:\n  email: {from: e, value: x}\n",
     "m.yaml:2:17: mapping.email: from does not go with value, a constant\n"
     "m.yaml:2:27: mapping.email.value: \"x\" is not an e-mail address\n"},
    {"mapping:\n  city: {value: Boston, map: {a: b}, default: c, required: true}\n",
     "m.yaml:2:30: mapping.city: map does not go with value, a constant\n"
     "m.yaml:2:47: mapping.city: default does not go with value, a constant\n"
     "m.yaml:2:60: mapping.city: required does not go with value, a constant\n"},
    {"mapping:\n  city: {value: Boston, on_invalid: omit, when_null: fail}\n",
     "m.yaml:2:37: mapping.city: on_invalid does not go with value, a constant\n"
     "m.yaml:2:54: mapping.city: when_null does not go with value, a constant\n"},
    {"mapping:\n  email: {from: e, on_invald: omit}\n",
     "m.yaml:2:20: mapping.email: unknown option \"on_invald\"; did you mean \"on_invalid\"?\n"},
    {"mapping:\n  email: {form: e}\n",
     "m.yaml:2:10: mapping.email: has neither from (a column) nor value (a constant)\n"
     "m.yaml:2:11: mapping.email: unknown option \"form\"; did you mean \"from\"?\n"},

    // Types
    {"mapping:\n  email: {from: e, as: mail}\n",
     "m.yaml:2:24: mapping.email.as: unknown type \"mail\"; did you mean \"email\"?\n"},
    {"mapping:\n  email: {from: e, as: [email]}\n",
     "m.yaml:2:24: mapping.email.as: is a list; allowed: the name of a type\n"},
    {"mapping:\n  email: {from: e, as: text}\n",
     "m.yaml:2:24: mapping.email.as: type text cannot feed email; allowed: email\n"},
    {"mapping:\n  customer_history: {account_tenure: {from: j, as: timestamp}}\n",
     "m.yaml:2:52: mapping.customer_history.account_tenure.as: type timestamp cannot feed "
     "customer_history.account_tenure; allowed: integer, months_since\n"},
    {"mapping:\n  city: {from: c, as: integer}\n",
     "m.yaml:2:23: mapping.city.as: type integer cannot feed city; allowed: text, email, phone, "
     "language, country, us_state, currency, timestamp\n"},
    {"mapping:\n  city: {from: c, as: json}\n",
     "m.yaml:2:23: mapping.city.as: type json is allowed below metadata only\n"},
    {"mapping:\n  email: {from: e, as: number, max_length: x}\n",
     "m.yaml:2:24: mapping.email.as: unknown type \"number\"; allowed: text, integer, email, "
     "phone, "
     "language, country, us_state, currency, minor_units, timestamp, months_since, boolean, "
     "json\n"},

    // Options
    {"mapping:\n  email: {from: e, required: yes}\n",
     "m.yaml:2:30: mapping.email.required: is \"yes\"; allowed: true, false\n"},
    {"mapping:\n  email: {from: e, required: true, default: a@example.com}\n",
     "m.yaml:2:30: mapping.email.required: does not go with default, which replaces NULL\n"},
    {"mapping:\n  email: {from: e, required: true, when_null: omit}\n",
     "m.yaml:2:47: mapping.email.when_null: does not go with required, which refuses NULL\n"},
    {"mapping:\n  city: {from: e, default: a, when_null: fail}\n",
     "m.yaml:2:42: mapping.city.when_null: does not go with default, which replaces NULL\n"},
    {"mapping:\n  city: {from: e, when_null: nil}\n",
     "m.yaml:2:30: mapping.city.when_null: is \"nil\"; allowed: omit, null, fail\n"},
    {"mapping:\n  city: {from: e, on_invalid: {}}\n",
     "m.yaml:2:31: mapping.city.on_invalid: is empty; allowed: fail, omit\n"},
    {"mapping:\n  city: {from: e, max_length: 0}\n",
     "m.yaml:2:31: mapping.city.max_length: is \"0\"; allowed: a number of characters from 1 to "
     "1000000\n"},
    {"mapping:\n  city: {from: e, max_length: 10k}\n",
     "m.yaml:2:31: mapping.city.max_length: is \"10k\"; allowed: a number of characters from 1 to "
     "1000000\n"},
    {"mapping:\n  city: {from: e, max_length: 99999999999999999999}\n",
     "m.yaml:2:31: mapping.city.max_length: is \"99999999999999999999\"; allowed: a number of "
     "characters from 1 to 1000000\n"},
    {"mapping:\n  customer_history: {transaction_count: {from: n, max_length: 3}}\n",
     "m.yaml:2:63: mapping.customer_history.transaction_count.max_length: goes with types that "
     "make a text only, not with integer\n"},
    {"mapping:\n  metadata: {x: {from: n, as: json, max_length: 3}}\n",
     "m.yaml:2:49: mapping.metadata.x.max_length: goes with types that make a text only, not with "
     "json\n"},
    {"mapping:\n  phone: {from: p, calling_code: 0044}\n",
     "m.yaml:2:34: mapping.phone.calling_code: is \"0044\"; allowed: 1 to 3 digits that do not "
     "begin with 0, such as 44\n"},
    {"mapping:\n  phone: {from: p, calling_code: +44}\n",
     "m.yaml:2:34: mapping.phone.calling_code: is \"+44\"; allowed: 1 to 3 digits that do not "
     "begin "
     "with 0, such as 44\n"},
    {"mapping:\n  city: {from: p, calling_code: 44}\n",
     "m.yaml:2:33: mapping.city.calling_code: goes with type phone only, not with text\n"},
    {"mapping:\n  city: {from: p, currency: c}\n",
     "m.yaml:2:29: mapping.city.currency: goes with type minor_units only, not with text\n"},
    {"mapping:\n  city: {from: p, timezone: UTC}\n",
     "m.yaml:2:29: mapping.city.timezone: goes with types timestamp and months_since only, not "
     "with text\n"},
#define UNKNOWN_ZONE(name)                                                                         \
    "m.yaml:2:67: mapping.customer_history.account_created_at.timezone: unknown time zone \"" name \
    "\"; allowed: UTC, an offset such as +02:00, or a name below /usr/share/zoneinfo/, such as "   \
    "America/New_York\n"
    {"mapping:\n  customer_history: {account_created_at: {from: joined, timezone: Mars/Olympus}}\n",
     UNKNOWN_ZONE("Mars/Olympus")},
    {"mapping:\n  customer_history: {account_created_at: {from: joined, timezone: "
     "../../../etc/passwd}}\n",
     UNKNOWN_ZONE("../../../etc/passwd")},
    {"mapping:\n  customer_history: {account_created_at: {from: joined, timezone: "
     "/etc/localtime}}\n",
     UNKNOWN_ZONE("/etc/localtime")},
    {"mapping:\n  customer_history: {account_created_at: {from: joined, timezone: America}}\n",
     UNKNOWN_ZONE("America")},
    {"mapping:\n  customer_history: {account_created_at: {from: joined, timezone: zone1970.tab}}\n",
     UNKNOWN_ZONE("zone1970.tab")},
    {"mapping:\n  customer_history: {account_created_at: {from: joined, timezone: ''}}\n",
     UNKNOWN_ZONE("")},

    // Constants that their type refuses
    {"mapping:\n  email: e\n  customer_history: {address: {country: {value: Atlantis}}}\n",
     "m.yaml:3:49: mapping.customer_history.address.country.value: \"Atlantis\" is not an ISO "
     "3166-1 country\n"},
    {"mapping:\n  email: {from: e, default: none}\n",
     "m.yaml:2:29: mapping.email.default: \"none\" is not an e-mail address\n"},
    {"mapping:\n  email: {from: e, default: }\n",
     "m.yaml:2:29: mapping.email.default: is empty; allowed: a single value\n"},
    {"mapping:\n  city: {from: e, default: [a]}\n",
     "m.yaml:2:28: mapping.city.default: is a list; allowed: a single value\n"},
    {"mapping:\n  city: {from: e, default: '${CITY}'}\n",
     "m.yaml:2:28: mapping.city.default: holds a ${...}; the mapping takes no variables\n"},
    {"mapping:\n  city: {from: e, default: Boston, max_length: 5}\n",
     "m.yaml:2:28: mapping.city.default: \"Boston\" is longer than max_length\n"},
    {"mapping:\n  email: e\n  metadata: {x: {value: {a: 1}, as: json}}\n",
     "m.yaml:3:25: mapping.metadata.x.value: is a mapping; allowed: a single value\n"},
    {"mapping:\n  customer_history: {transaction_count: {from: n, map: {few: 3, many: lots}}}\n",
     "m.yaml:2:71: mapping.customer_history.transaction_count.map.many: \"lots\" is not a "
     "number\n"},
    {"mapping:\n  email: e\n  customer_history: {account_tenure: {value: 2999-01-01, as: "
     "months_since}}\n",
     "m.yaml:3:46: mapping.customer_history.account_tenure.value: \"2999-01-01\" lies in the "
     "future\n"},

    // Maps
    {"mapping:\n  city: {from: c, map: }\n", "m.yaml:2:24: mapping.city.map: is empty; allowed: a "
                                             "mapping of values to results, such as {1: "
                                             "GOLD}\n"},
    {"mapping:\n  city: {from: c, map: {}}\n", "m.yaml:2:24: mapping.city.map: is empty; allowed: "
                                               "a mapping of values to results, such as {1: "
                                               "GOLD}\n"},
    {"mapping:\n  city: {from: c, map: [a]}\n",
     "m.yaml:2:24: mapping.city.map: is a list; allowed: a mapping of values to results, such as "
     "{1: GOLD}\n"},
    {"mapping:\n  city: {from: c, map: x}\n",
     "m.yaml:2:24: mapping.city.map: is a single value; allowed: a mapping of values to results, "
     "such as {1: GOLD}\n"},
    {"mapping:\n  city: {from: c, map: {1: a, '1': b}}\n",
     "m.yaml:2:31: mapping.city.map.1: duplicate key; the first is in line 2\n"},
    {"mapping:\n  city: {from: c, map: {' a': b}}\n",
     "m.yaml:2:25: mapping.city.map. a: the key can never match; values are compared without white "
     "space at the ends\n"},
    {"mapping:\n  city: {from: c, required: true, map: {null: b}}\n",
     "m.yaml:2:41: mapping.city.map.null: the key can never match, as required refuses NULL\n"},
    {"mapping:\n  city: {from: c, map: {a: {b: c}}}\n",
     "m.yaml:2:28: mapping.city.map.a: is a mapping; allowed: a single value\n"},

    // Amounts
    {"mapping:\n  customer_history: {ltv_amount: ltv, ltv_currency: cur}\n",
     "m.yaml:2:34: mapping.customer_history.ltv_amount: type minor_units needs the option "
     "currency, the column with the currency\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, currency: cur}}\n",
     "m.yaml:2:34: mapping.customer_history.ltv_amount: needs ltv_currency beside it, from the "
     "same column \"cur\"\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, currency: cur}, ltv_currency: curr}\n",
     "m.yaml:2:76: mapping.customer_history.ltv_currency: must come from the column \"cur\", as "
     "the "
     "currency of ltv_amount does\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, currency: cur}, ltv_currency: {value: "
     "USD}}\n",
     "m.yaml:2:76: mapping.customer_history.ltv_currency: must come from the column \"cur\", as "
     "the "
     "currency of ltv_amount does\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, currency: cur}, ltv_currency: {from: "
     "cur, map: {1: USD}}}\n",
     "m.yaml:2:76: mapping.customer_history.ltv_currency: must be sent as it is in the column "
     "\"cur\", by which ltv_amount is counted: without map and max_length\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, currency: cur}, ltv_currency: {from: "
     "cur, max_length: 3}}\n",
     "m.yaml:2:76: mapping.customer_history.ltv_currency: must be sent as it is in the column "
     "\"cur\", by which ltv_amount is counted: without map and max_length\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, currency: cur}, ltv_currency: [a]}\n",
     "m.yaml:2:76: mapping.customer_history.ltv_currency: is a list; allowed: a column, or a "
     "mapping with from or value\n"},
    {"mapping:\n  email: e\n  customer_history: {ltv_amount: {value: 5}}\n",
     "m.yaml:3:42: mapping.customer_history.ltv_amount.value: type minor_units takes no constant, "
     "as the currency is not known; use `as: integer` with the minor units\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, as: integer, currency: cur}}\n",
     "m.yaml:2:69: mapping.customer_history.ltv_amount.currency: goes with type minor_units only, "
     "not with integer\n"},
    {"mapping:\n  customer_history: {ltv_amount: {from: ltv, currency: cur, default: 0.50}, "
     "ltv_currency: cur}\n",
     "m.yaml:2:70: mapping.customer_history.ltv_amount.default: \"0.50\" has more decimals than "
     "its currency\n"},
    {"mapping:\n  metadata: {refunds: {from: r, as: minor_units}}\n",
     "m.yaml:2:23: mapping.metadata.refunds: type minor_units needs the option currency, the "
     "column with the currency\n"},

    // All at once
    {"on_invalid: x\nmapping:\n  emial: e\n  phone: {from: p, as: fone}\n  metadata:\n    x: "
     "{from: "
     "y, requird: true}\n",
     "m.yaml:1:13: on_invalid: is \"x\"; allowed: fail, omit\n"
     "m.yaml:3:3: mapping.emial: unknown target \"emial\"; did you mean \"email\"?\n"
     "m.yaml:4:24: mapping.phone.as: unknown type \"fone\"; did you mean \"phone\"?\n"
     "m.yaml:6:18: mapping.metadata.x: unknown option \"requird\"; did you mean \"required\"?\n"},
};

START_TEST(says_what_is_wrong_and_where)
{
    int failures = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct buf lines;
        struct mapping *mapping = load(wrong[i].yaml, &lines);
        // Duplicate keys are the tree's finding: the mapping loads without them.
        bool tree_only = strstr(wrong[i].problems, "duplicate") != NULL;
        if ((mapping != NULL && !tree_only) ||
            !str_equal(buf_peek(&lines), str_of(wrong[i].problems))) {
            failures++;
            printf("%s    wanted: %s    got:    %s\n", wrong[i].yaml, wrong[i].problems,
                   lines.data == NULL ? "nothing\n" : lines.data);
        }
        mapping_destroy(mapping);
        buf_free(&lines);
    }
    ck_assert_int_eq(failures, 0);
}
END_TEST

// A place in the mapping where a name stands.
struct form {
    const char *before;
    const char *behind;
    size_t longest; // libyaml takes no key of more than 1,024 bytes without the '?'
};

static void check_endless_name(const struct form *form, const char *name, size_t len)
{
    struct buf yaml;
    struct buf lines;
    if (len > form->longest) {
        return;
    }
    buf_init(&yaml, LINES_CAP);
    ck_assert(buf_printf(&yaml, "%s%s%s", form->before, name, form->behind));
    ck_assert(load(yaml.data, &lines) == NULL);
    ck_assert_msg(strstr(lines.data, "bytes; at most 128 are allowed") != NULL, "%s", lines.data);
    buf_free(&lines);
    buf_free(&yaml);
}

// Names too long for the path in messages must not be taken for what is left of it.
START_TEST(refuses_endless_names)
{
    static const struct form forms[] = {
        {"mapping:\n  ", ": {email: e}\n", 1000},
        {"mapping:\n  customer_history: {", ": {city: c}}\n", 1000},
        {"mapping:\n  ? ", "\n  : {email: {email: e}}\n", 10000},
        {"mapping:\n  metadata:\n    ? ", "\n    : c\n", 10000},
        {"mapping:\n  city: ", "\n", 10000},
        {"mapping:\n  city: {from: ", "}\n", 10000},
        {"mapping:\n  customer_history: {ltv_amount: {from: a, currency: ", "}, ltv_currency: c}\n",
         10000},
    };
    char name[10001] = "";
    memset(name, 'x', 128);
    for (size_t len = 129; len <= 10000; len++) {
        name[len - 1] = 'x';
        bool probe = len < 140 || (len > 1990 && len < 2060) || len == 10000;
        for (size_t i = 0; probe && i < sizeof forms / sizeof forms[0]; i++) {
            check_endless_name(&forms[i], name, len);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mapping_load");
    TCase *tests = tcase_create("mapping_load");
    tcase_add_test(tests, loads_the_example_of_the_design);
    tcase_add_test(tests, every_target_loads_in_the_short_form);
    tcase_add_test(tests, every_option_loads);
    tcase_add_test(tests, constants_keep_their_kind);
    tcase_add_test(tests, every_option_has_its_help);
    tcase_add_test(tests, says_what_is_wrong_and_where);
    tcase_add_test(tests, refuses_endless_names);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
