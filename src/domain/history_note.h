// What `history` remembers by name: reasons of dead rows, counts of events, notes. Part of history.
#ifndef DOMAIN_HISTORY_NOTE_H
#define DOMAIN_HISTORY_NOTE_H

#include "domain/history.h"

// Counts the event, and keeps a note of it if it is one that tells of a change.
void history_note(struct history *history, const struct logline *line);

// The reason of an update that was given up; `rows` of the outbox went with it.
void history_note_dead(struct history *history, const struct logline *line, int64_t rows);

#endif
