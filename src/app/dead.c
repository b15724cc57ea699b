// `imprint-sync dead list|show|discard`, and what they share with `dead retry`.
#include "app/dead.h"

#include "app/settings.h"
#include "app/table.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/value.h"
#include "domain/human.h"
#include "io/pgarray.h"

#include <assert.h>
#include <json-c/json.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    DEAD_LIST_LIMIT = 50,
    DEAD_LINE_MAX = 65536,
    DEAD_IDS_MAX = 10000, // that --id may name
};

// ---- options -------------------------------------------------------------------------------

static bool dead_read_ids(struct dead *dead, struct err *err)
{
    if (dead->options->id == NULL) {
        return true;
    }
    struct pgarray array;
    pgarray_init(&array);
    struct str rest = str_of(dead->options->id);
    bool ok = rest.len > 0;
    for (int count = 0; ok && rest.len > 0; count++) {
        struct str word;
        int64_t id = 0;
        bool comma = str_split(rest, ',', &word, &rest);
        ok = value_parse_count(word, &id) && count < DEAD_IDS_MAX && !(comma && rest.len == 0);
        pgarray_add_int64(&array, id);
    }
    dead->ids = pgarray_take(&array);
    dead->filter[0] = dead->ids;
    return ok || err_set(err, ERR_KIND_USAGE,
                         "--id takes the ids of outbox rows, with commas between: --id 17,18");
}

static bool dead_read_limit(struct dead *dead, struct err *err)
{
    dead->limit = INT64_MAX;
    const char *text = dead->options->limit;
    bool ok = text == NULL || (value_parse_count(str_of(text), &dead->limit) && dead->limit > 0);
    return ok || err_set(err, ERR_KIND_USAGE, "--limit takes a number from 1 on");
}

static bool dead_check_options(struct dead *dead, struct err *err)
{
    const struct options *options = dead->options;
    const char *const texts[] = {options->customer, options->type, options->param, options->since};
    static const char *const names[] = {"customer", "type", "param", "since"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i] != NULL && (texts[i][0] == '\0' || !str_is_utf8(str_of(texts[i])))) {
            return err_set(err, ERR_KIND_USAGE, "--%s: is empty, or no UTF-8", names[i]);
        }
    }
    dead->filter[1] = options->customer;
    dead->filter[2] = options->type;
    dead->filter[3] = options->param;
    return dead_read_ids(dead, err) && dead_read_limit(dead, err);
}

bool dead_need_filter(const struct options *options, struct err *err)
{
    bool any = options->id != NULL || options->customer != NULL || options->type != NULL ||
               options->param != NULL || options->since != NULL;
    if (any && options->all) {
        return err_set(err, ERR_KIND_USAGE, "--all means all dead rows: it takes no other choice");
    }
    return any || options->all ||
           err_set(err, ERR_KIND_USAGE,
                   "say which rows: --id, --customer, --type, --param, --since, or --all");
}

// ---- asking ----------------------------------------------------------------------------------

void dead_cells_free(struct dead_cells *cells)
{
    for (size_t i = 0; i < DEAD_CELLS; i++) {
        free(cells->text[i]);
        cells->text[i] = NULL;
    }
}

int64_t dead_cells_int64(const struct dead_cells *cells, size_t column)
{
    int64_t value = 0;
    bool ok = str_to_int64(str_of(cells->text[column]), &value);
    return ok ? value : 0;
}

static void dead_on_cells(void *ctx, const struct pgrows *rows)
{
    struct dead_cells *cells = ctx;
    int columns = pgrows_count(rows) == 0 ? 0 : pgrows_columns(rows);
    for (int i = 0; i < columns && i < DEAD_CELLS; i++) {
        cells->text[i] = pgrows_null(rows, 0, i) ? NULL : mem_strdup(pgrows_text(rows, 0, i));
    }
}

bool dead_ask(struct dead *dead, const char *sql, const char *const *params, size_t count,
              struct dead_cells *cells, struct err *err)
{
    dead_cells_free(cells);
    return session_query(dead->session, sql, params, count, dead_on_cells, cells, err);
}

