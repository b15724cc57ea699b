#include "config/mapping_load.h"

#include "config/mapping_loader.h"
#include "config/mapping_option.h"
#include "domain/target.h"

#include <assert.h>

enum { OBJECT_BYTES = 64 }; // of the longest path of an object

// ---- leaves ----

// Needs the leaf to be read without a problem.
static void check_currency_given(struct loader *loader, const struct yaml_node *node,
                                 const struct mapping_leaf *leaf)
{
    if (leaf->type->id == FIELDTYPE_ID_MINOR_UNITS && leaf->currency.text.len == 0) {
        loader_report(loader, node->place,
                      "type minor_units needs the option currency, the column with the currency");
    }
}

static void read_leaf(struct loader *loader, const struct yaml_node *node,
                      const struct target *target, struct mapping_leaf *leaf)
{
    size_t before = loader_faults(loader);
    if (node->kind == YAML_KIND_MAPPING) {
        option_read_all(loader, node, target, leaf);
    } else if (loader_is_scalar(loader, node, "a column, or a mapping with from or value")) {
        option_read_path(loader, node, &leaf->from);
    }
    if (loader_faults(loader) == before) {
        check_currency_given(loader, node, leaf);
    }
}

static void load_leaf(struct loader *loader, const struct yaml_pair *pair,
                      const struct target *target)
{
    size_t before = loader_faults(loader);
    struct mapping_leaf leaf = {.type = fieldtype_get(target->type),
                                .omit_invalid = loader->omit_invalid};
    read_leaf(loader, pair->value, target, &leaf);
    if (loader_faults(loader) > before) {
        return;
    }
    struct err err;
    leaf.target = mapping_keep(loader->mapping, loader_target(loader)).ptr;
    if (!mapping_add(loader->mapping, pair->key, &leaf, &err)) {
        loader_report(loader, pair->value->place, "%s", err.text);
    }
}

// ---- the tree ----

// The target elsewhere in the tree that has this name: "country" stands below
// "customer_history.address" only.
static const char *target_elsewhere(struct str name)
{
    for (size_t i = 0; i < target_count(); i++) {
        const char *path = target_at(i)->path;
        const char *dot = strrchr(path, '.');
        if (dot != NULL && str_equal(name, str_of(dot + 1))) {
            return path;
        }
    }
    return NULL;
}

static void report_target(struct loader *loader, const struct yaml_pair *pair, struct str object)
{
    const char *elsewhere = target_elsewhere(pair->key);
    const char *names[LOADER_NAMES_MAX];
    if (memchr(pair->key.ptr, '.', pair->key.len) != NULL) {
        loader_report(loader, pair->key_place,
                      "unknown target; a field of an object is written below it, indented");
    } else if (elsewhere != NULL) {
        loader_report(loader, pair->key_place, "unknown target here; did you mean \"%s\"?",
                      elsewhere);
    } else {
        size_t count = target_members(object, names, LOADER_NAMES_MAX);
        loader_report_unknown(loader, pair->key_place, "target", pair->key, names,
                              count < LOADER_NAMES_MAX ? count : LOADER_NAMES_MAX);
    }
}

static void load_object(struct loader *loader, const struct yaml_node *node);

static void load_child(struct loader *loader, const struct yaml_pair *pair)
{
    mapping_open(loader->mapping, pair->key);
    load_object(loader, pair->value);
    mapping_close(loader->mapping);
}

// `metadata: {from: x, as: json}` would quietly make fields called "from" and "as".
static void load_metadata(struct loader *loader, const struct yaml_pair *pair)
{
    bool word = str_equal(pair->key, STR("from")) || str_equal(pair->key, STR("value"));
    if (word && pair->value->kind == YAML_KIND_SCALAR) {
        loader_report(
            loader, pair->key_place,
            "metadata is an object, not a field; a member with this name needs the long form "
            "{from: COLUMN}");
        return;
    }
    load_leaf(loader, pair, target_find(loader_target(loader)));
}

static void load_known(struct loader *loader, const struct yaml_pair *pair, struct str object)
{
    struct str path = loader_target(loader);
    // A key with a dot is no name, even where together with its object it looks like a path.
    bool name = memchr(pair->key.ptr, '.', pair->key.len) == NULL;
    const struct target *target = name ? target_find(path) : NULL;
    if (name && target_is_object(path)) {
        load_child(loader, pair);
    } else if (target != NULL) {
        load_leaf(loader, pair, target);
    } else {
        report_target(loader, pair, object);
    }
}

