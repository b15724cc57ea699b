/*
 * Settling: the rows of one customer, the instance that owns its slot, and one that takes it over.
 *
 * That their requests do not overlap is the business of lease.pml: here a request is one step, and
 * only the present owner gets one past its last check. What is open is the outcome's way into the
 * database: its settle may be lost with its connection, before or after it was done, and is then
 * asked again; or it may arrive late, after the same has been asked again, or after the slot went.
 *
 * The customer's state goes 1, 2, 1, 2, ...: a change, and the change back. Each change adds a thin
 * row. Checked is that
 *   - a settle of a former owner changes nothing,
 *   - no row counts more attempts than there were failures,
 *   - an update is skipped as unchanged only if the API has accepted just that last,
 *   - when all rows are done, the API has the newest state.
 * -DNAME leaves out one rule (see tests/model/run), -DREACH=n claims that a state is never reached.
 */
#define CHANGES 3
#define FAILURES 1 /* in all */
#define TAKES 2

#define NONE 0
#define BODY(number) (2 - (number & 1))

/* What became of an update. */
#define QUEUED 0
#define ACCEPTED 1
#define FAILED 2 /* an answer, or none: the API may have taken it all the same */

/* ---- the database ---------------------------------------------------------------------- */

byte rows;                  /* so many changes so far */
bool pending[CHANGES + 1];
byte attempts[CHANGES + 1];
byte state;                 /* customer_state: what was accepted last */
byte owner; /* 2: whoever it was is dead */
byte epoch;                 /* so many takes so far */

/* ---- the API, and what really happened --------------------------------------------------- */

byte accepted;
byte failures[CHANGES + 1];
byte failed;

/* ---- the instances --------------------------------------------------------------------- */

typedef update {
    bool there;
    bool who;
    byte epoch;
    byte first; /* its rows are all that were pending from this one */
    byte last;  /* to this */
    byte attempts;
    byte outcome;
};
update own[2]; /* of each instance */
update late;   /* a settle that its sender has given up, and asks again */
byte floor[2]; /* rows up to this one were there when the slot was taken */

byte k;

/* ---- settle ---------------------------------------------------------------------------- */

#ifdef NO_FENCE
#define FENCED(u) true
#else
#define FENCED(u) (u.who == owner && u.epoch == epoch)
#endif

#ifdef NO_ATTEMPTS
#define AS_READ(u) pending[u.last]
#else
#define AS_READ(u) (pending[u.last] && attempts[u.last] == u.attempts)
#endif

#ifdef STATE_ALWAYS
#define REMEMBERS(u) (u.outcome == ACCEPTED)
#else
#define REMEMBERS(u) (u.outcome == ACCEPTED && AS_READ(u)) /* only with a row that it changes */
#endif

inline settle(u)
{
    if
    :: FENCED(u) ->
        assert(u.who == owner && u.epoch == epoch);
        if
        :: REMEMBERS(u) -> state = BODY(u.last)
        :: u.outcome == FAILED -> state = NONE
        :: else
        fi;
        if
        :: AS_READ(u) && u.outcome == FAILED ->
            attempts[u.last]++;
            assert(attempts[u.last] <= failures[u.last])
        :: AS_READ(u) && u.outcome == ACCEPTED ->
            for (k : u.first .. u.last) {
                pending[k] = 0
            }
        :: else
        fi
    :: else
#ifdef REACH
        assert(REACH != 1) /* refused */
#endif
    fi;
    k = 0
}

inline forget(u)
{
    u.there = 0;
    u.who = 0;
    u.epoch = 0;
    u.first = 0;
    u.last = 0;
    u.attempts = 0;
    u.outcome = 0
}

inline send_late(x)
{
    late.there = 1;
    late.who = x;
    late.epoch = own[x].epoch;
    late.first = own[x].first;
    late.last = own[x].last;
    late.attempts = own[x].attempts;
    late.outcome = own[x].outcome
}

/* ---- fold, and the request ------------------------------------------------------------- */

#ifdef NO_FLOOR
#define SKIPS(x) (state == BODY(rows))
#else
#define SKIPS(x) (state == BODY(rows) && own[x].first > floor[x])
#endif

inline read(x)
{
    own[x].there = 1;
    own[x].who = x;
    own[x].epoch = epoch;
    own[x].last = rows;
    own[x].attempts = attempts[rows];
    own[x].first = 1;
    do
    :: !pending[own[x].first] -> own[x].first++
    :: else -> break
    od;
    if
    :: SKIPS(x) ->
        assert(accepted == BODY(rows));
#ifdef REACH
        assert(REACH != 2); /* skipped */
#endif
        for (k : own[x].first .. rows) {
            pending[k] = 0
        }
        forget(own[x])
    :: else
    fi;
    k = 0
}

inline fail(x, arrived)
{
    own[x].outcome = FAILED;
    failed++;
    failures[own[x].last]++;
    if
    :: arrived -> accepted = BODY(own[x].last)
    :: else
    fi
}

inline take(x)
{
    owner = x;
    epoch++;
    floor[x] = rows
}

/* ---- all together ---------------------------------------------------------------------- */

#define MAY_SEND(x)                                                                                \
    (own[x].there && own[x].outcome == QUEUED && owner == x && own[x].epoch == epoch)
#define MAY_SETTLE(x) (own[x].there && own[x].outcome != QUEUED)

#define INSTANCE(x)                                                                                \
    :: d_step { owner == x && !own[x].there && pending[rows] -> read(x) }                          \
    :: d_step { MAY_SEND(x) -> accepted = BODY(own[x].last); own[x].outcome = ACCEPTED }           \
    :: d_step { MAY_SEND(x) && failed < FAILURES -> fail(x, true) }                                \
    :: d_step { MAY_SEND(x) && failed < FAILURES -> fail(x, false) }                               \
    :: d_step { MAY_SETTLE(x) -> settle(own[x]); forget(own[x]) }                                  \
    :: d_step { MAY_SETTLE(x) -> settle(own[x]) } /* the answer is lost */                         \
    :: d_step { MAY_SETTLE(x) && !late.there -> send_late(x) }                                     \
    :: d_step { own[x].there && own[x].outcome == QUEUED && !MAY_SEND(x) -> forget(own[x]) }       \
    :: d_step { epoch < TAKES && owner == x -> forget(own[x]); owner = 2 } /* kill -9 */           \
    :: d_step { epoch < TAKES && owner != x -> take(x) }

init
{
    do
    :: d_step { rows < CHANGES -> rows++; pending[rows] = 1 }
    :: d_step { late.there -> settle(late); forget(late) }
    :: d_step { rows > 0 && !pending[rows] && !own[0].there && !own[1].there && !late.there ->
                assert(accepted == BODY(rows)) }
    INSTANCE(0)
    INSTANCE(1)
    od
}
