#include "io/sender.h"
#include "io/sender_multi.h"
#include "io/sender_transport.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    SENDER_ANSWER_MAX = 1024 * 1024,
    SENDER_URL_MAX = 4096,
    SENDER_HEADER_MAX = 262144,
    SENDER_ANSWER_HEADERS_MAX = 64 * 1024, // of all answers to one request, interim ones too
    // Gateways close what is idle for a minute or more; a request that meets that is sent twice.
    SENDER_IDLE_S = 50,
    SENDER_LIFETIME_S = 600, // then the name is looked up and the certificate verified again
};

// Header lines of a key's lifetime, shared by the transfers that began with it.
struct sender_headers {
    size_t users;
    struct curl_slist *list;
    char *secrets[ANSWER_SECRETS]; // what of it an answer must not make us quote; NULL: none
};

struct sender_worker {
    struct sender *sender;
    CURL *easy;
    bool busy;
    struct buf url;
    struct buf body;     // of the answer
    size_t header_bytes; // of the answer
    struct answer answer;
    struct sender_headers *headers;
    int64_t started_ns;
    int64_t not_after_ns;
    int requests;    // how often libcurl was about to send: the second time is its own repeat
    bool past_lease; // the first was refused
    sender_done_fn done;
    void *ctx;
};

struct sender {
    struct loop *loop;
    struct sender_multi *multi;
    struct sender_headers *headers;
    char *merchant_key;
    bool basic_auth;
    bool http2;
    int64_t timeout_ns;
    struct str url_head; // before and behind the customer's id; owned
    struct str url_tail;
    struct sender_worker *workers;
    size_t worker_count;
    struct sender_worker **idle; // stack
    size_t idle_count;
    size_t unsent;        // busy workers whose request has not left
    struct sender *older; // renewed while it had transfers under way; owned
    struct sender *newer; // what took its place; NULL: this is the one in use
};

static const char sender_agent[] = "imprint-sync/" IMPRINT_VERSION;

// ---- the address ---------------------------------------------------------------------------

// The path before and behind the customer's id.
static void sender_split_path(const char *path, struct str *head, struct str *tail)
{
    static const struct str mark = {"{customer_id}", 13};
    const char *at = strstr(path, mark.ptr);
    assert(at != NULL); // the configuration demands it
    *head = (struct str){path, (size_t)(at - path)};
    *tail = str_of(at + mark.len);
}

// ---- headers -------------------------------------------------------------------------------

static void sender_headers_release(struct sender_headers *headers)
{
    if (headers == NULL || --headers->users > 0) {
        return;
    }
    for (struct curl_slist *at = headers->list; at != NULL; at = at->next) {
        mem_wipe(at->data, strlen(at->data)); // one of them holds the key
    }
    curl_slist_free_all(headers->list);
    for (size_t i = 0; i < ANSWER_SECRETS; i++) {
        if (headers->secrets[i] != NULL) {
            mem_wipe(headers->secrets[i], strlen(headers->secrets[i]));
            free(headers->secrets[i]);
        }
    }
    free(headers);
}

static void sender_headers_add(struct sender_headers *headers, const char *line)
{
    struct curl_slist *list = curl_slist_append(headers->list, line);
    if (list != NULL) {
        headers->list = list;
    }
}

// base64 of "key:", RFC 4648.
static bool sender_append_basic(struct buf *out, struct str key)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = key.len + 1;
    bool ok = buf_reserve(out, (len + 2) / 3 * 4);
    for (size_t i = 0; ok && i < len; i += 3) {
        uint32_t bits = 0;
        for (size_t j = i; j < i + 3; j++) {
            unsigned char byte = j < key.len ? (unsigned char)key.ptr[j] : j < len ? ':' : 0;
            bits = bits << 8 | byte;
        }
        char quad[4] = {digits[bits >> 18], digits[bits >> 12 & 63], digits[bits >> 6 & 63],
                        digits[bits & 63]};
        quad[3] = i + 2 < len ? quad[3] : '=';
        quad[2] = i + 1 < len ? quad[2] : '=';
        ok = buf_append(out, quad, sizeof quad);
    }
    return ok;
}

