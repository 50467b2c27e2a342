/*
 * What a policy that was learnt lacks, and the user has to know: what limits refused, and
 * private addresses, which the floor holds back: a mirror of one's own is the usual case,
 * and an exception may let it in.
 *
 * Trusts: learn_record.c, which has checked each address.
 * Must not: propose what no exception can lift, or this host itself.
 */
#include <stdio.h>
#include <string.h>

#include "learn.h"

#define SAID_MAX	3

static const struct {
	const char	*net;
	unsigned int	 bits;
} private_nets[] = {
	{ "10.0.0.0", 8 }, { "100.64.0.0", 10 }, { "172.16.0.0", 12 },
	{ "192.168.0.0", 16 }, { "fc00::", 7 },
};

static bool
covers(const struct endpoint *net, unsigned int bits, const struct endpoint *e)
{
	unsigned int	whole = bits / 8, rest = bits % 8;

	return net->family == e->family && memcmp(net->addr, e->addr, whole) == 0 &&
	    (rest == 0 || (net->addr[whole] ^ e->addr[whole]) >> (8 - rest) == 0);
}

static bool
is_private(const struct floored *w)
{
	struct endpoint	e, net;
	size_t		i;

	if (w->reason == REASON_FLOOR_LOCAL || w->reason == REASON_FLOOR_METADATA ||
	    w->reason == REASON_FLOOR_PORT || addr_parse(w->addr, &e) == -1)
		return false;
	for (i = 0; i < sizeof(private_nets) / sizeof(private_nets[0]); i++)
		if (addr_parse(private_nets[i].net, &net) == 0 &&
		    covers(&net, private_nets[i].bits, &e))
			return true;
	return false;
}

static void
say_private(const struct learned *l)
{
	const struct floored	*w;
	size_t			 i, n = 0;

	for (i = 0; i < l->floored.n; i++) {
		w = list_at(&l->floored, i);
		if (!is_private(w) || n++ >= SAID_MAX)
			continue;
		log_warnx("learn: %s%s%s, which is private, is not in the policy: the "
		    "floor holds it back; the exception is in the comments",
		    w->name, *w->name != '\0' ? " at " : "", w->addr);
	}
	if (n > SAID_MAX)
		log_warnx("learn: %zu more private addresses are in the comments",
		    n - SAID_MAX);
}

void
learn_say(const struct learned *l)
{
	int	i;

	for (i = 0; i < REASON_MAX; i++)
		if (l->limited[i] > 0)
			log_warnx("learn: %llu attempts %s (%s): what they "
			    "were for is not in the policy",
			    (unsigned long long)l->limited[i], learn_fate(i),
			    reason_name((unsigned int)i));
	if (l->blind > 0)
		log_warnx("learn: the inspector was not there all the time: "
		    "rules may have more names, or verify less, than is "
		    "needed");
	say_private(l);
}

/* ---- in the policy ------------------------------------------------------------- */

static void
write_floored(FILE *f, const struct learned *l)
{
	struct note		 n = { f, "# Also tried, and below the floor:" };
	struct lines		 lines = { NULL, 0, 0 };
	const struct floored	*w;
	size_t			 i;

	for (i = 0; i < l->floored.n; i++) {
		w = list_at(&l->floored, i);
		if (w->proto == PROTO_NONE)
			lines_say(&lines, "#\tname %s: %s\n", w->name, w->addr);
		else
			lines_say(&lines, "#\t%s %s port %u: %s\n", learn_proto(w->proto),
			    w->addr, w->port, reason_name(w->reason));
	}
	lines_write(&lines, &n);
}

/* A name's address was taken out of its answer, so which port was meant is not known. */
static void
exception(struct lines *rules, struct lines *lines, const struct floored *w,
    const char *tenant)
{
	const char	*addr = w->addr, *guess = "";
	uint32_t	 proto = w->proto, port = w->port;

	if (proto == PROTO_NONE) {
		proto = PROTO_TCP;
		port = 443;
		guess = "\t# the port is a guess";
	}
	lines_say(lines, "# floor except net %s port %s %u for tenant %s ticket \"WHO "
	    "AGREED\"%s\n", addr, learn_proto(proto), port, tenant, guess);
	if (*w->name != '\0')
		lines_say(rules, "#\tallow to name \"%s\" port %s %u%s\n", w->name,
		    learn_proto(proto), port, proto == PROTO_TCP && port != 443 &&
		    port != 80 ? " verify none" : "");
	lines_say(rules, "#\tallow to net %s port %s %u\n", addr, learn_proto(proto), port);
}

/*
 * What an exception can reach, as lines that only have to be let out of their comments.
 * What is this host's own, or metadata, is not proposed.
 */
static void
write_exceptions(FILE *f, const struct learned *l, const char *tenant)
{
	struct note		 n = { f, "# Some of these are private addresses, as a "
				    "mirror of one's own has. First see whose they\n# "
				    "are (whois, your address plan): an exception is "
				    "for what is yours, and lets the tenant\n# reach "
				    "that machine. Then take the `#' away, and say in "
				    "the ticket who agreed:" },
				 r = { f, "# ... and in the tenant's block:" };
	struct lines		 lines = { NULL, 0, 0 }, rules = { NULL, 0, 0 };
	const struct floored	*w;
	size_t			 i;

	for (i = 0; i < l->floored.n; i++) {
		w = list_at(&l->floored, i);
		if (is_private(w) && w->proto != PROTO_ECHO)
			exception(&rules, &lines, w, tenant);
	}
	lines_write(&lines, &n);
	lines_write(&rules, &r);
}

void
floor_notes(FILE *f, const struct learned *l, const char *tenant)
{
	write_floored(f, l);
	write_exceptions(f, l, tenant);
}
