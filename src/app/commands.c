#include "app/commands.h"

#include "app/daemon.h"
#include "app/options.h"
#include "base/str.h"
#include "io/process.h"

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
    OPTION_WATCH,
    OPTION_ID,
    OPTION_TYPE,
    OPTION_PARAM,
    OPTION_SINCE,
    OPTION_LIMIT,
    OPTION_ALL,
    OPTION_EACH,
    OPTION_REVEAL,
    OPTION_DRY_RUN,
    OPTION_FORCE,
    OPTION_YES,
    OPTION_WHERE,
    OPTION_CUSTOMERS,
    OPTION_OVERLAP,
    OPTION_RATE,
    OPTION_AHEAD,
    OPTION_NAME,
    OPERAND_FILES, // no option: words behind the options, the names of files
};

#define OPTION_FIELD(name) offsetof(struct options, name)

static const struct {
    const char *name;
    int value;
    size_t field;         // of struct options: a text with an argument, else a bool
    const char *argument; // NULL: takes none
    const char *help;
} commands_options[] = {
    {"config", OPTION_CONFIG, OPTION_FIELD(config_path), "FILE",
     "the configuration; without it\n" COMMANDS_CONFIG},
    {"help", OPTION_HELP, OPTION_FIELD(help), NULL, "this text"},
    {"once", OPTION_ONCE, OPTION_FIELD(once), NULL, "deliver what is due, then exit"},
    {"print", OPTION_PRINT, OPTION_FIELD(print), NULL, "print only: the SQL, or the configuration"},
    {"print-defaults", OPTION_PRINT_DEFAULTS, OPTION_FIELD(print_defaults), NULL,
     "print every key with its default"},
    {"offline", OPTION_OFFLINE, OPTION_FIELD(offline), NULL, "check the files only"},
    {"api", OPTION_API, OPTION_FIELD(api), NULL, "also try the key, with an update of no customer"},
    {"json", OPTION_JSON, OPTION_FIELD(json), NULL, "print JSON"},
    {"explain", OPTION_EXPLAIN, OPTION_FIELD(explain), NULL,
     "say which column and type made each field"},
    {"customer", OPTION_CUSTOMER, OPTION_FIELD(customer), "ID",
     "of the customer with this Imprint id"},
    {"row", OPTION_ROW, OPTION_FIELD(row), "ID", "render this row of the outbox"},
    {"until", OPTION_UNTIL, OPTION_FIELD(until), "WHEN",
     "end by itself: a time (UTC, or with its\noffset), or a duration such as 90m"},
    {"watch", OPTION_WATCH, OPTION_FIELD(watch), NULL, "redraw every 2 seconds, until Ctrl-C"},
    {"id", OPTION_ID, OPTION_FIELD(id), "ID[,ID...]", "the rows with these ids"},
    {"type", OPTION_TYPE, OPTION_FIELD(type), "TYPE",
     "rows with this type of error, as list shows it"},
    {"param", OPTION_PARAM, OPTION_FIELD(param), "NAME", "rows with an error of this field"},
    {"since", OPTION_SINCE, OPTION_FIELD(since), "TIME",
     "since then (dead: died; backfill: changed):\na timestamp, or how long ago: 30m, 2h, 7d"},
    {"limit", OPTION_LIMIT, OPTION_FIELD(limit), "N", "at most so many"},
    {"all", OPTION_ALL, OPTION_FIELD(all), NULL, "all of them: dead rows, or customers"},
    {"each", OPTION_EACH, OPTION_FIELD(each), NULL, "row by row instead of groups"},
    {"reveal", OPTION_REVEAL, OPTION_FIELD(reveal), NULL,
     "show the customer's values and the API's\nmessage too"},
    {"dry-run", OPTION_DRY_RUN, OPTION_FIELD(dry_run), NULL, "only say what would be done"},
    {"force", OPTION_FORCE, OPTION_FIELD(force), NULL,
     "retry: also where older values may win over\nnewer ones; backfill: unchanged ones too"},
    {"yes", OPTION_YES, OPTION_FIELD(yes), NULL, "do not ask"},
    {"where", OPTION_WHERE, OPTION_FIELD(where), "SQL",
     "customers for which this condition on\nthe source's columns holds"},
    {"customers", OPTION_CUSTOMERS, OPTION_FIELD(customers), "FILE",
     "those of a list of ids, one a line;\n- is standard input"},
    {"overlap", OPTION_OVERLAP, OPTION_FIELD(overlap), "TIME", "so much earlier than --since; 5m"},
    {"rate", OPTION_RATE, OPTION_FIELD(rate), "RATE",
     "no faster than this, below delivery.rate:\n20/s, 600/m"},
    {"ahead", OPTION_AHEAD, OPTION_FIELD(ahead), "N", "most rows that wait at a time; 10000"},
    {"name", OPTION_NAME, OPTION_FIELD(name), "NAME", "of the run; one that exists goes on"},
};
enum { COMMANDS_OPTIONS = sizeof commands_options / sizeof commands_options[0] };

