/*
 * What a record may say of a flow's name: what its first bytes showed, and what its
 * address was resolved for. No rule has a say in it: a flow that is let through, or
 * denied, for its address may have a name all the same.
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

/* Of a flow that goes on: its first bytes named it, and are sent as they were seen. */
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
	bool	named = shown != NULL && shown->what == SHOWN_NAME;
	int	at = named ? find(bound, n, &shown->name) : -1;

	if (at != -1)
		return (struct naming){ at, v->kind == VERDICT_DENY ?
		    ASSURANCE_NONE : proved(shown) };
	if (n == 1)
		return (struct naming){ 0, named ? ASSURANCE_NONE :
		    ASSURANCE_DNS };
	return (struct naming){ -1, ASSURANCE_NONE };
}
