// Draws the document of `status` for people.
#ifndef APP_STATUS_VIEW_H
#define APP_STATUS_VIEW_H

#include "base/buf.h"

#include <json-c/json.h>
#include <stdbool.h>

struct status_screen {
    int width;  // columns; longer lines are cut
    int height; // lines; 0: as many as it takes. With fewer, lists are shortened
    bool color;
    bool utf8;
};

// Appends lines, each with its newline. `notice` stands above them, e.g. that the database is gone
// and these are old numbers; NULL: none.
void status_view(struct json_object *doc, const struct status_screen *screen, const char *notice,
                 struct buf *out);

#endif
