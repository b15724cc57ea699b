// The configuration: right files fill struct config, wrong ones give exactly the messages of
// tests/cases/config/wrong.txt, the samples load and agree with the table of keys, and no mutation
// of them is taken silently.
#include "cases.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/secret.h"
#include "config/value.h"
#include "suite.h"

#include <check.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEXT_CAP = 1 << 20 };

static const char wrong_path[] = TEST_CASES_DIR "/config/wrong.txt";
static const char sample_path[] = TEST_SOURCE_DIR "/config/imprint-sync.yaml";
static const char sample_mapping_path[] = TEST_SOURCE_DIR "/config/mapping.yaml";

static const char good_lines[] =
    "database: {dsn: dbname=crm}\n"
    "imprint: {base_url: \"https://dev.sbx.imprint.co\", api_key_file: key}\n"
    "mapping: {email: email}\n";

// The folder that a test works in

static void must_write(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "we");
    ck_assert_msg(file != NULL, "cannot write %s", path);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, mode), 0);
}

static const struct {
    const char *name;
    const char *value;
} variables[] = {
    {"SET", "value"}, {"PORT", "8443"}, {"BAD", "fast"},
    {"NOTHING", ""},  {"TEN", "10"},    {"NO", "false"},
};

static void enter_folder(void)
{
    char folder[] = "/tmp/test_config_XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
    must_write("key", "not-a-key\n", 0600);
    must_write("cert.pem", "not a certificate\n", 0600);
    must_write("open.pem", "not a certificate\n", 0644);
    must_write("empty", "", 0600);
    ck_assert_int_eq(mkdir("folder", 0700), 0);
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        ck_assert_int_eq(setenv(variables[i].name, variables[i].value, 1), 0);
    }
    unsetenv("UNSET");
    unsetenv("CREDENTIALS_DIRECTORY");
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    (void)status;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void leave_folder(void)
{
    char folder[4096];
    ck_assert_ptr_nonnull(getcwd(folder, sizeof folder));
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

// All messages, one a line; the caller frees them.
// The parts of a line make the line.
static void check_parts(struct problems *problems, size_t index)
{
    const struct problem_parts parts = problems_parts(problems, index);
    struct buf line;
    buf_init(&line, TEXT_CAP);
    ck_assert(buf_append_str(&line, parts.file));
    ck_assert(parts.line == 0 || buf_printf(&line, ":%d:%d", parts.line, parts.column));
    ck_assert(parts.file.len == 0 || buf_append_str(&line, STR(": ")));
    ck_assert(parts.key.len == 0 || buf_printf(&line, "%.*s: ", STR_ARG(parts.key)));
    ck_assert(buf_append_str(&line, parts.reason));
    ck_assert_str_eq(buf_peek(&line).ptr, problems_line(problems, index));
    buf_free(&line);
}

static char *must_join(struct problems *problems)
{
    struct buf all;
    buf_init(&all, TEXT_CAP);
    for (size_t i = 0; i < problems_count(problems); i++) {
        check_parts(problems, i);
        ck_assert(buf_printf(&all, "%s\n", problems_line(problems, i)));
    }
    return buf_take(&all);
}

// Loads main.yaml; `*messages` is what was wrong, to be freed.
static struct config *load_main(char **messages)
{
    struct problems *problems = problems_create();
    struct config *config = config_load("main.yaml", problems);
    ck_assert_int_eq(config == NULL, problems_count(problems) > 0);
    *messages = must_join(problems);
    problems_destroy(problems);
    return config;
}

static struct config *must_load(const char *text)
{
    char *messages = NULL;
    must_write("main.yaml", text, 0600);
    struct config *config = load_main(&messages);
    ck_assert_msg(config != NULL, "%s\ngives\n%s", text, messages);
    free(messages);
    return config;
}

// A right configuration with some more lines.
static struct config *must_load_with(const char *more)
{
    struct buf text;
    buf_init(&text, TEXT_CAP);
    ck_assert(buf_printf(&text, "%s%s", good_lines, more));
    struct config *config = must_load(text.data);
    buf_free(&text);
    return config;
}

// Wrong files

static bool next_line(struct str *text, struct str *line)
{
    if (text->len == 0) {
        return false;
    }
    str_split(*text, '\n', line, text);
    return true;
}

// How many cases there are; before check runs, so without its assertions.
static int count_wrong(void)
{
    FILE *file = fopen(wrong_path, "re");
    char *line = NULL;
    size_t room = 0;
    int count = 0;
    while (file != NULL && getline(&line, &room, file) >= 0) {
        count += strncmp(line, "=== ", 4) == 0;
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    return count;
}

START_TEST(the_table_of_wrong_files_is_there)
{
    ck_assert_int_ge(count_wrong(), 120);
}
END_TEST

// Goes to the case with this number; returns its name.
static struct str must_find_case(struct str *text, int index)
{
    struct str line;
    while (next_line(text, &line)) {
        if (str_starts(line, STR("=== ")) && index-- == 0) {
            return line;
        }
    }
    ck_abort_msg("no such case");
    return line;
}

// The lines up to the next "==>" or "===", whose line becomes `*line`.
static char *take_lines(struct str *text, struct str *line)
{
    struct buf out;
    buf_init(&out, TEXT_CAP);
    while (next_line(text, line)) {
        if (str_starts(*line, STR("==> ")) || str_starts(*line, STR("=== "))) {
            break;
        }
        bool good = str_equal(*line, STR("@good"));
        struct str lines = good ? str_of(good_lines) : *line;
        ck_assert(buf_append_str(&out, lines) && (good || buf_append_char(&out, '\n')));
    }
    return buf_take(&out);
}

// Writes the files of a case and returns what is expected.
static char *must_prepare(struct str *text)
{
    struct str line = STR("==> main.yaml");
    while (text->len > 0) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)line.len - 4, line.ptr + 4);
        char *content = take_lines(text, &line);
        if (strcmp(name, "expect") == 0) {
            return content;
        }
        must_write(name, content, 0600);
        free(content);
    }
    ck_abort_msg("a case without what is expected");
    return NULL;
}

