/*
 * The policy that `sallyport run --learn' writes: the smallest one that would have
 * allowed what was seen. One rule per target, protocol and way to verify; sorted,
 * so that two of them can be compared.
 *
 * Trusts: learn.c, which has checked each name and address.
 * Must not: overwrite a file, let a byte of CMD's out of a comment, or make the file
 * by a path that CMD may have led elsewhere.
 */
#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "grammar.h"
#include "learn.h"

#define COMMAND_MAX	200		/* bytes of CMD in the head */

static int
by_want(const void *a, const void *b)
{
	const struct want	*v = a, *w = b;
	int			 c;

	if (v->kind != w->kind)
		return v->kind < w->kind ? -1 : 1;
	if ((c = strcmp(v->to, w->to)) != 0)
		return c;
	if (v->proto != w->proto)
		return v->proto < w->proto ? -1 : 1;
	if (v->verify != w->verify)
		return v->verify < w->verify ? -1 : 1;
	if (v->ech != w->ech)
		return v->ech < w->ech ? -1 : 1;
	return (v->port > w->port) - (v->port < w->port);
}

static bool
one_rule(const struct want *v, const struct want *w)
{
	return v->kind == w->kind && v->proto == w->proto &&
	    v->verify == w->verify && v->ech == w->ech && strcmp(v->to, w->to) == 0;
}

/* n wants that differ in the port alone. */
static void
write_rule(FILE *f, const struct want *w, size_t n)
{
	size_t	i;

	if (w->kind == TARGET_NAME)
		fprintf(f, "\tallow to name \"%s\"", w->to);
	else
		fprintf(f, "\tallow to net %s", w->to);
	if (w->proto == PROTO_ECHO) {
		fputs(" icmp echo\n", f);
		return;
	}
	fprintf(f, " port %s%s", w->proto == PROTO_TCP ? "tcp" : "udp",
	    n > 1 ? " {" : "");
	for (i = 0; i < n; i++)
		fprintf(f, " %u", w[i].port);
	fputs(n > 1 ? " }" : "", f);
	if (w->kind == TARGET_NAME && w->proto == PROTO_TCP)
		fputs(w->verify == BY_HOST ? " verify host" :
		    w->verify == BY_NOTHING ? " verify none" :
		    w->ech ? " ech allow" : "", f);
	fputc('\n', f);
}

static void
write_rules(FILE *f, struct learned *l)
{
	struct want	*w = (struct want *)(void *)l->wants.item;
	size_t		 i, n, rules = 0;

	for (i = 0; i < l->wants.n; i += n) {
		for (n = 1; i + n < l->wants.n && one_rule(&w[i], &w[i + n]);)
			n++;
		if (w[i].verify == BY_NO_RULE)
			continue;
		write_rule(f, &w[i], n);
		rules++;
	}
	if (rules == 0)
		fputs("\tdeny to any\n", f);
}

/* CMD in one line: what would end the comment, or speak to a terminal, is '?'. */
static void
write_command(FILE *f, char *const *cmd)
{
	size_t		 n = 0;
	const char	*p;

	fputs("#\t", f);
	for (; *cmd != NULL && n < COMMAND_MAX; cmd++) {
		for (p = *cmd; *p != '\0' && n < COMMAND_MAX; p++, n++)
			fputc(isascii((unsigned char)*p) &&
			    isprint((unsigned char)*p) ? *p : '?', f);
		fputs(cmd[1] != NULL ? " " : "", f);
	}
	fputs(n == COMMAND_MAX ? " ...\n" : "\n", f);
}

static void
write_head(FILE *f, const struct learned *l, char *const *cmd)
{
	char		when[32];
	time_t		now = time(NULL);
	struct tm	tm;

	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	fprintf(f, "# Written on %s by `sallyport run --learn' from %zu flow%s "
	    "of\n", when, l->flows, l->flows == 1 ? "" : "s");
	write_command(f, cmd);
	fputs("# It allows what that was seen to do, not what it ought to do: "
	    "read it first.\n", f);
}

