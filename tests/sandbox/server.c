#include "server.h"

#include "api.h"
#include "clock.h"
#include "control.h"
#include "listen.h"
#include "mem.h"
#include "reply.h"
#include "request.h"
#include "sandbox.h"
#include "wait.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVER_EVENTS = 256, SERVER_CONNECTIONS = 100000 };

struct server {
    struct sandbox sandbox;
    struct MHD_Daemon *daemon;
    struct waits waits;
    int epoll_fd;
    int signal_fd;
    bool stopping;
};

/* ---- waiting ---- */

static bool is_client_gone(int fd)
{
    struct pollfd connection = {.fd = fd, .events = POLLRDHUP};
    return poll(&connection, 1, 0) > 0;
}

static enum MHD_Result suspend(struct server *server, struct request *request, int64_t due_ns)
{
    waits_add(&server->waits, &request->waiter, due_ns);
    /* libmicrohttpd does not look at suspended connections. A late update happens
     * although its client has left, so then leaving is no reason to wake up */
    if (request->stage != REQUEST_STAGE_BEFORE) {
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = request};
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, request->fd, &event);
    }
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

static void resume(struct server *server, struct request *request)
{
    waits_remove(&server->waits, &request->waiter);
    if (request->stage != REQUEST_STAGE_BEFORE) {
        epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, request->fd, NULL);
    }
    MHD_resume_connection(request->connection);
}

static void resume_due(struct server *server, int64_t now_ns)
{
    for (;;) {
        struct waiter *next = waits_peek(&server->waits);
        if (next == NULL || next->due_ns > now_ns) {
            return;
        }
        resume(server, next->owner);
    }
}

/* ---- answering ---- */

/* A real RST: shutdown or close alone would say goodbye in order. */
static enum MHD_Result reset(struct request *request)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    setsockopt(request->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    if (connect(request->fd, &nobody, sizeof(nobody)) != 0) {
        perror("imprint-sandbox: reset");
    }
    request->closed_by_us = true;
    return MHD_NO;
}

static enum MHD_Result answer(struct request *request)
{
    if (request->client_gone) {
        return MHD_NO;
    }
    if (request->fault != NULL && request->fault->kind == FAULT_KIND_RESET) {
        return reset(request);
    }
    request->stage = REQUEST_STAGE_ANSWERED;
    return reply_send(request);
}

/* ---- the way of a request ---- */

static enum MHD_Result decide(struct server *server, struct request *request)
{
    api_decide(&server->sandbox, request);
    const struct fault *fault = request->fault;
    if (fault != NULL && fault->kind == FAULT_KIND_HANG) {
        request->stage = REQUEST_STAGE_HANGING;
        return suspend(server, request, WAIT_FOREVER);
    }
    request->stage = REQUEST_STAGE_DECIDED;
    int64_t delay_ms = server->sandbox.options->latency_ms;
    if (fault != NULL && !fault_delays_update(fault)) {
        delay_ms += fault->delay_ms;
    }
    if (delay_ms > 0 && !request->client_gone) {
        return suspend(server, request, clock_boot_ns() + delay_ms * CLOCK_NS_PER_MS);
    }
    return answer(request);
}

static enum MHD_Result begin(struct server *server, struct request *request)
{
    request->arrived_ns = clock_boot_ns();
    if (control_owns(request->path)) {
        control_handle(&server->sandbox, request);
        return answer(request);
    }
    if (!request->is_post) {
        api_refuse(request);
        return answer(request);
    }
    api_begin(&server->sandbox, request);
    const struct fault *fault = request->fault;
    if (fault != NULL && fault_delays_update(fault)) {
        request->stage = REQUEST_STAGE_BEFORE;
        return suspend(server, request, request->arrived_ns + fault->delay_ms * CLOCK_NS_PER_MS);
    }
    return decide(server, request);
}

/* After the body, and again after each wait. */
static enum MHD_Result proceed(struct server *server, struct request *request)
{
    switch (request->stage) {
    case REQUEST_STAGE_READING:
        return begin(server, request);
    case REQUEST_STAGE_BEFORE:
        request->client_gone = is_client_gone(request->fd);
        return decide(server, request);
    case REQUEST_STAGE_DECIDED:
        return answer(request);
    case REQUEST_STAGE_HANGING:
    case REQUEST_STAGE_ANSWERED:
        break;
    }
    return MHD_NO;
}

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static int fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

