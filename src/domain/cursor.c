#include "domain/cursor.h"

static const struct cursor_place cursor_start = {.due_us = INT64_MIN, .id = 0};

static bool cursor_before(struct cursor_place a, struct cursor_place b)
{
    return a.due_us < b.due_us || (a.due_us == b.due_us && a.id < b.id);
}

void cursor_init(struct cursor *cursor)
{
    cursor_reset(cursor);
}

void cursor_reset_slot(struct cursor *cursor, int slot)
{
    for (int priority = 0; priority < CURSOR_PRIORITIES; priority++) {
        cursor->lanes[cursor_lane_of(slot, priority)] =
            (struct cursor_lane){.read = cursor_start, .swept = cursor_start};
    }
}

void cursor_reset(struct cursor *cursor)
{
    for (int slot = 0; slot < CURSOR_SLOTS; slot++) {
        cursor_reset_slot(cursor, slot);
    }
}

void cursor_advance(struct cursor *cursor, size_t lane, int64_t now_us, struct cursor_place last,
                    bool exhausted)
{
    struct cursor_lane *at = &cursor->lanes[lane];
    const struct cursor_place limit = {.due_us = now_us - CURSOR_LOOK_BACK_US, .id = 0};
    if (cursor_before(limit, at->read) && now_us < at->read.due_us) {
        at->read = cursor_start;
        return;
    }
    struct cursor_place next = exhausted || cursor_before(limit, last) ? limit : last;
    if (cursor_before(at->read, next)) {
        at->read = next;
    }
}

void cursor_sweep_begin(struct cursor *cursor)
{
    for (size_t i = 0; i < CURSOR_LANES; i++) {
        struct cursor_lane *at = &cursor->lanes[i];
        at->swept = cursor_start;
        at->sweeping = cursor_before(cursor_start, at->read);
    }
}

void cursor_sweep_advance(struct cursor *cursor, size_t lane, struct cursor_place last,
                          bool exhausted)
{
    struct cursor_lane *at = &cursor->lanes[lane];
    if (cursor_before(at->swept, last)) {
        at->swept = last;
    }
    at->sweeping = at->sweeping && !exhausted && cursor_before(at->swept, at->read);
}

bool cursor_sweeping(const struct cursor *cursor)
{
    for (size_t i = 0; i < CURSOR_LANES; i++) {
        if (cursor->lanes[i].sweeping) {
            return true;
        }
    }
    return false;
}
