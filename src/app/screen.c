#include "app/screen.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SCREEN_WIDTH = 200, SCREEN_WIDTH_MIN = 20, SCREEN_WIDTH_MAX = 1000 };

bool screen_is_terminal(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

struct screen_size screen_size(void)
{
    struct winsize window = {.ws_col = 0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
        return (struct screen_size){.width = window.ws_col, .height = window.ws_row};
    }
    int64_t columns = 0;
    if (!str_to_int64(str_of(getenv("COLUMNS")), &columns) || columns < SCREEN_WIDTH_MIN ||
        columns > SCREEN_WIDTH_MAX) {
        columns = SCREEN_WIDTH;
    }
    return (struct screen_size){.width = (int)columns, .height = 0};
}

bool screen_can_redraw(void)
{
    const char *term = getenv("TERM");
    return screen_is_terminal() && term != NULL && strcmp(term, "dumb") != 0;
}

bool screen_has_color(void)
{
    const char *no_color = getenv("NO_COLOR");
    return screen_can_redraw() && (no_color == NULL || no_color[0] == '\0');
}

bool screen_has_utf8(void)
{
    locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t)0);
    if (locale == (locale_t)0) {
        return false;
    }
    bool utf8 = strcmp(nl_langinfo_l(CODESET, locale), "UTF-8") == 0;
    freelocale(locale);
    return utf8;
}

void screen_enter(void)
{
    fputs("\x1b[?1049h\x1b[?25l", stdout);
}

void screen_draw(struct str text)
{
    // Line by line over what is there, which does not flicker; no newline behind the last, which
    // would scroll a full page.
    fputs("\x1b[H", stdout);
    while (text.len > 0) {
        struct str line;
        str_split(text, '\n', &line, &text);
        printf("%.*s\x1b[K%s", STR_ARG(line), text.len > 0 ? "\n" : "");
    }
    fputs("\x1b[J", stdout);
    fflush(stdout);
}

void screen_leave(void)
{
    fputs("\x1b[?25h\x1b[?1049l", stdout);
    fflush(stdout);
}
