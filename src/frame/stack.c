/*
 * lwIP as a TCP engine: segments in here, out in netif.c. Nobody else knows it.
 *
 * Trusts: packet.c's lengths; lwIP only behind the rules below. Must not: give
 * lwIP a SYN that we did not build, an option that it did not need, or a write
 * before the guest has shown a usable window; close, abort or open a pcb inside
 * of one of its callbacks.
 *
 * lwIP's lists of pcbs are empty except during a call, and then hold the one pcb
 * that the call is about (only the timer sees all of them). The flow table has
 * found it already, so its linear searches cost nothing, and it cannot find
 * another one. A new connection is made by pointing the only listener at the
 * flow's destination while its SYN is replayed; the listener's port is 0
 * otherwise, which no segment carries.
 *
 * The five rules; each was needed against a random walker (tests/fuzz/walk.sh):
 *  1. No SYN but our canonical copy reaches tcp_input() (segment.c).
 *  2. Options outside a SYN become NOPs (segment.c).
 *  3. No tcp_write() before snd_wnd_max >= 2.
 *  4. After each segment the persist timer's invariant is restored.
 *  5. No out-of-order queue (lwipopts.h): ahead.c keeps what is early, and each
 *     segment comes here in order.
 */
#include <string.h>

#include "bytes.h"
#include "log.h"
#include "tcp.h"

#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/pbuf.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"
#include "netif.h"

/* Closed first by the host: kept so long as there is room, oldest out first. */
#define WAITING_MAX	512
/*
 * A guest that says nothing for so long, although it has something to answer, is
 * gone. Longer than a virtual machine is paused for, and than a kernel tries
 * (15 minutes); RFC 9293 3.8.3 wants 100 s.
 */
#define SILENT_MS	(20 * 60 * 1000)

/* Where stack.c keeps lwIP's pbuf and relay.c its span: in the link's buffer. */
struct rx_state {
	struct pbuf_custom	pc;
	struct span		span;
};
static_assert(sizeof(struct rx_state) <= sizeof(((struct rxbuf *)0)->lwip),
    "rxbuf.lwip is large enough");

TAILQ_HEAD(pcb_list, tcp_flow);

static struct netif		 nif;
static struct tcp_pcb_listen	*listener;
static u8_t			 ext_id;
static struct pcb_list		 active = TAILQ_HEAD_INITIALIZER(active);
static struct pcb_list		 waiting = TAILQ_HEAD_INITIALIZER(waiting);
static unsigned int		 nactive, nwaiting;
static struct event		 tick;
static bool			 ticking;

/* ---- one pcb at a time ---- */

/* lwIP calls this when a pcb enters one of its lists. */
void
tcp_timer_needed(void)
{
	struct timeval	tv = { 0, TCP_TMR_INTERVAL * 1000 };

	if (!ticking)
		evtimer_add(&tick, &tv);
	ticking = true;
}

static void
list_enter(struct tcp_flow *f)
{
	TAILQ_INSERT_HEAD(&active, f, pcbs);
	nactive++;
}

static void
list_leave(struct tcp_flow *f)
{
	TAILQ_REMOVE(f->waiting ? &waiting : &active, f, pcbs);
	*(f->waiting ? &nwaiting : &nactive) -= 1;
}

static void
enter(struct tcp_flow *f)
{
	f->pcb->next = NULL;
	if (f->waiting)
		tcp_tw_pcbs = f->pcb;
	else
		tcp_active_pcbs = f->pcb;
}

static void
leave(struct tcp_flow *f)
{
	tcp_active_pcbs = tcp_tw_pcbs = NULL;
	if (f->pcb == NULL || f->waiting || f->pcb->state != TIME_WAIT)
		return;
	list_leave(f);
	f->waiting = true;
	TAILQ_INSERT_HEAD(&waiting, f, pcbs);
	nwaiting++;
	relay_dirty(f);
}

