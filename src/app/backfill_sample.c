// `imprint-sync backfill --dry-run`: how many customers, how long it would take, and what three of
// the requests look like, without their values. Writes nothing.
#include "app/backfill.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "domain/human.h"
#include "domain/mapper.h"
#include "domain/row.h"
#include "domain/update.h"
#include "io/pgarray.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLE_SIZE = 3,
    SAMPLE_BODY_MAX = 1024 * 1024,
    SAMPLE_HEAD_MAX = 16384,
};

struct sample {
    struct backfill *backfill;
    char *ids[SAMPLE_SIZE]; // owned
    size_t count;
    struct mapper *mapper;
    // Of the look-up under way:
    struct buf text;
    int64_t found;
    bool failed;
    struct pgconn_failure failure;
};

static void sample_add(struct sample *sample, struct str id)
{
    if (sample->count < SAMPLE_SIZE) {
        sample->ids[sample->count++] = mem_strndup(id.ptr, id.len);
    }
}

static void sample_read_ids(void *ctx, const struct pgrows *rows)
{
    for (size_t i = 0; i < pgrows_count(rows); i++) {
        sample_add(ctx, str_of(pgrows_text(rows, i, 0)));
    }
}

// The first ids of the list: {"a","b"}, of characters that need no escape.
static void sample_read_list(struct sample *sample)
{
    struct pgarray keys;
    struct ids_page page;
    pgarray_init(&keys);
    ids_read(sample->backfill->ids, 0, SAMPLE_SIZE, &keys, &page);
    char *array = pgarray_take(&keys);
    struct str rest = str_of(array);
    struct str word;
    while (str_split(rest, '"', &word, &rest) && rest.len > 0) {
        str_split(rest, '"', &word, &rest);
        sample_add(sample, word);
    }
    free(array);
}

static bool sample_find_ids(struct sample *sample, struct err *err)
{
    struct backfill *backfill = sample->backfill;
    if (backfill->ids != NULL) {
        sample_read_list(sample);
        return true;
    }
    const struct outbox_scope scope = backfill_scope(backfill);
    const char *const params[] = {scope.since};
    char *sql = outbox_scope_sql_sample(session_outbox(backfill->session), &scope, SAMPLE_SIZE);
    bool ok = session_query_read_only(backfill->session, sql, params, scope.since == NULL ? 0 : 1,
                                      sample_read_ids, sample, err);
    free(sql);
    return ok;
}

// ---- one request ---------------------------------------------------------------------------

static void sample_on_found(void *ctx, const struct pgconn_failure *failure,
                            const struct outbox_found *found)
{
    struct sample *sample = ctx;
    sample->failed = failure != NULL;
    sample->found = 0;
    buf_reset(&sample->text);
    if (failure != NULL) {
        sample->failure = *failure;
    } else if (buf_append_str(&sample->text, found->source)) {
        sample->found = found->source_count;
    }
    session_wake(sample->backfill->session);
}

static struct json_object *sample_mask(struct json_object *value)
{
    if (json_object_is_type(value, json_type_object)) {
        struct json_object *masked = json_object_new_object();
        json_object_object_foreach(value, key, member)
        {
            json_object_object_add(masked, key, sample_mask(member));
        }
        return masked;
    }
    if (json_object_is_type(value, json_type_array)) {
        struct json_object *masked = json_object_new_array();
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            json_object_array_add(masked, sample_mask(json_object_array_get_idx(value, i)));
        }
        return masked;
    }
    return value == NULL ? NULL : json_object_new_string("***");
}

