// The form of the URLs that a configuration may hold.
#ifndef CONFIG_URL_H
#define CONFIG_URL_H

#include "base/str.h"

#include <stdbool.h>

// Parts of the text that was split; borrowed.
struct url {
    bool https;
    struct str host; // with brackets, if it has them
    struct str path;
};

// Takes http:// and https:// with host, port and path. NULL, or what is wrong and what is allowed.
const char *url_split(struct str text, struct url *url);

// A path without the characters that change a URL's structure or that clients rewrite.
bool url_is_path(struct str path);
// libcurl would fold them: /v2/../x becomes /x.
bool url_has_dot_segment(struct str path);

// Is this host, surely, the machine itself?
bool url_is_loopback(struct str host);

// [scheme://][user[:password]@]host[:port], as libcurl takes it.
bool url_is_proxy(struct str proxy);

#endif