/* What `check' would refuse, so that it is left out. */
static void
write_resolvers(FILE *f, const struct learned *l)
{
	const struct want	*w = (const struct want *)(void *)l->wants.item;
	const char		*head = "\n# Public resolvers, which no rule may "
				    "name (E110): what asks them is under no rule "
				    "by name.\n";
	size_t			 i;

	for (i = 0; i < l->wants.n; i++)
		if (w[i].verify == BY_NO_RULE) {
			fprintf(f, "%s#\t%s port %s %u\n", head, w[i].to,
			    w[i].proto == PROTO_TCP ? "tcp" : "udp", w[i].port);
			head = "";
		}
}

static const char *
proto_word(const struct observed *o)
{
	return o->proto == PROTO_TCP ? "tcp" : "udp";
}

/* One address, and nothing that tells which name was meant: each of them is in. */
static void
write_unclear(FILE *f, struct learned *l)
{
	const struct observed	*o = (const struct observed *)(void *)
				    l->unclear.item;
	const char		*head = "\n# These share an address, and it could "
				    "not be seen which was meant:\n";
	size_t			 i;

	for (i = 0; i < l->unclear.n; i++)
		if (o[i].too_many || strchr(o[i].names, ',') != NULL) {
			fprintf(f, "%s#\t%s port %u: %s\n", head,
			    proto_word(&o[i]), o[i].port,
			    o[i].too_many ? "(many)" : o[i].names);
			head = "";
		}
}

/* Of one address, protocol and port. */
static bool
is_first(const struct observed *o, size_t i)
{
	size_t	j;

	for (j = 0; j < i; j++)
		if (o[j].moved && o[j].proto == o[i].proto &&
		    o[j].port == o[i].port &&
		    strcmp(o[j].addr, o[i].addr) == 0)
			return false;
	return true;
}

/* It is allowed by address anyway. */
static bool
has_rule(const struct learned *l, const struct observed *o)
{
	const struct want	*w = (const struct want *)(void *)l->wants.item;
	size_t			 i;

	for (i = 0; i < l->wants.n; i++)
		if (w[i].kind == TARGET_NET && w[i].proto == o->proto &&
		    w[i].port == o->port && strcmp(w[i].to, o->addr) == 0)
			return true;
	return false;
}

/* What went to a name's address, and may have been meant for that: the other rule. */
static void
write_addresses(FILE *f, struct learned *l)
{
	const struct observed	*o = (const struct observed *)(void *)
				    l->unclear.item;
	const char		*head = "\n# Put down to names that had this address, "
				    "and did not show them. If the address was\n"
				    "# meant, this is its rule:\n";
	size_t			 i;

	for (i = 0; i < l->unclear.n; i++)
		if (o[i].moved && is_first(o, i) && !has_rule(l, &o[i])) {
			fprintf(f, "%s#\tallow to net %s port %s %u\n", head,
			    o[i].addr, proto_word(&o[i]), o[i].port);
			head = "";
		}
}

static int
by_words(const void *a, const void *b)
{
	return strcmp(((const struct floored *)a)->what,
	    ((const struct floored *)b)->what);
}

static void
write_floored(FILE *f, struct learned *l)
{
	struct floored	*w = (struct floored *)(void *)l->floored.item;
	size_t		 i;

	if (l->floored.n == 0)
		return;
	qsort(w, l->floored.n, sizeof(*w), by_words);
	fputs("\n# Also tried, and below the floor:\n", f);
	for (i = 0; i < l->floored.n; i++)
		fprintf(f, "#\t%s\n", w[i].what);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct bound *)a)->name,
	    ((const struct bound *)b)->name);
}

