/* json_int.h -- what json.c and json_scan.c share. */
#ifndef TENON_JSON_INT_H
#define TENON_JSON_INT_H

#include "base/json.h"

struct json_marks { struct bytes *number; size_t n, cap; };           /* every number in order of the text */

/* Accepts exactly RFC 8259 within JSON_DEPTH; ERR_FORMAT with the byte offset otherwise. */
bool json_scan(const char *text, size_t len, struct json_marks *marks, struct err *e);

#endif
