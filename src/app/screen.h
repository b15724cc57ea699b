// The terminal that a command redraws in place: its size, and leaving it as it was found.
#ifndef APP_SCREEN_H
#define APP_SCREEN_H

#include "base/str.h"

#include <stdbool.h>

struct screen_size {
    int width;
    int height;
};

// Of standard output; without a terminal COLUMNS, or else 200 columns, and no height.
struct screen_size screen_size(void);
bool screen_is_terminal(void);
bool screen_can_redraw(void); // a terminal that is not dumb
bool screen_has_color(void);  // the same, and no NO_COLOR
bool screen_has_utf8(void);   // by the locale

// From enter to leave the terminal shows a page of its own and no cursor.
void screen_enter(void);
void screen_draw(struct str text); // lines with their newlines, no more than fit
void screen_leave(void);

#endif
