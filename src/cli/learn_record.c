/*
 * One line of a log, of format 2, and what it is evidence of.
 *
 * Trusts: nothing of a line. A name must be a name, an address an address, a reason and
 * a protocol words that we know; what is not so is not repeated, not even in a comment.
 * Must not: read a line of another tenant than is asked for.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "learn.h"

#define FORMAT		2
#define NAMES_MAX	512	/* of one record */

static const char *
text(const json_t *r, const char *key)
{
	const char	*s = json_string_value(json_object_get(r, key));

	return s == NULL ? "" : s;
}

static uint64_t
number(const json_t *r, const char *key)
{
	json_int_t	n = json_integer_value(json_object_get(r, key));

	return n < 0 ? 0 : (uint64_t)n;
}

static bool
field_name(const char *s, struct word *out)
{
	struct name	n;

	memset(out, 0, sizeof(*out));
	if (name_from_text(s, strlen(s), &n) == -1)
		return false;
	memcpy(out->text, n.text, sizeof(out->text));
	return true;
}

/* In the one spelling that there is. */
static bool
field_address(const char *s, struct word *out)
{
	struct endpoint	e;

	memset(out, 0, sizeof(*out));
	if (addr_parse(s, &e) == -1)
		return false;
	e = endpoint_canonical(e);	/* ::ffff:192.0.2.1 is dialled as IPv4 */
	addr_print(&e, out->text);
	return true;
}

static void
field_word(const json_t *r, const char *key, struct word *out)
{
	const char	*s = text(r, key);

	memset(out, 0, sizeof(*out));
	memcpy(out->text, s, strnlen(s, sizeof(out->text) - 1));
}

static uint32_t
field_proto(const json_t *r)
{
	const char	*s = text(r, "proto");

	return strcmp(s, "tcp") == 0 ? PROTO_TCP :
	    strcmp(s, "udp") == 0 ? PROTO_UDP :
	    strcmp(s, "icmp") == 0 ? PROTO_ECHO : PROTO_NONE;
}

/* Protocol, port and address of the guest's destination. */
static bool
field_target(const json_t *r, uint32_t *proto, uint32_t *port, struct word *addr)
{
	json_int_t	n = json_integer_value(json_object_get(r, "g_dp"));

	*proto = field_proto(r);
	*port = *proto == PROTO_ECHO ? 0 : (uint32_t)n;
	return *proto != PROTO_NONE && n >= (*proto != PROTO_ECHO) &&
	    n <= UINT16_MAX && field_address(text(r, "g_dst"), addr);
}

/* ---- names ------------------------------------------------------------------------ */

static void
add_floored(struct learned *l, const struct floored *f, uint64_t n)
{
	struct floored	*at = list_at(&l->floored, list_put(&l->floored, f));

	at->n += n;
}

static void
dns_answer(struct learned *l, const json_t *r, const struct word *guest,
    const struct word *name)
{
	const json_t	*ips = json_object_get(r, "ips");
	struct word	 addr;
	const char	*s;
	size_t		 i;

	for (i = 0; i < json_array_size(ips); i++) {
		s = json_string_value(json_array_get(ips, i));
		if (s != NULL && field_address(s, &addr))
			evidence_answer(l, guest, name, &addr, number(r, "mono_ns"));
	}
}

/* The addresses that were taken out of its answer: a list in words. */
static void
dns_stripped(struct learned *l, const json_t *r, const struct word *name)
{
	struct floored	f = { .proto = PROTO_NONE };
	char		word[ENDPOINT_STRLEN];
	struct word	addr;
	const char	*p = text(r, "detail");
	uint64_t	left = number(r, "stripped");
	size_t		n;

	memcpy(f.name, name->text, sizeof(f.name));
	/* those without a route come after them */
	for (; *p != '\0' && left > 0; p += n, left--) {
		p += strspn(p, ", ");
		n = strcspn(p, ", ");
		snprintf(word, sizeof(word), "%.*s", (int)n, p);
		if (!field_address(word, &addr))
			continue;
		memcpy(f.addr, addr.text, sizeof(f.addr));
		add_floored(l, &f, 1);
	}
}