// All header lines but those that libcurl makes. `authorization` is wiped with the last user.
static struct sender_headers *sender_headers_create(const char *authorization,
                                                    const char *merchant_key)
{
    struct sender_headers *headers = mem_calloc(1, sizeof *headers);
    headers->users = 1;
    sender_headers_add(headers, authorization);
    sender_headers_add(headers, "Content-Type: application/json");
    sender_headers_add(headers, "Accept: application/json");
    sender_headers_add(headers, "Expect:"); // no 100-continue round trip for large bodies
    struct buf line;
    buf_init(&line, SENDER_HEADER_MAX);
    if (merchant_key != NULL && buf_printf(&line, "x-imprint-merchant-key: %s", merchant_key)) {
        sender_headers_add(headers, line.data);
    }
    buf_free(&line);
    return headers;
}

void sender_set_key(struct sender *sender, const char *key)
{
    struct buf line;
    buf_init(&line, SENDER_HEADER_MAX);
    bool ok = sender->basic_auth ? buf_append_str(&line, STR("Authorization: Basic ")) &&
                                       sender_append_basic(&line, str_of(key))
                                 : buf_printf(&line, "Authorization: Bearer %s", key);
    assert(ok); // keys are files of at most 64 KiB
    (void)ok;
    struct sender_headers *headers = sender_headers_create(line.data, sender->merchant_key);
    headers->secrets[0] = mem_strdup(key);
    headers->secrets[1] =
        sender->basic_auth ? mem_strdup(line.data + strlen("Authorization: Basic ")) : NULL;
    headers->secrets[2] = sender->merchant_key == NULL ? NULL : mem_strdup(sender->merchant_key);
    mem_wipe(line.data, line.len);
    buf_free(&line);
    sender_headers_release(sender->headers);
    sender->headers = headers;
}

bool sender_describe(const struct sender_options *options, struct str customer_id,
                     size_t body_bytes, struct buf *out)
{
    const char *authorization =
        options->basic_auth ? "Authorization: Basic (set)" : "Authorization: Bearer (set)";
    struct sender_headers *headers =
        sender_headers_create(authorization, options->merchant_key == NULL ? NULL : "(set)");
    struct str head;
    struct str tail;
    sender_split_path(options->update_path, &head, &tail);
    bool ok = buf_printf(out, "POST %s%.*s%.*s%.*s\nUser-Agent: %s\n", options->base_url,
                         STR_ARG(head), STR_ARG(customer_id), STR_ARG(tail), sender_agent);
    for (const struct curl_slist *at = headers->list; ok && at != NULL; at = at->next) {
        // "Name:" without a value only keeps libcurl from adding that header.
        ok = str_ends(str_of(at->data), STR(":")) || buf_printf(out, "%s\n", at->data);
    }
    sender_headers_release(headers);
    return ok && buf_printf(out, "Content-Length: %zu\n", body_bytes);
}

// ---- libcurl's callbacks: no curl_multi_* call in here -------------------------------------

static size_t sender_on_body(char *bytes, size_t size, size_t count, void *userdata)
{
    struct sender_worker *worker = userdata;
    size_t len = size * count;
    if (!buf_append(&worker->body, bytes, len)) {
        worker->answer.body_too_big = true;
        return 0; // ends the transfer
    }
    return len;
}

static size_t sender_on_header(char *bytes, size_t size, size_t count, void *userdata)
{
    struct sender_worker *worker = userdata;
    size_t len = size * count;
    worker->header_bytes += len;
    if (worker->header_bytes > SENDER_ANSWER_HEADERS_MAX) {
        return 0; // ends the transfer
    }
    answer_header(&worker->answer, (struct str){bytes, len});
    return len;
}

