// SHA-256 (libcrypto) of what an update would send, to know whether Imprint has it already.
#ifndef IO_DIGEST_H
#define IO_DIGEST_H

#include "base/err.h"
#include "base/str.h"

struct digest;

enum { DIGEST_BYTES = 32 };

// `destination` is part of every hash: what the sandbox accepted says nothing about production.
struct digest *digest_create(struct str destination);
void digest_destroy(struct digest *digest);
void digest_body(struct digest *digest, struct str body, unsigned char hash[DIGEST_BYTES]);

#endif
