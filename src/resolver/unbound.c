/*
 * The engine that is libunbound: forwarding only, with its cache, its care about
 * forged answers, and DNSSEC if the policy wants it.
 *
 * It reads no file of the host: neither its configuration nor resolv.conf, hosts
 * or a key file. DNS over TLS is not done by it: Debian builds the library
 * without OpenSSL, and then it has none (with_unbound.c).
 *
 * Trusts: libunbound to find an answer, not what the answer says (message.c).
 * Must not: leave anything for libunbound to open after the seal.
 */
#include "config.h"	/* _GNU_SOURCE */

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
/* Connections to upstreams at one time, and what libunbound keeps besides. */
#define TCP_MAX		64u
/*
 * A question that every upstream refuses fails in about this. libunbound asks each
 * of them up to eight times: "outbound-msg-retry:" below, twice for fear of lost
 * fragments, and once more in lower case. The time between is for an upstream that
 * is being started again.
 */
#define REFUSED_MS	1000u
#define SENT_EACH	8u
#define SPARE		64u
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
	{ "msg-cache-size:", "4m" },
	{ "rrset-cache-size:", "8m" },
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
	unsigned int	 nworks;
};

/* Lives until libunbound calls back: it cannot be told to forget (ub_cancel(3)
   speaks through a pipe that nobody reads in this mode). */
struct work {
	struct unbound	*unbound;
	struct question	*question;	/* NULL: it was dropped */
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
set_upstreams(struct ub_ctx *ctx, const struct resolver_config *c)
{
	char		text[ENDPOINT_STRLEN], value[ENDPOINT_STRLEN + 8];
	bool		v4 = false, v6 = false, loopback = false;
	uint32_t	i;

	for (i = 0; i < c->nupstreams; i++) {
		const struct endpoint *e = &c->upstream[i].addr;

		snprintf(value, sizeof(value), "%s@%u", addr_print(e, text),
		    e->port);
		if (ub_ctx_set_fwd(ctx, value) != 0)
			fatalx("libunbound takes no upstream %s", value);
		v4 = v4 || e->family == ADDR_V4;
		v6 = v6 || e->family == ADDR_V6;
		loopback = loopback || addr_is_loopback(e);
	}
	set(ctx, "do-ip4:", v4 ? "yes" : "no");
	set(ctx, "do-ip6:", v6 ? "yes" : "no");
	set(ctx, "do-not-query-localhost:", loopback ? "no" : "yes");
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
unbound_open(struct event_base *base, const struct resolver_config *c)
{
	struct unbound	*u = calloc(1, sizeof(*u));
	size_t		 i;
	int		 err;

	if (u == NULL ||
	    (u->ctx = ub_ctx_create_ub_event(pluggable_base(base,
	    REFUSED_MS / SENT_EACH / c->nupstreams))) == NULL)
		fatalx("libunbound cannot start");
	ub_ctx_debugout(u->ctx, NULL);	/* it logs by stdio and asks for the time zone */
	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		set(u->ctx, options[i].name, options[i].value);
	/* a question that nobody answers keeps its socket for seconds */
	set_number(u->ctx, "outgoing-range:", sockets_max() - TCP_MAX - SPARE);
	set_number(u->ctx, "outgoing-num-tcp:", TCP_MAX);
	set(u->ctx, "module-config:", c->dnssec ? "validator iterator" :
	    "iterator");
	if (c->dnssec)
		set_keys(u->ctx);
	set_upstreams(u->ctx, c);
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
	struct question		*q = w->question;

	(void)why;
	(void)limited;
	w->unbound->nworks--;
	free(w);
	if (q == NULL)
		return;
	answer_failed(&a);
	if (sec == SEC_BOGUS)
		a.status = RESOLVE_BOGUS;
	else if (rcode == 0 && packet != NULL && len > 0) {
		message_read(packet, (size_t)len, &q->name, q->qtype, &a);
		a.secure = sec == SEC_SECURE && a.status != RESOLVE_FAILED;
	}
	question_done(q, &a);
}

static void
unbound_ask(void *state, struct question *q)
{
	struct unbound	*u = state;
	struct work	*w = calloc(1, sizeof(*w));

	if (w == NULL)
		fatal("a question");
	w->unbound = u;
	w->question = q;
	q->work = w;
	u->nworks++;
	if (u->nworks > WORKS_MAX || ub_resolve_event(u->ctx, q->name.text,
	    (int)q->qtype, CLASS_IN, w, on_answer, NULL) != 0)
		on_answer(w, 2, NULL, 0, 0, NULL, 0);
}

static void
unbound_drop(void *state, struct question *q)
{
	struct work	*w = q->work;

	(void)state;
	w->question = NULL;
}

const struct engine	unbound_engine = {
	"libunbound", unbound_open, unbound_ask, unbound_drop
};
