/*
 * request: one HTTP request from its headers to its end: who asks for what, the body
 * as it comes in with its digest, and what became of it. api and control decide the
 * answer, server moves it through its stages, journal writes it down.
 */
#ifndef SANDBOX_REQUEST_H
#define SANDBOX_REQUEST_H

#include "answer.h"
#include "fault.h"
#include "text.h"
#include "wait.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;

enum { REQUEST_BODY_MAX = 1 << 20 };

enum request_stage {
    REQUEST_STAGE_READING,  /* the body is coming in */
    REQUEST_STAGE_BEFORE,   /* delayed before the update is applied */
    REQUEST_STAGE_DECIDED,  /* the answer is known and delayed */
    REQUEST_STAGE_HANGING,  /* there will be no answer */
    REQUEST_STAGE_ANSWERED, /* the answer is on its way */
};

struct request {
    struct waiter waiter;
    struct MHD_Connection *connection; /* it, and its socket: borrowed */
    int fd;
    enum request_stage stage;
    char *method;
    char *path;
    const char *customer; /* the id in the path, or NULL */
    char *user_agent;

    /* header values, borrowed from the connection; NULL when absent */
    const char *authorization;
    const char *merchant_key;
    const char *content_type;

    int64_t seq;
    int64_t conn;
    int64_t start_ns;
    int64_t wall_ns;
    int64_t arrived_ns;
    int64_t applied_ns;

    EVP_MD_CTX *digest;
    struct text body; /* the first REQUEST_BODY_MAX bytes */
    size_t body_bytes;

    bool is_post;
    bool key_ok;
    bool applied;
    bool client_gone;
    bool closed_by_us; /* a fault ends the connection, not the client */
    int status;        /* that was sent; 0: none */
    struct fault *fault;
    struct answer answer;
};

struct request *request_create(const char *method, const char *path);
void request_destroy(struct request *request);

void request_add_body(struct request *request, const char *data, size_t len);

bool request_has_method(const struct request *request, const char *method);

#endif