static void sample_print_request(const struct sample *sample, const char *id, struct str body)
{
    const struct sender_options options = settings_sender(sample->backfill->config);
    struct buf head;
    buf_init(&head, SAMPLE_HEAD_MAX);
    bool ok = sender_describe(&options, str_of(id), body.len, &head);
    struct json_object *tree = json_tokener_parse(body.ptr);
    struct json_object *masked = sample_mask(tree);
    printf("\n%s\n%s\n", ok ? head.data : "",
           json_object_to_json_string_ext(masked, JSON_C_TO_STRING_PRETTY |
                                                      JSON_C_TO_STRING_SPACED |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(masked);
    json_object_put(tree);
    buf_free(&head);
}

static void sample_map(struct sample *sample, const char *id)
{
    struct row row;
    struct buf body;
    row_init(&row, sample->backfill->config->mapping);
    buf_init(&body, SAMPLE_BODY_MAX);
    enum mapper_result result = MAPPER_RESULT_INVALID;
    bool ok = row_add(&row, buf_peek(&sample->text), true);
    if (ok) {
        result = mapper_map(sample->mapper, &row, clock_wall_ns(), &body, NULL, NULL);
    }
    if (result == MAPPER_RESULT_BODY) {
        sample_print_request(sample, id, buf_peek(&body));
    } else if (result == MAPPER_RESULT_NOTHING) {
        printf("\n%s: nothing to send: the row maps to no field\n", id);
    } else if (result == MAPPER_RESULT_TOO_BIG || !ok) {
        printf("\n%s: would be dead: the row cannot be read, or is over 1 MiB\n", id);
    } else {
        printf("\n%s: would be dead: %.*s\n", id, STR_ARG(mapper_reasons(sample->mapper)));
    }
    buf_free(&body);
    row_free(&row);
}

static bool sample_show(struct sample *sample, const char *id, struct err *err)
{
    if (!update_id_is_valid(str_of(id))) {
        puts("\na customer would be dead: its id does not match [A-Za-z0-9_-]{1,64}");
        return true;
    }
    outbox_find_source(session_outbox(sample->backfill->session), id, sample_on_found, sample);
    if (!session_wait(sample->backfill->session, err)) {
        return false;
    }
    if (sample->failed) {
        printf("\n%s: would be dead: the row cannot be read: %s\n", id, sample->failure.text);
    } else if (sample->found != 1) {
        printf("\n%s: would be dead: %s\n", id,
               sample->found == 0 ? "source.missing" : "source.duplicate");
    } else {
        sample_map(sample, id);
    }
    return true;
}

// ---- how many and how long -------------------------------------------------------------------

static double sample_per_s(struct config_rate rate)
{
    return (double)rate.count * (double)CLOCK_NS_PER_SEC / (double)rate.per_ns;
}

static void sample_print_size(const struct backfill *backfill)
{
    double per_s = sample_per_s(backfill->config->delivery.rate);
    if (backfill->rate.count > 0 && sample_per_s(backfill->rate) < per_s) {
        per_s = sample_per_s(backfill->rate);
    }
    struct buf text;
    buf_init(&text, SAMPLE_HEAD_MAX);
    bool ok = (backfill->total_exact || buf_append_str(&text, STR("about "))) &&
              human_count(backfill->total, &text) && buf_append_str(&text, STR(" customers; ")) &&
              human_age((double)backfill->total / per_s, &text) &&
              buf_printf(&text, " at %.6g a second, if all have changed", per_s);
    printf("%s\n", ok ? text.data : "");
    buf_free(&text);
}

bool backfill_sample(struct backfill *backfill, struct err *err)
{
    struct sample sample = {.backfill = backfill, .mapper = mapper_create()};
    buf_init(&sample.text, SAMPLE_BODY_MAX);
    bool ok = backfill_count(backfill, err) && sample_find_ids(&sample, err);
    if (ok) {
        sample_print_size(backfill);
    }
    for (size_t i = 0; ok && i < sample.count; i++) {
        ok = sample_show(&sample, sample.ids[i], err);
    }
    for (size_t i = 0; i < sample.count; i++) {
        free(sample.ids[i]);
    }
    buf_free(&sample.text);
    mapper_destroy(sample.mapper);
    return ok;
}