void
stack_abort(struct tcp_flow *f)
{
	if (f->pcb == NULL)
		return;
	enter(f);
	tcp_abort(f->pcb);
	tcp_active_pcbs = tcp_tw_pcbs = NULL;
}

static void
trim_waiting(void)
{
	while (nwaiting > WAITING_MAX)
		stack_abort(TAILQ_LAST(&waiting, pcb_list));
}

unsigned int
stack_count(void)
{
	return nactive;
}

void
stack_each(void (*fn)(struct tcp_flow *))
{
	struct tcp_flow	*f;

	TAILQ_FOREACH(f, &active, pcbs)
		fn(f);
}

/* The timer is the one call that sees all: the lists are made for it. */
static struct tcp_pcb *
link_list(const struct pcb_list *list)
{
	struct tcp_flow	*f;

	TAILQ_FOREACH(f, list, pcbs)
		f->pcb->next = TAILQ_NEXT(f, pcbs) != NULL ?
		    TAILQ_NEXT(f, pcbs)->pcb : NULL;
	return TAILQ_EMPTY(list) ? NULL : TAILQ_FIRST(list)->pcb;
}

/*
 * lwIP ends a connection after so many repetitions, and 2 MSL after the guest's
 * last segment if it is in LAST-ACK, with whatever it holds: bytes that the
 * server has been told were taken. So it never gets there; who is given up is
 * seen below.
 */
static void
keep(struct tcp_flow *f)
{
	struct tcp_pcb	*pcb = f->pcb;

	if (pcb->nrtx >= TCP_MAXRTX)
		pcb->nrtx = TCP_MAXRTX - 1;
	if (pcb->persist_probe >= TCP_MAXRTX)
		pcb->persist_probe = TCP_MAXRTX - 1;
	if (pcb->state == LAST_ACK)
		pcb->tmr = tcp_ticks;
}

/* True: it has been asked all the time, and has not said a word. */
static bool
is_silent(struct tcp_flow *f)
{
	if (f->pcb->unacked == NULL && f->pcb->unsent == NULL)
		f->spoke_ms = frame.now_ms;
	return frame.now_ms - f->spoke_ms > SILENT_MS;
}

static void
look_after_pcbs(void)
{
	struct tcp_flow	*f, *next;

	for (f = TAILQ_FIRST(&active); f != NULL; f = next) {
		next = TAILQ_NEXT(f, pcbs);
		if (is_silent(f))
			stack_abort(f);
		else
			keep(f);
	}
}

static void
on_tick(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	frame_clock();
	look_after_pcbs();
	tcp_active_pcbs = link_list(&active);
	tcp_tw_pcbs = link_list(&waiting);
	tcp_tmr();
	tcp_active_pcbs = tcp_tw_pcbs = NULL;
	ticking = false;
	if (nactive + nwaiting > 0)
		tcp_timer_needed();
}

/* ---- lwIP's callbacks: they take notes, relay.c acts on them ---- */

/* The pcb is freed after this, however it came to that. */
static void
on_destroyed(u8_t id, void *data)
{
	struct tcp_flow	*f = data;

	(void)id;
	if (f == NULL)
		return;			/* the listener's */
	list_leave(f);
	f->pcb = NULL;
	if (f->gone == GONE_NOT)
		f->gone = GONE_CLEAN;
	relay_dirty(f);
}

static void
on_error(void *arg, err_t err)
{
	struct tcp_flow	*f = arg;

	if (err == ERR_RST)
		f->gone = GONE_RESET;
	else if (err == ERR_ABRT)
		f->gone = GONE_ABORT;
}

static struct rxbuf *
pbuf_owner(struct pbuf *p)
{
	return (struct rxbuf *)(void *)((uint8_t *)p -
	    offsetof(struct rxbuf, lwip));
}

static void
on_pbuf_free(struct pbuf *p)
{
	rxbuf_release(pbuf_owner(p));
}

void
stack_unpin(struct span *s)
{
	struct rx_state	*rx = (struct rx_state *)(void *)((uint8_t *)s -
			    offsetof(struct rx_state, span));

	pbuf_free(&rx->pc.pbuf);
}

