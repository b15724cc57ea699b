#include "reply.h"

#include "clock.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

enum { CUT_BLOCK = 65536 };

/* The half of an answer that a `cut` sends. */
struct cut {
    char *data;
    size_t len;
};

static ssize_t read_cut(void *ctx, uint64_t offset, char *out, size_t room)
{
    const struct cut *cut = ctx;
    size_t left = offset < cut->len / 2 ? cut->len / 2 - (size_t)offset : 0;
    if (left == 0) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    size_t len = left < room ? left : room;
    memcpy(out, cut->data + offset, len);
    return (ssize_t)len;
}

static void free_cut(void *ctx)
{
    struct cut *cut = ctx;
    free(cut->data);
    free(cut);
}

/* Either way the response owns the body. */
static struct MHD_Response *create_response(struct request *request)
{
    size_t len = request->answer.body.len;
    char *body = text_take(&request->answer.body);
    if (request->fault != NULL && request->fault->kind == FAULT_KIND_CUT) {
        struct cut *cut = mem_alloc(1, sizeof(*cut));
        *cut = (struct cut){.data = body, .len = len};
        request->closed_by_us = true;
        return MHD_create_response_from_callback(len, CUT_BLOCK, read_cut, cut, free_cut);
    }
    return MHD_create_response_from_buffer_with_free_callback(len, body, free);
}

static void add_retry_after(struct MHD_Response *response, const struct answer *answer)
{
    struct text value = {0};
    if (answer->retry_after_date) {
        clock_put_http_date(&value, clock_wall_ns() + answer->retry_after_s * CLOCK_NS_PER_SEC);
    } else {
        text_printf(&value, "%lld", (long long)answer->retry_after_s);
    }
    MHD_add_response_header(response, "Retry-After", value.data);
    text_free(&value);
}

/* `Name: value` */
static void add_raw_header(struct MHD_Response *response, const char *header)
{
    size_t len = strcspn(header, ":");
    char *name = mem_copy(header, len);
    const char *value = header + len + (header[len] == ':');
    MHD_add_response_header(response, name, value + strspn(value, " "));
    free(name);
}

static void add_headers(struct MHD_Response *response, const struct request *request)
{
    const struct answer *answer = &request->answer;
    MHD_add_response_header(response, "Content-Type", answer->content_type);
    if (answer->location != NULL) {
        MHD_add_response_header(response, "Location", answer->location);
    }
    if (answer->allow != NULL) {
        MHD_add_response_header(response, "Allow", answer->allow);
    }
    if (answer->has_retry_after) {
        add_retry_after(response, answer);
    }
    for (size_t i = 0; request->fault != NULL && i < FAULT_HEADERS; i++) {
        if (request->fault->headers[i] != NULL) {
            add_raw_header(response, request->fault->headers[i]);
        }
    }
}

enum MHD_Result reply_send(struct request *request)
{
    struct MHD_Response *response = create_response(request);
    if (response == NULL) {
        return MHD_NO;
    }
    add_headers(response, request);
    request->status = request->answer.status;
    enum MHD_Result queued =
        MHD_queue_response(request->connection, (unsigned int)request->status, response);
    MHD_destroy_response(response);
    return queued;
}
