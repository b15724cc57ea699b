// Connects to the API as the sender does, without a request: what is at the other end? Blocks for
// at most the options' timeouts; for commands only.
#ifndef IO_PROBE_H
#define IO_PROBE_H

#include "io/sender.h"

#include <stdbool.h>
#include <stdint.h>

struct probe {
    bool connected;    // and the certificate is valid for the host, where there is one
    char failure[256]; // why not; else ""
    char address[80];  // reached, with port; the proxy's, if there is one
    bool tls;          // the rest is about it
    char version[16];  // "TLSv1.3"; "" when libcurl did not say
    char subject[256]; // of the server's certificate
    char issuer[256];
    int64_t expires_s; // since 1970 UTC; 0: not known
};

void probe_connect(struct probe *probe, const struct sender_options *options);

#endif
