/*
 * The engine that is libunbound: forwarding only, with its cache, its care about
 * forged answers, and DNSSEC if the policy wants it. One for each upstream: between
 * several it chooses by speed and chance, and in what order they are asked is not
 * its to say (order.c).
 *
 * It reads no file of the host: neither its configuration nor resolv.conf, hosts
 * or a key file. DNS over TLS is not done by it: Debian builds the library
 * without OpenSSL, and then it has none (with_unbound.c).
 *
 * Trusts: libunbound to find an answer, not what the answer says (message.c).
 * Must not: leave anything for libunbound to open after the seal.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound.h>
#include <unbound-event.h>

#include "anchors.h"
#include "log.h"
#include "message.h"
#include "pluggable.h"
#include "resolver.h"

#define CLASS_IN	1
/* What libunbound may still be busy with after our deadline gave it up. */
#define WORKS_MAX	(2 * RESOLVE_OPEN_MAX)
/* At most: connections to upstreams at one time, what libunbound keeps besides. */
#define TCP_MAX		64u
#define SPARE		64u
/* Bytes of all caches together. */
#define MESSAGES	(4u << 20)
#define RECORDS		(8u << 20)
/*
 * A question that the upstream refuses fails in about this. libunbound asks it up
 * to eight times: "outbound-msg-retry:" below, twice for fear of lost
 * fragments, and once more in lower case. The time between is for an upstream that
 * is being started again.
 */
#define REFUSED_MS	1000u
#define SENT_EACH	8u
/* of ub_event_callback_type's parameter `sec` */
#define SEC_BOGUS	1
#define SEC_SECURE	2

struct option {
	const char	*name, *value;
};

/* A name that is answered without a packet: see warm_up(). */
#define OWN_NAME	"seal.invalid"

static const struct option	options[] = {
	{ "harden-glue:", "yes" },
	{ "harden-dnssec-stripped:", "yes" },
	{ "harden-below-nxdomain:", "yes" },
	{ "harden-algo-downgrade:", "yes" },
	{ "harden-large-queries:", "yes" },
	{ "harden-short-bufsize:", "yes" },
	/* nothing is delegated to us: there is no referral path, and no name of
	   a zone's to be kept from a server */
	{ "harden-referral-path:", "no" },
	{ "qname-minimisation:", "no" },
	{ "target-fetch-policy:", "0 0 0 0 0" },
	{ "use-caps-for-id:", "yes" },
	/* as the stub: no fragment, which could be forged without port and id */
	{ "edns-buffer-size:", "1232" },
	{ "serve-expired:", "no" },
	{ "prefetch:", "no" },
	{ "aggressive-nsec:", "no" },
	{ "trust-anchor-signaling:", "no" },
	{ "root-key-sentinel:", "no" },
	{ "cache-max-ttl:", "3600" },
	{ "cache-max-negative-ttl:", "60" },
	{ "num-queries-per-thread:", "4096" },
	/* A zone whose servers are silent makes the upstream silent, about that zone
	   only. The library doubles its patience with each lost packet and at 12 s
	   takes the upstream for dead, and then every name fails: three questions a
	   second were enough for half of the time. So what it learnt is forgotten
	   with the second, and it is patient from the start: 1.5 s, 3 s and 6 s. A
	   flood can still get there, for what is left of such a second. */
	{ "infra-host-ttl:", "0" },
	{ "infra-cache-min-rtt:", "1500" },
	{ "outbound-msg-retry:", "3" },
	{ "infra-keep-probing:", "yes" },
	{ "local-data:", OWN_NAME ". IN A 192.0.2.1" },
	{ "use-syslog:", "no" },
	{ "verbosity:", "0" },
};

/*
 * Of the zones that libunbound answers by itself (RFC 6761), those that private
 * networks do have names in. A guest needs a rule for them as for any name.
 */
static const char *const	not_ours[] = { "test.", "home.arpa." };

struct unbound {
	struct ub_ctx	*ctx;
	unsigned int	 nworks, at;
	bool		 tcp;
};

/* Lives until libunbound calls back: it cannot be told to forget (ub_cancel(3)
   speaks through a pipe that nobody reads in this mode). */
struct work {
	struct unbound	*unbound;
	struct attempt	*attempt;	/* NULL: it was dropped */
};

static void
set(struct ub_ctx *ctx, const char *name, const char *value)
{
	int	err = ub_ctx_set_option(ctx, name, value);

	if (err != 0)
		fatalx("libunbound %s takes no \"%s %s\": %s", ub_version(), name,
		    value, ub_strerror(err));
}

static void
set_number(struct ub_ctx *ctx, const char *name, unsigned int n)
{
	char	value[16];

	snprintf(value, sizeof(value), "%u", n);
	set(ctx, name, value);
}

static void
set_keys(struct ub_ctx *ctx)
{
	size_t	i;

	for (i = 0; root_keys[i] != NULL; i++)
		if (ub_ctx_add_ta(ctx, root_keys[i]) != 0)
			fatalx("libunbound takes no trust anchor");
}

