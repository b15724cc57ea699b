#include "domain/headline.h"

#include "domain/human.h"

#include <string.h>

static bool headline_print_queue(const struct headline *headline, struct buf *out)
{
    if (!headline->counted) {
        return true;
    }
    bool ok = headline->waiting == 0
                  ? buf_append_str(out, STR("nothing waiting"))
                  : human_count(headline->waiting, out) &&
                        buf_append_str(out, STR(" waiting (oldest ")) &&
                        human_age((double)headline->oldest_s, out) && buf_append_char(out, ')');
    if (ok && headline->dead > 0) {
        ok = buf_append_str(out, STR(", ")) && human_count(headline->dead, out) &&
             buf_append_str(out, STR(" dead"));
    }
    return ok && buf_append_str(out, STR(", "));
}

static bool headline_print_api(const struct headline *headline, struct buf *out)
{
    if (strcmp(headline->api, "open") == 0) {
        return buf_append_str(out, STR("API open"));
    }
    bool manual = strcmp(headline->api, "manual") == 0;
    bool ok = manual ? buf_append_str(out, STR("paused by hand for "))
                     : buf_printf(out, "API %s for ", headline->api);
    return ok && human_age((double)headline->api_s, out);
}

bool headline_print(const struct headline *headline, struct buf *out)
{
    if (headline->stopping) {
        return buf_printf(out, "stopping, %zu in flight", headline->in_flight);
    }
    if (!headline->connected) {
        return buf_append_str(out, STR("database away for ")) &&
               human_age((double)headline->lost_s, out) &&
               buf_printf(out, ", %zu in flight", headline->in_flight);
    }
    return headline_print_queue(headline, out) &&
           buf_printf(out, "%.1f/s of %.1f/s, ", headline->sent_per_s, headline->allowed_per_s) &&
           headline_print_api(headline, out) &&
           buf_printf(out, ", %zu of %zu slots", headline->slots, headline->slots_of);
}
