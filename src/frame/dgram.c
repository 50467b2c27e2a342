/*
 * UDP associations and echo exchanges: one connected host socket per guest
 * endpoint (or ident) and destination, asked for with the first datagram.
 *
 * Datagrams wait in hold.c until the grant; a refusal is answered with an ICMP
 * error about each of them. Then one write(2) is one datagram to the host and
 * one read(2) is one from it. Never writev(2): with nothing in it, it sends
 * nothing, and an empty datagram is one too.
 *
 * Errors of the host's network arrive with a later call on the socket and speak
 * about an earlier datagram. Only what makes a connected socket fail is carried:
 * port unreachable, and administratively prohibited.
 *
 * A datagram without DF that is larger than the path's MTU is fragmented by the
 * host's kernel (IP_MTU_DISCOVER is WANT); of one with DF the guest is told (pmtu.c).
 *
 * Trusts: packet_parse(); that a granted fd is connected and does not block.
 * Must not: write to anything but the granted fd, keep more than the pools hold,
 * or close an fd whose event is still added (the broker holds the same file, so
 * the kernel would go on reporting it).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dgram.h"
#include "log.h"

#define HELD_MAX	64	/* per flow */
#define READ_BATCH	32	/* per flow and turn */

static TAILQ_HEAD(flow_list, dgram_flow)
	    free_flows = TAILQ_HEAD_INITIALIZER(free_flows),
	    open_flows = TAILQ_HEAD_INITIALIZER(open_flows);
static struct dgram_flow	*pool;
static unsigned int		 pool_used;	/* ever */
static uint8_t			 rbuf[DGRAM_MAX + 1];

static void	flow_granted(struct flow *, int);
static void	flow_denied(struct flow *, enum deny_code);
static void	flow_revoked(struct flow *);
static void	flow_idle(struct flow *);
static void	flow_lost(struct flow *);

static const struct flow_ops	dgram_ops = {
	.granted = flow_granted,
	.denied = flow_denied,
	.revoked = flow_revoked,
	.timeout = flow_idle,
	.lost = flow_lost,
};

void
dgram_room_init(void)
{
	pool = calloc(frame.config.flows_max + FLOW_EXTRA, sizeof(*pool));
	if (pool == NULL)
		fatal("memory for %u flows", frame.config.flows_max);
}

/* ---- a flow's beginning and end ---- */

static struct dgram_flow *
flow_take(void)
{
	struct dgram_flow	*d = TAILQ_FIRST(&free_flows);

	if (d != NULL)
		TAILQ_REMOVE(&free_flows, d, entry);
	else if (pool_used < frame.config.flows_max + FLOW_EXTRA)
		d = &pool[pool_used++];
	if (d != NULL) {
		memset(d, 0, sizeof(*d));
		d->flow.fd = -1;
		STAILQ_INIT(&d->held);
	}
	return d;
}

