#include "app/intake.h"

#include "base/clock.h"
#include "base/mem.h"
#include "domain/backoff.h"
#include "domain/mapper.h"
#include "domain/row.h"
#include "io/digest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { INTAKE_DESTINATION_MAX = 65536, INTAKE_HEX_LEN = 2 * UPDATE_HASH_BYTES };

// An answer that was held back as everyone's and turned out to be this customer's own.
struct intake_charge {
    struct intake_charge *next;
    char *key;
    int64_t last_id;
    enum update_outcome outcome;
    struct verdict *verdict;
};

struct intake {
    struct intake_parts parts;
    struct mapper *mapper;
    struct row row;
    struct digest *digest;
    struct intake_charge *charges;
    size_t body_bytes; // of the last body: the next one will hardly be longer
};

struct intake *intake_create(const struct intake_parts *parts)
{
    struct intake *intake = mem_calloc(1, sizeof *intake);
    intake->parts = *parts;
    intake->mapper = mapper_create();
    intake_reconfigure(intake, parts->config);
    return intake;
}

void intake_reconfigure(struct intake *intake, const struct config *config)
{
    intake->parts.config = config;
    row_free(&intake->row);
    row_init(&intake->row, config->mapping);
    const struct config_imprint *imprint = &config->imprint;
    struct buf destination;
    buf_init(&destination, INTAKE_DESTINATION_MAX);
    const char *merchant = imprint->merchant_key == NULL ? "" : imprint->merchant_key;
    bool ok =
        buf_printf(&destination, "%s\n%s\n%s", imprint->base_url, imprint->update_path, merchant);
    (void)ok; // the configuration bounds all three
    digest_destroy(intake->digest);
    intake->digest = digest_create(buf_peek(&destination));
    buf_free(&destination);
}

// Takes the first out of the list that begins at `place`.
static struct intake_charge *intake_take_charge(struct intake_charge **place)
{
    struct intake_charge *charge = *place;
    *place = charge->next;
    return charge;
}

static void intake_drop_charge(struct intake_charge *charge)
{
    free(charge->key);
    free(charge->verdict);
    free(charge);
}

void intake_destroy(struct intake *intake)
{
    if (intake == NULL) {
        return;
    }
    while (intake->charges != NULL) {
        intake_drop_charge(intake_take_charge(&intake->charges));
    }
    digest_destroy(intake->digest);
    row_free(&intake->row);
    mapper_destroy(intake->mapper);
    free(intake);
}

void intake_charge(struct intake *intake, const char *key, int64_t last_id,
                   enum update_outcome outcome, const struct verdict *verdict)
{
    struct intake_charge *charge = mem_calloc(1, sizeof *charge);
    *charge = (struct intake_charge){.key = mem_strdup(key),
                                     .last_id = last_id,
                                     .outcome = outcome,
                                     .verdict = mem_calloc(1, sizeof *charge->verdict)};
    *charge->verdict = *verdict;
    charge->next = intake->charges;
    intake->charges = charge;
}

// Out of the list; NULL when this customer has none.
static struct intake_charge *intake_find_charge(struct intake *intake, struct str key)
{
    for (struct intake_charge **at = &intake->charges; *at != NULL; at = &(*at)->next) {
        if (str_equal(str_of((*at)->key), key)) {
            return intake_take_charge(at);
        }
    }
    return NULL;
}

// ---- outcomes that need no request ---------------------------------------------------------

static void intake_settle(struct intake *intake, struct update *update, enum update_outcome outcome,
                          const char *error)
{
    update->outcome = outcome;
    update->error = error == NULL ? NULL : mem_strdup(error);
    updates_add(intake->parts.updates, update);
    updates_move(intake->parts.updates, update, UPDATE_STATE_SETTLING);
}

enum intake_rows { INTAKE_ROWS_ALL, INTAKE_ROWS_THIN, INTAKE_ROWS_TOO_BIG };

