/*
 * Guest to host: payload is kept until the socket takes it, and the window that
 * the guest is shown follows from what can be kept.
 *
 * Trusts: pool.c's numbers. Must not: keep a byte that was not announced by the
 * window unless there is room for it, or give up one that was acknowledged.
 */
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <string.h>

#include "log.h"
#include "tcp.h"

#define IOV_FLUSH	64

#define WINDOW_FIRST	65535u
/*
 * PIN_FLOW segments of the largest kind: with less the guest's sends are clocked
 * by our acknowledgments, one short batch after the other.
 */
#define WINDOW_MAX	(4096u * 1024)
#define WINDOW_MIN	896u	/* in a small chunk; the scale makes it 128s */
/* All windows together: the large chunks and what may be pinned, less a little. */
#define WINDOW_BUDGET	(24u << 20)

/* Queued bytes above which a copy goes to large chunks. */
#define COPY_LARGE	32768

/* Buffers of the link's: some flow's bulk, but never the last for a batch. */
#define PIN_FLOW	64
#define PIN_LEAVE	96

static uint64_t	promised;	/* receive windows and what is queued */

/* ---- what is held ---- */

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

void
up_discard(struct tcp_flow *f)
{
	while (!TAILQ_EMPTY(&f->up))
		span_drop(f);
	f->up_bytes = 0;
}

/* Keeps the sum of what all flows may make us hold. */
void
up_recount(struct tcp_flow *f)
{
	uint32_t	p = stack_rcv_wnd(f) + f->up_bytes;

	promised += (uint64_t)p - f->promised;
	f->promised = p;
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
up_first_window(struct tcp_flow *f)
{
	uint32_t	limit = window_limit(f), first;

	first = f->far == FAR_HOST ? WINDOW_FIRST : PEEK_WINDOW;
	f->window = limit < first ? limit : first;
	return f->window;
}

void
up_want_window(struct tcp_flow *f, uint32_t want)
{
	uint32_t	limit = window_limit(f);

	if (limit > want)
		limit = want;
	if (f->window < limit)
		f->window = limit;
}

/* Grows with what the host takes, shrinks when others came. */
void
up_adapt_window(struct tcp_flow *f, uint32_t taken)
{
	uint32_t	limit = window_limit(f);

	if (f->window < limit)
		f->window = limit - f->window < 2 * taken ? limit :
		    f->window + 2 * taken;
	else if (f->window > limit)
		f->window = limit;
}

/* ---- in ---- */

/*
 * When memory is short, what a flow may still bring is what fills its first
 * chunk; the rest of the segment is as if it had been lost.
 */
uint32_t
up_room(const struct tcp_flow *f, uint32_t len)
{
	if (pool_holds(len, 2 * stack_count()))
		return len;
	if (f->up_bytes >= CHUNK_SMALL || !pool_holds(1, 0))
		return 0;
	return len < CHUNK_SMALL - f->up_bytes ? len :
	    CHUNK_SMALL - f->up_bytes;
}

/* The last resort is for first chunks only; up_room() sees to that. */
static struct chunk *
up_chunk(const struct tcp_flow *f)
{
	struct chunk	*c;

	c = chunk_get(f->up_bytes > COPY_LARGE, 2 * stack_count());
	if (c == NULL && (c = chunk_get(false, 0)) == NULL)
		fatalx("up_room() was not asked");
	return c;
}

/* Behind what is in the last chunk, then into new ones. */
static void
up_copy(struct tcp_flow *f, const uint8_t *data, uint32_t len)
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
up_received(struct tcp_flow *f, struct span *s)
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
	up_copy(f, s->data, s->len);
	return false;
}

/* ---- out ---- */

uint32_t
up_read(const struct tcp_flow *f, uint32_t from, uint8_t *out, uint32_t size)
{
	const struct span	*s;
	uint32_t		 have = 0, n;

	TAILQ_FOREACH(s, &f->up, entry) {
		if (from >= s->len) {
			from -= s->len;
			continue;
		}
		n = s->len - from < size - have ? s->len - from : size - have;
		memcpy(out + have, s->data + from, n);
		have += n;
		from = 0;
		if (have == size)
			break;
	}
	return have;
}

/* The host has taken n bytes of the queue. */
void
up_take(struct tcp_flow *f, size_t n)
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

/*
 * What errno says of the end: a peer that answers no more is none that refuses. Where
 * the kernel gives up, it says the last that a router told it.
 */
static enum reason
failure(int error)
{
	switch (error) {
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return REASON_PEER_TIMEOUT;
	default:
		return REASON_PEER_RESET;
	}
}

/* Sticky; what the server has sent before is still to be read. */
void
up_host_failed(struct tcp_flow *f)
{
	if (!f->host_reset)
		f->host_why = failure(errno);
	f->host_reset = true;
	f->readable = true;
	up_discard(f);
}

/*
 * After the last byte: the guest's FIN. The broker may have sent it already, and the
 * server its own since; then there is no connection, and what that was read(2) says.
 */
static void
flush_fin(struct tcp_flow *f)
{
	if (!f->guest_fin || f->up_bytes > 0 || f->shut_wr || f->host_reset)
		return;
	if (shutdown(f->flow.fd, SHUT_WR) == -1 &&
	    !(f->peek_mute && errno == ENOTCONN))
		up_host_failed(f);
	else
		f->shut_wr = true;
}

/* Returns what the host took. */
uint32_t
up_flush(struct tcp_flow *f)
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
			up_host_failed(f);
		if (n <= 0)
			break;
		up_take(f, (size_t)n);
		total += (size_t)n;
		if ((size_t)n < want)
			f->writable = false;	/* EPOLLET: an event follows */
	}
	flush_fin(f);
	if (f->up_bytes > 0 && f->writable)
		relay_dirty(f);
	return (uint32_t)total;
}
