/*
 * JSON for those who read answers by program: check, explain, rules.
 */
#ifndef SALLYPORT_JSON_H
#define SALLYPORT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

struct json {
	struct text	t;
	bool		more;		/* the next member needs a comma */
};

/* A NULL key is that of an array's element, or of the whole. */
void	json_open(struct json *, const char *key, char bracket);
void	json_close(struct json *, char bracket);
void	json_string(struct json *, const char *key, const char *value);
/* Left out if it is NULL or "". */
void	json_maybe(struct json *, const char *key, const char *value);
void	json_number(struct json *, const char *key, uint64_t value);
void	json_bool(struct json *, const char *key, bool value);
/* To stdout, with a newline; what it took is given back. */
void	json_print(struct json *);

#endif
