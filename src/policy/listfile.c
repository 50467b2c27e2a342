/*
 * The files of a table and of a set of names: entries between white space. # and ;
 * begin a comment, which goes on to the end of its line: no entry has either of them,
 * and published lists have both.
 *
 * Trusts: file.c's look at the file.
 * Must not: tell what is in a file that does not begin as what it is said to be: see
 * lex_hides(). A word without a dot could be anyone's password.
 */
#include <stdlib.h>
#include <string.h>

#include "read.h"

#define WORD_MAX	1024		/* bytes; names of other scripts are long */

struct listing {
	struct parse	*p;
	const char	*s, *end;
	struct item	 item;		/* the word at hand */
	char		 word[WORD_MAX];
	bool		 shown;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_comment(char c)
{
	return c == '#' || c == ';';
}

/* Columns are characters, whatever many bytes of UTF-8 they have. */
static void
advance(struct listing *l)
{
	unsigned char	c = (unsigned char)*l->s++;

	if (c == '\n') {
		l->item.at.line++;
		l->item.at.column = 1;
	} else if ((c & 0xc0) != 0x80)
		l->item.at.column++;
}

/* From one word or comment to the next. */
static bool
skip_blank(struct listing *l)
{
	for (; l->s < l->end && (is_blank(*l->s) || is_comment(*l->s));
	    advance(l))
		if (is_comment(*l->s))
			while (l->s + 1 < l->end && l->s[1] != '\n')
				l->s++;
	return l->s < l->end;
}

/* The next word, whose place stays in l->item. False at the end, or if it is none. */
static bool
next_word(struct listing *l)
{
	const char	*from;
	struct where	 at;
	size_t		 len;

	if (!skip_blank(l))
		return false;
	from = l->s;
	at = l->item.at;
	while (l->s < l->end && !is_blank(*l->s) && !is_comment(*l->s) &&
	    (unsigned char)*l->s > ' ' && *l->s != 0x7f)
		advance(l);
	len = (size_t)(l->s - from);
	if (len >= sizeof(l->word) || (l->s < l->end && !is_blank(*l->s) &&
	    !is_comment(*l->s))) {
		report_error(l->p, &at, len >= sizeof(l->word) ?
		    "a word of more than %d bytes is no entry of a list" :
		    "a byte that no text has: the file is no list",
		    WORD_MAX - 1);
		return false;
	}
	memcpy(l->word, from, len);
	l->word[len] = '\0';
	return true;
}

/* An address at least, whatever is wrong with its length. */
static bool
begins_table(const char *word)
{
	char		addr[64];
	struct endpoint	e;
	size_t		n = strcspn(word, "/");

	if (n >= sizeof(addr))
		return false;
	memcpy(addr, word, n);
	addr[n] = '\0';
	return addr_parse(addr, &e) == 0;
}

static void
add_net(struct listing *l, struct nets *to, const struct where *at)
{
	const struct item	w = { .text = l->word, .at = *at };
	struct net		net = { .at = *at };

	if (!l->shown && !begins_table(l->word)) {
		report_error(l->p, at, "this is not an address, so the file is "
		    "no table of networks");
		l->s = l->end;
		return;
	}
	l->shown = true;
	if (value_net(l->p, &w, &net.prefix) == 0)
		push(l->p->m, to->net, net);
}

static void
unheard(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

/* Whether it is one, without a word. */
static bool
is_name(struct listing *l, const struct item *w)
{
	struct grammar_sink	 quiet = { .line = unheard };
	struct parse		 scan = { .m = l->p->m, .sink = &quiet };
	struct blob_name	 b;
	bool			 good = pattern_parse(&scan, w, &b) == 0;

	messages_give(&scan);
	return good;
}

/*
 * A list of names begins with one that is right; until one of them has a dot, the
 * file could be anything.
 */
static void
add_name(struct listing *l, struct patterns *to, const struct where *at)
{
	const struct item	w = { .text = l->word, .at = *at,
				    .quoted = true };
	struct pattern		n = { .at = *at };
	struct blob_name	b;

	if (!l->shown && !is_name(l, &w)) {
		report_error(l->p, at, "this is not a host name, so the file is "
		    "no list of names");
		l->s = l->end;
		return;
	}
	if (pattern_parse(l->p, &w, &b) == -1)
		return;
	l->shown = l->shown || strchr(l->word, '.') != NULL;
	n.base = model_name(l->p->m, &b.base);
	n.wild = b.wild;
	push(l->p->m, to->list, n);
}

/* Into one of the two. */
static void
read_words(struct listing *l, struct nets *nets, struct patterns *names)
{
	struct where	at;

	while (!report_full(l->p) && skip_blank(l)) {
		at = l->item.at;
		if (!next_word(l))
			return;
		if (nets != NULL)
			add_net(l, nets, &at);
		else
			add_name(l, names, &at);
	}
}

void
list_read(struct parse *p, const struct where *at, const struct item *file,
    bool empty, struct nets *nets, struct patterns *names)
{
	struct source	 s = { .parent = p->source };
	struct listing	*l;
	size_t		 len, before;
	unsigned int	 errors = p->sink->errors;
	char		*text;

	if (!p->files) {
		report_error(p, &file->at, "this text may not name files");
		return;
	}
	s.path = file_resolve(p, file->text);
	if (!grammar_may_read(p, s.path)) {
		report_error(p, &file->at, "an included file may name only files "
		    "below a directory that the policy itself names");
		return;
	}
	if ((text = file_read(p, &file->at, &s, &len)) == NULL)
		return;
	push(p->m, p->opened, s.path);
	push(p->m, p->listed, ((struct listed){ s.path, *at }));
	l = model_alloc(p->m, sizeof(*l));
	l->p = p;
	l->s = text;
	l->end = text + len;
	l->item.at = (struct where){ s.path, 1, 1 };
	before = nets != NULL ? nets->net.n : names->list.n;
	read_words(l, nets, names);
	free(text);
	if (!empty && p->sink->errors == errors &&
	    (nets != NULL ? nets->net.n : names->list.n) == before)
		report_error(p, &file->at, "%.200s holds no %s, and would match "
		    "nothing: if that may be so, write allow-empty behind the "
		    "file", s.path, nets != NULL ? "network" : "name");
}
