#include "customer.h"

#include "clock.h"
#include "contract.h"
#include "format.h"
#include "json.h"
#include "mem.h"

#include <json-c/linkhash.h>
#include <stdlib.h>
#include <string.h>

struct customer *customer_create(const char *id, int64_t wall_ns)
{
    struct customer *customer = mem_alloc(1, sizeof(*customer));
    *customer =
        (struct customer){.id = mem_copy_string(id), .created_ns = wall_ns, .updated_ns = wall_ns};
    if (format_is_uuid(id)) {
        for (char *c = customer->id; *c != '\0'; c++) {
            *c = text_upper(*c);
        }
    }
    return customer;
}

void customer_destroy(struct customer *customer)
{
    if (customer == NULL) {
        return;
    }
    free(customer->id);
    free(customer->last_body);
    free(customer->state);
    free(customer);
}

static const char *state_of(const struct customer *customer)
{
    if (customer->state != NULL) {
        return customer->state;
    }
    return customer->last_body != NULL ? customer->last_body : "{}";
}

/* The caller puts it. */
static struct json_object *read_state(const struct customer *customer)
{
    const char *text = state_of(customer);
    struct json_object *state = NULL;
    const char *why = NULL;
    /* written by json_put_text from what json_read had accepted */
    if (!json_read(text, strlen(text), &state, &why)) {
        abort();
    }
    return state;
}

void customer_apply(struct customer *customer, struct json_object *body, int64_t wall_ns)
{
    if (customer->count > 0) {
        struct json_object *state = read_state(customer);
        contract_merge(state, body);
        free(customer->state);
        customer->state = mem_copy_string(json_peek_text(state));
        json_object_put(state);
    }
    free(customer->last_body);
    customer->last_body = mem_copy_string(json_peek_text(body));
    customer->count++;
    customer->updated_ns = wall_ns;
}

static void put_member(struct text *text, const char *key, struct json_object *value)
{
    text_printf(text, ",\"%s\":", key);
    json_put_text(text, value);
}

static void put_members(struct text *text, struct json_object *state, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        struct json_object *value = NULL;
        if (json_object_object_get_ex(state, *keys, &value)) {
            put_member(text, *keys, value);
        }
    }
}

/* An address only when one of its parts is known. */
static void put_address(struct text *text, struct json_object *state)
{
    static const char *const keys[] = {"street_line1", "street_line2", "city",
                                       "state",        "postal_code",  NULL};
    struct text members = {0};
    put_members(&members, state, keys);
    if (members.len > 0) {
        /* without the first member's comma */
        text_printf(text, ",\"address\":{%s}", members.data + 1);
    }
    text_free(&members);
}

static void put_as_string(struct text *text, struct json_object *value)
{
    if (json_object_is_type(value, json_type_string)) {
        json_put_text(text, value);
    } else {
        text_put_json_string(text, json_peek_text(value));
    }
}

static void put_metadata(struct text *text, struct json_object *state)
{
    struct json_object *metadata = NULL;
    if (!json_object_object_get_ex(state, "metadata", &metadata)) {
        return;
    }
    const char *separator = "";
    text_puts(text, ",\"metadata\":{");
    json_object_object_foreach(metadata, key, value)
    {
        if (value != NULL) {
            text_puts(text, separator);
            text_put_json_string(text, key);
            text_add(text, ":", 1);
            put_as_string(text, value);
            separator = ",";
        }
    }
    text_add(text, "}", 1);
}

static void put_times(struct text *text, const struct customer *customer)
{
    text_puts(text, ",\"created_at\":\"");
    clock_put_rfc3339(text, customer->created_ns);
    text_puts(text, "\",\"updated_at\":\"");
    clock_put_rfc3339(text, customer->updated_ns);
    text_puts(text, "\"");
}

void customer_put_answer(struct text *text, const struct customer *customer, const char *id)
{
    static const char *const contact[] = {"email", "phone", NULL};
    static const char *const person[] = {"first_name", "last_name", "preferred_language", NULL};
    struct json_object *state = read_state(customer);
    text_printf(text, "{\"id\":\"%s\"", id);
    put_members(text, state, contact);
    text_puts(text, ",\"statuses\":{\"Sandbox Card\":\"OPEN\"}");
    put_members(text, state, person);
    /* in every answer, so that tests can look for them where they must not be */
    text_puts(text, ",\"ssn4\":\"1234\",\"date_of_birth\":{\"year\":1990,\"month\":1,\"day\":2}");
    put_address(text, state);
    put_metadata(text, state);
    put_times(text, customer);
    text_add(text, "}", 1);
    json_object_put(state);
}

void customer_put_record(struct text *text, const struct customer *customer)
{
    text_printf(text, "{\"id\":\"%s\",\"count\":%lld,\"state\":%s,\"last_body\":%s", customer->id,
                (long long)customer->count, state_of(customer), customer->last_body);
    put_times(text, customer);
    text_add(text, "}", 1);
}
