/*
 * Numbers that are good by themselves and make no sense beside each other. These are
 * notes: nothing is wider for them, but one of the two does nothing.
 *
 * Trusts: a settled model.
 * Must not: say anything of a number that nobody wrote.
 */
#include "read.h"

struct pair {
	enum setting	small, large;	/* the small one bounds the large one's kind */
	const char	*small_name, *large_name;
	uint32_t	small_value, large_value;
};

static bool
is_written(const struct limits *l, enum setting which)
{
	return (l->seen >> which & 1) != 0;
}

/* `large' cannot be reached, as `small' holds before. */
static void
check_pairs(struct parse *p, const struct limits *l)
{
	const struct policy_limits	*v = &l->l;
	const struct pair		 pairs[] = {
		{ SET_PENDING, SET_PENDING_DST, "pending",
		    "pending-per-destination", v->pending, v->pending_dst },
		{ SET_UNPROVEN, SET_UNPROVEN_DST, "unproven",
		    "unproven-per-destination", v->unproven, v->unproven_dst },
		{ SET_CONNS, SET_PENDING, "conns", "pending", v->conns,
		    v->pending },
		{ SET_CONNS, SET_UNPROVEN, "conns", "unproven", v->conns,
		    v->unproven },
	};
	size_t				 i;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const struct pair *x = &pairs[i];

		if (x->large_value > x->small_value && is_written(l, x->large))
			report_note(p, "W106", &l->at, NULL, "%s %u is never "
			    "reached, as %s %u holds before: write at most %u",
			    x->large_name, x->large_value, x->small_name,
			    x->small_value, x->small_value);
	}
}

static void
check_times(struct parse *p, const struct limits *l)
{
	const struct policy_limits	*v = &l->l;

	if (v->idle > 0 && v->half_closed >= v->idle &&
	    is_written(l, SET_HALF_CLOSED))
		report_note(p, "W106", &l->at, NULL, "half-closed %us does nothing, as "
		    "idle %us ends a flow before: write less, or leave it out",
		    v->half_closed, v->idle);
	if (v->lifetime > 0 && v->idle >= v->lifetime)
		report_note(p, "W106", &l->at, NULL, "idle %us does nothing, as "
		    "lifetime %us ends a flow before: write less, or leave it out",
		    v->idle, v->lifetime);
}

/* ---- what is no part of a tenant -------------------------------------------------------- */

static void
check_pins(struct parse *p)
{
	const struct policy_resolver	*r = &p->m->resolver;

	if (r->pin_grace != 0)
		return;
	if (r->pin_min == 0)
		report_note(p, "W106", &p->grace_at, NULL, "pin min 0s grace 0s: an "
		    "answer with a TTL of 0 is no one's address by the time that the "
		    "guest connects (pin-expired): write min 5s or more");
	else
		report_note(p, "W106", &p->grace_at, NULL, "pin grace 0s: who connects "
		    "as an answer runs out is denied (pin-expired): write grace 1s "
		    "or more");
}

static void
check_keep(struct parse *p)
{
	const struct policy_audit	*a = &p->m->audit;

	if (a->keep_bytes != 0 && a->keep_bytes < a->rotate)
		report_note(p, "W106", &p->keep_at, NULL, "keep is less than rotate, "
		    "so that no segment is kept once it is retired: write at least "
		    "as much as rotate");
}

void
lint_limits(struct parse *p)
{
	size_t	i;

	for (i = 0; i < p->m->limits.n; i++) {
		check_pairs(p, &p->m->limits.v[i]);
		check_times(p, &p->m->limits.v[i]);
	}
	check_pins(p);
	check_keep(p);
}
