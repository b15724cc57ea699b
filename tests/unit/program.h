// The program's commands, called as functions in a process of their own, beside the servers of
// servers.h. Their output goes to files in the test's folder.
#ifndef UNIT_PROGRAM_H
#define UNIT_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Sections of the configuration, as the lines below their name, each indented by two spaces; NULL:
// as the tests usually have them. `source` "" leaves it out.
struct program_config {
    const char *database; // besides the dsn
    const char *source;
    const char *imprint; // besides address and key
    const char *delivery;
    const char *retry;
    const char *outbox;
    const char *log;
    const char *mapping;
    const char *base_url; // instead of the sandbox's
    const char *dsn;      // instead of that of the test's database
    bool basic_auth;
};
void program_configure(const struct program_config *config);

// Runs a command to its end. Its words follow, and NULL. Returns the exit code.
#define program_run(...) program_run_words((const char *const[]){__VA_ARGS__})
int program_run_words(const char *const *words);
// The same, with standard input.
#define program_feed(input, ...) program_feed_words(input, (const char *const[]){__VA_ARGS__})
int program_feed_words(const char *input, const char *const *words);
// What it wrote; borrowed until the next run.
const char *program_out(void);
const char *program_err(void);
// Whether one of them has it; shows both when it has not, for ck_assert.
bool program_said(const char *text);
// The value at a JSON pointer in its output as text, e.g. "/queue/live/pending"; "" without one.
const char *program_json(const char *pointer);

// One that goes on. Several may run; its log is the file `name`, which tests read with
// program_log_has.
#define program_start(name, ...) program_start_words(name, (const char *const[]){__VA_ARGS__})
pid_t program_start_words(const char *name, const char *const *words);
// Its exit code.
int program_stop(pid_t pid, int signal_number);
int program_ended(pid_t pid);
// How many lines have all of these texts, the second of which may be NULL.
int64_t program_log_count(const char *name, const char *a, const char *b);
void program_wait_log(const char *name, const char *a, const char *b);

#endif
