#include "io/pghosts.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/resolver.h"

#include <arpa/inet.h>
#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PGHOSTS_ADDRESSES = 16 }; // of one name

// A look-up that takes longer is given up: time enough for a resolver to turn to its third name
// server.
#define PGHOSTS_LOOK_UP_NS (16 * CLOCK_NS_PER_SEC)
enum { PGHOSTS_TIMEOUT_MAX_S = 3600 };

struct pghosts_host {
    char *host; // NULL: libpq's default socket directory
    char *hostaddr;
    char *port;
};

struct pghosts {
    struct loop *loop;
    pghosts_address_fn on_address;
    pghosts_failed_fn on_failed;
    void *ctx;
    PQconninfoOption *options;
    struct pghosts_host *list;
    size_t count;
    size_t next_host;
    // The addresses of the host before `next_host` that have not been tried.
    char *addresses[PGHOSTS_ADDRESSES];
    size_t address_count;
    size_t next_address;
    struct resolver *resolver;
    struct loop_timer *timer; // of the look-up
};

// What the daemon needs where the DSN says nothing else.
static const struct {
    const char *keyword;
    const char *value;
} pghosts_defaults[] = {
    {"client_encoding", "UTF8"},
    {"fallback_application_name", "imprint-sync"},
    {"gssencmode", "disable"}, // its negotiation blocks
    {"target_session_attrs", "read-write"},
    {"keepalives", "1"},
    {"keepalives_idle", "10"},
    {"keepalives_interval", "5"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "15000"},
};

static const char *pghosts_option(const struct pghosts *hosts, const char *keyword)
{
    for (const PQconninfoOption *at = hosts->options; at->keyword != NULL; at++) {
        if (strcmp(at->keyword, keyword) == 0) {
            return at->val;
        }
    }
    return NULL;
}

// The i-th element of a comma-separated list, or the only one; NULL when it is empty.
static char *pghosts_element(const char *list, size_t index)
{
    struct str rest = str_of(list);
    struct str head = rest;
    bool more = str_split(rest, ',', &head, &rest);
    if (!more) {
        return head.len == 0 ? NULL : mem_strndup(head.ptr, head.len);
    }
    for (size_t i = 0; i < index; i++) {
        if (!more) {
            return NULL;
        }
        more = str_split(rest, ',', &head, &rest);
    }
    return head.len == 0 ? NULL : mem_strndup(head.ptr, head.len);
}

static size_t pghosts_elements(const char *list)
{
    size_t count = list == NULL ? 0 : 1;
    for (const char *p = list; p != NULL && *p != '\0'; p++) {
        count += *p == ',';
    }
    return count;
}

