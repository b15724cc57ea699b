// What a team writes in an afternoon: so many threads, and in each of them, for one row after the
// other, SELECT ... LIMIT 1 FOR UPDATE SKIP LOCKED, post, UPDATE, COMMIT. The body is prepared, so
// nothing is mapped here, and it is C: it does no worse than it must.
//
//   bench-naive DSN URL THREADS [CA_FILE]
//
// Works off the table naive_queue (id, customer_id, body, status) until nothing is pending.
#include "must.h"

#include <curl/curl.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAIVE_URL_MAX = 512, NAIVE_THREADS_MAX = 1024 };

struct naive {
    const char *dsn;
    const char *url;
    const char *ca_file;
    long done; // by this thread
};

static const char next_row[] =
    "SELECT id, customer_id, body FROM naive_queue WHERE status = 'pending'"
    " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED";
static const char mark_done[] =
    "UPDATE naive_queue SET status = 'done', settled_at = now() WHERE id = $1";

static PGresult *query(PGconn *conn, const char *prepared, const char *const *values, int count,
                       ExecStatusType wanted)
{
    PGresult *result = PQexecPrepared(conn, prepared, count, values, NULL, NULL, 0);
    if (PQresultStatus(result) != wanted) {
        die(prepared, PQerrorMessage(conn));
    }
    return result;
}

static void prepare(PGconn *conn, const char *name, const char *sql)
{
    PGresult *result = PQprepare(conn, name, sql, 0, NULL);
    must(PQresultStatus(result) == PGRES_COMMAND_OK, sql);
    PQclear(result);
}

static PGconn *connect_database(const char *dsn)
{
    PGconn *conn = PQconnectdb(dsn);
    if (PQstatus(conn) != CONNECTION_OK) {
        die("database", PQerrorMessage(conn));
    }
    prepare(conn, "begin", "BEGIN");
    prepare(conn, "next", next_row);
    prepare(conn, "done", mark_done);
    prepare(conn, "commit", "COMMIT");
    return conn;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *userdata)
{
    (void)bytes;
    (void)userdata;
    return size * count;
}

static void post(const struct naive *naive, CURL *easy, const char *customer, const char *body)
{
    char url[NAIVE_URL_MAX];
    long status = 0;
    (void)snprintf(url, sizeof url, "%s%s", naive->url, customer);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status != 200) {
        die("a request failed", curl_easy_strerror(code));
    }
}

// False when nothing is pending.
static bool work_off_one(struct naive *naive, PGconn *conn, CURL *easy)
{
    PQclear(query(conn, "begin", NULL, 0, PGRES_COMMAND_OK));
    PGresult *row = query(conn, "next", NULL, 0, PGRES_TUPLES_OK);
    bool found = PQntuples(row) > 0;
    if (found) {
        post(naive, easy, PQgetvalue(row, 0, 1), PQgetvalue(row, 0, 2));
        const char *id = PQgetvalue(row, 0, 0);
        PQclear(query(conn, "done", &id, 1, PGRES_COMMAND_OK));
        naive->done++;
    }
    PQclear(row);
    PQclear(query(conn, "commit", NULL, 0, PGRES_COMMAND_OK));
    return found;
}

static void *work(void *arg)
{
    struct naive *naive = arg;
    PGconn *conn = connect_database(naive->dsn);
    CURL *easy = curl_easy_init();
    must(easy != NULL, "curl_easy_init");
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Authorization: Bearer bench");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (naive->ca_file != NULL) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, naive->ca_file);
    }
    while (work_off_one(naive, conn, easy)) {
    }
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    PQfinish(conn);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        die("usage", "bench-naive DSN URL THREADS [CA_FILE]");
    }
    long threads = must_number(argv[3], "THREADS");
    must(threads <= NAIVE_THREADS_MAX, "at most 1024 THREADS");
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl");
    static pthread_t running[NAIVE_THREADS_MAX];
    static struct naive workers[NAIVE_THREADS_MAX];
    int64_t started_ns = monotonic_ns();
    for (long i = 0; i < threads; i++) {
        workers[i] = (struct naive){argv[1], argv[2], argc == 5 ? argv[4] : NULL, 0};
        must(pthread_create(&running[i], NULL, work, &workers[i]) == 0, "a thread");
    }
    long count = 0;
    for (long i = 0; i < threads; i++) {
        pthread_join(running[i], NULL);
        count += workers[i].done;
    }
    print_cost(started_ns, count);
    return 0;
}
