/*
 * Inside policy_load(): one look at each part of a blob, which says what is wrong.
 */
#ifndef SALLYPORT_LOAD_H
#define SALLYPORT_LOAD_H

#include "law.h"

struct check {
	char	*err;
	size_t	 errlen;
};

/* Always -1. */
int	load_bad(const struct check *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
/* A run {first, n} inside `total` things. */
bool	load_run(uint32_t first, uint32_t n, uint32_t total);
/* load_names.c: the dictionary, the sets of names; 0 or -1 */
int	load_names(struct policy *, const struct check *);

#endif
