/*
 * From a rule and what it matched to the entry of its lists that says so, and where
 * that stands: in the rule itself, a macro, a table, a set of names, a file.
 *
 * Trusts: the model, and that the law has found a match: this only finds it again.
 * Must not: decide anything.
 */
#include <stdio.h>

#include "entry.h"

static void
found(struct spot *e, const struct where *at, const struct item *via,
    const char *kind, const char *set)
{
	e->at = *at;
	e->set[0] = '\0';
	if (set != NULL)
		snprintf(e->set, sizeof(e->set), "%s <%.64s>", kind, set);
	else if (via != NULL)
		snprintf(e->set, sizeof(e->set), "macro $%.64s", via->text);
}

bool
entry_of_address(const struct model *m, const struct dest *d,
    const struct endpoint *a, struct spot *e)
{
	char		buf[ENDPOINT_STRLEN];
	struct entry	by;

	if (d->kind != KIND_NET || !model_which_net(m, &d->in, a, &by))
		return false;
	snprintf(e->text, sizeof(e->text), "%s",
	    prefix_print(&by.net->prefix, buf));
	found(e, &by.net->at, by.net->via, "table", by.set);
	return true;
}

/* The closest one: itself, then what stands for it. */
bool
entry_of_name(const struct model *m, const struct dest *d,
    const struct name *name, struct spot *e)
{
	char		buf[PATTERN_STRLEN];
	struct entry	by;

	if (d->kind != KIND_NAME || !model_which_name(m, &d->names, name, &by))
		return false;
	snprintf(e->text, sizeof(e->text), "%s", pattern_text(by.pattern, buf));
	found(e, &by.pattern->at, by.pattern->via, "names", by.set);
	return true;
}
