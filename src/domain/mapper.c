#include "domain/mapper.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

enum {
    MAPPER_TEXT_CAP = 16 << 20, // one value, while it is read
    MAPPER_REASONS_CAP = 1 << 20,
    MAPPER_REASONS_BYTES = 1000,
    MAPPER_MEMBERS = 16,
};

// The members of the object that a path led into last. Paths mostly go into one and the same, an
// address say, which would be walked through anew for each of them.
struct members {
    const char *object; // NULL: none is known
    size_t count;       // MAPPER_MEMBERS: too many to remember
    struct str keys[MAPPER_MEMBERS];
    struct jsontext values[MAPPER_MEMBERS];
};

// What became of one leaf. All zero: it was not reached.
struct outcome {
    const char *reason;
    const char *left_out;
    size_t body_at; // where its JSON stands in the body
    size_t body_len;
};

struct mapper {
    struct buf value;    // the JSON of the present leaf
    struct buf text;     // its decoded column, for `map`
    struct buf currency; // its decoded currency column
    struct buf scratch;  // the types'
    struct buf reasons;
    struct members members;
    struct outcome *outcomes; // by leaf
    size_t outcome_room;
};

// An object of the body that is being written.
struct frame {
    size_t body_start; // what the body is cut back to when the object stays empty
    size_t first_leaf;
    size_t members;
    bool live; // has a member that is no constant
};

// One call of mapper_map().
struct run {
    struct mapper *mapper;
    const struct row *row;
    int64_t wall_ns;
    struct buf *body;
    struct frame frames[MAPPING_DEPTH_MAX];
    size_t depth; // index of the innermost frame
    size_t leaf;  // how many leaves are done
    bool invalid;
    bool full;
};

struct mapper *mapper_create(void)
{
    struct mapper *mapper = mem_calloc(1, sizeof *mapper);
    buf_init(&mapper->value, 0); // the cap is that of the body
    buf_init(&mapper->text, MAPPER_TEXT_CAP);
    buf_init(&mapper->currency, MAPPER_TEXT_CAP);
    buf_init(&mapper->scratch, MAPPER_TEXT_CAP);
    buf_init(&mapper->reasons, MAPPER_REASONS_CAP);
    return mapper;
}

void mapper_destroy(struct mapper *mapper)
{
    if (mapper == NULL) {
        return;
    }
    free(mapper->outcomes);
    buf_free(&mapper->reasons);
    buf_free(&mapper->scratch);
    buf_free(&mapper->currency);
    buf_free(&mapper->text);
    buf_free(&mapper->value);
    free(mapper);
}

struct str mapper_reasons(const struct mapper *mapper)
{
    return buf_peek(&mapper->reasons);
}

// The content of a string, or the JSON text of anything else, without white space at its ends
// (character(n) columns are padded). False when an escape is wrong.
static bool plain_text(struct jsontext value, struct buf *decoded, struct str *text)
{
    *text = value.text;
    if (value.kind == JSONTEXT_KIND_STRING) {
        buf_reset(decoded);
        if (!jsontext_decode(value, decoded)) {
            return false;
        }
        *text = buf_peek(decoded);
    }
    *text = str_trim(*text);
    return true;
}

static void remember_members(struct members *members, struct jsontext object)
{
    members->object = object.text.ptr;
    members->count = 0;
    struct jsontext_walk walk = jsontext_walk_begin(object);
    while (members->count < MAPPER_MEMBERS && jsontext_walk_next(&walk)) {
        members->keys[members->count] = walk.key;
        members->values[members->count++] = walk.value;
    }
}

// As jsontext_member().
static struct jsontext find_member(struct members *members, struct jsontext object, struct str key)
{
    struct jsontext found = {.kind = JSONTEXT_KIND_ABSENT};
    if (members->object != object.text.ptr) {
        remember_members(members, object);
    }
    if (members->count == MAPPER_MEMBERS) {
        return jsontext_member(object, key);
    }
    for (size_t i = 0; i < members->count; i++) {
        if (jsontext_key_equal(members->keys[i], key)) {
            found = members->values[i]; // of equal ones the last
        }
    }
    return found;
}

