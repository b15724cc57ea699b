#include "app/backfill_progress.h"

#include "app/screen.h"
#include "base/clock.h"
#include "base/mem.h"
#include "domain/human.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_DRAW_NS (CLOCK_NS_PER_SEC / 4)
#define PROGRESS_LOG_NS (10 * CLOCK_NS_PER_SEC)
#define PROGRESS_SAMPLE_NS CLOCK_NS_PER_SEC
enum {
    PROGRESS_SAMPLES = 30,
    PROGRESS_TEXT_MAX = 8192,
    PROGRESS_BAR_MIN = 10,
    PROGRESS_BAR_MAX = 60,
    PROGRESS_NAME_MAX = 24,
    PROGRESS_MARGIN = 3, // for the ^C that the terminal shows, and the cursor
};

struct progress {
    struct progress_options options;
    struct progress_counts counts;
    const char *paused;
    bool noted;
    int columns; // of the bar on the terminal's last line; 0: it does not stand there
    int64_t next_ns;
    // Settled at, the oldest first; a ring.
    struct progress_sample {
        int64_t at_ns;
        int64_t settled;
    } samples[PROGRESS_SAMPLES];
    size_t sample_count;
    size_t sample_next;
};

static void progress_must(bool ok)
{
    assert(ok); // all of it is of bounded length
    (void)ok;
}

static int64_t progress_settled(const struct progress_counts *counts)
{
    return counts->done + counts->unchanged + counts->dead;
}

// As far as it can be said: what is enqueued already is certain.
static int64_t progress_total(const struct progress_view *view)
{
    if (view->counts.walked || view->counts.enqueued > view->total) {
        return view->counts.enqueued;
    }
    return view->total;
}

static double progress_share(const struct progress_view *view)
{
    int64_t total = progress_total(view);
    double share = total <= 0 ? 1 : (double)progress_settled(&view->counts) / (double)total;
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

// Negative: unknown.
static double progress_left_s(const struct progress_view *view)
{
    int64_t left = progress_total(view) - progress_settled(&view->counts);
    return view->total < 0 || left < 0 || view->per_s <= 0 ? -1 : (double)left / view->per_s;
}

// ---- the line ------------------------------------------------------------------------------

static void progress_add_bar(const struct progress_view *view, int columns, struct buf *out)
{
    int full = (int)(progress_share(view) * columns);
    for (int i = 0; i < columns; i++) {
        const char *mark = i < full ? (view->utf8 ? "\u2588" : "#") : (view->utf8 ? "\u2591" : ".");
        progress_must(buf_append_str(out, str_of(mark)));
    }
}

static void progress_add_counts(const struct progress_view *view, struct buf *out)
{
    bool exact = view->exact || view->counts.walked;
    progress_must(human_count(progress_settled(&view->counts), out));
    if (view->total >= 0) {
        progress_must(buf_append_str(out, exact ? STR(" of ") : STR(" of ~")) &&
                      human_count(progress_total(view), out));
    }
}

static void progress_add_pace(const struct progress_view *view, struct buf *out)
{
    double left_s = progress_left_s(view);
    if (view->paused != NULL) {
        progress_must(buf_printf(out, "  waiting: %s", view->paused));
        return;
    }
    progress_must(buf_printf(out, "  %.1f/s", view->per_s));
    if (left_s >= 0) {
        progress_must(buf_append_str(out, STR("  ")) && human_age(left_s, out) &&
                      buf_append_str(out, STR(" left")));
    }
}

static void progress_add_dead(const struct progress_view *view, struct buf *out)
{
    bool dead = view->counts.dead > 0;
    progress_must(buf_append_str(out, STR("  ")) &&
                  (!dead || !view->color || buf_append_str(out, STR("\x1b[1;31m"))) &&
                  human_count(view->counts.dead, out) && buf_append_str(out, STR(" dead")) &&
                  (!dead || !view->color || buf_append_str(out, STR("\x1b[0m"))));
}

static void progress_add_unchanged(const struct progress_view *view, struct buf *out)
{
    progress_must(buf_append_str(out, STR("  ")) && human_count(view->counts.unchanged, out) &&
                  buf_append_str(out, STR(" unchanged")));
}

static int progress_columns(struct str text)
{
    int columns = 0;
    bool escape = false;
    for (size_t i = 0; i < text.len; i++) {
        escape = escape || text.ptr[i] == '\x1b';
        columns += !escape && ((unsigned char)text.ptr[i] & 0xC0) != 0x80;
        escape = escape && text.ptr[i] != 'm';
    }
    return columns;
}

// As many of the parts as fit, in this order.
static void progress_add_parts(const struct progress_view *view, size_t most, int room,
                               struct buf *out)
{
    static void (*const parts[])(const struct progress_view *, struct buf *) = {
        progress_add_counts, progress_add_pace, progress_add_dead, progress_add_unchanged};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && i < most; i++) {
        size_t before = out->len;
        parts[i](view, out);
        if (progress_columns(buf_peek(out)) > room) {
            buf_truncate(out, before);
            break;
        }
    }
}

