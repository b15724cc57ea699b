/*
 * api: the stand-in's judgement over a POST: rate, faults, key, body, customer; what
 * is applied and what is answered. Pure of the connection: resets, hanging and cutting
 * are the server's part.
 */
#ifndef SANDBOX_API_H
#define SANDBOX_API_H

#include "request.h"
#include "sandbox.h"

/*
 * Once, when the body is complete: refuses what no fault may touch (the answer is set
 * then), or picks the request's fault.
 */
void api_begin(struct sandbox *sandbox, struct request *request);

/* Once: applies the update if it is to be, and sets the answer if there is none. */
void api_decide(struct sandbox *sandbox, struct request *request);

/* The answer to a request that is neither POST nor control. */
void api_refuse(struct request *request);

#endif
