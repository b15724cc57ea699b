#include "control.h"

#include "clock.h"
#include "json.h"

#include <string.h>

static const char PREFIX[] = "/_sandbox/";

struct endpoint {
    const char *method;
    const char *path; /* behind the prefix; one that ends in / takes an id */
    void (*handle)(struct sandbox *sandbox, struct request *request, const char *id);
};

bool control_owns(const char *path)
{
    return strncmp(path, PREFIX, sizeof(PREFIX) - 1) == 0;
}

static void set_json(struct request *request, const char *text)
{
    struct text body = {0};
    text_puts(&body, text);
    answer_set_json(&request->answer, 200, &body);
}

static void refuse(struct request *request, int status, const char *message)
{
    answer_set_error(&request->answer, status, ANSWER_SHAPE_ERROR_OBJECT,
                     &(struct problem){.message = message, .path = request->path});
}

/* The body if it has the type, else NULL and a refusal. The caller puts it. */
static struct json_object *read_body(struct request *request, enum json_type type)
{
    struct json_object *value = NULL;
    const char *why = "not the expected JSON type";
    if (json_read(text_peek(&request->body), request->body.len, &value, &why) &&
        json_object_is_type(value, type)) {
        return value;
    }
    json_object_put(value);
    refuse(request, 400, why);
    return NULL;
}

static bool add_fault(struct faults *faults, struct json_object *item, struct text *why)
{
    if (!json_object_is_type(item, json_type_string)) {
        text_puts(why, "a fault must be a string");
        return false;
    }
    struct fault *fault = fault_create(json_object_get_string(item), why);
    if (fault == NULL) {
        return false;
    }
    faults_add(faults, fault);
    return true;
}

/* All or none: a list with a wrong spec changes nothing. */
static void put_faults(struct sandbox *sandbox, struct request *request, const char *id)
{
    (void)id;
    struct json_object *list = read_body(request, json_type_array);
    if (list == NULL) {
        return;
    }
    struct faults fresh = {.random = sandbox->faults.random};
    struct text why = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < json_object_array_length(list); i++) {
        ok = add_fault(&fresh, json_object_array_get_idx(list, i), &why);
    }
    if (ok) {
        faults_clear(&sandbox->faults);
        sandbox->faults = fresh;
        set_json(request, "{\"ok\":true}");
    } else {
        faults_clear(&fresh);
        refuse(request, 400, text_peek(&why));
    }
    text_free(&why);
    json_object_put(list);
}

static void delete_faults(struct sandbox *sandbox, struct request *request, const char *id)
{
    (void)id;
    faults_clear(&sandbox->faults);
    set_json(request, "{\"ok\":true}");
}

static void put_fault(struct text *text, const struct fault *fault)
{
    text_puts(text, "{\"spec\":");
    text_put_json_string(text, fault->spec);
    text_printf(text, ",\"hits\":%lld,\"left\":", (long long)fault->hits);
    if (fault->left < 0) {
        text_puts(text, "null}");
    } else {
        text_printf(text, "%lld}", (long long)fault->left);
    }
}

static void put_fault_list(struct text *text, const struct faults *faults)
{
    text_add(text, "[", 1);
    for (size_t i = 0; i < faults->count; i++) {
        text_puts(text, i > 0 ? "," : "");
        put_fault(text, faults->list[i]);
    }
    text_add(text, "]", 1);
}

static void get_faults(struct sandbox *sandbox, struct request *request, const char *id)
{
    (void)id;
    struct text body = {0};
    put_fault_list(&body, &sandbox->faults);
    answer_set_json(&request->answer, 200, &body);
}

static size_t count_customers(const struct store *store)
{
    size_t count = 0;
    for (size_t i = 0; i < store->count; i++) {
        count += store->list[i]->count > 0;
    }
    return count;
}

static void get_stats(struct sandbox *sandbox, struct request *request, const char *id)
{
    (void)id;
    struct text body = {0};
    text_add(&body, "{", 1);
    stats_put(&body, &sandbox->stats);
    text_printf(&body, ",\"customers\":%zu,\"faults\":", count_customers(&sandbox->store));
    put_fault_list(&body, &sandbox->faults);
    text_add(&body, "}", 1);
    answer_set_json(&request->answer, 200, &body);
}

