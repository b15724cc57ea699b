// Whether the daemon is alive, judged by what it must do and not by its loop, which also turns when
// an answer was lost or something never begins.
//
// Everything that it waits for has a limit of its own: a request its timeout, a try to connect its
// time, a call to the database the statement's timeout, an idle outbox its next look. So each duty
// has a time by which it is over, in an outage as well as in idleness. One that is long past its
// time is stuck, and only a new process will go on.
//
// Pure: the facts are collected by their owners. It takes two looks in a row to call something
// stuck, for after a suspended machine wakes everything is late once.
#ifndef DOMAIN_PULSE_H
#define DOMAIN_PULSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Behind a duty's own limit.
#define PULSE_GRACE_NS (INT64_C(10) * 1000000000)

enum pulse_duty {
    PULSE_DUTY_NONE,
    PULSE_DUTY_CONNECTION, // connecting, or the statement under way, has a limit
    PULSE_DUTY_LISTENER,   // the same of the connection for database.listen_dsn
    PULSE_DUTY_HELLO,      // a call to the database comes back
    PULSE_DUTY_READ,
    PULSE_DUTY_SETTLE,
    PULSE_DUTY_HEARTBEAT,
    PULSE_DUTY_COUNT,
    PULSE_DUTY_REQUEST,    // a request ends
    PULSE_DUTY_POLLING,    // with slots and room the outbox is looked at
    PULSE_DUTY_HEARTBEATS, // with a connection heartbeats are sent
    PULSE_DUTY_SENDING,    // what is queued begins, unless it is known when it may
    PULSE_DUTY_SETTLING,   // with a connection outcomes are written
};
enum { PULSE_DUTIES = PULSE_DUTY_SETTLING + 1 };

// Times are the loop's. `..._due_ns` is when something is over by its own limit; INT64_MAX: nothing
// is waited for. `..._call_ns` is when a call began; 0: none is under way.
struct pulse_facts {
    bool connected;        // to a database that can be used
    int64_t call_bound_ns; // for a call and those that stood before it
    int64_t connection_due_ns;
    int64_t listener_due_ns;
    int64_t hello_call_ns;
    int64_t read_call_ns;
    int64_t settle_call_ns;
    int64_t heartbeat_call_ns;
    int64_t count_call_ns;

    bool beats;            // heartbeats are to be sent
    int64_t beat_every_ns; // at least
    int64_t heard_ns;      // the last answer, a failure too

    bool reads; // it has slots, and room in memory
    int64_t read_every_ns;
    int64_t read_ns; // the last answer, a failure too

    bool sends; // not stopping
    size_t queued;
    size_t in_flight;
    int64_t request_due_ns; // of the one that ends first
    int64_t begun_ns;       // the last request
    int64_t begin_due_ns;   // when the next may begin

    size_t unsettled;      // outcomes to be written
    int64_t settle_due_ns; // where one has to wait: until when
};

struct pulse {
    int64_t since_ns[PULSE_DUTIES]; // the duty is there; 0: it is not
    bool late[PULSE_DUTIES];        // at the look before
    int64_t overdue_ns;             // of what the last look found
};

void pulse_init(struct pulse *pulse);

// PULSE_DUTY_NONE: alive. Otherwise the duty that is stuck. Call it at the end of a turn, when all
// that can be done has been done.
enum pulse_duty pulse_look(struct pulse *pulse, const struct pulse_facts *facts, int64_t now);

const char *pulse_duty_name(enum pulse_duty duty); // "request"

#endif
