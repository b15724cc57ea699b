// `imprint-sync render`: the request that a row would become.
#include "app/options.h"
#include "app/session.h"
#include "app/settings.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "domain/jsontext.h"
#include "domain/mapper.h"
#include "domain/row.h"
#include "domain/update.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    RENDER_INPUT_MAX = 1024 * 1024,
    RENDER_BODY_MAX = 1024 * 1024,
    RENDER_HEAD_MAX = 16384,
    RENDER_DEPTH_MAX = 1100,
};

struct render {
    const struct options *options;
    struct config *config;
    struct session *session;
    struct outbox_hello hello;
    struct buf text;   // the row as JSON
    bool source;       // it is the customer's whole row
    bool broken;       // at least one field
    char *customer_id; // for --row; NULL: unknown
    // Of the call under way:
    bool failed;
    struct pgconn_failure failure;
    bool found;
    bool thin;
    bool too_big;
    int64_t source_count;
    int64_t row_id; // --row
};

// ---- where the row comes from --------------------------------------------------------------

static bool render_read_input(struct render *render, struct err *err)
{
    char chunk[16384];
    ssize_t got;
    while ((got = read(STDIN_FILENO, chunk, sizeof chunk)) > 0) {
        if (!buf_append(&render->text, chunk, (size_t)got)) {
            return err_set(err, ERR_KIND_DATA, "standard input: a row is at most 1 MiB");
        }
    }
    if (got < 0) {
        return err_set(err, ERR_KIND_DATA, "standard input cannot be read");
    }
    struct str text = str_trim(buf_peek(&render->text));
    if (text.len == 0) {
        return err_set(
            err, ERR_KIND_DATA,
            "standard input is empty: give it a row, {\"column\": ...}, or name one with "
            "--customer or --row");
    }
    if (!jsontext_check(text, RENDER_DEPTH_MAX, err)) {
        err->kind = ERR_KIND_DATA;
        return err_context(err, "standard input");
    }
    if (jsontext_of(text).kind != JSONTEXT_KIND_OBJECT) {
        return err_set(err, ERR_KIND_DATA,
                       "standard input: a row is a JSON object, {\"column\": ...}");
    }
    return true;
}

static void render_on_found(void *ctx, const struct pgconn_failure *failure,
                            const struct outbox_found *found)
{
    struct render *render = ctx;
    render->failed = failure != NULL;
    if (failure != NULL) {
        render->failure = *failure;
    } else {
        render->found = found->found;
        render->thin = found->thin;
        struct str text = found->source_count > 0 ? found->source : found->payload;
        render->too_big = !buf_append_str(&render->text, text);
        render->source_count = found->source_count;
        if (found->found) {
            render->customer_id = mem_strndup(found->customer_id.ptr, found->customer_id.len);
        }
    }
    session_wake(render->session);
}

// A value that cannot be read concerns this row; what does not exist, or may not be read, all.
static bool render_fail(const struct pgconn_failure *failure, struct err *err)
{
    if (failure->lost) {
        return err_set(err, ERR_KIND_UNAVAILABLE, "the row cannot be read: %s", failure->text);
    }
    if (pgconn_failed_with(failure, "42") || pgconn_failed_with(failure, "0A")) {
        return err_set(err, ERR_KIND_CONFIG,
                       "the row cannot be read: %s; `imprint-sync check` says why", failure->text);
    }
    return err_set(err, ERR_KIND_DATA, "the row cannot be read: %s", failure->text);
}

static bool render_wait(struct render *render, struct err *err)
{
    if (!session_wait(render->session, err)) {
        return false;
    }
    if (render->failed) {
        return render_fail(&render->failure, err);
    }
    return !render->too_big ||
           err_set(err, ERR_KIND_DATA, "the row is over 1 MiB, which is never sent");
}

static bool render_read_source(struct render *render, const char *customer_id, struct err *err)
{
    if (render->hello.source != OUTBOX_SOURCE_READY) {
        return err_set(err, ERR_KIND_CONFIG, "%s", outbox_source_reason(render->hello.source));
    }
    outbox_find_source(session_outbox(render->session), customer_id, render_on_found, render);
    if (!render_wait(render, err)) {
        return false;
    }
    render->source = true;
    if (render->source_count != 1) {
        return err_set(err, ERR_KIND_DATA,
                       render->source_count == 0
                           ? "source.missing: the source has no row of customer %s"
                           : "source.duplicate: the source has several rows of customer %s",
                       customer_id);
    }
    return true;
}

// What can be wrong before anything is read.
static bool render_check_options(struct render *render, struct err *err)
{
    const struct options *options = render->options;
    if (options->customer != NULL && options->row != NULL) {
        return err_set(err, ERR_KIND_USAGE, "--customer and --row: one of them");
    }
    if (options->row != NULL && !str_to_int64(str_of(options->row), &render->row_id)) {
        return err_set(err, ERR_KIND_USAGE, "--row: %s is no row number", options->row);
    }
    return true;
}

