/*
 * Host to guest: what the socket gives goes into chunks that lwIP refers to until
 * the guest has acknowledged them. Nothing of it is copied.
 *
 * Trusts: lwIP to name each byte once when it is acknowledged. Must not: read what
 * it cannot hand to lwIP at once, or let go of a chunk that lwIP may send again.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tcp.h"

/*
 * In flight, per flow: more makes lwIP's walks of its queues longer than it
 * makes anything faster.
 */
#define INFLIGHT	(256 * 1024)
#define INFLIGHT_TSO	(512 * 1024)
/* pbufs, which cost memory that the pools do not count: about 100 bytes each. */
#define QUEUE_FLOW	1024
#define QUEUE_TOTAL	65536

static uint64_t	queued;		/* pbufs in lwIP's send queues */

void
down_discard(struct tcp_flow *f)
{
	struct chunk	*c;

	while ((c = TAILQ_FIRST(&f->down)) != NULL) {
		TAILQ_REMOVE(&f->down, c, entry);
		chunk_put(c);
	}
	f->down_bytes = 0;
}

/* Keeps the sum of what lwIP holds for all flows. */
void
down_recount(struct tcp_flow *f)
{
	uint32_t	q = stack_queuelen(f);

	queued += (uint64_t)q - f->queuelen;
	f->queuelen = q;
}

void
down_acked(struct tcp_flow *f, uint32_t len)
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
	f->acked = true;
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

int
down_put(struct tcp_flow *f, const uint8_t *data, uint32_t len)
{
	uint32_t	 segment = stack_segment(f), room, n;
	struct chunk	*c;

	while (len > 0) {
		if (segment == 0 ||
		    (c = down_chunk(f, segment, &room)) == NULL)
			return -1;
		n = room < len ? room : len;
		memcpy(c->data + c->end, data, n);
		if (stack_write(f, c->data + c->end, n, n < len) == -1)
			return -1;
		c->end += n;
		f->down_bytes += n;
		data += n;
		len -= n;
	}
	return 0;
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
	if (f->quit != REASON_NONE)
		return;
	if (!f->shut_wr && !f->host_reset &&
	    write(f->flow.fd, "", 0) == -1)
		up_host_failed(f);
	f->host_eof = true;
	if (!f->host_reset)
		stack_fin(f);
}

/*
 * Behind a server's FIN there is nothing to read, but its RST may come: it has
 * closed, and the guest has sent it more (RFC 9293 3.6.1, SHLD-3).
 */
void
down_look_behind_end(struct tcp_flow *f)
{
	f->readable = false;
	if (!f->shut_wr && !f->host_reset && write(f->flow.fd, "", 0) == -1)
		up_host_failed(f);
}

/*
 * A short read means that there is no more, and an event will follow: unless the
 * end was reported already. The event tells a FIN (EV_CLOSED), but not an error,
 * so that is looked for a little later.
 */
static bool
drained(struct tcp_flow *f, size_t got, size_t room)
{
	if (got == room || f->hup || f->host_reset)
		return false;
	f->readable = false;
	f->recheck = true;
	relay_later(f);
	return true;
}

/* True: there may be more. */
static bool
read_once(struct tcp_flow *f, uint32_t segment, uint32_t *total)
{
	uint32_t	 room;
	struct chunk	*c = down_chunk(f, segment, &room);
	ssize_t		 n;

	if (c == NULL) {
		relay_later(f);
		return false;
	}
	n = read(f->flow.fd, c->data + c->end, room);
	if (n > 0) {
		f->bulk = (size_t)n == room;
		if (stack_write(f, c->data + c->end, (uint32_t)n,
		    f->bulk) == -1) {
			f->quit = REASON_RESOURCE;
			return false;
		}
		c->end += (uint32_t)n;
		f->down_bytes += (uint32_t)n;
		f->flow.down += (size_t)n;
		*total += (uint32_t)n;
		return !drained(f, (size_t)n, room);
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

uint32_t
down_pump(struct tcp_flow *f)
{
	uint32_t	segment = stack_segment(f), total = 0;

	if (segment == 0) {
		/* Nothing can be said to this guest any more. */
		if (f->host_reset)
			f->host_eof = true;
		return 0;
	}
	while (may_read(f) && total < TURN_BYTES)
		if (!read_once(f, segment, &total))
			break;
	down_trim(f);
	if (total >= TURN_BYTES)
		relay_dirty(f);
	return total;
}
