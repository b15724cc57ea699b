/*
 * listen: the socket that the server accepts on, and the file that tells a test which
 * port it got.
 */
#ifndef SANDBOX_LISTEN_H
#define SANDBOX_LISTEN_H

#include <stdbool.h>

/* A listening socket on a numeric address, or -1 (the reason is on stderr). */
int listen_open(const char *address, int port);

/* The port of the socket; -1 when it has none. */
int listen_port(int fd);

/* Appears whole or not at all. */
bool listen_write_port_file(const char *file, int port) __attribute__((warn_unused_result));

#endif
