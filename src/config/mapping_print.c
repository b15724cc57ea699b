#include "config/mapping_print.h"

#include "config/mapping_option.h"
#include "config/value.h"

#include <assert.h>

enum { PRINT_NAME_CAP = 1024 };

// "  name: ", from the name as it stands in the body ("\"name\":").
static bool print_member(struct str member, size_t depth, struct buf *out)
{
    struct buf name;
    buf_init(&name, PRINT_NAME_CAP);
    struct jsontext string = jsontext_of((struct str){member.ptr, member.len - 1});
    bool ok = jsontext_decode(string, &name);
    assert(ok); // names are short, and were encoded by us
    ok = buf_printf(out, "%*s", 2 * (int)depth, "") && value_print_name(buf_peek(&name), out) &&
         buf_append_char(out, ':');
    buf_free(&name);
    return ok;
}

static bool print_option(const struct option *option, const struct mapping_leaf *leaf, bool *any,
                         struct buf *out)
{
    size_t before = out->len;
    bool ok = buf_printf(out, "%s%s: ", *any ? ", " : "", option->name);
    size_t begin = out->len;
    ok = ok && option->print(leaf, out);
    if (ok && out->len == begin) {
        buf_truncate(out, before); // not given
    } else {
        *any = true;
    }
    return ok;
}

static bool print_leaf(const struct mapping_leaf *leaf, struct buf *out)
{
    bool any = false;
    bool ok = buf_append_str(out, STR(" {"));
    for (size_t i = 0; ok && i < option_count(); i++) {
        ok = print_option(option_at(i), leaf, &any, out);
    }
    return ok && buf_append_str(out, STR("}\n"));
}

bool mapping_print(const struct mapping *mapping, struct buf *out)
{
    const struct mapping_step *steps = mapping_steps(mapping);
    size_t depth = 1;
    bool ok = true;
    for (size_t i = 0; ok && i < mapping_step_count(mapping); i++) {
        switch (steps[i].kind) {
        case MAPPING_STEP_KIND_OPEN:
            ok = print_member(steps[i].member, depth++, out) && buf_append_char(out, '\n');
            break;
        case MAPPING_STEP_KIND_LEAF:
            ok = print_member(steps[i].member, depth, out) &&
                 print_leaf(mapping_leaf_at(mapping, steps[i].leaf), out);
            break;
        case MAPPING_STEP_KIND_CLOSE:
            depth--;
            break;
        }
    }
    return ok;
}
