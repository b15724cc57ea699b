#include "domain/pulse.h"

#include <assert.h>

void pulse_init(struct pulse *pulse)
{
    *pulse = (struct pulse){.overdue_ns = 0};
}

// Since when a duty has been there, as far as the looks tell.
static int64_t pulse_since_ns(struct pulse *pulse, enum pulse_duty duty, bool there, int64_t now)
{
    int64_t *since_ns = &pulse->since_ns[duty];
    *since_ns = !there ? 0 : *since_ns == 0 ? now : *since_ns;
    return *since_ns;
}

static int64_t pulse_call_due_ns(const struct pulse_facts *facts, int64_t began_ns)
{
    return began_ns == 0 ? INT64_MAX : began_ns + facts->call_bound_ns;
}

// Something that is done again and again: `last_ns` it was, `every_ns` it should be.
static int64_t pulse_routine_due_ns(struct pulse *pulse, const struct pulse_facts *facts,
                                    enum pulse_duty duty, bool there, int64_t last_ns,
                                    int64_t every_ns, int64_t now)
{
    int64_t since_ns = pulse_since_ns(pulse, duty, there, now);
    if (since_ns == 0) {
        return INT64_MAX;
    }
    return (last_ns > since_ns ? last_ns : since_ns) + every_ns + facts->call_bound_ns;
}

static bool pulse_is_to_come(int64_t at_ns, int64_t now)
{
    return at_ns > now && at_ns < INT64_MAX;
}

// With a request in flight its answer is what is waited for: it frees a worker or a token.
static int64_t pulse_sending_due_ns(struct pulse *pulse, const struct pulse_facts *facts,
                                    int64_t now)
{
    bool stands = facts->sends && facts->queued > 0 && facts->in_flight == 0 &&
                  !pulse_is_to_come(facts->begin_due_ns, now);
    int64_t since_ns = pulse_since_ns(pulse, PULSE_DUTY_SENDING, stands, now);
    if (since_ns == 0) {
        return INT64_MAX;
    }
    return facts->begun_ns > since_ns ? facts->begun_ns : since_ns;
}

static int64_t pulse_settling_due_ns(struct pulse *pulse, const struct pulse_facts *facts,
                                     int64_t now)
{
    bool stands = facts->connected && facts->unsettled > 0 && facts->settle_call_ns == 0 &&
                  !pulse_is_to_come(facts->settle_due_ns, now);
    int64_t since_ns = pulse_since_ns(pulse, PULSE_DUTY_SETTLING, stands, now);
    return since_ns == 0 ? INT64_MAX : since_ns;
}

enum pulse_duty pulse_look(struct pulse *pulse, const struct pulse_facts *facts, int64_t now)
{
    const int64_t due_ns[] = {
        [PULSE_DUTY_NONE] = INT64_MAX,
        [PULSE_DUTY_CONNECTION] = facts->connection_due_ns,
        [PULSE_DUTY_LISTENER] = facts->listener_due_ns,
        [PULSE_DUTY_HELLO] = pulse_call_due_ns(facts, facts->hello_call_ns),
        [PULSE_DUTY_READ] = pulse_call_due_ns(facts, facts->read_call_ns),
        [PULSE_DUTY_SETTLE] = pulse_call_due_ns(facts, facts->settle_call_ns),
        [PULSE_DUTY_HEARTBEAT] = pulse_call_due_ns(facts, facts->heartbeat_call_ns),
        [PULSE_DUTY_COUNT] = pulse_call_due_ns(facts, facts->count_call_ns),
        [PULSE_DUTY_REQUEST] = facts->request_due_ns,
        [PULSE_DUTY_POLLING] =
            pulse_routine_due_ns(pulse, facts, PULSE_DUTY_POLLING, facts->connected && facts->reads,
                                 facts->read_ns, facts->read_every_ns, now),
        [PULSE_DUTY_HEARTBEATS] = pulse_routine_due_ns(pulse, facts, PULSE_DUTY_HEARTBEATS,
                                                       facts->connected && facts->beats,
                                                       facts->heard_ns, facts->beat_every_ns, now),
        [PULSE_DUTY_SENDING] = pulse_sending_due_ns(pulse, facts, now),
        [PULSE_DUTY_SETTLING] = pulse_settling_due_ns(pulse, facts, now),
    };
    static_assert(sizeof due_ns / sizeof due_ns[0] == PULSE_DUTIES, "a time for each");
    enum pulse_duty stuck = PULSE_DUTY_NONE;
    for (size_t i = 0; i < PULSE_DUTIES; i++) {
        bool late = due_ns[i] < now - PULSE_GRACE_NS;
        if (late && pulse->late[i] && stuck == PULSE_DUTY_NONE) {
            stuck = (enum pulse_duty)i;
            pulse->overdue_ns = now - due_ns[i];
        }
        pulse->late[i] = late;
    }
    return stuck;
}

const char *pulse_duty_name(enum pulse_duty duty)
{
    static const char *const names[] = {
        [PULSE_DUTY_NONE] = "none",
        [PULSE_DUTY_CONNECTION] = "connection",
        [PULSE_DUTY_LISTENER] = "listener",
        [PULSE_DUTY_HELLO] = "hello",
        [PULSE_DUTY_READ] = "read",
        [PULSE_DUTY_SETTLE] = "settle",
        [PULSE_DUTY_HEARTBEAT] = "heartbeat",
        [PULSE_DUTY_COUNT] = "count",
        [PULSE_DUTY_REQUEST] = "request",
        [PULSE_DUTY_POLLING] = "polling",
        [PULSE_DUTY_HEARTBEATS] = "heartbeats",
        [PULSE_DUTY_SENDING] = "sending",
        [PULSE_DUTY_SETTLING] = "settling",
    };
    static_assert(sizeof names / sizeof names[0] == PULSE_DUTIES, "a name for each");
    return names[duty];
}
