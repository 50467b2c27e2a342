/* One question to the rules: rows.c has its address, rows_names.c its names. */
#ifndef SALLYPORT_ROWS_H
#define SALLYPORT_ROWS_H

#include "index.h"

struct ask {
	const struct policy		*policy;
	const struct policy_query	*query;
	const struct judgement		*judgement;
	const struct index		*index;
	const struct blob_rule		*rule;	/* the tenant's first */
	const struct endpoint		*form;	/* a deny: the one that it is about */
	const struct name_keys		*keys;	/* the name that it is about */
	bool				 all;
	bool				 ended;	/* allows that are no longer are meant */
	struct row			*row;
};

static inline void
row_earliest(uint32_t *slot, uint32_t item)
{
	if (item < *slot)
		*slot = item;
}

static inline bool
row_port(const struct ask *a, const struct blob_match *m)
{
	return match_ports(a->policy, m, a->query->proto, a->query->dst.port);
}

static inline bool
row_ended(const struct ask *a, uint32_t item)
{
	return match_expired(&a->rule[item], a->query->now);
}

static inline bool
row_some_ended(const struct ask *a)
{
	return a->query->now >= a->index->ending;
}

/* rows_names.c */
void	row_names(struct ask *);

#endif
