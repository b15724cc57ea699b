#include "io/resolver.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RESOLVER_ADDRESSES = 16 };

// What the thread works on. Two owners, the thread and the loop's side; the last one frees it, so a
// cancelled look-up that hangs in getaddrinfo hurts nobody.
struct resolver_work {
    atomic_int owners;
    int done_fd; // eventfd
    char *name;
    int gai_error;
    size_t count;
    char addresses[RESOLVER_ADDRESSES][INET6_ADDRSTRLEN];
};

struct resolver {
    struct resolver_work *work;
    struct loop_watch *watch;
    resolver_fn fn;
    void *ctx;
};

static void resolver_release(struct resolver_work *work)
{
    if (atomic_fetch_sub(&work->owners, 1) == 1) {
        close(work->done_fd);
        free(work->name);
        free(work);
    }
}

static void resolver_look_up(struct resolver_work *work)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    work->gai_error = getaddrinfo(work->name, NULL, &hints, &list);
    if (work->gai_error != 0) {
        return;
    }
    for (struct addrinfo *at = list; at != NULL && work->count < RESOLVER_ADDRESSES;
         at = at->ai_next) {
        char *out = work->addresses[work->count];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, out, INET6_ADDRSTRLEN, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            work->count++;
        }
    }
    freeaddrinfo(list);
}

static void *resolver_thread(void *arg)
{
    struct resolver_work *work = arg;
    resolver_look_up(work);
    uint64_t one = 1;
    ssize_t written = write(work->done_fd, &one, sizeof one);
    (void)written; // an eventfd at 0 always takes it
    resolver_release(work);
    return NULL;
}

static void resolver_end(struct resolver *resolver)
{
    loop_watch_close(resolver->watch);
    resolver_release(resolver->work);
    free(resolver);
}

static void resolver_on_done(void *ctx, uint32_t ready)
{
    (void)ready;
    struct resolver *resolver = ctx;
    struct resolver_work *work = resolver->work;
    const char *list[RESOLVER_ADDRESSES] = {NULL};
    for (size_t i = 0; i < work->count; i++) {
        list[i] = work->addresses[i];
    }
    resolver->fn(resolver->ctx, list, work->count,
                 work->gai_error != 0 ? gai_strerror(work->gai_error) : "no address");
    resolver_end(resolver);
}

struct resolver *resolver_start(struct loop *loop, const char *name, resolver_fn fn, void *ctx)
{
    struct resolver_work *work = mem_calloc(1, sizeof *work);
    atomic_init(&work->owners, 2);
    work->name = mem_strdup(name);
    work->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_t thread;
    if (work->done_fd < 0 || pthread_create(&thread, NULL, resolver_thread, work) != 0) {
        atomic_store(&work->owners, 1);
        resolver_release(work);
        return NULL;
    }
    pthread_detach(thread);
    struct resolver *resolver = mem_calloc(1, sizeof *resolver);
    *resolver = (struct resolver){.work = work, .fn = fn, .ctx = ctx};
    resolver->watch = loop_watch_open(loop, work->done_fd, EPOLLIN, resolver_on_done, resolver);
    return resolver;
}

void resolver_cancel(struct resolver *resolver)
{
    if (resolver != NULL) {
        resolver_end(resolver);
    }
}
