/*
 * Which records may become a line: every word is one that there is, every string ends,
 * every endpoint and name is whole, every list is one.
 *
 * Trusts: nothing. Must not: let a record pass that line.c could not print.
 */
#include "config.h"

#include <string.h>

#include "reason.h"
#include "recorder.h"

#define RCODE_MAX	15u		/* of a message's head */

static bool
ended(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

/* Well-formed, or none at all. */
static bool
endpoint_known(const struct endpoint *e)
{
	static const struct endpoint	none;

	return memcmp(e, &none, sizeof(none)) == 0 || endpoint_valid(e);
}

/* What may stand in a line by itself: a question never does, without its name. */
static bool
acceptable(const struct record *r)
{
	return r->type > 0 && r->type < REC_TYPE_MAX &&
	    r->verdict <= VERDICT_AUDIT_DENY && r->reason < REASON_MAX &&
	    (r->proto == PROTO_NONE || r->proto == PROTO_TCP ||
	    r->proto == PROTO_UDP || r->proto == PROTO_ECHO) &&
	    r->csrc <= CSRC_FRAME && r->err < 4096 &&
	    endpoint_known(&r->g_src) && endpoint_known(&r->g_dst) &&
	    endpoint_known(&r->h_src) && endpoint_known(&r->h_dst) &&
	    ended(r->tenant, sizeof(r->tenant)) &&
	    ended(r->guest, sizeof(r->guest)) &&
	    ended(r->rule, sizeof(r->rule)) && ended(r->loc, sizeof(r->loc)) &&
	    ended(r->detail, sizeof(r->detail));
}

static bool
is_question(const struct record *r)
{
	return r->type == REC_DNS || r->type == REC_DNS_ASK;
}

bool
line_acceptable(const struct record *r)
{
	return acceptable(r) && !is_question(r) && r->type != REC_FLOW_DIAL &&
	    r->type != REC_DAEMON_START && r->type != REC_POLICY_LOAD;
}

/* Texts with one space, or comma, between them, of which none is empty. */
static bool
is_list(char between, const char *s, size_t size)
{
	size_t	i;

	for (i = 0; i < size && s[i] != '\0'; i++)
		if (s[i] == between && (i == 0 || s[i - 1] == between ||
		    i + 1 == size || s[i + 1] == '\0'))
			return false;
	return i < size;
}

/* The names that a flow may be of; nothing of it is escaped. */
static bool
is_names(const char *s, size_t size)
{
	return is_list(' ', s, size) && strspn(s,
	    "abcdefghijklmnopqrstuvwxyz0123456789_-. ") == strlen(s);
}

static bool
name_known(const struct name *n)
{
	static const struct name	none;

	return name_equal(n, &none) || name_valid(n);
}

/* Each argument ends, and none stands behind the last. */
static bool
is_command(const struct record_named *n)
{
	return n->cmd_cut <= 1 && n->cmd_len <= sizeof(n->cmd) &&
	    (n->cmd_len == 0 || n->cmd[n->cmd_len - 1] == '\0');
}

/* What stands in the place of the lists. */
static bool
lists_known(const struct record_named *n)
{
	if (n->r.type == REC_DAEMON_START)
		return is_command(n);
	if (n->r.type == REC_POLICY_LOAD)
		return ended(n->policy, sizeof(n->policy));
	return is_list(',', n->alpn, sizeof(n->alpn)) &&
	    (is_question(&n->r) ? is_list(' ', n->chain, sizeof(n->chain)) :
	    is_names(n->chain, sizeof(n->chain))) &&
	    is_list(' ', n->ips, sizeof(n->ips));
}

bool
line_acceptable_named(const struct record_named *n)
{
	return acceptable(&n->r) && name_known(&n->name) &&
	    name_known(&n->sni) &&
	    (!is_question(&n->r) || n->name.len > 0) &&
	    n->assurance <= ASSURANCE_HOST && n->ech <= 1 &&
	    n->qtype <= UINT16_MAX && n->secure <= 1 && n->urgent <= 1 &&
	    n->vhost <= 1 && n->least <= 1 && n->wants <= WANTS_LOOK &&
	    n->bits <= (n->r.g_dst.family == ADDR_V4 ? 32 : 128) &&
	    n->tls <= UINT16_MAX && n->rcode <= RCODE_MAX + 1 &&
	    n->upstream_tls <= 1 && endpoint_known(&n->upstream) &&
	    lists_known(n);
}