static int commands_daemon(const struct options *options)
{
    const struct daemon_options daemon = {.config_path = options->config_path,
                                          .once = options->once};
    return daemon_run(&daemon);
}

struct command {
    const char *name; // "dead list": the first word is a group's
    const char *summary;
    const char *details;
    int (*run)(const struct options *options);
    int takes[12]; // besides --config and --help; 0 ends
};

// Which dead rows: all that are given must hold.
#define OPTIONS_DEAD                                                                               \
    OPTION_ID, OPTION_CUSTOMER, OPTION_TYPE, OPTION_PARAM, OPTION_SINCE, OPTION_ALL, OPTION_LIMIT

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
    {"status",
     "show whether it keeps up, and what is stuck",
     "Reads the database only, so it works while no daemon runs. Exit code 69 when the\n"
     "database cannot be reached, 78 when it has no schema.\n",
     status_run,
     {OPTION_WATCH, OPTION_JSON}},
    {"dead list",
     "list the dead rows by reason, or row by row",
     "Groups, unless --each, --id, --customer, --type or --param asks for the rows.\n"
     "At most 50, the largest or newest first; --limit N or --all for more.\n",
     dead_list_run,
     {OPTIONS_DEAD, OPTION_EACH, OPTION_JSON}},
    {"dead show",
     "show one row and its history",
     "Without --reveal no value of the customer is shown. Exit code 65 when there is\n"
     "no such row.\n",
     dead_show_run,
     {OPTION_ID, OPTION_REVEAL, OPTION_JSON}},
    {"dead retry",
     "send dead rows again, once their cause is mended",
     "Never puts older values over newer ones: with a source the customer's present\n"
     "state is sent; without one all later rows of the customer are sent again too,\n"
     "and where these may be pruned the row stays dead, unless --force. 500 rows at a\n"
     "time, no faster than they are sent. Exit code 65 when some stay dead.\n",
     dead_retry_run,
     {OPTIONS_DEAD, OPTION_DRY_RUN, OPTION_FORCE}},
    {"dead discard",
     "delete dead rows that nobody needs any more",
     "Asks first; without a terminal it needs --yes. What was deleted, without its\n"
     "values, stands in imprint_sync.discarded.\n",
     dead_discard_run,
     {OPTIONS_DEAD, OPTION_YES}},
    {"backfill",
     "send many customers once, beside the live changes",
     "Enqueues customers of the source, a bounded number ahead of the sending, and\n"
     "waits until all are sent. A daemon on the outbox does the sending, or this\n"
     "command itself. Live changes always go first. After any interruption the same\n"
     "--name goes on where it stopped. `backfill list`, pause, resume and cancel steer\n"
     "it. Exit code 65 when some rows died, 75 when it was stopped before its end.\n",
     backfill_run,
     {OPTION_ALL, OPTION_SINCE, OPTION_OVERLAP, OPTION_WHERE, OPTION_CUSTOMERS, OPTION_NAME,
      OPTION_LIMIT, OPTION_RATE, OPTION_AHEAD, OPTION_FORCE, OPTION_DRY_RUN}},
    {"backfill list", "list the runs and how far they are", "", backfill_list_run, {OPTION_JSON}},
    {"backfill pause",
     "let a run enqueue nothing more",
     "The process at work on it ends within a second or so. What is enqueued is sent.\n",
     backfill_pause_run,
     {OPTION_NAME}},
    {"backfill resume",
     "go on with a run, as `backfill --name` does",
     "",
     backfill_resume_run,
     {OPTION_NAME, OPTION_CUSTOMERS, OPTION_LIMIT, OPTION_RATE, OPTION_AHEAD}},
    {"backfill cancel",
     "end a run for good, and delete its rows that wait",
     "",
     backfill_cancel_run,
     {OPTION_NAME}},
    {"report",
     "make a page of charts from the log, for a ticket",
     "Reads the log (logfmt, JSON, or journalctl -o json) from the files, of which each is\n"
     "one daemon's and - is standard input, or else from standard input. Writes one page\n"
     "of HTML that needs nothing else. No id and no value of a customer is on it.\n",
     report_page_run,
     {OPERAND_FILES}},
    {"prune",
     "delete done rows older than outbox.retention now",
     "The daemon does the same by itself, once a minute. Dead rows are never deleted.\n",
     prune_run,
     {0}},
    {"version", "print the version", "", version_run, {0}},
};
enum { COMMANDS_COUNT = sizeof commands / sizeof commands[0] };

