/*
 * The members of a record's line: one table, in the order of the line, which is that of
 * sallyport-audit(5). A new member is a line of the table, and has its place in the
 * schema, the manual page and the validator; tests/recorder/test_words.py compares them.
 *
 * Trusts: that the record is acceptable (accept.c). Must not: print a member that the
 * type does not have, or that is not known.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "line.h"
#include "reason.h"

/* Is it there, if the type has it? */
enum when {
	IF_SET,
	FIRM,			/* even if it is zero, where the type must have it */
	ALWAYS
};

struct member {
	const char	*key;		/* ,"key": */
	uint16_t	 len;
	uint16_t	 part;		/* enum part */
	uint32_t	 field;		/* of the type's; 0 = of all */
	uint32_t	 with, without;	/* others that the type must have, or not */
	size_t		 at, size;	/* in a struct record_named */
	enum when	 when;
	void		(*put)(struct json *, const struct member *, const void *,
			    const struct subject *);
	const char *const *words;
};

static const char *const	verdicts[] = { NULL, "allow", "deny", "audit-deny" };
static const char *const	sources[] = { NULL, "kernel", "frame" };
static const char *const	assurances[] = { "none", "dns", "sni", "host" };
static const char *const	wants[] = { "nothing", "proof", "look" };

static void
key(struct json *j, const struct member *m)
{
	json_put(j, m->key, m->len);
}

static uint64_t
number(const struct member *m, const void *v)
{
	uint32_t	small;
	uint64_t	large;

	if (m->size == sizeof(small)) {
		memcpy(&small, v, sizeof(small));
		return small;
	}
	memcpy(&large, v, sizeof(large));
	return large;
}

#define PUT(name)							\
static void								\
name(struct json *j, const struct member *m, const void *v,		\
    const struct subject *s)

PUT(put_number)
{
	(void)s;
	key(j, m);
	json_u64(j, number(m, v));
}

PUT(put_true)
{
	(void)v;
	(void)s;
	key(j, m);
	JSON_LIT(j, "true");
}

PUT(put_time)
{
	(void)s;
	key(j, m);
	json_time(j, number(m, v));
}

PUT(put_text)
{
	(void)s;
	key(j, m);
	json_str(j, v, m->size);
}

PUT(put_name)
{
	const struct name	*n = v;

	(void)s;
	key(j, m);
	json_str(j, n->text, sizeof(n->text));
}

/* A name that was shown is one of two. */
PUT(put_sni)
{
	if (s->n->vhost == 0)
		put_name(j, m, v, s);
}

PUT(put_vhost)
{
	if (s->n->vhost != 0)
		put_name(j, m, v, s);
}

PUT(put_word)
{
	(void)s;
	key(j, m);
	json_str(j, m->words[number(m, v)], 64);
}

PUT(put_reason)
{
	(void)s;
	key(j, m);
	json_str(j, reason_name((unsigned int)number(m, v)), 64);
}

PUT(put_proto)
{
	(void)s;
	key(j, m);
	json_str(j, proto_name((uint32_t)number(m, v)), 64);
}

/* It was accepted from a broker of the same build. */
PUT(put_version)
{
	(void)v;
	(void)s;
	key(j, m);
	JSON_LIT(j, "\"" PACKAGE_VERSION "\"");
}

/* "1.3"; what no protocol has a word for, as it is on the wire. */
PUT(put_tls)
{
	uint32_t		version = (uint32_t)number(m, v);
	const uint8_t		wire[] = { (uint8_t)(version >> 8),
				    (uint8_t)version };

	(void)s;
	key(j, m);
	if (version == 0x300)
		JSON_LIT(j, "\"SSL 3.0\"");
	else if (version > 0x300 && version <= 0x304) {
		JSON_LIT(j, "\"1.");
		json_u64(j, version - 0x301);
		JSON_LIT(j, "\"");
	} else {
		JSON_LIT(j, "\"0x");
		json_hex(j, wire, sizeof(wire));
		JSON_LIT(j, "\"");
	}
}

