/*
 * The leases: one slot, one customer in it, N instances, the database, the API.
 *
 * Slots do not influence each other, so one is enough. Each step below is atomic; the steps of all
 * come in any order, so a step that does not come for long is a stopped process, a slow request or
 * a silent network. docs/ARCHITECTURE.md, "Leases", has the proof that this checks.
 *
 * Time: tick() moves everybody's clock by one. No clock is compared with another: each variable
 * counts the ticks since, or until, something that its owner saw itself. A process that was stopped
 * in mid-turn decides with an old `now`; the model lets such decisions come at any time at all, and
 * reads the clock only where the program must read it afresh: before the bytes (send), before it
 * asks (ask), and when it has read an answer (see).
 *
 * Counters: epoch and renewals would grow for ever. All that the protocol asks of them is whether
 * the row is still as somebody saw it, so that is what is kept: a bit that every change clears.
 *
 * Each of these adds behaviour; all at once are too many states:
 *   (default)     requests that wait before they are sent, and answers that are late
 *   -DPROMPT      instead, requests that are sent as they begin and end with the API's work
 *   -DREST=1      outcomes that are unknown, and then the rows rest
 *   -DLATE=1      heartbeats that arrive after their connection was given up
 *   -DSLOW_ASK    heartbeats that take time to reach the database
 *   -DFAILOVER    a standby that takes over with an older row
 *   -DCALM        from some time on nothing fails: is the slot served again?
 *   -DG, -DDRIFT  how long the API and the clocks may be off
 * Other names leave out one rule (see tests/model/run); -DREACH=n claims that a state of interest
 * is never reached.
 */
#ifndef N
#define N 2
#endif
#define T 1 /* imprint.timeout */
#define L 3 /* outbox.lease, at least 3*T */
#ifndef G
#define G 1 /* how long the API is still at work on a request after its connection was reset */
#endif
#ifndef DRIFT
#define DRIFT 0 /* by how much a taker's clock runs ahead in one lease */
#endif
#ifndef REST
#define REST 0
#endif
#ifndef LATE
#define LATE 0
#endif
#ifdef NO_MARGIN
#define MARGIN 0
#elif defined(HALF_MARGIN)
#define MARGIN T
#else
#define MARGIN (2 * T)
#endif
#ifdef TAKE_EARLY
#define PATIENCE (L - T)
#else
#define PATIENCE (L - DRIFT)
#endif

#define NOBODY N      /* the slot is free */
#define GHOST (N + 1) /* its holder's process is no more */

/* What a heartbeat asks for. */
#define NOTHING 0
#define KEEP 1
#define TAKE 2
#define GIVE 3

/* An instance's view of the slot. */
#define UNSEEN 0
#define HELD 1     /* by another */
#define TAKEABLE 2 /* free, or its own in the database alone */

/* Who holds it, in an answer. */
#define FREE 1
#define ME 2
#define OTHER 3

/* A request, as its sender sees it. */
#define IDLE 0
#define BEGUN 1 /* given to libcurl, which may have to connect first */
#define SENT 2

/* ---- the database ---------------------------------------------------------------------- */

byte holder = NOBODY;
byte due;     /* the customer's rows rest so long: after an unknown outcome */
bool ghosted; /* the first heartbeat after a failover has been here */

/* ---- the API --------------------------------------------------------------------------- */

byte api; /* at work on a request, for so many ticks at most */

/* ---- the instances --------------------------------------------------------------------- */

typedef instance {
    /* struct lease_slot */
    bool mine;
    bool giving;   /* it was asked to be given back: nothing of it begins any more */
    byte left;     /* until its deadline */
    byte seen;
    byte age;      /* since it was last seen to change */
    byte answered; /* since the last heartbeat that was answered was asked */
    byte wary;     /* since a new timeline: for so long nothing is free at once */
    /* The heartbeat under way, and its answer. */
    byte asking; /* 0 none, 1 on its way, 2 the answer is */
    byte wish;
    byte asked; /* since then */
    byte a_holder;
    bool a_epoch; /* the answer shows the epoch that was seen before */
    bool a_same;  /* and the renewals */
    /* The request. */
    byte request;
    short not_after; /* until it may be sent */
    bool fence;      /* the lease is still as it was when the customer was read */
    /* A heartbeat of a connection that is gone, which may yet reach the database. */
    byte late;
    bool late_ghost; /* and its sender is gone as well */
    /* Is the row in the database as it was: */
    bool same, epoch;           /* when last seen */
    bool a_is_same, a_is_epoch; /* when the answer was made */
    bool late_same, late_epoch; /* when the late heartbeat was asked */
#ifdef FAILOVER
    bool timeline; /* knows of the new one */
    bool r_same, r_epoch, r_a_same, r_a_epoch; /* the same questions of the replica's row */
#endif
};
instance in[N];

