/*
 * Bytes between a host socket and lwIP, and how a flow ends.
 *
 * Trusts: that a granted fd is a connected TCP socket (the broker's promise).
 * Must not: take from one side more than the other side and the pools have room
 * for, lose what was acknowledged, end a socket in any way but shutdown(2) and
 * close(2), or call lwIP from inside of a callback: those only mark a flow
 * dirty, and it is served once at the end of the turn.
 *
 * Ends (flows.md 2). Reads go on until 0 or an error, and all of it reaches the
 * guest; then FIN, or RST if any call had failed. Both directions ended: close,
 * CLOSE{FIN}; lwIP keeps what the guest has not acknowledged. A guest's RST, or
 * its silence: close, CLOSE{RST} at once.
 */
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "tcp.h"

/* One flow's share of a turn, each way. */
#define TURN_BYTES	(4 * 65536)
#define IOV_FLUSH	64

/* Timeouts in seconds that no policy sets (flows.md 6). */
#define HANDSHAKE_S	20
#define DRAIN_S		60	/* without an ACK, when the host side is gone */

/*
 * Towards the guest, per flow: more makes lwIP's walks of its queues longer
 * than it makes anything faster (lwip.md 4).
 */
#define INFLIGHT	(256 * 1024)
#define INFLIGHT_TSO	(512 * 1024)
/* pbufs, which cost memory that the pools do not count: about 100 bytes each. */
#define QUEUE_FLOW	1024
#define QUEUE_TOTAL	65536

#define WINDOW_FIRST	65535u
#define WINDOW_MAX	(1024u * 1024)
#define WINDOW_MIN	896u	/* in a small chunk; the scale makes it 128s */
/* All windows together: three quarters of the large chunks, and what may be pinned. */
#define WINDOW_BUDGET	(24u << 20)

/* Queued bytes above which a copy goes to large chunks. */
#define COPY_LARGE	32768

/* Buffers of the link's: some flow's bulk, but never the last for a batch. */
#define PIN_FLOW	64
#define PIN_LEAVE	96

TAILQ_HEAD(dirty_queue, tcp_flow);
static struct dirty_queue	 dirty = TAILQ_HEAD_INITIALIZER(dirty);
static uint64_t			 promised;	/* receive windows and queues */
static uint64_t			 queued;	/* pbufs in lwIP's send queues */

static void	on_socket(int, short, void *);

void
relay_dirty(struct tcp_flow *f)
{
	if (f->is_dirty)
		return;
	f->is_dirty = true;
	TAILQ_INSERT_TAIL(&dirty, f, dirty);
}

/* ---- what a flow holds ---- */

/* Keeps the sums of what all flows hold. */
static void
recount(struct tcp_flow *f)
{
	uint32_t	p = stack_rcv_wnd(f) + f->up_bytes;
	uint32_t	q = stack_queuelen(f);

	promised += (uint64_t)p - f->promised;
	queued += (uint64_t)q - f->queuelen;
	f->promised = p;
	f->queuelen = q;
}

static void
span_drop(struct tcp_flow *f)
{
	struct span	*s = TAILQ_FIRST(&f->up);

	TAILQ_REMOVE(&f->up, s, entry);
	if (s->chunk != NULL)
		chunk_put(s->chunk);
	else {
		f->npinned--;
		stack_unpin(s);
	}
}

static void
up_discard(struct tcp_flow *f)
{
	while (!TAILQ_EMPTY(&f->up))
		span_drop(f);
	f->up_bytes = 0;
}

static void
down_discard(struct tcp_flow *f)
{
	struct chunk	*c;

	while ((c = TAILQ_FIRST(&f->down)) != NULL) {
		TAILQ_REMOVE(&f->down, c, entry);
		chunk_put(c);
	}
	f->down_bytes = 0;
}

/* The host's side is over. How it ended is the broker's to do (SO_LINGER). */
static void
end_host(struct tcp_flow *f, enum wire_how how, enum reason reason)
{
	if (f->flow.fd != -1) {
		event_del(&f->ev);	/* before close: the broker holds a copy */
		close(f->flow.fd);
		f->flow.fd = -1;
	}
	up_discard(f);
	flow_close(&f->flow, how, reason);
	f->phase = TCP_DRAINING;
	flow_set_timeout(&f->flow, DRAIN_S);
}