/* RFC 1035, 2136. */
PUT(put_rcode)
{
	static const char *const	words[] = { "NOERROR", "FORMERR",
					    "SERVFAIL", "NXDOMAIN", "NOTIMP",
					    "REFUSED", "YXDOMAIN", "YXRRSET",
					    "NXRRSET", "NOTAUTH", "NOTZONE" };
	uint64_t			code = number(m, v) - 1;

	(void)s;
	key(j, m);
	if (code < sizeof(words) / sizeof(words[0]))
		json_str(j, words[code], 16);
	else {
		JSON_LIT(j, "\"RCODE");
		json_u64(j, code);
		JSON_LIT(j, "\"");
	}
}

PUT(put_hash)
{
	(void)s;
	key(j, m);
	JSON_LIT(j, "\"");
	json_hex(j, v, 8);
	JSON_LIT(j, "\"");
}

PUT(put_whole_hash)
{
	(void)s;
	key(j, m);
	JSON_LIT(j, "\"");
	json_hex(j, v, m->size);
	JSON_LIT(j, "\"");
}

/* inet_ntop(3) prints IPv4 by way of printf: a quarter of a line's time. */
static void
v4(struct json *j, const uint8_t *a)
{
	int	i;

	for (i = 0; i < 4; i++) {
		json_put(j, i == 0 ? "\"" : ".", 1);
		json_u64(j, a[i]);
	}
	JSON_LIT(j, "\"");
}

PUT(put_address)
{
	const struct endpoint	*e = v;
	char			 text[ENDPOINT_STRLEN];

	(void)s;
	key(j, m);
	if (e->family == ADDR_V4)
		v4(j, e->addr);
	else
		json_str(j, addr_print(e, text), sizeof(text));
}

/* What a guest meant, or only the net in which it was. */
PUT(put_target)
{
	if (s->n == NULL || s->n->bits == 0)
		put_address(j, m, v, s);
}

PUT(put_net)
{
	const struct endpoint	*e = v;
	char			 text[ENDPOINT_STRLEN];

	if (s->n == NULL || s->n->bits == 0)
		return;
	key(j, m);
	JSON_LIT(j, "\"");
	addr_print(e, text);
	json_put(j, text, strlen(text));
	JSON_LIT(j, "/");
	json_u64(j, s->n->bits);
	JSON_LIT(j, "\"");
}

PUT(put_port)
{
	const struct endpoint	*e = v;

	if (s->r->proto != PROTO_TCP && s->r->proto != PROTO_UDP)
		return;
	key(j, m);
	json_u64(j, e->port);
}

/* Of two endpoints, one behind the other. */
PUT(put_community)
{
	const struct endpoint	*e = v;
	char			 id[COMMUNITY_LEN];

	if (!community_id(id, s->r->proto, &e[0], &e[1]))
		return;
	key(j, m);
	json_str(j, id, sizeof(id));
}

/* RFC 1035, 3596, 2782, 9460; what has no word here is RFC 3597's. */
PUT(put_qtype)
{
	uint64_t	qtype = number(m, v);
	static const struct {
		uint32_t	 qtype;
		const char	*word;
	} known[] = {
		{ 1, "A" }, { 2, "NS" }, { 5, "CNAME" }, { 6, "SOA" },
		{ 12, "PTR" }, { 15, "MX" }, { 16, "TXT" }, { 28, "AAAA" },
		{ 33, "SRV" }, { 64, "SVCB" }, { 65, "HTTPS" }, { 255, "ANY" }
	};
	size_t	i;

	(void)s;
	key(j, m);
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].qtype == qtype) {
			json_str(j, known[i].word, 16);
			return;
		}
	JSON_LIT(j, "\"TYPE");
	json_u64(j, qtype);
	JSON_LIT(j, "\"");
}