/* One pbuf always: ours are never chained, and nothing is queued in lwIP. */
static err_t
on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t err)
{
	struct tcp_flow	*f = arg;
	struct rx_state	*rx;

	(void)pcb;
	(void)err;
	relay_dirty(f);
	if (p == NULL) {
		f->guest_fin = true;
		return ERR_OK;
	}
	LWIP_ASSERT("one pbuf", p->next == NULL);
	rx = (struct rx_state *)(void *)p;
	rx->span = (struct span){ .data = p->payload, .len = p->len };
	if (!up_received(f, &rx->span))
		pbuf_free(p);
	return ERR_OK;
}

static err_t
on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	(void)pcb;
	down_acked(arg, len);
	return ERR_OK;
}

static err_t	on_accept(void *, struct tcp_pcb *, err_t);
static err_t	on_new(u8_t, struct tcp_pcb_listen *, struct tcp_pcb *);

static const struct tcp_ext_arg_callbacks ext_callbacks = {
	on_destroyed, on_new
};

/* The largest payload that the guest's link carries. */
static uint16_t
link_mss(const struct tcp_flow *f)
{
	unsigned int	hlen = f->flow.key.dst.family == ADDR_V6 ?
			    40 : 20;

	return (uint16_t)(frame.config.mtu - hlen - TCP_HLEN);
}

/* From tcp_listen_input(), when the SYN is parsed and before SYN|ACK leaves. */
static err_t
on_new(u8_t id, struct tcp_pcb_listen *l, struct tcp_pcb *pcb)
{
	struct tcp_flow	*f = l->callback_arg;

	tcp_ext_arg_set_callbacks(pcb, id, &ext_callbacks);
	tcp_ext_arg_set(pcb, id, f);
	tcp_err(pcb, on_error);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_sent);
	tcp_poll(pcb, NULL, 255);
	tcp_nagle_disable(pcb);
	ip_set_option(pcb, SOF_KEEPALIVE);	/* 2 h: TCP_KEEPIDLE_DEFAULT */
	pcb->mss = LWIP_MIN(pcb->mss, link_mss(f));
	f->peer_mss = pcb->mss;
	f->pcb = pcb;
	f->spoke_ms = frame.now_ms;
	list_enter(f);
	pcb->rcv_wnd = LWIP_MIN(pcb->rcv_wnd, up_first_window(f));
	pcb->rcv_ann_wnd = pcb->rcv_wnd;
	return ERR_OK;
}

/*
 * The handshake is complete. With TSO a segment may be as long as a packet can
 * be, in whole multiples of what the guest's kernel will cut it into.
 */
static err_t
on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct tcp_flow	*f = arg;

	if (err != ERR_OK || pcb == NULL)
		return ERR_VAL;
	f->phase = TCP_OPEN;
	if (link_has_tso(f->flow.key.dst.family == ADDR_V6))
		pcb->mss = (u16_t)(CHUNK_LARGE / f->peer_mss * f->peer_mss);
	if (f->far == FAR_HOST)		/* a question's has a limit already */
		flow_set_timeout(&f->flow, frame.config.tcp_idle);
	else if (f->far == FAR_BROKER)
		peek_connected(f);
	relay_dirty(f);
	return ERR_OK;
}

/* ---- into lwIP ---- */

static void
set_address(ip_addr_t *a, const struct endpoint *e)
{
	memset(a, 0, sizeof(*a));
	if (e->family == ADDR_V6) {
		IP_SET_TYPE_VAL(*a, IPADDR_TYPE_V6);
		memcpy(ip_2_ip6(a)->addr, e->addr, 16);
	} else {
		IP_SET_TYPE_VAL(*a, IPADDR_TYPE_V4);
		memcpy(&ip_2_ip4(a)->addr, e->addr, 4);
	}
}