static void progress_add_head(const struct progress_view *view, bool named, struct buf *out)
{
    if (named) {
        progress_must(buf_printf(out, "%.*s ", PROGRESS_NAME_MAX, view->name));
    }
    if (view->total >= 0) {
        progress_must(buf_printf(out, "%5.1f %% ", 100 * progress_share(view)));
    }
}

// True when the line has room for a bar, or is to have none.
static bool progress_lay_out(const struct progress_view *view, bool named, size_t most, bool bar,
                             struct buf *out)
{
    struct buf tail;
    buf_init(&tail, PROGRESS_TEXT_MAX);
    buf_reset(out);
    progress_add_head(view, named, out);
    int room = view->width - PROGRESS_MARGIN - progress_columns(buf_peek(out));
    progress_add_parts(view, most, bar ? INT_MAX : room, &tail);
    int columns = room - progress_columns(buf_peek(&tail)) - 1;
    bool fits = !bar || columns >= PROGRESS_BAR_MIN;
    if (bar && fits) {
        progress_add_bar(view, columns < PROGRESS_BAR_MAX ? columns : PROGRESS_BAR_MAX, out);
        progress_must(buf_append_char(out, ' '));
    }
    progress_must(buf_append_str(out, buf_peek(&tail)));
    buf_free(&tail);
    return fits;
}

// On a narrow terminal the name gives way first, then what is unchanged, then the bar, and then
// the other parts, the last ones first.
void progress_line(const struct progress_view *view, struct buf *out)
{
    static const struct {
        bool named;
        size_t most;
        bool bar;
    } layouts[] = {{true, 4, true}, {false, 4, true}, {false, 3, true}, {false, 4, false}};
    size_t at = view->total >= 0 ? 0 : sizeof layouts / sizeof layouts[0] - 1;
    while (!progress_lay_out(view, layouts[at].named || view->total < 0, layouts[at].most,
                             layouts[at].bar, out)) {
        at++;
    }
    if (progress_columns(buf_peek(out)) > view->width) {
        buf_truncate(out, (size_t)view->width); // a name or a share alone, in ASCII
    }
}

// ---- showing it ----------------------------------------------------------------------------

static struct progress_view progress_view(const struct progress *progress)
{
    return (struct progress_view){.name = progress->options.name,
                                  .total = progress->options.total,
                                  .exact = progress->options.exact,
                                  .counts = progress->counts,
                                  .per_s = progress_per_s(progress),
                                  .paused = progress->paused};
}

// A terminal that has become narrower than the bar has wrapped it.
static void progress_to_start(const struct progress *progress, int width)
{
    int lines = progress->columns > 0 && width > 0 ? (progress->columns - 1) / width : 0;
    putchar('\r');
    if (lines > 0) {
        printf("\x1b[%dA\x1b[J", lines);
    }
}

static void progress_draw(struct progress *progress)
{
    struct progress_view view = progress_view(progress);
    view.width = screen_size().width;
    view.color = screen_has_color();
    view.utf8 = screen_has_utf8();
    struct buf line;
    buf_init(&line, PROGRESS_TEXT_MAX);
    progress_line(&view, &line);
    progress_to_start(progress, view.width);
    printf("%s\x1b[K", line.data);
    fflush(stdout);
    progress->columns = progress_columns(buf_peek(&line));
    buf_free(&line);
}