static int64_t number_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? *(const int64_t *)info->socket_context : 0;
}

static struct request *start(struct server *server, struct MHD_Connection *connection,
                             const char *method, const char *path)
{
    struct sandbox *sandbox = &server->sandbox;
    struct request *request = request_create(method, path);
    request->connection = connection;
    request->fd = fd_of(connection);
    request->conn = number_of(connection);
    request->user_agent = mem_copy_string(header_of(connection, "User-Agent"));
    request->authorization = header_of(connection, "Authorization");
    request->merchant_key = header_of(connection, "x-imprint-merchant-key");
    request->content_type = header_of(connection, "Content-Type");
    request->key_ok = keys_accept(&sandbox->keys, request->authorization);
    if (request->is_post) {
        request->seq = ++sandbox->last_seq;
        stats_begin(&sandbox->stats);
    }
    return request;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **slot)
{
    (void)version;
    struct server *server = ctx;
    struct request *request = *slot;
    if (request == NULL) {
        *slot = start(server, connection, method, path);
        return MHD_YES;
    }
    if (*len > 0) {
        request_add_body(request, data, *len);
        *len = 0;
        return MHD_YES;
    }
    return proceed(server, request);
}

static void on_completed(void *ctx, struct MHD_Connection *connection, void **slot,
                         enum MHD_RequestTerminationCode code)
{
    (void)connection;
    struct server *server = ctx;
    struct request *request = *slot;
    if (request == NULL) {
        return;
    }
    *slot = NULL;
    if (request->is_post) {
        struct sandbox *sandbox = &server->sandbox;
        bool aborted = !request->closed_by_us && code != MHD_REQUEST_TERMINATED_COMPLETED_OK;
        stats_end(&sandbox->stats, request->status, request->applied, aborted);
        journal_write(&sandbox->journal, request, clock_boot_ns(), aborted);
    }
    request_destroy(request);
}

static void on_connection(void *ctx, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode code)
{
    (void)connection;
    struct stats *stats = &((struct server *)ctx)->sandbox.stats;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        int64_t *number = mem_alloc(1, sizeof(*number));
        *number = ++stats->connections;
        *slot = number;
        stats->open_connections++;
    } else {
        free(*slot);
        *slot = NULL;
        stats->open_connections--;
    }
}

/* Paths stay as they are written: an id with an escape in it is no id. */
static size_t keep_escapes(void *ctx, struct MHD_Connection *connection, char *text)
{
    (void)ctx;
    (void)connection;
    return strlen(text);
}

/* ---- the loop ---- */

/* Milliseconds, rounded up; -1: for ever. */
static int timeout_of(const struct server *server)
{
    unsigned long long daemon_ms = 0;
    int64_t timeout_ms = INT32_MAX;
    if (MHD_get_timeout(server->daemon, &daemon_ms) == MHD_YES && daemon_ms < INT32_MAX) {
        timeout_ms = (int64_t)daemon_ms;
    }
    const struct waiter *next = waits_peek(&server->waits);
    if (timeout_ms > 0 && next != NULL && next->due_ns != WAIT_FOREVER) {
        int64_t left_ns = next->due_ns - clock_boot_ns();
        int64_t left_ms = left_ns > 0 ? (left_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS : 0;
        timeout_ms = left_ms < timeout_ms ? left_ms : timeout_ms;
    }
    return timeout_ms < INT32_MAX ? (int)timeout_ms : -1;
}

/* Events are told apart by their pointer: the server is a signal, NULL is the daemon,
 * anything else a request whose client left. */
static void handle_events(struct server *server, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        void *source = events[i].data.ptr;
        if (source == server) {
            server->stopping = true;
        } else if (source != NULL) {
            struct request *request = source;
            request->client_gone = true;
            resume(server, request);
        }
    }
}

