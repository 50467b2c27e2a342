/*
 * The host's /etc/hosts, which guests' questions never see: whoever allows a name that
 * is written there may expect otherwise, and is told of `host'.
 *
 * Trusts: the file for what it says; it is the administrator's.
 * Must not: make a good policy a bad one: it is a note, of names that the policy
 * spells out.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "grammar.h"
#include "policy.h"
#include "policy_cmds.h"

#define HOSTS		"/etc/hosts"
#define LINE_LENGTH	4096
#define NOTES_MAX	5
#define BLANKS		" \t\r\n"

/* Some tenant's rules allow it by its name, and no `host' line has it. */
static bool
expected(const struct policy *p, const struct name *n)
{
	struct endpoint		e[ANSWER_MAX];
	struct name_verdict	v;
	unsigned int		i;

	if (policy_host(p, n, ADDR_V4, e) >= 0)
		return false;
	for (i = 0; i < policy_tenants(p); i++) {
		v = policy_name(p, i, n, (uint64_t)time(NULL));
		if (v.kind == VERDICT_ALLOW && !v.counted)
			return true;
	}
	return false;
}

struct teller {
	void		(*tell)(void *arg, const struct grammar_message *);
	void		*arg;
	const char	*path;
};

static void
tell(const struct teller *t, const struct name *n, const struct endpoint *e)
{
	char			addr[ENDPOINT_STRLEN], text[2 * NAME_TEXT_MAX + 160];
	struct grammar_message	m = { .tier = TIER_NOTE, .code = "",
				    .file = t->path, .text = text };

	snprintf(text, sizeof(text), "%s is in this host's " HOSTS ", which no "
	    "guest's question sees: write host \"%s\" %s", n->text, n->text,
	    addr_print(e, addr));
	t->tell(t->arg, &m);
}

/* How many notes it was worth. */
static unsigned int
one_line(const struct policy *p, const struct teller *t, char *line)
{
	char		*rest, *word = strtok_r(line, BLANKS, &rest);
	struct endpoint	 e;
	struct name	 n;
	unsigned int	 notes = 0;

	if (word == NULL || addr_parse(word, &e) == -1 || addr_is_loopback(&e))
		return 0;
	while ((word = strtok_r(NULL, BLANKS, &rest)) != NULL) {
		if (name_from_text(word, strlen(word), &n) == -1 ||
		    !expected(p, &n))
			continue;
		tell(t, &n, &e);
		notes++;
	}
	return notes;
}

unsigned int
hosts_hint(const struct policy *p, const char *path,
    void (*say)(void *, const struct grammar_message *), void *arg)
{
	const struct teller	 t = { say, arg, path };
	static char		 line[LINE_LENGTH];
	FILE			*f = fopen(HOSTS, "re");
	unsigned int		 notes = 0;

	if (f == NULL)
		return 0;
	while (notes < NOTES_MAX && fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "#")] = '\0';
		notes += one_line(p, &t, line);
	}
	fclose(f);
	return notes;
}