/* Everything of a flow but its entry in the table. */
static void
flow_stop(struct dgram_flow *d)
{
	struct held	*h;

	if (d->listening)
		event_del(&d->event);
	d->listening = false;
	if (d->flow.fd != -1) {
		TAILQ_REMOVE(&open_flows, d, entry);
		close(d->flow.fd);
		d->flow.fd = -1;
	}
	while ((h = STAILQ_FIRST(&d->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->held, entry);
		hold_release(h);
	}
}

static void
flow_end(struct dgram_flow *d, enum wire_how how, enum reason reason)
{
	flow_stop(d);
	flow_close(&d->flow, how, reason);
	flow_remove(&d->flow);
	TAILQ_INSERT_HEAD(&free_flows, d, entry);
}

/* Those that wait are lost; the guest learns it for each. */
static void
held_deny(const struct dgram_flow *d, enum deny_code code)
{
	const struct held	*h;

	STAILQ_FOREACH(h, &d->held, entry)
		icmp_deny(code, h->ip, h->ip_len);
}

uint64_t
dgram_idle_since(void)
{
	const struct dgram_flow	*d = TAILQ_FIRST(&open_flows);

	return d != NULL ? d->used_ms : UINT64_MAX;
}

void
dgram_evict(void)
{
	flow_end(TAILQ_FIRST(&open_flows), HOW_FIN, REASON_CONNS);
}

static struct dgram_flow *
flow_new(const struct flow_key *key)
{
	struct dgram_flow	*d;

	flow_make_room();
	if ((d = flow_take()) == NULL)
		return NULL;
	if (flow_insert(&d->flow, key, &dgram_ops) == -1) {
		TAILQ_INSERT_HEAD(&free_flows, d, entry);
		return NULL;
	}
	return d;
}

static void
flow_used(struct dgram_flow *d)
{
	flow_touch(&d->flow);
	d->used_ms = frame.now_ms;
	TAILQ_REMOVE(&open_flows, d, entry);
	TAILQ_INSERT_TAIL(&open_flows, d, entry);
}

void
dgram_answered(struct dgram_flow *d, size_t payload, uint32_t timeout)
{
	if (d->flow.pdown++ == 0)
		flow_set_timeout(&d->flow, timeout);
	d->flow.down += payload;
	flow_used(d);
}

/* ---- to the host ---- */

static int
try_write(struct dgram_flow *d, const struct dgram *g)
{
	ssize_t	n;

	/* A ping socket takes the ICMP header and sets its own ident. */
	do {
		if (d->flow.key.proto == PROTO_UDP)
			n = write(d->flow.fd, g->l4 + L4_HLEN,
			    g->l4_len - L4_HLEN);
		else
			n = write(d->flow.fd, g->l4, g->l4_len);
	} while (n == -1 && errno == EINTR);
	return n == -1 ? errno : 0;
}

/* An error that the network reported about the datagram before. */
static void
earlier_failed(struct dgram_flow *d, int error)
{
	d->refused = true;
	switch (error) {
	case ECONNREFUSED:
		icmp_port_unreachable(d->last, d->last_len);
		break;
	case EHOSTUNREACH:	/* IPv4: "prohibited"; that nobody is there is no error */
	case EACCES:		/* IPv6 */
		icmp_deny(DENY_ADMIN, d->last, d->last_len);
		break;
	case EHOSTDOWN:		/* "host unknown" */
		icmp_deny(DENY_HOST, d->last, d->last_len);
		break;
	case ENETUNREACH:	/* "network unknown" */
		icmp_deny(DENY_NET, d->last, d->last_len);
		break;
	case EMSGSIZE:
		pmtu_shrunk(d);
		break;
	default:
		break;
	}
}

/* An error of our own kernel about this datagram. */
static void
this_failed(const struct dgram *g, int error)
{
	switch (error) {
	case ECONNREFUSED:
		icmp_port_unreachable(g->ip, g->ip_len);
		break;
	case EHOSTUNREACH:
		icmp_deny(DENY_HOST, g->ip, g->ip_len);
		break;
	case ENETUNREACH:
		icmp_deny(DENY_NET, g->ip, g->ip_len);
		break;
	case EACCES:
	case EPERM:
		icmp_deny(DENY_ADMIN, g->ip, g->ip_len);
		break;
	default:
		/* EAGAIN, ENOBUFS, EMSGSIZE, EPIPE: lost, as networks do */
		break;
	}
}

/*
 * A first error may be the report about an earlier datagram; this one has then
 * not been sent, and the second try tells.
 */
static void
to_host(struct dgram_flow *d, const struct dgram *g)
{
	int	first, error;

	if (!pmtu_fits(d, g))
		return;
	if (d->flow.key.proto == PROTO_ECHO)
		echo_await(d, g);
	error = first = try_write(d, g);
	if (first == EMSGSIZE) {
		pmtu_shrunk(d);
		if (!pmtu_fits(d, g))
			return;
	}
	if (first != 0 && first != EAGAIN) {
		error = try_write(d, g);
		if (error != first)
			earlier_failed(d, first);
	}
	if (error != 0)
		this_failed(g, error);
	else {
		d->flow.up += g->l4_len - L4_HLEN;
		d->flow.pup++;
	}
	d->last_len = g->ip_len < LAST_MAX ? g->ip_len : LAST_MAX;
	memcpy(d->last, g->ip, d->last_len);
	flow_used(d);
}

static void
hold(struct dgram_flow *d, const struct dgram *g)
{
	struct held	*h;

	if (d->nheld == HELD_MAX || (h = hold_take(g)) == NULL)
		return;
	STAILQ_INSERT_TAIL(&d->held, h, entry);
	d->nheld++;
}

void
dgram_input(const struct flow_key *key, const struct dgram *g)
{
	struct dgram_flow	*d = (struct dgram_flow *)flow_find(key);

	if (d != NULL && d->flow.state == FLOW_OPEN)
		to_host(d, g);
	else if (d != NULL)
		hold(d, g);
	else if ((d = flow_new(key)) != NULL) {
		hold(d, g);
		flow_ask(&d->flow);
	} else {
		ask_drop(REASON_CONNS);
		icmp_deny(DENY_RESET, g->ip, g->ip_len);
	}
}

/* ---- from the host ---- */

static void
host_readable(int fd, short what, void *arg)
{
	struct dgram_flow	*d = arg;
	unsigned int		 i;
	ssize_t			 n;

	frame_clock();
	for (i = 0; i < READ_BATCH; i++) {
		n = read(fd, rbuf, sizeof(rbuf));
		if (n == -1) {
			if (errno != EAGAIN && errno != EINTR)
				earlier_failed(d, errno);
			break;
		}
		if (d->flow.key.proto == PROTO_UDP)
			udp_to_guest(d, rbuf, (size_t)n);
		else
			echo_to_guest(d, rbuf, (size_t)n);
	}
	/* Shut down by the broker: REVOKE is on its way; until then, no spin. */
	if ((what & EV_CLOSED) != 0) {
		event_del(&d->event);
		d->listening = false;
	}
}

/* ---- what the broker says ---- */

static void
flow_granted(struct flow *f, int fd)
{
	struct dgram_flow	*d = (struct dgram_flow *)f;
	struct held		*h;
	struct dgram		 g;

	f->fd = fd;
	TAILQ_INSERT_TAIL(&open_flows, d, entry);
	d->used_ms = frame.now_ms;
	flow_set_timeout(f, f->key.proto == PROTO_UDP ?
	    frame.config.udp_idle : frame.config.echo_idle);
	if (event_assign(&d->event, frame.base, fd,
	    EV_READ | EV_CLOSED | EV_PERSIST, host_readable, d) == -1 ||
	    event_add(&d->event, NULL) == -1) {
		held_deny(d, DENY_RESET);
		flow_end(d, HOW_RST, REASON_RESOURCE);
		return;
	}
	d->listening = true;
	while ((h = STAILQ_FIRST(&d->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->held, entry);
		g = hold_view(h);
		to_host(d, &g);
		hold_release(h);
	}
}

static void
flow_denied(struct flow *f, enum deny_code code)
{
	struct dgram_flow	*d = (struct dgram_flow *)f;

	held_deny(d, code);
	flow_stop(d);
	flow_remove(f);
	TAILQ_INSERT_HEAD(&free_flows, d, entry);
}

static void
flow_revoked(struct flow *f)
{
	struct dgram_flow	*d = (struct dgram_flow *)f;

	icmp_deny(DENY_ADMIN, d->last, d->last_len);
	flow_end(d, HOW_RST, REASON_KILLED);
}

/* Whoever asks why a program gets no answer finds it by the reason. */
static void
flow_idle(struct flow *f)
{
	struct dgram_flow	*d = (struct dgram_flow *)f;

	flow_end(d, HOW_FIN, f->pup > 0 && f->pdown == 0 && !d->refused ?
	    REASON_UNANSWERED : REASON_IDLE);
}

static void
flow_lost(struct flow *f)
{
	struct dgram_flow	*d = (struct dgram_flow *)f;

	held_deny(d, DENY_RESET);
	flow_end(d, HOW_RST, REASON_RESOURCE);
}
