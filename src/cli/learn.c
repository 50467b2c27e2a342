/*
 * `sallyport run --learn': what CMD did, as the audit log of its run tells it.
 *
 * The log is the source because it is complete: no connection exists without its
 * record, and in audit mode that has the name which the flow's first bytes showed.
 *
 * Trusts: nothing of a line. A name must be a name, an address an address, a reason
 * and a protocol words that we know, before anything of them is written.
 * Must not: be reached unless the policy was ours, and CMD is gone; or reach the log
 * by a path, which CMD may have led elsewhere: its directory is held since before.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "learn.h"

void *
list_add(struct list *l, const void *item)
{
	size_t	i;

	for (i = 0; i < l->n; i++)
		if (memcmp(l->item + i * l->size, item, l->size) == 0)
			return l->item + i * l->size;
	if (l->n == l->room) {
		l->room = l->room == 0 ? 16 : l->room * 2;
		l->item = reallocarray(l->item, l->room, l->size);
		if (l->item == NULL)
			fatalx("--learn: no memory");
	}
	memcpy(l->item + l->n * l->size, item, l->size);
	return l->item + l->n++ * l->size;
}

/* ---- fields of a record ------------------------------------------------------- */

static const char *
text(const json_t *r, const char *key)
{
	const char	*s = json_string_value(json_object_get(r, key));

	return s == NULL ? "" : s;
}

static bool
field_name(const char *s, char out[NAME_SIZE])
{
	struct name	n;

	if (name_from_text(s, strlen(s), &n) == -1)
		return false;
	memcpy(out, n.text, NAME_SIZE);
	return true;
}

/* In the one spelling that there is. */
static bool
field_address(const char *s, char out[ENDPOINT_STRLEN])
{
	struct endpoint	e;

	memset(out, 0, ENDPOINT_STRLEN);
	if (addr_parse(s, &e) == -1)
		return false;
	addr_print(&e, out);
	return true;
}

static uint32_t
field_proto(const json_t *r)
{
	const char	*s = text(r, "proto");

	return strcmp(s, "tcp") == 0 ? PROTO_TCP :
	    strcmp(s, "udp") == 0 ? PROTO_UDP :
	    strcmp(s, "icmp") == 0 ? PROTO_ECHO : PROTO_NONE;
}

/* ---- records ------------------------------------------------------------------ */

static void
learn_answer(struct learned *l, const json_t *r)
{
	const json_t	*ips = json_object_get(r, "ips");
	struct bound	 b;
	size_t		 i;

	memset(&b, 0, sizeof(b));
	if (!field_name(text(r, "name"), b.name))
		return;
	for (i = 0; i < json_array_size(ips); i++) {
		const char *s = json_string_value(json_array_get(ips, i));

		if (s != NULL && field_address(s, b.addr))
			list_add(&l->bounds, &b);
	}
}

/* A list; what did not fit is said by "...". They are kept with commas between them. */
static void
field_names(const json_t *list, struct observed *o)
{
	char	name[NAME_SIZE];
	size_t	i, n, at = 0;

	for (i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (s == NULL || !field_name(s, name) ||
		    at + (n = strlen(name)) + 2 > sizeof(o->names)) {
			o->too_many = 1;
			continue;
		}
		if (at > 0)
			o->names[at++] = ',';
		memcpy(o->names + at, name, n);
		at += n;
	}
}

/* `name` is the flow's own if its first bytes showed that, whatever else they are. */
static void
field_shown(const json_t *r, struct observed *o)
{
	const char	*assurance = text(r, "assurance");

	o->verify = BY_NOTHING;
	if (o->name[0] == '\0')
		return;
	if (strcmp(assurance, "host") == 0)
		o->verify = BY_HOST;
	else if (strcmp(assurance, "sni") == 0)
		o->verify = BY_SNI;
	else if (json_is_true(json_object_get(r, "ech")) &&
	    strcmp(text(r, "sni"), o->name) == 0) {
		o->verify = BY_SNI;
		o->ech = 1;
	}
}

static uint64_t
flow_number(const json_t *r)
{
	return (uint64_t)json_integer_value(json_object_get(r, "flow"));
}