void
relay_bury(struct tcp_flow *f)
{
	if (f->phase == TCP_DEAD)
		return;
	flow_remove(&f->flow);
	f->phase = TCP_DEAD;
	relay_dirty(f);
}

static void
destroy(struct tcp_flow *f)
{
	up_discard(f);
	down_discard(f);
	recount(f);
	free(f);
}

/* ---- the window that a guest is shown ---- */

/*
 * A fair share of the budget, or half of what nobody was promised; but promises
 * are mostly not made use of, and cannot be taken back, so the sum may be far
 * above what there is. Hence never more than a part of what is really free. A
 * flow's first chunk is there for sure.
 */
static uint32_t
window_limit(const struct tcp_flow *f)
{
	uint64_t	budget = WINDOW_BUDGET + f->promised, limit, room, have;

	limit = WINDOW_BUDGET / (stack_count() + 1);
	room = budget > promised ? (budget - promised) / 2 : 0;
	have = pool_free_bytes(2 * stack_count()) / (4 + stack_count() / 16) +
	    f->up_bytes;
	if (limit < room)
		limit = room;
	if (limit > have)
		limit = have;
	if (limit < WINDOW_MIN)
		return WINDOW_MIN;
	return limit > WINDOW_MAX ? WINDOW_MAX : (uint32_t)limit;
}

uint32_t
relay_first_window(struct tcp_flow *f)
{
	uint32_t	limit = window_limit(f);

	f->window = limit < WINDOW_FIRST ? limit : WINDOW_FIRST;
	return f->window;
}

/* Grows with what the host takes, shrinks when others came. */
static void
window_adapt(struct tcp_flow *f, uint32_t taken)
{
	uint32_t	limit = window_limit(f);

	if (f->window < limit)
		f->window = limit - f->window < 2 * taken ? limit :
		    f->window + 2 * taken;
	else if (f->window > limit)
		f->window = limit;
}

/* ---- guest to host ---- */

/*
 * When memory is short, what a flow may still bring is what fills its first
 * chunk; the rest of the segment is as if it had been lost.
 */
uint32_t
relay_room(const struct tcp_flow *f, uint32_t len)
{
	if (pool_holds(len, 2 * stack_count()))
		return len;
	if (f->up_bytes >= CHUNK_SMALL || !pool_holds(1, 0))
		return 0;
	return len < CHUNK_SMALL - f->up_bytes ? len :
	    CHUNK_SMALL - f->up_bytes;
}

/* The last resort is for first chunks only; relay_room() sees to that. */
static struct chunk *
up_chunk(const struct tcp_flow *f)
{
	struct chunk	*c;

	c = chunk_get(f->up_bytes > COPY_LARGE, 2 * stack_count());
	if (c == NULL && (c = chunk_get(false, 0)) == NULL)
		fatalx("relay_room() was not asked");
	return c;
}

/* Behind what is in the last chunk, then into new ones. */
static void
copy_up(struct tcp_flow *f, const uint8_t *data, uint32_t len)
{
	struct span	*s = TAILQ_LAST(&f->up, span_queue);
	struct chunk	*c = s != NULL ? s->chunk : NULL;
	uint32_t	 n;

	f->up_bytes += len;
	while (len > 0) {
		if (c == NULL || c->end == c->size) {
			c = up_chunk(f);
			c->span = (struct span){ .data = c->data, .chunk = c };
			TAILQ_INSERT_TAIL(&f->up, &c->span, entry);
		}
		n = c->size - c->end < len ? c->size - c->end : len;
		memcpy(c->data + c->end, data, n);
		c->end += n;
		c->span.len += n;
		data += n;
		len -= n;
	}
}

/*
 * Large segments stay where they are; small ones would waste the buffer and are
 * copied. True: the span was kept.
 */