// Called when the connection stands and the request is about to be written.
static int sender_on_request(void *userdata, char *remote_ip, char *local_ip, int remote_port,
                             int local_port)
{
    (void)remote_ip;
    (void)local_ip;
    (void)remote_port;
    (void)local_port;
    struct sender_worker *worker = userdata;
    worker->sender->unsent -= worker->requests == 0;
    worker->requests++;
    if (worker->requests > 1) {
        // libcurl repeats a POST by itself when a kept connection closes before any answer. The
        // first one may have arrived: our own retry must know of it, and wait its time.
        return CURL_PREREQFUNC_ABORT;
    }
    // The clock itself, not the loop's now: this process may have been stopped within this turn.
    worker->past_lease = clock_now_ns() >= worker->not_after_ns;
    return worker->past_lease ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int sender_on_socket_made(void *userdata, curl_socket_t fd, curlsocktype purpose)
{
    const struct sender *sender = userdata;
    if (purpose != CURLSOCKTYPE_IPCXN) {
        return CURL_SOCKOPT_OK;
    }
    sender_multi_socket_made(sender->multi, fd);
    // A transfer that was given up must not be delivered later by the kernel: not over a link that
    // comes back (user timeout), and not from the send buffer (linger; under HTTP/2 the connection
    // lives on, and only the former helps).
    unsigned int timeout_ms = (unsigned int)(sender->timeout_ns / CLOCK_NS_PER_MS);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    if (!sender->http2) {
        const struct linger drop = {.l_onoff = 1, .l_linger = 0};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &drop, sizeof drop);
    }
    return CURL_SOCKOPT_OK;
}

static bool sender_is_idle(const struct sender *sender)
{
    return sender->idle_count == sender->worker_count;
}

// ---- what a transfer ended with ------------------------------------------------------------

static void sender_fail(struct answer *answer, enum answer_transport transport, const char *failure)
{
    answer->transport = transport;
    answer->failure = failure;
}

// Nothing of the request was written.
static void sender_judge_unsent(struct answer *answer, CURLcode code)
{
    const char *failure = "connect";
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) {
        failure = "dns";
    } else if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
               code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE ||
               code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR) {
        failure = "tls";
    }
    sender_fail(answer, ANSWER_TRANSPORT_NOT_SENT, failure);
}

static void sender_judge(struct sender_worker *worker, CURLcode code)
{
    struct answer *answer = &worker->answer;
    long status = 0;
    curl_easy_getinfo(worker->easy, CURLINFO_RESPONSE_CODE, &status);
    answer->status = (int)status;
    answer->body = buf_peek(&worker->body);
    for (size_t i = 0; i < ANSWER_SECRETS; i++) {
        answer->secrets[i] = str_of(worker->headers->secrets[i]);
    }
    answer->transport = ANSWER_TRANSPORT_ANSWERED;
    if (code == CURLE_OK || answer->body_too_big) {
        return;
    }
    if (worker->past_lease) {
        sender_fail(answer, ANSWER_TRANSPORT_REFUSED_HERE, "lease");
    } else if (worker->requests == 0) {
        sender_judge_unsent(answer, code);
    } else if (worker->requests > 1) {
        sender_fail(answer, ANSWER_TRANSPORT_UNKNOWN, "repeat");
    } else if (code == CURLE_PARTIAL_FILE) {
        answer->body_cut = true;
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
        sender_fail(answer, ANSWER_TRANSPORT_UNKNOWN, "timeout");
    } else if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) {
        sender_fail(answer, ANSWER_TRANSPORT_UNKNOWN, "reset");
    } else {
        sender_fail(answer, ANSWER_TRANSPORT_UNKNOWN, "protocol");
    }
}

static void sender_give_back(struct sender_worker *worker)
{
    struct sender *sender = worker->sender;
    sender_multi_remove(sender->multi, worker->easy);
    sender_headers_release(worker->headers);
    worker->headers = NULL;
    worker->busy = false;
    sender->unsent -= worker->requests == 0;
    sender->idle[sender->idle_count++] = worker;
}

static void sender_finish(struct sender_worker *worker, CURLcode code)
{
    sender_judge(worker, code);
    struct answer answer = worker->answer;
    struct sender_headers *headers = worker->headers; // the answer borrows of them
    headers->users++;
    // Out of the worker first, which the done call may use again.
    struct buf body = worker->body;
    buf_init(&worker->body, SENDER_ANSWER_MAX);
    int64_t elapsed_ns = clock_now_ns() - worker->started_ns;
    sender_give_back(worker);
    worker->done(worker->ctx, &answer, elapsed_ns);
    sender_headers_release(headers);
    if (worker->body.data == NULL) {
        worker->body = body; // keeps its memory
        buf_reset(&worker->body);
    } else {
        buf_free(&body);
    }
}

// Renewed, and nothing is under way any more: out of the chain.
static void sender_leave(struct sender *sender)
{
    sender->newer->older = sender->older;
    if (sender->older != NULL) {
        sender->older->newer = sender->newer;
    }
    sender->older = NULL;
    sender_destroy(sender);
}

