/*
 * The stream link's framing against any bytes in any pieces: what comes out are
 * frames of 14 to 65535 bytes, no byte of which is outside of what went in; the
 * shared page says at each moment how much of a record is missing.
 *
 * stream.c is included, not linked, so that an end of the link is a return from
 * here and the state can be set back.
 */
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "link.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);
void	fuzz_report(void);

struct frame	frame;
int		link_fd;
static jmp_buf	gone;
static size_t	ngone, whole, delivered;

/* Reads and writes of stream.c go through these. */
static const uint8_t	*src, *src_end;
static size_t		 piece;

static ssize_t
fake_read(int fd, void *buf, size_t len)
{
	size_t	n = (size_t)(src_end - src);

	(void)fd;
	if (n > piece)
		n = piece;
	if (n > len)
		n = len;
	if (n == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(buf, src, n);
	src += n;
	return (ssize_t)n;
}

#define read	fake_read
#include "../../src/frame/stream.c"
#undef read

void
link_gone(const char *why)
{
	(void)why;
	ngone++;
	longjmp(gone, 1);
}

void
link_want_write(bool want)
{
	(void)want;
}

bool
link_full(void)
{
	return false;
}

void
tcp_link_writable(void)
{
}

struct rxbuf *
rxbuf_get(void)
{
	/* one of exactly the longest frame: the sanitizer sees the rest */
	return malloc(sizeof(struct rxbuf) + RXBUF_SLACK + FRAME_MAX);
}

void
rxbuf_release(struct rxbuf *b)
{
	free(b);
}

void
packet_input(struct rxbuf *b)
{
	if (b->len < ETH_LEN || b->len > 65535)
		abort();
	delivered += HEAD_LEN + b->len;
	rxbuf_release(b);
}

/* The page against a count made apart from stream.c. */
static void
check_page(const uint8_t *data, size_t len)
{
	size_t	at = 0;

	while (len - at >= HEAD_LEN && len - at - HEAD_LEN >= get32(data + at))
		at += HEAD_LEN + get32(data + at);
	if (len - at == 0 ? no_page.rx_remaining != 0 :
	    len - at < HEAD_LEN ? no_page.rx_remaining != PLACE_LOST :
	    no_page.rx_remaining != get32(data + at) - (len - at - HEAD_LEN))
		abort();
	if (delivered != at)
		abort();
}

/*
 * A stream from the input: mostly whole records, whose lengths two bytes choose,
 * now and then bytes as they come.
 */
static size_t
compose(uint8_t *out, size_t size, const uint8_t *p, const uint8_t *end)
{
	size_t		len = 0, n;

	while (end - p >= 3 && size - len > HEAD_LEN + 65535) {
		if (p[0] < 8) {
			memcpy(out + len, p, 3);
			len += 3;
		} else {
			n = get16(p + 1);
			if (p[0] < 200)
				n %= 200;
			put32(out + len, (uint32_t)(n < 16 && p[0] > 12 ?
			    n + ETH_LEN : n));
			n = get32(out + len);
			memset(out + len + HEAD_LEN, p[0], n);
			len += HEAD_LEN + n;
		}
		p += 3;
	}
	return len > 0 ? len - p[0] % len / 2 : 0;	/* the end is missing */
}

static void
run(const uint8_t *stream, size_t n)
{
	if (setjmp(gone) != 0)
		return;
	while (src < src_end)
		stream_receive(3);
	while (stream_receive(3))
		;
	check_page(stream, n);
	whole++;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t	stream[1 << 19];
	size_t		n;

	if (len < 5)
		return 0;
	if (rx == NULL)
		stream_init();
	n = compose(stream, sizeof(stream), data + 1, data + len - 1);
	memset(&rx_place, 0, sizeof(rx_place));
	rx_start = rx_end = delivered = 0;
	rx_skip = 0;
	no_page.rx_remaining = 0;
	piece = 1u + data[0] * data[0];
	src = stream;
	src_end = stream + n;
	run(stream, n);
	return 0;
}

void
fuzz_report(void)
{
	printf("%zu streams to their end, %zu cut off\n", whole, ngone);
}