static void
on_dns(struct learned *l, const json_t *r)
{
	struct word	guest, name;

	field_word(r, "guest", &guest);
	if (!field_name(text(r, "name"), &name))
		return;
	dns_answer(l, r, &guest, &name);
	dns_stripped(l, r, &name);
}

/* ---- flows ------------------------------------------------------------------------- */

/* `name', or `names': in the second case "..." stands for those that did not fit. */
static size_t
field_names(const json_t *r, struct word out[NAMES_MAX], bool *more)
{
	const json_t	*list = json_object_get(r, "names");
	const char	*s;
	size_t		 i, n = 0;

	*more = false;
	if (field_name(text(r, "name"), &out[0]))
		return 1;
	for (i = 0; i < json_array_size(list); i++) {
		s = json_string_value(json_array_get(list, i));
		if (s == NULL || n == NAMES_MAX || !field_name(s, &out[n]))
			*more = true;
		else
			n++;
	}
	return n;
}

/*
 * Which of them its first bytes named. With Encrypted Client Hello another server name
 * than that of the flow is the outer one, of which nothing follows.
 */
static void
field_shown(const json_t *r, struct flow_fact *f, struct word *other)
{
	const char	*assurance = text(r, "assurance");
	bool		 ech = json_is_true(json_object_get(r, "ech"));
	bool		 sni = field_name(text(r, "sni"), other);

	f->how = HOW_ASKED;
	if (*text(r, "name") != '\0' && f->nnames == 1) {
		if (strcmp(assurance, "host") == 0)
			f->how = HOW_HOST;
		else if (strcmp(assurance, "sni") == 0 || (ech && sni &&
		    memcmp(other, f->name, sizeof(*other)) == 0))
			f->how = HOW_SNI;
	}
	if (f->how == HOW_SNI && ech)
		f->saw |= SAW_ECH;
	if (f->how == HOW_ASKED && !sni && (*text(r, "alpn") != '\0' ||
	    json_array_size(json_object_get(r, "alpn")) > 0 ||
	    json_object_get(r, "tls_offered") != NULL))
		f->saw |= SAW_HELLO;
	if (f->how == HOW_ASKED && !ech &&
	    (sni || field_name(text(r, "vhost"), other)))
		f->other = other;
}

static void
on_open(struct learned *l, const json_t *r)
{
	static struct word	names[NAMES_MAX];
	struct flow_fact	f = { .flow = number(r, "flow"),
				    .when = number(r, "mono_ns"), .name = names };
	struct word		other;

	if (!field_target(r, &f.proto, &f.port, &f.addr))
		return;
	field_word(r, "guest", &f.guest);
	f.nnames = field_names(r, names, &f.more);
	field_shown(r, &f, &other);
	evidence_flow(l, &f);
}

/* One that ended before its first bytes told what it was has no open. */
static void
on_close(struct learned *l, const json_t *r)
{
	if (*text(r, "verdict") == '\0' && json_object_get(r, "rec") != NULL)
		on_open(l, r);
	evidence_close(l, number(r, "flow"), number(r, "up") != 0 ||
	    number(r, "down") != 0);
}

/* ---- what came to nothing --------------------------------------------------------------- */

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

/* For no rule's sake, and it may have been needed. */
static void
on_any(struct learned *l, const json_t *r, const char *type)
{
	int		reason = reason_parse(text(r, "reason"));
	uint64_t	n = 1;

	if (!is_limit(reason) && !is_failure(reason))
		return;
	if (strcmp(type, "deny.agg") == 0)
		n = number(r, "n");
	else if (strcmp(type, "audit.gap") == 0)
		n = number(r, "opens") + number(r, "denies");
	else if (strcmp(text(r, "verdict"), "deny") != 0 && !is_failure(reason))
		n = 0;
	l->limited[reason] += n;
}

