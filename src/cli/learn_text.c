/*
 * The text of a policy that was learnt: its head, the rules, and as comments what no
 * rule can say, or what the reader has to decide.
 *
 * Trusts: learn_record.c, which has checked each name and address.
 * Must not: let a byte of a guest's, or of a command line, out of a comment.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learn.h"

#define COMMAND_MAX	200		/* bytes of CMD in the head */
#define PORT_FTP	21
#define NAMES_SAID	8		/* of one address, in one comment */

void
text_words(FILE *f, char *const *words)
{
	size_t		 n = 0;
	const char	*p;

	fputs("#\t", f);
	for (; *words != NULL && n < COMMAND_MAX; words++) {
		for (p = *words; *p != '\0' && n < COMMAND_MAX; p++, n++)
			fputc(isascii((unsigned char)*p) &&
			    isprint((unsigned char)*p) ? *p : '?', f);
		fputs(words[1] != NULL ? " " : "", f);
	}
	fputs(n == COMMAND_MAX ? " ...\n" : "\n", f);
}

static const char *
word_of(const struct list *l, uint32_t i)
{
	return ((const struct word *)list_at(l, i))->text;
}

static const struct want *
want_at(const struct learned *l, size_t i)
{
	return list_at(&l->wants, i);
}

/* ---- what check would refuse --------------------------------------------------------- */

static void
write_resolvers(FILE *f, const struct learned *l)
{
	struct note	n = { f, "# Public resolvers, which no rule may "
			    "name (E110): what asks them is under no rule "
			    "by name." };
	struct lines	lines = { NULL, 0, 0 };
	size_t		i;

	for (i = 0; i < l->wants.n; i++)
		if (want_at(l, i)->verify == BY_NO_RULE)
			lines_say(&lines, "#\t%s port %s %u\n", want_at(l, i)->to,
			    learn_proto(want_at(l, i)->proto), want_at(l, i)->port);
	lines_write(&lines, &n);
}

/* ---- flows that showed no name -------------------------------------------------------- */

/* The names of a spot's claims of one kind, and how many. */
static size_t
names_of(const struct learned *l, size_t from, size_t to, enum how how, char **out)
{
	const struct claim	*c;
	size_t			 i, n = 0, size;
	FILE			*f = open_memstream(out, &size);

	if (f == NULL)
		fatalx("learn: no memory");
	for (i = from; i < to; i++) {
		c = list_at(&l->claims, i);
		if (c->how != how)
			continue;
		if (n++ < NAMES_SAID)
			fprintf(f, "%s%s", n > 1 ? " " : "",
			    word_of(&l->names, c->name));
	}
	if (n > NAMES_SAID)
		fprintf(f, " and %zu more", n - NAMES_SAID);
	fclose(f);
	return n;
}

static bool
has(const struct learned *l, size_t from, size_t to, enum how how)
{
	size_t	i;

	for (i = from; i < to; i++)
		if (((const struct claim *)list_at(&l->claims, i))->how == how)
			return true;
	return false;
}

/* They can be found again, as `wants' cannot once they are sorted. */
static void
by_address(const struct learned *l, struct list *nets)
{
	size_t	i;

	nets->size = sizeof(struct want);
	nets->key = WANT_KEY;
	for (i = 0; i < l->wants.n; i++)
		if (want_at(l, i)->kind == TARGET_NET)
			(void)list_put(nets, want_at(l, i));
}

static bool
is_allowed(const struct learned *l, const struct list *nets, const struct spot *s)
{
	struct want	w;

	memset(&w, 0, sizeof(w));
	w.kind = TARGET_NET;
	w.proto = s->proto;
	w.port = s->port;
	w.verify = BY_NOTHING;
	memcpy(w.to, list_at(&l->addrs, s->addr), sizeof(w.to));
	return list_find(nets, &w) != LIST_NONE;
}

/* What a spot leaves the reader to decide, by what is known of it. */
struct unclear {
	struct list	nets;		/* wants by address */
	struct lines	which, addrs, names, unpinned, data;
};

static void
unclear_asked(const struct learned *l, const struct spot *s, size_t from, size_t to,
    struct unclear *u)
{
	const char	*addr = word_of(&l->addrs, s->addr);
	char		*names;

	if (names_of(l, from, to, HOW_ASKED, &names) > 1)
		lines_say(&u->which, "#\t%s %s port %u: %s\n", learn_proto(s->proto), addr,
		    s->port, names);
	if (!is_allowed(l, &u->nets, s))
		lines_say(&u->addrs, "#\tallow to net %s port %s %u\n", addr,
		    learn_proto(s->proto), s->port);
	free(names);
}

static void
unclear_bare(const struct learned *l, const struct spot *s, size_t from, size_t to,
    struct unclear *u)
{
	const char	*addr = word_of(&l->addrs, s->addr);
	char		*names;