#ifdef FAILOVER
byte r_holder = NOBODY; /* what a standby has got */
byte r_due;
bool r_current = 1;
bool failed_over;
#endif

byte i, k;

/* Once it is calm nothing fails any more, and everybody asks once a tick. */
#ifdef CALM
bool calm;
byte calm_for;
bool beaten[N];
#define CALMED calm
#else
#define CALMED false
#endif

/* When it begins a request, an instance goes by a clock that it may have read long ago. */
#ifdef NO_PREREQ
#define MAY_BEGIN(x) (in[x].left >= MARGIN)
#else
#define MAY_BEGIN(x) true
#endif

/* Whether instance x may use the slot's part of the rate. */
#ifdef CLAMP_LATE
#define USES(x) (in[x].mine && in[x].left > 0)
#else
#define USES(x) (in[x].mine && in[x].left > 0 && !in[x].giving)
#endif

/* ---- how the row changes --------------------------------------------------------------- */

inline row_changed(also_epoch)
{
    for (k : 0 .. N - 1) {
        in[k].same = 0;
        in[k].a_is_same = 0;
        in[k].late_same = 0;
        if
        :: also_epoch ->
            in[k].epoch = 0;
            in[k].a_is_epoch = 0;
            in[k].late_epoch = 0;
            in[k].fence = 0
        :: else
        fi
    }
#ifdef FAILOVER
    r_current = 0
#endif
}

/* Only the holder: neither epoch nor renewals. */
inline row_given()
{
    holder = NOBODY;
    for (k : 0 .. N - 1) {
        in[k].fence = 0
    }
#ifdef FAILOVER
    r_current = 0
#endif
}

/* imprint_sync.heartbeat(), asked by `who`: `is_same`, `is_epoch` compare the row with the wish. */
inline heartbeat(who, what, is_same, is_epoch)
{
#ifdef FAILOVER
    if
    :: failed_over && !ghosted ->
        /* The first one on a new timeline: what looks free may have been granted and lost. */
        ghosted = 1;
#ifndef NO_GHOST
        if
        :: holder == NOBODY -> holder = GHOST
        :: else
        fi;
        row_changed(false)
#endif
    :: else
    fi;
#endif
    if
    :: what == KEEP && holder == who && is_epoch -> row_changed(false)
    :: what == GIVE && holder == who && is_epoch -> row_given()
    :: what == TAKE && (holder == NOBODY || is_same) ->
#ifdef REACH
        /* An overdue slot of somebody who is alive. */
        assert(REACH != 1 || holder == NOBODY || holder == who || holder == GHOST);
#endif
        row_changed(true);
        holder = who
    :: else
    fi
}

/* ---- what an instance does ------------------------------------------------------------- */

inline lose()
{
    in[i].mine = 0;
    in[i].giving = 0;
    in[i].left = 0
}

/* Relay: the customer's rows are read, a token is taken, the request is given to libcurl. */
inline begin()
{
    in[i].request = BEGUN;
    in[i].not_after = in[i].left - MARGIN;
    in[i].fence = REST && holder == i && in[i].epoch
}

/* CURLOPT_PREREQFUNCTION and the writing of the bytes, on a fresh clock. */
inline send()
{
    if
#ifdef NO_PREREQ
    :: true ->
#else
    :: in[i].not_after >= 0 ->
#endif
        assert(api == 0); /* no two requests of one customer overlap */
        /* Nor do two instances use one part of the rate. */
        for (k : 0 .. N - 1) {
            assert(DRIFT > 0 || k == i || !USES(k))
        }
        api = T + G;
        in[i].request = SENT
#ifndef NO_PREREQ
    :: else ->
#ifdef REACH
        assert(REACH != 2); /* refused here */
#endif
        in[i].request = IDLE;
        in[i].fence = 0
#endif
    fi;
    in[i].not_after = 0
}

/* The answer, a timeout or a reset, and its settle. */
inline finish()
{
    if
    :: api > 0 ->
        /* Given up: the API may be at work for a little longer, and the rows rest. */
        if
        :: api > G && REST -> api = G
        :: else
        fi;
#ifndef NO_REST
        if
        :: in[i].fence && REST -> due = T
        :: else
#ifdef REACH
            assert(REACH != 3); /* settled too late */
#endif
        fi
#endif
    :: else
    fi;
    in[i].request = IDLE;
    in[i].fence = 0
}

