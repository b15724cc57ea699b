/*
 * format: the text formats that fields of the contract have. Each function says
 * whether a NUL-terminated text has the format, and nothing more.
 */
#ifndef SANDBOX_FORMAT_H
#define SANDBOX_FORMAT_H

#include <stdbool.h>

/* Plausible: one @, a dotted domain, no spaces or controls. */
bool format_is_email(const char *text);

/* ^\+?[1-9]\d{1,14}$ */
bool format_is_phone(const char *text);

/* Two lower-case letters. */
bool format_is_language(const char *text);

/* Three capitals: ISO 3166-1 alpha-3 and ISO 4217. */
bool format_is_three_capitals(const char *text);

/* RFC 3339 date-time with existing dates only. */
bool format_is_date_time(const char *text);

/* What a customer id may look like: [A-Za-z0-9_-]{1,64}. */
bool format_is_id(const char *text);

/* 8-4-4-4-12 hexadecimal digits. */
bool format_is_uuid(const char *text);

#endif
