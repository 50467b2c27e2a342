/*
 * The front door of TCP: each segment from the guest is looked at here first.
 * Rules 1 and 2 of stack.c are kept here.
 *
 * Trusts: packet.c's lengths and checksum. Must not: let a guest's SYN or option
 * through to lwIP, answer a SYN before the broker has (but for the gateway's own
 * service), or keep a buffer of the link's for a SYN: all that is ever needed of
 * one is a dozen bytes.
 */
#include <netinet/in.h>

#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "tcp.h"

#define IP4_HLEN	20
#define IP6_HLEN	40
#define TCP_HLEN	20
#define MSS_MIN		216		/* smaller ones cost more than they carry */

/* RFC 9293 3.1 */
enum { FIN = 0x01, SYN = 0x02, RST = 0x04, ACK = 0x10 };
enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_SCALE = 3 };

/* One segment, between the link and lwIP. */
struct segment {
	struct flow_key	 key;
	uint8_t		*tcp;
	unsigned int	 hlen;
	uint32_t	 payload;
	uint8_t		 flags;
};

/* ---- the SYN ---- */

/* Reads MSS and window scale; everything else in there is forgotten (rule 2). */
static void
parse_options(struct tcp_syn *syn, const uint8_t *o, const uint8_t *end)
{
	syn->mss = 536;			/* RFC 9293 3.7.1 */
	syn->scale = SYN_NO_SCALE;
	while (o < end && o[0] != OPT_END) {
		if (o[0] == OPT_NOP) {
			o++;
			continue;
		}
		if (end - o < 2 || o[1] < 2 || o[1] > end - o)
			return;
		if (o[0] == OPT_MSS && o[1] == 4)
			syn->mss = get16(o + 2);
		if (o[0] == OPT_SCALE && o[1] == 3)
			syn->scale = o[2] > 14 ? 14 : o[2];	/* RFC 7323 2.3 */
		o += o[1];
	}
}

static void
parse_syn(struct tcp_syn *syn, const struct segment *s)
{
	const uint8_t	*t = s->tcp;

	syn->seq = get32(t + 4);
	syn->window = get16(t + 14);
	syn->text = s->payload + ((s->flags & FIN) != 0);
	parse_options(syn, t + TCP_HLEN, t + s->hlen);
	if (syn->mss < MSS_MIN)
		syn->mss = MSS_MIN;
}

/* The canonical copy: 28 bytes of TCP header with our two options. */
void
segment_build_syn(uint8_t t[SYN_LEN], const struct tcp_flow *f)
{
	memset(t, 0, SYN_LEN);
	put16(t, f->flow.key.guest.port);
	put16(t + 2, f->flow.key.dst.port);
	put32(t + 4, f->syn.seq);
	t[12] = SYN_LEN / 4 << 4;
	t[13] = SYN;
	put16(t + 14, f->syn.window);
	t[20] = OPT_MSS;
	t[21] = 4;
	put16(t + 22, f->syn.mss);
	memset(t + 24, OPT_NOP, 4);
	if (f->syn.scale != SYN_NO_SCALE) {
		t[25] = OPT_SCALE;
		t[26] = 3;
		t[27] = f->syn.scale;
	}
}

/*
 * The packet that an ICMP error quotes. The guest's kernel finds its socket by
 * the addresses, ports and sequence number (RFC 792; RFC 5927 4).
 */
static size_t
build_quote(uint8_t q[IP6_HLEN + SYN_LEN], const struct tcp_flow *f)
{
	const struct flow_key	*key = &f->flow.key;
	uint16_t		 sum;

	memset(q, 0, IP6_HLEN);
	if (key->dst.family == ADDR_V6) {
		q[0] = 6 << 4;
		put16(q + 4, SYN_LEN);
		q[6] = IPPROTO_TCP;
		q[7] = 64;
		memcpy(q + 8, key->guest.addr, 16);
		memcpy(q + 24, key->dst.addr, 16);
		segment_build_syn(q + IP6_HLEN, f);
		return IP6_HLEN + SYN_LEN;
	}
	q[0] = 4 << 4 | IP4_HLEN / 4;
	put16(q + 2, IP4_HLEN + SYN_LEN);
	q[8] = 64;
	q[9] = IPPROTO_TCP;
	memcpy(q + 12, key->guest.addr, 4);
	memcpy(q + 16, key->dst.addr, 4);
	sum = (uint16_t)~csum_fold(csum_add(0, q, IP4_HLEN));
	memcpy(q + 10, &sum, sizeof(sum));
	segment_build_syn(q + IP4_HLEN, f);
	return IP4_HLEN + SYN_LEN;
}

