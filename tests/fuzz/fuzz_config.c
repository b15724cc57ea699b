// Any text as main.yaml, and what follows the line "==> mapping.yaml" as that file: it loads, or
// every problem has its line; what loads is printed, and what is printed loads to the same.
//
// No other file is seen: open() and realpath() of the code under test are the ones below.
#include "base/buf.h"
#include "config/config.h"
#include "fuzz.h"
#include "problem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PRINT_CAP = 16 << 20 };

// The files that there are, for the input under way.
struct files {
    struct str main;
    struct str mapping; // `ptr` NULL: there is none
};
static struct files files;

static int make_file(struct str content, mode_t mode)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(content.len == 0 || write(fd, content.ptr, content.len) == (ssize_t)content.len);
    FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0 && fchmod(fd, mode) == 0);
    return fd;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
char *__wrap_realpath(const char *path, char *resolved);

int __wrap_open(const char *path, int flags, ...)
{
    struct str name = str_of(path);
    if (str_equal(name, STR("main.yaml"))) {
        return make_file(files.main, 0644);
    }
    if (str_equal(name, STR("mapping.yaml")) && files.mapping.ptr != NULL) {
        return make_file(files.mapping, 0644);
    }
    if (str_equal(name, STR("key")) || str_equal(name, STR("cert.pem"))) {
        return make_file(STR("x"), 0600);
    }
    if (str_equal(name, STR("open.pem"))) {
        return make_file(STR("x"), 0644);
    }
    if (str_starts(name, STR("/usr/share/zoneinfo/")) && strstr(path, "..") == NULL) {
        return __real_open(path, flags);
    }
    errno = ENOENT;
    return -1;
}

char *__wrap_realpath(const char *path, char *resolved)
{
    (void)path;
    (void)resolved;
    errno = ENOENT;
    return NULL;
}

static void check_place(struct problems *problems, size_t index)
{
    struct str file = problems_parts(problems, index).file;
    FUZZ_CHECK(str_equal(file, STR("main.yaml")) || str_equal(file, STR("mapping.yaml")));
    problem_check(problems, index);
}

// `first` becomes the first problem, or empty.
static struct config *load(char *first, size_t size)
{
    struct problems *problems = problems_create();
    struct config *config = config_load("main.yaml", problems);
    FUZZ_CHECK((config == NULL) == (problems_count(problems) > 0));
    for (size_t i = 0; i < problems_count(problems); i++) {
        check_place(problems, i);
    }
    snprintf(first, size, "%s", config == NULL ? problems_line(problems, 0) : "");
    problems_destroy(problems);
    return config;
}

// Puts something in the place of the secrets, which are printed as "(set)".
static void fill_in(struct str printed, struct buf *out)
{
    struct str line;
    while (printed.len > 0) {
        str_split(printed, '\n', &line, &printed);
        struct str key;
        struct str value;
        str_split(line, ':', &key, &value);
        bool set = str_equal(value, STR(" (set)"));
        const char *text = str_ends(key, STR("dsn")) ? ": dbname=x\n" : ": x\n";
        FUZZ_CHECK(buf_append_str(out, set ? key : line));
        FUZZ_CHECK(buf_append_str(out, set ? str_of(text) : STR("\n")));
    }
}

// The second has no comment that names the mapping's file.
static void check_same(const struct buf *printed, const struct buf *again)
{
    const char *comment = strstr(printed->data, "\n# mapping_file: ");
    struct str tail = buf_peek(printed);
    size_t head = 0;
    if (comment != NULL) {
        const char *end = strchr(comment + 1, '\n') + 1;
        head = (size_t)(comment + 1 - printed->data);
        tail = (struct str){end, printed->len - (size_t)(end - printed->data)};
    }
    FUZZ_CHECK(head <= again->len && memcmp(printed->data, again->data, head) == 0);
    FUZZ_CHECK(str_equal(tail, (struct str){again->data + head, again->len - head}));
}

static void check_print(const struct config *config)
{
    struct buf printed;
    struct buf filled;
    struct buf again;
    buf_init(&printed, PRINT_CAP);
    buf_init(&filled, PRINT_CAP);
    buf_init(&again, PRINT_CAP);
    FUZZ_CHECK(config_print(config, &printed));
    fill_in(buf_peek(&printed), &filled);
    files = (struct files){.main = buf_peek(&filled)};

    char first[1024];
    struct config *second = load(first, sizeof first);
    if (second == NULL) {
        fprintf(stderr, "%s\n%s", first, filled.data);
    }
    FUZZ_CHECK(second != NULL);
    FUZZ_CHECK(config_print(second, &again));
    check_same(&printed, &again);
    config_destroy(second);
    buf_free(&again);
    buf_free(&filled);
    buf_free(&printed);
}

// Splits the input behind the line that begins the second file.
static struct files split(struct str input)
{
    static const struct str mark = {"\n==> mapping.yaml\n", 18};
    const char *at = input.len == 0 ? NULL : memmem(input.ptr, input.len, mark.ptr, mark.len);
    if (at == NULL) {
        return (struct files){.main = input};
    }
    size_t len = (size_t)(at - input.ptr);
    return (struct files){
        .main = {input.ptr, len + 1},
        .mapping = {at + mark.len, input.len - len - mark.len},
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    setenv("SET", "value", 1);
    setenv("PORT", "8443", 1);
    unsetenv("CREDENTIALS_DIRECTORY");
    files = split((struct str){(const char *)data, size});
    char first[1024];
    struct config *config = load(first, sizeof first);
    if (config != NULL) {
        check_print(config);
    }
    config_destroy(config);
    return 0;
}
