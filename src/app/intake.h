// Turns one customer's folded rows into an update: mapped and queued, or with its outcome fixed
// where nothing can or need be sent. One bad row is its own customer's matter only.
#ifndef APP_INTAKE_H
#define APP_INTAKE_H

#include "base/log.h"
#include "config/config.h"
#include "domain/lease.h"
#include "domain/update.h"
#include "domain/verdict.h"
#include "io/outbox.h"

#include <stdint.h>

struct intake;

struct intake_parts { // all borrowed
    struct log *log;
    const struct config *config;
    struct updates *updates;
    const struct lease *lease;
};

struct intake *intake_create(const struct intake_parts *parts);
void intake_destroy(struct intake *intake);
void intake_reconfigure(struct intake *intake, const struct config *config);

// `sqlstate` is not empty when the customer's source row cannot be read for that reason.
void intake_take(struct intake *intake, const struct outbox_customer *customer,
                 const char *sqlstate, int64_t now);

// See refill_charge.
void intake_charge(struct intake *intake, const char *key, int64_t last_id,
                   enum update_outcome outcome, const struct verdict *verdict);

#endif
