/*
 * server: HTTP for the sandbox. One thread, one loop: libmicrohttpd's epoll
 * descriptor, a signalfd, and the connections whose requests wait are all in one
 * epoll. A delayed or hanging request is suspended and costs nothing but its memory;
 * its connection is watched, so that a client that goes away is noticed.
 */
#ifndef SANDBOX_SERVER_H
#define SANDBOX_SERVER_H

#include "options.h"

/* Runs until SIGTERM or SIGINT. The process's exit status; reasons are on stderr. */
int server_run(const struct options *options);

#endif