	if (s->proto != PROTO_ECHO && names_of(l, from, to, HOW_HAD, &names) > 0)
		lines_say(&u->names, "#\t%s %s port %u: %s\n", learn_proto(s->proto), addr,
		    s->port, names);
	else
		names = s->proto == PROTO_ECHO ? NULL : names;
	free(names);
	if (names_of(l, from, to, HOW_NO_PIN, &names) > 0)
		lines_say(&u->unpinned, "#\t%s %s port %u: %s\n", learn_proto(s->proto),
		    addr, s->port, names);
	free(names);
}

/* FTP: the server names a port of its choice for each file, and tells the client only. */
static bool
is_data(const struct learned *l, const struct spot *s)
{
	struct spot	control = { PROTO_TCP, PORT_FTP, s->addr };

	return s->proto == PROTO_TCP && s->port >= 1024 &&
	    list_find(&l->spots, &control) != LIST_NONE;
}

static void
unclear_of(const struct learned *l, struct unclear *u)
{
	const struct spot	*s;
	size_t			 from, to;

	for (from = to = 0; claims_next(l, &from, &to); ) {
		s = list_at(&l->spots,
		    ((const struct claim *)list_at(&l->claims, from))->spot);
		if (has(l, from, to, HOW_ASKED))
			unclear_asked(l, s, from, to, u);
		if (has(l, from, to, HOW_BARE))
			unclear_bare(l, s, from, to, u);
		if (is_data(l, s))
			lines_say(&u->data, "#\t%s port tcp %u\n",
			    word_of(&l->addrs, s->addr), s->port);
	}
}

static void
write_unclear(FILE *f, const struct learned *l)
{
	struct unclear	u;
	struct note	which = { f, "# These were asked for just before, and which of "
			    "them was meant could not be seen:" },
			addrs = { f, "# Put down to names that were asked for just "
			    "before, and that nothing showed. If the\n# address "
			    "was meant, this is its rule:" },
			names = { f, "# Allowed by address: names that have it were "
			    "asked for, but not for this. If one was\n# meant, allow "
			    "that name with this port:" },
			unpinned = { f, "# Allowed by address: it showed a name that "
			    "was not looked up here (an address from a\n# cache, or of "
			    "/etc/hosts). A rule by name needs the look-up first:" },
			data = { f, "# Ports that a server of FTP chose for its files: it "
			    "will choose others next time. Fetch\n# by HTTPS, or fix the "
			    "server's range (passive ports) and allow that:" };

	memset(&u, 0, sizeof(u));
	by_address(l, &u.nets);
	unclear_of(l, &u);
	list_free(&u.nets);
	lines_write(&u.which, &which);
	lines_write(&u.addrs, &addrs);
	lines_write(&u.names, &names);
	lines_write(&u.unpinned, &unpinned);
	lines_write(&u.data, &data);
}

/* ---- what was only looked up ------------------------------------------------------- */

/* A rule needs a port, so what was only looked up cannot have one. */
static void
write_unused(FILE *f, const struct learned *l)
{
	struct note	 n = { f, "# Also looked up, and not connected to:" };
	struct lines	 lines = { NULL, 0, 0 };
	struct list	 used = { .size = sizeof(struct word),
			    .key = sizeof(struct word) };
	struct word	*w;
	size_t		 i;

	for (i = 0; i < l->wants.n; i++)
		if (want_at(l, i)->kind == TARGET_NAME)
			(void)list_put(&used, want_at(l, i)->to);
	for (i = 0; i < l->asked.n; i++) {
		w = list_at(&l->names, *(uint32_t *)list_at(&l->asked, i));
		if (list_find(&used, w) == LIST_NONE)
			lines_say(&lines, "#\t%s\n", w->text);
	}
	list_free(&used);
	lines_write(&lines, &n);
}

static void
write_limited(FILE *f, const struct learned *l)
{
	unsigned int	i;

	for (i = 0; i < REASON_MAX; i++)
		if (l->limited[i] > 0)
			fprintf(f, "\n# Not learnt: %llu attempts that %s, "
			    "%s.\n", (unsigned long long)l->limited[i],
			    learn_fate((int)i), reason_name(i));
	if (l->blind > 0)
		fputs("\n# The inspector was not there all the time: there may "
		    "be more names, or\n# less verified, than is needed.\n", f);
}

/* ---- all of it --------------------------------------------------------------- */

void
text_notes(FILE *f, struct learned *l, const char *tenant)
{
	write_resolvers(f, l);
	write_unclear(f, l);
	write_unused(f, l);
	floor_notes(f, l, tenant);
	write_limited(f, l);
}

void
text_policy(FILE *f, struct learned *l, const struct learn_head *h)
{
	fprintf(f, "# Written by `sallyport %s' from %zu flow%s of\n", h->by,
	    l->flows, l->flows == 1 ? "" : "s");
	text_words(f, h->cmd);
	fputs("# It allows what that was seen to do, not what it ought to do: "
	    "read it first.\n", f);
	fprintf(f, "\npolicy version 1\n\ntenant %s {\n", h->tenant);
	if (rules_write(f, l) == 0)
		fputs("\tdeny to any\n", f);
	fputs("}\n", f);
	text_notes(f, l, h->tenant);
}
