#include "app/commands.h"

#include "app/daemon.h"
#include "app/options.h"
#include "base/str.h"

#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define COMMANDS_CONFIG "/etc/imprint-sync/imprint-sync.yaml"

// Values of the long options, from above every letter.
enum option_value {
    OPTION_CONFIG = 'c',
    OPTION_HELP = 'h',
    OPTION_ONCE = 256,
    OPTION_PRINT,
    OPTION_PRINT_DEFAULTS,
    OPTION_OFFLINE,
    OPTION_API,
    OPTION_JSON,
    OPTION_EXPLAIN,
    OPTION_CUSTOMER,
    OPTION_ROW,
    OPTION_UNTIL,
};

static const struct {
    const char *name;
    int value;
    const char *argument; // NULL: takes none
    const char *help;
} commands_options[] = {
    {"config", OPTION_CONFIG, "FILE", "the configuration; without it\n" COMMANDS_CONFIG},
    {"help", OPTION_HELP, NULL, "this text"},
    {"once", OPTION_ONCE, NULL, "deliver what is due, then exit"},
    {"print", OPTION_PRINT, NULL, "print only: the SQL, or the configuration"},
    {"print-defaults", OPTION_PRINT_DEFAULTS, NULL, "print every key with its default"},
    {"offline", OPTION_OFFLINE, NULL, "check the files only"},
    {"api", OPTION_API, NULL, "also try the key, with an update of no customer"},
    {"json", OPTION_JSON, NULL, "print JSON"},
    {"explain", OPTION_EXPLAIN, NULL, "say which column and type made each field"},
    {"customer", OPTION_CUSTOMER, "ID", "render the source row of this customer"},
    {"row", OPTION_ROW, "ID", "render this row of the outbox"},
    {"until", OPTION_UNTIL, "WHEN",
     "end by itself: a time (UTC, or with its\noffset), or a duration such as 90m"},
};
enum { COMMANDS_OPTIONS = sizeof commands_options / sizeof commands_options[0] };

static int commands_daemon(const struct options *options)
{
    return daemon_run(options->config_path, options->once);
}

struct command {
    const char *name;
    const char *summary;
    const char *details;
    int (*run)(const struct options *options);
    int takes[8]; // besides --config and --help; 0 ends
};

static const struct command commands[] = {
    {"run",
     "deliver changes until told to stop (the service)",
     "Reads changed customers from the outbox, maps them and sends them to Imprint.\n"
     "SIGTERM and SIGINT finish what is in flight; a second one ends at once.\n"
     "SIGHUP reads the configuration again: it takes over all of it, or nothing.\n",
     commands_daemon,
     {OPTION_ONCE}},
    {"render",
     "show the request that a row would become, without sending it",
     "Without --customer or --row it reads one row, a JSON object, from standard\n"
     "input. Exit code 65 when the row cannot be sent; every reason is named.\n",
     render_run,
     {OPTION_CUSTOMER, OPTION_ROW, OPTION_EXPLAIN}},
    {"check",
     "check configuration, database, API and, with --api, the key",
     "Prints a line for each thing looked at, and below it what to do. Exit code 78\n"
     "when something must be mended, 69 when database or API cannot be reached.\n",
     check_run,
     {OPTION_OFFLINE, OPTION_API, OPTION_JSON, OPTION_PRINT, OPTION_PRINT_DEFAULTS}},
    {"pause",
     "stop the sending of all instances, for maintenance at Imprint",
     "Requests in flight are finished; changes go on to be collected in the outbox.\n"
     "It holds for every instance, also for those that start later, until `resume`.\n",
     pause_run,
     {OPTION_UNTIL}},
    {"resume", "end a pause; sending goes on with a slow start", "", resume_run, {0}},
    {"migrate",
     "create or update the schema imprint_sync in the database",
     "Applies what is missing, one transaction each; run it again at any time.\n"
     "With --print it only prints the SQL, for a DBA to run.\n",
     migrate_run,
     {OPTION_PRINT}},
    {"version", "print the version", "", version_run, {0}},
};
enum { COMMANDS_COUNT = sizeof commands / sizeof commands[0] };

// ---- help ----------------------------------------------------------------------------------

static void commands_help(FILE *out)
{
    fputs("usage: imprint-sync [-c FILE] COMMAND [OPTION...]\n\n"
          "Keeps a partner's CRM and Imprint in step.\n\ncommands:\n",
          out);
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n`imprint-sync COMMAND --help` shows the options of a command.\n", out);
}

static bool command_takes(const struct command *command, int value)
{
    if (value == OPTION_CONFIG || value == OPTION_HELP) {
        return true;
    }
    for (size_t i = 0; command != NULL && command->takes[i] != 0; i++) {
        if (command->takes[i] == value) {
            return true;
        }
    }
    return false;
}

