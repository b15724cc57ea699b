#include "domain/history_note.h"

#include <stdio.h>
#include <string.h>

enum { HISTORY_LONG_BYTES = 4 * HISTORY_TEXT_BYTES }; // before it is cut

// Appends key=value, or the value alone, behind a comma; what does not fit is left out. Never a
// customer's id: only the keys that are asked for.
static void history_append(struct buf *out, const struct logline *line, const char *key, bool bare)
{
    size_t before = out->len;
    bool ok = before == 0 || buf_append_str(out, STR(", "));
    ok = ok && (bare || buf_printf(out, "%s=", key));
    size_t start = out->len;
    if (!ok || !logline_text(line, key, out) || out->len == start) {
        buf_truncate(out, before);
    }
}

static void history_copy(char *target, size_t size, struct str text)
{
    size_t len = text.len < size ? text.len : size - 1;
    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xC0U) == 0x80) {
        len--; // not in the middle of a character
    }
    memcpy(target, text.ptr, len);
    target[len] = '\0';
}

// ---- events --------------------------------------------------------------------------------

static void history_count(struct history *history, struct str event)
{
    size_t i = 0;
    while (i < history->event_count && !str_equal(str_of(history->events[i].name), event)) {
        i++;
    }
    if (i == HISTORY_EVENTS) {
        return;
    }
    if (i == history->event_count) {
        history->event_count++;
        history->events[i].count = 0;
        history_copy(history->events[i].name, sizeof history->events[i].name, event);
    }
    history->events[i].count++;
}

// ---- notes ---------------------------------------------------------------------------------

static bool history_is_worth_a_note(const struct logline *line)
{
    static const char *const groups[] = {"daemon.", "api.",   "db.",
                                         "source.", "watch.", "backfill."};
    static const char *const left_out[] = {"daemon.stopping", "backfill.progress"};
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++) {
        if (str_equal(line->event, str_of(left_out[i]))) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (str_starts(line->event, str_of(groups[i]))) {
            return true;
        }
    }
    return str_equal(line->event, STR("lease.lost"));
}

// Mostly the kind of answer is the kind of trouble.
static bool history_says_twice(const struct logline *line)
{
    char copy[HISTORY_TEXT_BYTES];
    struct buf reason;
    buf_init(&reason, HISTORY_TEXT_BYTES - 1);
    bool known = logline_text(line, "reason", &reason);
    history_copy(copy, sizeof copy, known ? buf_peek(&reason) : STR(""));
    buf_free(&reason);
    return known && logline_is(line, "detail", copy);
}

static struct str history_note_text(const struct logline *line, struct buf *text)
{
    static const char *const keys[] = {"version", "environment", "slots",   "during",   "changed",
                                       "restart", "relation",    "trigger", "sqlstate", "name",
                                       "state",   "total",       "done",    "dead",     "exit"};
    buf_reset(text);
    bool change = logline_text(line, "from", text) && buf_append_str(text, STR(" to ")) &&
                  logline_text(line, "to", text);
    if (!change) {
        buf_reset(text);
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        history_append(text, line, keys[i], false);
    }
    history_append(text, line, "reason", true);
    if (!history_says_twice(line)) {
        history_append(text, line, "detail", true);
    }
    return buf_peek(text);
}

static void history_add_note(struct history *history, const struct logline *line, struct str text)
{
    if (history->note_count == HISTORY_NOTES) {
        size_t half = HISTORY_NOTES / 2;
        memmove(&history->notes[half], &history->notes[half + 1],
                (HISTORY_NOTES - half - 1) * sizeof history->notes[0]);
        history->note_count--;
        history->notes_left_out++;
    }
    struct history_note *note = &history->notes[history->note_count++];
    *note = (struct history_note){.first_us = line->at_us, .last_us = line->at_us, .count = 1};
    history_copy(note->event, sizeof note->event, line->event);
    history_copy(note->text, sizeof note->text, text);
}

void history_note(struct history *history, const struct logline *line)
{
    history_count(history, line->event);
    if (!history_is_worth_a_note(line)) {
        return;
    }
    struct buf text;
    buf_init(&text, HISTORY_LONG_BYTES);
    struct str said = history_note_text(line, &text);
    char cut[HISTORY_TEXT_BYTES];
    history_copy(cut, sizeof cut, said);
    struct history_note *last =
        history->note_count == 0 ? NULL : &history->notes[history->note_count - 1];
    if (last != NULL && str_equal(str_of(last->event), line->event) &&
        strcmp(last->text, cut) == 0) {
        last->last_us = line->at_us;
        last->count++;
    } else {
        history_add_note(history, line, said);
    }
    buf_free(&text);
}

// ---- reasons -------------------------------------------------------------------------------

// Type and param of the API, or else the reason of the mapping or the source.
static void history_reason_text(const struct logline *line, char out[HISTORY_TEXT_BYTES])
{
    struct buf text;
    buf_init(&text, HISTORY_LONG_BYTES);
    history_append(&text, line, "type", true);
    history_append(&text, line, "param", true);
    if (text.len == 0) {
        history_append(&text, line, "reason", true);
    }
    if (text.len == 0) {
        history_append(&text, line, "http_status", false);
    }
    history_copy(out, HISTORY_TEXT_BYTES, text.len == 0 ? STR("(not said)") : buf_peek(&text));
    buf_free(&text);
}

void history_note_dead(struct history *history, const struct logline *line, int64_t rows)
{
    char text[HISTORY_TEXT_BYTES];
    history_reason_text(line, text);
    size_t i = 0;
    while (i < history->reason_count && strcmp(history->reasons[i].text, text) != 0) {
        i++;
    }
    if (i == HISTORY_REASONS) {
        history->other_rows += rows;
        return;
    }
    struct history_reason *reason = &history->reasons[i];
    if (i == history->reason_count) {
        history->reason_count++;
        *reason = (struct history_reason){.first_us = line->at_us, .last_us = line->at_us};
        memcpy(reason->text, text, sizeof text);
    }
    reason->updates++;
    reason->rows += rows;
    reason->first_us = line->at_us < reason->first_us ? line->at_us : reason->first_us;
    reason->last_us = line->at_us > reason->last_us ? line->at_us : reason->last_us;
}
