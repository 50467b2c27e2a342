/*
 * link.c and stream.c over a socketpair: the framing cut at every byte, lengths
 * that no frame has, a full socket, and the page that outlives a frame.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "bytes.h"
#include "fd.h"
#include "frame.h"
#include "link.h"

struct frame		 frame;

static int		 client = -1;
static unsigned int	 nframes, nbytes;
static uint8_t		 last[65536];
static size_t		 last_len;
static unsigned int	 unblocked;
static struct link_shared *page;

/* ---- what link.c calls ---- */

void
frame_clock(void)
{
}

void
tcp_link_writable(void)
{
	unblocked++;
}

void
packet_input(struct rxbuf *b)
{
	nframes++;
	nbytes += b->len;
	last_len = b->len;
	memcpy(last, rxbuf_eth(b), b->len);
	rxbuf_release(b);
}

/* ---- one link per test ---- */

static void
make_page(uint32_t rx, uint32_t tx)
{
	int	fd = memfd_create("page", 0);

	if (fd == -1 || ftruncate(fd, 4096) == -1)
		err(1, "memfd");
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	page->rx_remaining = rx;
	page->tx_remaining = tx;
	if (dup2(fd, FD_SHARED) == -1)
		err(1, "dup2");
	if (fd != FD_SHARED)
		close(fd);
}

static void
start(uint32_t rx, uint32_t tx)
{
	int	pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == -1)
		err(1, "socketpair");
	client = fcntl(pair[0], F_DUPFD, 64);
	link_fd = fcntl(pair[1], F_DUPFD, 64);
	close(pair[0]);
	close(pair[1]);
	make_page(rx, tx);
	link_map_shared();
	nframes = nbytes = 0;
	last_len = 0;
	frame.base = event_base_new();
	frame.config.kind = LINK_STREAM;
	frame.config.mtu = 65520;
	link_init();
}

static void
turn(void)
{
	do
		event_base_loop(frame.base, EVLOOP_NONBLOCK);
	while (link_turn());
}

/* In a child: stream.c has one link for its life. Returns the exit status. */
static int
in_child(void (*fn)(void))
{
	pid_t	pid = fork();
	int	status;

	if (pid == 0) {
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define CHECK(x)	do { if (!(x)) {				\
	fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);		\
	_exit(99); } } while (0)

static size_t
record(uint8_t *out, size_t len, uint8_t fill)
{
	put32(out, (uint32_t)len);
	memset(out + 4, fill, len);
	return 4 + len;
}

static void
put_all(const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t	n = write(client, p, len);

		if (n == -1 && errno != EAGAIN)
			err(1, "write");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
		turn();
	}
}

/* ---- from the guest ---- */

/* Three records, cut into two writes at every place. */
static void
cut_everywhere(void)
{
	uint8_t	buf[400];
	size_t	len, cut;

	len = record(buf, 14, 1);
	len += record(buf + len, 100, 2);
	len += record(buf + len, 60, 3);
	start(0, 0);
	for (cut = 0; cut <= len; cut++) {
		nframes = nbytes = 0;
		put_all(buf, cut);
		put_all(buf + cut, len - cut);
		turn();
		CHECK(nframes == 3 && nbytes == 174 && last_len == 60 &&
		    last[59] == 3);
		CHECK(page->rx_remaining == 0);
	}
}

static void
byte_by_byte(void)
{
	uint8_t	buf[200];
	size_t	len = record(buf, 100, 7), i;

	start(0, 0);
	for (i = 0; i < len; i++) {
		put_all(buf + i, 1);
		if (i < 3)	/* inside a length: not to be continued */
			CHECK(page->rx_remaining == UINT32_MAX);
		else
			CHECK(page->rx_remaining == len - 1 - i);
	}
	CHECK(nframes == 1 && last_len == 100);
}

static void
longest(void)
{
	static uint8_t	buf[70000];
	size_t		len = record(buf, 65535, 9);
	int		i;

	start(0, 0);
	for (i = 0; i < 200; i++)
		put_all(buf, len);
	turn();
	CHECK(nframes == 200 && last_len == 65535 && last[65534] == 9);
}