START_TEST(wrong_files_give_exactly_their_messages)
{
    char *data = NULL;
    struct str text = cases_must_read(wrong_path, &data);
    struct str name = must_find_case(&text, _i);
    char *expected = must_prepare(&text);
    struct str wanted = str_trim(str_of(expected));
    char *messages = NULL;
    struct config *config = load_main(&messages);
    struct str got = str_trim(str_of(messages));
    ck_assert_msg(str_equal(got, wanted), "%.*s: got\n%.*s\nwanted\n%.*s", STR_ARG(name),
                  STR_ARG(got), STR_ARG(wanted));
    ck_assert_ptr_null(config);
    ck_assert_msg(strstr(messages, "hunt") == NULL, "%.*s: shows a secret", STR_ARG(name));
    free(messages);
    free(expected);
    free(data);
}
END_TEST

// Right files

static char *must_print(const struct config *config)
{
    struct buf out;
    buf_init(&out, TEXT_CAP);
    ck_assert(config_print(config, &out));
    return buf_take(&out);
}

// Puts something in the place of secrets that are not printed; the caller frees it.
static char *must_fill_in(const char *printed)
{
    struct buf out;
    buf_init(&out, TEXT_CAP);
    struct str text = str_of(printed);
    struct str line;
    while (next_line(&text, &line)) {
        struct str key;
        struct str value;
        str_split(line, ':', &key, &value);
        bool dsn = str_ends(key, STR("dsn"));
        bool set = str_equal(value, STR(" (set)"));
        ck_assert(buf_append_str(&out, set ? key : line));
        ck_assert(!set || buf_append_str(&out, dsn ? STR(": dbname=x") : STR(": x")));
        ck_assert(buf_append_char(&out, '\n'));
    }
    return buf_take(&out);
}

// Loads what was printed, which must print the same again.
static void check_loads_again(const char *printed)
{
    char *filled = must_fill_in(printed);
    struct config *config = must_load(filled);
    char *again = must_print(config);
    // A line that says where the mapping came from is a comment.
    const char *comment = strstr(printed, "# mapping_file: ");
    size_t head = comment == NULL ? 0 : (size_t)(comment - printed);
    ck_assert(strncmp(printed, again, head) == 0);
    ck_assert_str_eq(comment == NULL ? printed : strchr(comment, '\n') + 1, again + head);
    config_destroy(config);
    free(again);
    free(filled);
}

// Do all of these lines stand in what is printed?
static void check_printed(const struct config *config, const char *const *lines, size_t count)
{
    char *printed = must_print(config);
    for (size_t i = 0; i < count; i++) {
        ck_assert_msg(strstr(printed, lines[i]) != NULL, "no \"%s\" in\n%s", lines[i], printed);
    }
    free(printed);
}

START_TEST(defaults_are_those_of_the_manual)
{
    static const char wanted[] = "database:\n"
                                 "  dsn: (set)\n"
                                 "  listen_dsn:\n"
                                 "  password_file:\n"
                                 "source:\n"
                                 "  relation:\n"
                                 "  customer_id:\n"
                                 "  updated_at:\n"
                                 "imprint:\n"
                                 "  environment: sandbox\n"
                                 "  base_url: https://dev.sbx.imprint.co\n"
                                 "  update_path: \"/v2/customers/{customer_id}\"\n"
                                 "  api_key_file: key\n"
                                 "  auth: bearer\n"
                                 "  merchant_key:\n"
                                 "  connect_timeout: 5s\n"
                                 "  timeout: 15s\n"
                                 "  ca_file:\n"
                                 "  client_cert_file:\n"
                                 "  client_key_file:\n"
                                 "  proxy:\n"
                                 "  http_version: auto\n"
                                 "delivery:\n"
                                 "  rate: 50/s\n"
                                 "  burst: 10\n"
                                 "  workers: 16\n"
                                 "  skip_unchanged: true\n"
                                 "  drain_timeout: 20s\n"
                                 "retry:\n"
                                 "  base: 1s\n"
                                 "  cap: 15m\n"
                                 "  max_attempts: 20\n"
                                 "  give_up_after: 24h\n"
                                 "  outcomes: {}\n"
                                 "outbox:\n"
                                 "  poll_interval: 1s\n"
                                 "  batch: 500\n"
                                 "  lease: 45s\n"
                                 "  retention: 7d\n"
                                 "  notify: true\n"
                                 "log:\n"
                                 "  level: info\n"
                                 "  format: logfmt\n"
                                 "  stats_interval: 60s\n"
                                 "mapping:\n"
                                 "  email: {from: email, as: email}\n";
    struct config *config = must_load(good_lines);
    char *printed = must_print(config);
    ck_assert_str_eq(printed, wanted);
    free(printed);
    config_destroy(config);
    config_destroy(NULL);
}
END_TEST

