/*
 * DNS over TCP (RFC 7766), at the gateway's addresses: connections that end here.
 * lwIP speaks with the guest as on any other; what would be the host's side is
 * this file, so there is no OPEN, no fd, and nothing for the broker to know but
 * the questions.
 *
 * A message is two bytes of length and as many more, split as the guest likes.
 * Answers go out as they come, in any order (RFC 7766, 7). What is not taken yet
 * waits in the window, so a guest can make us keep no more than these bounds:
 * connections, questions of one connection, and answers that it does not read.
 *
 * Trusts: dns.c, and dnsask.c to answer each question once. Must not: let a guest
 * hold a connection by less than a whole question every few seconds.
 */
#include <stdlib.h>

#include "bytes.h"
#include "dns.h"
#include "tcp.h"

#define CONNS_MAX	64
#define CONN_ASKED_MAX	128		/* of them all there are dnsask.c's */
#define CONN_DOWN_MAX	65536		/* answers that the guest has not taken */
#define MESSAGE_MAX	4096		/* padding included (RFC 8467: 128) */
#define TURN_MESSAGES	64		/* one connection's share of a turn */
#define IDLE_S		10		/* RFC 7766, 6.2.3: a few seconds */
#define EVICT_IDLE_MS	1000		/* younger ones are in use */

TAILQ_HEAD(conn_list, tcp_flow);
static struct conn_list	 conns = TAILQ_HEAD_INITIALIZER(conns);	/* by heard_ms */
static unsigned int	 nconns;

/* ---- a connection's beginning and end ---- */

static void
heard(struct tcp_flow *f)
{
	f->heard_ms = frame.now_ms;
	flow_set_timeout(&f->flow, IDLE_S);
	TAILQ_REMOVE(&conns, f, conns);
	TAILQ_INSERT_TAIL(&conns, f, conns);
}

void
dnstcp_leave(struct tcp_flow *f)
{
	TAILQ_REMOVE(&conns, f, conns);
	nconns--;
	if (f->nasked > 0)
		dns_orphan(f);
	f->nasked = 0;
}

/* Room for one more, if only an idle one stands in the way. */
static bool
make_room(void)
{
	struct tcp_flow	*f;

	if (nconns < CONNS_MAX)
		return true;
	TAILQ_FOREACH(f, &conns, conns) {
		if (frame.now_ms - f->heard_ms < EVICT_IDLE_MS)
			return false;
		if (f->nasked == 0) {
			relay_give_up(f, REASON_RESOURCE);
			return true;
		}
	}
	return false;
}

bool
dnstcp_open(struct tcp_flow *f, const struct flow_key *key)
{
	if (!make_room())
		return false;
	flow_insert_local(&f->flow, key, &tcp_flow_ops);
	f->far = FAR_DNS;
	f->phase = TCP_HANDSHAKE;
	f->heard_ms = frame.now_ms;
	flow_set_timeout(&f->flow, IDLE_S);
	TAILQ_INSERT_TAIL(&conns, f, conns);
	nconns++;
	if (stack_replay(f) == -1) {
		segment_refuse(f, DENY_RESET);
		relay_give_up(f, REASON_RESOURCE);
	}
	up_recount(f);
	return true;
}

/* The last word is said; the guest may still have some for us (RFC 9293, 3.6). */
static void
say_end(struct tcp_flow *f)
{
	stack_fin(f);
	f->shut_wr = true;
}

/* Nothing whole was heard for so long. */
void
dnstcp_idle(struct tcp_flow *f)
{
	if (f->phase != TCP_OPEN || f->shut_wr || f->down_bytes > 0) {
		relay_give_up(f, REASON_IDLE);
		return;
	}
	if (f->nasked == 0)
		say_end(f);
	flow_set_timeout(&f->flow, IDLE_S);
	relay_dirty(f);
}

/* ---- answers ---- */

static void
reply(const struct dns_client *c, const struct dns_query *q,
    const struct dns_answer *a)
{
	uint8_t		 m[2 + DNS_REPLY_MAX];
	struct tcp_flow	*f = c->conn;
	size_t		 len = dns_write(q, a, m + 2, DNS_REPLY_MAX);

	f->nasked--;
	if (f->phase != TCP_OPEN || f->pcb == NULL)
		return;
	put16(m, (unsigned int)len);
	if (down_put(f, m, (uint32_t)len + 2) == -1)
		f->quit = REASON_RESOURCE;
	heard(f);
	relay_dirty(f);
}

/* ---- questions ---- */

static void
question(struct tcp_flow *f, const uint8_t *m, uint32_t len)
{
	struct dns_client	c = {
		.guest = f->flow.key.guest, .gateway = f->flow.key.dst,
		.conn = f, .reply = reply,
	};

	f->nasked++;
	if (dns_take(m, len, &c))
		heard(f);
	else
		f->nasked--;
}

/* The length of the whole message that is there, with its prefix; 0: none is. */
static uint32_t
next_message(struct tcp_flow *f, uint8_t m[2 + MESSAGE_MAX])
{
	uint32_t	len;

	if (f->up_bytes < 2 || f->quit != REASON_NONE)
		return 0;
	up_read(f, 0, m, 2);
	len = 2u + get16(m);
	if (len > 2 + MESSAGE_MAX) {
		ask_drop(REASON_MALFORMED);
		f->quit = REASON_RESOURCE;
		return 0;
	}
	if (f->up_bytes < len)
		return 0;
	up_read(f, 0, m, len);
	return len;
}

/* True: what is left is not whole. */
static bool
take_questions(struct tcp_flow *f)
{
	uint8_t		m[2 + MESSAGE_MAX];
	uint32_t	len;
	unsigned int	i;

	for (i = 0; (len = next_message(f, m)) > 0; i++) {
		if (i == TURN_MESSAGES)
			relay_dirty(f);
		if (i == TURN_MESSAGES || f->nasked >= CONN_ASKED_MAX ||
		    f->down_bytes >= CONN_DOWN_MAX)
			return false;
		up_take(f, len);
		question(f, m + 2, len - 2);
	}
	return true;
}

void
dnstcp_serve(struct tcp_flow *f)
{
	bool	rest = !f->shut_wr && take_questions(f);

	if (f->quit != REASON_NONE)
		return;
	if (rest && f->guest_fin && f->nasked == 0)
		say_end(f);
	if (f->shut_wr && f->guest_fin) {
		relay_end(f);
		flow_set_timeout(&f->flow, IDLE_S);
		return;
	}
	stack_open_window(f);
}