static uint32_t	bad_length;

static void
bad(void)
{
	uint8_t	buf[4];

	start(0, 0);
	put32(buf, bad_length);
	put_all(buf, 4);
	turn();
}

static void
hang_up(void)
{
	start(0, 0);
	close(client);
	turn();
}

static void
test_receive(void **state)
{
	static const uint32_t	lengths[] = { 0, 1, 13, 65536, 65537,
				    UINT32_MAX };
	size_t			i;

	(void)state;
	assert_int_equal(in_child(cut_everywhere), 0);
	assert_int_equal(in_child(byte_by_byte), 0);
	assert_int_equal(in_child(longest), 0);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		bad_length = lengths[i];
		assert_int_equal(in_child(bad), FRAME_EXIT_LINK);
	}
	bad_length = 14;
	assert_int_equal(in_child(bad), 0);
	assert_int_equal(in_child(hang_up), FRAME_EXIT_LINK);
}

/* ---- to the guest ---- */

static int
send_frame(size_t len, uint8_t fill)
{
	static uint8_t	f[65535];
	struct iovec	iov[2] = { { f, 14 }, { f + 14, len - 14 } };

	memset(f, fill, len);
	return link_send(iov, 2, NULL);
}

static size_t
read_exactly(uint8_t *out, size_t len)
{
	size_t	have = 0;
	ssize_t	n;
	int	idle = 0;

	while (have < len && idle < 100) {
		n = read(client, out + have, len - have);
		if (n > 0)
			have += (size_t)n;
		else
			idle++;
		turn();
	}
	return have;
}

/* More than socket and buffer hold: whole frames are dropped, order is kept. */
static void
fill_up(void)
{
	static uint8_t	buf[65536];
	unsigned int	sent = 0, i;

	start(0, 0);
	unblocked = 0;
	while (send_frame(1000 + sent % 60000, (uint8_t)sent) == 0)
		CHECK(++sent < 100000);
	CHECK(sent > 10 && link_full());
	CHECK(page->tx_remaining <= 65550);
	for (i = 0; i < sent; i++) {
		CHECK(read_exactly(buf, 4) == 4);
		CHECK(get32(buf) == 1000 + i % 60000);
		CHECK(read_exactly(buf, get32(buf)) == 1000 + i % 60000);
		CHECK(buf[0] == (uint8_t)i && buf[999] == (uint8_t)i);
	}
	CHECK(unblocked > 0 && !link_full());
	CHECK(page->tx_remaining == 0);
	CHECK(send_frame(60, 1) == 0 && read_exactly(buf, 64) == 64);
	CHECK(send_frame(13 + 1, 1) == 0);
}

static void
test_send(void **state)
{
	(void)state;
	assert_int_equal(in_child(fill_up), 0);
}

/* ---- after a death ---- */

static void
continued(void)
{
	uint8_t	buf[400], got[400];
	size_t	len;

	/* 30 bytes of a dead frame's record to skip, 50 to fill up. */
	start(30, 50);
	CHECK(read_exactly(got, 50) == 50 && got[0] == 0 && got[49] == 0);
	CHECK(page->tx_remaining == 0);
	memset(buf, 0xee, 30);
	len = 30 + record(buf + 30, 77, 5);
	put_all(buf, 10);
	CHECK(page->rx_remaining == 20);
	put_all(buf + 10, len - 10);
	turn();
	CHECK(nframes == 1 && last_len == 77 && last[0] == 5);
	CHECK(send_frame(60, 1) == 0 && read_exactly(got, 64) == 64);
	CHECK(get32(got) == 60);
}

static void
lost_rx(void)
{
	start(65551, 0);
}

static void
lost_tx(void)
{
	start(0, UINT32_MAX);
}

static void
test_continue(void **state)
{
	(void)state;
	assert_int_equal(in_child(continued), 0);
	assert_int_equal(in_child(lost_rx), FRAME_EXIT_LINK);
	assert_int_equal(in_child(lost_tx), FRAME_EXIT_LINK);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_continue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