// Follows a path into the row. A path through NULL ends in NULL.
static const char *locate(const struct run *run, const struct mapping_path *path,
                          struct jsontext *value)
{
    *value = run->row->values[path->column];
    for (size_t i = 0; i < path->key_count; i++) {
        if (value->kind == JSONTEXT_KIND_ABSENT || value->kind == JSONTEXT_KIND_NULL) {
            return NULL;
        }
        if (value->kind != JSONTEXT_KIND_OBJECT) {
            return "is not an object";
        }
        *value = find_member(&run->mapper->members, *value, path->keys[i]);
    }
    return NULL;
}

// Applies `map`, then `default`. A NULL that the map itself gives stays NULL.
static const char *choose(struct mapper *mapper, const struct mapping_leaf *leaf,
                          struct jsontext *value)
{
    if (leaf->choice_count > 0) {
        struct str text;
        const struct jsontext *choice = NULL;
        if (plain_text(*value, &mapper->text, &text)) {
            choice = mapping_choice_find(leaf, text);
        }
        if (choice != NULL) {
            *value = *choice;
            return NULL;
        }
        if (value->kind != JSONTEXT_KIND_NULL && leaf->fallback.kind == JSONTEXT_KIND_ABSENT) {
            return "is not in the map";
        }
    } else if (value->kind != JSONTEXT_KIND_NULL) {
        return NULL;
    }
    if (leaf->fallback.kind != JSONTEXT_KIND_ABSENT) {
        *value = leaf->fallback;
    }
    return NULL;
}

// The currency of an amount stands in a column of its own. There is no default for it: an amount
// whose currency is not known must not be sent, as the API would take it for USD.
static const char *find_currency(struct run *run, const struct mapping_leaf *leaf,
                                 struct str *currency)
{
    struct jsontext value;
    const char *reason = locate(run, &leaf->currency, &value);
    if (reason != NULL || value.kind == JSONTEXT_KIND_ABSENT) {
        return "has no currency: its currency column is absent";
    }
    if (value.kind == JSONTEXT_KIND_NULL) {
        return "has no currency: its currency column is NULL";
    }
    if (value.kind != JSONTEXT_KIND_STRING ||
        !plain_text(value, &run->mapper->currency, currency)) {
        return "has no currency: its currency column is not a text";
    }
    return NULL;
}

static void fail(struct run *run, struct outcome *outcome, const char *reason)
{
    outcome->reason = reason;
    run->invalid = true;
}

// A value that breaks a rule of its type or of the mapping: `on_invalid` decides.
static void refuse(struct run *run, const struct mapping_leaf *leaf, struct outcome *outcome,
                   const char *reason)
{
    if (leaf->omit_invalid) {
        outcome->left_out = reason;
    } else {
        fail(run, outcome, reason);
    }
}

// `required` is about NULL, not about validity: `on_invalid` has no say in it.
static void settle_null(struct run *run, const struct mapping_leaf *leaf, struct outcome *outcome)
{
    if (leaf->required) {
        fail(run, outcome, "is NULL, but required");
        return;
    }
    switch (leaf->when_null) {
    case MAPPING_NULL_OMIT:
        outcome->left_out = "is NULL";
        break;
    case MAPPING_NULL_SEND:
        run->full = !buf_append_str(&run->mapper->value, STR("null")) || run->full;
        break;
    case MAPPING_NULL_FAIL:
        fail(run, outcome, "is NULL");
        break;
    }
}

static void settle_absent(struct run *run, const struct mapping_leaf *leaf, struct outcome *outcome)
{
    if (leaf->required && run->row->complete) {
        fail(run, outcome, "is missing, but required");
    } else {
        outcome->left_out = "is not in the row";
    }
}

// Leaves the leaf's JSON in `mapper->value`, or says in `outcome` why there is none.
static void convert(struct run *run, const struct mapping_leaf *leaf, struct jsontext value,
                    struct outcome *outcome)
{
    struct fieldtype_input input = {
        .value = value,
        .options = &leaf->options,
        .wall_ns = run->wall_ns,
        .scratch = &run->mapper->scratch,
    };
    const char *reason = NULL;
    if (leaf->currency.text.len > 0) {
        reason = find_currency(run, leaf, &input.currency);
    }
    if (reason == NULL) {
        reason = leaf->type->convert(&input, &run->mapper->value);
    }
    if (reason != NULL) {
        refuse(run, leaf, outcome, reason);
    }
}

