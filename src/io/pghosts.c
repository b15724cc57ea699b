#include "io/pghosts.h"

#include "base/mem.h"
#include "base/str.h"
#include "io/resolver.h"

#include <arpa/inet.h>
#include <assert.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PGHOSTS_MAX = 16, PGHOSTS_ADDRESSES = 16 };

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
    struct pghosts_host list[PGHOSTS_MAX];
    size_t count;
    size_t next_host;
    // The addresses of the host before `next_host` that have not been tried.
    char *addresses[PGHOSTS_ADDRESSES];
    size_t address_count;
    size_t next_address;
    struct resolver *resolver;
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
    size_t count = 1;
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

static void pghosts_fill(struct pghosts *hosts)
{
    const char *host = pghosts_option(hosts, "host");
    const char *hostaddr = pghosts_option(hosts, "hostaddr");
    const char *port = pghosts_option(hosts, "port");
    size_t count = pghosts_elements(hostaddr != NULL ? hostaddr : host);
    hosts->count = count < PGHOSTS_MAX ? count : PGHOSTS_MAX;
    for (size_t i = 0; i < hosts->count; i++) {
        struct pghosts_host *at = &hosts->list[i];
        at->host = pghosts_element(host, i);
        at->hostaddr = pghosts_element(hostaddr, i);
        at->port = pghosts_element(port, i);
        if (at->hostaddr == NULL && at->host != NULL && pghosts_is_numeric(at->host)) {
            at->hostaddr = mem_strdup(at->host);
        }
    }
}

struct pghosts *pghosts_create(struct loop *loop, const char *dsn, pghosts_address_fn on_address,
                               pghosts_failed_fn on_failed, void *ctx, struct err *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(dsn, &message);
    // libpq's message quotes parts of the DSN, which may be a password.
    PQfreemem(message);
    if (options == NULL) {
        err_set(err, ERR_KIND_CONFIG,
                "database.dsn: not a libpq connection string or URI, e.g. \"host=/run/postgresql "
                "dbname=crm user=imprint_sync\"");
        return NULL;
    }
    struct pghosts *hosts = mem_calloc(1, sizeof *hosts);
    *hosts = (struct pghosts){.loop = loop,
                              .on_address = on_address,
                              .on_failed = on_failed,
                              .ctx = ctx,
                              .options = options};
    pghosts_fill(hosts);
    return hosts;
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

static void pghosts_on_resolved(void *ctx, const char *const *addresses, size_t count,
                                const char *reason)
{
    struct pghosts *hosts = ctx;
    hosts->resolver = NULL; // ends with this call
    if (count == 0) {
        char text[256];
        snprintf(text, sizeof text, "host %s: %s", hosts->list[hosts->next_host - 1].host, reason);
        hosts->on_failed(hosts->ctx, text);
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
        hosts->on_failed(hosts->ctx, "cannot start a thread to resolve the host name");
    }
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
