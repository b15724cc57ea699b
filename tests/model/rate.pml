/*
 * The rate: two instances share the slots, RATE tokens a slot and tick, BURST in all.
 *
 * Who may count which slot is the business of lease.pml: what it proves, that no two instances
 * count a slot at one time, is taken for granted here (SLOTS free ones that are taken and given).
 * The observer is the promise itself as a bucket: it starts full, gets the rate, and every request
 * takes one token from it. It never runs empty exactly if no window of t ticks sees more than
 * rate * t + burst requests.
 */
#define N 2
#define SLOTS 4
#define RATE 1  /* a slot and tick, in parts of a token */
#define TOKEN 6 /* parts */
#define BURST 4 /* tokens in all */

byte free = SLOTS;
byte own[N];    /* slots that the gate counts */
byte credit[N]; /* in parts */
byte giving[N]; /* given back, but the gate does not know yet */
short promise = BURST * TOKEN;
byte i;

#define CAPACITY(x) (own[x] * BURST * TOKEN / SLOTS)

inline clamp(x)
{
    if
#ifndef NO_CLAMP
    :: credit[x] > CAPACITY(x) -> credit[x] = CAPACITY(x)
#endif
    :: else
    fi
}

inline fill(x)
{
    credit[x] = credit[x] + own[x] * RATE;
    if
    :: credit[x] > BURST * TOKEN -> credit[x] = BURST * TOKEN
    :: else
    fi;
    clamp(x)
}

inline tick()
{
    promise = promise + SLOTS * RATE;
    if
    :: promise > BURST * TOKEN -> promise = BURST * TOKEN
    :: else
    fi;
    fill(0);
    fill(1)
}

inline gain(x)
{
    free--;
    own[x]++;
#ifdef GAIN_FILLS
    credit[x] = credit[x] + BURST * TOKEN / SLOTS
#endif
}

inline start(x)
{
    credit[x] = credit[x] - TOKEN;
    promise = promise - TOKEN;
    assert(promise >= 0);
#ifdef REACH
    assert(REACH != 1 || promise > 0 || own[x] == SLOTS); /* both use up the burst together */
#endif
}

/* The process ends, in whatever way; its successor begins with nothing. */
inline restart(x)
{
    free = free + own[x] - giving[x];
    own[x] = 0;
    giving[x] = 0;
#ifdef FULL_START
    credit[x] = BURST * TOKEN
#else
    credit[x] = 0
#endif
}

#define INSTANCE(x)                                                                                \
    :: d_step { free > 0 -> gain(x) }                                                              \
    :: d_step { credit[x] >= TOKEN && own[x] > 0 -> start(x) }                                     \
    :: d_step { own[x] > giving[x] -> lower(x) }                                                   \
    :: d_step { giving[x] > 0 -> own[x] = own[x] - giving[x]; giving[x] = 0; clamp(x) }            \
    :: d_step { true -> restart(x) }

/* Giving back: the gate first, then the database. */
inline lower(x)
{
    free++;
#ifdef CLAMP_LATE
    giving[x]++
#else
    own[x]--;
    clamp(x)
#endif
}

init
{
    do
    :: d_step { true -> tick() }
    INSTANCE(0)
    INSTANCE(1)
    od
}
