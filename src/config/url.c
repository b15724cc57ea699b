#include "config/url.h"

#include "base/mem.h"
#include "config/value.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>

enum { URL_HOST_BYTES = 255 };

bool url_is_path(struct str path)
{
    static const struct str others = {"?#%\\\"<>^`{|}", 12};
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] <= ' ' || path.ptr[i] > '~' ||
            memchr(others.ptr, path.ptr[i], others.len) != NULL) {
            return false;
        }
    }
    return true;
}

bool url_has_dot_segment(struct str path)
{
    while (path.len > 0) {
        struct str segment;
        str_split(path, '/', &segment, &path);
        if (str_equal(segment, STR(".")) || str_equal(segment, STR(".."))) {
            return true;
        }
    }
    return false;
}

static bool url_is_name(struct str host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = str_lower_char(host.ptr[i]);
        if (!(c >= 'a' && c <= 'z') && !str_is_digit(c) && c != '-' && c != '.') {
            return false;
        }
    }
    return true;
}

static bool url_is_ipv6(struct str address)
{
    unsigned char parsed[sizeof(struct in6_addr)];
    char *text = mem_strndup(address.ptr, address.len);
    bool ok = inet_pton(AF_INET6, text, parsed) == 1;
    free(text);
    return ok;
}

static bool url_is_host(struct str host)
{
    if (host.len == 0 || host.len > URL_HOST_BYTES) {
        return false;
    }
    if (host.ptr[0] != '[') {
        return url_is_name(host);
    }
    return host.len > 2 && host.ptr[host.len - 1] == ']' &&
           url_is_ipv6((struct str){host.ptr + 1, host.len - 2});
}

static bool url_is_port(struct str port)
{
    int64_t number = 0;
    return value_parse_count(port, &number) && number >= 1 && number <= 65535;
}

// "host", "host:port", "[::1]:port". NULL, or what is wrong.
static const char *url_split_authority(struct str authority, struct url *url)
{
    size_t host_len = 0;
    bool bracket = authority.len > 0 && authority.ptr[0] == '[';
    char end = bracket ? ']' : ':';
    while (host_len < authority.len && authority.ptr[host_len] != end) {
        host_len++;
    }
    host_len += bracket && host_len < authority.len ? 1 : 0;
    url->host = (struct str){authority.ptr, host_len};
    struct str rest = {authority.ptr + host_len, authority.len - host_len};
    if (!url_is_host(url->host)) {
        return "has no valid host; write a name such as dev.sbx.imprint.co, or an address";
    }
    bool port = rest.len == 0 ||
                (rest.ptr[0] == ':' && url_is_port((struct str){rest.ptr + 1, rest.len - 1}));
    return port ? NULL : "has no valid port; write a colon and 1 to 65535 behind the host, or none";
}

const char *url_split(struct str text, struct url *url)
{
    static const struct str https = {"https://", 8};
    static const struct str http = {"http://", 7};
    struct str rest = text;
    url->https = text.len >= https.len && str_equal_nocase((struct str){text.ptr, 8}, https);
    bool plain = text.len >= http.len && str_equal_nocase((struct str){text.ptr, 7}, http);
    if (!url->https && !plain) {
        return "does not begin with https://; write it like https://dev.sbx.imprint.co";
    }
    rest.ptr += url->https ? https.len : http.len;
    rest.len -= url->https ? https.len : http.len;
    if (memchr(text.ptr, '?', text.len) != NULL || memchr(text.ptr, '#', text.len) != NULL) {
        return "holds a query or a fragment; only scheme, host, port and path are allowed";
    }
    struct str authority;
    str_split(rest, '/', &authority, &url->path);
    const char *reason = url_split_authority(authority, url);
    if (reason == NULL && (!url_is_path(url->path) || url_has_dot_segment(url->path))) {
        reason = "has no valid path; write letters and digits between slashes, or none";
    }
    return reason;
}

bool url_is_loopback(struct str host)
{
    if (str_equal_nocase(host, STR("localhost")) || str_equal(host, STR("[::1]"))) {
        return true;
    }
    unsigned char parsed[sizeof(struct in_addr)];
    char *text = mem_strndup(host.ptr, host.len);
    bool ok = inet_pton(AF_INET, text, parsed) == 1 && parsed[0] == 127;
    free(text);
    return ok;
}

bool url_is_proxy(struct str proxy)
{
    static const char *const schemes[] = {"http",    "https",  "socks4",
                                          "socks4a", "socks5", "socks5h"};
    const char *colon = memmem(proxy.ptr, proxy.len, "://", 3);
    bool known = colon == NULL;
    for (size_t i = 0; !known && i < sizeof schemes / sizeof schemes[0]; i++) {
        known = str_equal_nocase((struct str){proxy.ptr, (size_t)(colon - proxy.ptr)},
                                 str_of(schemes[i]));
    }
    if (colon != NULL) {
        proxy = (struct str){colon + 3, proxy.len - (size_t)(colon + 3 - proxy.ptr)};
    }
    const char *at = proxy.len == 0 ? NULL : memrchr(proxy.ptr, '@', proxy.len);
    if (at != NULL) {
        proxy = (struct str){at + 1, proxy.len - (size_t)(at + 1 - proxy.ptr)};
    }
    if (str_ends(proxy, STR("/"))) {
        proxy.len--;
    }
    struct url url;
    return known && url_split_authority(proxy, &url) == NULL;
}
