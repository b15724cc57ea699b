#include "app/status_view.h"

#include "app/status_model.h"
#include "base/str.h"
#include "domain/human.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum {
    VIEW_MAX = 262144,
    VIEW_LEAD = 12, // columns of what a line is about
};

enum view_style { VIEW_PLAIN, VIEW_HEAD, VIEW_GOOD, VIEW_WARN, VIEW_BAD };

// How much of the lists is shown; the first that fits is taken.
struct view_budget {
    bool blanks;
    size_t instances;
    size_t dead;
    size_t attention;
    bool details; // the sections that change little
};

struct view {
    const struct status_screen *screen;
    struct view_budget budget;
    struct buf *out;
    struct buf line; // what stands behind the lead
    int lines;
};

static void view_must(bool ok)
{
    assert(ok); // all of it is of bounded length
    (void)ok;
}

// ---- lines ---------------------------------------------------------------------------------

// The bytes of the first `columns` characters; names may be in any script.
static struct str view_cut(struct str text, int columns)
{
    size_t len = 0;
    for (int at = 0; len < text.len; len++) {
        bool begins = ((unsigned char)text.ptr[len] & 0xC0) != 0x80;
        at += begins;
        if (at > columns) {
            break;
        }
    }
    return (struct str){text.ptr, len};
}

// What does not fit ends in a mark, so that half a number is not taken for one.
static void view_add_rest(struct view *view, struct str text, int gap)
{
    int room = view->screen->width > VIEW_LEAD ? view->screen->width - VIEW_LEAD : 0;
    struct str rest = view_cut(text, room);
    const char *mark = "";
    if (rest.len < text.len && room > 0) {
        rest = view_cut(text, room - 1);
        mark = view->screen->utf8 ? "\u2026" : ">";
    }
    if (rest.len > 0) {
        view_must(buf_printf(view->out, "%*s%.*s%s", gap > 0 ? gap : 0, "", STR_ARG(rest), mark));
    }
}

// Writes the line and empties it.
static void view_end(struct view *view, enum view_style style, const char *lead)
{
    static const char *const colors[] = {[VIEW_PLAIN] = "",
                                         [VIEW_HEAD] = "\x1b[1m",
                                         [VIEW_GOOD] = "\x1b[1;32m",
                                         [VIEW_WARN] = "\x1b[1;33m",
                                         [VIEW_BAD] = "\x1b[1;31m"};
    int width = view->screen->width;
    bool color = view->screen->color && style != VIEW_PLAIN;
    struct str head = view_cut(str_of(lead), width);
    struct buf safe;
    buf_init(&safe, VIEW_MAX);
    view_must(human_safe(buf_peek(&view->line), &safe));
    view_must(buf_printf(view->out, "%s%.*s%s", color ? colors[style] : "", STR_ARG(head),
                         color ? "\x1b[0m" : ""));
    view_add_rest(view, buf_peek(&safe), VIEW_LEAD - (int)head.len);
    view_must(buf_append_char(view->out, '\n'));
    view->lines++;
    buf_reset(&view->line);
    buf_free(&safe);
}

static void view_blank(struct view *view)
{
    if (view->budget.blanks) {
        view_end(view, VIEW_PLAIN, "");
    }
}

static void view_add(struct view *view, const char *text)
{
    view_must(buf_append_str(&view->line, str_of(text)));
}

// A cell of a table, to the right.
static void view_cell(struct view *view, int width, const char *text)
{
    view_must(buf_printf(&view->line, "%*s", width, text));
}

static void view_cell_count(struct view *view, int width, int64_t value, bool exact)
{
    struct buf text;
    buf_init(&text, VIEW_MAX);
    view_must((exact || buf_append_char(&text, '~')) && human_count(value, &text));
    view_cell(view, width, buf_peek(&text).ptr);
    buf_free(&text);
}

