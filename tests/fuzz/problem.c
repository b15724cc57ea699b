#include "problem.h"

#include "fuzz.h"

void problem_check(struct problems *problems, size_t index)
{
    const char *line = problems_line(problems, index);
    FUZZ_CHECK(str_is_utf8(str_of(line)));
    for (const char *c = line; *c != '\0'; c++) {
        FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7F);
    }
    struct problem_parts parts = problems_parts(problems, index);
    FUZZ_CHECK(parts.file.len > 0 && str_starts(str_of(line), parts.file));
    FUZZ_CHECK(parts.reason.len > 0 && str_ends(str_of(line), parts.reason));
    FUZZ_CHECK(parts.key.len <= strlen(line) - parts.file.len - parts.reason.len);
}