/* "a b c" as ["a","b","c"]. */
static void
list(struct json *j, char between, const char *s, size_t len)
{
	const char	*end;
	size_t		 n;

	JSON_LIT(j, "[");
	while (len > 0) {
		end = memchr(s, between, len);
		n = end != NULL ? (size_t)(end - s) : len;
		json_str(j, s, n);
		n += end != NULL;
		s += n;
		len -= n;
		if (len > 0)
			JSON_LIT(j, ",");
	}
	JSON_LIT(j, "]");
}

PUT(put_list)
{
	(void)s;
	key(j, m);
	list(j, ' ', v, strnlen(v, m->size));
}

/* Arguments can hold whatever stands between those of another list. */
PUT(put_command)
{
	const char	*at = s->n->cmd, *end = at + s->n->cmd_len;

	(void)v;
	key(j, m);
	JSON_LIT(j, "[");
	for (; at < end; at += strlen(at) + 1) {
		if (at != s->n->cmd)
			JSON_LIT(j, ",");
		json_str(j, at, (size_t)(end - at));
	}
	JSON_LIT(j, "]");
}

PUT(put_server_port)
{
	const struct endpoint	*e = v;

	(void)s;
	key(j, m);
	json_u64(j, e->port);
}

PUT(put_commas)
{
	(void)s;
	key(j, m);
	list(j, ',', v, strnlen(v, m->size));
}

void
member_errno(struct json *j, uint32_t err)
{
	const char	*name = strerrorname_np((int)err);

	JSON_KEY(j, "errno");
	if (name != NULL)
		json_str(j, name, 32);
	else {
		JSON_LIT(j, "\"E");
		json_u64(j, err);
		JSON_LIT(j, "\"");
	}
}

PUT(put_errno)
{
	(void)s;
	member_errno(j, (uint32_t)number(m, v));
}

/* ---- the table --------------------------------------------------------------------- */

#define KEY(name)	.key = ",\"" name "\":", .len = sizeof(",\"" name "\":") - 1
#define AT(field)	.at = offsetof(struct record_named, field),		\
			.size = sizeof(((struct record_named *)NULL)->field)