START_TEST(fields_have_the_units_of_their_names)
{
    struct config *config = must_load_with("delivery: {rate: 3000/m, burst: 1}\n"
                                           "outbox: {retention: 0, poll_interval: 250ms}\n");
    ck_assert(config->delivery.rate.count == 3000);
    ck_assert(config->delivery.rate.per_ns == 60 * CLOCK_NS_PER_SEC);
    ck_assert(config->delivery.burst == 1);
    ck_assert(config->outbox.retention_ns == 0);
    ck_assert(config->outbox.poll_interval_ns == 250 * CLOCK_NS_PER_MS);
    ck_assert(config->retry.give_up_after_ns == 86400 * CLOCK_NS_PER_SEC);
    ck_assert_str_eq(config->database.dsn, "dbname=crm");
    ck_assert_ptr_null(config->mapping_file);
    ck_assert_ptr_nonnull(config->mapping);
    config_destroy(config);
}
END_TEST

START_TEST(written_values_are_taken)
{
    static const char *const lines[] = {
        "  relation: crm.v\n",       "  customer_id: id\n",   "  updated_at: t\n",
        "  auth: basic\n",           "  http_version: 1.1\n", "  rate: 3000/m\n",
        "  skip_unchanged: false\n", "  base: 250ms\n",       "  cap: 60m\n",
        "  retention: 0\n",          "  notify: false\n",     "  level: debug\n",
        "  format: json\n",          "  max_attempts: 3\n",   "  batch: 10000\n",
    };
    struct config *config = must_load(
        "database: {dsn: dbname=crm}\nmapping: {email: email}\n"
        "imprint: {base_url: \"https://dev.sbx.imprint.co\", api_key_file: key, auth: basic, "
        "http_version: 1.1}\n"
        "source: {relation: crm.v, customer_id: id, updated_at: t}\n"
        "delivery: {rate: 3000/m, skip_unchanged: false}\n"
        "retry: {base: 250ms, cap: 1h, max_attempts: 3}\n"
        "outbox: {retention: 0, notify: false, batch: 10000}\n"
        "log: {level: debug, format: json}\n");
    check_printed(config, lines, sizeof lines / sizeof lines[0]);
    config_destroy(config);
}
END_TEST

START_TEST(sections_and_optional_keys_may_be_empty)
{
    struct config *config = must_load("database:\n  dsn: dbname=crm\n  listen_dsn:\n"
                                      "source:\ndelivery:\nlog: ~\nretry:\n  outcomes:\n"
                                      "imprint:\n  base_url: https://dev.sbx.imprint.co\n"
                                      "  api_key_file: key\n  merchant_key:\n  proxy: null\n"
                                      "mapping: {email: email}\non_invalid:\n");
    ck_assert_ptr_null(config->database.listen_dsn);
    ck_assert_ptr_null(config->imprint.merchant_key);
    ck_assert_ptr_null(config->imprint.proxy);
    config_destroy(config);
}
END_TEST

START_TEST(single_statuses_count_before_their_class)
{
    static const struct {
        int status;
        enum verdict_outcome kind;
    } rows[] = {
        {409, VERDICT_OUTCOME_RETRY},   {400, VERDICT_OUTCOME_DEAD},
        {499, VERDICT_OUTCOME_DEAD},    {401, VERDICT_OUTCOME_HOLD},
        {403, VERDICT_OUTCOME_DEFAULT}, {429, VERDICT_OUTCOME_DEFAULT},
        {399, VERDICT_OUTCOME_DEFAULT}, {500, VERDICT_OUTCOME_HOLD},
        {599, VERDICT_OUTCOME_HOLD},
    };
    static const char *const line[] = {
        "  outcomes: {4xx: dead, 401: hold, 409: retry, 5xx: hold}\n"};
    struct config *config =
        must_load_with("retry: {outcomes: {409: retry, 4xx: dead, 401: hold, 5xx: hold}}\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(config->retry.outcomes[rows[i].status] == rows[i].kind, "%d", rows[i].status);
    }
    check_printed(config, line, 1);
    config_destroy(config);
}
END_TEST

START_TEST(variables_are_replaced)
{
    struct config *config = must_load("database: {dsn: \"host=${SET} password=${SET} "
                                      "options='$$${SET}' port=${PORT} user=$${SET}\"}\n"
                                      "imprint:\n"
                                      "  environment: custom\n"
                                      "  base_url: https://${SET}.example:${PORT}/v1/\n"
                                      "  api_key_file: ${NOTHING}key\n"
                                      "  proxy: http://u:${SET}@proxy:3128\n"
                                      "delivery: {workers: \"${TEN}\", skip_unchanged: \"${NO}\"}\n"
                                      "mapping: {email: email}\n");
    ck_assert_str_eq(config->database.dsn,
                     "host=value password=value options='$${SET}' port=8443 user=${SET}");
    ck_assert_str_eq(config->imprint.base_url, "https://value.example:8443/v1");
    ck_assert_str_eq(config->imprint.api_key_file, "key");
    ck_assert_str_eq(config->imprint.proxy, "http://u:value@proxy:3128");
    ck_assert_int_eq(config->delivery.workers, 10);
    ck_assert(!config->delivery.skip_unchanged);
    config_destroy(config);
}
END_TEST

