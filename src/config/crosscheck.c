#include "config/crosscheck.h"

#include "base/access.h"
#include "base/mem.h"
#include "config/dsn.h"
#include "config/secret.h"
#include "config/url.h"
#include "config/value.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CROSSCHECK_TEXT_BYTES = 64 };

struct crosscheck {
    struct config *config;
    struct keys_seen *seen;
    struct problems *problems;
};

static size_t crosscheck_key(const char *path)
{
    size_t index = keys_find(str_of(path));
    assert(index < KEYS_MAX); // the paths below are those of the table
    return index;
}

static bool crosscheck_is_written(const struct crosscheck *check, const char *path)
{
    return check->seen->nodes[crosscheck_key(path)] != NULL;
}

static bool crosscheck_is_broken(const struct crosscheck *check, const char *path)
{
    return check->seen->broken[crosscheck_key(path)];
}

// The place of a key's value; where it has its default, that of the key which does not go with it.
static struct yaml_place crosscheck_place(const struct crosscheck *check, const char *path,
                                          const char *other)
{
    const struct yaml_node *node = check->seen->nodes[crosscheck_key(path)];
    if (node == NULL) {
        node = check->seen->nodes[crosscheck_key(other)];
    }
    return node == NULL ? check->seen->root : node->place;
}

static void crosscheck_report_pair(const struct crosscheck *check, const char *path,
                                   const char *other, const char *text)
{
    problems_add(check->problems, crosscheck_place(check, path, other), path, "%s", text);
}

static void crosscheck_report(const struct crosscheck *check, const char *path, const char *text)
{
    crosscheck_report_pair(check, path, path, text);
}

// With the value as it was written, unless it has a part in which a secret may stand.
static void crosscheck_report_found(const struct crosscheck *check, const char *path,
                                    const char *text)
{
    const struct yaml_node *node = check->seen->nodes[crosscheck_key(path)];
    assert(node != NULL); // no default is refused
    if (strpbrk(node->text.ptr, "?#@") != NULL) {
        crosscheck_report(check, path, text);
    } else {
        problems_add(check->problems, node->place, path, "\"%.*s\" %s",
                     STR_ARG(problems_excerpt(node->text)), text);
    }
}

// The address

static const struct {
    struct str host;
    enum config_environment environment;
} crosscheck_hosts[] = {
    {{"dev.sbx.imprint.co", 18}, CONFIG_ENVIRONMENT_SANDBOX},
    {{"dev.imprint.co", 14}, CONFIG_ENVIRONMENT_PRODUCTION},
};

static enum config_environment crosscheck_environment_of(struct str host)
{
    if (str_ends(host, STR("."))) {
        host.len--; // the same host, written as an absolute name
    }
    for (size_t i = 0; i < sizeof crosscheck_hosts / sizeof crosscheck_hosts[0]; i++) {
        if (str_equal_nocase(host, crosscheck_hosts[i].host)) {
            return crosscheck_hosts[i].environment;
        }
    }
    return CONFIG_ENVIRONMENT_CUSTOM;
}

static const char *crosscheck_disagreement(enum config_environment of_host)
{
    switch (of_host) {
    case CONFIG_ENVIRONMENT_SANDBOX:
        return "does not agree with the host of base_url, which is Imprint's sandbox: "
               "write `environment: sandbox`, or change base_url";
    case CONFIG_ENVIRONMENT_PRODUCTION:
        return "does not agree with the host of base_url, which is Imprint's production: "
               "write `environment: production`, or change base_url";
    case CONFIG_ENVIRONMENT_CUSTOM:
        return "does not agree with the host of base_url, which is not Imprint's: write "
               "`environment: custom`, or https://dev.sbx.imprint.co (sandbox) or "
               "https://dev.imprint.co (production) in base_url";
    }
    return "";
}

static void crosscheck_base_url(const struct crosscheck *check)
{
    struct config_imprint *imprint = &check->config->imprint;
    if (crosscheck_is_broken(check, "imprint.base_url")) {
        return;
    }
    struct url url = {0};
    if (strchr(imprint->base_url, '@') != NULL) {
        crosscheck_report(check, "imprint.base_url",
                          "holds a user or a password, which belongs in api_key_file");
        return;
    }
    const char *reason = url_split(str_of(imprint->base_url), &url);
    if (reason != NULL) {
        crosscheck_report_found(check, "imprint.base_url", reason);
        return;
    }
    if (!url.https && !url_is_loopback(url.host)) {
        crosscheck_report_found(
            check, "imprint.base_url",
            "is plain http, which is allowed to this machine only: write https://");
    }
    enum config_environment of_host = crosscheck_environment_of(url.host);
    if (!crosscheck_is_broken(check, "imprint.environment") && imprint->environment != of_host) {
        crosscheck_report_pair(check, "imprint.environment", "imprint.base_url",
                               crosscheck_disagreement(of_host));
    }
    size_t len = strlen(imprint->base_url);
    if (imprint->base_url[len - 1] == '/') {
        imprint->base_url[len - 1] = '\0';
    }
}