inline forget_heartbeat()
{
    in[i].asking = 0;
    in[i].wish = NOTHING;
    in[i].asked = 0;
    in[i].a_holder = 0;
    in[i].a_epoch = 0;
    in[i].a_same = 0;
    in[i].a_is_same = 0;
    in[i].a_is_epoch = 0
#ifdef FAILOVER
    ;
    in[i].r_a_same = 0;
    in[i].r_a_epoch = 0
#endif
}

#ifdef FAILOVER
/* The hello of a connection to a new server: of what is not ours, or may be given back already,
   nothing is known any more. */
inline meet()
{
#ifndef NO_WARY
    if
#ifndef GIVE_TWICE
    :: in[i].giving -> lose()
#endif
    :: else
    fi;
    if
    :: !in[i].mine -> in[i].seen = UNSEEN; in[i].age = 0
    :: else
    fi;
    in[i].wary = L;
#endif
    in[i].timeline = 1
}
#define KNOWS_SERVER(x) (!failed_over || in[x].timeline)
#else
#define KNOWS_SERVER(x) true
#endif

/* In the database: the wish is done and the answer made. */
inline answer()
{
    heartbeat(i, in[i].wish, in[i].same, in[i].epoch);
    in[i].asking = 2;
    in[i].a_holder = (holder == NOBODY -> FREE : (holder == i -> ME : OTHER));
    in[i].a_epoch = in[i].epoch;
    in[i].a_same = in[i].same;
    in[i].a_is_same = 1;
    in[i].a_is_epoch = 1;
#ifdef FAILOVER
    in[i].r_a_same = r_current;
    in[i].r_a_epoch = r_current
#endif
}

/* lease_see() */
inline see()
{
    if
#ifdef WATCH_ANEW
    :: true -> in[i].age = 0
#endif
    :: in[i].seen == UNSEEN || !in[i].a_same || (in[i].seen == HELD) != (in[i].a_holder == OTHER) ->
#ifdef SEEN_BY_LOOP
        in[i].age = in[i].asked /* seen at the turn's now, long before it was read */
#else
        in[i].age = 0
#endif
    :: else
    fi;
#ifdef FAILOVER
    in[i].r_same = in[i].r_a_same;
    in[i].r_epoch = in[i].r_a_epoch;
#endif
    if
    :: in[i].a_holder == OTHER -> in[i].seen = HELD
    :: else -> in[i].seen = TAKEABLE; in[i].age = 0
    fi;
    in[i].same = in[i].a_is_same;
    in[i].epoch = in[i].a_is_epoch
}

/* lease_apply() */
inline apply()
{
    if
    :: in[i].mine && in[i].a_holder == ME && in[i].a_epoch ->
        if
#ifdef DEADLINE_FROM_ANSWER
        :: in[i].wish == KEEP -> in[i].left = L
#else
        :: in[i].wish == KEEP -> in[i].left = L - in[i].asked
#endif
        :: else
        fi
    :: !in[i].mine && in[i].wish == TAKE && in[i].a_holder == ME && !in[i].a_epoch &&
       in[i].answered < L ->
        in[i].mine = 1;
#ifdef DEADLINE_FROM_ANSWER
        in[i].left = L
#else
#ifdef DEADLINE_FROM_ASKING
        in[i].left = L - in[i].asked
#else
        in[i].left = L - in[i].answered
#endif
#endif
    :: else -> lose()
    fi;
    see();
    in[i].answered = in[i].asked;
    forget_heartbeat()
}

/* ---- faults ---------------------------------------------------------------------------- */

/* The connection is lost, but the heartbeat reaches the database later. */
inline send_late()
{
    in[i].late = in[i].wish;
    in[i].late_ghost = 0;
    in[i].late_same = in[i].same;
    in[i].late_epoch = in[i].epoch;
    forget_heartbeat()
}

inline forget_late()
{
    in[i].late = NOTHING;
    in[i].late_ghost = 0;
    in[i].late_same = 0;
    in[i].late_epoch = 0
}

inline late_arrives()
{
#ifdef REACH
    assert(REACH != 4 || in[i].late != TAKE || holder != NOBODY); /* a take that nobody knows of */
#endif
    if
    :: in[i].late_ghost -> heartbeat(GHOST, in[i].late, in[i].late_same, in[i].late_epoch)
    :: else -> heartbeat(i, in[i].late, in[i].late_same, in[i].late_epoch)
    fi;
    forget_late()
}

