#include "config/keys.h"

#include "base/clock.h"
#include "config/value.h"

#include <assert.h>

#define KEYS_MS CLOCK_NS_PER_MS
#define KEYS_SEC CLOCK_NS_PER_SEC
#define KEYS_HOUR (3600 * CLOCK_NS_PER_SEC)
#define KEYS_DAY (24 * KEYS_HOUR)
#define KEYS_OFFSET(member) offsetof(struct config, member)

static const struct key_choice keys_environments[] = {
    {.name = "sandbox", .value = CONFIG_ENVIRONMENT_SANDBOX},
    {.name = "production", .value = CONFIG_ENVIRONMENT_PRODUCTION},
    {.name = "custom", .value = CONFIG_ENVIRONMENT_CUSTOM},
    {0},
};

static const struct key_choice keys_auths[] = {
    {.name = "bearer", .value = CONFIG_AUTH_BEARER},
    {.name = "basic", .value = CONFIG_AUTH_BASIC},
    {0},
};

static const struct key_choice keys_http_versions[] = {
    {.name = "auto", .value = CONFIG_HTTP_AUTO},
    {.name = "1.1", .value = CONFIG_HTTP_1_1},
    {.name = "2", .value = CONFIG_HTTP_2},
    {0},
};

static const struct key_choice keys_levels[] = {
    {.name = "error", .value = LOG_LEVEL_ERROR},
    {.name = "warning", .value = LOG_LEVEL_WARNING},
    {.name = "info", .value = LOG_LEVEL_INFO},
    {.name = "debug", .value = LOG_LEVEL_DEBUG},
    {0},
};

static const struct key_choice keys_formats[] = {
    {.name = "logfmt", .value = LOG_FORMAT_LOGFMT},
    {.name = "json", .value = LOG_FORMAT_JSON},
    {.name = "journal", .value = LOG_FORMAT_JOURNAL},
    {0},
};

static const struct key_choice keys_outcomes[] = {
    {.name = "retry", .value = VERDICT_OUTCOME_RETRY},
    {.name = "dead", .value = VERDICT_OUTCOME_DEAD},
    {.name = "hold", .value = VERDICT_OUTCOME_HOLD},
    {0},
};