static void view_cell_age(struct view *view, int width, struct json_object *object, const char *key)
{
    struct buf text;
    buf_init(&text, VIEW_MAX);
    bool any = status_at(object, key) != NULL;
    view_must(any ? human_age(status_number(object, key), &text) : buf_append_char(&text, '-'));
    view_cell(view, width, buf_peek(&text).ptr);
    buf_free(&text);
}

static void view_cell_rate(struct view *view, int width, struct json_object *object,
                           const char *key)
{
    view_must(buf_printf(&view->line, "%*.1f", width, status_number(object, key)));
}

static size_t view_length(struct json_object *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

// The rest of a list that was not shown.
static void view_more(struct view *view, size_t total, size_t shown)
{
    if (total > shown) {
        view_must(buf_printf(&view->line, "... and %zu more", total - shown));
        view_end(view, VIEW_PLAIN, "");
    }
}

// ---- the first three lines -----------------------------------------------------------------

static const struct {
    const char *state;
    const char *words;
    enum view_style style;
} view_states[] = {
    {"keeping_up", "KEEPING UP", VIEW_GOOD}, {"behind", "BEHIND", VIEW_BAD},
    {"stopped", "STOPPED", VIEW_BAD},        {"paused", "PAUSED", VIEW_WARN},
    {"no_daemon", "NO DAEMON", VIEW_BAD},
};
enum { VIEW_STATES = sizeof view_states / sizeof view_states[0] };

static const struct {
    const char *limit;
    const char *words;
} view_limits[] = {
    {"nothing", "nothing: all that is due is sent"},
    {"rate", "the rate"},
    {"workers", "the workers: all wait for answers"},
    {"api", "the API"},
    {"database", "the database"},
    {"source", "the source, which cannot be read"},
    {"leases", "leases that others hold"},
};

static const char *view_limit_words(const char *limit)
{
    for (size_t i = 0; i < sizeof view_limits / sizeof view_limits[0]; i++) {
        if (strcmp(view_limits[i].limit, limit) == 0) {
            return view_limits[i].words;
        }
    }
    return limit;
}

static int64_t view_both(struct json_object *doc, const char *key)
{
    struct json_object *queue = status_at(doc, "queue");
    return status_count(status_at(queue, "live"), key) +
           status_count(status_at(queue, "backfill"), key);
}

static bool view_all_exact(struct json_object *doc)
{
    struct json_object *queue = status_at(doc, "queue");
    return status_flag(status_at(queue, "live"), "exact") &&
           status_flag(status_at(queue, "backfill"), "exact");
}

static void view_due(struct view *view, struct json_object *doc)
{
    struct json_object *live = status_at(status_at(doc, "queue"), "live");
    view_must((view_all_exact(doc) || buf_append_char(&view->line, '~')) &&
              human_count(view_both(doc, "due"), &view->line) &&
              buf_append_str(&view->line, STR(" due, live changes ")) &&
              human_age(status_number(live, "late_s"), &view->line) &&
              buf_append_str(&view->line, STR(" late")));
}

static void view_to_go(struct view *view, struct json_object *doc)
{
    double rate = status_number(status_at(doc, "sending"), "sent_per_s_1min");
    if (rate >= 0.1) {
        view_add(view, "; about ");
        view_must(human_age((double)view_both(doc, "due") / rate, &view->line));
        view_add(view, " to go");
    }
}

static void view_state(struct view *view, struct json_object *doc)
{
    const char *state = status_text(doc, "state");
    size_t i = 0;
    while (i + 1 < VIEW_STATES && strcmp(view_states[i].state, state) != 0) {
        i++;
    }
    struct json_object *sending = status_at(doc, "sending");
    struct json_object *api = status_at(doc, "api");
    if (strcmp(state, "no_daemon") == 0) {
        view_add(view, "no daemon is running; ");
        view_due(view, doc);
    } else if (strcmp(state, "stopped") == 0 || strcmp(state, "paused") == 0) {
        bool unknown = strcmp(status_text(api, "state"), "unknown") == 0;
        view_must(unknown ? buf_append_str(&view->line, STR("no instance holds a slot"))
                          : buf_printf(&view->line, "%s for ", status_text(api, "state")) &&
                                human_age(status_number(api, "for_s"), &view->line));
        view_add(view, "; ");
        view_due(view, doc);
    } else {
        if (sending != NULL) {
            view_must(buf_printf(&view->line, "%.1f/s; ", status_number(sending, "sent_per_s")));
        }
        view_due(view, doc);
        if (strcmp(state, "behind") == 0) {
            view_to_go(view, doc);
        }
        if (sending != NULL) {
            view_must(buf_printf(&view->line, "; limited by %s",
                                 view_limit_words(status_text(sending, "limited_by"))));
        }
    }
    view_end(view, view_states[i].style, view_states[i].words);
}

static void view_stuck(struct view *view, struct json_object *doc)
{
    struct json_object *list = status_at(doc, "stuck");
    for (size_t i = 0; i < view_length(list); i++) {
        view_add(view, i == 0 ? "" : "; ");
        view_add(view, json_object_get_string(json_object_array_get_idx(list, i)));
    }
    bool any = view_length(list) > 0;
    view_add(view, any ? "" : "nothing");
    view_end(view, any ? VIEW_WARN : VIEW_HEAD, "stuck");
}

static void view_attention(struct view *view, struct json_object *doc)
{
    struct json_object *list = status_at(doc, "attention");
    size_t count = view_length(list);
    size_t most = view->budget.attention < count ? view->budget.attention : count;
    for (size_t i = 0; i < most; i++) {
        view_add(view, json_object_get_string(json_object_array_get_idx(list, i)));
        view_end(view, VIEW_WARN, i == 0 ? "look at" : "");
    }
    if (count == 0) {
        view_add(view, "nothing");
        view_end(view, VIEW_HEAD, "look at");
    }
    view_more(view, count, most);
}

// ---- sections --------------------------------------------------------------------------------

static void view_lane(struct view *view, struct json_object *queue, const char *lane)
{
    struct json_object *counts = status_at(queue, lane);
    bool exact = status_flag(counts, "exact");
    static const char *const keys[] = {"pending", "due", "retrying"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        view_cell_count(view, 12, status_count(counts, keys[i]), exact);
    }
    view_cell_age(view, 14, counts, "oldest_s");
    view_cell_age(view, 14, counts, "late_s");
    char lead[VIEW_LEAD + 1];
    snprintf(lead, sizeof lead, "  %s", lane);
    view_end(view, VIEW_PLAIN, lead);
}

static void view_queue(struct view *view, struct json_object *doc)
{
    struct json_object *queue = status_at(doc, "queue");
    view_blank(view);
    view_must(buf_printf(&view->line, "%12s%12s%12s%14s%14s", "pending", "due", "retrying",
                         "oldest", "late"));
    view_end(view, VIEW_HEAD, "queue");
    view_lane(view, queue, "live");
    view_lane(view, queue, "backfill");
}

static void view_times(struct view *view, struct json_object *sending)
{
    static const struct {
        const char *words;
        const char *key;
        const char *end; // the lead of the line that ends behind it
    } times[] = {
        {"p50 ", "p50_ms", NULL},
        {", p95 ", "p95_ms", NULL},
        {", p99 ", "p99_ms", NULL},
        {"; a settle ", "db_ms", "  answers"},
        {"from the change to its acceptance: p50 ", "lag_p50_ms", NULL},
        {", p99 ", "lag_p99_ms", "  lag"},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        view_add(view, times[i].words);
        view_must(human_ms(status_number(sending, times[i].key), &view->line));
        if (times[i].end != NULL) {
            view_end(view, VIEW_PLAIN, times[i].end);
        }
    }
}

static void view_history(struct view *view, struct json_object *sending)
{
    double values[256];
    struct json_object *list = status_at(sending, "history_per_s");
    size_t count = view_length(list);
    int room = view->screen->width - VIEW_LEAD;
    size_t most = room <= 0 ? 0 : (size_t)room;
    size_t from = count > most ? count - most : 0;
    size_t shown = 0;
    for (size_t i = from; i < count && shown < sizeof values / sizeof values[0]; i++) {
        values[shown++] = json_object_get_double(json_object_array_get_idx(list, i));
    }
    view_must(human_sparkline(values, shown, view->screen->utf8, &view->line));
    view_end(view, VIEW_PLAIN, "  5 minutes");
}

static void view_sending(struct view *view, struct json_object *doc)
{
    struct json_object *sending = status_at(doc, "sending");
    view_blank(view);
    if (sending == NULL) {
        bool any = view_length(status_at(doc, "instances")) > 0;
        view_add(view, any ? "no instance has reported lately" : "no daemon is running");
        view_end(view, VIEW_HEAD, "sending");
        return;
    }
    view_must(buf_printf(&view->line, "%10s%10s%10s%10s%10s%12s", "now", "1 min", "5 min",
                         "allowed", "limit", "in flight"));
    view_end(view, VIEW_HEAD, "sending");
    static const char *const keys[] = {"sent_per_s", "sent_per_s_1min", "sent_per_s_5min",
                                       "rate_per_s", "rate_limit_per_s"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        view_cell_rate(view, 10, sending, keys[i]);
    }
    char busy[48];
    snprintf(busy, sizeof busy, "%lld/%lld", (long long)status_count(sending, "in_flight"),
             (long long)status_count(sending, "workers"));
    view_cell(view, 12, busy);
    view_end(view, VIEW_PLAIN, "  a second");
    view_times(view, sending);
    view_history(view, sending);
}

// What it is at, in a word.
static const char *view_instance_word(struct json_object *instance)
{
    if (!status_flag(instance, "alive")) {
        return "gone";
    }
    if (status_count(instance, "slots") == 0) {
        return "standby";
    }
    const char *pool = status_text(status_at(instance, "stats"), "pool");
    return pool[0] != '\0' ? pool : status_flag(instance, "pool_open") ? "open" : "closed";
}

static void view_instance(struct view *view, struct json_object *instance)
{
    char name[80];
    snprintf(name, sizeof name, "%.60s:%s", status_text(instance, "host"),
             status_text(instance, "pid"));
    view_must(buf_printf(&view->line, "%-20s %-7s %-9s", name, status_text(instance, "version"),
                         status_text(instance, "kind")));
    view_cell_age(view, 9, instance, "up_s");
    view_cell_age(view, 8, instance, "seen_s");
    view_must(buf_printf(&view->line, "  %s%s%s", view_instance_word(instance),
                         status_count(instance, "slots") > 0 ? " " : "",
                         status_text(instance, "slot_ranges")));
    view_end(view, VIEW_PLAIN, "");
}

static void view_instances(struct view *view, struct json_object *doc)
{
    struct json_object *list = status_at(doc, "instances");
    size_t count = view_length(list);
    view_blank(view);
    if (count == 0) {
        view_add(view, "none");
        view_end(view, VIEW_HEAD, "instances");
        return;
    }
    view_must(buf_printf(&view->line, "%-20s %-7s %-9s%9s%8s  pool, slots", "host:pid", "version",
                         "kind", "up", "seen"));
    view_end(view, VIEW_HEAD, "instances");
    size_t most = view->budget.instances < count ? view->budget.instances : count;
    for (size_t i = 0; i < most; i++) {
        view_instance(view, json_object_array_get_idx(list, i));
    }
    view_more(view, count, most);
}

// What a narrow terminal cuts off stands last.
static void view_backfill(struct view *view, struct json_object *run, const char *lead)
{
    int64_t total = status_count(run, "total");
    int64_t settled = status_count(run, "settled");
    view_must(buf_printf(&view->line, "%-20.32s %-8s%5.1f %%  ", status_text(run, "name"),
                         status_text(run, "state"),
                         total <= 0 ? 0.0 : 100.0 * (double)settled / (double)total));
    if (status_at(run, "left_s") != NULL) {
        view_must(human_age(status_number(run, "left_s"), &view->line) &&
                  buf_append_str(&view->line, STR(" left  ")));
    }
    if (status_at(run, "settled_per_s") != NULL) {
        view_must(buf_printf(&view->line, "%.1f/s  ", status_number(run, "settled_per_s")));
    }
    if (status_count(run, "dead") > 0) {
        view_must(human_count(status_count(run, "dead"), &view->line) &&
                  buf_append_str(&view->line, STR(" dead  ")));
    }
    view_must(
        human_count(settled, &view->line) &&
        buf_append_str(&view->line, status_flag(run, "total_exact") ? STR(" of ") : STR(" of ~")) &&
        human_count(total, &view->line));
    view_end(view, lead[0] == '\0' ? VIEW_PLAIN : VIEW_HEAD, lead);
}

static void view_backfills(struct view *view, struct json_object *doc)
{
    struct json_object *list = status_at(doc, "backfills");
    size_t count = view_length(list);
    size_t most = view->budget.instances < count ? view->budget.instances : count;
    if (count > 0) {
        view_blank(view);
    }
    for (size_t i = 0; i < most; i++) {
        view_backfill(view, json_object_array_get_idx(list, i), i == 0 ? "backfills" : "");
    }
    view_more(view, count, most);
}

static void view_reason(struct view *view, struct json_object *reason)
{
    view_cell_count(view, 8, status_count(reason, "rows"), true);
    view_must(buf_printf(&view->line, "%7s", status_text(reason, "http_status")));
    view_cell_age(view, 12, reason, "newest_s");
    view_must(buf_printf(&view->line, "  %s", status_text(reason, "type")));
    struct json_object *params = status_at(reason, "params");
    for (size_t i = 0; i < view_length(params); i++) {
        view_must(buf_printf(&view->line, "%s%s", i == 0 ? " " : ",",
                             json_object_get_string(json_object_array_get_idx(params, i))));
    }
    view_end(view, VIEW_PLAIN, "");
}

static void view_dead(struct view *view, struct json_object *doc)
{
    struct json_object *dead = status_at(doc, "dead");
    struct json_object *list = status_at(dead, "reasons");
    size_t count = view_length(list);
    if (count == 0) {
        return;
    }
    view_blank(view);
    view_must(buf_printf(&view->line, "%8s%7s%12s  reason", "rows", "http", "newest"));
    view_end(view, VIEW_HEAD, "dead");
    size_t most = view->budget.dead < count ? view->budget.dead : count;
    for (size_t i = 0; i < most; i++) {
        view_reason(view, json_object_array_get_idx(list, i));
    }
    view_more(view, count, most);
}

static void view_watches(struct view *view, struct json_object *doc)
{
    struct json_object *tables = status_at(status_at(doc, "watches"), "tables");
    for (size_t i = 0; i < view_length(tables); i++) {
        struct json_object *table = json_object_array_get_idx(tables, i);
        view_must(buf_printf(&view->line, "%s%s(%s)", i == 0 ? "" : ", ",
                             status_text(table, "table"), status_text(table, "key")));
    }
    view_add(view, view_length(tables) == 0 ? "no table" : "");
    view_end(view, VIEW_HEAD, "watched");
}

static void view_storage(struct view *view, struct json_object *doc)
{
    struct json_object *storage = status_at(doc, "storage");
    view_must(human_bytes(status_count(storage, "outbox_bytes"), &view->line) &&
              buf_append_str(&view->line, STR(", ")) &&
              human_count(status_count(storage, "dead_tuples"), &view->line) &&
              buf_append_str(&view->line, STR(" dead tuples, vacuumed ")));
    bool ever = status_at(storage, "vacuumed_s") != NULL;
    view_must((ever ? human_age(status_number(storage, "vacuumed_s"), &view->line) &&
                          buf_append_str(&view->line, STR(" ago"))
                    : buf_append_str(&view->line, STR("never"))) &&
              buf_append_str(&view->line, STR("; ")) &&
              human_count(status_count(storage, "live_tuples"), &view->line) &&
              buf_append_str(&view->line, STR(" rows; indexes ")) &&
              human_bytes(status_count(storage, "index_bytes"), &view->line));
    view_end(view, VIEW_HEAD, "outbox");
}

static void view_vacuum(struct view *view, struct json_object *doc)
{
    struct json_object *blocker = status_at(status_at(doc, "vacuum"), "blocker");
    if (blocker == NULL) {
        view_add(view, "no open transaction holds it back");
        view_end(view, VIEW_HEAD, "vacuum");
        return;
    }
    view_add(view, "held back for ");
    view_must(status_at(blocker, "age_s") != NULL
                  ? human_age(status_number(blocker, "age_s"), &view->line)
                  : human_count(status_count(blocker, "age_xids"), &view->line) &&
                        buf_append_str(&view->line, STR(" transactions")));
    view_must(buf_printf(&view->line, " by %s %s (%s", status_text(blocker, "kind"),
                         status_text(blocker, "pid"), status_text(blocker, "name")));
    static const char *const keys[] = {"application", "state"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value = status_text(blocker, keys[i]);
        view_must(buf_printf(&view->line, "%s%s", value[0] == '\0' ? "" : ", ", value));
    }
    view_add(view, ")");
    view_end(view, VIEW_HEAD, "vacuum");
}

static void view_prune(struct view *view, struct json_object *doc)
{
    struct json_object *prune = status_at(doc, "prune");
    if (status_at(prune, "ended_s") == NULL) {
        view_add(view, "never");
    } else {
        view_must(human_count(status_count(prune, "deleted"), &view->line) &&
                  buf_append_str(&view->line, STR(" rows ")) &&
                  human_age(status_number(prune, "ended_s"), &view->line) &&
                  buf_append_str(&view->line, STR(" ago")));
    }
    view_add(view, "; done rows are kept for ");
    view_must(human_age(status_number(prune, "retention_s"), &view->line));
    view_end(view, VIEW_HEAD, "pruned");
}

static void view_draw(struct view *view, struct json_object *doc, const char *notice)
{
    if (notice != NULL) {
        view_add(view, notice);
        view_end(view, VIEW_BAD, "NO DATABASE");
    }
    view_state(view, doc);
    view_stuck(view, doc);
    view_attention(view, doc);
    view_queue(view, doc);
    view_sending(view, doc);
    view_instances(view, doc);
    view_backfills(view, doc);
    view_dead(view, doc);
    if (view->budget.details) {
        view_blank(view);
        view_watches(view, doc);
        view_storage(view, doc);
        view_vacuum(view, doc);
        view_prune(view, doc);
    }
}

// Cuts what is too high after all.
static void view_crop(struct buf *out, int height)
{
    size_t len = 0;
    for (int lines = 0; lines < height && len < out->len; len++) {
        lines += out->data[len] == '\n';
    }
    buf_truncate(out, len);
}

void status_view(struct json_object *doc, const struct status_screen *screen, const char *notice,
                 struct buf *out)
{
    static const struct view_budget budgets[] = {
        {true, 20, 10, 10, true}, {true, 5, 5, 4, true},  {true, 3, 3, 2, true},
        {false, 3, 3, 2, true},   {false, 2, 1, 1, true}, {false, 1, 1, 1, false},
    };
    size_t count = sizeof budgets / sizeof budgets[0];
    struct buf text;
    buf_init(&text, VIEW_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_reset(&text);
        struct view view = {.screen = screen, .budget = budgets[i], .out = &text};
        buf_init(&view.line, VIEW_MAX);
        view_draw(&view, doc, notice);
        buf_free(&view.line);
        if (screen->height == 0 || view.lines <= screen->height) {
            break;
        }
    }
    if (screen->height > 0) {
        view_crop(&text, screen->height);
    }
    view_must(buf_append_str(out, buf_peek(&text)));
    buf_free(&text);
}