enum { DEAD_MORE = 8 };

// The parameters: the filters, and `more`.
struct dead_params {
    const char *list[OUTBOX_DEAD_FILTERS + DEAD_MORE];
    size_t count;
};

static struct dead_params dead_params(const struct dead *dead, const char *const *more,
                                      size_t count)
{
    assert(count <= DEAD_MORE);
    struct dead_params params = {.count = OUTBOX_DEAD_FILTERS + count};
    for (size_t i = 0; i < params.count; i++) {
        params.list[i] = i < OUTBOX_DEAD_FILTERS ? dead->filter[i] : more[i - OUTBOX_DEAD_FILTERS];
    }
    return params;
}

bool dead_query(struct dead *dead, const char *sql, const char *const *more, size_t count,
                session_read_fn read, void *ctx, struct err *err)
{
    const struct dead_params params = dead_params(dead, more, count);
    return session_query(dead->session, sql, params.list, params.count, read, ctx, err);
}

bool dead_query_cells(struct dead *dead, const char *sql, const char *const *more, size_t count,
                      struct dead_cells *cells, struct err *err)
{
    const struct dead_params params = dead_params(dead, more, count);
    return dead_ask(dead, sql, params.list, params.count, cells, err);
}

// The server reads timestamps, so every form that Postgres knows is fine.
static bool dead_read_since(struct dead *dead, struct err *err)
{
    const char *text = dead->options->since;
    if (text == NULL) {
        return true;
    }
    int64_t ago_ns = 0;
    bool ago = value_parse_duration(str_of(text), &ago_ns);
    char ms[24];
    snprintf(ms, sizeof ms, "%lld", (long long)(ago_ns / CLOCK_NS_PER_MS));
    const char *const params[] = {ago ? NULL : text, ms};
    struct dead_cells cells = {.text = {NULL}};
    bool ok = dead_ask(dead, outbox_dead_since, params, 2, &cells, err);
    if (ok) {
        dead->since = mem_strdup(cells.text[0]);
        dead->filter[4] = dead->since;
    } else if (err->kind == ERR_KIND_INTERNAL) {
        err_set(err, ERR_KIND_USAGE,
                "--since takes how long ago (30m, 2h, 7d) or a timestamp (2026-01-31 14:00)");
    }
    dead_cells_free(&cells);
    return ok;
}

bool dead_open(struct dead *dead, const struct options *options, struct err *err)
{
    *dead = (struct dead){.options = options};
    if (!dead_check_options(dead, err)) {
        return false;
    }
    dead->config = settings_load(options->config_path);
    if (dead->config == NULL) {
        return err_set(err, ERR_KIND_CONFIG, "the configuration is wrong");
    }
    dead->session = session_open(dead->config, err);
    return dead->session != NULL && session_need_schema(dead->session, err) &&
           dead_read_since(dead, err);
}

void dead_close(struct dead *dead)
{
    session_close(dead->session);
    config_destroy(dead->config);
    free(dead->since);
    free(dead->ids);
}

int dead_end(struct dead *dead, const char *command, const struct err *err)
{
    if (err->kind != ERR_KIND_NONE) {
        fprintf(stderr, "imprint-sync: %s: %s\n", command, err->text);
    }
    dead_close(dead);
    return err_exit_code(err->kind);
}

// ---- walking -----------------------------------------------------------------------------------

bool dead_walk_begin(struct dead *dead, struct dead_walk *walk, struct err *err)
{
    *walk = (struct dead_walk){.left = dead->limit};
    char limit[24];
    snprintf(limit, sizeof limit, "%lld", (long long)dead->limit);
    const char *const more[] = {limit};
    struct dead_cells cells = {.text = {NULL}};
    bool ok = dead_query_cells(dead, outbox_dead_count, more, 1, &cells, err);
    if (ok) {
        walk->rows = dead_cells_int64(&cells, 0);
        walk->customers = dead_cells_int64(&cells, 1);
        walk->until = mem_strdup(cells.text[2]);
        walk->place = mem_strdup("-infinity");
    }
    dead_cells_free(&cells);
    return ok;
}

