#include "config/secret.h"

// Nothing, or exactly one ${NAME}.
static bool secret_is_absent(struct str value)
{
    if (value.len == 0) {
        return true;
    }
    const char *end = memchr(value.ptr, '}', value.len);
    return str_starts(value, STR("${")) && end == value.ptr + value.len - 1;
}

static bool secret_is_keyword(struct str keyword)
{
    return str_equal_nocase(keyword, STR("password")) ||
           str_equal_nocase(keyword, STR("sslpassword"));
}

bool secret_is_in_url(struct str written)
{
    struct str authority;
    struct str query;
    str_split(written, '?', &authority, &query);
    const char *at = authority.len == 0 ? NULL : memrchr(authority.ptr, '@', authority.len);
    if (at == NULL) {
        return false;
    }
    // Up to the last "@", so that a password with an unescaped "/" or "@" is found as well.
    struct str user = {authority.ptr, (size_t)(at - authority.ptr)};
    const char *scheme = memmem(user.ptr, user.len, "://", 3);
    if (scheme != NULL) {
        user = (struct str){scheme + 3, user.len - (size_t)(scheme + 3 - user.ptr)};
    }
    struct str name;
    struct str password;
    str_split(user, ':', &name, &password);
    return !secret_is_absent(password);
}

static bool secret_is_in_query(struct str query)
{
    while (query.len > 0) {
        struct str pair;
        struct str keyword;
        struct str value;
        str_split(query, '&', &pair, &query);
        str_split(pair, '=', &keyword, &value);
        if (secret_is_keyword(keyword) && !secret_is_absent(value)) {
            return true;
        }
    }
    return false;
}

static struct str secret_skip(struct str text, size_t count)
{
    return (struct str){text.ptr + count, text.len - count};
}

static size_t secret_value_length(struct str text, bool quoted)
{
    size_t i = 0;
    while (i < text.len && (quoted ? text.ptr[i] != '\'' : text.ptr[i] != ' ')) {
        i += text.ptr[i] == '\\' && i + 1 < text.len ? 2 : 1;
    }
    return i < text.len ? i : text.len;
}

// Takes one value off the head of a conninfo string.
static struct str secret_next_value(struct str *rest)
{
    *rest = str_trim(*rest); // libpq allows spaces around "="
    bool quoted = rest->len > 0 && rest->ptr[0] == '\'';
    if (quoted) {
        *rest = secret_skip(*rest, 1);
    }
    struct str value = {rest->ptr, secret_value_length(*rest, quoted)};
    *rest = secret_skip(*rest, value.len);
    if (quoted && rest->len > 0) {
        *rest = secret_skip(*rest, 1);
    }
    return value;
}

static bool secret_is_in_conninfo(struct str written)
{
    struct str rest = written;
    struct str keyword;
    while (str_split(rest, '=', &keyword, &rest)) {
        // A word without "=" in front is a mistake, but not ours to report.
        keyword = str_trim(keyword);
        const char *space = keyword.len == 0 ? NULL : memrchr(keyword.ptr, ' ', keyword.len);
        if (space != NULL) {
            keyword = secret_skip(keyword, (size_t)(space + 1 - keyword.ptr));
        }
        struct str value = secret_next_value(&rest);
        if (secret_is_keyword(keyword) && !secret_is_absent(value)) {
            return true;
        }
    }
    return false;
}

bool secret_is_in_dsn(struct str written)
{
    bool uri = str_starts(written, STR("postgres://")) || str_starts(written, STR("postgresql://"));
    if (!uri) {
        return secret_is_in_conninfo(written);
    }
    struct str authority;
    struct str query;
    str_split(written, '?', &authority, &query);
    return secret_is_in_url(written) || secret_is_in_query(query);
}