/* lease_plan() */
#ifdef GIVE_BUSY
#define CAN_GIVE(x) (KNOWS_SERVER(x) && in[x].mine)
#else
#define CAN_GIVE(x)                                                                                \
    (KNOWS_SERVER(x) && in[x].mine && in[x].request == IDLE && !(CALMED && !in[x].giving))
#endif
#define CAN_KEEP(x) (KNOWS_SERVER(x) && in[x].mine && !in[x].giving)
#define CAN_TAKE(x)                                                                               \
    (KNOWS_SERVER(x) && !in[x].mine &&                                                             \
     (in[x].seen == TAKEABLE && in[x].wary == 0 ||                                 \
      in[x].seen == HELD && in[x].age >= PATIENCE))

#define CAN_LOOK(x)                                                                                \
    (KNOWS_SERVER(x) && in[x].asking == 0 && !in[x].mine && !(CALMED && CAN_TAKE(x)))

inline ask(what)
{
    in[i].wish = what;
    in[i].asking = 1;
    in[i].asked = 0;
    in[i].giving = what == GIVE
#ifdef CALM
    ;
    beaten[i] = calm
#endif
}

/* kill -9, and another process in its place with another name. What it sent goes on. */
inline crash()
{
    forget_heartbeat();
    if
    :: holder == i -> holder = GHOST
    :: else
    fi;
#ifdef FAILOVER
    if
    :: r_holder == i -> r_holder = GHOST
    :: else
    fi;
    in[i].timeline = failed_over;
    in[i].r_same = 0;
    in[i].r_epoch = 0;
#endif
    if
    :: in[i].late != NOTHING -> in[i].late_ghost = 1
    :: else
    fi;
    lose();
    in[i].seen = UNSEEN;
    in[i].age = 0;
    in[i].wary = 0;
    in[i].answered = L;
    in[i].request = IDLE;
    in[i].not_after = 0;
    in[i].fence = 0;
    in[i].same = 0;
    in[i].epoch = 0
}

#ifdef FAILOVER
inline replicate()
{
    r_holder = holder;
    r_due = due;
    r_current = 1;
    for (k : 0 .. N - 1) {
        in[k].r_same = in[k].same;
        in[k].r_epoch = in[k].epoch;
        in[k].r_a_same = in[k].a_is_same;
        in[k].r_a_epoch = in[k].a_is_epoch
    }
}

/* The standby takes over, with whatever it has got. The old primary is no more. */
inline failover()
{
    failed_over = 1;
    holder = r_holder;
    due = r_due;
    for (k : 0 .. N - 1) {
        in[k].same = in[k].r_same;
        in[k].epoch = in[k].r_epoch;
        in[k].a_is_same = in[k].r_a_same;
        in[k].a_is_epoch = in[k].r_a_epoch;
        in[k].fence = in[k].fence && holder == k && in[k].epoch;
        i = k;
        if
        :: in[k].asking == 1 -> forget_heartbeat()
        :: else
        fi;
        /* It has to connect anew, and the turn in which it asks begins after that. */
        if
        :: in[k].mine && in[k].left == 0 -> lose()
        :: else
        fi;
        in[k].late = NOTHING;
        in[k].late_ghost = 0;
        in[k].late_same = 0;
        in[k].late_epoch = 0
    }
}
#endif

/* ---- time ------------------------------------------------------------------------------ */

inline down(value)
{
    if
    :: value > 0 -> value--
    :: else
    fi
}

inline up(value, most)
{
    if
    :: value < most -> value++
    :: else
    fi
}

/* A prompt request is over for its sender when it is over at the API. */
inline answered_by_api()
{
    if
#ifdef PROMPT
    :: api == 0 ->
        for (k : 0 .. N - 1) {
            in[k].request = IDLE
        }
#endif
    :: else
    fi
}

inline tick()
{
    down(api);
    answered_by_api();
    down(due);
    for (k : 0 .. N - 1) {
        if
        :: in[k].request == BEGUN && in[k].not_after >= 0 -> in[k].not_after--
        :: else
        fi;
        if
        :: in[k].seen == HELD -> up(in[k].age, L)
        :: else
        fi;
        up(in[k].answered, L);
        down(in[k].left);
        down(in[k].wary);
        if
        :: in[k].asking != 0 -> up(in[k].asked, L)
        :: else
        fi
    }
}

/* ---- all together ---------------------------------------------------------------------- */