static bool
is_floor(int reason)
{
	return reason == REASON_FLOOR_SPECIAL || reason == REASON_FLOOR_LOCAL ||
	    reason == REASON_FLOOR_METADATA || reason == REASON_FLOOR_PORT;
}

/* Of proto, port and reason, at one address. */
static void
one_floored(struct learned *l, struct floored f, const char *to, const json_t *r)
{
	struct word	addr, name;

	if (!field_address(to, &addr))
		return;
	memcpy(f.addr, addr.text, sizeof(f.addr));
	if (field_name(text(r, "name"), &name))
		memcpy(f.name, name.text, sizeof(f.name));
	add_floored(l, &f, 1);
}

/* One destination, or those that a sum has listed. */
static void
on_denial(struct learned *l, const json_t *r)
{
	const json_t	*dsts = json_object_get(r, "dsts");
	int		 reason = reason_parse(text(r, "reason"));
	struct floored	 f = { .proto = field_proto(r),
			    .port = (uint32_t)number(r, "g_dp"),
			    .reason = (uint32_t)reason };
	const char	*to;
	size_t		 i;

	if (!is_floor(reason) || f.proto == PROTO_NONE ||
	    number(r, "g_dp") > UINT16_MAX)
		return;
	if (f.proto == PROTO_ECHO)
		f.port = 0;
	one_floored(l, f, text(r, "g_dst"), r);
	for (i = 0; i < json_array_size(dsts); i++) {
		to = json_string_value(json_array_get(dsts, i));
		if (to != NULL)
			one_floored(l, f, to, r);
	}
}

/* ---- a line --------------------------------------------------------------------------------- */

/* What was learnt of the runs before it does not count, if the last one is meant. */
static void
on_start(struct learned *l)
{
	struct list	*of[] = { &l->names, &l->addrs, &l->guests, &l->spots,
			    &l->claims, &l->floored, &l->asked, &l->shown,
			    &l->tenants };
	size_t		 i;

	evidence_begin(l);
	l->starts++;
	if (!l->last_only)
		return;
	for (i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		list_empty(of[i]);
	l->flows = l->bad = l->old = l->cut = 0;
	l->blind = 0;
	memset(l->limited, 0, sizeof(l->limited));
}

/* Who it is about, if anyone: is that who is asked for? `run --learn' names nobody. */
static bool
is_ours(struct learned *l, const json_t *r)
{
	struct word	tenant;

	field_word(r, "tenant", &tenant);
	if (*tenant.text == '\0')
		return true;
	(void)list_put(&l->tenants, &tenant);
	return l->tenant == NULL || strcmp(tenant.text, l->tenant) == 0 ||
	    strcmp(tenant.text, LEARN_TENANT) == 0;
}

static const struct {
	const char	*type;
	void		(*on)(struct learned *, const json_t *);
} types[] = {
	{ "dns", on_dns },
	{ "flow.open", on_open },
	{ "flow.close", on_close },
	{ "flow.deny", on_denial },
	{ "deny.agg", on_denial },
};

static void
one_record(struct learned *l, const json_t *r)
{
	const char	*type = text(r, "type");
	size_t		 i;

	if (json_is_true(json_object_get(r, "torn")))
		return;		/* none of its members counts */
	if (strcmp(type, "daemon.start") == 0)
		return on_start(l);
	if (!is_ours(l, r))
		return;
	on_any(l, r, type);
	if (strcmp(type, "flow.dial") == 0)
		return evidence_dial(l, number(r, "flow"), number(r, "mono_ns"));
	if (strcmp(type, "child.died") == 0)
		l->blind += strncmp(text(r, "detail"), "inspector", 9) == 0;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i].type) == 0)
			types[i].on(l, r);
}

void
record_line(struct learned *l, const char *line, size_t len)
{
	json_t	*r = json_loadb(line, len, 0, NULL);

	if (r == NULL)
		l->bad++;
	else if (!json_is_object(r) ||
	    json_integer_value(json_object_get(r, "v")) != FORMAT)
		l->old++;
	else
		one_record(l, r);
	json_decref(r);
}