static void load_pair(struct loader *loader, const struct yaml_pair *pair, struct str object)
{
    size_t before = loader_push(loader, pair->key);
    // Before anything is looked up: the path of an empty or an endless name is not its own.
    if (loader_is_name(loader, pair->key_place, pair->key)) {
        if (str_equal(object, STR("metadata"))) {
            load_metadata(loader, pair);
        } else {
            load_known(loader, pair, object);
        }
    }
    loader_pop(loader, before);
}

// Calls itself for the three objects of the contract only, whatever the file holds.
static void load_object(struct loader *loader, const struct yaml_node *node)
{
    if (!loader_is_full(loader, node, "a mapping of targets")) {
        return;
    }
    char object[OBJECT_BYTES];
    struct str path = loader_target(loader);
    assert(path.len < sizeof object); // the path of a known object
    memcpy(object, path.ptr, path.len);
    for (size_t i = 0; i < node->count; i++) {
        // The buffer behind the path may move: the object's own is a copy.
        load_pair(loader, &node->pairs[i], (struct str){object, path.len});
    }
}

// ---- what concerns several leaves ----

static void check_currency(struct loader *loader, const struct yaml_node *node,
                           const struct mapping_leaf *currency, struct str column)
{
    if (!str_equal(currency->from.text, column)) {
        loader_report(loader, node->place,
                      "must come from the column \"%.*s\", as the currency of ltv_amount does",
                      STR_ARG(column));
    } else if (currency->choice_count > 0 || currency->options.max_length > 0) {
        loader_report(
            loader, node->place,
            "must be sent as it is in the column \"%.*s\", by which ltv_amount is counted: "
            "without map and max_length",
            STR_ARG(column));
    }
}

// An amount means nothing without its currency, and sent with another it would be wrong by a
// factor: both must come from the same column, unchanged.
static void check_amount(struct loader *loader, const struct yaml_node *history)
{
    const struct yaml_node *node = yaml_get(history, STR("ltv_currency"));
    const struct mapping_leaf *amount =
        mapping_leaf_find(loader->mapping, STR("customer_history.ltv_amount"));
    const struct mapping_leaf *currency =
        mapping_leaf_find(loader->mapping, STR("customer_history.ltv_currency"));
    if (amount == NULL || amount->currency.text.len == 0) {
        return;
    }
    if (node == NULL) {
        size_t before = loader_push(loader, STR("ltv_amount"));
        loader_report(loader, yaml_get(history, STR("ltv_amount"))->place,
                      "needs ltv_currency beside it, from the same column \"%s\"",
                      amount->currency.text.ptr);
        loader_pop(loader, before);
    } else if (currency != NULL) { // else it is broken, and was reported
        size_t before = loader_push(loader, STR("ltv_currency"));
        check_currency(loader, node, currency, amount->currency.text);
        loader_pop(loader, before);
    }
}

static void check_columns(struct loader *loader, const struct yaml_node *node)
{
    for (size_t i = 0; i < mapping_leaf_count(loader->mapping); i++) {
        if (mapping_leaf_at(loader->mapping, i)->constant.kind == JSONTEXT_KIND_ABSENT) {
            return;
        }
    }
    loader_report(loader, node->place, "maps no column; with constants alone nothing is ever sent");
}

static void load_all(struct loader *loader, const struct yaml_node *node)
{
    size_t before = loader_faults(loader);
    load_object(loader, node);
    size_t root = loader_push(loader, STR("customer_history"));
    check_amount(loader, yaml_get(node, STR("customer_history")));
    loader_pop(loader, root);
    if (loader_faults(loader) == before) {
        check_columns(loader, node);
    }
}

static void read_global(struct loader *loader, const struct yaml_node *on_invalid_node)
{
    if (on_invalid_node == NULL) {
        return;
    }
    struct buf path = loader->path;
    buf_init(&loader->path, LOADER_PATH_CAP);
    bool fits = buf_append_str(&loader->path, STR("on_invalid"));
    assert(fits);
    (void)fits;
    loader->omit_invalid = option_read_omit(loader, on_invalid_node);
    buf_free(&loader->path);
    loader->path = path;
}

struct mapping *mapping_load(const struct yaml_node *mapping_node,
                             const struct yaml_node *on_invalid_node, struct problems *problems)
{
    struct loader loader;
    loader_init(&loader, problems);
    size_t before = loader_faults(&loader);
    read_global(&loader, on_invalid_node);
    load_all(&loader, mapping_node);

    struct mapping *mapping = NULL;
    if (loader_faults(&loader) == before) {
        mapping = loader.mapping;
        loader.mapping = NULL;
    }
    loader_free(&loader);
    return mapping;
}
