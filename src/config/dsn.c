#include "config/dsn.h"

// libpq's settings, and what is said about a name that is nearly one of them.
#define DSN_SETTING(name)                                                                          \
    {                                                                                              \
        name, "holds an unknown setting; did you mean " name "?"                                   \
    }
static const struct {
    const char *name;
    const char *reason;
} dsn_settings[] = {
    DSN_SETTING("host"),
    DSN_SETTING("hostaddr"),
    DSN_SETTING("port"),
    DSN_SETTING("dbname"),
    DSN_SETTING("user"),
    DSN_SETTING("password"),
    DSN_SETTING("passfile"),
    DSN_SETTING("require_auth"),
    DSN_SETTING("channel_binding"),
    DSN_SETTING("connect_timeout"),
    DSN_SETTING("client_encoding"),
    DSN_SETTING("options"),
    DSN_SETTING("application_name"),
    DSN_SETTING("fallback_application_name"),
    DSN_SETTING("keepalives"),
    DSN_SETTING("keepalives_idle"),
    DSN_SETTING("keepalives_interval"),
    DSN_SETTING("keepalives_count"),
    DSN_SETTING("tcp_user_timeout"),
    DSN_SETTING("replication"),
    DSN_SETTING("gssencmode"),
    DSN_SETTING("gssdelegation"),
    DSN_SETTING("gsslib"),
    DSN_SETTING("krbsrvname"),
    DSN_SETTING("sslmode"),
    DSN_SETTING("requiressl"),
    DSN_SETTING("sslnegotiation"),
    DSN_SETTING("sslcompression"),
    DSN_SETTING("sslcert"),
    DSN_SETTING("sslkey"),
    DSN_SETTING("sslpassword"),
    DSN_SETTING("sslcertmode"),
    DSN_SETTING("sslrootcert"),
    DSN_SETTING("sslcrl"),
    DSN_SETTING("sslcrldir"),
    DSN_SETTING("sslsni"),
    DSN_SETTING("sslkeylogfile"),
    DSN_SETTING("requirepeer"),
    DSN_SETTING("ssl_min_protocol_version"),
    DSN_SETTING("ssl_max_protocol_version"),
    DSN_SETTING("min_protocol_version"),
    DSN_SETTING("max_protocol_version"),
    DSN_SETTING("service"),
    DSN_SETTING("servicefile"),
    DSN_SETTING("target_session_attrs"),
    DSN_SETTING("load_balance_hosts"),
};
enum { DSN_SETTINGS = sizeof dsn_settings / sizeof dsn_settings[0] };

static struct str dsn_skip(struct str text, size_t count)
{
    return (struct str){text.ptr + count, text.len - count};
}

static size_t dsn_value_length(struct str text, bool quoted)
{
    size_t i = 0;
    while (i < text.len && (quoted ? text.ptr[i] != '\'' : text.ptr[i] != ' ')) {
        i += text.ptr[i] == '\\' && i + 1 < text.len ? 2 : 1;
    }
    return i < text.len ? i : text.len;
}

bool dsn_take_value(struct str *rest, struct str *value)
{
    *rest = str_trim(*rest); // libpq allows spaces around "="
    bool quoted = rest->len > 0 && rest->ptr[0] == '\'';
    if (quoted) {
        *rest = dsn_skip(*rest, 1);
    }
    *value = (struct str){rest->ptr, dsn_value_length(*rest, quoted)};
    *rest = dsn_skip(*rest, value->len);
    bool closed = quoted && rest->len > 0;
    if (closed) {
        *rest = dsn_skip(*rest, 1);
    }
    return closed || !quoted;
}

// What is wrong with a setting's name.
static const char *dsn_name_reason(struct str name)
{
    const char *names[DSN_SETTINGS];
    for (size_t i = 0; i < DSN_SETTINGS; i++) {
        names[i] = dsn_settings[i].name;
        if (str_equal(name, str_of(names[i]))) {
            return NULL;
        }
    }
    const char *nearest = str_nearest(name, names, DSN_SETTINGS);
    for (size_t i = 0; nearest != NULL && i < DSN_SETTINGS; i++) {
        if (names[i] == nearest) {
            return dsn_settings[i].reason;
        }
    }
    return NULL;
}

// Takes one "name = value" off the head.
static const char *dsn_next_reason(struct str *rest, bool first)
{
    struct str name;
    bool split = str_split(*rest, '=', &name, rest);
    name = str_trim(name);
    if (!split && first) {
        return "is neither a URI nor a row of keyword=value; write it like "
               "\"host=/run/postgresql dbname=crm user=imprint_sync\"";
    }
    if (split && name.len == 0) {
        return "has a \"=\" without a keyword in front of it";
    }
    if (!split || memchr(name.ptr, ' ', name.len) != NULL) {
        return "holds a word without \"=\"; a value with spaces stands in '...'";
    }
    struct str value;
    return dsn_take_value(rest, &value) ? dsn_name_reason(name) : "holds a ' that is not closed";
}

const char *dsn_reason(struct str dsn)
{
    struct str rest = str_trim(dsn);
    if (str_starts(rest, STR("postgres://")) || str_starts(rest, STR("postgresql://"))) {
        return NULL;
    }
    const char *reason = NULL;
    bool first = true;
    do {
        reason = dsn_next_reason(&rest, first);
        rest = str_trim(rest);
        first = false;
    } while (reason == NULL && rest.len > 0);
    return reason;
}
