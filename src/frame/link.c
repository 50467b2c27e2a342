/*
 * The guest link: a fixed pool of buffers, one event, batches of frames.
 *
 * Trusts: the link's kind and offloads as configured (the keeper's doing).
 * Must not: block, allocate by a length that came from the guest, or look behind
 * the Ethernet header.
 *
 * Buffers come and go last in, first out, so that a quiet guest uses the same
 * few over and over. A batch takes one at a time and hands it on before the next
 * is taken; up.c keeps only when enough are left (rxbuf_free_count), so there
 * is always one to read into.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <unistd.h>

#include "fd.h"
#include "frame.h"
#include "link.h"
#include "log.h"

/* Frames per turn: the flows' sockets and the channel want their share. */
#define RX_BATCH	64
/* Together at most 17 MB of the frame's memory. */
#define RX_BIG		256
#define RX_SMALL	2048
#define RX_SMALL_MTU	1508		/* above it, or with GSO: big buffers */

int				 link_fd = FD_OBJECT;
static const struct link_ops	*ops;
static struct event		 rd, wr;
static struct rxbuf		*free_list;	/* used before */
static uint8_t			*fresh;		/* never used */
static unsigned int		 nfresh, free_count;
static size_t			 capacity, step;
static bool			 more;

static void
buffers_init(void)
{
	bool	big = frame.config.kind == LINK_STREAM ||
		    (frame.config.flags & LINK_VNET) != 0 ||
		    frame.config.mtu > RX_SMALL_MTU;

	nfresh = free_count = big ? RX_BIG : RX_SMALL;
	capacity = big ? FRAME_MAX : RX_SMALL_MTU + ETH_LEN;
	step = sizeof(struct rxbuf) + RXBUF_SLACK + capacity;
	step = (step + 63) & ~(size_t)63;
	if ((fresh = aligned_alloc(64, nfresh * step)) == NULL)
		fatal("no memory for the link's buffers");
}

/* The last one used, else one whose pages were never touched. */
struct rxbuf *
rxbuf_get(void)
{
	struct rxbuf	*b = free_list;

	if (b != NULL)
		free_list = b->next;
	else if (nfresh > 0) {
		b = (struct rxbuf *)(void *)fresh;
		fresh += step;
		nfresh--;
	} else
		return NULL;
	free_count--;
	b->next = NULL;
	b->needs_csum = b->csum_valid = false;
	b->gso_size = 0;
	return b;
}

void
rxbuf_release(struct rxbuf *b)
{
	b->next = free_list;
	free_list = b;
	free_count++;
}

unsigned int
rxbuf_free_count(void)
{
	return free_count;
}

size_t
rxbuf_capacity(void)
{
	return capacity;
}

/*
 * The other end closed, or spoke nonsense on a stream: there is no guest any
 * more. The flows' sockets are reset by the broker, which sees us go.
 */
_Noreturn void
link_gone(const char *why)
{
	log_info("the guest link has ended: %s", why);
	close(link_fd);
	_exit(FRAME_EXIT_LINK);
}

static void
on_readable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	frame_clock();
	more = ops->receive(RX_BATCH);
}

/* What a stream has read already makes no event. */
bool
link_turn(void)
{
	if (more)
		more = ops->receive(RX_BATCH);
	return more;
}

static void
on_writable(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	frame_clock();
	stream_writable();
}

void
link_want_write(bool want)
{
	if (want)
		event_add(&wr, NULL);
	else
		event_del(&wr);
}

void
link_init(void)
{
	ops = frame.config.kind == LINK_STREAM ? &stream_ops : &tap_ops;
	buffers_init();
	event_assign(&rd, frame.base, link_fd, EV_READ | EV_PERSIST,
	    on_readable, NULL);
	event_assign(&wr, frame.base, link_fd, EV_WRITE | EV_PERSIST,
	    on_writable, NULL);
	if (event_add(&rd, NULL) == -1)
		fatal("guest link");
	if (frame.config.kind == LINK_STREAM)
		stream_init();
}

int
link_send(const struct iovec *iov, unsigned int n,
    const struct tx_offload *off)
{
	return ops->send(iov, n, off);
}

bool
link_full(void)
{
	return ops->full();
}

bool
link_has_csum(void)
{
	return (frame.config.flags & (LINK_VNET | LINK_CSUM)) ==
	    (LINK_VNET | LINK_CSUM);
}

bool
link_has_tso(bool v6)
{
	return link_has_csum() &&
	    (frame.config.flags & (v6 ? LINK_TSO6 : LINK_TSO4)) != 0;
}
