#include "answer.h"

#include "clock.h"
#include "json.h"

#include <microhttpd.h>
#include <stdlib.h>

static const char JSON_TYPE[] = "application/json";
static const char HTML_TYPE[] = "text/html; charset=utf-8";

static const char *type_of_status(int status)
{
    switch (status) {
    case 400:
        return "INVALID_REQUEST_ERROR";
    case 401:
        return "UNAUTHORIZED";
    case 403:
        return "FORBIDDEN";
    case 404:
        return "CUSTOMER_NOT_FOUND_ERROR";
    case 409:
        return "CONFLICT_ERROR";
    case 429:
        return "RATE_LIMIT_ERROR";
    default:
        return status < 500 ? "BAD_REQUEST_ERROR" : "API_ERROR";
    }
}

static const char *reason_of_status(int status)
{
    return MHD_get_reason_phrase_for((unsigned int)status);
}

/* The members that shapes 1 and 3 share. */
static void put_flat(struct text *body, const char *type, const struct problem *problem)
{
    text_puts(body, "{\"type\":");
    text_put_json_string(body, type);
    text_puts(body, ",\"message\":");
    text_put_json_string(body, problem->message);
    if (problem->param != NULL) {
        text_puts(body, ",\"param\":");
        text_put_json_string(body, problem->param);
    }
    text_add(body, "}", 1);
}

static void put_bad_request(struct text *body, int status, const struct problem *problem)
{
    text_puts(body, "{\"path\":");
    text_put_json_string(body, problem->path);
    text_puts(body, ",\"error\":");
    text_put_json_string(body, reason_of_status(status));
    text_printf(body, ",\"status\":%d,\"details\":", status);
    if (problem->details != NULL) {
        json_put_text(body, problem->details);
    } else {
        text_add(body, "[", 1);
        text_put_json_string(body, problem->message);
        text_add(body, "]", 1);
    }
    text_puts(body, ",\"timestamp\":\"");
    clock_put_rfc3339(body, clock_wall_ns());
    text_puts(body, "\"}");
}

static void put_html(struct text *body, int status)
{
    const char *reason = reason_of_status(status);
    text_printf(body,
                "<html><head><title>%d %s</title></head>"
                "<body><h1>%d %s</h1><hr>gateway</body></html>\n",
                status, reason, status, reason);
}

void answer_set_error(struct answer *answer, int status, enum answer_shape shape,
                      const struct problem *problem)
{
    const char *type = problem->type != NULL ? problem->type : type_of_status(status);
    text_free(&answer->body);
    answer->status = status;
    answer->content_type = JSON_TYPE;
    switch (shape) {
    case ANSWER_SHAPE_ERROR_OBJECT:
        text_puts(&answer->body, "{\"error\":");
        put_flat(&answer->body, type, problem);
        text_add(&answer->body, "}", 1);
        break;
    case ANSWER_SHAPE_BAD_REQUEST:
        put_bad_request(&answer->body, status, problem);
        break;
    case ANSWER_SHAPE_FLAT:
        put_flat(&answer->body, type, problem);
        break;
    case ANSWER_SHAPE_HTML:
        answer->content_type = HTML_TYPE;
        put_html(&answer->body, status);
        break;
    }
}

void answer_set_text(struct answer *answer, int status, const char *content_type, const char *body)
{
    text_free(&answer->body);
    answer->status = status;
    answer->content_type = content_type;
    text_puts(&answer->body, body);
}

void answer_set_json(struct answer *answer, int status, struct text *body)
{
    text_free(&answer->body);
    answer->status = status;
    answer->content_type = JSON_TYPE;
    answer->body = *body;
    *body = (struct text){0};
}

void answer_free(struct answer *answer)
{
    text_free(&answer->body);
    free(answer->location);
    *answer = (struct answer){0};
}
