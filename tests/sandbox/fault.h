/*
 * fault: troubles on demand. A spec is a comma-separated list such as
 * `status=503,p=0.1` (README.md has all words). struct faults owns the list and the
 * random numbers; a request that was hit keeps a reference of its own, since the list
 * may be replaced while it waits.
 */
#ifndef SANDBOX_FAULT_H
#define SANDBOX_FAULT_H

#include "answer.h"
#include "text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_kind {
    FAULT_KIND_NONE,     /* only a delay, or only another 2xx status */
    FAULT_KIND_STATUS,   /* an error answer */
    FAULT_KIND_RESET,    /* the connection is reset, no answer */
    FAULT_KIND_HANG,     /* no answer ever */
    FAULT_KIND_CUT,      /* half of the answer, then the end */
    FAULT_KIND_OTHER_ID, /* the customer, under an id that was not asked for */
    FAULT_KIND_NOT_JSON, /* 200 with a page */
    FAULT_KIND_HUGE,     /* 200 with 5 MB */
    FAULT_KIND_EMPTY,    /* 200 without a body */
    FAULT_KIND_REDIRECT,
};

enum { FAULT_HEADERS = 4 };

struct fault {
    char *spec;
    int references;
    enum fault_kind kind;
    int status; /* 0: the one that goes with the kind */
    enum answer_shape shape;
    int64_t delay_ms;
    int64_t retry_after_s; /* -1: no such header */
    bool retry_after_date;
    int applied; /* 1, 0, or -1 when the spec does not say */
    double p;
    int64_t left; /* requests it may still hit; -1: any number */
    int64_t hits;
    char *customer;
    char *type;
    char *param;
    char *message;
    char *headers[FAULT_HEADERS]; /* `Name: value` */
};

struct faults {
    struct fault **list;
    size_t count;
    uint64_t random;
};

/* NULL and a reason in `why` when the spec makes no sense. */
struct fault *fault_create(const char *spec, struct text *why);

/* Gives one reference back; NULL is fine. */
void fault_release(struct fault *fault);

/* Whether the update is applied although the fault hits. */
bool fault_applies(const struct fault *fault);

/* Whether the update itself is late, not only its answer: a delay with before=1. */
bool fault_delays_update(const struct fault *fault);

/* Whether it only makes sense on an update that was accepted. */
bool fault_needs_acceptance(const struct fault *fault);

/* Takes `fault` over. */
void faults_add(struct faults *faults, struct fault *fault);

/* The first one that hits this customer's request now, as a reference, or NULL. */
struct fault *faults_pick(struct faults *faults, const char *customer);

/* Undoes a pick that had no effect, and gives the reference back. */
void faults_return(struct fault *fault);

void faults_clear(struct faults *faults);

#endif
