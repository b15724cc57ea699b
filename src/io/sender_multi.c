#include "io/sender_multi.h"

#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SENDER_MULTI_EVENTS = 64 }; // ready sockets handled in one go

// What epoll knows of a socket. libcurl lets go of a connection's socket after each answer and asks
// for it again with the next request; so it stays where it is, which saves two system calls.
struct sender_socket {
    uint32_t events; // as epoll has them; 0: unknown, only epoll can tell
    bool connection; // its making and its end are told to us
    bool wanted;
};

struct sender_multi {
    struct loop_watch *watch;
    struct loop_timer *timer;
    struct sender_multi_events events;
    CURLM *curl;
    int epoll_fd;
    int busy;                      // transfers that were added
    int64_t due_ns;                // when libcurl wants to be called; INT64_MAX: not by itself
    struct sender_socket *sockets; // by descriptor
    size_t socket_count;
};

// ---- the sockets ---------------------------------------------------------------------------

static struct sender_socket *multi_socket(struct sender_multi *multi, int fd)
{
    size_t index = (size_t)fd;
    if (index >= multi->socket_count) {
        size_t count = 2 * (index + 1);
        multi->sockets = mem_resize(multi->sockets, count, sizeof *multi->sockets);
        memset(multi->sockets + multi->socket_count, 0,
               (count - multi->socket_count) * sizeof *multi->sockets);
        multi->socket_count = count;
    }
    return &multi->sockets[index];
}

void sender_multi_socket_made(struct sender_multi *multi, int fd)
{
    *multi_socket(multi, fd) = (struct sender_socket){.connection = true};
}

static int multi_on_close(void *userdata, curl_socket_t fd)
{
    *multi_socket(userdata, fd) = (struct sender_socket){.connection = false};
    return close(fd); // epoll forgets it with this
}

