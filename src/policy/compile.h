/*
 * Inside grammar_compile(): the sections of the blob as they grow.
 */
#ifndef SALLYPORT_COMPILE_H
#define SALLYPORT_COMPILE_H

#include "model.h"

struct bytes {
	uint8_t	*v;
	size_t	 n, cap;
};

struct seen_set;

struct out {
	const struct model *m;
	struct blob_head head;
	struct bytes	tenants, rules, excepts, services, ranges, refs, sets,
			nrefs, nsets, keys, names, hosts, addrs, prefixes,
			nametext, text, sum, locs, loctext;
	uint32_t	*table_set;	/* of each table, or BLOB_NONE */
	uint32_t	*nameset_set;	/* of each set of names, the same */
	struct seen_set	*seen;		/* sets of names that are there already */
	size_t		nseen;
};

void	compile_put(struct bytes *, const void *, size_t);

/* compile_names.c: all names that are used, before anything else; then the sets */
void	compile_dictionary(struct out *);
void	compile_names(struct out *, const struct patterns *, uint32_t *first,
	    uint32_t *n);
void	compile_names_end(struct out *);

#endif