// First words of commands with two.
static const struct {
    const char *name;
    const char *summary;
} commands_groups[] = {
    {"dead", "what was given up: look at it, send it again, or delete it"},
    {"backfill", "send many customers once, beside the live changes"},
};
enum { COMMANDS_GROUPS = sizeof commands_groups / sizeof commands_groups[0] };

// ---- help ----------------------------------------------------------------------------------

static void commands_help(FILE *out)
{
    fputs("usage: imprint-sync [-c FILE] COMMAND [OPTION...]\n\n"
          "Keeps a partner's CRM and Imprint in step.\n\ncommands:\n",
          out);
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        fprintf(out, "  %-16s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n`imprint-sync COMMAND --help` shows the options of a command.\n", out);
}

// What follows the group in a command's name; NULL when it is not of that group.
static const char *command_in_group(const struct command *command, const char *group)
{
    size_t len = strlen(group);
    bool within = strncmp(command->name, group, len) == 0 && command->name[len] == ' ';
    return within ? command->name + len + 1 : NULL;
}

static void commands_group_help(size_t group, FILE *out)
{
    const char *name = commands_groups[group].name;
    fprintf(out, "usage: imprint-sync [-c FILE] %s COMMAND [OPTION...]\n\n", name);
    fprintf(out, "%s: %s\n\ncommands:\n", name, commands_groups[group].summary);
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        if (command_in_group(&commands[i], name) != NULL) {
            fprintf(out, "  %-16s %s\n", commands[i].name, commands[i].summary);
        }
    }
    fprintf(out, "\n`imprint-sync %s COMMAND --help` shows the options of a command.\n", name);
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
    fprintf(out, "usage: imprint-sync [-c FILE] %s [OPTION...]%s\n\n", command->name,
            command_takes(command, OPERAND_FILES) ? " [FILE...]" : "");
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

// COMMANDS_GROUPS when there is none of this name.
static size_t commands_find_group(const char *name)
{
    size_t group = 0;
    while (group < COMMANDS_GROUPS && strcmp(commands_groups[group].name, name) != 0) {
        group++;
    }
    return group;
}