static bool loop(struct server *server)
{
    struct epoll_event events[SERVER_EVENTS];
    while (!server->stopping) {
        int count = epoll_wait(server->epoll_fd, events, SERVER_EVENTS, timeout_of(server));
        if (count < 0 && errno != EINTR) {
            perror("imprint-sandbox: epoll_wait");
            return false;
        }
        handle_events(server, events, count);
        resume_due(server, clock_boot_ns());
        MHD_run(server->daemon);
    }
    return true;
}

static bool watch(struct server *server, int fd, void *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    return fd >= 0 && epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static bool open_loop(struct server *server)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->epoll_fd < 0 || !watch(server, server->signal_fd, server)) {
        perror("imprint-sandbox: epoll");
        return false;
    }
    return true;
}

/* ---- start and stop ---- */

/* NULL and a message when the file cannot be read; the caller frees it. */
static char *read_file(const char *file)
{
    FILE *stream = fopen(file, "re");
    if (stream == NULL) {
        fprintf(stderr, "imprint-sandbox: %s: ", file);
        perror(NULL);
        return NULL;
    }
    struct text content = {0};
    char block[4096];
    size_t len = 0;
    while ((len = fread(block, 1, sizeof(block), stream)) > 0) {
        text_add(&content, block, len);
    }
    fclose(stream);
    return text_take(&content);
}

static struct MHD_Daemon *start_daemon(struct server *server, int listen_fd, char *cert, char *key)
{
    unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, cert},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, key},
                                   {MHD_OPTION_END, 0, NULL}};
    if (cert == NULL) {
        tls[0] = tls[2];
    } else {
        flags |= MHD_USE_TLS;
    }
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, server, MHD_OPTION_ARRAY, tls, MHD_OPTION_LISTEN_SOCKET,
        listen_fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned int)SERVER_CONNECTIONS,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, server, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_END);
}

static bool open_daemon(struct server *server, int listen_fd)
{
    const struct options *options = server->sandbox.options;
    char *cert = options->tls ? read_file(options->cert) : NULL;
    char *key = options->tls ? read_file(options->cert_key) : NULL;
    if (!options->tls || (cert != NULL && key != NULL)) {
        server->daemon = start_daemon(server, listen_fd, cert, key);
        if (server->daemon == NULL) {
            fputs("imprint-sandbox: the HTTP server does not start; is the certificate fine?\n",
                  stderr);
        }
    }
    free(key);
    free(cert);
    if (server->daemon == NULL) {
        close(listen_fd);
        return false;
    }
    return watch(server, MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
                 NULL);
}

static bool announce(const struct options *options, int port)
{
    if (options->port_file != NULL && !listen_write_port_file(options->port_file, port)) {
        fprintf(stderr, "imprint-sandbox: %s: ", options->port_file);
        perror(NULL);
        return false;
    }
    printf("imprint-sandbox: listening on %s://%s:%d\n", options->tls ? "https" : "http",
           options->listen, port);
    fflush(stdout);
    return true;
}

static bool serve(struct server *server)
{
    const struct options *options = server->sandbox.options;
    if (!open_loop(server)) {
        return false;
    }
    int listen_fd = listen_open(options->listen, (int)options->port);
    if (listen_fd < 0) {
        return false;
    }
    int port = listen_port(listen_fd);
    return open_daemon(server, listen_fd) && announce(options, port) && loop(server);
}

static void stop(struct server *server)
{
    /* the daemon does not stop while connections are suspended */
    resume_due(server, WAIT_FOREVER);
    if (server->daemon != NULL) {
        MHD_stop_daemon(server->daemon);
    }
    waits_free(&server->waits);
    if (server->epoll_fd >= 0) {
        close(server->epoll_fd);
    }
    if (server->signal_fd >= 0) {
        close(server->signal_fd);
    }
}

/* Each connection is a descriptor; the usual soft limit is only 1024. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int server_run(const struct options *options)
{
    struct server server = {.epoll_fd = -1, .signal_fd = -1};
    raise_file_limit();
    int status = sandbox_init(&server.sandbox, options);
    if (status == EXIT_SUCCESS && !serve(&server)) {
        status = EXIT_FAILURE;
    }
    stop(&server);
    sandbox_free(&server.sandbox);
    return status;
}
