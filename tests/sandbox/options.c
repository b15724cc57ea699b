#include "options.h"

#include "mem.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

enum row_kind {
    ROW_KIND_FLAG,
    ROW_KIND_TEXT,
    ROW_KIND_LIST,
    ROW_KIND_NUMBER, /* 0 to max */
    ROW_KIND_RATE,   /* N, N/s, N/m */
};

struct row {
    const char *name;
    enum row_kind kind;
    size_t offset;
    int64_t max;
    const char *argument; /* its name in the help text */
    const char *help;
};

#define FIELD(field) offsetof(struct options, field)

static const struct row rows[] = {
    {"port", ROW_KIND_NUMBER, FIELD(port), 65535, "N", "port to listen on; 0: a free one"},
    {"port-file", ROW_KIND_TEXT, FIELD(port_file), 0, "FILE", "write the port there, then listen"},
    {"listen", ROW_KIND_TEXT, FIELD(listen), 0, "ADDR", "numeric address; default 127.0.0.1"},
    {"journal", ROW_KIND_TEXT, FIELD(journal), 0, "FILE", "append a JSON line for each POST"},
    {"journal-bodies", ROW_KIND_FLAG, FIELD(journal_bodies), 0, NULL, "with the bodies in it"},
    {"api-key", ROW_KIND_LIST, FIELD(api_keys), 0, "KEY",
     "a valid key (repeatable); default: any key"},
    {"merchant-key", ROW_KIND_TEXT, FIELD(merchant_key), 0, "KEY",
     "demand this x-imprint-merchant-key"},
    {"tls", ROW_KIND_FLAG, FIELD(tls), 0, NULL, "HTTPS, with --cert and --cert-key"},
    {"cert", ROW_KIND_TEXT, FIELD(cert), 0, "FILE", "certificate (PEM)"},
    {"cert-key", ROW_KIND_TEXT, FIELD(cert_key), 0, "FILE", "its private key (PEM)"},
    {"make-cert", ROW_KIND_TEXT, FIELD(make_cert), 0, "DIR",
     "make ca.pem, server.pem, server-key.pem, and exit"},
    {"rate", ROW_KIND_RATE, FIELD(rate_per_sec), 0, "N/s", "answer 429 above this rate"},
    {"burst", ROW_KIND_NUMBER, FIELD(burst), INT32_MAX, "N", "at most N at once; default 1"},
    {"retry-after-date", ROW_KIND_FLAG, FIELD(retry_after_date), 0, NULL,
     "Retry-After of --rate as a date"},
    {"strict-customers", ROW_KIND_TEXT, FIELD(strict_customers), 0, "FILE",
     "only the ids of this file exist"},
    {"latency-ms", ROW_KIND_NUMBER, FIELD(latency_ms), 86400000, "N", "delay every answer"},
    {"fault", ROW_KIND_LIST, FIELD(faults), 0, "SPEC", "trouble (repeatable), see README.md"},
    {"seed", ROW_KIND_NUMBER, FIELD(seed), INT64_MAX, "N", "make probabilities repeatable"},
    {"die-with-parent", ROW_KIND_FLAG, FIELD(die_with_parent), 0, NULL,
     "end when the parent process ends"},
    {"help", ROW_KIND_FLAG, FIELD(help), 0, NULL, "this text"},
};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

static bool parse_number(const char *value, int64_t max, int64_t *number)
{
    char *end = NULL;
    errno = 0;
    long long parsed = strtoll(value, &end, 10);
    *number = parsed;
    return errno == 0 && end != value && *end == '\0' && parsed >= 0 && parsed <= max;
}

static bool parse_rate(const char *value, double *per_sec)
{
    char *end = NULL;
    *per_sec = strtod(value, &end);
    if (end == value || !(*per_sec > 0 && *per_sec <= 1e9)) {
        return false;
    }
    if (strcmp(end, "/m") == 0) {
        *per_sec /= 60;
        return true;
    }
    return *end == '\0' || strcmp(end, "/s") == 0;
}

static bool add_item(struct option_list *list, const char *value)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof(char *));
    list->items[list->count++] = value;
    return true;
}

static bool set_field(struct options *options, const struct row *row, const char *value)
{
    void *field = (char *)options + row->offset;
    switch (row->kind) {
    case ROW_KIND_FLAG:
        *(bool *)field = true;
        return true;
    case ROW_KIND_TEXT:
        *(const char **)field = value;
        return *value != '\0';
    case ROW_KIND_LIST:
        return add_item(field, value);
    case ROW_KIND_NUMBER:
        return parse_number(value, row->max, field);
    case ROW_KIND_RATE:
        return parse_rate(value, field);
    }
    return false;
}

static bool complain(const char *what, const char *detail)
{
    fprintf(stderr, "imprint-sandbox: %s%s; see --help\n", what, detail);
    return false;
}

static bool check_together(const struct options *options)
{
    if (options->tls && (options->cert == NULL || options->cert_key == NULL)) {
        return complain("--tls needs --cert and --cert-key", "");
    }
    if (!options->tls && (options->cert != NULL || options->cert_key != NULL)) {
        return complain("--cert and --cert-key need --tls", "");
    }
    return true;
}

bool options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.listen = "127.0.0.1", .burst = 1, .seed = -1};
    struct option longs[ROW_COUNT + 1] = {0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        longs[i].name = rows[i].name;
        longs[i].has_arg = rows[i].argument != NULL ? required_argument : no_argument;
    }
    for (;;) {
        int place = 0;
        int found = getopt_long(argc, argv, "", longs, &place);
        if (found == -1) {
            break;
        }
        if (found != 0) {
            return false; /* getopt has said why */
        }
        if (!set_field(options, &rows[place], optarg)) {
            return complain("no value for --", rows[place].name);
        }
    }
    if (optind < argc) {
        return complain("unexpected: ", argv[optind]);
    }
    return check_together(options);
}

void options_print_help(FILE *stream)
{
    fputs("Usage: imprint-sandbox [OPTION]...\n"
          "A test server that stands in for the Imprint API.\n\n",
          stream);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const char *argument = rows[i].argument != NULL ? rows[i].argument : "";
        int width = 21 - (int)strlen(rows[i].name);
        fprintf(stream, "  --%s %-*s %s\n", rows[i].name, width, argument, rows[i].help);
    }
}

void options_free(struct options *options)
{
    free(options->api_keys.items);
    free(options->faults.items);
    options->api_keys = (struct option_list){0};
    options->faults = (struct option_list){0};
}