bool dead_walk_next(struct dead *dead, struct dead_walk *walk, struct err *err)
{
    walk->count = 0;
    char id[24];
    char limit[24];
    snprintf(id, sizeof id, "%lld", (long long)walk->place_id);
    snprintf(limit, sizeof limit, "%lld",
             (long long)(walk->left < DEAD_BATCH ? walk->left : DEAD_BATCH));
    const char *const more[] = {walk->until, walk->place, id, limit};
    struct dead_cells cells = {.text = {NULL}};
    bool ok = dead_query_cells(dead, outbox_dead_batch, more, 4, &cells, err);
    if (ok && dead_cells_int64(&cells, 3) > 0) {
        free(walk->ids);
        free(walk->place);
        walk->ids = mem_strdup(cells.text[0]);
        walk->place = mem_strdup(cells.text[1]);
        walk->place_id = dead_cells_int64(&cells, 2);
        walk->count = dead_cells_int64(&cells, 3);
        walk->left -= walk->count;
    }
    dead_cells_free(&cells);
    return ok;
}

void dead_walk_end(struct dead_walk *walk)
{
    free(walk->ids);
    free(walk->place);
    free(walk->until);
}

// ---- list --------------------------------------------------------------------------------------

enum { DEAD_COLUMNS = 8 };

enum dead_kind { DEAD_KIND_TEXT, DEAD_KIND_NUMBER, DEAD_KIND_LIST };

// A column of an answer: its member in JSON, and its head for people (NULL: not shown to them).
struct dead_column {
    const char *key;
    enum dead_kind kind;
    struct table_column shown;
};

static const struct dead_column dead_group_columns[DEAD_COLUMNS] = {
    {"rows", DEAD_KIND_NUMBER, {"rows", true}},
    {"http_status", DEAD_KIND_NUMBER, {"http", true}},
    {"type", DEAD_KIND_TEXT, {"type", false}},
    {"params", DEAD_KIND_LIST, {"fields", false}},
    {"oldest", DEAD_KIND_TEXT, {NULL, false}},
    {"newest", DEAD_KIND_TEXT, {"newest", false}},
    {"example_ids", DEAD_KIND_LIST, {"such as", false}},
    {"reason", DEAD_KIND_TEXT, {"reason", false}},
};

static const struct dead_column dead_row_columns[DEAD_COLUMNS] = {
    {"id", DEAD_KIND_NUMBER, {"id", true}},
    {"customer_id", DEAD_KIND_TEXT, {"customer", false}},
    {"died_at", DEAD_KIND_TEXT, {"died", false}},
    {"attempts", DEAD_KIND_NUMBER, {"tries", true}},
    {"http_status", DEAD_KIND_NUMBER, {"http", true}},
    {"type", DEAD_KIND_TEXT, {"type", false}},
    {"params", DEAD_KIND_LIST, {"fields", false}},
    {"reason", DEAD_KIND_TEXT, {"reason", false}},
};

// Of params and example ids.
static struct json_object *dead_json_list(struct str text)
{
    struct json_object *list = json_object_new_array();
    while (text.len > 0) {
        struct str item;
        int64_t number = 0;
        str_split(text, ',', &item, &text);
        json_object_array_add(list, str_to_int64(item, &number)
                                        ? json_object_new_int64(number)
                                        : json_object_new_string_len(item.ptr, (int)item.len));
    }
    return list;
}

static struct json_object *dead_json_cell(const char *text, enum dead_kind kind)
{
    int64_t number = 0;
    if (kind == DEAD_KIND_LIST) {
        return dead_json_list(str_of(text));
    }
    if (text == NULL) {
        return NULL;
    }
    return kind == DEAD_KIND_NUMBER && str_to_int64(str_of(text), &number)
               ? json_object_new_int64(number)
               : json_object_new_string(text);
}