static const struct command *commands_find_in(size_t group, const char *word)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const char *last = command_in_group(&commands[i], commands_groups[group].name);
        if (last != NULL && strcmp(last, word) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static const char *commands_nearest(const char *name)
{
    const char *names[COMMANDS_COUNT + COMMANDS_GROUPS];
    size_t count = 0;
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        names[count++] = commands[i].name;
    }
    for (size_t i = 0; i < COMMANDS_GROUPS; i++) {
        names[count++] = commands_groups[i].name;
    }
    return str_nearest(str_of(name), names, count);
}

static int commands_misuse_of_group(size_t group, const char *word)
{
    const char *names[COMMANDS_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const char *last = command_in_group(&commands[i], commands_groups[group].name);
        if (last != NULL) {
            names[count++] = last;
        }
    }
    char text[80];
    snprintf(text, sizeof text, "`%s` has no command ", commands_groups[group].name);
    return commands_misuse(text, word, str_nearest(str_of(word), names, count));
}

static void options_set(struct options *options, int value, const char *argument)
{
    for (size_t i = 0; i < COMMANDS_OPTIONS; i++) {
        if (commands_options[i].value != value) {
            continue;
        }
        char *field = (char *)options + commands_options[i].field;
        if (commands_options[i].argument != NULL) {
            memcpy(field, &argument, sizeof argument);
        } else {
            *(bool *)field = true;
        }
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
    // Options may follow operands; a command's name ends those before it.
    const char *letters = command != NULL && command_takes(command, OPERAND_FILES) ? "c:h" : "+c:h";
    opterr = 0;
    while ((value = getopt_long(argc, argv, letters, list, NULL)) != -1) {
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

// The words behind a group's name: one of its commands, which `*at` then points to, or its help.
// -1: go on with `*command`.
static int commands_parse_group(int argc, char **argv, size_t group, int *at,
                                const struct command **command)
{
    const char *word = *at + 1 < argc ? argv[*at + 1] : NULL;
    if (word != NULL && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
        commands_group_help(group, stdout);
        return EX_OK;
    }
    if (word == NULL) {
        commands_group_help(group, stderr);
        return EX_USAGE;
    }
    *command = commands_find_in(group, word);
    if (*command == NULL) {
        return commands_misuse_of_group(group, word);
    }
    (*at)++;
    return -1;
}

// Whether the word behind a group's name is for the group. Some are commands themselves, with
// options: `backfill --all`, and `backfill list`.
static bool commands_wants_group(const struct command *command, const char *word)
{
    return command == NULL || (word != NULL && word[0] != '-');
}

int commands_run(int argc, char **argv)
{
    process_hide();
    struct options options = {.config_path = COMMANDS_CONFIG};
    int code = commands_parse(argc, argv, NULL, &options);
    if (code >= 0) {
        return code;
    }
    if (optind == argc) {
        commands_help(stderr);
        return EX_USAGE;
    }
    int at = optind;
    const char *name = argv[at];
    const struct command *command = commands_find(name);
    size_t group = commands_find_group(name);
    if (command == NULL && group == COMMANDS_GROUPS) {
        return commands_misuse("unknown command: ", name, commands_nearest(name));
    }
    const char *word = at + 1 < argc ? argv[at + 1] : NULL;
    if (group < COMMANDS_GROUPS && commands_wants_group(command, word)) {
        code = commands_parse_group(argc, argv, group, &at, &command);
    }
    if (code >= 0) {
        return code;
    }
    optind = 0; // makes getopt start over
    code = commands_parse(argc - at, argv + at, command, &options);
    if (code >= 0) {
        return code;
    }
    options.operands = argv + at + optind;
    options.operand_count = (size_t)(argc - at - optind);
    if (options.operand_count > 0 && !command_takes(command, OPERAND_FILES)) {
        return commands_misuse("unexpected word: ", options.operands[0], NULL);
    }
    return command->run(&options);
}