static const struct member	members[] = {
	{ KEY("verdict"), MEMBER_VERDICT, AT(r.verdict), .put = put_word,
	    .words = verdicts },
	{ KEY("reason"), MEMBER_VERDICT, AT(r.reason), .put = put_reason },

	{ KEY("tenant"), MEMBER_BODY, F_WHO, AT(r.tenant), .when = FIRM,
	    .put = put_text },
	{ KEY("guest"), MEMBER_BODY, F_WHO, AT(r.guest), .when = FIRM,
	    .put = put_text },
	{ KEY("flow"), MEMBER_BODY, F_FLOW, .without = F_ASK, AT(r.flow),
	    .when = FIRM, .put = put_number },
	{ KEY("ask"), MEMBER_BODY, F_FLOW, .with = F_ASK, AT(r.flow),
	    .when = FIRM, .put = put_number },
	{ KEY("proto"), MEMBER_BODY, F_TUPLE | F_SUM, AT(r.proto),
	    .put = put_proto },
	{ KEY("g_src"), MEMBER_BODY, F_TUPLE, AT(r.g_src), .put = put_address },
	{ KEY("g_sp"), MEMBER_BODY, F_TUPLE, AT(r.g_src), .put = put_port },
	{ KEY("g_dst"), MEMBER_BODY, F_TUPLE, AT(r.g_dst), .put = put_target },
	{ KEY("g_net"), MEMBER_BODY, F_SUM, AT(r.g_dst), .put = put_net },
	{ KEY("g_dp"), MEMBER_BODY, F_TUPLE | F_SUM, AT(r.g_dst),
	    .put = put_port },
	{ KEY("h_src"), MEMBER_BODY, F_TUPLE, AT(r.h_src), .put = put_address },
	{ KEY("h_sp"), MEMBER_BODY, F_TUPLE, AT(r.h_src), .put = put_port },
	{ KEY("h_dst"), MEMBER_BODY, F_TUPLE, AT(r.h_dst), .put = put_address },
	{ KEY("h_dp"), MEMBER_BODY, F_TUPLE, AT(r.h_dst), .put = put_port },
	{ KEY("g_cid"), MEMBER_BODY, F_TUPLE, AT(r.g_src), .put = put_community },
	{ KEY("h_cid"), MEMBER_BODY, F_TUPLE, AT(r.h_src), .put = put_community },
	{ KEY("name"), MEMBER_BODY, F_NAME, AT(name), .put = put_name },
	{ KEY("names"), MEMBER_BODY, F_SHOWN | F_SUM, AT(chain),
	    .put = put_list },
	{ KEY("dsts"), MEMBER_BODY, F_SUM, AT(ips), .put = put_list },
	{ KEY("qtype"), MEMBER_BODY, F_ASK, AT(qtype), .when = FIRM,
	    .put = put_qtype },
	{ KEY("chain"), MEMBER_BODY, F_DNS, AT(chain), .put = put_list },
	{ KEY("ips"), MEMBER_BODY, F_DNS, AT(ips), .put = put_list },
	{ KEY("ttl"), MEMBER_BODY, F_DNS, AT(ttl), .when = FIRM,
	    .put = put_number },
	{ KEY("stripped"), MEMBER_BODY, F_DNS, AT(stripped), .put = put_number },
	{ KEY("secure"), MEMBER_BODY, F_DNS, AT(secure), .put = put_true },
	{ KEY("upstream"), MEMBER_BODY, F_SOURCE, AT(upstream),
	    .put = put_address },
	{ KEY("upstream_port"), MEMBER_BODY, F_SOURCE, AT(upstream),
	    .put = put_server_port },
	{ KEY("upstream_tls"), MEMBER_BODY, F_SOURCE, AT(upstream_tls),
	    .put = put_true },
	{ KEY("rcode"), MEMBER_BODY, F_SOURCE, AT(rcode), .put = put_rcode },
	{ KEY("sni"), MEMBER_BODY, F_SHOWN | F_SUM, AT(sni), .put = put_sni },
	{ KEY("vhost"), MEMBER_BODY, F_SHOWN | F_SUM, AT(sni),
	    .put = put_vhost },
	{ KEY("alpn"), MEMBER_BODY, F_SHOWN, AT(alpn), .put = put_commas },
	{ KEY("tls_offered"), MEMBER_BODY, F_SHOWN, AT(tls), .put = put_tls },
	{ KEY("ech"), MEMBER_BODY, F_SHOWN, AT(ech), .put = put_true },
	{ KEY("assurance"), MEMBER_BODY, F_SHOWN, AT(assurance), .when = ALWAYS,
	    .put = put_word, .words = assurances },
	{ KEY("rule_id"), MEMBER_BODY, F_RULE, AT(r.rule), .put = put_text },
	{ KEY("loc"), MEMBER_BODY, F_RULE, AT(r.loc), .put = put_text },
	{ KEY("gen"), MEMBER_BODY, F_POL, AT(r.gen), .when = FIRM,
	    .put = put_number },
	{ KEY("pol"), MEMBER_BODY, F_POL, AT(r.pol), .when = FIRM,
	    .put = put_hash },

	{ KEY("policy"), MEMBER_BODY, F_TEXT, AT(policy), .when = FIRM,
	    .put = put_text },
	{ KEY("pol_text"), MEMBER_BODY, F_TEXT, AT(text), .when = FIRM,
	    .put = put_whole_hash },
	{ KEY("version"), MEMBER_BODY, F_START, AT(uid), .when = FIRM,
	    .put = put_version },
	{ KEY("uid"), MEMBER_BODY, F_START, AT(uid), .when = FIRM,
	    .put = put_number },
	{ KEY("cmd"), MEMBER_BODY, F_START, AT(cmd_len), .put = put_command },
	{ KEY("cmd_cut"), MEMBER_BODY, F_START, AT(cmd_cut), .put = put_true },

	{ KEY("wants"), MEMBER_REST, F_WANTS, AT(wants), .when = FIRM,
	    .put = put_word, .words = wants },
	{ KEY("up"), MEMBER_REST, F_BYTES | F_LIVE, AT(r.up), .when = FIRM,
	    .put = put_number },
	{ KEY("down"), MEMBER_REST, F_BYTES | F_LIVE, AT(r.down), .when = FIRM,
	    .put = put_number },
	{ KEY("pup"), MEMBER_REST, F_BYTES, AT(r.pup), .when = FIRM,
	    .put = put_number },
	{ KEY("pdown"), MEMBER_REST, F_BYTES, AT(r.pdown), .when = FIRM,
	    .put = put_number },
	{ KEY("csrc"), MEMBER_REST, F_CSRC, AT(r.csrc), .put = put_word,
	    .words = sources },
	{ KEY("dur_ns"), MEMBER_REST, F_TIME, AT(r.dur), .when = FIRM,
	    .put = put_number },
	{ KEY("rtt_ns"), MEMBER_REST, F_TIME | F_SOURCE, AT(r.rtt), .put = put_number },
	{ KEY("conn_ns"), MEMBER_REST, F_CONN, AT(r.conn), .put = put_number },
	{ KEY("errno"), MEMBER_REST, F_ERRNO, AT(r.err), .put = put_errno },
	{ KEY("n"), MEMBER_REST, F_COUNT, AT(r.n), .when = FIRM,
	    .put = put_number },
	{ KEY("first"), MEMBER_REST, F_COUNT, AT(r.first), .put = put_time },
	{ KEY("last"), MEMBER_REST, F_COUNT, AT(r.last), .put = put_time },
	{ KEY("uniq"), MEMBER_REST, F_COUNT, AT(r.uniq), .put = put_number },
	{ KEY("uniq_least"), MEMBER_REST, F_SUM, AT(least), .put = put_true },
	{ KEY("pid"), MEMBER_REST, F_PID, AT(r.pid), .put = put_number },
	{ KEY("signal"), MEMBER_REST, F_DEATH, AT(r.signal), .when = FIRM,
	    .put = put_number },
	{ KEY("status"), MEMBER_REST, F_DEATH, AT(r.status), .when = FIRM,
	    .put = put_number },
	{ KEY("detail"), MEMBER_REST, F_DETAIL, AT(r.detail), .when = FIRM,
	    .put = put_text },
};