static void dead_print_json(struct json_object *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}

static void dead_print_safe(const char *text)
{
    struct buf safe;
    buf_init(&safe, DEAD_LINE_MAX);
    bool ok = human_safe(str_of(text), &safe);
    fputs(ok ? buf_peek(&safe).ptr : "(too long)", stdout);
    buf_free(&safe);
}

struct dead_list {
    const struct dead_column *columns;
    bool json;
    size_t most; // to be shown
    bool more;   // there are
};

static void dead_list_json(const struct dead_list *list, size_t shown, const struct pgrows *rows)
{
    struct json_object *all = json_object_new_array();
    for (size_t i = 0; i < shown; i++) {
        struct json_object *row = json_object_new_object();
        for (size_t c = 0; c < DEAD_COLUMNS; c++) {
            const char *text = pgrows_null(rows, i, (int)c) ? NULL : pgrows_text(rows, i, (int)c);
            json_object_object_add(row, list->columns[c].key,
                                   dead_json_cell(text, list->columns[c].kind));
        }
        json_object_array_add(all, row);
    }
    dead_print_json(all);
}

static void dead_list_row(const struct dead_list *list, const struct pgrows *rows, size_t row,
                          struct table *table)
{
    for (size_t c = 0; c < DEAD_COLUMNS; c++) {
        if (list->columns[c].shown.head != NULL) {
            table_add(table, pgrows_text(rows, row, (int)c));
        }
    }
}

static void dead_list_text(const struct dead_list *list, size_t shown, const struct pgrows *rows)
{
    struct table_column columns[DEAD_COLUMNS];
    size_t count = 0;
    for (size_t c = 0; c < DEAD_COLUMNS; c++) {
        if (list->columns[c].shown.head != NULL) {
            columns[count++] = list->columns[c].shown;
        }
    }
    struct table *table = table_create(columns, count);
    for (size_t i = 0; i < shown; i++) {
        dead_list_row(list, rows, i, table);
    }
    table_print(table);
    table_destroy(table);
}

static void dead_on_list(void *ctx, const struct pgrows *rows)
{
    struct dead_list *list = ctx;
    size_t found = pgrows_count(rows);
    list->more = found > list->most;
    size_t shown = list->more ? list->most : found;
    if (list->json) {
        dead_list_json(list, shown, rows);
    } else if (shown == 0) {
        puts("no dead rows");
    } else {
        dead_list_text(list, shown, rows);
    }
}

static bool dead_list(struct dead *dead, struct err *err)
{
    const struct options *options = dead->options;
    bool rows = options->each || options->id != NULL || options->customer != NULL ||
                options->type != NULL || options->param != NULL;
    int64_t most = options->limit != NULL ? dead->limit
                   : options->all         ? INT64_MAX
                                          : DEAD_LIST_LIMIT;
    char limit[24]; // one more, to know whether there are more
    snprintf(limit, sizeof limit, "%lld", (long long)(most < INT64_MAX ? most + 1 : most));
    const char *const more[] = {limit};
    struct dead_list list = {.columns = rows ? dead_row_columns : dead_group_columns,
                             .json = options->json,
                             .most = (size_t)most};
    if (!dead_query(dead, rows ? outbox_dead_rows : outbox_dead_groups, more, 1, dead_on_list,
                    &list, err)) {
        return false;
    }
    if (list.more) {
        fprintf(stderr, "(the first %lld; --limit N or --all shows more)\n", (long long)most);
    }
    return true;
}

int dead_list_run(const struct options *options)
{
    struct dead dead;
    struct err err = {.kind = ERR_KIND_NONE};
    bool ok = dead_open(&dead, options, &err) && dead_list(&dead, &err);
    (void)ok; // stands in err
    return dead_end(&dead, "dead list", &err);
}

// ---- show --------------------------------------------------------------------------------------