static void crosscheck_update_path(const struct crosscheck *check)
{
    static const struct str slot = {"{customer_id}", 13};
    const char *path = check->config->imprint.update_path;
    if (crosscheck_is_broken(check, "imprint.update_path")) {
        return;
    }
    const char *at = strstr(path, slot.ptr);
    if (path[0] != '/') {
        crosscheck_report_found(check, "imprint.update_path", "does not begin with /");
    } else if (at == NULL || strstr(at + slot.len, slot.ptr) != NULL) {
        crosscheck_report_found(check, "imprint.update_path",
                                "must hold {customer_id} exactly once");
    } else if (!url_is_path((struct str){path, (size_t)(at - path)}) ||
               !url_is_path(str_of(at + slot.len)) || url_has_dot_segment(str_of(path))) {
        crosscheck_report_found(check, "imprint.update_path",
                                "holds a character or a segment that a path cannot have");
    }
}

static void crosscheck_header(const struct crosscheck *check)
{
    const char *value = check->config->imprint.merchant_key;
    for (const char *c = value; c != NULL && *c != '\0'; c++) {
        if (*c < '!' || *c > '~') {
            crosscheck_report(check, "imprint.merchant_key",
                              "holds a character that a header cannot have");
            return;
        }
    }
}

static void crosscheck_proxy(const struct crosscheck *check)
{
    const char *proxy = check->config->imprint.proxy;
    const char *base_url = check->config->imprint.base_url;
    struct url url;
    if (proxy != NULL && !url_is_proxy(str_of(proxy))) {
        crosscheck_report(check, "imprint.proxy",
                          "is not the address of a proxy; write it like http://proxy.example:3128");
    } else if (proxy != NULL && base_url != NULL && url_split(str_of(base_url), &url) == NULL &&
               !url.https) {
        crosscheck_report(check, "imprint.proxy",
                          "would read the key, as base_url is plain http: write https:// there");
    }
}

static void crosscheck_dsn(const struct crosscheck *check, const char *path, const char *dsn)
{
    const char *reason = dsn == NULL ? NULL : dsn_reason(str_of(dsn));
    if (reason != NULL) {
        crosscheck_report(check, path, reason);
    }
}

// Secrets

static void crosscheck_secrets(const struct crosscheck *check)
{
    static const struct {
        const char *path;
        bool (*is_in)(struct str written);
        const char *text;
    } rows[] = {
        {"database.dsn", secret_is_in_dsn,
         "holds a password; a secret written inline is refused: "
         "put it in a file and name that in database.password_file"},
        {"database.listen_dsn", secret_is_in_dsn,
         "holds a password; a secret written inline is refused: "
         "put it in a file and name that in database.password_file"},
        {"imprint.proxy", secret_is_in_url,
         "holds a password; a secret written inline is refused: take it from a ${VARIABLE}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct yaml_node *node = check->seen->nodes[crosscheck_key(rows[i].path)];
        if (node != NULL && rows[i].is_in(node->text)) {
            crosscheck_report(check, rows[i].path, rows[i].text);
        }
    }
}

// Files

// NULL, or why the file will not do.
static const char *crosscheck_try_file(const char *path, bool secret)
{
    struct stat status;
    const char *reason = NULL;
    // Without O_NONBLOCK, opening a pipe would wait for its writer.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        reason = strerror(errno);
    } else if (S_ISDIR(status.st_mode)) {
        reason = strerror(EISDIR);
    } else if (!S_ISREG(status.st_mode)) {
        reason = "Not a regular file";
    } else if (status.st_size == 0) {
        reason = "It is empty";
    } else if (secret && access_is_open(path, &status)) {
        reason = access_open_reason;
    }
    if (fd >= 0) {
        close(fd);
    }
    return reason;
}