/* Not zero. Texts are NUL-filled, names and endpoints begin with what they are. */
static bool
is_set(const unsigned char *v, size_t size)
{
	size_t	i;

	for (i = 0; i < size && i < sizeof(uint64_t); i++)
		if (v[i] != 0)
			return true;
	return false;
}

static bool
is_there(const struct member *m, const struct shape *s, const void *v)
{
	uint32_t	all = s->must | s->may;

	if ((all & m->with) != m->with || (all & m->without) != 0)
		return false;
	if (m->field != 0 && (all & m->field) == 0)
		return false;
	return m->when == ALWAYS || (m->when == FIRM &&
	    (s->must & m->field) != 0) || is_set(v, m->size);
}

void
member_put(struct json *j, enum part part, const struct subject *s)
{
	const unsigned char	*from;
	const struct member	*m, *end = members +
				    sizeof(members) / sizeof(members[0]);

	for (m = members; m < end; m++) {
		if (m->part != part || (m->at >= sizeof(struct record) &&
		    s->n == NULL))
			continue;
		from = s->n != NULL ? (const unsigned char *)s->n :
		    (const unsigned char *)s->r;
		if (is_there(m, s->shape, from + m->at))
			m->put(j, m, from + m->at, s);
	}
}

bool
member_in_body(const char *name, size_t len)
{
	const struct member	*m, *end = members +
				    sizeof(members) / sizeof(members[0]);

	for (m = members; m < end; m++)
		if (m->part == MEMBER_BODY && m->len == len + 4 &&
		    memcmp(m->key + 2, name, len) == 0)
			return true;
	return false;
}
