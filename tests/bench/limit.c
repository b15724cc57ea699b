// The bare limit: what libcurl alone can send on this machine. Prepared bodies, kept connections,
// one multi handle on one epoll; nothing is mapped, read or remembered.
//
//   bench-limit URL BODIES COUNT IN_FLIGHT [CA_FILE]
//
// URL ends where the customer's id begins. BODIES has lines "id<TAB>body", used in turn. With a
// CA_FILE it is HTTPS, where the server chooses between HTTP/1.1 and HTTP/2.
#include "must.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LIMIT_EVENTS = 64, LIMIT_URL_MAX = 512, LIMIT_PREPARED_MAX = 100000 };

struct update {
    char *id;
    char *body;
    size_t body_bytes;
};

struct limit {
    const char *url;
    const char *ca_file; // NULL: plain HTTP
    struct curl_slist *headers;
    struct update *updates;
    size_t update_count;
    long wanted;
    long started;
    long answered;
    CURLM *multi;
    int epoll_fd;
    int timeout_ms;
};

static void read_bodies(struct limit *limit, const char *path)
{
    FILE *file = fopen(path, "re");
    must(file != NULL, path);
    limit->updates = calloc(LIMIT_PREPARED_MAX, sizeof *limit->updates);
    must(limit->updates != NULL, "memory");
    char *line = NULL;
    size_t size = 0;
    ssize_t len = 0;
    while (limit->update_count < LIMIT_PREPARED_MAX && (len = getline(&line, &size, file)) > 0) {
        line[len - 1] = '\0';
        char *tab = strchr(line, '\t');
        must(tab != NULL, "a line id<TAB>body");
        *tab = '\0';
        struct update *update = &limit->updates[limit->update_count++];
        *update = (struct update){strdup(line), strdup(tab + 1), strlen(tab + 1)};
        must(update->id != NULL && update->body != NULL, "memory");
    }
    free(line);
    (void)fclose(file);
    must(limit->update_count > 0, "at least one body");
}

static size_t on_body(char *bytes, size_t size, size_t count, void *userdata)
{
    (void)bytes;
    (void)userdata;
    return size * count;
}

static int on_interest(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known)
{
    (void)easy;
    (void)known;
    const struct limit *limit = userdata;
    struct epoll_event event = {.events = 0, .data.fd = fd};
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(limit->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events |= (what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0;
    event.events |= (what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0;
    if (epoll_ctl(limit->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT) {
        epoll_ctl(limit->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *userdata)
{
    (void)multi;
    struct limit *limit = userdata;
    limit->timeout_ms = (int)timeout_ms;
    return 0;
}

static void begin(struct limit *limit, CURL *easy)
{
    const struct update *update = &limit->updates[(size_t)limit->started % limit->update_count];
    char url[LIMIT_URL_MAX];
    (void)snprintf(url, sizeof url, "%s%s", limit->url, update->id);
    limit->started++;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)update->body_bytes);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, update->body);
    must(curl_multi_add_handle(limit->multi, easy) == CURLM_OK, "curl_multi_add_handle");
}

static CURL *make_transfer(const struct limit *limit)
{
    CURL *easy = curl_easy_init();
    must(easy != NULL, "curl_easy_init");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, limit->headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (limit->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, limit->ca_file);
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    }
    return easy;
}

static void collect(struct limit *limit)
{
    CURLMsg *message = NULL;
    int left = 0;
    while ((message = curl_multi_info_read(limit->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        long status = 0;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        // Where a server answers before it has read the body, a few transfers of HTTP/2 fail so.
        if (code != CURLE_HTTP2_STREAM && (code != CURLE_OK || status != 200)) {
            die("a request failed", curl_easy_strerror(code));
        }
        limit->answered++;
        curl_multi_remove_handle(limit->multi, easy);
        if (limit->started < limit->wanted) {
            begin(limit, easy);
        } else {
            curl_easy_cleanup(easy);
        }
    }
}

static void turn(struct limit *limit)
{
    struct epoll_event events[LIMIT_EVENTS];
    int running = 0;
    int timeout_ms = limit->timeout_ms;
    int count = epoll_wait(limit->epoll_fd, events, LIMIT_EVENTS, timeout_ms);
    if (count == 0) {
        limit->timeout_ms = -1;
        curl_multi_socket_action(limit->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    for (int i = 0; i < count; i++) {
        int mask = (events[i].events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0;
        mask |= (events[i].events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0;
        mask |= (events[i].events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0;
        curl_multi_socket_action(limit->multi, events[i].data.fd, mask, &running);
    }
    collect(limit);
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6) {
        die("usage", "bench-limit URL BODIES COUNT IN_FLIGHT [CA_FILE]");
    }
    struct limit limit = {.url = argv[1], .ca_file = argc == 6 ? argv[5] : NULL, .timeout_ms = -1};
    read_bodies(&limit, argv[2]);
    limit.wanted = must_number(argv[3], "COUNT");
    long in_flight = must_number(argv[4], "IN_FLIGHT");
    limit.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    limit.multi = curl_multi_init();
    must(limit.epoll_fd >= 0 && limit.multi != NULL, "set-up");
    limit.headers = curl_slist_append(limit.headers, "Content-Type: application/json");
    limit.headers = curl_slist_append(limit.headers, "Accept: application/json");
    limit.headers = curl_slist_append(limit.headers, "Authorization: Bearer bench");
    limit.headers = curl_slist_append(limit.headers, "Expect:");
    curl_multi_setopt(limit.multi, CURLMOPT_SOCKETFUNCTION, on_interest);
    curl_multi_setopt(limit.multi, CURLMOPT_SOCKETDATA, &limit);
    curl_multi_setopt(limit.multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(limit.multi, CURLMOPT_TIMERDATA, &limit);
    curl_multi_setopt(limit.multi, CURLMOPT_MAXCONNECTS, in_flight + 1);

    int64_t started_ns = monotonic_ns();
    for (long i = 0; i < in_flight && limit.started < limit.wanted; i++) {
        begin(&limit, make_transfer(&limit));
    }
    while (limit.answered < limit.wanted) {
        turn(&limit);
    }
    print_cost(started_ns, limit.answered);
    return 0;
}