/* A RST of no connection's, 20 bytes long: nothing that provokes it is shorter. */
static void
send_reset(const struct flow_key *key, uint8_t flags, uint32_t seq,
    uint32_t ack)
{
	uint8_t		t[TCP_HLEN] = { 0 };
	struct iovec	iov = { t, sizeof(t) };

	put16(t, key->dst.port);
	put16(t + 2, key->guest.port);
	put32(t + 4, seq);
	put32(t + 8, ack);
	t[12] = TCP_HLEN / 4 << 4;
	t[13] = RST | flags;
	packet_send(&key->dst, &key->guest, IPPROTO_TCP, &iov, 1, 16);
}

/* To a SYN, and what came with it. */
static void
refuse_syn(const struct flow_key *key, const struct tcp_syn *syn)
{
	send_reset(key, ACK, 0, syn->seq + 1 + syn->text);
}

void
segment_refuse(const struct tcp_flow *f, enum deny_code code)
{
	uint8_t	quote[IP6_HLEN + SYN_LEN];

	if (code == DENY_RESET)
		refuse_syn(&f->flow.key, &f->syn);
	else if (code != DENY_SILENT)
		icmp_deny(code, quote, build_quote(quote, f));
}

/* ---- demultiplexing ---- */

static bool
ask_for(struct tcp_flow *f, const struct flow_key *key)
{
	flow_make_room();
	if (flow_insert(&f->flow, key, &tcp_flow_ops) == -1)
		return false;
	flow_ask(&f->flow);
	return true;
}

/* A new connection: hold the SYN and ask, unless it is our own service. */
static void
syn_new(const struct segment *s)
{
	struct tcp_flow	*f = calloc(1, sizeof(*f));
	struct tcp_syn	 syn;
	bool		 room = false;

	parse_syn(&syn, s);
	if (f != NULL) {
		TAILQ_INIT(&f->up);
		TAILQ_INIT(&f->ahead);
		TAILQ_INIT(&f->down);
		f->syn = syn;
		room = dns_is_service(&s->key.dst) ? dnstcp_open(f, &s->key) :
		    ask_for(f, &s->key);
	}
	if (!room) {
		ask_drop(REASON_CONNS);
		refuse_syn(&s->key, &syn);
		free(f);
	}
}

/* RFC 5961: if the guest has really forgotten the connection, it resets it now. */
static void
challenge(struct tcp_flow *f)
{
	f->want_ack = true;
	relay_dirty(f);
}

/*
 * The pcb is in TIME-WAIT, which a new SYN ends (RFC 6191's idea, without its
 * clock). One with too low a number may be late; or it is a guest's that was
 * faster than the clock its numbers come from. That one resets what it is
 * answered, and then comes again.
 */
static void
syn_reopens(struct tcp_flow *f, const struct segment *s)
{
	if (f->phase != TCP_DRAINING || !gate_may_reopen(f, get32(s->tcp + 4))) {
		f->challenged = true;
		challenge(f);
		return;
	}
	stack_abort(f);
	relay_bury(f);
	syn_new(s);
}

/* A SYN for a flow that we have. */
static void
syn_again(struct tcp_flow *f, const struct segment *s)
{
	if (f->phase == TCP_HELD)
		parse_syn(&f->syn, s);	/* a retransmission, or a new attempt */
	else if (f->phase == TCP_HANDSHAKE &&
	    get32(s->tcp + 4) == f->syn.seq)
		stack_repeat_syn_ack(f);
	else if (f->waiting)
		syn_reopens(f, s);
	else
		challenge(f);
}

/* RFC 9293 3.10.7.1: the state CLOSED. */
static void
handle_stray(const struct segment *s)
{
	if ((s->flags & RST) != 0)
		return;
	if ((s->flags & ACK) != 0)
		send_reset(&s->key, 0, get32(s->tcp + 8), 0);
	else
		send_reset(&s->key, ACK, 0, get32(s->tcp + 4) + s->payload +
		    ((s->flags & SYN) != 0) + ((s->flags & FIN) != 0));
}

/*
 * What else comes with a SYN is for later (3.10.7.2): it is not acknowledged, so
 * it comes again. With an ACK it is the answer to a SYN of nobody's (3.10.7.2,
 * third), or one for a live connection (RFC 5961 4).
 */
static void
handle_syn(struct tcp_flow *f, const struct segment *s)
{
	if (f != NULL && f->gone != GONE_NOT) {
		/* Its RST and this SYN came in one batch. */
		relay_settle(f);
		f = (struct tcp_flow *)flow_find(&s->key);
	}
	if ((s->flags & ACK) == 0) {
		if (f == NULL)
			syn_new(s);
		else
			syn_again(f, s);
	} else if (f == NULL || f->pcb == NULL)
		handle_stray(s);
	else
		challenge(f);
}