START_TEST(hosts_that_agree_are_taken)
{
    static const struct {
        const char *environment;
        const char *base_url;
    } rows[] = {
        {"sandbox", "https://dev.sbx.imprint.co"},
        {"sandbox", "https://dev.sbx.imprint.co/"},
        {"sandbox", "https://DEV.sbx.imprint.co:443"},
        {"sandbox", "HTTPS://dev.sbx.imprint.co"},
        {"production", "https://dev.imprint.co"},
        {"custom", "https://imprint.example/gateway"},
        {"custom", "http://127.0.0.1:8080"},
        {"custom", "http://127.9.9.9"},
        {"custom", "http://localhost:8080"},
        {"custom", "http://[::1]:8080"},
        {"custom", "https://[2001:db8::1]"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "database: {dsn: dbname=crm}\nmapping: {email: email}\n"
                 "imprint: {environment: %s, base_url: \"%s\", api_key_file: key}\n",
                 rows[i].environment, rows[i].base_url);
        config_destroy(must_load(text));
    }
}
END_TEST

START_TEST(passwords_in_a_dsn_are_found)
{
    static const struct {
        const char *dsn;
        bool found;
    } rows[] = {
        {"", false},
        {"dbname=crm", false},
        {"password", false},
        {"password=", false},
        {"password=''", false},
        {"password=x", true},
        {"PASSWORD=x", true},
        {"user=password", false},
        {"host='a password=x'", false},
        {"host='a\\' password=x' user=y", false},
        {"host='a\\\\' password=x", true},
        {"host=a\\ b password=x", true},
        {"junk password = x", true},
        {"passfile=/etc/pass", false},
        {"password=${PW}", false},
        {"password='${PW}'", false},
        {"password=${PW}${PW}", true},
        {"${DSN}", false},
        {"host=a ${MORE}", false},
        {"postgresql:///crm", false},
        {"postgresql://", false},
        {"postgresql://u@h/crm", false},
        {"postgresql://u:@h/crm", false},
        {"postgresql://u:p@h/crm", true},
        {"postgres://u:${PW}@h/crm", false},
        {"postgres://h:5432/crm?user=a@b", false},
        {"postgres://h/crm?sslmode=require&sslpassword=x", true},
        {"postgres://h/crm?password=${PW}&x", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *copy = mem_strdup(rows[i].dsn);
        ck_assert_msg(secret_is_in_dsn(str_of(copy)) == rows[i].found, "%s", rows[i].dsn);
        free(copy);
    }
    ck_assert(secret_is_in_url(STR("u:p@proxy:3128")));
    ck_assert(!secret_is_in_url(STR("http://proxy:3128")));
    ck_assert(!secret_is_in_url(STR("http://u@proxy:3128")));
}
END_TEST

START_TEST(credentials_of_systemd_may_have_any_mode)
{
    char *folder = realpath(".", NULL);
    ck_assert_ptr_nonnull(folder);
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    free(folder);
    config_destroy(must_load("database: {dsn: dbname=crm}\nmapping: {email: email}\n"
                             "imprint: {base_url: \"https://dev.sbx.imprint.co\", api_key_file: "
                             "\"${CREDENTIALS_DIRECTORY}/open.pem\"}\n"));
}
END_TEST

START_TEST(paths_begin_at_the_main_file)
{
    must_write("folder/key", "not-a-key\n", 0600);
    must_write("folder/mapping.yaml", "on_invalid: omit\nmapping: {email: email}\n", 0644);
    must_write("folder/main.yaml",
               "database: {dsn: dbname=crm}\nmapping_file: mapping.yaml\n"
               "imprint: {base_url: \"https://dev.sbx.imprint.co\", api_key_file: key}\n",
               0644);
    struct problems *problems = problems_create();
    struct config *config = config_load("folder/main.yaml", problems);
    ck_assert_ptr_nonnull(config);
    ck_assert_str_eq(config->imprint.api_key_file, "folder/key");
    ck_assert_str_eq(config->mapping_file, "folder/mapping.yaml");
    ck_assert_ptr_nonnull(config->mapping);
    config_destroy(config);
    problems_destroy(problems);
}
END_TEST

START_TEST(a_main_file_that_is_none_is_named)
{
    struct problems *problems = problems_create();
    ck_assert_ptr_null(config_load("absent.yaml", problems));
    ck_assert_uint_eq(problems_count(problems), 1);
    ck_assert_str_eq(problems_line(problems, 0),
                     "absent.yaml: cannot be read: No such file or directory");
    // Problems from before count, too: a configuration is good only on a clean list.
    must_write("main.yaml", good_lines, 0600);
    ck_assert_ptr_null(config_load("main.yaml", problems));
    problems_destroy(problems);
}
END_TEST

// Written forms

// `ms` -1: refused.
static void check_duration(const char *text, int64_t ms, const char *printed)
{
    int64_t ns = 0;
    bool ok = value_parse_duration(str_of(text), &ns);
    ck_assert_msg(ok == (ms >= 0), "%s", text);
    struct buf out;
    buf_init(&out, 64);
    if (ok) {
        bool back = value_print_duration(ns, &out) && strcmp(out.data, printed) == 0;
        ck_assert_msg(ns == ms * CLOCK_NS_PER_MS && back, "%s", text);
    }
    buf_free(&out);
}

static void check_rate(const char *text, bool good)
{
    int64_t count = 0;
    int64_t per_ns = 0;
    bool ok = value_parse_rate(str_of(text), &count, &per_ns);
    ck_assert_msg(ok == good, "%s", text);
    struct buf out;
    buf_init(&out, 64);
    if (ok) {
        bool back = value_print_rate(count, per_ns, &out) && strcmp(out.data, text) == 0;
        ck_assert_msg(back, "%s", text);
    }
    buf_free(&out);
}

START_TEST(durations_are_read_whole_or_not_at_all)
{
    static const struct {
        const char *text;
        int64_t ms; // -1: refused
        const char *printed;
    } rows[] = {
        {"0", 0, "0"},
        {"0s", 0, "0"},
        {"1ms", 1, "1ms"},
        {"250ms", 250, "250ms"},
        {"1s", 1000, "1s"},
        {"1000ms", 1000, "1s"},
        {"1500ms", 1500, "1500ms"},
        {"60s", 60000, "60s"},
        {"90s", 90000, "90s"},
        {"120s", 120000, "2m"},
        {"15m", 900000, "15m"},
        {"1h", 3600000, "60m"},
        {"24h", 86400000, "24h"},
        {"1d", 86400000, "24h"},
        {"7d", 604800000, "7d"},
        {"007d", 604800000, "7d"},
        {"106751d", 9223286400000, "106751d"},
        {"106752d", -1, NULL},
        {"9223372036854775808ms", -1, NULL},
        {"", -1, NULL},
        {"s", -1, NULL},
        {"00", 0, "0"},
        {"1", -1, NULL},
        {"-1s", -1, NULL},
        {"+1s", -1, NULL},
        {"1.5s", -1, NULL},
        {"1S", -1, NULL},
        {" 1s", -1, NULL},
        {"1s ", -1, NULL},
        {"1us", -1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_duration(rows[i].text, rows[i].ms, rows[i].printed);
    }
}
END_TEST

START_TEST(rates_are_read_whole_or_not_at_all)
{
    static const char *const good[] = {"1/s", "50/s", "3000/m", "100000/h", "0/s"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        check_rate(good[i], true);
    }
    static const char *const bad[] = {
        "",      "/",    "/s",   "1",     "1/",    "1/ms",  "1/d",  "1/s/s",
        "1 / s", "-1/s", "+1/s", "1.5/s", "1/sec", "1/s\n", "1s/s", "99999999999999999999/s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        check_rate(bad[i], false);
    }
}
END_TEST

START_TEST(printed_texts_are_read_back)
{
    static const char *const texts[] = {
        "plain",       "a.b/c_d-e", "https://dev.imprint.co",
        "/etc/x",      "a b",       "\"q\"",
        "back\\slash", "null",      "~",
        "a: b",        "a #b",      "#a",
        "- a",         "true",      "12",
        "{a}",         "a:",        ":a",
        "*a",          "\xC3\xA4",  "$${SET}",
        "${SET}",      "$$",        "$",
        "a\tb",        "'",         "-a",
        "%a",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf out;
        buf_init(&out, 1024);
        ck_assert(buf_append_str(&out, STR("k: ")));
        ck_assert(value_print_text(str_of(texts[i]), &out));
        struct problems *problems = problems_create();
        struct yaml_tree *tree = yaml_read_text(buf_peek(&out), "f", problems);
        ck_assert_msg(problems_count(problems) == 0, "%s", out.data);
        const struct yaml_node *node = yaml_get(yaml_root(tree), STR("k"));
        struct buf back;
        buf_init(&back, 1024);
        ck_assert(value_expand(node->text, &back, NULL));
        ck_assert_msg(str_equal(buf_peek(&back), str_of(texts[i])), "%s", out.data);
        buf_free(&back);
        yaml_destroy(tree);
        problems_destroy(problems);
        buf_free(&out);
    }
}
END_TEST

// The samples

static bool is_key_start(struct str text)
{
    return text.len > 0 && text.ptr[0] >= 'a' && text.ptr[0] <= 'z';
}

// A file with each "#key: default" taken in; the caller frees it.
static char *must_uncomment(struct str text)
{
    struct buf out;
    buf_init(&out, TEXT_CAP);
    struct str line;
    while (next_line(&text, &line)) {
        size_t indent = 0;
        while (indent < line.len && line.ptr[indent] == ' ') {
            indent++;
        }
        struct str rest = {line.ptr + indent, line.len - indent};
        struct str behind = {rest.ptr + 1, rest.len == 0 ? 0 : rest.len - 1};
        bool key = rest.len > 0 && rest.ptr[0] == '#' && is_key_start(behind);
        ck_assert(buf_append(&out, line.ptr, indent));
        ck_assert(buf_append_str(&out, key ? behind : rest) && buf_append_char(&out, '\n'));
    }
    return buf_take(&out);
}

// The folder of a machine on which everything that the sample names is there.
static void prepare_sample(void)
{
    char *data = NULL;
    cases_must_read(sample_mapping_path, &data);
    must_write("mapping.yaml", data, 0644);
    free(data);
    ck_assert_int_eq(mkdir("credentials", 0700), 0);
    must_write("credentials/db_password", "x\n", 0400);
    must_write("credentials/api_key", "x\n", 0400);
    must_write("ca.pem", "x\n", 0644);
    must_write("client.pem", "x\n", 0644);
    must_write("client.key", "x\n", 0600);
    char *folder = realpath("credentials", NULL);
    ck_assert_ptr_nonnull(folder);
    ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    free(folder);
}

static char *must_read_sample(bool uncomment)
{
    char *data = NULL;
    struct str text = cases_must_read(sample_path, &data);
    if (!uncomment) {
        return data;
    }
    char *whole = must_uncomment(text);
    free(data);
    return whole;
}

START_TEST(the_sample_loads)
{
    prepare_sample();
    for (int uncomment = 0; uncomment < 2; uncomment++) {
        char *text = must_read_sample(uncomment == 1);
        struct config *config = must_load(text);
        ck_assert(strcmp(config->source.relation, "crm.imprint_customers") == 0);
        ck_assert((config->imprint.proxy != NULL) == (uncomment == 1));
        config_destroy(config);
        free(text);
    }
}
END_TEST

// The line of a key in its section, with "#" in front if it is commented out there.
static bool find_key_line(struct str text, const char *path, struct str *found)
{
    struct str section;
    struct str name;
    bool deep = str_split(str_of(path), '.', &section, &name);
    bool inside = !deep;
    struct str line;
    while (next_line(&text, &line)) {
        struct str rest = str_trim(line);
        bool top = line.len > 0 && line.ptr[0] != ' ' && line.ptr[0] != '#';
        if (deep && top) {
            inside = str_starts(line, section) && line.ptr[section.len] == ':';
            continue;
        }
        if (rest.len > 0 && rest.ptr[0] == '#') {
            rest = (struct str){rest.ptr + 1, rest.len - 1};
        }
        struct str key;
        struct str value;
        if (inside && str_split(rest, ':', &key, &value) && str_equal(key, deep ? name : section)) {
            *found = line;
            return true;
        }
    }
    return false;
}

static void check_default(struct str text, const char *what, const struct key *key)
{
    struct str line = STR("");
    ck_assert_msg(find_key_line(text, key->path, &line), "%s lacks %s", what, key->path);
    bool deep = strchr(key->path, '.') != NULL;
    char wanted[256] = "";
    if (key->fallback != NULL) {
        snprintf(wanted, sizeof wanted, "%s#%s: %s", deep ? "  " : "", keys_name(key),
                 key->fallback);
        ck_assert_msg(str_equal(line, str_of(wanted)), "%s: \"%.*s\" is not \"%s\"", what,
                      STR_ARG(line), wanted);
    }
    bool commented = str_starts(str_trim(line), STR("#"));
    ck_assert_msg(!key->required || !commented, "%s: %s must be written", what, key->path);
}

// `all`: with the keys that the sample has in its mapping file.
static void check_defaults(struct str text, const char *what, bool all)
{
    for (size_t i = 0; i < keys_count(); i++) {
        if (all || keys_at(i)->type != KEY_TYPE_TREE) {
            check_default(text, what, keys_at(i));
        }
    }
}

START_TEST(defaults_in_the_sample_are_those_of_the_table)
{
    char *text = must_read_sample(false);
    check_defaults(str_of(text), "the sample", false);
    free(text);
    char *mapping = NULL;
    const struct key *on_invalid = keys_at(keys_find(STR("on_invalid")));
    check_default(cases_must_read(sample_mapping_path, &mapping), "the mapping", on_invalid);
    free(mapping);
}
END_TEST

START_TEST(printed_defaults_are_those_of_the_table)
{
    struct buf out;
    buf_init(&out, TEXT_CAP);
    ck_assert(config_print_defaults(&out));
    check_defaults(buf_peek(&out), "--print-defaults", true);
    // With the required keys filled in it is a configuration.
    char *whole = must_uncomment(buf_peek(&out));
    must_write("main.yaml", whole, 0600);
    char *messages = NULL;
    ck_assert_ptr_null(load_main(&messages));
    static const char *const missing[] = {"database.dsn", "imprint.base_url",
                                          "imprint.api_key_file", "mapping"};
    size_t lines = 0;
    for (const char *p = messages; *p != '\0'; p++) {
        lines += *p == '\n';
    }
    for (size_t i = 0; i < sizeof missing / sizeof missing[0]; i++) {
        ck_assert_ptr_nonnull(strstr(messages, missing[i]));
    }
    free(messages);
    free(whole);
    buf_free(&out);
    ck_assert_uint_eq(lines, 4); // these, and the mapping
}
END_TEST

START_TEST(a_printed_configuration_loads_to_the_same)
{
    prepare_sample();
    char *text = must_read_sample(true);
    struct config *config = must_load(text);
    free(text);
    char *printed = must_print(config);
    config_destroy(config);
    ck_assert_ptr_nonnull(strstr(printed, "  dsn: (set)\n"));
    ck_assert_ptr_nonnull(strstr(printed, "  merchant_key: (set)\n"));
    ck_assert_ptr_null(strstr(printed, "dbname"));
    ck_assert_ptr_null(strstr(printed, "your-merchant-key"));
    ck_assert_ptr_nonnull(strstr(printed, "\n# mapping_file: mapping.yaml\nmapping:\n"));
    ck_assert_int_eq(unlink("mapping.yaml"), 0); // what is printed is whole
    check_loads_again(printed);
    free(printed);
}
END_TEST

// A mapping with every option, and texts that are hard to write, is printed and read again: the
// same is printed, byte by byte.
START_TEST(a_printed_mapping_is_the_same_mapping)
{
    static const char mapping[] =
        "on_invalid: omit\n"
        "mapping:\n"
        "  email: {from: e, on_invalid: fail, required: true, when_null: fail}\n"
        "  phone: {from: \"a b.c,d\", calling_code: 44, max_length: 20}\n"
        "  state: {value: '07'}\n"
        "  city: {from: c, map: {1: '1', true: 2, null: null, 'null_': x, \"~\": '~',\n"
        "         \"\\x9B\\u2028\\uFEFF\": \"\\x7F\\n$${X}\", '': ''}, default: \"q\\\"\\\\\"}\n"
        "  customer_history:\n"
        "    address: {country: {value: us}}\n"
        "    ltv_amount: {from: l, currency: cur, default: 1}\n"
        "    ltv_currency: {from: cur, when_null: null}\n"
        "    account_created_at: {from: t, timezone: +02:00}\n"
        "  metadata:\n"
        "    \"null\": {from: n, as: json}\n"
        "    \"a: b\": {from: m, as: boolean}\n";
    static const char wanted[] = "mapping:\n"
                                 "  email: {from: e, as: email, required: true, when_null: fail}\n"
                                 "  phone: {from: \"a b.c,d\", as: phone, calling_code: 44, "
                                 "max_length: 20, on_invalid: omit}\n";
    struct buf text;
    buf_init(&text, TEXT_CAP);
    ck_assert(buf_printf(&text, "%.*s%s", (int)(strstr(good_lines, "mapping:") - good_lines),
                         good_lines, mapping));
    struct config *config = must_load(text.data);
    char *printed = must_print(config);
    ck_assert_msg(strstr(printed, wanted) != NULL, "%s", printed);
    config_destroy(config);
    check_loads_again(printed);
    free(printed);
    buf_free(&text);
}
END_TEST

// Mutations of the sample: each of its keys is dropped, doubled, misspelt and given junk.

struct sample_key {
    struct str text; // of the whole file
    struct str line; // without its newline
    char path[128];
    struct str name;
    size_t indent;
};

// Steps to the next key of the file; begin with a zeroed one whose `text` is set.
static bool next_key(struct sample_key *key)
{
    const char *at = key->line.ptr == NULL ? key->text.ptr : key->line.ptr + key->line.len + 1;
    struct str rest = {at, (size_t)(key->text.ptr + key->text.len - at)};
    while (next_line(&rest, &key->line)) {
        struct str trimmed = str_trim(key->line);
        struct str value;
        if (!is_key_start(trimmed) || !str_split(trimmed, ':', &key->name, &value)) {
            continue;
        }
        key->indent = (size_t)(trimmed.ptr - key->line.ptr);
        char *dot = strchr(key->path, '.');
        if (key->indent == 0) {
            snprintf(key->path, sizeof key->path, "%.*s", STR_ARG(key->name));
        } else {
            size_t section = dot == NULL ? strlen(key->path) : (size_t)(dot - key->path);
            snprintf(key->path + section, sizeof key->path - section, ".%.*s", STR_ARG(key->name));
        }
        return true;
    }
    return false;
}

// Loads the file with the key's line replaced by `lines`.
static struct config *load_mutated(const struct sample_key *key, const char *lines, char **messages)
{
    struct buf text;
    buf_init(&text, TEXT_CAP);
    const char *behind = key->line.ptr + key->line.len + 1;
    ck_assert(buf_append(&text, key->text.ptr, (size_t)(key->line.ptr - key->text.ptr)));
    ck_assert(buf_append_str(&text, str_of(lines)));
    ck_assert(buf_append(&text, behind, (size_t)(key->text.ptr + key->text.len - behind)));
    must_write("main.yaml", text.data, 0600);
    buf_free(&text);
    return load_main(messages);
}

static void check_refused(struct config *config, char *messages, const struct sample_key *key,
                          const char *wanted)
{
    ck_assert_msg(config == NULL, "%s: loads (wanted: %s)", key->path, wanted);
    ck_assert_msg(strstr(messages, wanted) != NULL, "%s: not \"%s\" in\n%s", key->path, wanted,
                  messages);
    free(messages);
}

static void check_dropped(const struct sample_key *key, const char *printed)
{
    char *messages = NULL;
    struct config *config = load_mutated(key, "", &messages);
    const struct key *row = keys_at(keys_find(str_of(key->path)));
    if (config == NULL) {
        char name[128];
        snprintf(name, sizeof name, "%.*s", STR_ARG(key->name));
        check_refused(NULL, messages, key, row->type == KEY_TYPE_SECTION ? ":" : name);
        return;
    }
    free(messages);
    ck_assert_msg(!row->required && row->type != KEY_TYPE_SECTION, "%s: loads without", row->path);
    char *now = must_print(config);
    struct str was_line;
    struct str now_line;
    ck_assert(find_key_line(str_of(printed), row->path, &was_line));
    ck_assert(find_key_line(str_of(now), row->path, &now_line));
    bool same = str_equal(was_line, now_line); // the sample shows the defaults
    ck_assert_msg(same == (row->fallback != NULL), "%s becomes %.*s", row->path, STR_ARG(now_line));
    ck_assert_msg(same || str_ends(now_line, STR(":")), "%s becomes %.*s", row->path,
                  STR_ARG(now_line));
    free(now);
    config_destroy(config);
}

static void check_doubled(const struct sample_key *key)
{
    struct buf lines;
    buf_init(&lines, TEXT_CAP);
    ck_assert(buf_printf(&lines, "%.*s\n%.*s\n", STR_ARG(key->line), STR_ARG(key->line)));
    char wanted[256];
    snprintf(wanted, sizeof wanted, " %s: duplicate key; the first is in line ", key->path);
    char *messages = NULL;
    struct config *config = load_mutated(key, lines.data, &messages);
    check_refused(config, messages, key, wanted);
    buf_free(&lines);
}

static void check_misspelt(const struct sample_key *key, const char *name)
{
    struct buf line;
    buf_init(&line, TEXT_CAP);
    const char *behind = key->name.ptr + key->name.len;
    ck_assert(buf_printf(&line, "%*s%s%.*s\n", (int)key->indent, "", name,
                         (int)(key->line.ptr + key->line.len - behind), behind));
    char wanted[256];
    snprintf(wanted, sizeof wanted, ": unknown key; did you mean %s?", key->path);
    char *messages = NULL;
    struct config *config = load_mutated(key, line.data, &messages);
    check_refused(config, messages, key, wanted);
    buf_free(&line);
}

static void check_misspellings(const struct sample_key *key)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", STR_ARG(key->name));
    if (name[0] != name[1]) {
        char first = name[0];
        name[0] = name[1];
        name[1] = first;
        check_misspelt(key, name);
    }
    snprintf(name, sizeof name, "%.*s", (int)key->name.len - 1, key->name.ptr);
    check_misspelt(key, name);
    snprintf(name, sizeof name, "%.*s%s", STR_ARG(key->name), "s");
    check_misspelt(key, name);
    snprintf(name, sizeof name, "%.*s", STR_ARG(key->name));
    name[0] = (char)(name[0] - 'a' + 'A');
    check_misspelt(key, name);
}

static void check_junk(const struct sample_key *key)
{
    const struct key *row = keys_at(keys_find(str_of(key->path)));
    if (row->type == KEY_TYPE_SECTION || row->type == KEY_TYPE_TEXT || row->type == KEY_TYPE_PATH) {
        return;
    }
    static const char *const junk[] = {"x\n", " x\n", ",\n"};
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) {
        struct buf line;
        buf_init(&line, TEXT_CAP);
        ck_assert(buf_append_str(&line, key->line) && buf_append_str(&line, str_of(junk[i])));
        char *messages = NULL;
        struct config *config = load_mutated(key, line.data, &messages);
        check_refused(config, messages, key, row->type == KEY_TYPE_OUTCOMES ? "YAML" : key->path);
        buf_free(&line);
    }
}

