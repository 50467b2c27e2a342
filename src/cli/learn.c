/*
 * `sallyport run --learn': what CMD did, as the audit log of its run tells it.
 *
 * The log is the source because it is complete: no connection exists without its
 * record, and in audit mode that has the name which the flow's first bytes showed.
 *
 * Trusts: the recorder. What it took from CMD is checked again all the same: a
 * name must be a name and an address an address before it is written.
 * Must not: be reached unless the policy was ours, and CMD is gone.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* "a.example,b.example"; what does not fit is said by "...". */
static void
field_names(const char *s, struct observed *o)
{
	char	name[NAME_SIZE], word[NAME_SIZE];
	size_t	n, at = 0;

	for (; *s != '\0'; s += n + (s[n] == ',')) {
		n = strcspn(s, ",");
		snprintf(word, sizeof(word), "%.*s", (int)n, s);
		if (n >= sizeof(word) || !field_name(word, name) ||
		    at + n + 2 > sizeof(o->names)) {
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
	json_int_t	port = json_integer_value(json_object_get(r, "g.dp"));

	memset(&o, 0, sizeof(o));
	o.proto = field_proto(r);
	o.port = o.proto == PROTO_ECHO ? 0 : (uint32_t)port;
	if (o.proto == PROTO_NONE || port < 0 || port > UINT16_MAX ||
	    !field_address(text(r, "g.dst"), o.addr))
		return;
	if (!field_name(text(r, "name"), o.name)) {
		memset(o.name, 0, sizeof(o.name));
		field_names(text(r, "names"), &o);
	}
	field_shown(r, &o);
	observed_open(l, flow_number(r), &o);
}

static void
learn_close(struct learned *l, const json_t *r)
{
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
	size_t		n;

	if (json_object_get(r, "stripped") == NULL ||
	    !field_name(text(r, "name"), name))
		return;
	for (; *p != '\0'; p += n) {
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

static void
learn_denial(struct learned *l, const json_t *r)
{
	struct floored	f;
	char		addr[ENDPOINT_STRLEN];
	const char	*reason = text(r, "reason");

	if (strncmp(reason, "floor-", 6) != 0 ||
	    !field_address(text(r, "g.dst"), addr))
		return;
	memset(&f, 0, sizeof(f));
	snprintf(f.what, sizeof(f.what), "%.5s %s port %d: %.30s",
	    text(r, "proto"), addr,
	    (int)json_integer_value(json_object_get(r, "g.dp")), reason);
	list_add(&l->floored, &f);
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

static int
learn_segment(struct learned *l, const char *path)
{
	FILE	*f = fopen(path, "re");
	char	*line = NULL;
	size_t	 size = 0;
	ssize_t	 n;
	json_t	*r;

	if (f == NULL) {
		log_warn("--learn: %s", path);
		return -1;
	}
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

static const char	*segment_of;	/* the log's name, for scandir() */

/* NAME.FIRST-SEQ: what a log that grew too long was put aside as. */
static int
is_segment(const struct dirent *e)
{
	size_t	len = strlen(segment_of);
	const char *p = e->d_name + len;

	return strncmp(e->d_name, segment_of, len) == 0 && p[0] == '.' &&
	    p[1] != '\0' && strspn(p + 1, "0123456789") == strlen(p + 1);
}

static int
learn_log(struct learned *l, const char *path)
{
	char		 dir[PATH_MAX], base[PATH_MAX], segment[2 * PATH_MAX];
	struct dirent	**e;
	int		 i, n;

	snprintf(dir, sizeof(dir), "%s", path);
	snprintf(base, sizeof(base), "%s", path);
	segment_of = basename(base);
	/* the numbers have leading zeros: the order of bytes is that of time */
	n = scandir(dirname(dir), &e, is_segment, alphasort);
	for (i = 0; i < n; i++) {
		snprintf(segment, sizeof(segment), "%s/%s", dir, e[i]->d_name);
		(void)learn_segment(l, segment);
		free(e[i]);
	}
	if (n >= 0)
		free(e);
	return learn_segment(l, path);
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

int
learn_write(const struct run *r, int status)
{
	struct learned	l;
	int		result;

	memset(&l, 0, sizeof(l));
	begin(&l);
	if (learn_log(&l, r->audit_path) == -1)
		return -1;
	result = learn_end(&l, r, status);
	free(l.wants.item);
	free(l.bounds.item);
	free(l.floored.item);
	free(l.seen.item);
	free(l.unclear.item);
	free(l.of);
	return result;
}
