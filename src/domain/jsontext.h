// JSON as text: finds members and values inside a JSON document without building a tree, so that
// numbers keep their digits (a number that went through a double or an int64 has lost them) and
// nothing is copied. Reading expects well-formed JSON, as Postgres prints it; text from elsewhere
// goes through jsontext_check first. No recursion: depth costs no stack.
#ifndef DOMAIN_JSONTEXT_H
#define DOMAIN_JSONTEXT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum jsontext_kind {
    JSONTEXT_KIND_ABSENT, // no such member
    JSONTEXT_KIND_NULL,
    JSONTEXT_KIND_BOOLEAN,
    JSONTEXT_KIND_NUMBER,
    JSONTEXT_KIND_STRING,
    JSONTEXT_KIND_ARRAY,
    JSONTEXT_KIND_OBJECT,
};

// A value where it stands in its document; borrowed. A string's text has its quotes and escapes.
struct jsontext {
    enum jsontext_kind kind;
    struct str text;
};

// Well-formed JSON (RFC 8259), UTF-8, no deeper than `max_depth`? The error names the byte offset,
// never the content.
bool jsontext_check(struct str text, size_t max_depth, struct err *err) MUST_CHECK;

// The same for a text of which only the form counts: strings may hold anything, also bytes that are
// not UTF-8 and escapes that stand for nothing.
bool jsontext_check_form(struct str text, size_t max_depth) MUST_CHECK;

// The value a document holds, by its first letter. Kind ABSENT when it is none.
struct jsontext jsontext_of(struct str text);

// Walks the members of an object or the items of an array:
//     struct jsontext_walk walk = jsontext_walk_begin(object);
//     while (jsontext_walk_next(&walk)) { use walk.key (raw, without quotes) and walk.value }
// Ill-formed text ends the walk early, never reads outside of it; `broken` then is true.
struct jsontext_walk {
    struct str key; // escapes not decoded; empty for arrays
    struct jsontext value;
    const char *at;
    const char *end;
    bool object;
    bool broken;
};
struct jsontext_walk jsontext_walk_begin(struct jsontext container);
bool jsontext_walk_next(struct jsontext_walk *walk);

// The member `key` of an object; kind ABSENT when there is none. The last one where there are more.
struct jsontext jsontext_member(struct jsontext object, struct str key);

// Compares a raw key (escapes not decoded) with plain text.
bool jsontext_key_equal(struct str raw_key, struct str key);

// Greatest nesting in a value: 0 for a scalar, 1 for {} or [].
size_t jsontext_depth(struct jsontext value);

// Appends the decoded content of a string value. False when the buffer's cap is passed, or an
// escape is wrong.
bool jsontext_decode(struct jsontext string, struct buf *out) MUST_CHECK;

// Appends `text` as a JSON string with quotes. Bytes that are not UTF-8 are the caller's to
// exclude.
bool jsontext_encode(struct str text, struct buf *out) MUST_CHECK;

#endif