/* What ip_input() would have left behind for tcp_input(). */
static void
input(const struct flow_key *key, struct pbuf *p)
{
	ip_data.current_netif = ip_data.current_input_netif = &nif;
	set_address(&ip_data.current_iphdr_src, &key->guest);
	set_address(&ip_data.current_iphdr_dest, &key->dst);
	tcp_input(p, &nif);
	ip_data.current_netif = ip_data.current_input_netif = NULL;
}

/*
 * lwIP sets the persist timer when nothing is in flight and the head of the
 * queue does not fit, and asserts in tcp_slowtmr() that this is still so; an
 * acknowledgment of a window probe can have changed it (rule 4).
 */
static void
repair_persist(struct tcp_pcb *pcb)
{
	if (pcb->persist_backoff > 0 &&
	    (pcb->unsent == NULL || pcb->unacked != NULL))
		pcb->persist_backoff = 0;
}

static void
input_flow(struct tcp_flow *f, struct pbuf *p)
{
	enum tcp_phase	before = f->phase;

	/* One ACK at the end of the turn, not one per two segments. */
	tcp_clear_flags(f->pcb, TF_ACK_DELAY);
	enter(f);
	input(&f->flow.key, p);
	leave(f);
	if (f->pcb == NULL)
		return;
	repair_persist(f->pcb);
	if (before == TCP_HANDSHAKE && f->phase == TCP_OPEN)
		/* A link does not congest; tcp_process() has set its own. */
		f->pcb->cwnd = f->pcb->ssthresh = TCP_SND_BUF;
	if ((f->pcb->flags & TF_ACK_DELAY) != 0)
		relay_dirty(f);
	trim_waiting();
}

int
stack_replay(struct tcp_flow *f)
{
	struct pbuf	*p = pbuf_alloc(PBUF_RAW, SYN_LEN, PBUF_RAM);

	if (p == NULL)
		return -1;
	segment_build_syn(p->payload, f);
	listener->local_port = f->flow.key.dst.port;
	listener->callback_arg = f;
	input(&f->flow.key, p);
	tcp_active_pcbs = tcp_tw_pcbs = NULL;
	listener->local_port = 0;
	listener->callback_arg = NULL;
	return f->pcb == NULL ? -1 : 0;
}

void
stack_repeat_syn_ack(struct tcp_flow *f)
{
	if (f->pcb->state == SYN_RCVD && tcp_rexmit(f->pcb) == ERR_OK)
		tcp_output(f->pcb);
}

void
stack_input(struct tcp_flow *f, struct packet *p)
{
	struct rx_state	*rx = (struct rx_state *)(void *)p->buf->lwip;
	struct pbuf	*pb;

	rx->pc.custom_free_function = on_pbuf_free;
	pb = pbuf_alloced_custom(PBUF_RAW, (u16_t)p->l4_len, PBUF_REF, &rx->pc,
	    p->l4, (u16_t)p->l4_len);
	input_flow(f, pb);
}

/*
 * Nothing for an acknowledgment that is known: without its text the segment would
 * be a duplicate ACK to lwIP.
 */
void
stack_acknowledgment(struct tcp_flow *f, const uint8_t *tcp)
{
	struct tcp_hdr	*h;
	struct pbuf	*p;

	if (!TCP_SEQ_GT(get32(tcp + 8), f->pcb->lastack) ||
	    (p = pbuf_alloc(PBUF_RAW, TCP_HLEN, PBUF_RAM)) == NULL)
		return;
	h = p->payload;
	memcpy(h, tcp, TCP_HLEN);
	TCPH_HDRLEN_FLAGS_SET(h, TCP_HLEN / 4, TCP_ACK);
	input_flow(f, p);
}

void
stack_duplicate_ack(struct tcp_flow *f)
{
	if (f->pcb != NULL)
		tcp_send_empty_ack(f->pcb);
}

uint32_t
stack_rcv_nxt(const struct tcp_flow *f)
{
	return f->pcb->rcv_nxt;
}

/* ---- for relay.c ---- */

uint32_t
stack_queuelen(const struct tcp_flow *f)
{
	return f->pcb == NULL ? 0 : f->pcb->snd_queuelen;
}

