#include "request.h"

#include "clock.h"
#include "mem.h"

#include <stdlib.h>
#include <string.h>

/* The one segment behind the prefix, or NULL. */
static const char *customer_of(const char *path)
{
    static const char prefix[] = "/v2/customers/";
    if (strncmp(path, prefix, sizeof(prefix) - 1) != 0) {
        return NULL;
    }
    const char *id = path + sizeof(prefix) - 1;
    return *id != '\0' && strchr(id, '/') == NULL ? id : NULL;
}

struct request *request_create(const char *method, const char *path)
{
    struct request *request = mem_alloc(1, sizeof(*request));
    *request = (struct request){
        .fd = -1,
        .stage = REQUEST_STAGE_READING,
        .method = mem_copy_string(method),
        .path = mem_copy_string(path),
        .start_ns = clock_boot_ns(),
        .wall_ns = clock_wall_ns(),
    };
    request->waiter.owner = request;
    request->customer = customer_of(request->path);
    request->is_post = request_has_method(request, "POST");
    if (request->is_post) {
        request->digest = EVP_MD_CTX_new();
        if (request->digest == NULL ||
            EVP_DigestInit_ex(request->digest, EVP_sha256(), NULL) != 1) {
            abort();
        }
    }
    return request;
}

void request_destroy(struct request *request)
{
    if (request == NULL) {
        return;
    }
    answer_free(&request->answer);
    fault_release(request->fault);
    text_free(&request->body);
    EVP_MD_CTX_free(request->digest);
    free(request->user_agent);
    free(request->path);
    free(request->method);
    free(request);
}

void request_add_body(struct request *request, const char *data, size_t len)
{
    if (request->digest != NULL) {
        EVP_DigestUpdate(request->digest, data, len);
    }
    request->body_bytes += len;
    size_t room = REQUEST_BODY_MAX - request->body.len;
    text_add(&request->body, data, len < room ? len : room);
}

bool request_has_method(const struct request *request, const char *method)
{
    return strcmp(request->method, method) == 0;
}
