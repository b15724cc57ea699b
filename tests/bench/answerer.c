// A server that answers every POST with the customer it names, after a set time, and writes down
// when each request arrived: the judge of the rate and of how soon a change leaves, and an API that
// is far away. HTTP/1.1 with kept connections, one thread, one epoll. It is as simple as its
// clients allow: a request's head comes in one piece with its body or before it.
//
//   bench-answerer PORT_FILE DELAY_MS [LOG]
//
// LOG gets a line "wall_ns customer" for each request when its last byte is there; it is written at
// the end of each turn, so whoever has the answer finds the line.
#include "must.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWERER_FDS = 4096, ANSWERER_EVENTS = 256, ANSWERER_IN = 65536, ANSWERER_ID = 65 };

struct peer {
    char *in;
    size_t in_bytes;
    bool answering; // its answer is due at due_ns
    int64_t due_ns;
    char customer[ANSWERER_ID];
    int next; // in the queue of those that are answering, by due_ns; -1: the last
};

// Every answer waits equally long, so the queue is a list: new ones go to its end.
struct answerer {
    struct peer peers[ANSWERER_FDS];
    int first, last; // -1: none
    int64_t delay_ns;
    int epoll_fd;
    int listen_fd;
    FILE *log;
};

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void open_port(struct answerer *answerer, const char *port_file)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    answerer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    must(answerer->listen_fd >= 0 &&
             bind(answerer->listen_fd, (struct sockaddr *)&address, len) == 0 &&
             listen(answerer->listen_fd, ANSWERER_FDS) == 0 &&
             getsockname(answerer->listen_fd, (struct sockaddr *)&address, &len) == 0,
         "listening");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = answerer->listen_fd};
    epoll_ctl(answerer->epoll_fd, EPOLL_CTL_ADD, answerer->listen_fd, &event);
    FILE *file = fopen(port_file, "we");
    must(file != NULL && fprintf(file, "%d\n", ntohs(address.sin_port)) > 0 && fclose(file) == 0,
         port_file);
}

