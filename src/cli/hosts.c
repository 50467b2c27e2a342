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
#define ENTRIES_MAX	1000
#define NOTES_MAX	5
#define BLANKS		" \t\r\n"

struct entry {
	struct name	name;
	struct endpoint	addr;
	bool		expected;	/* some tenant allows it by its name */
};

static size_t
read_line(char *line, struct entry *v, size_t n)
{
	char		*rest, *word = strtok_r(line, BLANKS, &rest);
	struct endpoint	 addr;

	if (word == NULL || addr_parse(word, &addr) == -1 ||
	    addr_is_loopback(&addr))
		return n;
	while (n < ENTRIES_MAX &&
	    (word = strtok_r(NULL, BLANKS, &rest)) != NULL)
		if (name_from_text(word, strlen(word), &v[n].name) == 0)
			v[n++].addr = addr;
	return n;
}

static size_t
read_hosts(struct entry *v)
{
	static char	 line[LINE_LENGTH];
	FILE		*f = fopen(HOSTS, "re");
	size_t		 n = 0;

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "#")] = '\0';
		n = read_line(line, v, n);
	}
	fclose(f);
	return n;
}

/* One tenant after the other, so that there is never the index of more than one. */
static void
ask_tenants(struct policy *p, struct entry *v, size_t n)
{
	uint64_t		now = (uint64_t)time(NULL);
	struct name_verdict	verdict;
	unsigned int		i;
	size_t			k;

	for (i = 0; n > 0 && i < policy_tenants(p); i++) {
		if (policy_index(p, i) == -1)
			return;
		for (k = 0; k < n; k++) {
			verdict = policy_name(p, i, &v[k].name, now);
			v[k].expected |= verdict.kind == VERDICT_ALLOW &&
			    !verdict.counted;
		}
		policy_unindex(p, i);
	}
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

unsigned int
hosts_hint(struct policy *p, const char *path,
    void (*say)(void *, const struct grammar_message *), void *arg)
{
	static struct entry	 v[ENTRIES_MAX];
	const struct teller	 t = { say, arg, path };
	struct endpoint		 e[ANSWER_MAX];
	size_t			 k, n = read_hosts(v);
	unsigned int		 notes = 0;

	ask_tenants(p, v, n);
	for (k = 0; k < n && notes < NOTES_MAX; k++) {
		if (!v[k].expected ||
		    policy_host(p, &v[k].name, ADDR_V4, e) >= 0)
			continue;
		tell(&t, &v[k].name, &v[k].addr);
		notes++;
	}
	return notes;
}
