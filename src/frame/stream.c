/*
 * A byte stream of frames, each behind its length as four bytes, most
 * significant first (QEMU's -netdev stream; passt's protocol).
 *
 * Trusts: nothing that comes out of the stream. Must not: keep more than its two
 * buffers, send a frame in part and then another one, or lose its place: how
 * much of a record is still to be read and written stands in a page that
 * outlives this process, before the record's content is looked at, so that the
 * next frame can go on with the same client.
 */
#include <sys/mman.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "fd.h"
#include "frame.h"
#include "link.h"
#include "log.h"

#define HEAD_LEN	4
#define RX_LEN		(4 * 65536)
#define TX_LEN		(16 * 65536)
#define SKIP_MAX	65550		/* the longest frame with offload */
#define PLACE_LOST	UINT32_MAX	/* inside a length: not to be continued */

/* Where the other end is: bytes of the record still to come. */
struct place {
	uint8_t		head[HEAD_LEN];
	unsigned int	head_len;
	uint32_t	left;
};

static struct link_shared	 no_page;	/* without one: nothing survives */
static struct link_shared	*shared = &no_page;
static struct place		 rx_place, tx_place;
static uint8_t			*rx, *tx;
static size_t			 rx_start, rx_end, tx_start, tx_end;
static uint32_t			 rx_skip;	/* of the dead frame's record */

/* Follows `len` bytes of stream. False: a length that no frame has. */
static bool
place_advance(struct place *p, const uint8_t *data, size_t len)
{
	size_t	n;

	while (len > 0) {
		if (p->left > 0) {
			n = len < p->left ? len : p->left;
			p->left -= (uint32_t)n;
			data += n;
			len -= n;
			continue;
		}
		p->head[p->head_len++] = *data++;
		len--;
		if (p->head_len < HEAD_LEN)
			continue;
		p->head_len = 0;
		p->left = get32(p->head);
		if (p->left < ETH_LEN || p->left > 65535)
			return false;
	}
	return true;
}

static uint32_t
place_remaining(const struct place *p)
{
	return p->head_len > 0 ? PLACE_LOST : p->left;
}

/* ---- from the guest ---- */

/* More bytes into rx. False: none there. */
static bool
rx_fill(void)
{
	ssize_t	n;

	if (rx_start > 0) {
		memmove(rx, rx + rx_start, rx_end - rx_start);
		rx_end -= rx_start;
		rx_start = 0;
	}
	n = read(link_fd, rx + rx_end, RX_LEN - rx_end);
	if (n == 0)
		link_gone("closed");
	if (n == -1) {
		if (errno == EAGAIN || errno == EINTR)
			return false;
		link_gone(strerror(errno));
	}
	if (!place_advance(&rx_place, rx + rx_end, (size_t)n))
		link_gone("a length outside 14..65535");
	shared->rx_remaining = place_remaining(&rx_place);
	rx_end += (size_t)n;
	return true;
}

/* Skips what a dead frame had begun to read. */
static void
rx_discard(void)
{
	size_t	n = rx_end - rx_start;

	if (n > rx_skip)
		n = rx_skip;
	rx_start += n;
	rx_skip -= (uint32_t)n;
}

/* One whole record, if it is there. */
static bool
rx_record(void)
{
	size_t		 have, len;
	struct rxbuf	*b;

	rx_discard();
	have = rx_end - rx_start;
	if (rx_skip > 0 || have < HEAD_LEN)
		return false;
	len = get32(rx + rx_start);
	if (have - HEAD_LEN < len || (b = rxbuf_get()) == NULL)
		return false;
	b->len = (uint32_t)len;
	memcpy(rxbuf_eth(b), rx + rx_start + HEAD_LEN, len);
	rx_start += HEAD_LEN + len;
	packet_input(b);
	return true;
}

static bool
stream_receive(unsigned int max)
{
	while (max > 0) {
		if (rx_record())
			max--;
		else if (!rx_fill())
			return false;
	}
	return true;
}

/* ---- to the guest ---- */

static void
tx_written(const uint8_t *data, size_t len)
{
	place_advance(&tx_place, data, len);
	shared->tx_remaining = place_remaining(&tx_place);
}

static void
tx_error(void)
{
	if (errno != EAGAIN && errno != EINTR)
		link_gone(strerror(errno));
}