static void accept_all(struct answerer *answerer)
{
    int fd = -1;
    while ((fd = accept4(answerer->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        must(fd < ANSWERER_FDS, "room for a connection");
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct peer *peer = &answerer->peers[fd];
        char *in = peer->in != NULL ? peer->in : malloc(ANSWERER_IN);
        must(in != NULL, "memory");
        // One that closed while it waited may still stand in the queue: it stays there.
        *peer = (struct peer){
            .in = in, .answering = peer->answering, .due_ns = peer->due_ns, .next = peer->next};
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(answerer->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void write_answer(int fd, const char *customer)
{
    char body[1024];
    char answer[2048];
    int body_bytes = snprintf(
        body, sizeof body,
        "{\"id\":\"%s\",\"email\":\"jane.doe@example.com\",\"phone\":\"+14155552671\","
        "\"first_name\":\"Jane\",\"last_name\":\"Doe\",\"status\":\"ACTIVE\","
        "\"created_at\":\"2024-01-01T00:00:00.000Z\",\"updated_at\":\"2025-01-01T00:00:00.000Z\"}",
        customer);
    int bytes = snprintf(answer, sizeof answer,
                         "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         "Content-Length: %d\r\n\r\n%s",
                         body_bytes, body);
    // Such a small answer fits into the socket; whoever has gone does not want it.
    (void)!write(fd, answer, (size_t)bytes);
}

// The customer is what stands behind the last slash of the path.
static void read_customer(struct peer *peer)
{
    const char *path_end = strstr(peer->in + 5, " ");
    must(path_end != NULL, "a request line");
    const char *slash = memrchr(peer->in, '/', (size_t)(path_end - peer->in));
    must(slash != NULL, "a path");
    const char *id = slash + 1;
    (void)snprintf(peer->customer, sizeof peer->customer, "%.*s", (int)(path_end - id), id);
}

// Bytes of the request that is whole in `in`; 0: it is not whole yet.
static size_t whole_request(const struct peer *peer)
{
    static const char label[] = "\r\nContent-Length: ";
    const char *head_end = strstr(peer->in, "\r\n\r\n");
    if (head_end == NULL) {
        return 0;
    }
    const char *length = strcasestr(peer->in, label);
    size_t body =
        length != NULL && length < head_end ? strtoul(length + sizeof label - 1, NULL, 10) : 0;
    size_t bytes = (size_t)(head_end + 4 - peer->in) + body;
    return bytes <= peer->in_bytes ? bytes : 0;
}

static void answer_later(struct answerer *answerer, int fd)
{
    struct peer *peer = &answerer->peers[fd];
    peer->answering = true;
    peer->due_ns = monotonic_ns() + answerer->delay_ns;
    peer->next = -1;
    if (answerer->last < 0) {
        answerer->first = fd;
    } else {
        answerer->peers[answerer->last].next = fd;
    }
    answerer->last = fd;
}

static void take_request(struct answerer *answerer, int fd)
{
    struct peer *peer = &answerer->peers[fd];
    size_t bytes = whole_request(peer);
    if (bytes == 0 || peer->answering) {
        return;
    }
    read_customer(peer);
    if (answerer->log != NULL) {
        (void)fprintf(answerer->log, "%lld %s\n", (long long)wall_ns(), peer->customer);
    }
    peer->in_bytes -= bytes;
    memmove(peer->in, peer->in + bytes, peer->in_bytes + 1);
    answer_later(answerer, fd);
}

static void read_peer(struct answerer *answerer, int fd)
{
    struct peer *peer = &answerer->peers[fd];
    ssize_t got = read(fd, peer->in + peer->in_bytes, ANSWERER_IN - 1 - peer->in_bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        close(fd);
        peer->customer[0] = '\0'; // nobody waits for the answer
        peer->in[0] = '\0';
        peer->in_bytes = 0;
        return;
    }
    peer->in_bytes += (size_t)got;
    peer->in[peer->in_bytes] = '\0';
    take_request(answerer, fd);
}

static void answer_due(struct answerer *answerer)
{
    while (answerer->first >= 0 && answerer->peers[answerer->first].due_ns <= monotonic_ns()) {
        int fd = answerer->first;
        struct peer *peer = &answerer->peers[fd];
        answerer->first = peer->next;
        answerer->last = answerer->first < 0 ? -1 : answerer->last;
        peer->answering = false;
        if (peer->customer[0] != '\0') {
            write_answer(fd, peer->customer);
            peer->customer[0] = '\0';
        }
        take_request(answerer, fd); // another connection may have got the number meanwhile
    }
}

// How long epoll may wait; never rounded down, or it would spin.
static int wait_ms(const struct answerer *answerer)
{
    if (answerer->first < 0) {
        return -1;
    }
    int64_t wait_ns = answerer->peers[answerer->first].due_ns - monotonic_ns();
    return wait_ns <= 0 ? 0 : (int)((wait_ns + 999999) / 1000000);
}

static void turn(struct answerer *answerer)
{
    struct epoll_event events[ANSWERER_EVENTS];
    int count = epoll_wait(answerer->epoll_fd, events, ANSWERER_EVENTS, wait_ms(answerer));
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        if (fd == answerer->listen_fd) {
            accept_all(answerer);
        } else {
            read_peer(answerer, fd);
        }
    }
    if (answerer->log != NULL) {
        (void)fflush(answerer->log);
    }
    answer_due(answerer);
}

int main(int argc, char **argv)
{
    static struct answerer answerer = {.first = -1, .last = -1};
    if (argc < 3 || argc > 4) {
        die("usage", "bench-answerer PORT_FILE DELAY_MS [LOG]");
    }
    answerer.delay_ns = strtol(argv[2], NULL, 10) * 1000000;
    if (argc == 4) {
        answerer.log = fopen(argv[3], "ae");
        must(answerer.log != NULL, argv[3]);
    }
    answerer.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    must(answerer.epoll_fd >= 0, "epoll");
    open_port(&answerer, argv[1]);
    for (;;) {
        turn(&answerer);
    }
}
