// The API's side of `check`: who is at the other end of imprint.base_url, and does it take the key?
#include "app/check.h"

#include "app/settings.h"
#include "base/clock.h"
#include "base/mem.h"
#include "domain/verdict.h"
#include "io/file.h"
#include "io/probe.h"
#include "io/sender.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHECK_CERTIFICATE_DAYS = 30, CHECK_DAY_S = 86400 };

static const struct str check_nobody = {"00000000-0000-0000-0000-000000000000", 36};

// ---- the other end -------------------------------------------------------------------------

static void probe_report_certificate(struct check *check, const struct probe *probe)
{
    if (probe->expires_s == 0) {
        return; // a library for TLS that does not tell
    }
    int64_t now_s = clock_wall_ns() / CLOCK_NS_PER_SEC;
    time_t expires = (time_t)probe->expires_s;
    struct tm parts;
    char date[32] = "";
    if (gmtime_r(&expires, &parts) != NULL) {
        strftime(date, sizeof date, "%Y-%m-%d", &parts);
    }
    long long days = (long long)((probe->expires_s - now_s) / CHECK_DAY_S);
    if (days < CHECK_CERTIFICATE_DAYS) {
        report_warn(&check->report, "certificate", NULL,
                    "%s, from %s, expires on %s, in %lld days: tell who runs the server",
                    probe->subject, probe->issuer, date, days);
    } else {
        report_ok(&check->report, "certificate", "%s, from %s, valid until %s", probe->subject,
                  probe->issuer, date);
    }
}

static bool check_connect(struct check *check)
{
    const struct config_imprint *imprint = &check->config->imprint;
    const struct sender_options options = settings_sender(check->config);
    const char *way = imprint->proxy == NULL ? "" : "the proxy ";
    struct probe probe;
    probe_connect(&probe, &options);
    const char *at = probe.address[0] == '\0' ? "" : " at ";
    if (!probe.connected) {
        report_fail(&check->report, ERR_KIND_UNAVAILABLE, "api", NULL,
                    "%s%s%s%s cannot be reached: %s", imprint->base_url, at,
                    at[0] == '\0' ? "" : way, probe.address, probe.failure);
        return false;
    }
    if (!probe.tls) {
        report_ok(&check->report, "api", "%s%s%s%s, without TLS: within this machine only",
                  imprint->base_url, at, way, probe.address);
        return true;
    }
    report_ok(&check->report, "api", "%s%s%s%s, %s, certificate verified", imprint->base_url, at,
              way, probe.address, probe.version[0] == '\0' ? "TLS" : probe.version);
    probe_report_certificate(check, &probe);
    return true;
}

// ---- the key -------------------------------------------------------------------------------

struct check_key {
    struct check *check;
    bool answered;
    struct verdict verdict;
    char failure[32];
};

static void key_on_answer(void *ctx, const struct answer *answer, int64_t elapsed_ns)
{
    struct check_key *key = ctx;
    (void)elapsed_ns;
    verdict_judge(&key->verdict, answer, check_nobody, NULL);
    snprintf(key->failure, sizeof key->failure, "%s",
             answer->failure == NULL ? "" : answer->failure);
    key->answered = true;
}

static void key_judge(const struct check_key *key)
{
    struct report *report = &key->check->report;
    const char *url = key->check->config->imprint.base_url;
    const struct verdict *verdict = &key->verdict;
    if (verdict->status == 404 && verdict->cause == VERDICT_CAUSE_REJECTED) {
        report_ok(report, "key", "%s accepts it", url);
    } else if (verdict->status == 401 || verdict->status == 403) {
        report_fail(report, ERR_KIND_CONFIG, "key", NULL,
                    "the API answers %d: the key in imprint.api_key_file is not valid for %s",
                    verdict->status, url);
    } else if (verdict->status == 0) {
        report_fail(report, ERR_KIND_UNAVAILABLE, "key", NULL, "%s gave no answer: %s", url,
                    key->failure);
    } else {
        report_fail(report, ERR_KIND_UNAVAILABLE, "key", NULL,
                    "the API answers %d (%s) to an update of no customer: see imprint.base_url and "
                    "imprint.update_path",
                    verdict->status, verdict->reason == NULL ? "unexpected" : verdict->reason);
    }
}

static bool key_send(struct check_key *key, struct loop *loop, struct sender *sender,
                     struct err *err)
{
    char *text = NULL;
    if (!file_read_secret(key->check->config->imprint.api_key_file, &text, err)) {
        return false;
    }
    sender_set_key(sender, text);
    mem_wipe(text, strlen(text));
    free(text);
    sender_submit(sender, check_nobody, STR("{\"metadata\":{\"imprint_sync\":\"check\"}}"),
                  INT64_MAX, key_on_answer, key);
    return loop_run_until(loop, &key->answered, err);
}

// An update of the nil UUID, which no customer has: 404 in the documented shape means the key is
// fine.
static void check_key(struct check *check)
{
    struct err err = {.kind = ERR_KIND_NONE};
    struct check_key key = {.check = check};
    struct sender_options options = settings_sender(check->config);
    options.workers = 1;
    struct loop *loop = loop_create(&err);
    struct sender *sender = loop == NULL ? NULL : sender_create(loop, &options, &err);
    if (sender != NULL && key_send(&key, loop, sender, &err)) {
        key_judge(&key);
    } else {
        report_fail(&check->report, err.kind, "key", NULL, "%s", err.text);
    }
    sender_destroy(sender);
    loop_destroy(loop);
}

void check_api(struct check *check, bool try_key)
{
    if (check_connect(check) && try_key) {
        check_key(check);
    }
}
