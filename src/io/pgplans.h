// Which statements one session of Postgres has prepared, and under which names.
#ifndef IO_PGPLANS_H
#define IO_PGPLANS_H

enum { PGPLANS_MAX = 24, PGPLANS_NAME_SIZE = 16 };

// All zero: none.
struct pgplans {
    char *texts[PGPLANS_MAX]; // owned
    int count;
};

// The number of a statement's text; -1: it is not among them.
int pgplans_find(const struct pgplans *plans, const char *sql);
// Adds it (copied) and gives its number. Not when they are full.
int pgplans_add(struct pgplans *plans, const char *sql);
void pgplans_clear(struct pgplans *plans);

// The name of statement `number`.
void pgplans_name(int number, char name[PGPLANS_NAME_SIZE]);

#endif
