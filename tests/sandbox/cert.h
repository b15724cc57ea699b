/*
 * cert: throw-away certificates for tests over TLS: a CA that is made, used once and
 * forgotten, and a server certificate for localhost, 127.0.0.1 and ::1.
 */
#ifndef SANDBOX_CERT_H
#define SANDBOX_CERT_H

#include <stdbool.h>

/* Writes ca.pem, server.pem and server-key.pem; false with the reason on stderr. */
bool cert_make(const char *dir);

#endif