// Without rows yet.
static struct update *intake_new_update(const struct intake *intake,
                                        const struct outbox_customer *customer, int64_t now)
{
    struct update *update =
        update_create(customer->key, customer->customer_id, customer->slot, customer->priority);
    update->lease_epoch = intake->parts.lease->slots[customer->slot].epoch;
    update->age_ns = customer->age_ns;
    update->fetched_ns = now;
    return update;
}

// An update of only some of the customer's rows; the others are read again when it has settled.
static struct update *intake_update_of(const struct intake *intake,
                                       const struct outbox_customer *customer,
                                       enum intake_rows which, int64_t now)
{
    struct update *update = intake_new_update(intake, customer, now);
    for (size_t i = 0; i < customer->row_count; i++) {
        const struct outbox_row *row = &customer->rows[i];
        if (which == INTAKE_ROWS_ALL || (which == INTAKE_ROWS_THIN && row->thin) ||
            (which == INTAKE_ROWS_TOO_BIG && row->too_big)) {
            update_add_row(update, row->id, row->attempts);
        }
    }
    return update;
}

static bool intake_has_too_big(const struct outbox_customer *customer)
{
    for (size_t i = 0; i < customer->row_count; i++) {
        if (customer->rows[i].too_big) {
            return true;
        }
    }
    return false;
}

// Rows that are dead before anything is mapped. True when there were such.
static bool intake_refuse(struct intake *intake, const struct outbox_customer *customer,
                          const char *sqlstate, int64_t now)
{
    char error[160];
    enum intake_rows which = INTAKE_ROWS_THIN;
    if (!update_id_is_valid(customer->customer_id)) {
        which = INTAKE_ROWS_ALL;
        snprintf(error, sizeof error, "customer_id: must match [A-Za-z0-9_-]{1,64}");
    } else if (intake_has_too_big(customer)) {
        which = INTAKE_ROWS_TOO_BIG;
        snprintf(error, sizeof error, "payload: is over 1 MiB");
    } else if (sqlstate[0] != '\0') {
        snprintf(error, sizeof error, "source: reading the row fails with SQLSTATE %.5s", sqlstate);
    } else if (customer->thin && customer->source_count != 1) {
        snprintf(error, sizeof error, "%s",
                 customer->source_count == 0
                     ? "source.missing: the source has no row of this customer"
                     : "source.duplicate: the source has several rows of this customer");
    } else {
        return false;
    }
    struct update *update = intake_update_of(intake, customer, which, now);
    if (update->row_count == 0) {
        update_destroy(update); // the rows that this is about are gone
        return false;
    }
    intake_settle(intake, update, UPDATE_OUTCOME_DEAD, error);
    return true;
}

// A charge concerns the rows that the charged answer was about. True when there was one.
static bool intake_apply_charge(struct intake *intake, const struct outbox_customer *customer,
                                int64_t now)
{
    struct intake_charge *charge = intake_find_charge(intake, customer->key);
    if (charge == NULL) {
        return false;
    }
    struct update *update = intake_new_update(intake, customer, now);
    for (size_t i = 0; i < customer->row_count; i++) {
        if (customer->rows[i].id <= charge->last_id) {
            update_add_row(update, customer->rows[i].id, customer->rows[i].attempts);
        }
    }
    bool any = update->row_count > 0;
    if (any) {
        const struct config *config = intake->parts.config;
        const struct backoff backoff = {config->retry.base_ns, config->retry.cap_ns};
        const struct verdict *verdict = charge->verdict;
        update->started_ns = now; // it was sent: the attempt counts
        update->http_status = verdict->status;
        update->retry_after_ns = backoff_ceiling_ns(&backoff, update->attempts + 1);
        update->charge = charge->verdict;
        charge->verdict = NULL;
        intake_settle(intake, update, charge->outcome,
                      verdict->error[0] != '\0' ? verdict->error : verdict->reason);
    } else {
        update_destroy(update);
    }
    intake_drop_charge(charge);
    return any;
}

// ---- mapping -------------------------------------------------------------------------------

// Application rows in the order of their ids; the source row, which cannot be older than what the
// same snapshot shows, last.
static bool intake_fill_row(struct intake *intake, const struct outbox_customer *customer)
{
    row_reset(&intake->row);
    bool ok = true;
    for (size_t i = 0; ok && i < customer->row_count; i++) {
        ok = customer->rows[i].thin || row_add(&intake->row, customer->rows[i].payload, false);
    }
    return ok && (!customer->thin || row_add(&intake->row, customer->source, true));
}

