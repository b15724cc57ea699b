// Numbers as people read them. Each appends to `out`, whose cap must have room (a few dozen bytes).
#ifndef DOMAIN_HUMAN_H
#define DOMAIN_HUMAN_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// 1,234,567
bool human_count(int64_t value, struct buf *out) MUST_CHECK;
// 0.4 s, 12 s, 3 min, 2 h 5 min, 4 d 3 h
bool human_age(double seconds, struct buf *out) MUST_CHECK;
// 12 ms, 1.2 s
bool human_ms(double ms, struct buf *out) MUST_CHECK;
// 812 B, 1.5 MiB
bool human_bytes(int64_t bytes, struct buf *out) MUST_CHECK;

// Text from elsewhere for a terminal: control characters, which could do things to it, as '?'.
bool human_safe(struct str text, struct buf *out) MUST_CHECK;

// One character a value, the highest as high as it goes, zero as low: blocks, or with `utf8` false
// letters of ASCII that grow.
bool human_sparkline(const double *values, size_t count, bool utf8, struct buf *out) MUST_CHECK;

#endif
