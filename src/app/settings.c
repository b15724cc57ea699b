#include "app/settings.h"

#include "base/clock.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#define SETTINGS_DB_CONNECT_NS (5 * CLOCK_NS_PER_SEC)
#define SETTINGS_DB_STATEMENT_NS (10 * CLOCK_NS_PER_SEC)

struct config *settings_load(const char *path)
{
    struct problems *problems = problems_create();
    struct config *config = config_load(path, problems);
    for (size_t i = 0; i < problems_count(problems); i++) {
        fprintf(stderr, "%s\n", problems_line(problems, i));
    }
    problems_destroy(problems);
    return config;
}

struct pgconn_options settings_database(const struct config *config)
{
    return (struct pgconn_options){.dsn = config->database.dsn,
                                   .password_file = config->database.password_file,
                                   .connect_timeout_ns = SETTINGS_DB_CONNECT_NS};
}

struct sender_options settings_sender(const struct config *config)
{
    const struct config_imprint *imprint = &config->imprint;
    return (struct sender_options){
        .base_url = imprint->base_url,
        .update_path = imprint->update_path,
        .basic_auth = imprint->auth == CONFIG_AUTH_BASIC,
        .merchant_key = imprint->merchant_key,
        .ca_file = imprint->ca_file,
        .client_cert_file = imprint->client_cert_file,
        .client_key_file = imprint->client_key_file,
        .proxy = imprint->proxy,
        .http2 = imprint->http_version == CONFIG_HTTP_2,
        .connect_timeout_ns = imprint->connect_timeout_ns,
        .timeout_ns = imprint->timeout_ns,
        .workers = (size_t)config->delivery.workers,
    };
}

struct outbox_options settings_outbox(const struct config *config, const char *instance)
{
    return (struct outbox_options){
        .instance = instance,
        .version = IMPRINT_VERSION,
        .source_relation = config->source.relation,
        .source_key = config->source.customer_id,
        .mapping = config->mapping,
        .delete_done = config->outbox.retention_ns == 0,
        .timeout_ns = SETTINGS_DB_STATEMENT_NS,
    };
}

void settings_instance(char name[SETTINGS_INSTANCE_SIZE])
{
    char host[48] = "";
    uint32_t random = 0;
    gethostname(host, sizeof host - 1);
    ssize_t got = getrandom(&random, sizeof random, 0);
    (void)got;
    snprintf(name, SETTINGS_INSTANCE_SIZE, "%s-%d-%08x", host, (int)getpid(), random);
}