static const struct dead_column dead_show_columns[] = {
    {"id", DEAD_KIND_NUMBER, {"row", false}},
    {"customer_id", DEAD_KIND_TEXT, {"customer", false}},
    {"status", DEAD_KIND_TEXT, {"status", false}},
    {"lane", DEAD_KIND_TEXT, {"lane", false}},
    {"created_at", DEAD_KIND_TEXT, {"made", false}},
    {"settled_at", DEAD_KIND_TEXT, {"settled", false}},
    {"due_at", DEAD_KIND_TEXT, {"due", false}},
    {"attempts", DEAD_KIND_NUMBER, {"attempts", false}},
    {"http_status", DEAD_KIND_NUMBER, {"HTTP status", false}},
    {"type", DEAD_KIND_TEXT, {"type of error", false}},
    {"params", DEAD_KIND_LIST, {"fields", false}},
    {"reason", DEAD_KIND_TEXT, {"reason", false}},
    {"thin", DEAD_KIND_TEXT, {NULL, false}},
    {"columns", DEAD_KIND_LIST, {"columns", false}},
    {"other_pending", DEAD_KIND_NUMBER, {"also pending", false}},
    {"other_dead", DEAD_KIND_NUMBER, {"also dead", false}},
    {"accepted_id", DEAD_KIND_NUMBER, {"last accepted", false}},
    {"accepted_at", DEAD_KIND_TEXT, {"accepted at", false}},
};
enum {
    DEAD_SHOW_COLUMNS = sizeof dead_show_columns / sizeof dead_show_columns[0],
    DEAD_SHOW_HTTP = 8,
    DEAD_SHOW_THIN = 12,
    DEAD_SHOW_KEYS = 13,
};

static void dead_show_line(const char *head, const char *text)
{
    printf("%-15s ", head);
    dead_print_safe(text);
    putchar('\n');
}

static const char *dead_show_keys(const struct dead_cells *row)
{
    if (row->text[DEAD_SHOW_THIN][0] == 't') {
        return "none: the customer is read from the source";
    }
    return row->text[DEAD_SHOW_KEYS] == NULL ? "none: {}" : row->text[DEAD_SHOW_KEYS];
}

static void dead_show_secret(const struct dead_cells *secret)
{
    if (secret->text[1] != NULL) {
        dead_show_line("error", secret->text[1]);
    }
    if (secret->text[0] != NULL) {
        printf("payload\n%s\n", secret->text[0]); // in JSON, controls are escaped
    }
}

static void dead_show_text(const struct dead_cells *row, const struct dead_cells *secret)
{
    for (size_t i = 0; i < DEAD_SHOW_COLUMNS; i++) {
        const char *text = i == DEAD_SHOW_KEYS ? dead_show_keys(row) : row->text[i];
        if (dead_show_columns[i].shown.head != NULL && text != NULL) {
            dead_show_line(dead_show_columns[i].shown.head, text);
        }
    }
    if (secret != NULL) {
        dead_show_secret(secret);
    } else if (row->text[DEAD_SHOW_HTTP] != NULL) {
        dead_show_line("message", "may quote the customer's data; --reveal shows it");
    }
}

static void dead_show_json(const struct dead_cells *row, const struct dead_cells *secret)
{
    struct json_object *object = json_object_new_object();
    for (size_t i = 0; i < DEAD_SHOW_COLUMNS; i++) {
        const char *text = row->text[i];
        json_object_object_add(object, dead_show_columns[i].key,
                               i == DEAD_SHOW_THIN
                                   ? json_object_new_boolean(text[0] == 't')
                                   : dead_json_cell(text, dead_show_columns[i].kind));
    }
    if (secret != NULL) {
        const char *payload = secret->text[0];
        json_object_object_add(object, "error", dead_json_cell(secret->text[1], DEAD_KIND_TEXT));
        json_object_object_add(object, "payload",
                               payload == NULL ? NULL : json_tokener_parse(payload));
    }
    dead_print_json(object);
}

