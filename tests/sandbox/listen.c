#include "listen.h"

#include "mem.h"
#include "text.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4096 };

static int open_at(const struct addrinfo *where)
{
    int fd = socket(where->ai_family, where->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, where->ai_addr, where->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int listen_open(const char *address, int port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    struct text service = {0};
    text_printf(&service, "%d", port);
    struct addrinfo *where = NULL;
    int error = getaddrinfo(address, service.data, &hints, &where);
    text_free(&service);
    if (error != 0) {
        fprintf(stderr, "imprint-sandbox: %s: %s\n", address, gai_strerror(error));
        return -1;
    }
    int fd = open_at(where);
    if (fd < 0) {
        fprintf(stderr, "imprint-sandbox: %s port %d: ", address, port);
        perror(NULL);
    }
    freeaddrinfo(where);
    return fd;
}

int listen_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, &address.any, &len) != 0) {
        return -1;
    }
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static bool write_number(const char *file, int number)
{
    FILE *stream = fopen(file, "we");
    if (stream == NULL) {
        return false;
    }
    bool ok = fprintf(stream, "%d\n", number) > 0;
    return fclose(stream) == 0 && ok;
}

bool listen_write_port_file(const char *file, int port)
{
    struct text fresh = {0};
    text_printf(&fresh, "%s.new", file);
    bool ok = write_number(fresh.data, port) && rename(fresh.data, file) == 0;
    text_free(&fresh);
    return ok;
}