bool
relay_received(struct tcp_flow *f, struct span *s)
{
	if (f->phase != TCP_OPEN || f->host_reset || f->shut_wr)
		return false;		/* nobody is there to take it */
	if (s->len >= FRAME_MAX / 4 && f->npinned < PIN_FLOW &&
	    rxbuf_free_count() > PIN_LEAVE) {
		s->chunk = NULL;
		TAILQ_INSERT_TAIL(&f->up, s, entry);
		f->npinned++;
		f->up_bytes += s->len;
		return true;
	}
	copy_up(f, s->data, s->len);
	return false;
}

/* The host has taken n bytes of the queue. */
static void
up_advance(struct tcp_flow *f, size_t n)
{
	struct span	*s;

	f->up_bytes -= (uint32_t)n;
	f->flow.up += n;
	while (n > 0) {
		s = TAILQ_FIRST(&f->up);
		if (n < s->len) {
			s->data += n;
			s->len -= (uint32_t)n;
			return;
		}
		n -= s->len;
		span_drop(f);
	}
}

static size_t
up_iov(const struct tcp_flow *f, struct iovec iov[IOV_FLUSH], int *niov)
{
	struct span	*s;
	size_t		 len = 0;

	*niov = 0;
	TAILQ_FOREACH(s, &f->up, entry) {
		if (*niov == IOV_FLUSH)
			break;
		iov[(*niov)++] = (struct iovec){ s->data, s->len };
		len += s->len;
	}
	return len;
}

/* Sticky; what the server has sent before is still to be read. */
static void
host_failed(struct tcp_flow *f)
{
	f->host_reset = true;
	f->readable = true;
	up_discard(f);
}

/* After the last byte: the guest's FIN. */
static void
flush_fin(struct tcp_flow *f)
{
	if (!f->guest_fin || f->up_bytes > 0 || f->shut_wr || f->host_reset)
		return;
	if (shutdown(f->flow.fd, SHUT_WR) == -1)
		host_failed(f);
	else
		f->shut_wr = true;
}

/* Returns what the host took. */
static uint32_t
flush(struct tcp_flow *f)
{
	struct iovec	iov[IOV_FLUSH];
	size_t		want, total = 0;
	ssize_t		n;
	int		niov;

	while (f->up_bytes > 0 && f->writable && total < TURN_BYTES) {
		want = up_iov(f, iov, &niov);
		n = writev(f->flow.fd, iov, niov);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			f->writable = false;
		else if (n == -1)
			host_failed(f);
		if (n <= 0)
			break;
		up_advance(f, (size_t)n);
		total += (size_t)n;
		if ((size_t)n < want)
			f->writable = false;	/* EPOLLET: an event follows */
	}
	flush_fin(f);
	if (f->up_bytes > 0 && f->writable)
		relay_dirty(f);
	return (uint32_t)total;
}

/* ---- host to guest ---- */

void
relay_acked(struct tcp_flow *f, uint32_t len)
{
	struct chunk	*c;
	uint32_t	 n;

	while (len > 0 && (c = TAILQ_FIRST(&f->down)) != NULL) {
		n = c->end - c->begin < len ? c->end - c->begin : len;
		c->begin += n;
		f->down_bytes -= n;
		len -= n;
		if (c->begin < c->end)
			break;
		TAILQ_REMOVE(&f->down, c, entry);
		chunk_put(c);
	}
	relay_dirty(f);
}

static uint32_t
inflight_max(const struct tcp_flow *f)
{
	return link_has_tso(f->flow.key.dst.family == ADDR_V6) ?
	    INFLIGHT_TSO : INFLIGHT;
}

static bool
may_read(const struct tcp_flow *f)
{
	uint32_t	q = stack_queuelen(f);

	return f->readable && !f->host_eof && !link_full() &&
	    f->down_bytes < inflight_max(f) && q < QUEUE_FLOW &&
	    (queued < QUEUE_TOTAL || q == 0);
}

/*
 * The tail's room, or a new chunk's. With TSO one read should make one segment,
 * so a chunk is used up to a multiple of the guest's MSS.
 */