static void get_customer(struct sandbox *sandbox, struct request *request, const char *id)
{
    const struct customer *customer = store_find(&sandbox->store, id);
    if (customer == NULL) {
        refuse(request, 404, "nothing was accepted for this customer");
        return;
    }
    struct text body = {0};
    customer_put_record(&body, customer);
    answer_set_json(&request->answer, 200, &body);
}

static void get_customers(struct sandbox *sandbox, struct request *request, const char *id)
{
    (void)id;
    struct text body = {0};
    const char *separator = "{";
    for (size_t i = 0; i < sandbox->store.count; i++) {
        const struct customer *customer = sandbox->store.list[i];
        if (customer->count > 0) {
            text_printf(&body, "%s\"%s\":", separator, customer->id);
            customer_put_record(&body, customer);
            separator = ",\n";
        }
    }
    text_puts(&body, body.len > 0 ? "}" : "{}");
    answer_set_json(&request->answer, 200, &body);
}

static bool all_strings(struct json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_string)) {
            return false;
        }
    }
    return true;
}

static void put_keys(struct sandbox *sandbox, struct request *request, const char *id)
{
    (void)id;
    struct json_object *list = read_body(request, json_type_array);
    if (list == NULL) {
        return;
    }
    if (all_strings(list)) {
        keys_clear(&sandbox->keys);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            keys_add(&sandbox->keys, json_object_get_string(json_object_array_get_idx(list, i)));
        }
        set_json(request, "{\"ok\":true}");
    } else {
        refuse(request, 400, "a key must be a string");
    }
    json_object_put(list);
}

static bool get_number(struct json_object *object, const char *key, double *number)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(object, key, &value)) {
        return true;
    }
    *number = json_object_get_double(value);
    return (json_object_is_type(value, json_type_int) ||
            json_object_is_type(value, json_type_double)) &&
           *number >= 0 && *number <= 1e9;
}

static void put_rate(struct sandbox *sandbox, struct request *request, const char *id)
{
    (void)id;
    struct json_object *object = read_body(request, json_type_object);
    if (object == NULL) {
        return;
    }
    double per_sec = 0;
    double burst = 1;
    if (get_number(object, "rate", &per_sec) && get_number(object, "burst", &burst)) {
        rate_init(&sandbox->rate, per_sec, burst, clock_boot_ns());
        set_json(request, "{\"ok\":true}");
    } else {
        refuse(request, 400, "rate and burst must be numbers of 0 to 10^9");
    }
    json_object_put(object);
}

static const struct endpoint endpoints[] = {
    {"GET", "faults", get_faults},       {"PUT", "faults", put_faults},
    {"DELETE", "faults", delete_faults}, {"GET", "stats", get_stats},
    {"GET", "customers", get_customers}, {"GET", "customers/", get_customer},
    {"PUT", "keys", put_keys},           {"PUT", "rate", put_rate},
};

/* The id behind an endpoint's path ("" when it takes none), or NULL: another path. */
static const char *match(const struct endpoint *endpoint, const char *path)
{
    size_t len = strlen(endpoint->path);
    if (strncmp(endpoint->path, path, len) != 0) {
        return NULL;
    }
    bool takes_id = endpoint->path[len - 1] == '/';
    return (path[len] != '\0') == takes_id ? path + len : NULL;
}

void control_handle(struct sandbox *sandbox, struct request *request)
{
    const char *path = request->path + sizeof(PREFIX) - 1;
    bool known = false;
    for (size_t i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        const char *id = match(&endpoints[i], path);
        if (id != NULL && request_has_method(request, endpoints[i].method)) {
            endpoints[i].handle(sandbox, request, id);
            return;
        }
        known = known || id != NULL;
    }
    refuse(request, known ? 405 : 404, known ? "not with this method" : "no such endpoint");
}
