#include "domain/plan.h"

#include "base/buf.h"
#include "base/mem.h"
#include "domain/jsontext.h"

#include <stdlib.h>
#include <string.h>

enum { PLAN_DEPTH_MAX = 64, PLAN_TEXT_MAX = 65536 };

// ---- conditions: SQL as Postgres prints it -------------------------------------------------

// Behind the token that begins at `at`: a quoted name or string, or one character.
static size_t token_end(struct str sql, size_t at)
{
    char quote = sql.ptr[at];
    if (quote != '"' && quote != '\'') {
        return at + 1;
    }
    size_t end = at + 1;
    // A doubled quote begins a token of its own, which is as good.
    while (end < sql.len && sql.ptr[end] != quote) {
        end++;
    }
    return end < sql.len ? end + 1 : end;
}

// Where `mark` stands outside of quotes and parentheses; sql.len when it does not.
static size_t find_outside(struct str sql, struct str mark)
{
    size_t depth = 0;
    for (size_t at = 0; at < sql.len; at = token_end(sql, at)) {
        struct str rest = {sql.ptr + at, sql.len - at};
        if (depth == 0 && str_starts(rest, mark)) {
            return at;
        }
        depth += sql.ptr[at] == '(' ? 1 : 0;
        depth -= sql.ptr[at] == ')' && depth > 0 ? 1 : 0;
    }
    return sql.len;
}

// Without the parentheses around the whole.
static struct str strip_parens(struct str sql)
{
    while (sql.len > 2 && sql.ptr[0] == '(' && sql.ptr[sql.len - 1] == ')') {
        // "(a) = (b)": the first closes before the end.
        size_t depth = 0;
        size_t at = 0;
        do {
            depth += sql.ptr[at] == '(' ? 1 : 0;
            depth -= sql.ptr[at] == ')' ? 1 : 0;
            at = token_end(sql, at);
        } while (at < sql.len && depth > 0);
        if (at < sql.len) {
            break;
        }
        sql = (struct str){sql.ptr + 1, sql.len - 2};
    }
    return sql;
}

static bool is_name_char(char c)
{
    char lower = str_lower_char(c);
    return (lower >= 'a' && lower <= 'z') || str_is_digit(c) || c == '_' || c == '$' || c == '"';
}

// Appends `side` without the prefix `alias.` of its columns. False when it has none of them.
static bool strip_alias(struct str side, struct str prefix, struct buf *out)
{
    bool found = false;
    bool ok = true;
    for (size_t at = 0; at < side.len && ok;) {
        struct str rest = {side.ptr + at, side.len - at};
        bool begins = at == 0 || !is_name_char(side.ptr[at - 1]);
        if (begins && str_starts(rest, prefix)) {
            found = true;
            at += prefix.len;
            continue;
        }
        size_t end = token_end(side, at);
        ok = buf_append(out, side.ptr + at, end - at);
        at = end;
    }
    return found && ok;
}

// Does it name a column of any table? "t.column" outside of quotes; 1.5 is none.
static bool names_column(struct str sql)
{
    for (size_t at = 0; at < sql.len; at = token_end(sql, at)) {
        bool dot = sql.ptr[at] == '.' && at > 0 && at + 1 < sql.len;
        if (dot && is_name_char(sql.ptr[at - 1]) && is_name_char(sql.ptr[at + 1]) &&
            !str_is_digit(sql.ptr[at + 1])) {
            return true;
        }
    }
    return false;
}

// The side of an equality that belongs to the table, if the other one belongs to another: this is
// what is looked up. Being equal to a constant only leaves rows out. The caller frees it.
static char *equality_key(struct str sql, struct str prefix)
{
    static const struct str sign = {" = ", 3};
    size_t middle = find_outside(sql, sign);
    if (middle == sql.len) {
        return NULL;
    }
    struct str sides[2] = {{sql.ptr, middle},
                           {sql.ptr + middle + sign.len, sql.len - middle - sign.len}};
    struct buf keys[2];
    bool ours[2];
    for (int i = 0; i < 2; i++) {
        buf_init(&keys[i], PLAN_TEXT_MAX);
        ours[i] = strip_alias(sides[i], prefix, &keys[i]);
    }
    int side = ours[0] ? 0 : 1;
    bool found = ours[0] != ours[1] && names_column(sides[1 - side]);
    char *key = found ? buf_take(&keys[side]) : NULL;
    buf_free(&keys[0]);
    buf_free(&keys[1]);
    return key;
}

// The first equality of a condition whose one side belongs to the table.
static char *condition_key(struct str condition, struct str prefix)
{
    struct str rest = strip_parens(condition);
    char *key = NULL;
    while (key == NULL && rest.len > 0) {
        size_t end = find_outside(rest, STR(" AND "));
        key = equality_key(strip_parens((struct str){rest.ptr, end}), prefix);
        size_t next = end == rest.len ? end : end + sizeof " AND " - 1;
        rest = (struct str){rest.ptr + next, rest.len - next};
    }
    return key;
}

// ---- nodes ---------------------------------------------------------------------------------

// A node and those above it.
struct path {
    struct jsontext nodes[PLAN_DEPTH_MAX];
    size_t depth;
    struct plan_scans *scans;
};

