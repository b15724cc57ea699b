#include "wait.h"

#include "mem.h"

#include <stdlib.h>

static void put_at(struct waits *waits, size_t place, struct waiter *waiter)
{
    waits->heap[place] = waiter;
    waiter->place = place + 1;
}

static void move_up(struct waits *waits, size_t place)
{
    struct waiter *waiter = waits->heap[place];
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (waits->heap[parent]->due_ns <= waiter->due_ns) {
            break;
        }
        put_at(waits, place, waits->heap[parent]);
        place = parent;
    }
    put_at(waits, place, waiter);
}

static void move_down(struct waits *waits, size_t place)
{
    struct waiter *waiter = waits->heap[place];
    for (;;) {
        size_t child = place * 2 + 1;
        if (child >= waits->count) {
            break;
        }
        if (child + 1 < waits->count &&
            waits->heap[child + 1]->due_ns < waits->heap[child]->due_ns) {
            child++;
        }
        if (waiter->due_ns <= waits->heap[child]->due_ns) {
            break;
        }
        put_at(waits, place, waits->heap[child]);
        place = child;
    }
    put_at(waits, place, waiter);
}

void waits_add(struct waits *waits, struct waiter *waiter, int64_t due_ns)
{
    if (waits->count == waits->room) {
        waits->room = waits->room > 0 ? waits->room * 2 : 64;
        waits->heap = mem_resize(waits->heap, waits->room, sizeof(struct waiter *));
    }
    waiter->due_ns = due_ns;
    put_at(waits, waits->count++, waiter);
    move_up(waits, waits->count - 1);
}

void waits_remove(struct waits *waits, struct waiter *waiter)
{
    if (waiter->place == 0) {
        return;
    }
    size_t place = waiter->place - 1;
    waiter->place = 0;
    struct waiter *last = waits->heap[--waits->count];
    if (last != waiter) {
        put_at(waits, place, last);
        move_up(waits, place);
        move_down(waits, last->place - 1);
    }
}

struct waiter *waits_peek(const struct waits *waits)
{
    return waits->count > 0 ? waits->heap[0] : NULL;
}

void waits_free(struct waits *waits)
{
    free(waits->heap);
    *waits = (struct waits){0};
}