static struct chunk *
down_chunk(struct tcp_flow *f, uint32_t segment, uint32_t *room)
{
	struct chunk	*c = TAILQ_LAST(&f->down, chunk_queue);
	uint32_t	 limit;

	if (c != NULL) {
		limit = c->size < segment ? c->size : segment;
		if (limit > c->end && limit - c->end >= CHUNK_SMALL / 4) {
			*room = limit - c->end;
			return c;
		}
	}
	c = chunk_get(f->bulk, f->down_bytes == 0 ? 0 : 2 * stack_count());
	if (c == NULL)
		return NULL;
	TAILQ_INSERT_TAIL(&f->down, c, entry);
	*room = c->size < segment ? c->size : segment;
	return c;
}

/* An unused tail goes back. */
static void
down_trim(struct tcp_flow *f)
{
	struct chunk	*c = TAILQ_LAST(&f->down, chunk_queue);

	if (c != NULL && c->end == 0) {
		TAILQ_REMOVE(&f->down, c, entry);
		chunk_put(c);
	}
}

/*
 * read() said 0. A REVOKE is followed by a shutdown that looks the same, so ask
 * the channel first. Then a write of nothing tells a FIN from a reset that some
 * other call has reported already.
 */
static void
host_ended(struct tcp_flow *f)
{
	ask_drain();
	if (f->revoked)
		return;
	if (!f->shut_wr && !f->host_reset &&
	    write(f->flow.fd, "", 0) == -1)
		host_failed(f);
	f->host_eof = true;
	if (!f->host_reset)
		stack_fin(f);
}

/* True: there may be more. */
static bool
pump_read(struct tcp_flow *f, uint32_t segment, uint32_t *total)
{
	uint32_t	 room;
	struct chunk	*c = down_chunk(f, segment, &room);
	ssize_t		 n;

	if (c == NULL)
		return false;
	n = read(f->flow.fd, c->data + c->end, room);
	if (n > 0) {
		f->bulk = (size_t)n == room;
		if (stack_write(f, c->data + c->end, (uint32_t)n,
		    f->bulk) == -1) {
			f->revoked = true;	/* no memory: give it up */
			return false;
		}
		c->end += (uint32_t)n;
		f->down_bytes += (uint32_t)n;
		f->flow.down += (size_t)n;
		*total += (uint32_t)n;
		return true;
	}
	f->readable = n == -1 && errno == EINTR;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n == -1) {
		host_failed(f);
		f->host_eof = true;
	} else
		host_ended(f);
	return false;
}

static uint32_t
pump(struct tcp_flow *f)
{
	uint32_t	segment = stack_segment(f), total = 0;

	if (segment == 0)
		return 0;
	while (may_read(f) && total < TURN_BYTES)
		if (!pump_read(f, segment, &total))
			break;
	down_trim(f);
	if (total >= TURN_BYTES)
		relay_dirty(f);
	return total;
}

/* ---- a turn ---- */

/* The guest's side ended by itself. */
static void
guest_gone(struct tcp_flow *f)
{
	if (f->phase == TCP_DRAINING) {
		relay_bury(f);
		return;
	}
	if (f->gone == GONE_CLEAN && (f->up_bytes > 0 || !f->shut_wr)) {
		/* It has said and heard all; the host has not taken all yet. */
		flush(f);
		if (!f->host_reset && !f->shut_wr)
			return;
	}
	if (f->gone == GONE_CLEAN)
		end_host(f, f->host_reset ? HOW_RST : HOW_FIN,
		    f->host_reset ? REASON_PEER_RESET : REASON_DONE);
	else
		end_host(f, HOW_RST, f->gone == GONE_RESET ?
		    REASON_GUEST_RST : REASON_GUEST_TIMEOUT);
	relay_bury(f);
}

/* The host's side has ended, one way or the other, or both have. */
static void
check_end(struct tcp_flow *f)
{
	if (f->phase == TCP_OPEN && f->host_eof) {
		if (f->host_reset)
			end_host(f, HOW_RST, REASON_PEER_RESET);
		else if (f->shut_wr)
			end_host(f, HOW_FIN, REASON_DONE);
	}
	if (f->phase != TCP_DRAINING)
		return;
	if (f->host_reset && f->down_bytes == 0) {
		stack_abort(f);		/* the guest has all; now its RST */
		relay_bury(f);
	} else if (f->waiting)
		flow_set_timeout(&f->flow, 0);
}

