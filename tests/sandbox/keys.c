#include "keys.h"

#include "mem.h"
#include "text.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *basic_of(const char *key)
{
    struct text pair = {0};
    text_printf(&pair, "%s:", key);
    char *encoded = mem_alloc(pair.len * 2 + 8, 1);
    EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)pair.data, (int)pair.len);
    text_free(&pair);
    return encoded;
}

void keys_add(struct keys *keys, const char *key)
{
    keys->list = mem_resize(keys->list, keys->count + 1, sizeof(*keys->list));
    keys->list[keys->count++] =
        (struct key){.bearer = mem_copy_string(key), .basic = basic_of(key)};
}

/* The credentials behind `scheme`, or NULL when it is another scheme. */
static const char *credentials_of(const char *authorization, const char *scheme)
{
    size_t len = strlen(scheme);
    if (strncasecmp(authorization, scheme, len) != 0 || authorization[len] != ' ') {
        return NULL;
    }
    const char *credentials = authorization + len;
    credentials += strspn(credentials, " ");
    return *credentials != '\0' ? credentials : NULL;
}

bool keys_accept(const struct keys *keys, const char *authorization)
{
    if (authorization == NULL) {
        return false;
    }
    const char *bearer = credentials_of(authorization, "Bearer");
    const char *basic = credentials_of(authorization, "Basic");
    if (keys->any) {
        return bearer != NULL || basic != NULL;
    }
    for (size_t i = 0; i < keys->count; i++) {
        const struct key *key = &keys->list[i];
        if ((bearer != NULL && strcmp(bearer, key->bearer) == 0) ||
            (basic != NULL && strcmp(basic, key->basic) == 0)) {
            return true;
        }
    }
    return false;
}

void keys_clear(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->list[i].bearer);
        free(keys->list[i].basic);
    }
    free(keys->list);
    *keys = (struct keys){0};
}
