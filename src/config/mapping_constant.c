#include "config/mapping_constant.h"

#include "config/value.h"

// What a scalar is in JSON: as in YAML 1.2, unquoted `true`, `false` and JSON's numbers are no
// texts. 007 and 1.2.3 are: a postal code keeps its zeros.
static enum jsontext_kind scalar_kind(const struct yaml_node *node)
{
    if (node->quoted) {
        return JSONTEXT_KIND_STRING;
    }
    if (!jsontext_check(node->text, 1, NULL)) {
        return JSONTEXT_KIND_STRING;
    }
    enum jsontext_kind kind = jsontext_of(node->text).kind;
    return kind == JSONTEXT_KIND_BOOLEAN || kind == JSONTEXT_KIND_NUMBER ? kind
                                                                         : JSONTEXT_KIND_STRING;
}

// The constant as the mapping keeps it. Kind ABSENT after reporting.
static struct jsontext constant_text(struct loader *loader, const struct yaml_node *node)
{
    struct jsontext constant = {.kind = JSONTEXT_KIND_ABSENT};
    if (!loader_is_scalar(loader, node, "a single value")) {
        return constant;
    }
    if (value_has_variable(node->text)) {
        loader_report(loader, node->place, "holds a ${...}; the mapping takes no variables");
        return constant;
    }
    buf_reset(&loader->json);
    constant.kind = scalar_kind(node);
    bool fits = constant.kind == JSONTEXT_KIND_STRING ? jsontext_encode(node->text, &loader->json)
                                                      : buf_append_str(&loader->json, node->text);
    if (!fits) {
        loader_report(loader, node->place, "is too long");
        return (struct jsontext){.kind = JSONTEXT_KIND_ABSENT};
    }
    constant.text = mapping_keep(loader->mapping, buf_peek(&loader->json));
    return constant;
}

// Runs the type over a constant, so that a wrong one stops the start and not every row.
static bool constant_passes(struct loader *loader, const struct yaml_node *node,
                            const struct mapping_leaf *leaf, struct jsontext constant)
{
    struct fieldtype_input input = {
        .value = constant,
        .options = &leaf->options,
        // The row's currency is not known here. What yen take, which have no decimals, all take.
        .currency = STR("JPY"),
        .wall_ns = loader->wall_ns,
        .scratch = &loader->scratch,
    };
    buf_reset(&loader->converted);
    const char *reason = leaf->type->convert(&input, &loader->converted);
    if (reason != NULL) {
        loader_report(loader, node->place, "\"%.*s\" %s", STR_ARG(problems_excerpt(node->text)),
                      reason);
    }
    return reason == NULL;
}

struct jsontext constant_read(struct loader *loader, const struct yaml_node *node,
                              const struct mapping_leaf *leaf)
{
    struct jsontext constant = constant_text(loader, node);
    if (constant.kind != JSONTEXT_KIND_ABSENT && !constant_passes(loader, node, leaf, constant)) {
        constant.kind = JSONTEXT_KIND_ABSENT;
    }
    return constant;
}

bool constant_print(struct jsontext constant, struct buf *out)
{
    if (constant.kind != JSONTEXT_KIND_STRING) {
        return buf_append_str(out, constant.text); // ABSENT has none
    }
    struct buf text;
    buf_init(&text, constant.text.len);
    // In quotes, whatever it looks like: '1' is a text, 1 a number.
    bool ok = jsontext_decode(constant, &text) && value_print_quoted(buf_peek(&text), out);
    buf_free(&text);
    return ok;
}