static void
check_half_closed(struct tcp_flow *f)
{
	if (f->phase == TCP_OPEN && (f->guest_fin || f->host_eof) &&
	    f->flow.timeout_s != frame.config.tcp_half_idle)
		flow_set_timeout(&f->flow, frame.config.tcp_half_idle);
}

static void
give_up(struct tcp_flow *f, enum reason reason)
{
	stack_abort(f);
	end_host(f, HOW_RST, reason);
	relay_bury(f);
}

static void
serve_open(struct tcp_flow *f)
{
	uint32_t	up = flush(f), down = pump(f);

	if (f->revoked) {
		give_up(f, REASON_KILLED);
		return;
	}
	if (up + down > 0)
		flow_touch(&f->flow);
	window_adapt(f, up);
	check_half_closed(f);
}

static void
serve(struct tcp_flow *f)
{
	f->is_dirty = false;
	if (f->phase == TCP_DEAD) {
		destroy(f);
		return;
	}
	if (f->revoked)
		give_up(f, REASON_KILLED);
	else if (f->gone != GONE_NOT)
		guest_gone(f);
	else {
		if (f->phase == TCP_OPEN)
			serve_open(f);
		check_end(f);
		stack_open_window(f);
		stack_flush(f);
	}
	recount(f);
}

/* Each dirty flow once; what becomes dirty meanwhile waits for the next turn. */
bool
tcp_turn_end(void)
{
	struct tcp_flow	*f, *last = TAILQ_LAST(&dirty, dirty_queue);

	while (last != NULL && (f = TAILQ_FIRST(&dirty)) != NULL) {
		TAILQ_REMOVE(&dirty, f, dirty);
		if (f == last)
			last = NULL;
		serve(f);
	}
	return !TAILQ_EMPTY(&dirty);
}

static void
unblock(struct tcp_flow *f)
{
	if (f->blocked || f->readable)
		relay_dirty(f);
}

void
tcp_link_writable(void)
{
	stack_each(unblock);
}

static void
on_socket(int fd, short what, void *arg)
{
	struct tcp_flow	*f = arg;

	(void)fd;
	frame_clock();
	if ((what & EV_READ) != 0)
		f->readable = true;
	if ((what & EV_WRITE) != 0)
		f->writable = true;
	relay_dirty(f);
}

/* ---- what the broker says ---- */

static void
granted(struct flow *flow, int fd)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	event_assign(&f->ev, frame.base, fd,
	    EV_READ | EV_WRITE | EV_PERSIST | EV_ET, on_socket, f);
	f->phase = TCP_HANDSHAKE;
	flow_set_timeout(flow, HANDSHAKE_S);
	if (event_add(&f->ev, NULL) == -1 || stack_replay(f) == -1) {
		segment_refuse(f, DENY_RESET);
		give_up(f, REASON_RESOURCE);
	}
	recount(f);
}

static void
denied(struct flow *flow, enum deny_code code)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	segment_refuse(f, code);
	relay_bury(f);
}

/* Not now: it may be this flow that made relay.c ask. */
static void
revoked(struct flow *flow)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	f->revoked = true;
	relay_dirty(f);
}

static void
timed_out(struct flow *flow)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	if (f->phase == TCP_DRAINING) {
		stack_abort(f);
		relay_bury(f);
	} else
		give_up(f, f->phase == TCP_HANDSHAKE ?
		    REASON_GUEST_TIMEOUT : REASON_IDLE);
}

static void
lost(struct flow *flow)
{
	struct tcp_flow	*f = (struct tcp_flow *)flow;

	segment_refuse(f, DENY_RESET);
	end_host(f, HOW_RST, REASON_RESOURCE);
	relay_bury(f);
}

const struct flow_ops tcp_flow_ops = {
	.granted = granted,
	.denied = denied,
	.revoked = revoked,
	.timeout = timed_out,
	.lost = lost,
};

void
tcp_room_init(void)
{
	pool_init();
	stack_init();
}
