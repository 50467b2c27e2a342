/*
 * Denials as they happen, for who asked to be told (-v): a line each on standard
 * error, beside the log, which has all of them; and once for each reason what to write.
 *
 * Trusts: the verdict. Must not: print what a guest sent otherwise than as a name or
 * an address, or let a guest that is denied a thousand times a second fill a terminal.
 */
#include <stdio.h>

#include "broker.h"
#include "hint.h"
#include "log.h"

#define TELL_BURST	50u
#define TELL_EVERY	(SEC / 5)	/* one more line, after that */

/* Whether there is a line left; each of the time since the last one brings some. */
static bool
may_tell(struct tell *t, uint64_t mono)
{
	uint64_t	more;

	if (t->at == 0) {
		t->at = mono;
		t->left = TELL_BURST;
	}
	more = (mono - t->at) / TELL_EVERY;
	t->at += more * TELL_EVERY;
	t->left = more >= TELL_BURST - t->left ? TELL_BURST :
	    t->left + (uint32_t)more;
	if (t->left == 0) {
		t->untold++;
		return false;
	}
	t->left--;
	return true;
}

/* The first time that something is denied for this reason. */
static void
tell_hint(struct tell *t, enum reason why)
{
	if (why >= REASON_MAX || t->hinted[why])
		return;
	t->hinted[why] = true;
	if (*hint_of(why) != '\0')
		log_info("hint: %s: %s", reason_name(why), hint_of(why));
}

static void
tell(struct guest *g, const char *what, const char *name, enum reason why,
    const char *loc)
{
	struct tell	*t = &g->broker->tell;

	if (log_get_level() < LOG_LEVEL_INFO || !may_tell(t, mono_now()))
		return;
	if (t->untold > 0)
		log_info("denied: %llu more, which are in the audit log only",
		    (unsigned long long)t->untold);
	t->untold = 0;
	log_info("denied: %s%s%s%s (%s)%s%s", what, *name != '\0' ? " \"" : "",
	    name, *name != '\0' ? "\"" : "", reason_name(why),
	    *loc != '\0' ? ", " : "", loc);
	tell_hint(t, why);
}

/* What it showed, if it did: that is what it was denied for. */
static const char *
name_of(const struct named *n)
{
	if (n == NULL)
		return "";
	return n->seen && n->shown.what == SHOWN_NAME ? n->shown.name.text :
	    n->name.text;
}

void
tell_flow(struct guest *g, uint32_t proto, const struct endpoint *dst,
    const struct named *named, enum reason why, uint32_t rule)
{
	char	addr[ENDPOINT_STRLEN], what[ENDPOINT_STRLEN + 8];

	snprintf(what, sizeof(what), "%s %s", proto_name(proto),
	    proto == PROTO_ECHO ? addr_print(dst, addr) : endpoint_print(dst, addr));
	tell(g, what, name_of(named), why,
	    policy_rule_loc(g->broker->policy, rule));
}

void
tell_question(struct guest *g, const struct name *name, enum reason why)
{
	tell(g, "name", name->text, why, "");
}
