#include "journal.h"

#include "json.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool journal_open(struct journal *journal, const char *file, bool with_bodies)
{
    *journal = (struct journal){.fd = -1, .with_bodies = with_bodies};
    if (file == NULL) {
        return true;
    }
    journal->fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return journal->fd >= 0;
}

static void put_number(struct text *line, const char *key, int64_t number)
{
    text_printf(line, ",\"%s\":%lld", key, (long long)number);
}

static void put_bool(struct text *line, const char *key, bool value)
{
    text_printf(line, ",\"%s\":%s", key, value ? "true" : "false");
}

static void put_string(struct text *line, const char *key, const char *value)
{
    text_printf(line, ",\"%s\":", key);
    text_put_json_string(line, value);
}

static void put_digest(struct text *line, EVP_MD_CTX *digest)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    EVP_DigestFinal_ex(digest, bytes, &len);
    text_puts(line, ",\"body_sha256\":\"");
    for (unsigned int i = 0; i < len; i++) {
        static const char hex[] = "0123456789abcdef";
        const char pair[] = {hex[bytes[i] >> 4], hex[bytes[i] & 15]};
        text_add(line, pair, 2);
    }
    text_add(line, "\"", 1);
}

/* As it came, but on one line: in JSON a raw line break is only ever white space. */
static void put_json_body(struct text *line, const struct text *body)
{
    size_t start = line->len;
    text_add(line, body->data, body->len);
    for (size_t i = start; i < line->len; i++) {
        if (line->data[i] == '\n' || line->data[i] == '\r') {
            line->data[i] = ' ';
        }
    }
}

static void put_body(struct text *line, const struct request *request)
{
    text_puts(line, ",\"body\":");
    if (request->body_bytes > request->body.len) {
        text_puts(line, "null");
        return;
    }
    struct json_object *value = NULL;
    const char *why = NULL;
    if (json_read(text_peek(&request->body), request->body.len, &value, &why)) {
        put_json_body(line, &request->body);
    } else {
        text_put_json(line, text_peek(&request->body), request->body.len);
    }
    json_object_put(value);
}

static void put_times(struct text *line, const struct request *request, int64_t end_ns)
{
    put_number(line, "start_ns", request->start_ns);
    put_number(line, "arrived_ns", request->arrived_ns);
    put_number(line, "applied_ns", request->applied_ns);
    put_number(line, "end_ns", end_ns);
    put_number(line, "wall_ns", request->wall_ns);
}

void journal_write(struct journal *journal, struct request *request, int64_t end_ns, bool aborted)
{
    if (journal->fd < 0) {
        return;
    }
    struct text *line = &journal->line;
    line->len = 0;
    text_printf(line, "{\"seq\":%lld", (long long)request->seq);
    put_times(line, request, end_ns);
    put_string(line, "customer", request->customer);
    put_number(line, "status", request->status);
    put_bool(line, "applied", request->applied);
    put_bool(line, "aborted", aborted);
    put_string(line, "fault", request->fault != NULL ? request->fault->spec : NULL);
    put_digest(line, request->digest);
    put_number(line, "body_bytes", (int64_t)request->body_bytes);
    put_number(line, "conn", request->conn);
    put_bool(line, "key_ok", request->key_ok);
    put_string(line, "user_agent", request->user_agent);
    if (journal->with_bodies) {
        put_body(line, request);
    }
    text_puts(line, "}\n");
    if (write(journal->fd, line->data, line->len) != (ssize_t)line->len) {
        perror("imprint-sandbox: journal");
    }
}

void journal_close(struct journal *journal)
{
    if (journal->fd >= 0) {
        close(journal->fd);
    }
    journal->fd = -1;
    text_free(&journal->line);
}