/* Writes what is kept. */
static void
tx_flush(void)
{
	ssize_t	n;

	while (tx_start < tx_end) {
		n = write(link_fd, tx + tx_start, tx_end - tx_start);
		if (n == -1) {
			tx_error();
			return;
		}
		tx_written(tx + tx_start, (size_t)n);
		tx_start += (size_t)n;
	}
	tx_start = tx_end = 0;
	link_want_write(false);
}

void
stream_writable(void)
{
	tx_flush();
	if (!link_full())
		tcp_link_writable();
}

static void
tx_compact(void)
{
	memmove(tx, tx + tx_start, tx_end - tx_start);
	tx_end -= tx_start;
	tx_start = 0;
}

/* Copies all of the record but the first `done` bytes behind what is kept. */
static void
tx_keep(const struct iovec *iov, unsigned int n, size_t done)
{
	unsigned int	i;

	for (i = 0; i < n; i++) {
		if (done >= iov[i].iov_len) {
			done -= iov[i].iov_len;
			continue;
		}
		memcpy(tx + tx_end, (uint8_t *)iov[i].iov_base + done,
		    iov[i].iov_len - done);
		tx_end += iov[i].iov_len - done;
		done = 0;
	}
	link_want_write(true);
}

/* Straight to the socket; what it does not take is kept. */
static void
tx_direct(const struct iovec *iov, unsigned int n)
{
	size_t		done, part;
	unsigned int	i;
	ssize_t		w = writev(link_fd, iov, (int)n);

	if (w == -1) {
		tx_error();
		w = 0;
	}
	done = (size_t)w;
	for (i = 0; i < n && done > 0; i++) {
		part = done < iov[i].iov_len ? done : iov[i].iov_len;
		tx_written(iov[i].iov_base, part);
		done -= part;
	}
	if (tx_place.left > 0 || tx_place.head_len > 0 || w == 0)
		tx_keep(iov, n, (size_t)w);
}

static int
stream_send(const struct iovec *in, unsigned int n,
    const struct tx_offload *off)
{
	struct iovec	iov[257];
	uint8_t		head[HEAD_LEN];
	size_t		len = 0;
	unsigned int	i;

	(void)off;		/* a stream has none */
	if (n + 1 > sizeof(iov) / sizeof(iov[0]))
		return -1;
	for (i = 0; i < n; i++)
		len += in[i].iov_len;
	if (len < ETH_LEN || len > 65535)
		return -1;
	put32(head, (uint32_t)len);
	iov[0] = (struct iovec){ head, sizeof(head) };
	memcpy(iov + 1, in, n * sizeof(*in));
	if (tx_end == 0) {
		tx_direct(iov, n + 1);
		return 0;
	}
	if (TX_LEN - tx_end < HEAD_LEN + len && tx_start > 0)
		tx_compact();
	if (TX_LEN - tx_end < HEAD_LEN + len)
		return -1;
	tx_keep(iov, n + 1, 0);
	return 0;
}

static bool
stream_full(void)
{
	return tx_end - tx_start > TX_LEN / 4;
}

/* Before the seal, which knows no shared mapping. */
void
link_map_shared(void)
{
	void	*page;

	if (fcntl(FD_SHARED, F_GETFD) == -1)
		return;
	page = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED, FD_SHARED, 0);
	if (page == MAP_FAILED)
		fatal("the link's shared page");
	shared = page;
	close(FD_SHARED);
}

/*
 * Goes on where a dead frame stopped: its records are completed with zeros and
 * thrown away. Our own length prefix is whole then, or the client was dropped.
 */
void
stream_init(void)
{
	if ((rx = malloc(RX_LEN)) == NULL || (tx = calloc(1, TX_LEN)) == NULL)
		fatal("no memory for the link's buffers");
	if (shared->rx_remaining > SKIP_MAX || shared->tx_remaining > SKIP_MAX)
		link_gone("the last frame died inside a length");
	rx_skip = rx_place.left = shared->rx_remaining;
	tx_place.left = shared->tx_remaining;
	tx_end = shared->tx_remaining;
	if (tx_end > 0)
		tx_flush();
}

const struct link_ops stream_ops = { stream_receive, stream_send,
    stream_full };