bool
stack_owes_ack(const struct tcp_flow *f)
{
	return f->pcb != NULL && (f->pcb->flags & TF_ACK_DELAY) != 0;
}

uint32_t
stack_rcv_wnd(const struct tcp_flow *f)
{
	return f->pcb == NULL ? 0 : f->pcb->rcv_wnd;
}

/*
 * Rule 3: snd_wnd_max / 2 caps the segments, and must not be 0 when the first is
 * made: an assertion of lwIP would end the frame.
 */
uint32_t
stack_segment(const struct tcp_flow *f)
{
	const struct tcp_pcb	*pcb = f->pcb;

	if (pcb == NULL || pcb->snd_wnd_max < 2 ||
	    (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT) ||
	    pcb->snd_buf < CHUNK_LARGE)
		return 0;
	return pcb->mss > f->peer_mss ? pcb->mss : CHUNK_LARGE;
}

int
stack_write(struct tcp_flow *f, const uint8_t *data, uint32_t len, bool more)
{
	return tcp_write(f->pcb, data, (u16_t)len,
	    more ? TCP_WRITE_FLAG_MORE : 0) == ERR_OK ? 0 : -1;
}

void
stack_fin(struct tcp_flow *f)
{
	if (f->pcb != NULL)
		tcp_shutdown(f->pcb, 0, 1);
}

void
stack_probe(struct tcp_flow *f)
{
	if (f->pcb != NULL)
		tcp_keepalive(f->pcb);
}

void
stack_flush(struct tcp_flow *f)
{
	struct tcp_pcb	*pcb = f->pcb;

	if (pcb == NULL)
		return;
	f->blocked = false;
	if (f->want_ack || (pcb->flags & TF_ACK_DELAY) != 0)
		tcp_ack_now(pcb);
	f->want_ack = false;
	tcp_output(pcb);
}

/*
 * The window is ours to open, not tcp_recved()'s: that opens it to TCP_WND only,
 * and by steps of pcb->mss, which with TSO is larger than a small window. Never
 * moves the right edge to the left (RFC 9293 3.8.6).
 */
void
stack_open_window(struct tcp_flow *f)
{
	struct tcp_pcb	*pcb = f->pcb;
	uint32_t	 want, step, edge, shown;

	if (pcb == NULL || f->waiting)
		return;
	if ((pcb->flags & TF_WND_SCALE) == 0 && f->window > UINT16_MAX)
		f->window = UINT16_MAX;
	want = f->window > f->up_bytes ? f->window - f->up_bytes : 0;
	if (want > pcb->rcv_wnd)
		pcb->rcv_wnd = want;
	edge = pcb->rcv_nxt + pcb->rcv_wnd;
	step = LWIP_MIN(f->window / 2, f->peer_mss);
	shown = edge - pcb->rcv_ann_right_edge;
	if (!TCP_SEQ_GEQ(edge, pcb->rcv_ann_right_edge + step))
		return;		/* silly window avoidance (3.8.6.2.2) */
	pcb->rcv_ann_wnd = pcb->rcv_wnd;
	/* Tell a guest that may be waiting; others learn it from the next ACK. */
	if (shown >= f->window / 4)
		f->want_ack = true;
}

void
stack_init(void)
{
	struct tcp_pcb	*l;

	evtimer_assign(&tick, frame.base, on_tick, NULL);
	lwip_init();
	netif_start(&nif);
	ext_id = tcp_ext_arg_alloc_id();
	l = tcp_new_ip_type(IPADDR_TYPE_ANY);
	if (l == NULL || tcp_bind(l, IP_ANY_TYPE, 1) != ERR_OK)
		fatalx("lwIP does not start");
	tcp_ext_arg_set_callbacks(l, ext_id, &ext_callbacks);
	if ((l = tcp_listen(l)) == NULL)
		fatalx("lwIP does not start");
	tcp_accept(l, on_accept);
	listener = (struct tcp_pcb_listen *)l;
	listener->local_port = 0;
}
