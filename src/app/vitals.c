#include "app/vitals.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/outbox_status.h"

#include <assert.h>
#include <stdlib.h>

#define VITALS_NS (5 * CLOCK_NS_PER_SEC)

enum {
    VITALS_SAMPLES = 60, // of the rate: five minutes
    VITALS_JSON_MAX = 8192,
};

struct vitals {
    struct vitals_parts parts;
    struct loop_timer *timer;
    int64_t noted_ns; // since when `limit` has been so; 0: not yet
    enum relay_limit limit;
    int64_t limited_ns[RELAY_LIMIT_COUNT]; // within the present sample
    int64_t sampled_ns;
    int64_t sampled_sent;
    double samples[VITALS_SAMPLES]; // sent a second, oldest first
    size_t sample_count;
    const char *paused; // a constant; NULL: the pool is open
    int64_t paused_ns;  // since when
};

static void vitals_on_timer(void *ctx)
{
    (void)ctx; // the turn's end does the work
}

struct vitals *vitals_create(const struct vitals_parts *parts)
{
    struct vitals *vitals = mem_calloc(1, sizeof *vitals);
    vitals->parts = *parts;
    vitals->timer = loop_timer_open(parts->loop, vitals_on_timer, vitals);
    return vitals;
}

void vitals_destroy(struct vitals *vitals)
{
    if (vitals != NULL) {
        loop_timer_close(vitals->timer);
        free(vitals);
    }
}

void vitals_set_sender(struct vitals *vitals, struct sender *sender)
{
    vitals->parts.sender = sender;
}

static void vitals_note(struct vitals *vitals, int64_t now)
{
    if (vitals->noted_ns != 0) {
        vitals->limited_ns[vitals->limit] += now - vitals->noted_ns;
    } else {
        vitals->sampled_ns = now;
        vitals->paused_ns = now;
    }
    vitals->noted_ns = now;
    vitals->limit = relay_limit(vitals->parts.relay);
    const char *paused = relay_paused(vitals->parts.relay);
    if (paused != vitals->paused) {
        vitals->paused = paused;
        vitals->paused_ns = now;
    }
}

static void vitals_sample(struct vitals *vitals, int64_t now)
{
    int64_t sent = vitals->parts.stats->sent;
    double seconds = (double)(now - vitals->sampled_ns) / (double)CLOCK_NS_PER_SEC;
    if (vitals->sample_count == VITALS_SAMPLES) {
        for (size_t i = 1; i < VITALS_SAMPLES; i++) {
            vitals->samples[i - 1] = vitals->samples[i];
        }
        vitals->sample_count--;
    }
    vitals->samples[vitals->sample_count++] = (double)(sent - vitals->sampled_sent) / seconds;
    vitals->sampled_ns = now;
    vitals->sampled_sent = sent;
}

// What limited it longest within the sample. Idleness counts only where nothing else did for a
// tenth of the time: a little work in a quiet time is worth knowing.
static enum relay_limit vitals_main_limit(const struct vitals *vitals)
{
    enum relay_limit main = RELAY_LIMIT_NOTHING;
    int64_t most = VITALS_NS / 10;
    for (size_t i = RELAY_LIMIT_NOTHING + 1; i < RELAY_LIMIT_COUNT; i++) {
        if (vitals->limited_ns[i] > most) {
            main = (enum relay_limit)i;
            most = vitals->limited_ns[i];
        }
    }
    return main;
}

static double vitals_ms(const struct histogram *histogram, int percent)
{
    return (double)histogram_percentile_ns(histogram, percent) / (double)CLOCK_NS_PER_MS;
}

static bool vitals_print_rates(const struct vitals *vitals, struct buf *out)
{
    bool ok = buf_printf(out, "{\"sample_s\":%lld,\"sent_per_s\":[",
                         (long long)(VITALS_NS / CLOCK_NS_PER_SEC));
    for (size_t i = 0; ok && i < vitals->sample_count; i++) {
        ok = buf_printf(out, "%s%.1f", i == 0 ? "" : ",", vitals->samples[i]);
    }
    return ok && buf_append_char(out, ']');
}

static bool vitals_print_counters(const struct vitals *vitals, struct buf *out)
{
    const struct stats *stats = vitals->parts.stats;
    return buf_printf(out,
                      ",\"sent\":%lld,\"ok\":%lld,\"unchanged\":%lld,\"retried\":%lld,"
                      "\"failed\":%lld,\"throttled\":%lld,\"dead\":%lld,\"in_flight\":%zu",
                      (long long)stats->sent, (long long)stats->ok, (long long)stats->unchanged,
                      (long long)stats->retried, (long long)stats->failed,
                      (long long)stats->throttled, (long long)stats->dead,
                      sender_in_flight(vitals->parts.sender)) &&
           buf_printf(out,
                      ",\"p50_ms\":%.1f,\"p95_ms\":%.1f,\"p99_ms\":%.1f,\"lag_p50_ms\":%.1f,"
                      "\"lag_p99_ms\":%.1f,\"db_ms\":%.1f",
                      vitals_ms(stats->latency, 50), vitals_ms(stats->latency, 95),
                      vitals_ms(stats->latency, 99), vitals_ms(stats->lag, 50),
                      vitals_ms(stats->lag, 99), (double)stats->db_ns / (double)CLOCK_NS_PER_MS);
}

static bool vitals_print(const struct vitals *vitals, const struct config *config, int64_t now,
                         struct buf *out)
{
    const struct config_rate rate = config->delivery.rate;
    enum relay_limit limit = vitals_main_limit(vitals);
    const char *pool = vitals->paused == NULL ? "open" : vitals->paused;
    return vitals_print_rates(vitals, out) && vitals_print_counters(vitals, out) &&
           buf_printf(out,
                      ",\"workers\":%lld,\"rate_limit_per_s\":%.2f,\"rate_per_s\":%.2f,"
                      "\"limited_by\":\"%s\",\"pool\":\"%s\",\"pool_s\":%lld}",
                      (long long)config->delivery.workers,
                      (double)rate.count * (double)CLOCK_NS_PER_SEC / (double)rate.per_ns,
                      relay_rate_per_sec(vitals->parts.relay), relay_limit_name(limit), pool,
                      (long long)((now - vitals->paused_ns) / CLOCK_NS_PER_SEC));
}

void vitals_pump(struct vitals *vitals, const struct config *config, bool connected)
{
    int64_t now = loop_now_ns(vitals->parts.loop);
    vitals_note(vitals, now);
    if (now - vitals->sampled_ns < VITALS_NS) {
        loop_timer_set(vitals->timer, vitals->sampled_ns + VITALS_NS);
        return;
    }
    vitals_sample(vitals, now);
    struct buf json;
    buf_init(&json, VITALS_JSON_MAX);
    bool ok = vitals_print(vitals, config, now, &json);
    assert(ok); // all of it is of bounded length
    (void)ok;
    for (size_t i = 0; i < RELAY_LIMIT_COUNT; i++) {
        vitals->limited_ns[i] = 0;
    }
    if (connected) {
        outbox_report(vitals->parts.outbox, buf_peek(&json).ptr);
    }
    buf_free(&json);
    loop_timer_set(vitals->timer, now + VITALS_NS);
}
