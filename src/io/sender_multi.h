// libcurl's multi handle on the event loop. Its sockets are in an epoll of their own, which is one
// source of the loop: a source for each socket doubles the CPU of a request.
#ifndef IO_SENDER_MULTI_H
#define IO_SENDER_MULTI_H

#include "base/err.h"
#include "io/loop.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

struct sender_multi;

struct sender_multi_events {
    void *ctx;
    // A transfer has ended; it must be removed in here. Others may be added.
    void (*on_done)(void *ctx, CURL *easy, CURLcode code);
    // After the last of them; the multi may be destroyed in here.
    void (*on_rest)(void *ctx);
};

// For up to `transfers` at once. NULL when libcurl cannot be set up.
struct sender_multi *sender_multi_create(struct loop *loop, size_t transfers,
                                         const struct sender_multi_events *events);
void sender_multi_destroy(struct sender_multi *multi); // after its handles; NULL is fine

// Prepares a handle, once, before it is first added; it is cleaned up before the multi. Its
// CURLOPT_SOCKOPTFUNCTION must call sender_multi_socket_made for each connection's socket.
bool sender_multi_join(struct sender_multi *multi, CURL *easy) MUST_CHECK;
void sender_multi_socket_made(struct sender_multi *multi, int fd);

// Begins the transfer with the next turn of the loop, or with sender_multi_flush.
bool sender_multi_add(struct sender_multi *multi, CURL *easy) MUST_CHECK;
void sender_multi_remove(struct sender_multi *multi, CURL *easy);

// Begins now what was added: for whoever has added all that he has to. Calls nothing back.
void sender_multi_flush(struct sender_multi *multi);

#endif