// The text of a member; NULL when there is none. The caller frees it.
static char *member_text(struct jsontext node, struct str name)
{
    struct jsontext value = jsontext_member(node, name);
    struct buf text;
    buf_init(&text, PLAN_TEXT_MAX);
    if (value.kind != JSONTEXT_KIND_STRING || !jsontext_decode(value, &text)) {
        buf_free(&text);
        return NULL;
    }
    return text.len == 0 ? mem_strdup("") : buf_take(&text);
}

static char *node_key(struct jsontext node, struct str prefix)
{
    static const char *const names[] = {"Filter", "Hash Cond", "Merge Cond", "Join Filter"};
    char *key = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && key == NULL; i++) {
        char *condition = member_text(node, str_of(names[i]));
        key = condition == NULL ? NULL : condition_key(str_of(condition), prefix);
        free(condition);
    }
    return key;
}

// What the table is looked up by: its own condition, or that of the nearest join. Names that need
// quotes have them in conditions, but not in the member "Alias".
static char *scan_key(const struct path *path)
{
    char *alias = member_text(path->nodes[path->depth - 1], STR("Alias"));
    char *key = NULL;
    for (int quoted = 0; alias != NULL && key == NULL && quoted < 2; quoted++) {
        const char *quote = quoted == 0 ? "" : "\"";
        struct buf prefix;
        buf_init(&prefix, PLAN_TEXT_MAX);
        bool ok = buf_printf(&prefix, "%s%s%s.", quote, alias, quote);
        for (size_t up = path->depth; ok && up > 0 && key == NULL; up--) {
            key = node_key(path->nodes[up - 1], buf_peek(&prefix));
        }
        buf_free(&prefix);
    }
    free(alias);
    return key;
}

static bool is_known(const struct plan_scans *scans, const char *schema, const char *relation)
{
    for (size_t i = 0; i < scans->count; i++) {
        if (strcmp(scans->list[i].schema, schema) == 0 &&
            strcmp(scans->list[i].relation, relation) == 0) {
            return true;
        }
    }
    return false;
}

static void add_scan(const struct path *path)
{
    struct jsontext node = path->nodes[path->depth - 1];
    struct plan_scans *scans = path->scans;
    char *schema = member_text(node, STR("Schema"));
    char *relation = member_text(node, STR("Relation Name"));
    if (schema == NULL || relation == NULL || scans->count == PLAN_SCANS_MAX ||
        is_known(scans, schema, relation)) {
        free(schema);
        free(relation);
        return;
    }
    scans->list[scans->count++] =
        (struct plan_scan){.schema = schema, .relation = relation, .key = scan_key(path)};
}

// How a table is read, and the condition that makes it less than all of it. Walking along an index
// without one reads as much as going over the table.
static bool is_scan(struct jsontext node)
{
    static const struct {
        const char *type;
        const char *condition;
    } ways[] = {
        {"\"Seq Scan\"", ""},
        {"\"Index Scan\"", "Index Cond"},
        {"\"Index Only Scan\"", "Index Cond"},
        {"\"Bitmap Heap Scan\"", "Recheck Cond"},
    };
    struct str type = jsontext_member(node, STR("Node Type")).text;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        if (str_equal(type, str_of(ways[i].type))) {
            struct jsontext condition = jsontext_member(node, str_of(ways[i].condition));
            return condition.kind == JSONTEXT_KIND_ABSENT;
        }
    }
    return false;
}

static void walk_node(struct path *path, struct jsontext node)
{
    if (path->depth == PLAN_DEPTH_MAX) {
        return;
    }
    path->nodes[path->depth++] = node;
    if (is_scan(node)) {
        add_scan(path);
    }
    struct jsontext plans = jsontext_member(node, STR("Plans"));
    if (plans.kind == JSONTEXT_KIND_ARRAY) {
        struct jsontext_walk walk = jsontext_walk_begin(plans);
        while (jsontext_walk_next(&walk)) {
            walk_node(path, walk.value);
        }
    }
    path->depth--;
}

// ---- the whole plan ------------------------------------------------------------------------

// [{"Plan": {...}}]
static struct jsontext top_node(struct str json)
{
    struct jsontext list = jsontext_of(str_trim(json));
    if (list.kind != JSONTEXT_KIND_ARRAY) {
        return (struct jsontext){.kind = JSONTEXT_KIND_ABSENT};
    }
    struct jsontext_walk walk = jsontext_walk_begin(list);
    if (!jsontext_walk_next(&walk) || walk.value.kind != JSONTEXT_KIND_OBJECT) {
        return (struct jsontext){.kind = JSONTEXT_KIND_ABSENT};
    }
    return jsontext_member(walk.value, STR("Plan"));
}

int64_t plan_rows(struct str json)
{
    struct jsontext node = top_node(json);
    int64_t rows = -1;
    if (node.kind == JSONTEXT_KIND_OBJECT &&
        !str_to_int64(jsontext_member(node, STR("Plan Rows")).text, &rows)) {
        rows = -1;
    }
    return rows;
}

void plan_scans_find(struct plan_scans *scans, struct str json)
{
    *scans = (struct plan_scans){.count = 0};
    struct path path = {.scans = scans};
    struct jsontext node = top_node(json);
    if (node.kind == JSONTEXT_KIND_OBJECT) {
        walk_node(&path, node);
    }
}

void plan_scans_free(struct plan_scans *scans)
{
    for (size_t i = 0; i < scans->count; i++) {
        free(scans->list[i].schema);
        free(scans->list[i].relation);
        free(scans->list[i].key);
    }
    scans->count = 0;
}
