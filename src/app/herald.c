#include "app/herald.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of one line to the next; where a state has changed sooner.
#define HERALD_NS (5 * CLOCK_NS_PER_SEC)
#define HERALD_SOON_NS CLOCK_NS_PER_SEC
// Counting is done so often, but takes no more than a fiftieth of the time.
#define HERALD_COUNT_NS (10 * CLOCK_NS_PER_SEC)

enum { HERALD_LINE_MAX = 256, HERALD_COUNT_SHARE = 50 };

struct herald {
    struct loop *loop;
    struct loop_timer *timer;
    bool heard;           // there is a service manager
    struct headline line; // as far as it is kept from turn to turn
    int64_t next_count_ns;
    bool connected;
    const char *paused;
    int64_t connected_ns; // since when it has been as it is
    int64_t paused_ns;
    int64_t sampled_ns;
    int64_t sampled_sent;
    int64_t told_ns;
    char told[HERALD_LINE_MAX];
};

static void herald_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

struct herald *herald_create(struct loop *loop)
{
    struct herald *herald = mem_calloc(1, sizeof *herald);
    int64_t now = clock_now_ns();
    herald->loop = loop;
    herald->timer = loop_timer_open(loop, herald_on_timer, herald);
    herald->heard = service_is_managed();
    herald->connected_ns = now;
    herald->paused_ns = now;
    herald->sampled_ns = now;
    return herald;
}

void herald_destroy(struct herald *herald)
{
    if (herald != NULL) {
        loop_timer_close(herald->timer);
        free(herald);
    }
}

bool herald_wants_counts(const struct herald *herald)
{
    return herald->heard && loop_now_ns(herald->loop) >= herald->next_count_ns;
}

void herald_note_counts(struct herald *herald, const struct outbox_counts *counts, int64_t began_ns)
{
    int64_t now = loop_now_ns(herald->loop);
    int64_t pause_ns = (now - began_ns) * HERALD_COUNT_SHARE;
    herald->next_count_ns = now + (pause_ns > HERALD_COUNT_NS ? pause_ns : HERALD_COUNT_NS);
    herald->line.counted = counts != NULL;
    if (counts != NULL) {
        herald->line.waiting = counts->pending;
        herald->line.oldest_s = counts->oldest_s;
        herald->line.dead = counts->dead;
    }
}

// Since when things are as they are.
static void herald_note(struct herald *herald, const struct herald_view *view, int64_t now)
{
    if (view->connected != herald->connected) {
        herald->connected = view->connected;
        herald->connected_ns = now;
    }
    if (view->paused != herald->paused) {
        herald->paused = view->paused;
        herald->paused_ns = now;
    }
}

static void herald_tell(struct herald *herald, const struct herald_view *view, int64_t now)
{
    struct headline *line = &herald->line;
    int64_t sample_ns = now - herald->sampled_ns;
    if (sample_ns >= HERALD_NS || (sample_ns > 0 && herald->told_ns == 0)) {
        line->sent_per_s = (double)(view->sent - herald->sampled_sent) * (double)CLOCK_NS_PER_SEC /
                           (double)sample_ns;
        herald->sampled_ns = now;
        herald->sampled_sent = view->sent;
    }
    line->stopping = view->stopping;
    line->connected = view->connected;
    line->lost_s = (now - herald->connected_ns) / CLOCK_NS_PER_SEC;
    line->allowed_per_s = view->allowed_per_s;
    line->api = view->paused == NULL ? "open" : view->paused;
    line->api_s = (now - herald->paused_ns) / CLOCK_NS_PER_SEC;
    line->in_flight = view->in_flight;
    line->slots = view->slots;
    line->slots_of = view->slots_of;
    struct buf text;
    buf_init(&text, sizeof herald->told);
    if (headline_print(line, &text) && strcmp(text.data, herald->told) != 0) {
        snprintf(herald->told, sizeof herald->told, "%s", text.data);
        service_status(herald->told);
    }
    buf_free(&text);
    herald->told_ns = now;
}

void herald_pump(struct herald *herald, const struct herald_view *view)
{
    if (!herald->heard) {
        return;
    }
    int64_t now = loop_now_ns(herald->loop);
    herald_note(herald, view, now);
    bool changed = herald->connected_ns > herald->told_ns || herald->paused_ns > herald->told_ns ||
                   view->stopping != herald->line.stopping;
    int64_t at_ns = herald->told_ns + (changed ? HERALD_SOON_NS : HERALD_NS);
    if (now >= at_ns) {
        herald_tell(herald, view, now);
        at_ns = now + HERALD_NS;
    }
    loop_timer_set(herald->timer, at_ns);
}