// In the order in which they are printed; the keys of a section stand together.
static const struct key keys[] = {
    {
        .path = "database",
        .type = KEY_TYPE_SECTION,
        .help = "Where the outbox is.",
    },
    {
        .path = "database.dsn",
        .type = KEY_TYPE_TEXT,
        .required = true,
        .restart = true,
        .secret = true,
        .offset = KEYS_OFFSET(database.dsn),
        .help = "The CRM's Postgres, as a libpq conninfo string or URI, without a password.",
    },
    {
        .path = "database.listen_dsn",
        .type = KEY_TYPE_TEXT,
        .restart = true,
        .secret = true,
        .offset = KEYS_OFFSET(database.listen_dsn),
        .help = "A way to Postgres around a connection pooler, for LISTEN; not set: dsn.",
    },
    {
        .path = "database.password_file",
        .type = KEY_TYPE_PATH,
        .restart = true,
        .offset = KEYS_OFFSET(database.password_file),
        .help = "File that holds the database password, where one is needed.",
    },
    {
        .path = "source",
        .type = KEY_TYPE_SECTION,
        .help = "Where a customer's current row is read, for changes that triggers and backfills "
                "announce. Leave the section out if applications write whole rows themselves.",
    },
    {
        .path = "source.relation",
        .type = KEY_TYPE_TEXT,
        .offset = KEYS_OFFSET(source.relation),
        .help = "View or table with one row per customer, which triggers and backfills send.",
    },
    {
        .path = "source.customer_id",
        .type = KEY_TYPE_TEXT,
        .offset = KEYS_OFFSET(source.customer_id),
        .help = "Its column with Imprint's customer id.",
    },
    {
        .path = "source.updated_at",
        .type = KEY_TYPE_TEXT,
        .offset = KEYS_OFFSET(source.updated_at),
        .help = "Its column with the time of the last change, for backfill --since.",
    },
    {
        .path = "imprint",
        .type = KEY_TYPE_SECTION,
        .help = "Where updates go.",
    },
    {
        .path = "imprint.environment",
        .type = KEY_TYPE_ENUM,
        .fallback = "sandbox",
        .choices = keys_environments,
        .offset = KEYS_OFFSET(imprint.environment),
        .help = "Must agree with the host of base_url, so that no test key meets production.",
    },
    {
        .path = "imprint.base_url",
        .type = KEY_TYPE_TEXT,
        .required = true,
        .offset = KEYS_OFFSET(imprint.base_url),
        .help = "The API: https://dev.sbx.imprint.co (sandbox) or https://dev.imprint.co.",
    },
    {
        .path = "imprint.update_path",
        .type = KEY_TYPE_TEXT,
        .fallback = "/v2/customers/{customer_id}",
        .offset = KEYS_OFFSET(imprint.update_path),
        .help = "Path of \"Update a customer\"; holds {customer_id} once.",
    },
    {
        .path = "imprint.api_key_file",
        .type = KEY_TYPE_PATH,
        .required = true,
        .offset = KEYS_OFFSET(imprint.api_key_file),
        .help = "File that holds the API key; read again when it changes.",
    },
    {
        .path = "imprint.auth",
        .type = KEY_TYPE_ENUM,
        .hidden = true,
        .fallback = "bearer",
        .choices = keys_auths,
        .offset = KEYS_OFFSET(imprint.auth),
        .help = "How the key is sent.",
    },
    {
        .path = "imprint.merchant_key",
        .type = KEY_TYPE_TEXT,
        .secret = true,
        .offset = KEYS_OFFSET(imprint.merchant_key),
        .help = "Header x-imprint-merchant-key, which names the product where there are several.",
    },
    {
        .path = "imprint.connect_timeout",
        .type = KEY_TYPE_DURATION,
        .fallback = "5s",
        .min = 10 * KEYS_MS,
        .max = 60 * KEYS_SEC,
        .offset = KEYS_OFFSET(imprint.connect_timeout_ns),
        .help = "Longest wait for a connection, TLS included.",
    },
    {
        .path = "imprint.timeout",
        .type = KEY_TYPE_DURATION,
        .fallback = "15s",
        .min = 10 * KEYS_MS,
        .max = 600 * KEYS_SEC,
        .offset = KEYS_OFFSET(imprint.timeout_ns),
        .help = "Longest time for a whole request.",
    },
    {
        .path = "imprint.ca_file",
        .type = KEY_TYPE_PATH,
        .offset = KEYS_OFFSET(imprint.ca_file),
        .help = "Certificates (PEM) to trust instead of the system's, also at an https proxy.",
    },
    {
        .path = "imprint.client_cert_file",
        .type = KEY_TYPE_PATH,
        .offset = KEYS_OFFSET(imprint.client_cert_file),
        .help = "Client certificate (PEM); needs client_key_file.",
    },
    {
        .path = "imprint.client_key_file",
        .type = KEY_TYPE_PATH,
        .offset = KEYS_OFFSET(imprint.client_key_file),
        .help = "Its private key (PEM).",
    },
    {
        .path = "imprint.proxy",
        .type = KEY_TYPE_TEXT,
        .secret = true,
        .offset = KEYS_OFFSET(imprint.proxy),
        .help = "Proxy to go through, for example http://proxy.example:3128.",
    },
    {
        .path = "imprint.http_version",
        .type = KEY_TYPE_ENUM,
        .fallback = "auto",
        .choices = keys_http_versions,
        .offset = KEYS_OFFSET(imprint.http_version),
        .help = "auto is 1.1, where a request that is given up ends with its connection.",
    },
    {
        .path = "delivery",
        .type = KEY_TYPE_SECTION,
        .help = "How fast.",
    },
    {
        .path = "delivery.rate",
        .type = KEY_TYPE_RATE,
        .fallback = "50/s",
        .min = 1,
        .max = 1000000,
        .offset = KEYS_OFFSET(delivery.rate),
        .help = "Most requests per time, of all instances together.",
    },
    {
        .path = "delivery.burst",
        .type = KEY_TYPE_INTEGER,
        .fallback = "10",
        .min = 1,
        .max = 100000,
        .offset = KEYS_OFFSET(delivery.burst),
        .help = "Requests that may leave at once after a quiet time.",
    },
    {
        .path = "delivery.workers",
        .type = KEY_TYPE_INTEGER,
        .fallback = "16",
        .min = 1,
        .max = 1024,
        .offset = KEYS_OFFSET(delivery.workers),
        .help = "Most requests in flight at once.",
    },
    {
        .path = "delivery.skip_unchanged",
        .type = KEY_TYPE_BOOL,
        .fallback = "true",
        .offset = KEYS_OFFSET(delivery.skip_unchanged),
        .help = "Leave out updates that would send again what was accepted last.",
    },
    {
        .path = "delivery.drain_timeout",
        .type = KEY_TYPE_DURATION,
        .fallback = "20s",
        .max = KEYS_HOUR,
        .offset = KEYS_OFFSET(delivery.drain_timeout_ns),
        .help = "How long a stop waits for requests in flight.",
    },
    {
        .path = "retry",
        .type = KEY_TYPE_SECTION,
        .help = "What happens after a failure.",
    },
    {
        .path = "retry.base",
        .type = KEY_TYPE_DURATION,
        .fallback = "1s",
        .min = KEYS_MS,
        .max = KEYS_HOUR,
        .offset = KEYS_OFFSET(retry.base_ns),
        .help = "First wait before a retry; it doubles with each, with full jitter.",
    },
    {
        .path = "retry.cap",
        .type = KEY_TYPE_DURATION,
        .fallback = "15m",
        .min = KEYS_MS,
        .max = KEYS_DAY,
        .offset = KEYS_OFFSET(retry.cap_ns),
        .help = "Longest wait before a retry.",
    },
    {
        .path = "retry.max_attempts",
        .type = KEY_TYPE_INTEGER,
        .fallback = "20",
        .min = 1,
        .max = 10000,
        .offset = KEYS_OFFSET(retry.max_attempts),
        .help = "A row is dead after so many attempts, but not before give_up_after.",
    },
    {
        .path = "retry.give_up_after",
        .type = KEY_TYPE_DURATION,
        .fallback = "24h",
        .max = 365 * KEYS_DAY,
        .offset = KEYS_OFFSET(retry.give_up_after_ns),
        .help = "A row is dead so long after it was made, but not before max_attempts.",
    },
    {
        .path = "retry.outcomes",
        .type = KEY_TYPE_OUTCOMES,
        .fallback = "{}",
        .choices = keys_outcomes,
        .offset = KEYS_OFFSET(retry.outcomes),
        .help = "What an answer means, by status or class: {409: retry, 5xx: hold}.",
    },
    {
        .path = "outbox",
        .type = KEY_TYPE_SECTION,
        .help = "How the queue is read and kept.",
    },
    {
        .path = "outbox.poll_interval",
        .type = KEY_TYPE_DURATION,
        .fallback = "1s",
        .min = 20 * KEYS_MS,
        .max = KEYS_HOUR,
        .offset = KEYS_OFFSET(outbox.poll_interval_ns),
        .help = "How often the outbox is read where no NOTIFY wakes the daemon.",
    },
    {
        .path = "outbox.batch",
        .type = KEY_TYPE_INTEGER,
        .fallback = "500",
        .min = 1,
        .max = 10000,
        .offset = KEYS_OFFSET(outbox.batch),
        .help = "Most rows a read takes.",
    },
    {
        .path = "outbox.lease",
        .type = KEY_TYPE_DURATION,
        .restart = true,
        .fallback = "45s",
        .min = 100 * KEYS_MS,
        .max = KEYS_HOUR,
        .offset = KEYS_OFFSET(outbox.lease_ns),
        .help = "How long an instance owns its share of customers; at least 3 timeouts.",
    },
    {
        .path = "outbox.retention",
        .type = KEY_TYPE_DURATION,
        .fallback = "7d",
        .max = 3650 * KEYS_DAY,
        .offset = KEYS_OFFSET(outbox.retention_ns),
        .help = "How long done rows are kept; 0 deletes them at once. Dead rows stay.",
    },
    {
        .path = "outbox.notify",
        .type = KEY_TYPE_BOOL,
        .restart = true,
        .fallback = "true",
        .offset = KEYS_OFFSET(outbox.notify),
        .help = "Let triggers wake an idle daemon with NOTIFY.",
    },
    {
        .path = "log",
        .type = KEY_TYPE_SECTION,
        .help = "What is written to standard error.",
    },
    {
        .path = "log.level",
        .type = KEY_TYPE_ENUM,
        .fallback = "info",
        .choices = keys_levels,
        .offset = KEYS_OFFSET(log.level),
        .help = "Least important events that are logged.",
    },
    {
        .path = "log.format",
        .type = KEY_TYPE_ENUM,
        .fallback = "logfmt",
        .choices = keys_formats,
        .offset = KEYS_OFFSET(log.format),
        .help = "One event a line, as key=value or as JSON; or fields of systemd's journal.",
    },
    {
        .path = "log.stats_interval",
        .type = KEY_TYPE_DURATION,
        .fallback = "60s",
        .min = 100 * KEYS_MS,
        .max = KEYS_DAY,
        .offset = KEYS_OFFSET(log.stats_interval_ns),
        .help = "How often the line with all counters is logged.",
    },
    {
        .path = "mapping_file",
        .type = KEY_TYPE_PATH,
        .offset = KEYS_OFFSET(mapping_file),
        .help = "File with the mapping, relative to this one; or write `mapping:` here.",
    },
    {
        .path = "mapping",
        .type = KEY_TYPE_TREE,
        .help = "Which column makes which field of the request, in the shape of its body.",
    },
    {
        .path = "on_invalid",
        .type = KEY_TYPE_TREE,
        .fallback = "fail",
        .help = "What a value that cannot be mapped does: fail (the row) or omit (the field).",
    },
};
enum { KEYS_COUNT = sizeof keys / sizeof keys[0] };
static_assert((int)KEYS_COUNT <= (int)KEYS_MAX, "struct keys_seen has room for every key");