START_TEST(no_mutation_of_the_sample_is_taken_silently)
{
    prepare_sample();
    char *text = must_read_sample(true);
    struct config *config = must_load(text);
    char *printed = must_print(config);
    config_destroy(config);
    struct sample_key key = {.text = str_of(text)};
    size_t count = 0;
    while (next_key(&key)) {
        ck_assert_msg(keys_find(str_of(key.path)) < KEYS_MAX, "%s", key.path);
        check_dropped(&key, printed);
        check_doubled(&key);
        check_misspellings(&key);
        check_junk(&key);
        count++;
    }
    ck_assert_uint_eq(count, keys_count() - 2); // without mapping and on_invalid
    free(printed);
    free(text);
}
END_TEST

// The table

static void check_row(const struct key *key)
{
    bool ranged = key->type == KEY_TYPE_INTEGER || key->type == KEY_TYPE_DURATION ||
                  key->type == KEY_TYPE_RATE;
    bool choosy = key->type == KEY_TYPE_ENUM || key->type == KEY_TYPE_OUTCOMES;
    bool text = key->type == KEY_TYPE_TEXT || key->type == KEY_TYPE_PATH;
    bool whole = str_ends(str_of(key->help), STR(".")) && ranged == (key->max > key->min) &&
                 choosy == (key->choices != NULL);
    ck_assert_msg(whole, "%s", key->path);
    ck_assert_msg(!key->required || key->fallback == NULL, "%s", key->path);
    bool fallback = ranged || choosy || key->type == KEY_TYPE_BOOL;
    ck_assert_msg(!fallback || key->fallback != NULL, "%s", key->path);
    ck_assert_msg(text || !key->secret, "%s", key->path);
}