/* No room for all of it: the guest will send the rest again. False: for none. */
static bool
trim(struct tcp_flow *f, struct packet *p, struct segment *s)
{
	uint32_t	room = up_room(f, s->payload);

	if (room == 0)
		return false;
	if (room < s->payload) {
		p->l4_len -= s->payload - room;
		s->tcp[13] &= (uint8_t)~FIN;
	}
	return true;
}

/*
 * What lwIP would do with it, but for its text, for which it is too early. True:
 * its buffer is kept.
 */
static bool
keep_ahead(struct tcp_flow *f, struct packet *p, const struct gate_segment *g)
{
	stack_acknowledgment(f, p->l4);
	stack_duplicate_ack(f);
	return f->pcb != NULL && ahead_keep(f, p, g->seq, g->len);
}

/* PASS: to lwIP. AHEAD: its buffer is kept. Else it is done with. */
static enum gate
judge(struct tcp_flow *f, struct packet *p, const struct segment *s)
{
	const struct gate_segment	g = {
		.seq = get32(s->tcp + 4), .ack = get32(s->tcp + 8),
		.len = s->payload + ((s->flags & FIN) != 0),
		.window = get16(s->tcp + 14), .flags = s->flags,
	};
	enum gate			verdict = gate_check(f, &g);

	switch (verdict) {
	case GATE_PASS:
	case GATE_DROP:
		break;
	case GATE_AHEAD:
		if (!keep_ahead(f, p, &g))
			return GATE_DROP;
		break;
	case GATE_ACK:
		challenge(f);
		break;
	case GATE_RESET:
		send_reset(&s->key, 0, g.ack, 0);
		break;
	case GATE_END:
		stack_abort(f);
		break;
	}
	return verdict;
}

/* One that is in its turn. True: lwIP has the buffer now. */
static bool
take(struct tcp_flow *f, struct packet *p, struct segment *s)
{
	if ((s->flags & RST) != 0)
		p->l4_len = s->hlen;		/* what it says is for people */
	else if (s->payload > 0 && !trim(f, p, s))
		return false;
	memset(s->tcp + TCP_HLEN, OPT_NOP, s->hlen - TCP_HLEN);
	f->flow.pup++;
	stack_input(f, p);
	return true;
}

static void
view(struct segment *s, struct packet *p)
{
	s->tcp = p->l4;
	s->hlen = (p->l4[12] >> 4) * 4u;
	s->payload = p->l4_len - s->hlen;
	s->flags = p->l4[13];
}

/* Nothing is missing any more before some that have come already. */
static void
catch_up(struct tcp_flow *f)
{
	struct packet	p;
	struct segment	s;

	while (f->pcb != NULL && !f->guest_fin &&
	    ahead_next(f, stack_rcv_nxt(f), &p)) {
		view(&s, &p);
		if (!take(f, &p, &s))
			rxbuf_release(p.buf);
	}
	if (f->pcb == NULL || f->guest_fin)
		ahead_discard(f);
}

/* True: the buffer is kept. */
static bool
handle_known(struct tcp_flow *f, struct packet *p, struct segment *s)
{
	enum gate	verdict;

	if (f->phase == TCP_HELD && (s->flags & RST) != 0) {
		flow_close(&f->flow, HOW_CANCEL, REASON_GUEST_CANCEL);
		relay_bury(f);
	}
	if (f->pcb == NULL)
		return false;
	f->spoke_ms = frame.now_ms;
	verdict = judge(f, p, s);
	if (verdict != GATE_PASS)
		return verdict == GATE_AHEAD;
	if (!take(f, p, s))
		return false;
	if (!TAILQ_EMPTY(&f->ahead))
		catch_up(f);
	return true;
}

/*
 * A reset that says it were a SYN, too, is a reset (3.10.7.4: second, then fourth);
 * rule 1 is kept by taking that bit away.
 */
static void
strip_syn(struct segment *s)
{
	s->flags &= (uint8_t)~SYN;
	s->tcp[13] &= (uint8_t)~SYN;
}

bool
tcp_segment(struct packet *p)
{
	struct segment	 s = { .tcp = p->l4 };
	struct tcp_flow	*f;

	s.hlen = p->l4_len < TCP_HLEN ? 0 : (p->l4[12] >> 4) * 4u;
	if (s.hlen < TCP_HLEN || s.hlen > p->l4_len || p->src.port == 0 ||
	    p->dst.port == 0) {
		ask_drop(REASON_MALFORMED);
		return false;
	}
	view(&s, p);
	s.key.guest = p->src;
	s.key.dst = p->dst;
	s.key.proto = PROTO_TCP;
	f = (struct tcp_flow *)flow_find(&s.key);
	if ((s.flags & (SYN | RST)) == (SYN | RST))
		strip_syn(&s);
	if ((s.flags & SYN) != 0)
		handle_syn(f, &s);
	else if (f == NULL)
		handle_stray(&s);
	else
		return handle_known(f, p, &s);
	return false;
}
