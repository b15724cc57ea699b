/*
 * reply: turns a request's answer into libmicrohttpd's response and queues it. A `cut`
 * is made here: the response promises its whole length and ends in the middle.
 */
#ifndef SANDBOX_REPLY_H
#define SANDBOX_REPLY_H

#include "request.h"

#include <microhttpd.h>

/* Uses the answer's body up. MHD_NO: the connection is to be closed. */
enum MHD_Result reply_send(struct request *request);

#endif
