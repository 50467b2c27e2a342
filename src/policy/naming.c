/*
 * What a record may say of a flow's name: more than the law needs to know, for a
 * flow that no rule by name lets through may have one all the same.
 *
 * Trusts: that bound holds names which this guest was given for this address.
 * Must not: claim what is not so: a name that others share, or more for it than was
 * seen.
 */
#include "policy.h"
#include "wire.h"

static int
find(const struct name *const *bound, size_t n, const struct name *name)
{
	size_t	i;

	for (i = 0; i < n; i++)
		if (name_equal(bound[i], name))
			return (int)i;
	return -1;
}

/* Of a flow that goes on: the flight named it, and is sent as it was seen. */
static uint32_t
proved(const struct policy_shown *s)
{
	if (s->kind != PEEK_TLS)
		return ASSURANCE_HOST;
	return s->ech ? ASSURANCE_DNS : ASSURANCE_SNI;
}

struct naming
policy_naming(const struct verdict *v, const struct name *const *bound,
    size_t n, const struct policy_shown *shown)
{
	bool	named = shown != NULL && shown->named;
	int	at = named ? find(bound, n, &shown->name) : -1;

	if (v->name >= 0 && (size_t)v->name < n &&
	    (v->kind == VERDICT_DENY || v->assurance != ASSURANCE_NONE))
		return (struct naming){ v->name, v->assurance };
	if (at != -1)
		return (struct naming){ at, v->kind == VERDICT_DENY ?
		    ASSURANCE_NONE : proved(shown) };
	if (n == 1)
		return (struct naming){ 0, named ? ASSURANCE_NONE :
		    ASSURANCE_DNS };
	return (struct naming){ -1, ASSURANCE_NONE };
}