static void sender_on_done(void *ctx, CURL *easy, CURLcode code)
{
    (void)ctx;
    struct sender_worker *worker = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&worker);
    sender_finish(worker, code);
}

static void sender_on_rest(void *ctx)
{
    struct sender *sender = ctx;
    if (sender->newer != NULL && sender_is_idle(sender)) {
        sender_leave(sender);
    }
}

// ---- set-up --------------------------------------------------------------------------------

static void sender_set_url(struct sender *sender, const struct sender_options *options)
{
    struct str path_head;
    struct str path_tail;
    sender_split_path(options->update_path, &path_head, &path_tail);
    struct buf head;
    buf_init(&head, SENDER_URL_MAX);
    bool ok = buf_append_str(&head, str_of(options->base_url)) && buf_append_str(&head, path_head);
    assert(ok); // the configuration bounds both
    (void)ok;
    sender->url_head = str_of(buf_take(&head));
    sender->url_tail = str_of(mem_strdup(path_tail.ptr));
}

// Instead of the system's file, and of its folder, which libcurl would go on looking into.
static bool sender_trust_only(CURL *easy, const char *ca_file)
{
    return curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, ca_file) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL) == CURLE_OK;
}

static bool sender_set_tls(CURL *easy, const struct sender_options *options)
{
    const long oldest = CURL_SSLVERSION_TLSv1_2;
    bool ok = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSLVERSION, oldest) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, oldest) == CURLE_OK &&
              (options->ca_file == NULL || sender_trust_only(easy, options->ca_file));
    if (ok && options->client_cert_file != NULL) {
        ok = curl_easy_setopt(easy, CURLOPT_SSLCERT, options->client_cert_file) == CURLE_OK &&
             curl_easy_setopt(easy, CURLOPT_SSLKEY, options->client_key_file) == CURLE_OK;
    }
    return ok;
}

static bool sender_set_limits(CURL *easy, const struct sender_options *options)
{
    long version = options->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
    return curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                            (long)(options->timeout_ns / CLOCK_NS_PER_MS)) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                            (long)(options->connect_timeout_ns / CLOCK_NS_PER_MS)) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           // A resolver that does not answer must not hold up the end of a transfer.
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)SENDER_IDLE_S) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long)SENDER_LIFETIME_S) == CURLE_OK;
}

static bool sender_set_proxy(CURL *easy, const char *proxy)
{
    // "" also keeps the proxy variables of the environment out.
    return curl_easy_setopt(easy, CURLOPT_PROXY, proxy == NULL ? "" : proxy) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOPROXY, "") == CURLE_OK &&
           // The key is Imprint's alone.
           curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE) == CURLE_OK;
}

bool sender_set_transport(CURL *easy, const struct sender_options *options)
{
    return sender_set_tls(easy, options) && sender_set_limits(easy, options) &&
           sender_set_proxy(easy, options->proxy);
}

static bool sender_set_callbacks(struct sender_worker *worker)
{
    CURL *easy = worker->easy;
    return curl_easy_setopt(easy, CURLOPT_PRIVATE, worker) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, sender_agent) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, sender_on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, worker) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, sender_on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, worker) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, sender_on_request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PREREQDATA, worker) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, sender_on_socket_made) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, worker->sender) == CURLE_OK;
}

static bool sender_init_worker(struct sender *sender, struct sender_worker *worker,
                               const struct sender_options *options)
{
    worker->sender = sender;
    worker->easy = curl_easy_init();
    buf_init(&worker->url, SENDER_URL_MAX + 256);
    buf_init(&worker->body, SENDER_ANSWER_MAX);
    return worker->easy != NULL && sender_set_callbacks(worker) &&
           sender_multi_join(sender->multi, worker->easy) &&
           sender_set_transport(worker->easy, options);
}

