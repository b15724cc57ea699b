/*
 * options: the command line, as a table that is also the help text.
 * The texts of struct options are borrowed from argv; options_free frees the lists.
 */
#ifndef SANDBOX_OPTIONS_H
#define SANDBOX_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct option_list {
    const char **items;
    size_t count;
};

struct options {
    int64_t port;
    const char *port_file;
    const char *listen;
    const char *journal;
    bool journal_bodies;
    struct option_list api_keys;
    const char *merchant_key;
    bool tls;
    const char *cert;
    const char *cert_key;
    const char *make_cert;
    double rate_per_sec;
    int64_t burst;
    bool retry_after_date;
    const char *strict_customers;
    int64_t latency_ms;
    struct option_list faults;
    int64_t seed; /* -1: another one every time */
    bool die_with_parent;
    bool help;
};

/* False when something is wrong; the reason is on stderr. Free it either way. */
bool options_parse(struct options *options, int argc, char **argv)
    __attribute__((warn_unused_result));

void options_print_help(FILE *stream);

void options_free(struct options *options);

#endif
