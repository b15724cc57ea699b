#include "io/digest.h"

#include "base/mem.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct digest {
    EVP_MD_CTX *prefix; // has taken the destination in
    EVP_MD_CTX *work;
};

static void digest_must(int ok)
{
    // SHA-256 fails only where memory does.
    if (ok != 1) {
        abort();
    }
}

struct digest *digest_create(struct str destination)
{
    struct digest *digest = mem_calloc(1, sizeof *digest);
    digest->prefix = EVP_MD_CTX_new();
    digest->work = EVP_MD_CTX_new();
    digest_must(digest->prefix != NULL && digest->work != NULL);
    digest_must(EVP_DigestInit_ex(digest->prefix, EVP_sha256(), NULL));
    digest_must(EVP_DigestUpdate(digest->prefix, destination.ptr, destination.len));
    digest_must(EVP_DigestUpdate(digest->prefix, "", 1)); // where the body begins
    return digest;
}

void digest_destroy(struct digest *digest)
{
    if (digest != NULL) {
        EVP_MD_CTX_free(digest->prefix);
        EVP_MD_CTX_free(digest->work);
        free(digest);
    }
}

void digest_body(struct digest *digest, struct str body, unsigned char hash[DIGEST_BYTES])
{
    digest_must(EVP_MD_CTX_copy_ex(digest->work, digest->prefix));
    digest_must(EVP_DigestUpdate(digest->work, body.ptr, body.len));
    digest_must(EVP_DigestFinal_ex(digest->work, hash, NULL));
}