struct sender *sender_create(struct loop *loop, const struct sender_options *options,
                             struct err *err)
{
    struct sender *sender = mem_calloc(1, sizeof *sender);
    *sender = (struct sender){.loop = loop,
                              .basic_auth = options->basic_auth,
                              .http2 = options->http2,
                              .timeout_ns = options->timeout_ns,
                              .worker_count = options->workers};
    sender->merchant_key = options->merchant_key == NULL ? NULL : mem_strdup(options->merchant_key);
    sender_set_url(sender, options);
    sender->workers = mem_calloc(options->workers, sizeof *sender->workers);
    sender->idle = mem_calloc(options->workers, sizeof *sender->idle);
    bool ok = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    const struct sender_multi_events events = {
        .ctx = sender, .on_done = sender_on_done, .on_rest = sender_on_rest};
    sender->multi = ok ? sender_multi_create(loop, options->workers, &events) : NULL;
    ok = sender->multi != NULL;
    for (size_t i = 0; ok && i < options->workers; i++) {
        ok = sender_init_worker(sender, &sender->workers[i], options);
        sender->idle[sender->idle_count++] = &sender->workers[i];
    }
    if (!ok) {
        sender_destroy(sender);
        err_set(err, ERR_KIND_INTERNAL, "libcurl %s cannot be set up as needed",
                curl_version_info(CURLVERSION_NOW)->version);
        return NULL;
    }
    return sender;
}

void sender_destroy(struct sender *sender)
{
    if (sender == NULL) {
        return;
    }
    sender_destroy(sender->older);
    for (size_t i = 0; i < sender->worker_count; i++) {
        struct sender_worker *worker = &sender->workers[i];
        if (worker->busy) {
            sender_give_back(worker);
        }
        curl_easy_cleanup(worker->easy);
        buf_free(&worker->url);
        buf_free(&worker->body);
    }
    sender_multi_destroy(sender->multi);
    sender_headers_release(sender->headers);
    free(sender->merchant_key);
    mem_free_text(sender->url_head.ptr);
    mem_free_text(sender->url_tail.ptr);
    free(sender->workers);
    free(sender->idle);
    free(sender);
    curl_global_cleanup();
}

bool sender_renew(struct sender **sender, const struct sender_options *options, struct err *err)
{
    struct sender *old = *sender;
    struct sender *renewed = sender_create(old->loop, options, err);
    if (renewed == NULL) {
        return false;
    }
    renewed->older = old;
    old->newer = renewed;
    *sender = renewed;
    if (sender_is_idle(old)) {
        sender_leave(old);
    }
    return true;
}

size_t sender_free_workers(const struct sender *sender)
{
    return sender->idle_count;
}

size_t sender_in_flight(const struct sender *sender)
{
    size_t count = 0;
    for (const struct sender *at = sender; at != NULL; at = at->older) {
        count += at->worker_count - at->idle_count;
    }
    return count;
}

size_t sender_unsent(const struct sender *sender)
{
    size_t count = 0;
    for (const struct sender *at = sender; at != NULL; at = at->older) {
        count += at->unsent;
    }
    return count;
}

void sender_submit(struct sender *sender, struct str customer_id, struct str body,
                   int64_t not_after_ns, sender_done_fn done, void *ctx)
{
    assert(sender->idle_count > 0 && sender->headers != NULL);
    struct sender_worker *worker = sender->idle[--sender->idle_count];
    worker->busy = true;
    worker->requests = 0;
    sender->unsent++;
    worker->past_lease = false;
    worker->started_ns = clock_now_ns();
    worker->not_after_ns = not_after_ns;
    worker->done = done;
    worker->ctx = ctx;
    worker->headers = sender->headers;
    worker->headers->users++;
    answer_init(&worker->answer);
    worker->header_bytes = 0;
    buf_reset(&worker->body);
    buf_reset(&worker->url);
    bool ok =
        buf_append_str(&worker->url, sender->url_head) &&
        buf_append_str(&worker->url, customer_id) &&
        buf_append_str(&worker->url, sender->url_tail) &&
        curl_easy_setopt(worker->easy, CURLOPT_URL, worker->url.data) == CURLE_OK &&
        curl_easy_setopt(worker->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len) ==
            CURLE_OK &&
        curl_easy_setopt(worker->easy, CURLOPT_POSTFIELDS, body.ptr) == CURLE_OK &&
        curl_easy_setopt(worker->easy, CURLOPT_HTTPHEADER, worker->headers->list) == CURLE_OK &&
        sender_multi_add(sender->multi, worker->easy);
    // Only running out of memory can stop these; the queue is durable, so the process may end.
    if (!ok) {
        abort();
    }
}

void sender_flush(struct sender *sender)
{
    sender_multi_flush(sender->multi);
}
