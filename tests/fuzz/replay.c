// Runs a fuzz target over the files of a folder, each read into memory of exactly its size.
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void replay(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        die(path);
    }
    long end = ftell(file);
    size_t size = end < 0 ? 0 : (size_t)end;
    rewind(file);
    uint8_t *data = malloc(size + (size == 0));
    if (data == NULL || fread(data, 1, size, file) != size) {
        die(path);
    }
    fclose(file);
    puts(name);
    fflush(stdout); // the last one is at fault
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 64;
    }
    size_t count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            replay(argv[1], entry->d_name);
            count++;
        }
    }
    closedir(folder);
    printf("%zu inputs\n", count);
    return count == 0;
}
