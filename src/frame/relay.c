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

TAILQ_HEAD(dirty_queue, tcp_flow);
static struct dirty_queue	 dirty = TAILQ_HEAD_INITIALIZER(dirty);
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
	uint32_t	q = stack_queuelen(f);

	up_recount(f);
	queued += (uint64_t)q - f->queuelen;
	f->queuelen = q;
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
		up_host_failed(f);
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
		up_host_failed(f);
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
		up_flush(f);
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
	uint32_t	up = up_flush(f), down = pump(f);

	if (f->revoked) {
		give_up(f, REASON_KILLED);
		return;
	}
	if (up + down > 0)
		flow_touch(&f->flow);
	up_window_adapt(f, up);
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