/* At most one heartbeat at a time is late. */
#if N > 2
#define NONE_LATE (in[0].late == NOTHING && in[1].late == NOTHING && in[2].late == NOTHING)
#else
#define NONE_LATE (in[0].late == NOTHING && in[1].late == NOTHING)
#endif

/* A heartbeat reaches the database as it is asked (or slowly, or late), or never. */
#ifdef SLOW_ASK
#define ASK(x, what, guard)                                                                        \
    :: d_step { in[x].asking == 0 && guard(x) -> i = x; ask(what); i = 0; k = 0 }
#else
#define ASK(x, what, guard)                                                                        \
    :: d_step { in[x].asking == 0 && guard(x) -> i = x; ask(what); answer(); i = 0; k = 0 }        \
    :: d_step { !CALMED && in[x].asking == 0 && guard(x) ->                                        \
                i = x; ask(what); forget_heartbeat(); i = 0; k = 0 }                               \
    :: d_step { LATE && in[x].asking == 0 && NONE_LATE && guard(x) ->                  \
                i = x; ask(what); send_late(); i = 0; k = 0 }
#endif

#define STEP(x, guard, action) :: d_step { guard -> i = x; action; i = 0; k = 0 }

#ifdef UNDRAIN
#define UNDRAIN_STEP(x)                                                                            \
    :: d_step { in[x].asking == 0 -> in[x].giving = 0 }
#else
#define UNDRAIN_STEP(x)
#endif

#ifdef FAILOVER
#define MEET(x) STEP(x, failed_over && !in[x].timeline && in[x].asking == 0, meet())
#else
#define MEET(x)
#endif

#ifdef CALM
#define MAY_TICK(x) (beaten[x] && in[x].asking == 0)
#define MAY_SERVE(x) (in[x].mine && !in[x].giving && in[x].left >= MARGIN)

/* Two turns after a lease somebody serves the slot, and it goes on being served. */
inline progress()
{
    if
    :: calm ->
        up(calm_for, L + 2);
        assert(calm_for < L + 2 || MAY_SERVE(0) || MAY_SERVE(1))
    :: else
    fi;
    for (k : 0 .. N - 1) {
        beaten[k] = 0
    }
}
#endif

#define CAN_BEGIN(x)                                                                               \
    (in[x].request == IDLE && in[x].mine && !in[x].giving && due == 0 && MAY_BEGIN(x))

#ifdef PROMPT
#define REQUEST(x) STEP(x, CAN_BEGIN(x) && in[x].left >= MARGIN, begin(); send())
#else
#define REQUEST(x)                                                                                 \
    STEP(x, CAN_BEGIN(x), begin())                                                                 \
    STEP(x, in[x].request == BEGUN, send())                                                        \
    STEP(x, in[x].request == SENT && (REST || api == 0), finish())
#endif

#define INSTANCE(x)                                                                                \
    ASK(x, GIVE, CAN_GIVE)                                                                         \
    ASK(x, KEEP, CAN_KEEP)                                                                         \
    ASK(x, TAKE, CAN_TAKE)                                                                         \
    STEP(x, CAN_LOOK(x), ask(NOTHING); answer(); apply())                                          \
    STEP(x, in[x].asking == 1, answer())                                                           \
    STEP(x, in[x].asking == 2, apply())                                                            \
    STEP(x, in[x].asking != 0 && !CALMED, forget_heartbeat())                                      \
    STEP(x, LATE && in[x].asking == 1 && NONE_LATE, send_late())                       \
    STEP(x, in[x].late != NOTHING, late_arrives())                                                 \
    REQUEST(x)                                                                                     \
    UNDRAIN_STEP(x)                                                                                \
    STEP(x, in[x].mine && in[x].left == 0, lose()) /* lease_expire(), sooner or later */           \
    MEET(x)                                                                                        \
    STEP(x, !CALMED, crash())

init
{
    d_step {
        for (k : 0 .. N - 1) {
            in[k].answered = L
        }
        k = 0
    }
    do
#ifdef CALM
    :: d_step { !calm -> calm = 1 }
    :: d_step { !calm || MAY_TICK(0) && MAY_TICK(1) -> tick(); progress(); k = 0 }
#else
    :: d_step { true -> tick(); k = 0 }
#endif
    :: d_step { api > 0 -> api = 0; answered_by_api(); k = 0 }
#ifdef FAILOVER
    :: d_step { !failed_over && !r_current -> replicate(); k = 0 }
    :: d_step { !failed_over && !r_current -> failover(); k = 0; i = 0; k = 0 }
#endif
    INSTANCE(0)
    INSTANCE(1)
#if N > 2
    INSTANCE(2)
#endif
    od
}