static bool render_read_row(struct render *render, struct err *err)
{
    int64_t id = render->row_id;
    outbox_find_row(session_outbox(render->session), id, render_on_found, render);
    if (!render_wait(render, err)) {
        return false;
    }
    if (!render->found) {
        return err_set(err, ERR_KIND_DATA, "the outbox has no row %lld", (long long)id);
    }
    if (!update_id_is_valid(str_of(render->customer_id))) {
        return err_set(err, ERR_KIND_DATA, "customer_id: must match [A-Za-z0-9_-]{1,64}");
    }
    return !render->thin || render_read_source(render, render->customer_id, err);
}

static bool render_connect(struct render *render, struct err *err)
{
    render->session = session_open(render->config, err);
    return render->session != NULL && session_hello(render->session, &render->hello, err) &&
           outbox_schema_is_right(&render->hello, err);
}

static bool render_read(struct render *render, struct err *err)
{
    const struct options *options = render->options;
    if (options->customer == NULL && options->row == NULL) {
        return render_read_input(render, err);
    }
    if (options->customer != NULL && !update_id_is_valid(str_of(options->customer))) {
        return err_set(err, ERR_KIND_DATA, "customer_id: must match [A-Za-z0-9_-]{1,64}");
    }
    return render_connect(render, err) &&
           (options->row != NULL ? render_read_row(render, err)
                                 : render_read_source(render, options->customer, err));
}

// ---- what it becomes -----------------------------------------------------------------------

static void render_on_note(void *ctx, const struct mapper_note *note)
{
    struct render *render = ctx;
    const char *column = note->column == NULL ? "(constant)" : note->column;
    if (note->reason != NULL) {
        render->broken = true;
        fprintf(stderr, "%s: column %s, type %s: %s\n", note->target, column, note->type,
                note->reason);
    } else if (render->options->explain && note->left_out != NULL) {
        fprintf(stderr, "%-36s left out: column %s %s\n", note->target, column, note->left_out);
    } else if (render->options->explain) {
        fprintf(stderr, "%-36s from %s as %s\n", note->target, column, note->type);
    }
}

// Indented for a person. json-c keeps the numbers' text only up to int64, which the mapper never
// passes.
static void render_print_body(struct str body)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *tree =
        tokener == NULL ? NULL : json_tokener_parse_ex(tokener, body.ptr, (int)body.len);
    if (tree != NULL && isatty(STDOUT_FILENO)) {
        puts(json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PRETTY |
                                                      JSON_C_TO_STRING_SPACED |
                                                      JSON_C_TO_STRING_NOSLASHESCAPE));
    } else {
        printf("%.*s\n", STR_ARG(body));
    }
    json_object_put(tree);
    json_tokener_free(tokener);
}

// As it would be sent, without the key. A row from standard input is nobody's.
static void render_print(const struct render *render, struct str body)
{
    const struct sender_options options = settings_sender(render->config);
    const char *id = render->options->customer != NULL ? render->options->customer
                     : render->customer_id != NULL     ? render->customer_id
                                                       : "{customer_id}";
    struct buf head;
    buf_init(&head, RENDER_HEAD_MAX);
    if (sender_describe(&options, str_of(id), body.len, &head)) {
        printf("%s\n", head.data);
    }
    buf_free(&head);
    render_print_body(body);
}

static bool render_map(struct render *render, struct err *err)
{
    struct row row;
    struct buf body;
    struct mapper *mapper = mapper_create();
    row_init(&row, render->config->mapping);
    buf_init(&body, RENDER_BODY_MAX);
    bool ok = row_add(&row, str_trim(buf_peek(&render->text)), render->source);
    if (!ok) {
        err_set(err, ERR_KIND_DATA, "the row is no well-formed JSON object");
    } else {
        enum mapper_result result =
            mapper_map(mapper, &row, clock_wall_ns(), &body, render_on_note, render);
        if (result == MAPPER_RESULT_BODY) {
            render_print(render, buf_peek(&body));
        } else if (result == MAPPER_RESULT_NOTHING) {
            fputs("nothing to send: the row maps to no field\n", stderr);
        } else {
            ok =
                err_set(err, ERR_KIND_DATA, "this row cannot be sent%s",
                        result == MAPPER_RESULT_TOO_BIG ? ": the request would be over 1 MiB" : "");
        }
    }
    buf_free(&body);
    row_free(&row);
    mapper_destroy(mapper);
    return ok;
}

int render_run(const struct options *options)
{
    struct err err = {.kind = ERR_KIND_NONE};
    struct render render = {.options = options};
    if (!render_check_options(&render, &err)) {
        fprintf(stderr, "imprint-sync: render: %s\n", err.text);
        return EX_USAGE;
    }
    render.config = settings_load(options->config_path);
    if (render.config == NULL) {
        return EX_CONFIG;
    }
    buf_init(&render.text, RENDER_INPUT_MAX);
    if (!render_read(&render, &err) || !render_map(&render, &err)) {
        fprintf(stderr, "imprint-sync: render: %s\n", err.text);
    }
    session_close(render.session);
    buf_free(&render.text);
    free(render.customer_id);
    config_destroy(render.config);
    return err_exit_code(err.kind);
}
