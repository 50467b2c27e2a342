/*
 * What a policy gives names to, and messages about such names: one that is not there
 * may be near to one that is, and one that is given twice was given somewhere first.
 *
 * Trusts: the model. Must not: take one kind of name for another.
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"
#include "suggest.h"

#define OFFER(what)							\
	for (i = 0; i < m->what.n; i++)					\
		suggest_offer(&s, m->what.v[i].name)

/* What another file has for itself is nobody's to use. */
#define OFFER_SEEN(what)						\
	for (i = 0; i < m->what.n; i++)					\
		if (model_sees(m, p->scope, m->what.v[i].scope))	\
			suggest_offer(&s, m->what.v[i].name)

/* "; did you mean X?", or nothing. */
const char *
known_near(struct parse *p, enum known kind, const char *word)
{
	const struct model	*m = p->m;
	struct suggestion	 s;
	struct text		 t = { NULL, 0, 0 };
	const char		*all;
	size_t			 i;

	suggest_begin(&s, word);
	switch (kind) {
	case KNOWN_MACRO:
		OFFER_SEEN(macro);
		break;
	case KNOWN_TABLE:
		OFFER_SEEN(table);
		break;
	case KNOWN_NAMES:
		OFFER_SEEN(nameset);
		break;
	case KNOWN_LIMITS:
		OFFER_SEEN(limits);
		break;
	case KNOWN_SERVICE:
		OFFER(service);
		break;
	case KNOWN_TENANT:
		OFFER(tenant);
		break;
	}
	if (suggest_end(&s) == NULL)
		return "";
	text_add(&t, kind == KNOWN_MACRO ? "; did you mean $%.64s?" :
	    kind == KNOWN_TABLE || kind == KNOWN_NAMES ?
	    "; did you mean <%.64s>?" : "; did you mean %.64s?", suggest_end(&s));
	all = model_string(p->m, t.buf, t.len);
	free(t.buf);
	return all;
}

void
known_twice(struct parse *p, const struct item *name, const char *what,
    const struct where *first, const char *instead)
{
	report_error(p, &name->at, "%s %.64s is defined twice, first in "
	    "%.160s:%u: %s", what, name->text, first->file, first->line,
	    instead);
}
