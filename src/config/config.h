// The whole configuration as plain data, read from YAML by the table of keys in keys.c. A struct
// config is complete and valid or is not handed out at all. Reload makes a new one and swaps.
// Paths are as the daemon opens them: those written relative stand below the main file's folder.
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "config/problems.h"
#include "domain/mapping.h"
#include "domain/verdict.h"

#include <stdbool.h>
#include <stdint.h>

enum config_environment {
    CONFIG_ENVIRONMENT_SANDBOX,
    CONFIG_ENVIRONMENT_PRODUCTION,
    CONFIG_ENVIRONMENT_CUSTOM,
};
enum config_auth { CONFIG_AUTH_BEARER, CONFIG_AUTH_BASIC };
enum config_http { CONFIG_HTTP_AUTO, CONFIG_HTTP_1_1, CONFIG_HTTP_2 };

// Events per time: 3000/m is {3000, 60 s}.
struct config_rate {
    int64_t count;
    int64_t per_ns;
};

struct config_database {
    char *dsn;
    char *listen_dsn;    // NULL: LISTEN on dsn
    char *password_file; // NULL: none
};

struct config_source {
    char *relation; // NULL: no source is configured
    char *customer_id;
    char *updated_at; // NULL: none
};

struct config_imprint {
    enum config_environment environment;
    char *base_url;    // without a slash at the end
    char *update_path; // holds "{customer_id}" once
    char *api_key_file;
    enum config_auth auth;
    char *merchant_key; // NULL: header is not sent
    int64_t connect_timeout_ns;
    int64_t timeout_ns;
    char *ca_file; // NULL: the system's
    char *client_cert_file;
    char *client_key_file;
    char *proxy;
    enum config_http http_version;
};

struct config_delivery {
    struct config_rate rate;
    int64_t burst;
    int64_t workers;
    bool skip_unchanged;
    int64_t drain_timeout_ns;
};

struct config_retry {
    int64_t base_ns;
    int64_t cap_ns;
    int64_t max_attempts;
    int64_t give_up_after_ns;
    enum verdict_outcome outcomes[VERDICT_STATUS_COUNT]; // {409: retry}
};

struct config_outbox {
    int64_t poll_interval_ns;
    int64_t batch;
    int64_t lease_ns;
    int64_t retention_ns;
    bool notify;
};

struct config_log {
    enum log_level level;
    enum log_format format;
    int64_t stats_interval_ns;
};

struct config {
    struct config_database database;
    struct config_source source;
    struct config_imprint imprint;
    struct config_delivery delivery;
    struct config_retry retry;
    struct config_outbox outbox;
    struct config_log log;
    char *mapping_file;      // NULL: the mapping stands in the main file
    struct mapping *mapping; // owned
};

// Reads `path` and the mapping file it names. NULL when `problems` is not empty afterwards: every
// reason is in it, of all files.
struct config *config_load(const char *path, struct problems *problems);
void config_destroy(struct config *config);

// Both print YAML from the tables of keys and of the mapping's options. False when the buffer's cap
// is passed; a mapping may hold a megabyte of constants.
// The values in effect, and the mapping, also where it has its own file. config_load reads it once
// the secrets, which are "(set)", have been put in again.
bool config_print(const struct config *config, struct buf *out) MUST_CHECK;
// Every key with its help and its default; what has a default is commented out.
bool config_print_defaults(struct buf *out) MUST_CHECK;

#endif
