#include "program.h"

#include "app/commands.h"
#include "servers.h"

#include <check.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROGRAM_WORDS = 24 };

static struct {
    char *out;
    char *err;
    char json[400];
} program;

static const char program_mapping[] = "  email: email\n"
                                      "  phone: {from: mobile}\n"
                                      "  first_name: first_name\n"
                                      "  city: address.city\n"
                                      "  metadata:\n"
                                      "    loyalty_id: {from: loyalty_id, as: text}\n";

static void write_section(FILE *file, const char *name, const char *lines, const char *usual)
{
    lines = lines == NULL ? usual : lines;
    if (lines[0] != '\0') {
        fprintf(file, "%s:\n%s", name, lines);
    }
}

void program_configure(const struct program_config *config)
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    const char *dsn = config->dsn == NULL ? servers_dsn() : config->dsn;
    const char *url = config->base_url == NULL ? sandbox_url() : config->base_url;
    fprintf(file, "database:\n  dsn: \"%s\"\n%s", dsn,
            config->database == NULL ? "" : config->database);
    write_section(file, "source", config->source,
                  "  relation: crm.imprint_customers\n  customer_id: imprint_customer_id\n"
                  "  updated_at: updated_at\n");
    fprintf(file, "imprint:\n  environment: custom\n  base_url: \"%s\"\n  api_key_file: %s\n%s",
            url, servers_path("api_key"), config->basic_auth ? "  auth: basic\n" : "");
    fputs(config->imprint == NULL ? "  connect_timeout: 2s\n  timeout: 2s\n" : config->imprint,
          file);
    write_section(file, "delivery", config->delivery,
                  "  rate: 1000/s\n  burst: 100\n  workers: 8\n  drain_timeout: 20s\n");
    write_section(file, "retry", config->retry, "  base: 50ms\n  cap: 500ms\n");
    write_section(file, "outbox", config->outbox, "  poll_interval: 200ms\n  lease: 20s\n");
    write_section(file, "log", config->log, "  level: debug\n  stats_interval: 1s\n");
    write_section(file, "mapping", config->mapping, program_mapping);
    ck_assert_int_eq(fclose(file), 0);
    servers_write("imprint-sync.yaml", text);
    servers_write("api_key", SANDBOX_KEY "\n");
    free(text);
}

// ---- running -----------------------------------------------------------------------------------

static void redirect(const char *name, int flags, int to)
{
    int fd = open(name, flags, 0600);
    if (fd < 0 || dup2(fd, to) < 0) {
        _exit(126);
    }
    close(fd);
}

// In the child: main() of src/main.c, whose end writes the counters of a coverage build.
static _Noreturn void run_command(int count, char **words)
{
    signal(SIGTERM, SIG_DFL); // not as check has them
    signal(SIGINT, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int code = commands_run(count, words);
    exit(fflush(stdout) == 0 ? code : EXIT_FAILURE);
}

static pid_t start(const char *in, const char *out, const char *err, const char *const *more)
{
    char config[400];
    char *words[PROGRAM_WORDS] = {"imprint-sync", "-c", config};
    int count = 3;
    snprintf(config, sizeof config, "%s", servers_path("imprint-sync.yaml"));
    for (; *more != NULL; more++) {
        ck_assert_int_lt(count, PROGRAM_WORDS - 1);
        words[count++] = strdup(*more);
    }
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        redirect(in, O_RDONLY, STDIN_FILENO);
        redirect(out, O_WRONLY | O_CREAT | O_APPEND, STDOUT_FILENO);
        redirect(err, O_WRONLY | O_CREAT | O_APPEND, STDERR_FILENO);
        run_command(count, words);
    }
    for (int i = 3; i < count; i++) {
        free(words[i]);
    }
    return pid;
}

struct end {
    pid_t pid;
    int status;
};

static bool is_over(void *ctx)
{
    struct end *end = ctx;
    return waitpid(end->pid, &end->status, WNOHANG) == end->pid;
}

int program_ended(pid_t pid)
{
    struct end end = {.pid = pid};
    servers_wait(is_over, &end, "the program ends");
    return WIFEXITED(end.status) ? WEXITSTATUS(end.status) : 128 + WTERMSIG(end.status);
}

static int run(const char *in, const char *const *words)
{
    char out[400];
    char err[400];
    snprintf(out, sizeof out, "%s", servers_path("out"));
    snprintf(err, sizeof err, "%s", servers_path("err"));
    unlink(out);
    unlink(err);
    int code = program_ended(start(in, out, err, words));
    free(program.out);
    free(program.err);
    program.out = servers_read("out");
    program.err = servers_read("err");
    ck_assert_msg(strstr(program.err, "Sanitizer") == NULL, "%s", program.err);
    return code;
}

int program_run_words(const char *const *words)
{
    return run("/dev/null", words);
}

int program_feed_words(const char *input, const char *const *words)
{
    char in[400];
    servers_write("in", input);
    snprintf(in, sizeof in, "%s", servers_path("in"));
    return run(in, words);
}

pid_t program_start_words(const char *name, const char *const *words)
{
    char log[400];
    snprintf(log, sizeof log, "%s", servers_path(name));
    return start("/dev/null", log, log, words);
}

int program_stop(pid_t pid, int signal_number)
{
    ck_assert_int_eq(kill(pid, signal_number), 0);
    return program_ended(pid);
}

// ---- what it said ------------------------------------------------------------------------------

const char *program_out(void)
{
    return program.out;
}

const char *program_err(void)
{
    return program.err;
}

bool program_said(const char *text)
{
    bool said = strstr(program.out, text) != NULL || strstr(program.err, text) != NULL;
    if (!said) {
        fprintf(stderr, "\"%s\" is not in:\n%s%s\n", text, program.out, program.err);
    }
    return said;
}

const char *program_json(const char *pointer)
{
    struct json_object *root = json_tokener_parse(program.out);
    struct json_object *found = NULL;
    ck_assert_msg(root != NULL, "no JSON: %s%s", program.out, program.err);
    bool there = json_pointer_get(root, pointer, &found) == 0;
    snprintf(program.json, sizeof program.json, "%s", there ? json_object_get_string(found) : "");
    json_object_put(root);
    return program.json;
}

int64_t program_log_count(const char *name, const char *a, const char *b)
{
    char *log = servers_read(name);
    ck_assert_msg(strstr(log, "Sanitizer") == NULL, "%s", log);
    int64_t count = 0;
    char *rest = log;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        count += strstr(line, a) != NULL && (b == NULL || strstr(line, b) != NULL);
    }
    free(log);
    return count;
}

struct log_wait {
    const char *name;
    const char *a;
    const char *b;
};

static bool log_has(void *ctx)
{
    const struct log_wait *wait = ctx;
    return program_log_count(wait->name, wait->a, wait->b) > 0;
}

void program_wait_log(const char *name, const char *a, const char *b)
{
    struct log_wait wait = {name, a, b};
    servers_wait(log_has, &wait, a);
}