static void evaluate(struct run *run, const struct mapping_leaf *leaf, struct outcome *outcome)
{
    if (leaf->constant.kind != JSONTEXT_KIND_ABSENT) {
        convert(run, leaf, leaf->constant, outcome);
        return;
    }
    struct jsontext value;
    const char *reason = locate(run, &leaf->from, &value);
    if (reason == NULL && value.kind == JSONTEXT_KIND_ABSENT) {
        settle_absent(run, leaf, outcome);
        return;
    }
    if (reason == NULL) {
        reason = choose(run->mapper, leaf, &value);
    }
    if (reason != NULL) {
        refuse(run, leaf, outcome, reason);
    } else if (value.kind == JSONTEXT_KIND_NULL) {
        settle_null(run, leaf, outcome);
    } else {
        convert(run, leaf, value, outcome);
    }
}

// Writes a comma where one is due, and the member's name.
static bool write_member(struct run *run, const struct mapping_step *step)
{
    const struct frame *frame = &run->frames[run->depth];
    return (frame->members == 0 || buf_append_char(run->body, ',')) &&
           buf_append_str(run->body, step->member);
}

static void do_leaf(struct run *run, const struct mapping_step *step)
{
    const struct mapping_leaf *leaf = mapping_leaf_at(run->row->mapping, step->leaf);
    struct outcome *outcome = &run->mapper->outcomes[step->leaf];
    struct frame *frame = &run->frames[run->depth];
    const struct buf *value = &run->mapper->value;

    *outcome = (struct outcome){.reason = NULL};
    buf_reset(&run->mapper->value);
    evaluate(run, leaf, outcome);
    run->leaf = step->leaf + 1;
    if (outcome->reason != NULL || outcome->left_out != NULL) {
        return;
    }
    size_t before = run->body->len;
    if (!write_member(run, step) || !buf_append(run->body, value->data, value->len)) {
        buf_truncate(run->body, before);
        run->full = true;
        return;
    }
    outcome->body_at = run->body->len - value->len;
    outcome->body_len = value->len;
    frame->members++;
    frame->live = frame->live || leaf->constant.kind == JSONTEXT_KIND_ABSENT;
}

static void do_open(struct run *run, const struct mapping_step *step)
{
    size_t before = run->body->len;
    bool fits = write_member(run, step) && buf_append_char(run->body, '{');
    run->full = run->full || !fits;
    assert(run->depth + 1 < MAPPING_DEPTH_MAX); // mapping_open() has seen to it
    run->depth++;
    run->frames[run->depth] = (struct frame){.body_start = before, .first_leaf = run->leaf};
}

// Ends the innermost object. One in which nothing but constants stands says nothing about the
// customer, so it is taken back.
static void close_frame(struct run *run)
{
    const struct frame *frame = &run->frames[run->depth];
    if (frame->live) {
        run->full = !buf_append_char(run->body, '}') || run->full;
        return;
    }
    buf_truncate(run->body, frame->body_start);
    for (size_t i = frame->first_leaf; i < run->leaf; i++) {
        struct outcome *outcome = &run->mapper->outcomes[i];
        if (outcome->body_len > 0) {
            *outcome = (struct outcome){.left_out = "is a constant with no other field beside it"};
        }
    }
}

static void do_close(struct run *run)
{
    close_frame(run);
    bool live = run->frames[run->depth].live;
    run->depth--;
    if (live) {
        run->frames[run->depth].members++;
        run->frames[run->depth].live = true;
    }
}

static void do_steps(struct run *run)
{
    const struct mapping_step *steps = mapping_steps(run->row->mapping);
    size_t count = mapping_step_count(run->row->mapping);
    run->full = !buf_append_char(run->body, '{');
    for (size_t i = 0; i < count; i++) {
        switch (steps[i].kind) {
        case MAPPING_STEP_KIND_OPEN:
            do_open(run, &steps[i]);
            break;
        case MAPPING_STEP_KIND_LEAF:
            do_leaf(run, &steps[i]);
            break;
        case MAPPING_STEP_KIND_CLOSE:
            do_close(run);
            break;
        }
    }
    close_frame(run);
}

