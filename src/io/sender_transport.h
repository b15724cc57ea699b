// How a handle of libcurl reaches Imprint: TLS, proxy, protocols and time limits. The sender and
// the probe share it, so that what the probe finds is what the sender will meet.
#ifndef IO_SENDER_TRANSPORT_H
#define IO_SENDER_TRANSPORT_H

#include "io/sender.h"

#include <curl/curl.h>

bool sender_set_transport(CURL *easy, const struct sender_options *options) MUST_CHECK;

#endif
