/*
 * Segments that came before their turn: they wait here until what is missing has
 * come. lwIP's own queue for that is not compiled in, because a
 * guest can reach an assert of tcp_receive() through it; here each segment goes to
 * lwIP in order, as if it had just come.
 *
 * Without it each segment that a link loses or reorders costs everything that was
 * sent behind it. A guest is told at once of each segment that is ahead (RFC 5681
 * 4.2), so it repeats the missing one after three.
 *
 * Trusts: packet.c's lengths, and gate.c that a segment was in the window. Must
 * not: allocate, keep one of the link's last buffers, or look longer for a place
 * than through all that is held.
 */
#include <string.h>

#include "link.h"
#include "tcp.h"

/*
 * 0.9 MB in all, of which an undisturbed guest's frame touches nothing. What a
 * kernel has on its way to us when it learns of a loss is some hundred segments.
 */
#define SLOTS		576
#define SLOT_SIZE	1504	/* what an Ethernet frame carries */
/* What is larger stays in its buffer, of which up.c leaves less than that. */
#define LEAVE		160
#define STALE_MS	2000	/* given up, if another flow needs the room */

struct held {
	TAILQ_ENTRY(held)	 entry;
	struct rxbuf		*buf;		/* NULL: in a slot */
	uint8_t			*l4;
	uint32_t		 l4_len;
	uint32_t		 seq, len;	/* len: with FIN */
};
static_assert(sizeof(struct held) <= sizeof(((struct rxbuf *)0)->lwip),
    "where stack.c has its pbuf later is room for it");

/* Where TCP begins in a buffer, so that its header is aligned. */
#define L4_AT	(ETH_LEN + 20)

struct slot {
	struct held	held;
	uint8_t		l4[SLOT_SIZE];
};

static struct slot		slots[SLOTS];
static unsigned int		nused;		/* ever */
static struct held_queue	unused = TAILQ_HEAD_INITIALIZER(unused);

/* Flows that have some, by when the last one came. */
static TAILQ_HEAD(holder_list, tcp_flow) holders =
    TAILQ_HEAD_INITIALIZER(holders);

/* ---- where they are ---- */

static struct held *
slot_take(void)
{
	struct held	*h = TAILQ_FIRST(&unused);

	if (h == NULL)
		return nused < SLOTS ? &slots[nused++].held : NULL;
	TAILQ_REMOVE(&unused, h, entry);
	return h;
}

/* Copied if it is small, else its buffer is kept; NULL: there is no room. */
static struct held *
hold(struct packet *p)
{
	struct held	*h;

	if (p->l4_len <= SLOT_SIZE) {
		if ((h = slot_take()) == NULL)
			return NULL;
		h->buf = NULL;
		h->l4 = ((struct slot *)(void *)h)->l4;
		memcpy(h->l4, p->l4, p->l4_len);
	} else {
		if (rxbuf_free_count() <= LEAVE)
			return NULL;
		h = (struct held *)(void *)p->buf->lwip;
		h->buf = p->buf;
		h->l4 = p->l4;
	}
	h->l4_len = p->l4_len;
	return h;
}

static void
release(struct held *h)
{
	if (h->buf != NULL)
		rxbuf_release(h->buf);
	else
		TAILQ_INSERT_HEAD(&unused, h, entry);
}

/* As if the link had just brought it. False: no buffer. */
static bool
unfold(struct held *h, struct packet *p)
{
	struct rxbuf	*b = h->buf;

	*p = (struct packet){ .l4 = h->l4, .l4_len = h->l4_len };
	if (b == NULL) {
		if ((b = rxbuf_get()) == NULL)
			return false;
		p->l4 = rxbuf_eth(b) + L4_AT;
		memcpy(p->l4, h->l4, h->l4_len);
		TAILQ_INSERT_HEAD(&unused, h, entry);
	}
	p->buf = b;
	return true;
}

/* ---- one flow's ---- */

static void
unlink_held(struct tcp_flow *f, struct held *h)
{
	TAILQ_REMOVE(&f->ahead, h, entry);
	if (TAILQ_EMPTY(&f->ahead))
		TAILQ_REMOVE(&holders, f, holders);
}

void
ahead_discard(struct tcp_flow *f)
{
	struct held	*h;

	while ((h = TAILQ_FIRST(&f->ahead)) != NULL) {
		unlink_held(f, h);
		release(h);
	}
}

/* A guest that has long sent nothing there makes room. */
static struct held *
hold_or_evict(const struct tcp_flow *f, struct packet *p)
{
	struct held	*h = hold(p);
	struct tcp_flow	*oldest = TAILQ_FIRST(&holders);

	if (h != NULL || oldest == NULL || oldest == f ||
	    frame.now_ms - oldest->ahead_ms < STALE_MS)
		return h;
	ahead_discard(oldest);
	return hold(p);
}

static bool
before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* The last one that begins no later; mostly it is the last one of all. */
static struct held *
place(const struct tcp_flow *f, uint32_t seq)
{
	struct held	*h = TAILQ_LAST(&f->ahead, held_queue);

	while (h != NULL && before(seq, h->seq))
		h = TAILQ_PREV(h, held_queue, entry);
	return h;
}

static void
insert(struct tcp_flow *f, struct held *at, struct held *h)
{
	if (!TAILQ_EMPTY(&f->ahead))
		TAILQ_REMOVE(&holders, f, holders);
	TAILQ_INSERT_TAIL(&holders, f, holders);
	f->ahead_ms = frame.now_ms;
	if (at != NULL)
		TAILQ_INSERT_AFTER(&f->ahead, at, h, entry);
	else
		TAILQ_INSERT_HEAD(&f->ahead, h, entry);
}

bool
ahead_keep(struct tcp_flow *f, struct packet *p, uint32_t seq, uint32_t len)
{
	struct held	*at = place(f, seq), *h;

	if (f->phase != TCP_OPEN || f->guest_fin)
		return false;
	if (at != NULL && !before(at->seq + at->len, seq + len))
		return false;		/* it is there already */
	if ((h = hold_or_evict(f, p)) == NULL)
		return false;
	h->seq = seq;
	h->len = len;
	insert(f, at, h);
	return h->buf != NULL;
}

bool
ahead_next(struct tcp_flow *f, uint32_t next, struct packet *p)
{
	struct held	*h;

	while ((h = TAILQ_FIRST(&f->ahead)) != NULL && !before(next, h->seq)) {
		unlink_held(f, h);
		if (before(next, h->seq + h->len) && unfold(h, p))
			return true;
		release(h);		/* all of it has come meanwhile */
	}
	return false;
}
