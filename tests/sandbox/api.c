#include "api.h"

#include "clock.h"
#include "contract.h"
#include "json.h"
#include "mem.h"

#include <string.h>
#include <strings.h>

enum { HUGE_BYTES = 5 * 1000 * 1000 };

static const char OTHER_ID[] = "0DD0C0DE-0000-4000-8000-00000000000A";

static void set_error(struct request *request, int status, enum answer_shape shape,
                      struct problem problem)
{
    problem.path = request->path;
    answer_set_error(&request->answer, status, shape, &problem);
}

void api_refuse(struct request *request)
{
    if (request->customer == NULL) {
        set_error(request, 404, ANSWER_SHAPE_HTML, (struct problem){0});
        return;
    }
    request->answer.allow = "POST";
    set_error(request, 405, ANSWER_SHAPE_BAD_REQUEST,
              (struct problem){.message = "Only POST is supported"});
}

static void refuse_for_rate(struct sandbox *sandbox, struct request *request, int64_t wait_ns)
{
    set_error(request, 429, ANSWER_SHAPE_ERROR_OBJECT,
              (struct problem){.message = "Too many requests"});
    request->answer.has_retry_after = true;
    request->answer.retry_after_s = (wait_ns + CLOCK_NS_PER_SEC - 1) / CLOCK_NS_PER_SEC;
    request->answer.retry_after_date = sandbox->options->retry_after_date;
}

void api_begin(struct sandbox *sandbox, struct request *request)
{
    int64_t wait_ns = 0;
    if (request->customer == NULL) {
        api_refuse(request);
    } else if (!rate_take(&sandbox->rate, request->arrived_ns, &wait_ns)) {
        refuse_for_rate(sandbox, request, wait_ns);
    } else {
        request->fault = faults_pick(&sandbox->faults, request->customer);
    }
}

static bool check_size(struct request *request)
{
    if (request->body_bytes <= REQUEST_BODY_MAX) {
        return true;
    }
    set_error(request, 413, ANSWER_SHAPE_ERROR_OBJECT,
              (struct problem){.message = "Body over 1 MiB"});
    return false;
}

static bool check_key(struct request *request)
{
    if (request->key_ok) {
        return true;
    }
    set_error(request, 401, ANSWER_SHAPE_ERROR_OBJECT,
              (struct problem){.message = "Missing or invalid API key"});
    return false;
}

static bool check_merchant_key(const struct sandbox *sandbox, struct request *request)
{
    const char *wanted = sandbox->options->merchant_key;
    const char *given = request->merchant_key;
    if (wanted == NULL || (given != NULL && strcmp(wanted, given) == 0)) {
        return true;
    }
    set_error(request, 403, ANSWER_SHAPE_ERROR_OBJECT,
              (struct problem){.message = "Not allowed for this product",
                               .param = "x-imprint-merchant-key"});
    return false;
}

static bool check_content_type(struct request *request)
{
    static const char wanted[] = "application/json";
    const size_t len = sizeof(wanted) - 1;
    const char *given = request->content_type != NULL ? request->content_type : "";
    if (strncasecmp(given, wanted, len) == 0 && strchr("; \t", given[len]) != NULL) {
        return true;
    }
    set_error(request, 400, ANSWER_SHAPE_BAD_REQUEST,
              (struct problem){.message = "Content-Type must be application/json"});
    return false;
}

/* The caller puts `body`, also on failure. */
static bool read_body(struct request *request, struct json_object **body)
{
    const char *why = "it is no object";
    if (json_read(text_peek(&request->body), request->body.len, body, &why) &&
        json_object_is_type(*body, json_type_object)) {
        return true;
    }
    struct text message = {0};
    text_printf(&message, "body: must be a JSON object: %s", why);
    set_error(request, 400, ANSWER_SHAPE_BAD_REQUEST,
              (struct problem){.message = text_peek(&message)});
    text_free(&message);
    return false;
}

static void refuse_unknown(struct request *request)
{
    struct text message = {0};
    text_printf(&message, "Customer not found for provided ID: %s", request->customer);
    set_error(request, 404, ANSWER_SHAPE_FLAT,
              (struct problem){.message = text_peek(&message), .param = "customer_id"});
    text_free(&message);
}

static void refuse_body(struct request *request, const struct findings *findings)
{
    if (findings->type_errors != NULL) {
        set_error(request, 400, ANSWER_SHAPE_BAD_REQUEST,
                  (struct problem){.details = findings->type_errors});
        return;
    }
    set_error(request, 400, ANSWER_SHAPE_ERROR_OBJECT,
              (struct problem){.type = findings->type,
                               .message = text_peek(&findings->message),
                               .param = findings->param.data});
}