size_t keys_count(void)
{
    return KEYS_COUNT;
}

const struct key *keys_at(size_t index)
{
    assert(index < KEYS_COUNT);
    return &keys[index];
}

size_t keys_find(struct str path)
{
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        if (str_equal(path, str_of(keys[i].path))) {
            return i;
        }
    }
    return KEYS_MAX;
}

void *keys_field(struct config *config, const struct key *key)
{
    return (char *)config + key->offset;
}

const void *keys_peek(const struct config *config, const struct key *key)
{
    return (const char *)config + key->offset;
}

bool keys_print_choices(const struct key *key, struct buf *out)
{
    bool ok = true;
    bool first = true;
    for (const struct key_choice *choice = key->choices; ok && choice->name != NULL; choice++) {
        bool last = choice[1].name == NULL;
        ok = buf_printf(out, "%s%s", first ? "" : last ? " or " : ", ", choice->name);
        first = false;
    }
    return ok;
}

const char *keys_name(const struct key *key)
{
    const char *dot = strchr(key->path, '.');
    return dot == NULL ? key->path : dot + 1;
}

static bool keys_is_in(const struct key *key, struct str section)
{
    const char *dot = strchr(key->path, '.');
    size_t len = dot == NULL ? 0 : (size_t)(dot - key->path);
    return str_equal((struct str){key->path, len}, section);
}

size_t keys_names(struct str section, const char *names[KEYS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < KEYS_COUNT; i++) {
        if (keys_is_in(&keys[i], section)) {
            names[count++] = keys_name(&keys[i]);
        }
    }
    return count;
}
