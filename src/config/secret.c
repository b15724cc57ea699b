#include "config/secret.h"

#include "config/dsn.h"

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
        struct str value;
        (void)dsn_take_value(&rest, &value); // one that is not closed may be a secret as well
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
