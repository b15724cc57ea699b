#include "io/probe.h"
#include "io/sender_transport.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

// Only here libcurl says which version of TLS was agreed on, whatever library it has for TLS.
static int probe_on_text(CURL *easy, curl_infotype type, char *bytes, size_t size, void *userdata)
{
    (void)easy;
    static const struct str mark = {"SSL connection using ", 21};
    struct probe *probe = userdata;
    struct str text = {bytes, size};
    if (type == CURLINFO_TEXT && str_starts(text, mark)) {
        struct str version;
        struct str rest = {text.ptr + mark.len, text.len - mark.len};
        str_split(rest, '/', &version, &rest);
        version = str_trim(version);
        snprintf(probe->version, sizeof probe->version, "%.*s", STR_ARG(version));
    }
    return 0;
}

static void probe_read_line(struct probe *probe, const char *line)
{
    struct str name;
    struct str value;
    str_split(str_of(line), ':', &name, &value);
    if (str_equal(name, STR("Subject"))) {
        snprintf(probe->subject, sizeof probe->subject, "%.*s", STR_ARG(value));
    } else if (str_equal(name, STR("Issuer"))) {
        snprintf(probe->issuer, sizeof probe->issuer, "%.*s", STR_ARG(value));
    } else if (str_equal(name, STR("Expire date"))) {
        time_t at = curl_getdate(value.ptr, NULL);
        probe->expires_s = at < 0 ? 0 : (int64_t)at;
    }
}

static void probe_read_certificate(struct probe *probe, CURL *easy)
{
    struct curl_certinfo *info = NULL;
    if (curl_easy_getinfo(easy, CURLINFO_CERTINFO, &info) != CURLE_OK || info == NULL ||
        info->num_of_certs == 0) {
        return;
    }
    for (const struct curl_slist *at = info->certinfo[0]; at != NULL; at = at->next) {
        probe_read_line(probe, at->data);
    }
}

static void probe_read_address(struct probe *probe, CURL *easy)
{
    const char *ip = NULL;
    long port = 0;
    if (curl_easy_getinfo(easy, CURLINFO_PRIMARY_IP, &ip) != CURLE_OK || ip == NULL ||
        ip[0] == '\0' || curl_easy_getinfo(easy, CURLINFO_PRIMARY_PORT, &port) != CURLE_OK) {
        return;
    }
    bool six = strchr(ip, ':') != NULL;
    snprintf(probe->address, sizeof probe->address, "%s%.60s%s:%ld", six ? "[" : "", ip,
             six ? "]" : "", port);
}

static bool probe_set_up(struct probe *probe, CURL *easy, const struct sender_options *options,
                         char *failure)
{
    return sender_set_transport(easy, options) &&
           curl_easy_setopt(easy, CURLOPT_URL, options->base_url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CERTINFO, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, failure) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, probe_on_text) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_DEBUGDATA, probe) == CURLE_OK;
}

static void probe_run(struct probe *probe, CURL *easy, const struct sender_options *options)
{
    char failure[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_FAILED_INIT;
    if (probe_set_up(probe, easy, options, failure)) {
        code = curl_easy_perform(easy);
    }
    probe->connected = code == CURLE_OK;
    if (!probe->connected) {
        snprintf(probe->failure, sizeof probe->failure, "%s",
                 failure[0] != '\0' ? failure : curl_easy_strerror(code));
    }
    probe_read_address(probe, easy);
    probe_read_certificate(probe, easy);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
}

void probe_connect(struct probe *probe, const struct sender_options *options)
{
    *probe = (struct probe){.tls = str_starts(str_of(options->base_url), STR("https:"))};
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(probe->failure, sizeof probe->failure, "libcurl cannot be set up");
        return;
    }
    CURL *easy = curl_easy_init();
    if (easy != NULL) {
        probe_run(probe, easy, options);
    }
    curl_easy_cleanup(easy);
    curl_global_cleanup();
}
