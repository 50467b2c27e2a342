/*
 * The law for one flow: a pure function of what the rules say of its address, its
 * port and its names (a struct row, which rows.c fills in), and of what its first
 * bytes showed. The first line that applies:
 *
 *   1. the floor, or a deny by address in force			deny
 *   2. a name is shown that a deny by name in force matches	deny
 *   3. undecided, and a deny by name in force has the port	deny
 *   4. a plain allow						allow
 *   5. what is shown proves what a proving allow wants		allow
 *   6.								deny
 *
 * No line looks at where a rule stands. One more allow can only make lines 4 and 5
 * true, one more deny only lines 1 to 3, or 4 and 5 false; one more name of the
 * address only 4 and 5 true. tests/unit/test_law.c holds it to that.
 *
 * In audit mode what would be denied by line 3 or 6 goes on, and is recorded.
 *
 * Trusts: its row. Must not: see a policy, so that nothing but a row can decide.
 */
#include "law.h"

/* Line 5 was asked when the row was filled in: only then was it known what is shown. */
bool
law_allows(const struct row *r, uint32_t shown, bool lenient)
{
	if (r->floored || r->deny != POLICY_NO_RULE)
		return false;
	if (shown == SHOWN_NAME && r->shown_deny != POLICY_NO_RULE)
		return false;
	if (lenient)
		return true;
	if (shown == SHOWN_UNDECIDED && r->watch != POLICY_NO_RULE)
		return false;
	if (r->plain != POLICY_NO_RULE)
		return true;
	return shown == SHOWN_NAME && r->proved != POLICY_NO_RULE;
}

/* First bytes are asked for if, and only if, the above depends on them. */
enum peek
law_peek(const struct row *r, bool lenient)
{
	if (r->floored || r->deny != POLICY_NO_RULE)
		return PEEK_NONE;
	if (lenient || r->plain != POLICY_NO_RULE)
		return r->watch != POLICY_NO_RULE ? PEEK_LOOK : PEEK_NONE;
	return r->proving != POLICY_NO_RULE ? PEEK_PROOF : PEEK_NONE;
}

/* Before they are known: may it be dialled? */
bool
law_may_allow(const struct row *r, bool lenient)
{
	return law_allows(r, SHOWN_NOTHING, lenient) ||
	    law_peek(r, lenient) != PEEK_NONE;
}

/* ---- what the record says ----------------------------------------------------- */

static uint32_t
earlier(uint32_t a, uint32_t b)
{
	return a < b ? a : b;		/* POLICY_NO_RULE is behind all of them */
}

/* Of what is allowed, or is to be shown yet (`shown' NULL). */
uint32_t
law_label(const struct row *r, const struct policy_shown *shown)
{
	if (shown != NULL && shown->what == SHOWN_NAME)
		return earlier(r->plain, r->proved);
	return r->plain != POLICY_NO_RULE || shown != NULL ? r->plain :
	    r->proving;
}

/* The same for a Host, where that is what it is about. */
static enum reason
of_host(enum reason reason)
{
	switch (reason) {
	case REASON_SNI_MISSING:
		return REASON_VHOST_MISSING;
	case REASON_SNI_MISMATCH:
		return REASON_VHOST_MISMATCH;
	case REASON_SNI_UNPARSEABLE:
		return REASON_VHOST_UNPARSEABLE;
	case REASON_TLS_TIMEOUT:
		return REASON_VHOST_TIMEOUT;
	default:
		return reason;
	}
}

static enum reason
unnamed(const struct policy_shown *s)
{
	if (s->why != REASON_NONE)
		return (enum reason)s->why;
	return s->what == SHOWN_OTHER ? REASON_SNI_MISSING :
	    s->what == SHOWN_NOTHING ? REASON_TLS_TIMEOUT :
	    REASON_SNI_UNPARSEABLE;
}

/* It was read as what could not have proved anything, however good it is. */
static bool
is_another(const struct row *r, const struct policy_shown *s)
{
	return (s->kind == PEEK_HTTP && r->proving_sni && !r->proving_host) ||
	    (s->kind == PEEK_TLS && r->proving_host && !r->proving_sni);
}

/*
 * What is wrong with what was shown. It is a matter of the kinds of proof that would
 * do, not of which rule is asked first.
 */
static enum reason
unproved(const struct row *r, const struct policy_shown *s)
{
	bool		host = r->proving_host &&
			    (s->kind == PEEK_HTTP || !r->proving_sni);
	enum reason	reason = REASON_SNI_MISMATCH;

	if (s->what != SHOWN_NAME)
		reason = unnamed(s);
	else if (s->ech && r->ech_stops)
		reason = REASON_ECH_PRESENT;
	if (is_another(r, s) && (reason == REASON_SNI_MISSING ||
	    reason == REASON_SNI_MISMATCH))
		reason = REASON_SNI_UNPARSEABLE;
	if (r->proving == POLICY_NO_RULE)
		host = s->kind == PEEK_HTTP;
	return host ? of_host(reason) : reason;
}

/*
 * Why it is denied, and the first rule that is for that. REASON_NONE: no rule, and
 * nothing that was shown, has to do with it.
 */
enum reason
law_reason(const struct row *r, const struct policy_shown *s, uint32_t *rule)
{
	*rule = r->deny;
	if (s != NULL && s->what == SHOWN_NAME)
		*rule = earlier(*rule, r->shown_deny);
	if (*rule != POLICY_NO_RULE)
		return REASON_DENY_RULE;
	*rule = r->expired;
	if (*rule != POLICY_NO_RULE)
		return REASON_RULE_EXPIRED;
	if (s == NULL || (r->plain == POLICY_NO_RULE &&
	    r->proving == POLICY_NO_RULE))
		return REASON_NONE;
	*rule = r->plain != POLICY_NO_RULE ? r->watch : r->proving;
	return unproved(r, s);
}