static bool dead_show(struct dead *dead, struct err *err)
{
    const char *const params[] = {dead->options->id};
    struct dead_cells row = {.text = {NULL}};
    struct dead_cells secret = {.text = {NULL}};
    bool reveal = dead->options->reveal;
    bool ok = dead_ask(dead, outbox_dead_show, params, 1, &row, err);
    if (ok && row.text[0] == NULL) {
        ok = err_set(err, ERR_KIND_DATA, "the outbox has no row %s", dead->options->id);
    }
    ok = ok && (!reveal || dead_ask(dead, outbox_dead_reveal, params, 1, &secret, err));
    if (ok && dead->options->json) {
        dead_show_json(&row, reveal ? &secret : NULL);
    } else if (ok) {
        dead_show_text(&row, reveal ? &secret : NULL);
    }
    dead_cells_free(&secret);
    dead_cells_free(&row);
    return ok;
}

int dead_show_run(const struct options *options)
{
    struct dead dead = {.options = options};
    struct err err = {.kind = ERR_KIND_NONE};
    int64_t id = 0;
    bool ok = options->id != NULL && value_parse_count(str_of(options->id), &id);
    ok = ok || err_set(&err, ERR_KIND_USAGE, "say which row: --id N");
    ok = ok && dead_open(&dead, options, &err) && dead_show(&dead, &err);
    (void)ok; // stands in err
    return dead_end(&dead, "dead show", &err);
}

// ---- discard -----------------------------------------------------------------------------------

// For the record, not as proof: who asked for it.
static void dead_who(char *who, size_t size)
{
    const char *sudo = getenv("SUDO_USER");
    const struct passwd *user = getpwuid(geteuid());
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    snprintf(who, size, "%.64s@%s",
             sudo != NULL && str_is_utf8(str_of(sudo)) ? sudo
             : user != NULL                            ? user->pw_name
                                                       : "unknown",
             host);
}

static bool dead_confirm(const struct dead *dead, const struct dead_walk *walk, struct err *err)
{
    if (dead->options->yes || walk->rows == 0) {
        return true;
    }
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        return err_set(err, ERR_KIND_USAGE,
                       "%lld rows would be deleted for good: without a terminal, say --yes",
                       (long long)walk->rows);
    }
    fprintf(stderr, "Delete %lld dead rows of %lld customers? They will never be sent. [y/N] ",
            (long long)walk->rows, (long long)walk->customers);
    char answer[16] = "";
    const char *read = fgets(answer, sizeof answer, stdin);
    return (read != NULL && (answer[0] == 'y' || answer[0] == 'Y')) ||
           err_set(err, ERR_KIND_INTERNAL, "nothing was deleted");
}

static bool dead_discard(struct dead *dead, struct err *err)
{
    char who[160];
    dead_who(who, sizeof who);
    struct dead_walk walk;
    struct dead_cells cells = {.text = {NULL}};
    int64_t deleted = 0;
    bool ok = dead_walk_begin(dead, &walk, err) && dead_confirm(dead, &walk, err);
    while (ok && walk.left > 0) {
        ok = dead_walk_next(dead, &walk, err);
        if (!ok || walk.count == 0) {
            break;
        }
        const char *const params[] = {walk.ids, who};
        ok = dead_ask(dead, outbox_dead_discard, params, 2, &cells, err);
        deleted += ok ? dead_cells_int64(&cells, 0) : 0;
    }
    if (ok || deleted > 0) {
        printf("%lld dead rows deleted; imprint_sync.discarded keeps the record\n",
               (long long)deleted);
    }
    dead_cells_free(&cells);
    dead_walk_end(&walk);
    return ok;
}

int dead_discard_run(const struct options *options)
{
    struct dead dead = {.options = options};
    struct err err = {.kind = ERR_KIND_NONE};
    bool ok = dead_need_filter(options, &err) && dead_open(&dead, options, &err) &&
              dead_discard(&dead, &err);
    (void)ok; // stands in err
    return dead_end(&dead, "dead discard", &err);
}