static void
learn_open(struct learned *l, const json_t *r)
{
	struct observed	o;
	json_int_t	port = json_integer_value(json_object_get(r, "g_dp"));

	memset(&o, 0, sizeof(o));
	o.proto = field_proto(r);
	o.port = o.proto == PROTO_ECHO ? 0 : (uint32_t)port;
	if (o.proto == PROTO_NONE || port < (o.proto != PROTO_ECHO) ||
	    port > UINT16_MAX ||
	    !field_address(text(r, "g_dst"), o.addr))
		return;
	if (!field_name(text(r, "name"), o.name)) {
		memset(o.name, 0, sizeof(o.name));
		field_names(json_object_get(r, "names"), &o);
	}
	field_shown(r, &o);
	observed_open(l, flow_number(r), &o);
}

/* One that ended before its first bytes told what it was has no open. */
static void
learn_close(struct learned *l, const json_t *r)
{
	if (text(r, "verdict")[0] == '\0' && json_object_get(r, "rec") != NULL)
		learn_open(l, r);
	if (json_integer_value(json_object_get(r, "up")) != 0 ||
	    json_integer_value(json_object_get(r, "down")) != 0)
		observed_moved(l, flow_number(r));
}

/* The addresses that were taken out of a name's answer: a list in words. */
static void
learn_stripped(struct learned *l, const json_t *r)
{
	struct floored	f;
	char		name[NAME_SIZE], addr[ENDPOINT_STRLEN];
	char		word[ENDPOINT_STRLEN];
	const char	*p = text(r, "detail");
	json_int_t	left = json_integer_value(json_object_get(r, "stripped"));
	size_t		n;

	if (!field_name(text(r, "name"), name))
		return;
	/* those without a route come after them */
	for (; *p != '\0' && left > 0; p += n, left--) {
		p += strspn(p, ", ");
		n = strcspn(p, ", ");
		snprintf(word, sizeof(word), "%.*s", (int)n, p);
		if (!field_address(word, addr))
			continue;
		memset(&f, 0, sizeof(f));
		snprintf(f.what, sizeof(f.what), "name %s: %s", name, addr);
		list_add(&l->floored, &f);
	}
}

static bool
is_limit(int reason)
{
	return reason == REASON_DNS_BUDGET || reason == REASON_RATE ||
	    reason == REASON_CONNS || reason == REASON_PENDING ||
	    reason == REASON_RESOURCE || reason == REASON_AUDIT_UNAVAILABLE;
}

/* Nobody could say what the name's addresses are. */
static bool
is_failure(int reason)
{
	return reason == REASON_DNS_UPSTREAM || reason == REASON_DNS_BOGUS;
}

const char *
learn_fate(int reason)
{
	return is_failure(reason) ? "failed" : "were refused";
}

/* What came to nothing for no rule's sake, and may have been needed. */
static void
learn_limit(struct learned *l, const json_t *r)
{
	int		reason = reason_parse(text(r, "reason"));
	json_int_t	n = 1;

	if (!is_limit(reason) && !is_failure(reason))
		return;
	if (strcmp(text(r, "type"), "deny.agg") == 0)
		n = json_integer_value(json_object_get(r, "n"));
	else if (strcmp(text(r, "type"), "audit.gap") == 0)
		n = json_integer_value(json_object_get(r, "opens")) +
		    json_integer_value(json_object_get(r, "denies"));
	else if (strcmp(text(r, "verdict"), "deny") != 0 && !is_failure(reason))
		n = 0;
	l->limited[reason] += n > 0 ? (uint64_t)n : 0;
}

static bool
is_floor(int reason)
{
	return reason == REASON_FLOOR_SPECIAL || reason == REASON_FLOOR_LOCAL ||
	    reason == REASON_FLOOR_METADATA || reason == REASON_FLOOR_PORT;
}

static void
learn_floored(struct learned *l, uint32_t proto, const char *to, int port,
    int reason)
{
	struct floored	f;
	char		addr[ENDPOINT_STRLEN];

	if (!field_address(to, addr))
		return;
	memset(&f, 0, sizeof(f));
	snprintf(f.what, sizeof(f.what), "%s %s port %d: %s",
	    proto == PROTO_TCP ? "tcp" : proto == PROTO_UDP ? "udp" : "icmp",
	    addr, port, reason_name((unsigned int)reason));
	list_add(&l->floored, &f);
}

