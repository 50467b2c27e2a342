/*
 * sallyport-frame: reads a guest's packets, and can open nothing.
 *
 * Trusts: its fixed fds and the broker's CONFIG. Must not: look at a byte of the
 * guest's before it is sealed, or trust anything in argv but the log level.
 *
 * The keeper has made the namespaces, the empty root and the uid; what is left to do
 * is done here, in the order of include/seal.h.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chan.h"
#include "fd.h"
#include "frame.h"
#include "log.h"
#include "seal.h"

/*
 * The fds of the flows, and a few of our own. CONFIG comes after the seal, so
 * the limit is one for all guests; the broker's limits are below it.
 */
#define NOFILE		65536
/* The pools (pool.c, link.c), libevent, the stack, and flows by malloc. */
#define ADDRESS_SPACE	(UINT64_C(160) << 20)

struct frame	frame;

void
frame_clock(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	frame.now_ms = (uint64_t)ts.tv_sec * 1000 +
	    (uint64_t)ts.tv_nsec / 1000000;
}

void
frame_configure(const struct wire_config *c)
{
	static const uint8_t	none[6];

	if ((c->kind != LINK_TAP && c->kind != LINK_STREAM) ||
	    c->mtu < 1280 || c->mtu > 65520 || c->flows_max == 0 ||
	    (c->kind == LINK_STREAM && (c->flags & LINK_VNET) != 0))
		fatalx("CONFIG makes no sense");
	frame.config = *c;
	memcpy(frame.guest_mac, c->guest_mac, sizeof(frame.guest_mac));
	frame.guest_mac_known = memcmp(c->guest_mac, none, sizeof(none)) != 0;
	frame.configured = true;
	flow_init();
	tcp_room_init();
	dgram_room_init();
	dns_room_init();
	link_init();
}

static void
check_fds(void)
{
	static const int	extra[] = { FD_SHARED };
	struct stat		st;
	int			type;
	socklen_t		len = sizeof(type);

	if (getsockopt(FD_CHANNEL, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    type != SOCK_SEQPACKET)
		fatalx("fd %d is not a channel", FD_CHANNEL);
	if (fstat(FD_OBJECT, &st) == -1 ||
	    (!S_ISCHR(st.st_mode) && !S_ISSOCK(st.st_mode)))
		fatalx("fd %d is not a guest link", FD_OBJECT);
	if (fcntl(FD_LOG, F_GETFD) == -1)
		_exit(FATAL_STATUS);	/* and nowhere to say so */
	if (fd_nonblock(FD_CHANNEL) == -1 || fd_nonblock(FD_OBJECT) == -1)
		fatal("O_NONBLOCK");
	seal_check_fds(FD_SHARED, extra, 1);
}

static void
seal(void)
{
	static const struct seal_limits	limits = {
		.nofile = NOFILE, .fsize = 0, .as = ADDRESS_SPACE,
		.nproc = true,
	};

	seal_rlimits(&limits);
	seal_caps();
	seal_process("sp-frame", SIGKILL);
	seal_landlock(NULL, 0);
	seal_filter(&frame_seal);
}

int
main(int argc, char **argv)
{
	bool	again = false;

	log_init_child("frame", argc, argv);
	check_fds();
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("SIGPIPE");
	/* Large blocks are the pools, made once: no mmap per allocation. */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	rand_seed();
	link_map_shared();
	frame.base = chan_base();
	frame_clock();
	seal();
	ask_init();
	for (;;) {
		event_base_loop(frame.base,
		    again ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
		again = link_turn();
		again |= tcp_turn_end();
	}
}
