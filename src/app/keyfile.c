#include "app/keyfile.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void keyfile_free(struct keyfile *keyfile)
{
    if (keyfile->key != NULL) {
        mem_wipe(keyfile->key, strlen(keyfile->key));
        free(keyfile->key);
    }
    keyfile->key = NULL;
}

bool keyfile_read(struct keyfile *keyfile, const char *path, struct err *err)
{
    keyfile->tried = file_stamp(path); // before, so that what is written meanwhile is seen later
    keyfile->seen = keyfile->tried;
    return file_read_secret(path, &keyfile->key, err);
}

bool keyfile_take(struct keyfile *keyfile, struct keyfile *from)
{
    bool other = keyfile->key == NULL || strcmp(keyfile->key, from->key) != 0;
    keyfile_free(keyfile);
    *keyfile = *from;
    from->key = NULL;
    return other;
}

bool keyfile_has_changed(struct keyfile *keyfile, const char *path)
{
    struct file_stamp now = file_stamp(path);
    bool still = file_stamp_equal(&now, &keyfile->seen);
    keyfile->seen = now;
    return still && !file_stamp_equal(&now, &keyfile->tried);
}
