#include "cert.h"

#include "text.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CERT_DAYS = 30, CERT_SECONDS_PER_DAY = 86400 };

struct extension {
    int nid;
    const char *value;
};

static const struct extension ca_extensions[] = {
    {NID_basic_constraints, "critical,CA:TRUE"},
    {NID_key_usage, "critical,keyCertSign,cRLSign"},
    {NID_subject_key_identifier, "hash"},
    {0, NULL},
};

static const struct extension server_extensions[] = {
    {NID_basic_constraints, "critical,CA:FALSE"},
    {NID_key_usage, "critical,digitalSignature"},
    {NID_ext_key_usage, "serverAuth"},
    {NID_subject_key_identifier, "hash"},
    {NID_authority_key_identifier, "keyid"},
    {NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1,IP:::1"},
    {0, NULL},
};

static bool set_serial(X509 *cert)
{
    uint64_t serial = 0;
    if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1) {
        return false;
    }
    return ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) == 1;
}

static bool set_name(X509 *cert, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                      -1, 0) == 1;
}

static bool add_extensions(X509 *cert, X509 *issuer, const struct extension *extension)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    for (; extension->value != NULL; extension++) {
        X509_EXTENSION *made =
            X509V3_EXT_conf_nid(NULL, &context, extension->nid, extension->value);
        bool ok = made != NULL && X509_add_ext(cert, made, -1) == 1;
        X509_EXTENSION_free(made);
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* Everything but the signature. `issuer` is NULL for a certificate that signs itself. */
static bool fill(X509 *cert, const char *name, EVP_PKEY *key, X509 *issuer,
                 const struct extension *extensions)
{
    X509 *signer = issuer != NULL ? issuer : cert;
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           /* a day back: clocks of machines that test together differ */
           X509_gmtime_adj(X509_getm_notBefore(cert), -CERT_SECONDS_PER_DAY) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), (long)CERT_DAYS * CERT_SECONDS_PER_DAY) !=
               NULL &&
           set_name(cert, name) && X509_set_pubkey(cert, key) == 1 &&
           X509_set_issuer_name(cert, X509_get_subject_name(signer)) == 1 &&
           add_extensions(cert, signer, extensions);
}

static X509 *make(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                  const struct extension *extensions)
{
    X509 *cert = X509_new();
    if (cert != NULL && fill(cert, name, key, issuer, extensions) &&
        X509_sign(cert, issuer_key, EVP_sha256()) > 0) {
        return cert;
    }
    X509_free(cert);
    return NULL;
}

static FILE *open_new(const char *dir, const char *name)
{
    struct text path = {0};
    text_printf(&path, "%s/%s", dir, name);
    int fd = open(path.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "imprint-sandbox: %s: ", path.data);
        perror(NULL);
    }
    text_free(&path);
    FILE *stream = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (fd >= 0 && stream == NULL) {
        close(fd);
    }
    return stream;
}

static bool write_cert(const char *dir, const char *name, X509 *cert)
{
    FILE *stream = open_new(dir, name);
    if (stream == NULL) {
        return false;
    }
    bool ok = PEM_write_X509(stream, cert) == 1;
    return fclose(stream) == 0 && ok;
}

static bool write_key(const char *dir, const char *name, EVP_PKEY *key)
{
    FILE *stream = open_new(dir, name);
    if (stream == NULL) {
        return false;
    }
    bool ok = PEM_write_PrivateKey(stream, key, NULL, NULL, 0, NULL, NULL) == 1;
    return fclose(stream) == 0 && ok;
}

bool cert_make(const char *dir)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256");
    EVP_PKEY *server_key = EVP_EC_gen("P-256");
    X509 *ca = NULL;
    X509 *server = NULL;
    if (ca_key != NULL && server_key != NULL) {
        ca = make("imprint-sandbox throw-away CA", ca_key, NULL, ca_key, ca_extensions);
    }
    if (ca != NULL) {
        server = make("localhost", server_key, ca, ca_key, server_extensions);
    }
    if (server == NULL) {
        ERR_print_errors_fp(stderr);
    }
    /* it may exist; a real failure shows when the files are written */
    mkdir(dir, 0700);
    bool ok = server != NULL && write_cert(dir, "ca.pem", ca) &&
              write_cert(dir, "server.pem", server) && write_key(dir, "server-key.pem", server_key);
    X509_free(server);
    X509_free(ca);
    EVP_PKEY_free(server_key);
    EVP_PKEY_free(ca_key);
    return ok;
}