static void put_customer(struct request *request, const struct customer *customer, const char *id)
{
    struct text body = {0};
    customer_put_answer(&body, customer, id);
    answer_set_json(&request->answer, 200, &body);
}

static void accept(struct request *request, struct customer *customer, struct json_object *body,
                   bool apply, int64_t wall_ns)
{
    if (apply) {
        customer_apply(customer, body, wall_ns);
        request->applied = true;
        request->applied_ns = clock_boot_ns();
    }
    put_customer(request, customer, customer->id);
}

static void judge_body(struct sandbox *sandbox, struct request *request, bool apply)
{
    struct json_object *body = NULL;
    struct findings findings = {0};
    if (read_body(request, &body)) {
        /* as the API: types first, then the customer, then the rules */
        bool fine = contract_check(body, &findings);
        /* read once: a new customer is made and updated at the same time */
        int64_t wall_ns = clock_wall_ns();
        struct customer *customer = store_get(&sandbox->store, request->customer, wall_ns);
        if (customer != NULL && fine) {
            accept(request, customer, body, apply, wall_ns);
        } else if (customer == NULL && findings.type_errors == NULL) {
            refuse_unknown(request);
        } else {
            refuse_body(request, &findings);
        }
    }
    findings_free(&findings);
    json_object_put(body);
}

static void judge(struct sandbox *sandbox, struct request *request, bool apply)
{
    if (check_size(request) && check_key(request) && check_merchant_key(sandbox, request) &&
        check_content_type(request)) {
        judge_body(sandbox, request, apply);
    }
}

/* Valid JSON with the right id: only its size is wrong. */
static void put_huge(struct request *request)
{
    struct text *body = &request->answer.body;
    body->len--;
    text_puts(body, ",\"padding\":\"");
    char block[4096];
    memset(block, 'x', sizeof(block));
    while (body->len < HUGE_BYTES) {
        text_add(body, block, sizeof(block));
    }
    text_puts(body, "\"}");
}

static void put_redirect(struct request *request, int status)
{
    struct text location = {0};
    text_printf(&location, "%s?redirected=1", request->path);
    answer_set_text(&request->answer, status > 0 ? status : 307, "text/html",
                    "<html><body>over there</body></html>\n");
    request->answer.location = text_take(&location);
}

static void put_fault_error(struct request *request, const struct fault *fault)
{
    const char *message = fault->message != NULL ? fault->message : "A fault of the sandbox";
    set_error(request, fault->status, fault->shape,
              (struct problem){.type = fault->type, .message = message, .param = fault->param});
}

static void distort(struct sandbox *sandbox, struct request *request)
{
    const struct fault *fault = request->fault;
    struct answer *answer = &request->answer;
    switch (fault->kind) {
    case FAULT_KIND_STATUS:
        put_fault_error(request, fault);
        break;
    case FAULT_KIND_OTHER_ID:
        put_customer(request, store_get(&sandbox->store, request->customer, clock_wall_ns()),
                     OTHER_ID);
        break;
    case FAULT_KIND_NOT_JSON:
        answer_set_text(answer, 200, "application/json", "<html><body>welcome</body></html>\n");
        break;
    case FAULT_KIND_HUGE:
        put_huge(request);
        break;
    case FAULT_KIND_EMPTY:
        answer_set_text(answer, 200, "application/json", "");
        break;
    case FAULT_KIND_REDIRECT:
        put_redirect(request, fault->status);
        break;
    case FAULT_KIND_NONE:
    case FAULT_KIND_RESET:
    case FAULT_KIND_HANG:
    case FAULT_KIND_CUT:
        break;
    }
    if (fault->status > 0) {
        answer->status = fault->status;
    }
    if (fault->status == 204 || fault->status == 304) {
        text_free(&answer->body); /* HTTP allows none */
    }
    answer->has_retry_after = fault->retry_after_s >= 0;
    answer->retry_after_s = fault->retry_after_s;
    answer->retry_after_date = fault->retry_after_date;
}

void api_decide(struct sandbox *sandbox, struct request *request)
{
    if (request->answer.status > 0) {
        return;
    }
    judge(sandbox, request, request->fault == NULL || fault_applies(request->fault));
    if (request->fault == NULL) {
        return;
    }
    if (fault_needs_acceptance(request->fault) && request->answer.status != 200) {
        faults_return(request->fault);
        request->fault = NULL;
        return;
    }
    distort(sandbox, request);
}