static void multi_let_go(struct sender_multi *multi, struct sender_socket *socket, int fd)
{
    // Fails for a descriptor that is closed already, which epoll has then forgotten.
    epoll_ctl(multi->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    socket->events = 0;
}

static int multi_on_interest(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known)
{
    (void)easy;
    (void)known;
    struct sender_multi *multi = userdata;
    struct sender_socket *socket = multi_socket(multi, fd);
    socket->wanted = what != CURL_POLL_REMOVE;
    if (!socket->wanted) {
        if (!socket->connection || socket->events != EPOLLIN) {
            multi_let_go(multi, socket, fd);
        }
        return 0;
    }
    struct epoll_event event = {.events = 0, .data.fd = fd};
    event.events |= (what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0;
    event.events |= (what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0;
    if (socket->connection && socket->events == event.events) {
        return 0;
    }
    // Descriptor numbers come back: whether epoll knows this one, only epoll can tell.
    if (epoll_ctl(multi->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
        epoll_ctl(multi->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    socket->events = event.events;
    return 0;
}

static void multi_on_event(struct sender_multi *multi, const struct epoll_event *event)
{
    int fd = event->data.fd;
    struct sender_socket *socket = multi_socket(multi, fd);
    if (!socket->wanted) {
        multi_let_go(multi, socket, fd); // a kept connection ends, which its next use will find
        return;
    }
    int mask = (event->events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0;
    mask |= (event->events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0;
    mask |= (event->events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0;
    int running = 0;
    curl_multi_socket_action(multi->curl, fd, mask, &running);
}

// ---- the time ------------------------------------------------------------------------------

static int multi_on_timer_wish(CURLM *curl, long timeout_ms, void *userdata)
{
    (void)curl;
    struct sender_multi *multi = userdata;
    if (timeout_ms < 0) {
        multi->due_ns = INT64_MAX;
        loop_timer_unset(multi->timer);
    } else {
        multi->due_ns = clock_now_ns() + timeout_ms * CLOCK_NS_PER_MS;
        loop_timer_set(multi->timer, multi->due_ns);
    }
    return 0;
}

// Lets libcurl do what is due. Returns how many transfers are under way then.
static int multi_run_due(struct sender_multi *multi)
{
    int running = multi->busy;
    if (multi->due_ns <= clock_now_ns()) {
        multi->due_ns = INT64_MAX; // libcurl wishes anew
        loop_timer_unset(multi->timer);
        curl_multi_socket_action(multi->curl, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    return running;
}

void sender_multi_flush(struct sender_multi *multi)
{
    if (multi_run_due(multi) < multi->busy) {
        loop_timer_set(multi->timer, 0); // some have ended: collected in the next turn
    }
}

// ---- the loop's callbacks ------------------------------------------------------------------

static void multi_collect(struct sender_multi *multi)
{
    const struct sender_multi_events *events = &multi->events;
    int left = 0;
    CURLMsg *message;
    while ((message = curl_multi_info_read(multi->curl, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) { // it is gone with the handle
            events->on_done(events->ctx, message->easy_handle, message->data.result);
        }
    }
    events->on_rest(events->ctx);
}

static void multi_on_sockets(void *ctx, uint32_t ready)
{
    (void)ready;
    struct sender_multi *multi = ctx;
    struct epoll_event events[SENDER_MULTI_EVENTS];
    int count = epoll_wait(multi->epoll_fd, events, SENDER_MULTI_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        multi_on_event(multi, &events[i]);
    }
    multi_collect(multi);
}

static void multi_on_timer(void *ctx)
{
    struct sender_multi *multi = ctx;
    multi_run_due(multi);
    if (multi->due_ns < INT64_MAX) {
        loop_timer_set(multi->timer, multi->due_ns); // it may have been set only to collect
    }
    multi_collect(multi);
}

// ---- transfers -----------------------------------------------------------------------------

bool sender_multi_join(struct sender_multi *multi, CURL *easy)
{
    return curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, multi_on_close) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, multi) == CURLE_OK;
}

bool sender_multi_add(struct sender_multi *multi, CURL *easy)
{
    multi->busy++;
    return curl_multi_add_handle(multi->curl, easy) == CURLM_OK;
}

void sender_multi_remove(struct sender_multi *multi, CURL *easy)
{
    curl_multi_remove_handle(multi->curl, easy);
    multi->busy--;
}

// ---- set-up --------------------------------------------------------------------------------

static bool multi_init(struct sender_multi *multi, size_t transfers)
{
    CURLM *curl = multi->curl;
    return curl != NULL &&
           curl_multi_setopt(curl, CURLMOPT_SOCKETFUNCTION, multi_on_interest) == CURLM_OK &&
           curl_multi_setopt(curl, CURLMOPT_SOCKETDATA, multi) == CURLM_OK &&
           curl_multi_setopt(curl, CURLMOPT_TIMERFUNCTION, multi_on_timer_wish) == CURLM_OK &&
           curl_multi_setopt(curl, CURLMOPT_TIMERDATA, multi) == CURLM_OK &&
           curl_multi_setopt(curl, CURLMOPT_MAXCONNECTS, (long)transfers + 1) == CURLM_OK;
}

struct sender_multi *sender_multi_create(struct loop *loop, size_t transfers,
                                         const struct sender_multi_events *events)
{
    struct sender_multi *multi = mem_calloc(1, sizeof *multi);
    *multi = (struct sender_multi){.events = *events,
                                   .curl = curl_multi_init(),
                                   .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                                   .due_ns = INT64_MAX};
    assert(multi->epoll_fd >= 0);
    multi->watch = loop_watch_open(loop, multi->epoll_fd, EPOLLIN, multi_on_sockets, multi);
    multi->timer = loop_timer_open(loop, multi_on_timer, multi);
    if (!multi_init(multi, transfers)) {
        sender_multi_destroy(multi);
        return NULL;
    }
    return multi;
}

void sender_multi_destroy(struct sender_multi *multi)
{
    if (multi == NULL) {
        return;
    }
    curl_multi_cleanup(multi->curl);
    loop_watch_close(multi->watch);
    loop_timer_close(multi->timer);
    close(multi->epoll_fd);
    free(multi->sockets);
    free(multi);
}