START_TEST(rows_of_the_table_are_whole)
{
    for (size_t i = 0; i < keys_count(); i++) {
        check_row(keys_at(i));
        ck_assert(keys_find(str_of(keys_at(i)->path)) == i);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, enter_folder, leave_folder);
    tcase_set_timeout(files, 60);
    tcase_add_loop_test(files, wrong_files_give_exactly_their_messages, 0, count_wrong());
    tcase_add_test(files, the_table_of_wrong_files_is_there);
    tcase_add_test(files, defaults_are_those_of_the_manual);
    tcase_add_test(files, fields_have_the_units_of_their_names);
    tcase_add_test(files, written_values_are_taken);
    tcase_add_test(files, sections_and_optional_keys_may_be_empty);
    tcase_add_test(files, single_statuses_count_before_their_class);
    tcase_add_test(files, variables_are_replaced);
    tcase_add_test(files, hosts_that_agree_are_taken);
    tcase_add_test(files, credentials_of_systemd_may_have_any_mode);
    tcase_add_test(files, paths_begin_at_the_main_file);
    tcase_add_test(files, a_main_file_that_is_none_is_named);
    tcase_add_test(files, the_sample_loads);
    tcase_add_test(files, defaults_in_the_sample_are_those_of_the_table);
    tcase_add_test(files, printed_defaults_are_those_of_the_table);
    tcase_add_test(files, a_printed_configuration_loads_to_the_same);
    tcase_add_test(files, a_printed_mapping_is_the_same_mapping);
    tcase_add_test(files, no_mutation_of_the_sample_is_taken_silently);
    suite_add_tcase(suite, files);
    TCase *values = tcase_create("values");
    tcase_add_test(values, durations_are_read_whole_or_not_at_all);
    tcase_add_test(values, rates_are_read_whole_or_not_at_all);
    tcase_add_test(values, printed_texts_are_read_back);
    tcase_add_test(values, passwords_in_a_dsn_are_found);
    tcase_add_test(values, rows_of_the_table_are_whole);
    suite_add_tcase(suite, values);
    return suite_run(suite);
}