static bool pghosts_is_numeric(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

// The lists of a DSN, which must be of one length.
struct pghosts_lists {
    const char *host;
    const char *hostaddr;
    const char *port;
    size_t count;
};

static bool pghosts_measure(struct pghosts_lists *lists, struct err *err)
{
    size_t names = pghosts_elements(lists->host);
    size_t addresses = pghosts_elements(lists->hostaddr);
    size_t ports = pghosts_elements(lists->port);
    lists->count = addresses > 0 ? addresses : names > 0 ? names : 1;
    if (names > 0 && addresses > 0 && names != addresses) {
        return err_set(err, ERR_KIND_CONFIG,
                       "host names %zu servers and hostaddr %zu: each host needs its address",
                       names, addresses);
    }
    if (ports > 1 && ports != lists->count) {
        return err_set(err, ERR_KIND_CONFIG,
                       "port names %zu ports for %zu hosts: give one for all, or one for each",
                       ports, lists->count);
    }
    return true;
}

static void pghosts_fill(struct pghosts *hosts, const struct pghosts_lists *lists)
{
    hosts->count = lists->count;
    hosts->list = mem_calloc(hosts->count, sizeof *hosts->list);
    for (size_t i = 0; i < hosts->count; i++) {
        struct pghosts_host *at = &hosts->list[i];
        at->host = pghosts_element(lists->host, i);
        at->hostaddr = pghosts_element(lists->hostaddr, i);
        at->port = pghosts_element(lists->port, i);
        if (at->hostaddr == NULL && at->host != NULL && pghosts_is_numeric(at->host)) {
            at->hostaddr = mem_strdup(at->host);
        }
    }
}

// A value that was set, not only libpq's own default.
static const char *pghosts_set_value(const PQconninfoOption *options, const char *keyword)
{
    for (const PQconninfoOption *at = options; at != NULL && at->keyword != NULL; at++) {
        if (strcmp(at->keyword, keyword) == 0) {
            bool own =
                at->val != NULL && at->compiled != NULL && strcmp(at->val, at->compiled) == 0;
            return own ? NULL : at->val;
        }
    }
    return NULL;
}

// What the DSN leaves out comes from the environment (PGHOST, PGHOSTADDR, PGPORT, PGSERVICE), as
// libpq has it; but read here, for libpq would resolve the names itself.
static bool pghosts_set_hosts(struct pghosts *hosts, struct err *err)
{
    static const char *const keywords[] = {"host", "hostaddr", "port"};
    const char *values[3];
    PQconninfoOption *defaults = PQconndefaults();
    for (size_t i = 0; i < 3; i++) {
        values[i] = pghosts_option(hosts, keywords[i]);
        values[i] = values[i] != NULL ? values[i] : pghosts_set_value(defaults, keywords[i]);
    }
    struct pghosts_lists lists = {.host = values[0], .hostaddr = values[1], .port = values[2]};
    bool ok = pghosts_measure(&lists, err);
    if (ok) {
        pghosts_fill(hosts, &lists);
    }
    PQconninfoFree(defaults);
    return ok;
}

// Refused where it would only show later, as a connection that cannot be used.
static bool pghosts_is_usable(const struct pghosts *hosts, struct err *err)
{
    const char *attrs = pghosts_option(hosts, "target_session_attrs");
    if (pghosts_option(hosts, "service") != NULL && pghosts_option(hosts, "host") == NULL &&
        pghosts_option(hosts, "hostaddr") == NULL) {
        return err_set(err, ERR_KIND_CONFIG,
                       "a service without host: name the hosts here, the service file may keep "
                       "the rest");
    }
    if (attrs != NULL && strcmp(attrs, "read-write") != 0 && strcmp(attrs, "primary") != 0) {
        return err_set(err, ERR_KIND_CONFIG,
                       "target_session_attrs=%.20s may end at a server that takes no writes, and "
                       "outcomes are written: leave it out (read-write), or set primary",
                       attrs);
    }
    return true;
}

static void pghosts_on_late(void *ctx);

static PQconninfoOption *pghosts_parse(const char *dsn, struct err *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(dsn, &message);
    // libpq's message quotes parts of the DSN, which may be a password.
    PQfreemem(message);
    if (options == NULL) {
        err_set(err, ERR_KIND_CONFIG,
                "not a libpq connection string or URI, e.g. \"host=/run/postgresql dbname=crm "
                "user=imprint_sync\"");
    }
    return options;
}

struct pghosts *pghosts_create(struct loop *loop, const char *dsn, pghosts_address_fn on_address,
                               pghosts_failed_fn on_failed, void *ctx, struct err *err)
{
    PQconninfoOption *options = pghosts_parse(dsn, err);
    if (options == NULL) {
        return NULL;
    }
    struct pghosts *hosts = mem_calloc(1, sizeof *hosts);
    *hosts = (struct pghosts){.loop = loop,
                              .on_address = on_address,
                              .on_failed = on_failed,
                              .ctx = ctx,
                              .options = options};
    hosts->timer = loop == NULL ? NULL : loop_timer_open(loop, pghosts_on_late, hosts);
    if (!pghosts_is_usable(hosts, err) || !pghosts_set_hosts(hosts, err)) {
        pghosts_destroy(hosts);
        return NULL;
    }
    return hosts;
}

bool pghosts_check(const char *dsn, struct err *err)
{
    struct pghosts *hosts = pghosts_create(NULL, dsn, NULL, NULL, NULL, err);
    bool ok = hosts != NULL;
    pghosts_destroy(hosts);
    return ok;
}

int64_t pghosts_connect_timeout_ns(const struct pghosts *hosts)
{
    int64_t seconds = 0;
    const char *text = pghosts_option(hosts, "connect_timeout");
    bool set = text != NULL && str_to_int64(str_of(text), &seconds) && seconds > 0 &&
               seconds <= PGHOSTS_TIMEOUT_MAX_S;
    return set ? seconds * CLOCK_NS_PER_SEC : 0;
}

static void pghosts_drop_addresses(struct pghosts *hosts)
{
    for (size_t i = 0; i < hosts->address_count; i++) {
        free(hosts->addresses[i]);
    }
    hosts->address_count = 0;
    hosts->next_address = 0;
    resolver_cancel(hosts->resolver);
    hosts->resolver = NULL;
    if (hosts->timer != NULL) {
        loop_timer_unset(hosts->timer);
    }
}

void pghosts_destroy(struct pghosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    pghosts_drop_addresses(hosts);
    for (size_t i = 0; i < hosts->count; i++) {
        free(hosts->list[i].host);
        free(hosts->list[i].hostaddr);
        free(hosts->list[i].port);
    }
    free(hosts->list);
    loop_timer_close(hosts->timer);
    PQconninfoFree(hosts->options);
    free(hosts);
}

static void pghosts_give(struct pghosts *hosts)
{
    const struct pghosts_host *host = &hosts->list[hosts->next_host - 1];
    const struct pghosts_address address = {.host = host->host,
                                            .hostaddr = hosts->addresses[hosts->next_address++],
                                            .port = host->port};
    hosts->on_address(hosts->ctx, &address);
}

static void pghosts_fail(struct pghosts *hosts, const char *reason)
{
    char text[256];
    snprintf(text, sizeof text, "host %.100s: %s", hosts->list[hosts->next_host - 1].host, reason);
    hosts->on_failed(hosts->ctx, text);
}

static void pghosts_on_late(void *ctx)
{
    struct pghosts *hosts = ctx;
    resolver_cancel(hosts->resolver);
    hosts->resolver = NULL;
    pghosts_fail(hosts, "no answer from the name servers");
}

static void pghosts_on_resolved(void *ctx, const char *const *addresses, size_t count,
                                const char *reason)
{
    struct pghosts *hosts = ctx;
    hosts->resolver = NULL; // ends with this call
    loop_timer_unset(hosts->timer);
    if (count == 0) {
        pghosts_fail(hosts, reason);
        return;
    }
    for (size_t i = 0; i < count && i < PGHOSTS_ADDRESSES; i++) {
        hosts->addresses[hosts->address_count++] = mem_strdup(addresses[i]);
    }
    pghosts_give(hosts);
}

bool pghosts_next(struct pghosts *hosts)
{
    if (hosts->next_address < hosts->address_count) {
        pghosts_give(hosts);
        return true;
    }
    pghosts_drop_addresses(hosts);
    if (hosts->next_host == hosts->count) {
        return false;
    }
    const struct pghosts_host *host = &hosts->list[hosts->next_host++];
    if (host->hostaddr != NULL || host->host == NULL || host->host[0] == '/' ||
        host->host[0] == '@') {
        const struct pghosts_address address = {
            .host = host->host, .hostaddr = host->hostaddr, .port = host->port};
        hosts->on_address(hosts->ctx, &address);
        return true;
    }
    hosts->resolver = resolver_start(hosts->loop, host->host, pghosts_on_resolved, hosts);
    if (hosts->resolver == NULL) {
        pghosts_fail(hosts, "cannot start a thread to resolve it");
        return true;
    }
    loop_timer_set(hosts->timer, loop_now_ns(hosts->loop) + PGHOSTS_LOOK_UP_NS);
    return true;
}

void pghosts_rewind(struct pghosts *hosts)
{
    pghosts_drop_addresses(hosts);
    hosts->next_host = 0;
}

static void pghosts_put(struct pghosts_params *params, size_t *count, const char *keyword,
                        const char *value)
{
    if (value != NULL) {
        assert(*count + 1 < PGHOSTS_PARAMS);
        params->keywords[*count] = keyword;
        params->values[*count] = value;
        (*count)++;
    }
}

void pghosts_params(const struct pghosts *hosts, const struct pghosts_address *address,
                    const char *password, struct pghosts_params *params)
{
    *params = (struct pghosts_params){{NULL}, {NULL}};
    size_t count = 0;
    // Of a keyword given twice libpq takes the last.
    for (size_t i = 0; i < sizeof pghosts_defaults / sizeof pghosts_defaults[0]; i++) {
        pghosts_put(params, &count, pghosts_defaults[i].keyword, pghosts_defaults[i].value);
    }
    for (const PQconninfoOption *at = hosts->options; at->keyword != NULL; at++) {
        bool ours = strcmp(at->keyword, "host") == 0 || strcmp(at->keyword, "hostaddr") == 0 ||
                    strcmp(at->keyword, "port") == 0;
        pghosts_put(params, &count, at->keyword, ours ? NULL : at->val);
    }
    pghosts_put(params, &count, "host", address->host);
    pghosts_put(params, &count, "hostaddr", address->hostaddr);
    pghosts_put(params, &count, "port", address->port);
    pghosts_put(params, &count, "password", password);
}