static void crosscheck_files(const struct crosscheck *check)
{
    static const struct {
        const char *path;
        bool secret;
    } rows[] = {
        {"database.password_file", true},    {"imprint.api_key_file", true},
        {"imprint.client_key_file", true},   {"imprint.ca_file", false},
        {"imprint.client_cert_file", false}, {"mapping_file", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t index = crosscheck_key(rows[i].path);
        const char *file = *(char *const *)keys_peek(check->config, keys_at(index));
        const char *reason = file == NULL ? NULL : crosscheck_try_file(file, rows[i].secret);
        if (reason == NULL) {
            continue;
        }
        // Where the name of a secret's file belongs, the secret itself may have been pasted.
        check->seen->broken[index] = true;
        problems_add(check->problems, check->seen->nodes[index]->place, rows[i].path,
                     "%s%s%scannot be used: %s", rows[i].secret ? "the file " : "\"",
                     rows[i].secret ? "" : file, rows[i].secret ? "" : "\" ", reason);
    }
}

// Keys that go together

static void crosscheck_pairs(const struct crosscheck *check)
{
    static const struct {
        const char *path;
        const char *needs;
        const char *text;
    } rows[] = {
        {"imprint.client_cert_file", "imprint.client_key_file", "needs client_key_file beside it"},
        {"imprint.client_key_file", "imprint.client_cert_file", "needs client_cert_file beside it"},
        {"source.relation", "source.customer_id", "needs customer_id beside it"},
        {"source.customer_id", "source.relation", "needs relation beside it"},
        {"source.updated_at", "source.relation", "needs relation beside it"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (crosscheck_is_written(check, rows[i].path) &&
            !crosscheck_is_written(check, rows[i].needs)) {
            crosscheck_report(check, rows[i].path, rows[i].text);
        }
    }
}

static int64_t crosscheck_duration(const struct crosscheck *check, const char *path)
{
    const struct key *key = keys_at(crosscheck_key(path));
    assert(key->type == KEY_TYPE_DURATION);
    return *(const int64_t *)keys_peek(check->config, key);
}

// How long one duration must, or may, be for another.
struct crosscheck_bound {
    const char *path;
    const char *base;
    int64_t factor;
    bool most; // else the least
    const char *times;
    const char *why;
};

static const struct crosscheck_bound crosscheck_bounds[] = {
    {"outbox.lease", "imprint.timeout", 3, false, "three times ", ""},
    // Nobody compares clocks, but all that they drift apart in a lease must fit into the timeout
    // that is kept free at its end. Machines that keep time are less than 0.05 % apart.
    {"outbox.lease", "imprint.timeout", 1000, true, "1000 times ",
     ": the clocks of two machines drift apart"},
    {"imprint.timeout", "imprint.connect_timeout", 1, false, "", ""},
    {"retry.cap", "retry.base", 1, false, "", ""},
};

static void crosscheck_bound(const struct crosscheck *check, const struct crosscheck_bound *bound)
{
    // Cannot overflow: the table's bounds are days.
    int64_t bound_ns = bound->factor * crosscheck_duration(check, bound->base);
    int64_t value_ns = crosscheck_duration(check, bound->path);
    if (bound->most ? value_ns <= bound_ns : value_ns >= bound_ns) {
        return;
    }
    struct buf text;
    buf_init(&text, CROSSCHECK_TEXT_BYTES);
    bool ok = value_print_duration(bound_ns, &text);
    assert(ok); // a number and a unit
    (void)ok;
    problems_add(check->problems, crosscheck_place(check, bound->path, bound->base), bound->path,
                 "is too %s; it must be at %s %s, which is %s%s%s", bound->most ? "long" : "short",
                 bound->most ? "most" : "least", text.data, bound->times, bound->base, bound->why);
    buf_free(&text);
}

static void crosscheck_durations(const struct crosscheck *check)
{
    for (size_t i = 0; i < sizeof crosscheck_bounds / sizeof crosscheck_bounds[0]; i++) {
        const struct crosscheck_bound *bound = &crosscheck_bounds[i];
        if (!crosscheck_is_broken(check, bound->path) &&
            !crosscheck_is_broken(check, bound->base)) {
            crosscheck_bound(check, bound);
        }
    }
}

void crosscheck_run(struct config *config, struct keys_seen *seen, struct problems *problems)
{
    struct crosscheck check = {.config = config, .seen = seen, .problems = problems};
    crosscheck_base_url(&check);
    crosscheck_update_path(&check);
    crosscheck_header(&check);
    crosscheck_proxy(&check);
    crosscheck_dsn(&check, "database.dsn", config->database.dsn);
    crosscheck_dsn(&check, "database.listen_dsn", config->database.listen_dsn);
    crosscheck_secrets(&check);
    crosscheck_files(&check);
    crosscheck_pairs(&check);
    crosscheck_durations(&check);
}
