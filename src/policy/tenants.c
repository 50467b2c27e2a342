/*
 * A tenant that is not there: which there are, for who has to choose one.
 *
 * Trusts: a policy that policy_load() accepted. Must not: choose.
 */
#include <stdio.h>
#include <string.h>

#include "law.h"
#include "suggest.h"

#define TENANTS_SHOWN	20u
#define OFFERED		100000u		/* names that are compared */

static void
add(char *buf, size_t len, const char *before, const char *text)
{
	size_t	n = strlen(buf);

	snprintf(buf + n, len - n, "%s%s", before, text);
}

/* "; did you mean x? It has: a b c and 7 more". */
void
policy_tenants_hint(const struct policy *p, const char *name, char *buf,
    size_t len)
{
	struct suggestion	s;
	unsigned int		i, n = policy_tenants(p);
	char			more[32];

	*buf = '\0';
	suggest_begin(&s, name);
	for (i = 0; i < n && i < OFFERED; i++)
		suggest_offer(&s, policy_tenant_name(p, i));
	if (*name != '\0' && suggest_end(&s) != NULL) {
		add(buf, len, "; did you mean ", suggest_end(&s));
		add(buf, len, "?", " It has:");
	} else
		add(buf, len, "; it has:", "");
	for (i = 0; i < n && i < TENANTS_SHOWN; i++)
		add(buf, len, " ", policy_tenant_name(p, i));
	if (n > TENANTS_SHOWN) {
		snprintf(more, sizeof(more), "%u more", n - TENANTS_SHOWN);
		add(buf, len, " and ", more);
	}
}