// Before a line of the log, which would end up in the middle of the bar.
static void progress_clear(void *ctx)
{
    struct progress *progress = ctx;
    if (progress->columns > 0) {
        progress_to_start(progress, screen_size().width);
        progress->columns = 0;
        fputs("\x1b[K", stdout);
        fflush(stdout);
    }
}

static void progress_log(const struct progress *progress)
{
    const struct progress_view view = progress_view(progress);
    const struct progress_counts *counts = &progress->counts;
    double left_s = progress_left_s(&view);
    log_event(progress->options.log, LOG_LEVEL_INFO, "backfill.progress",
              LOG_TEXT("name", view.name), LOG_I64("done", progress_settled(counts)),
              LOG_I64(view.total < 0 ? NULL : "total", progress_total(&view)),
              LOG_I64("enqueued", counts->enqueued), LOG_F64("rate", view.per_s),
              LOG_I64(left_s < 0 ? NULL : "left_s", (int64_t)left_s),
              LOG_I64("unchanged", counts->unchanged), LOG_I64("dead", counts->dead),
              LOG_TEXT("paused", view.paused == NULL ? "no" : view.paused));
}

struct progress *progress_create(const struct progress_options *options)
{
    struct progress *progress = mem_calloc(1, sizeof *progress);
    progress->options = *options;
    if (options->bar) {
        log_before_line(options->log, progress_clear, progress);
    }
    return progress;
}

void progress_destroy(struct progress *progress)
{
    if (progress != NULL) {
        if (progress->options.bar) {
            log_before_line(progress->options.log, NULL, NULL);
        }
        free(progress);
    }
}

void progress_note(struct progress *progress, const struct progress_counts *counts, int64_t now)
{
    progress->counts = *counts;
    if (!progress->noted) {
        progress->noted = true;
        progress->next_ns = progress->options.bar ? now : now + PROGRESS_LOG_NS;
    }
    size_t last = (progress->sample_next + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES;
    if (progress->sample_count > 0 && now - progress->samples[last].at_ns < PROGRESS_SAMPLE_NS) {
        return;
    }
    progress->samples[progress->sample_next] =
        (struct progress_sample){.at_ns = now, .settled = progress_settled(counts)};
    progress->sample_next = (progress->sample_next + 1) % PROGRESS_SAMPLES;
    progress->sample_count += progress->sample_count < PROGRESS_SAMPLES;
}

double progress_per_s(const struct progress *progress)
{
    size_t count = progress->sample_count;
    if (count < 2) {
        return 0;
    }
    size_t first = (progress->sample_next + PROGRESS_SAMPLES - count) % PROGRESS_SAMPLES;
    size_t last = (progress->sample_next + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES;
    int64_t rows = progress->samples[last].settled - progress->samples[first].settled;
    int64_t ns = progress->samples[last].at_ns - progress->samples[first].at_ns;
    return rows <= 0 ? 0 : (double)rows * (double)CLOCK_NS_PER_SEC / (double)ns;
}

void progress_pump(struct progress *progress, const char *paused, int64_t now)
{
    progress->paused = paused;
    if (!progress->noted || now < progress->next_ns) {
        return;
    }
    progress->next_ns = now + (progress->options.bar ? PROGRESS_DRAW_NS : PROGRESS_LOG_NS);
    if (progress->options.bar) {
        progress_draw(progress);
    } else {
        progress_log(progress);
    }
}

int64_t progress_next_ns(const struct progress *progress)
{
    return progress->noted ? progress->next_ns : INT64_MAX;
}

void progress_redraw(struct progress *progress)
{
    if (progress->options.bar && progress->columns > 0) {
        progress_draw(progress);
    }
}

void progress_end(struct progress *progress)
{
    if (progress->options.bar && progress->noted) {
        progress->paused = NULL;
        progress_draw(progress);
        progress->columns = 0;
        putchar('\n');
        fflush(stdout);
    }
}