static bool append_reason(struct buf *reasons, const struct mapping_leaf *leaf, const char *reason)
{
    return (reasons->len == 0 || buf_append_str(reasons, STR("; "))) &&
           (leaf->from.text.len == 0 ? buf_printf(reasons, "%s: %s", leaf->target, reason)
                                     : buf_printf(reasons, "%s: column %s: %s", leaf->target,
                                                  leaf->from.text.ptr, reason));
}

// Cuts to the promised length, at the start of a character.
static void cut_reasons(struct buf *reasons)
{
    const struct str dots = STR("...");
    if (reasons->len <= MAPPER_REASONS_BYTES) {
        return;
    }
    size_t len = MAPPER_REASONS_BYTES - dots.len;
    while (len > 0 && ((unsigned char)reasons->data[len] & 0xC0) == 0x80) {
        len--;
    }
    buf_truncate(reasons, len);
    bool ok = buf_append_str(reasons, dots);
    assert(ok);
    (void)ok;
}

static void collect_reasons(struct mapper *mapper, const struct mapping *mapping)
{
    bool fits = true;
    for (size_t i = 0; fits && i < mapping_leaf_count(mapping); i++) {
        if (mapper->outcomes[i].reason != NULL) {
            fits = append_reason(&mapper->reasons, mapping_leaf_at(mapping, i),
                                 mapper->outcomes[i].reason) &&
                   mapper->reasons.len <= MAPPER_REASONS_BYTES;
        }
    }
    cut_reasons(&mapper->reasons);
}

static void send_notes(const struct run *run, mapper_note_fn note, void *ctx)
{
    const struct mapping *mapping = run->row->mapping;
    for (size_t i = 0; note != NULL && i < mapping_leaf_count(mapping); i++) {
        const struct mapping_leaf *leaf = mapping_leaf_at(mapping, i);
        const struct outcome *outcome = &run->mapper->outcomes[i];
        struct str body = buf_peek(run->body);
        note(ctx, &(struct mapper_note){
                      .target = leaf->target,
                      .column = leaf->from.text.len == 0 ? NULL : leaf->from.text.ptr,
                      .type = leaf->type->name,
                      .reason = outcome->reason,
                      .left_out = outcome->left_out,
                      .json = {body.ptr + outcome->body_at, outcome->body_len},
                  });
    }
}

static void make_room(struct mapper *mapper, size_t leaf_count)
{
    if (leaf_count > mapper->outcome_room) {
        mapper->outcomes = mem_resize(mapper->outcomes, leaf_count, sizeof mapper->outcomes[0]);
        mapper->outcome_room = leaf_count;
    }
}

static enum mapper_result judge(const struct run *run)
{
    if (run->invalid) {
        return MAPPER_RESULT_INVALID;
    }
    if (run->full) {
        return MAPPER_RESULT_TOO_BIG;
    }
    return run->frames[0].live ? MAPPER_RESULT_BODY : MAPPER_RESULT_NOTHING;
}

enum mapper_result mapper_map(struct mapper *mapper, const struct row *row, int64_t wall_ns,
                              struct buf *body, mapper_note_fn note, void *ctx)
{
    struct run run = {.mapper = mapper, .row = row, .wall_ns = wall_ns, .body = body};
    make_room(mapper, mapping_leaf_count(row->mapping));
    buf_reset(body);
    buf_reset(&mapper->reasons);
    mapper->members.object = NULL; // of another row
    // A value that alone is too big is its leaf's fault, and the reason names it.
    buf_reset(&mapper->value);
    mapper->value.cap = body->cap;

    do_steps(&run);
    collect_reasons(mapper, row->mapping);
    send_notes(&run, note, ctx);

    enum mapper_result result = judge(&run);
    if (result != MAPPER_RESULT_BODY) {
        buf_reset(body);
    }
    return result;
}
