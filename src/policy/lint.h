/*
 * Between the lint_*.c: an index of one tenant's entries, so that pairs of rules are
 * found without a look at all of them.
 */
#ifndef SALLYPORT_LINT_H
#define SALLYPORT_LINT_H

#include "read.h"

/* All reviews of one reading together look at no more pairs than this. */
#define COMPARE_MAX	(1u << 24)

/* An entry of the tenant's rules that is written in the rule or in a macro of it. */
struct hit {
	uint32_t		 rule;
	uint32_t		 next;		/* of the same key, from 1; 0: the last */
	const struct pattern	*name;		/* one of the two */
	const struct net	*net;
};

struct lint {
	struct parse		*p;
	const struct tenant	*t;
	uint32_t		 tenant;
	VEC(struct hit)		 hit;		/* malloc: not the model's */
	uint32_t		*slot;		/* the last hit of a key, from 1 */
	size_t			 nslots;
	uint32_t		 lens[2][5];	/* bits: lengths of networks, v4 and v6 */
	uint32_t		*set_rule;	/* rules that have tables or sets of names */
	size_t			 nset_rules;
	uint32_t		*any;		/* rules to any */
	size_t			 nany;
	bool			*same;		/* a rule that stands further up, too */
	bool			 has_deny;	/* in force */
	bool			 has_plain;	/* allows that ask for no proof */
	const struct rule	*told;		/* W120 was said of it */
	bool			 has_lax;	/* by name, without proof */
};

/* Is `o' one that r is to be compared with? */
typedef bool lint_pred(const struct lint *, const struct rule *o,
	    const struct rule *r);

/* lint_index.c */
void	lint_index(struct lint *, struct parse *, uint32_t tenant);
void	lint_index_free(struct lint *);
/* The first rule of those that `good' takes whose entries hold all of this, or NULL. */
const struct rule *lint_name_holder(struct lint *, const struct rule *r,
	    const struct pattern *, lint_pred *good);
const struct rule *lint_net_holder(struct lint *, const struct rule *r,
	    const struct prefix *, lint_pred *good);
/* The same of entries that are this one. */
const struct rule *lint_name_twin(struct lint *, const struct rule *r,
	    const struct pattern *, lint_pred *good);
const struct rule *lint_net_twin(struct lint *, const struct rule *r,
	    const struct prefix *, lint_pred *good);
/* How many of the sorted set are not behind the network. */
size_t	lint_place(const struct nets *, const struct prefix *);
/* False: enough was compared, and it is told of at the end. */
bool	lint_goes_on(struct lint *);

/* review.c, review_names.c */
bool	services_hold(const struct services *outer, const struct services *inner);
bool	share_ports(const struct services *, const struct services *, uint32_t proto);
bool	share_services(const struct services *, const struct services *);

/* Every address of the network is in the set, or its tables. */
bool	lint_nets_hold(const struct model *, const struct nets *,
	    const struct prefix *);

/* lint_same.c */
void	lint_same(struct lint *);
void	lint_labels(struct lint *);
/* lint_except.c */
void	lint_except(struct parse *, const struct rule *);
#endif