/* One destination, or those that a sum has listed. */
static void
learn_denial(struct learned *l, const json_t *r)
{
	const json_t	*dsts = json_object_get(r, "dsts");
	int		 reason = reason_parse(text(r, "reason"));
	uint32_t	 proto = field_proto(r);
	json_int_t	 port = json_integer_value(json_object_get(r, "g_dp"));
	const char	*to;
	size_t		 i;

	if (!is_floor(reason) || proto == PROTO_NONE || port < 0 ||
	    port > UINT16_MAX)
		return;
	learn_floored(l, proto, text(r, "g_dst"), (int)port, reason);
	for (i = 0; i < json_array_size(dsts); i++) {
		to = json_string_value(json_array_get(dsts, i));
		if (to != NULL)
			learn_floored(l, proto, to, (int)port, reason);
	}
}

/* A log may hold earlier runs; the last start is ours. */
static void
begin(struct learned *l)
{
	l->wants.n = l->bounds.n = l->floored.n = l->seen.n = l->unclear.n = 0;
	l->seen.size = l->unclear.size = sizeof(struct observed);
	if (l->nof > 0)
		memset(l->of, 0, l->nof * sizeof(*l->of));
	l->wants.size = sizeof(struct want);
	l->bounds.size = sizeof(struct bound);
	l->floored.size = sizeof(struct floored);
	l->flows = l->bad = 0;
	l->blind = 0;
	memset(l->limited, 0, sizeof(l->limited));
}

static void
learn_record(struct learned *l, const json_t *r)
{
	const char	*type = text(r, "type");

	if (json_integer_value(json_object_get(r, "v")) != 2)
		return;		/* an earlier run's, of format 1 */
	if (strcmp(type, "daemon.start") == 0)
		begin(l);
	else if (strcmp(type, "dns") == 0)
		learn_answer(l, r), learn_stripped(l, r);
	else if (strcmp(type, "flow.open") == 0)
		learn_open(l, r);
	else if (strcmp(type, "flow.close") == 0)
		learn_close(l, r);
	else if (strcmp(type, "flow.deny") == 0 ||
	    strcmp(type, "deny.agg") == 0)
		learn_denial(l, r);
	else if (strcmp(type, "child.died") == 0)
		l->blind += strncmp(text(r, "detail"), "inspector", 9) == 0;
	learn_limit(l, r);
}

/* ---- the log ------------------------------------------------------------------- */

/* What is there is the recorder's, or it is not read: no FIFO is waited on. */
static FILE *
open_segment(int dir, const char *name)
{
	int		 fd = openat(dir, name, O_RDONLY | O_NOFOLLOW |
			    O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat	 st;
	FILE		*f = NULL;

	if (fd != -1 && (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)))
		errno = EINVAL;
	else if (fd != -1)
		f = fdopen(fd, "r");
	if (f == NULL) {
		log_warn("--learn: %s", name);
		fd_drop(&fd);
	}
	return f;
}

static int
learn_segment(struct learned *l, int dir, const char *name)
{
	FILE	*f = open_segment(dir, name);
	char	*line = NULL;
	size_t	 size = 0;
	ssize_t	 n;
	json_t	*r;

	if (f == NULL)
		return -1;
	while ((n = getline(&line, &size, f)) > 0) {
		if ((r = json_loadb(line, (size_t)n, 0, NULL)) == NULL)
			l->bad++;
		else
			learn_record(l, r);
		json_decref(r);
	}
	free(line);
	fclose(f);
	return 0;
}

/* NAME.FIRST-SEQ: what a log that grew too long was put aside as. */
static bool
is_segment(const char *file, const char *name)
{
	size_t		 len = strlen(name);
	const char	*p = file + len;

	return strncmp(file, name, len) == 0 && p[0] == '.' &&
	    p[1] != '\0' && strspn(p + 1, "0123456789") == strlen(p + 1);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(a, b);
}

struct segment_name {
	char	text[NAME_MAX + 1];
};

/* The numbers have leading zeros: the order of bytes is that of time. */
static size_t
list_segments(int dir, const char *name, struct list *l)
{
	struct segment_name	 s;
	const struct dirent	*e;
	int			 fd = openat(dir, ".", O_RDONLY | O_DIRECTORY |
				    O_CLOEXEC);
	DIR			*d = fd == -1 ? NULL : fdopendir(fd);

	if (d == NULL) {
		log_warn("--learn: the log's directory");
		fd_drop(&fd);
		return 0;
	}
	while ((e = readdir(d)) != NULL) {
		if (!is_segment(e->d_name, name))
			continue;
		memset(&s, 0, sizeof(s));
		memcpy(s.text, e->d_name, strlen(e->d_name));
		list_add(l, &s);
	}
	closedir(d);
	if (l->n > 0)
		qsort(l->item, l->n, l->size, by_bytes);
	return l->n;
}

