/*
 * keys: the API keys that are valid, and what an Authorization header is worth.
 * A zeroed struct takes no key at all; with `any` every key is fine, but there must
 * be one.
 */
#ifndef SANDBOX_KEYS_H
#define SANDBOX_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct key {
    char *bearer;
    char *basic; /* base64 of "key:" */
};

struct keys {
    bool any;
    struct key *list;
    size_t count;
};

void keys_add(struct keys *keys, const char *key);

/* `authorization` is the header's value or NULL. */
bool keys_accept(const struct keys *keys, const char *authorization);

void keys_clear(struct keys *keys);

#endif