static void command_help(const struct command *command, FILE *out)
{
    fprintf(out, "usage: imprint-sync [-c FILE] %s [OPTION...]\n\n", command->name);
    fprintf(out, "%s: %s\n%s\noptions:\n", command->name, command->summary, command->details);
    for (size_t i = 0; i < COMMANDS_OPTIONS; i++) {
        int value = commands_options[i].value;
        if (!command_takes(command, value)) {
            continue;
        }
        char name[40];
        const char *argument = commands_options[i].argument;
        snprintf(name, sizeof name, "%s--%s%s%s",
                 value == OPTION_CONFIG ? "-c, "
                 : value == OPTION_HELP ? "-h, "
                                        : "    ",
                 commands_options[i].name, argument == NULL ? "" : " ",
                 argument == NULL ? "" : argument);
        struct str line;
        struct str rest = str_of(commands_options[i].help);
        str_split(rest, '\n', &line, &rest);
        fprintf(out, "  %-24s %.*s\n", name, STR_ARG(line));
        if (rest.len > 0) {
            fprintf(out, "  %-24s %.*s\n", "", STR_ARG(rest));
        }
    }
}

// ---- parsing -------------------------------------------------------------------------------

static int commands_misuse(const char *text, const char *what, const char *nearest)
{
    fprintf(stderr, "imprint-sync: %s%s%s", text, what, nearest == NULL ? "" : "; did you mean ");
    fprintf(stderr, "%s%s\n", nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?");
    fputs("Try `imprint-sync --help`.\n", stderr);
    return EX_USAGE;
}

static const struct command *commands_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static const char *commands_nearest(const char *name)
{
    const char *names[COMMANDS_COUNT];
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        names[i] = commands[i].name;
    }
    return str_nearest(str_of(name), names, COMMANDS_COUNT);
}

static void options_set(struct options *options, int value, const char *argument)
{
    switch (value) {
    case OPTION_CONFIG:
        options->config_path = argument;
        break;
    case OPTION_ONCE:
        options->once = true;
        break;
    case OPTION_PRINT:
        options->print = true;
        break;
    case OPTION_PRINT_DEFAULTS:
        options->print_defaults = true;
        break;
    case OPTION_OFFLINE:
        options->offline = true;
        break;
    case OPTION_API:
        options->api = true;
        break;
    case OPTION_JSON:
        options->json = true;
        break;
    case OPTION_EXPLAIN:
        options->explain = true;
        break;
    case OPTION_CUSTOMER:
        options->customer = argument;
        break;
    case OPTION_ROW:
        options->row = argument;
        break;
    case OPTION_UNTIL:
        options->until = argument;
        break;
    default:
        break;
    }
}

static void commands_long_options(struct option *list)
{
    for (size_t i = 0; i < COMMANDS_OPTIONS; i++) {
        list[i] = (struct option){
            .name = commands_options[i].name,
            .has_arg = commands_options[i].argument == NULL ? no_argument : required_argument,
            .val = commands_options[i].value};
    }
    list[COMMANDS_OPTIONS] = (struct option){.name = NULL};
}

// What getopt_long did not understand.
static int commands_bad_option(char **argv)
{
    const char *names[COMMANDS_OPTIONS];
    for (size_t i = 0; i < COMMANDS_OPTIONS; i++) {
        names[i] = commands_options[i].name;
    }
    const char *word = argv[optind - 1];
    const char *nearest = word[0] == '-' && word[1] == '-'
                              ? str_nearest(str_of(word + 2), names, COMMANDS_OPTIONS)
                              : NULL;
    char dashed[64];
    snprintf(dashed, sizeof dashed, "--%s", nearest == NULL ? "" : nearest);
    bool known = nearest != NULL && strcmp(nearest, word + 2) == 0;
    if (known) {
        return commands_misuse("this option needs an argument: ", word, NULL);
    }
    return commands_misuse("unknown option, or one without its argument: ", word,
                           nearest == NULL ? NULL : dashed);
}

static int commands_show_help(const struct command *command)
{
    if (command == NULL) {
        commands_help(stdout);
    } else {
        command_help(command, stdout);
    }
    return EX_OK;
}

// Parses up to the end, or with `command` NULL up to the command's name. -1: go on.
static int commands_parse(int argc, char **argv, const struct command *command,
                          struct options *options)
{
    struct option list[COMMANDS_OPTIONS + 1];
    commands_long_options(list);
    int value;
    opterr = 0;
    while ((value = getopt_long(argc, argv, "+c:h", list, NULL)) != -1) {
        if (value == '?') {
            return commands_bad_option(argv);
        }
        if (value == OPTION_HELP) {
            return commands_show_help(command);
        }
        if (!command_takes(command, value)) {
            return commands_misuse(command == NULL ? "this option belongs behind a command: "
                                                   : "this command does not take the option ",
                                   argv[optind - 1], NULL);
        }
        options_set(options, value, optarg);
    }
    return -1;
}

int commands_run(int argc, char **argv)
{
    struct options options = {.config_path = COMMANDS_CONFIG};
    int code = commands_parse(argc, argv, NULL, &options);
    if (code >= 0) {
        return code;
    }
    if (optind == argc) {
        commands_help(stderr);
        return EX_USAGE;
    }
    const char *name = argv[optind];
    const struct command *command = commands_find(name);
    if (command == NULL) {
        return commands_misuse("unknown command: ", name, commands_nearest(name));
    }
    int rest = argc - optind;
    char **words = argv + optind;
    optind = 0; // makes getopt start over
    code = commands_parse(rest, words, command, &options);
    if (code >= 0) {
        return code;
    }
    if (optind < rest) {
        return commands_misuse("unexpected word: ", words[optind], NULL);
    }
    return command->run(&options);
}