int
learn_log(struct learned *l, int dir, const char *name)
{
	struct list	names = { .size = sizeof(struct segment_name) };
	size_t		i, n;

	begin(l);
	n = list_segments(dir, name, &names);
	for (i = 0; i < n; i++)
		(void)learn_segment(l, dir,
		    (const char *)names.item + i * names.size);
	free(names.item);
	return learn_segment(l, dir, name);
}

/* ---- the command --------------------------------------------------------------- */

/* Before CMD runs, so that nothing is learnt in vain. */
int
learn_check(const char *file)
{
	char		dir[PATH_MAX];
	struct stat	st;

	if (lstat(file, &st) == 0) {
		log_warnx("--learn: %s is there already, and is not "
		    "overwritten; name a new file", file);
		return -1;
	}
	if (file[0] != '\0' && file[strlen(file) - 1] == '/') {
		errno = EISDIR;
		log_warn("--learn: %s cannot be made", file);
		return -1;
	}
	if (strlen(file) >= sizeof(dir)) {
		log_warnx("--learn: the path is too long");
		return -1;
	}
	snprintf(dir, sizeof(dir), "%s", file);
	if (errno != ENOENT ||
	    faccessat(AT_FDCWD, dirname(dir), W_OK | X_OK, AT_EACCESS) == -1) {
		log_warn("--learn: %s cannot be made", file);
		return -1;
	}
	return 0;
}

/* True if CMD cannot have been what the user meant: it was not even run. */
static bool
never_ran(const struct learned *l, int status)
{
	return (status == EXIT_NOT_FOUND || status == EXIT_NOT_EXECUTABLE) &&
	    l->flows == 0 && l->bounds.n == 0 && l->floored.n == 0;
}

static void
say_limits(const struct learned *l)
{
	int	i;

	for (i = 0; i < REASON_MAX; i++)
		if (l->limited[i] > 0)
			log_warnx("--learn: %llu attempts %s (%s): what they "
			    "were for is not in the policy",
			    (unsigned long long)l->limited[i], learn_fate(i),
			    reason_name((unsigned int)i));
	if (l->blind > 0)
		log_warnx("--learn: the inspector was not there all the time: "
		    "rules may have more names, or verify less, than is "
		    "needed");
}

static int
learn_end(struct learned *l, const struct run *r, int status)
{
	if (l->bad > 0)
		log_warnx("--learn: %zu lines of %s could not be read", l->bad,
		    r->audit_path);
	if (never_ran(l, status)) {
		log_warnx("nothing to learn: CMD did nothing and ended with "
		    "status %d; %s is not written", status, r->learn);
		return 0;
	}
	say_limits(l);
	observed_conclude(l);
	if (learned_write(l, r) == -1)
		return -1;
	if (!r->quiet)
		log_warnx("learnt from %zu flow%s: %s; read it before you use "
		    "it", l->flows, l->flows == 1 ? "" : "s", r->learn);
	return 0;
}

void
learn_free(struct learned *l)
{
	free(l->wants.item);
	free(l->bounds.item);
	free(l->floored.item);
	free(l->seen.item);
	free(l->unclear.item);
	free(l->of);
}

/* A long log is not read against the user's will: CMD has ended, and we may. */
static void
obey_signals(const struct run *r, sigset_t *before)
{
	static const int	ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct timespec	now = { 0, 0 };
	sigset_t		set;
	size_t			i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (!r->ignored[ends[i]])
			sigaddset(&set, ends[i]);
	while (sigtimedwait(&set, NULL, &now) > 0)
		;		/* they were meant for CMD */
	sigprocmask(SIG_UNBLOCK, &set, before);
}

int
learn_write(const struct run *r, int status)
{
	struct learned	l;
	sigset_t	blocked;
	int		result;

	memset(&l, 0, sizeof(l));
	obey_signals(r, &blocked);
	result = learn_log(&l, r->log_dir, held_name(r->audit_path));
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	if (result == 0)
		result = learn_end(&l, r, status);
	learn_free(&l);
	return result;
}
