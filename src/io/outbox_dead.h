// The statements about dead rows, for commands that run one after the other (session_query).
#ifndef IO_OUTBOX_DEAD_H
#define IO_OUTBOX_DEAD_H

// Every one that looks for rows takes the same five parameters first, each of which may be NULL:
//   $1 ids (int8[])  $2 customer id  $3 type of error  $4 field of an error  $5 died since
enum { OUTBOX_DEAD_FILTERS = 5 };

// $1 a timestamp, or NULL and $2 milliseconds ago. Yields the time as text; fails with SQLSTATE
// class 22 when $1 is no timestamp.
extern const char outbox_dead_since[];

// $6 limit: rows, http_status, type, params, oldest, newest, example ids, reason. Largest first, of
// the newest 100,000 rows.
extern const char outbox_dead_groups[];
// $6 limit: id, customer_id, died, attempts, http_status, type, params, reason. Newest first.
extern const char outbox_dead_rows[];
// How many rows of how many customers, and the time of the look: what died later is left alone.
// $6 limit.
extern const char outbox_dead_count[];
// A batch in the order of death: $6 died until, $7 and $8 place (died, id), $9 limit. Yields the
// ids as an array, the place behind them, and how many there are.
extern const char outbox_dead_batch[];

// $1 id: the row without its values. One row or none.
extern const char outbox_dead_show[];
// $1 id: payload and error.
extern const char outbox_dead_reveal[];

// $1 ids: how many went back.
extern const char outbox_dead_retry_thin[];
// $1 ids, $2 after, $3 page: later ids with commas between, next (NULL: the end), since.
extern const char outbox_dead_retry_later[];
// $1 ids, $2 later, $3 since, $4 force, $5 retention in seconds: held ids, how many these are, how
// many were refused, how many rows changed.
extern const char outbox_dead_retry_hold[];
// $1 held, $2 since.
extern const char outbox_dead_retry_release[];
// $1 limit: how many pending rows are due, up to it; how many instances are alive, $2 seconds.
extern const char outbox_dead_due[];

// $1 ids, $2 who: how many were deleted.
extern const char outbox_dead_discard[];

#endif