static void intake_read_dead_ids(struct update *update, struct str text)
{
    struct str rest = str_trim(text);
    if (rest.len < 2) {
        return;
    }
    rest = (struct str){rest.ptr + 1, rest.len - 2}; // without the braces
    update->dead_ids = mem_calloc(rest.len / 2 + 1, sizeof *update->dead_ids);
    while (rest.len > 0) {
        struct str item;
        str_split(rest, ',', &item, &rest);
        if (str_to_int64(item, &update->dead_ids[update->dead_count])) {
            update->dead_count++;
        }
    }
}

static bool intake_hash_equal(const unsigned char *hash, struct str hex)
{
    static const char digits[] = "0123456789abcdef";
    if (hex.len != INTAKE_HEX_LEN) {
        return false;
    }
    for (size_t i = 0; i < UPDATE_HASH_BYTES; i++) {
        if (hex.ptr[2 * i] != digits[hash[i] >> 4] || hex.ptr[2 * i + 1] != digits[hash[i] & 15]) {
            return false;
        }
    }
    return true;
}

// The same was accepted last, and nothing else can have been sent since: rows that were there when
// the slot was taken may have been sent by its owner before, who then died.
static bool intake_is_unchanged(const struct intake *intake, const struct update *update,
                                struct str state_hash)
{
    int64_t floor_id = intake->parts.lease->slots[update->slot].floor_id;
    return intake->parts.config->delivery.skip_unchanged && update->row_ids[0] > floor_id &&
           intake_hash_equal(update->hash, state_hash);
}

static void intake_map(struct intake *intake, const struct outbox_customer *customer, int64_t now)
{
    struct update *update = intake_update_of(intake, customer, INTAKE_ROWS_ALL, now);
    update->has_source = customer->thin;
    intake_read_dead_ids(update, customer->dead_ids);
    if (!intake_fill_row(intake, customer)) {
        intake_settle(intake, update, UPDATE_OUTCOME_DEAD,
                      "payload: is no well-formed JSON object");
        return;
    }
    char *reasons = NULL;
    bool reserved = buf_reserve(&update->body, intake->body_bytes);
    assert(reserved); // a body of before fits
    (void)reserved;
    switch (mapper_map(intake->mapper, &intake->row, clock_wall_ns(), &update->body, NULL, NULL)) {
    case MAPPER_RESULT_NOTHING:
        intake_settle(intake, update, UPDATE_OUTCOME_UNCHANGED, NULL);
        return;
    case MAPPER_RESULT_INVALID:
        reasons =
            mem_strndup(mapper_reasons(intake->mapper).ptr, mapper_reasons(intake->mapper).len);
        intake_settle(intake, update, UPDATE_OUTCOME_DEAD, reasons);
        free(reasons);
        return;
    case MAPPER_RESULT_TOO_BIG:
        intake_settle(intake, update, UPDATE_OUTCOME_DEAD, "request: would be over 1 MiB");
        return;
    case MAPPER_RESULT_BODY:
        break;
    }
    intake->body_bytes = update->body.len;
    digest_body(intake->digest, buf_peek(&update->body), update->hash);
    update->remember = intake->parts.config->delivery.skip_unchanged;
    if (intake_is_unchanged(intake, update, customer->state_hash)) {
        intake_settle(intake, update, UPDATE_OUTCOME_UNCHANGED, NULL);
        return;
    }
    updates_add(intake->parts.updates, update);
}

void intake_take(struct intake *intake, const struct outbox_customer *customer,
                 const char *sqlstate, int64_t now)
{
    if (!lease_is_usable(intake->parts.lease, customer->slot) ||
        updates_find(intake->parts.updates, customer->key) != NULL) {
        return;
    }
    if (!intake_apply_charge(intake, customer, now) &&
        !intake_refuse(intake, customer, sqlstate, now)) {
        intake_map(intake, customer, now);
    }
}