static void
set_upstream(struct ub_ctx *ctx, const struct resolver_config *c,
    unsigned int at)
{
	const struct endpoint	*e = &c->upstream[at].addr;
	char			 text[ENDPOINT_STRLEN], link[IF_NAMESIZE] = "";
	char			 value[ENDPOINT_STRLEN + IF_NAMESIZE + 8];

	if (c->scope[at] != 0 && if_indextoname(c->scope[at], link) == NULL)
		snprintf(link, sizeof(link), "%u", c->scope[at]);
	snprintf(value, sizeof(value), "%s%s%s@%u", addr_print(e, text),
	    *link == '\0' ? "" : "%", link, e->port);
	if (ub_ctx_set_fwd(ctx, value) != 0)
		fatalx("libunbound takes no upstream %s", value);
	set(ctx, "do-ip4:", e->family == ADDR_V4 ? "yes" : "no");
	set(ctx, "do-ip6:", e->family == ADDR_V6 ? "yes" : "no");
	set(ctx, "do-not-query-localhost:", addr_is_loopback(e) ? "no" : "yes");
	if (c->tcp)
		set(ctx, "tcp-upstream:", "yes");
}

/* Each has its part. A question that nobody answers keeps its socket for seconds. */
static void
set_sizes(struct ub_ctx *ctx, const struct resolver_config *c)
{
	unsigned int	all = sockets_max() / c->nupstreams;
	unsigned int	tcp = all / 4 < TCP_MAX ? all / 4 : TCP_MAX;
	unsigned int	spare = all / 4 < SPARE ? all / 4 : SPARE;

	set_number(ctx, "outgoing-range:", all - tcp - spare);
	set_number(ctx, "outgoing-num-tcp:", tcp);
	set_number(ctx, "msg-cache-size:", MESSAGES / c->nupstreams);
	set_number(ctx, "rrset-cache-size:", RECORDS / c->nupstreams);
}

static void
on_warm(void *arg, int rcode, void *packet, int len, int sec, char *why,
    int limited)
{
	bool	*warm = arg;

	(void)packet;
	(void)sec;
	(void)why;
	(void)limited;
	*warm = rcode == 0 && len > 0;
}

/*
 * libunbound builds caches, random state and its network side with the first
 * question (libworker_create_event). This one is answered from its own data,
 * inside the call.
 */
static void
warm_up(struct ub_ctx *ctx)
{
	bool	warm = false;
	int	err = ub_resolve_event(ctx, OWN_NAME, RESOLVE_A, CLASS_IN, &warm,
		    on_warm, NULL);

	if (err != 0)
		fatalx("libunbound %s cannot start: %s", ub_version(),
		    ub_strerror(err));
	if (!warm)
		fatalx("libunbound %s does not answer at once from its own data",
		    ub_version());
}

static void *
unbound_open(struct event_base *base, const struct resolver_config *c,
    unsigned int at)
{
	struct unbound		*u = calloc(1, sizeof(*u));
	struct ub_event_base	*events;
	size_t			 i;
	int			 err;

	events = pluggable_base(base, at, REFUSED_MS / SENT_EACH);
	if (u == NULL || events == NULL ||
	    (u->ctx = ub_ctx_create_ub_event(events)) == NULL)
		fatalx("libunbound cannot start");
	u->at = at;
	u->tcp = c->tcp != 0;
	ub_ctx_debugout(u->ctx, NULL);	/* it logs by stdio and asks for the time zone */
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		set(u->ctx, options[i].name, options[i].value);
	set_sizes(u->ctx, c);
	set(u->ctx, "module-config:", c->dnssec ? "validator iterator" :
	    "iterator");
	if (c->dnssec)
		set_keys(u->ctx);
	set_upstream(u->ctx, c, at);
	/* the last: it ends the configuration */
	for (i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++)
		if ((err = ub_ctx_zone_remove(u->ctx, not_ours[i])) != 0)
			fatalx("libunbound %s cannot start: %s", ub_version(),
			    ub_strerror(err));
	warm_up(u->ctx);
	return u;
}

static void
on_answer(void *arg, int rcode, void *packet, int len, int sec, char *why,
    int limited)
{
	struct resolver_answer	 a;
	struct work		*w = arg;
	struct unbound		*u = w->unbound;
	struct attempt		*t = w->attempt;

	(void)why;
	(void)limited;
	u->nworks--;
	free(w);
	if (u->tcp && rcode == 0)	/* of UDP, pluggable.c knows */
		alive_heard(u->at);
	if (t == NULL)
		return;
	answer_failed(&a);
	if (sec == SEC_BOGUS)
		a.status = RESOLVE_BOGUS;
	else if (rcode == 0 && packet != NULL && len > 0) {
		message_read(packet, (size_t)len, &t->name, t->qtype, &a);
		a.secure = sec == SEC_SECURE && a.status != RESOLVE_FAILED;
	}
	/* its SERVFAIL may be the library's own word for silence */
	if (a.status == RESOLVE_FAILED || a.status == RESOLVE_BOGUS)
		a.rcode = 0;
	attempt_done(t, &a);
}

static void
unbound_ask(void *state, struct attempt *t)
{
	struct unbound	*u = state;
	struct work	*w = calloc(1, sizeof(*w));

	if (w == NULL)
		fatal("a question");
	w->unbound = u;
	w->attempt = t;
	t->work = w;
	u->nworks++;
	if (u->nworks > WORKS_MAX || ub_resolve_event(u->ctx, t->name.text,
	    (int)t->qtype, CLASS_IN, w, on_answer, NULL) != 0)
		on_answer(w, 2, NULL, 0, 0, NULL, 0);
}

static void
unbound_drop(void *state, struct attempt *t)
{
	struct work	*w = t->work;

	(void)state;
	w->attempt = NULL;
}

const struct engine	unbound_engine = {
	"libunbound", unbound_open, unbound_ask, unbound_drop
};
