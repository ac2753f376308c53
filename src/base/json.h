/* json.h -- JSON values. The reader is strict, says at which byte something is wrong, and refuses comments, NaN,
 * trailing commas, bad UTF-8, lone surrogates, duplicate keys, U+0000 in a key and nesting deeper than JSON_DEPTH.
 * Numbers keep their text.
 *
 * Objects keep the order of their keys. JSON null is a value (never a NULL pointer): NULL from
 * json_get() means "not there". All getters take NULL and values of another type and then say
 * false, 0 or NULL.
 * Ownership: json_parse, json_new_* and json_copy give a tree to the caller; json_set and json_push
 * take the value they are given; everything else lends. Not threadsafe per tree (reading shared is fine). */
#ifndef TENON_JSON_H
#define TENON_JSON_H

#include "base/base.h"

#define JSON_DEPTH 512

struct json;
enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* ERR_FORMAT with "byte N: …". The text need not end with NUL; nothing but blanks may follow the value. */
struct json *json_parse(const char *text, size_t len, struct err *e);
struct json *json_read(const char *path, struct err *e);              /* a file, "-" = stdin; errors name it */
void         json_free(struct json *v);                               /* NULL is fine; owned roots only */
/* One more owner of a tree or a part of it, freed with json_free; nobody may change it from now on. */
struct json *json_share(const struct json *v);

enum json_type json_type(const struct json *v);                       /* v not NULL */
const char    *json_type_name(enum json_type t);
bool           json_is(const struct json *v, enum json_type t);       /* false for NULL */

bool        json_bool(const struct json *v);
const char *json_number(const struct json *v, size_t *len);           /* the text as written; NULL if not a number */
bool        json_is_int(const struct json *v);                        /* written without fraction and exponent */
bool        json_i64(const struct json *v, int64_t *out);             /* exact: 3, 3.0, 3e0; false if not integral or too big */
double      json_f64(const struct json *v);
const char *json_str(const struct json *v, size_t *len);              /* len may be NULL; may hold NULs; NULL if no string */
bool        json_str_is(const struct json *v, const char *s);

size_t             json_len(const struct json *v);                    /* elements or members */
const struct json *json_at(const struct json *v, size_t i);           /* array element */
const struct json *json_get(const struct json *v, const char *key);   /* object member or NULL */
size_t             json_place(const struct json *v, const char *key, size_t len);     /* which member that is, SIZE_MAX: there is none */

/* for (struct json_iter it = json_iter(obj); json_next(&it);) … it.key, it.value, it.index */
struct json_iter { const char *key; size_t key_len; const struct json *value; size_t index; const struct json *of; };
struct json_iter json_iter(const struct json *object);
bool             json_next(struct json_iter *it);

struct json *json_new_null(void);
struct json *json_new_bool(bool b);
struct json *json_new_int(int64_t v);
struct json *json_new_f64(double v);                                  /* shortest text that reads back */
int          json_f64_text(char out[40], double v);                   /* that text, as Python's repr; its length. v finite */
struct json *json_new_number(const char *text, size_t len);           /* text must be a JSON number */
struct json *json_new_str(const char *s);
struct json *json_new_strn(const char *s, size_t len);
struct json *json_new_array(void);
struct json *json_new_object(void);
struct json *json_copy(const struct json *v);                         /* deep; NULL gives NULL */
void         json_set(struct json *object, const char *key, struct json *value);  /* replaces, keeps the place */
void         json_unset(struct json *object, const char *key);
void         json_push(struct json *array, struct json *value);

/* JSON_COMPACT {"a":1}; JSON_PYTHON as json.dumps(ensure_ascii=False): {"a": 1}; JSON_PRETTY two blanks
 * indent. Strings with the fewest escapes (\" \\ \n \r \t \b \f \u00xx), numbers as written except
 * that JSON_PYTHON prints floats as Python's repr. */
enum json_style { JSON_COMPACT, JSON_PYTHON, JSON_PRETTY };
void json_write(struct str *out, const struct json *v, enum json_style style);
void json_write_str(struct str *out, const char *s, size_t len);      /* quotes included */

/* Equality of JSON Schema: numbers by exact value (1 = 1.0 = 10e-1), objects without order. */
bool json_equal(const struct json *a, const struct json *b);

#endif
