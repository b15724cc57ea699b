#include "base/access.h"

#include <stdlib.h>
#include <string.h>

const char access_open_reason[] = "Other users may access it; remove their rights (chmod o=)";

static bool access_is_credential(const char *path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    char *real_folder = folder == NULL ? NULL : realpath(folder, NULL);
    char *real_path = realpath(path, NULL);
    bool below = false;
    if (real_folder != NULL && real_path != NULL) {
        size_t len = strlen(real_folder);
        below = strncmp(real_path, real_folder, len) == 0 && real_path[len] == '/';
    }
    free(real_folder);
    free(real_path);
    return below;
}

bool access_is_open(const char *path, const struct stat *status)
{
    return (status->st_mode & S_IRWXO) != 0 && !access_is_credential(path);
}