/* A rule needs a port, so what was only looked up cannot have one. */
static void
write_unused(FILE *f, struct learned *l)
{
	struct bound	*b = (struct bound *)(void *)l->bounds.item;
	struct want	*w = (struct want *)(void *)l->wants.item;
	const char	*head = "\n# Also looked up, and not connected to:\n";
	size_t		 i, j = 0;
	int		 c;

	if (l->bounds.n == 0)
		return;
	qsort(b, l->bounds.n, sizeof(*b), by_name);
	for (i = 0; i < l->bounds.n; i++) {
		c = -1;		/* names come first in wants, and sorted too */
		while (j < l->wants.n && w[j].kind == TARGET_NAME &&
		    (c = strcmp(w[j].to, b[i].name)) < 0)
			j++;
		if ((j < l->wants.n && c == 0) ||
		    (i > 0 && by_name(&b[i - 1], &b[i]) == 0))
			continue;
		fprintf(f, "%s#\t%s\n", head, b[i].name);
		head = "";
	}
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

/* In their order, and without a rule where `check' would refuse one. */
void
learned_arrange(struct learned *l)
{
	struct want	*w = (struct want *)(void *)l->wants.item;
	struct name	 n;
	size_t		 i;

	for (i = 0; i < l->wants.n; i++) {
		if (w[i].kind != TARGET_NAME ||
		    name_from_text(w[i].to, strlen(w[i].to), &n) == -1 ||
		    !grammar_public_resolver(&n))
			continue;
		w[i].verify = BY_NO_RULE;
		log_warnx("--learn: %s is a public resolver, which no rule may "
		    "name: it is not in the policy", w[i].to);
	}
	if (l->wants.n > 0)
		qsort(w, l->wants.n, sizeof(*w), by_want);
}

void
learned_text(FILE *f, struct learned *l, char *const *cmd)
{
	write_head(f, l, cmd);
	fputs("\npolicy version 1\n\ntenant learned {\n", f);
	write_rules(f, l);
	fputs("}\n", f);
	write_resolvers(f, l);
	write_unclear(f, l);
	write_addresses(f, l);
	write_unused(f, l);
	write_floored(f, l);
	write_limited(f, l);
}

/* CMD may have led the path elsewhere: then the file is not what is found there. */
static bool
is_there(int fd, const char *path)
{
	struct stat	a, b;

	if (fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return true;
	log_warnx("--learn: %s does not lead to the file that was made: a "
	    "directory above it was moved or replaced", path);
	return false;
}

static int
fill_file(FILE *f, int fd, struct learned *l, const struct run *r)
{
	bool	good;

	learned_text(f, l, r->cmd);
	good = fflush(f) == 0 && fsync(fd) == 0;
	if (!good)
		log_warn("--learn: writing %s", r->learn);
	good = good && is_there(fd, r->learn);
	return fclose(f) == 0 && good ? 0 : -1;
}

static int
write_file(struct learned *l, const struct run *r)
{
	const char	*name = held_name(r->learn);
	int		 fd = openat(r->learn_dir, name, O_WRONLY | O_CREAT |
			    O_EXCL | O_CLOEXEC, 0600);
	FILE		*f = fd == -1 ? NULL : fdopen(fd, "w");

	if (f == NULL) {
		log_warn("--learn: %s cannot be made", r->learn);
		fd_drop(&fd);
		return -1;
	}
	if (fill_file(f, fd, l, r) == 0)
		return 0;
	(void)unlinkat(r->learn_dir, name, 0);
	return -1;
}

/* Like any other message: who does not read it does not stop us. */
static void
say_all(struct learned *l, const struct run *r)
{
	char	*all = NULL, *p;
	size_t	 size, n;
	FILE	*f = open_memstream(&all, &size);

	if (f == NULL) {
		log_warn("--learn");
		return;
	}
	learned_text(f, l, r->cmd);
	if (fclose(f) != 0)
		log_warn("--learn");
	for (p = all; p != NULL && *p != '\0'; p += n) {
		n = strcspn(p, "\n");
		n += p[n] == '\n';
		n = n > 2 * LOG_LINE_MAX ? 2 * LOG_LINE_MAX : n;
		log_line(p, n);
	}
	free(all);
}

int
learned_write(struct learned *l, const struct run *r)
{
	learned_arrange(l);
	if (write_file(l, r) == 0)
		return 0;
	log_warnx("--learn: it would have been:");
	say_all(l, r);
	return -1;
}
