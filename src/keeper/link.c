/*
 * The guest's link. Its fd stays here, so that a new frame goes on where the dead
 * one stopped; on a byte stream the page that says where that was stays too.
 *
 * Trusts: the listening socket's mode, 0600, to let the right clients in.
 * Must not: read or write a byte of the guest's, or close what a client had a hand
 * in (bearer.c).
 */
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "keeperd.h"

static void	client_arrived(int, short, void *);

#define PAGE_SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)

int
link_listen(struct link *l)
{
	struct event_base	*base = l->keeper->base;

	if (fd_nonblock(LISTENER_FD) == -1 ||
	    fd_cloexec(LISTENER_FD, true) == -1)
		return -1;
	fd_refuse_fds(LISTENER_FD);
	l->listener = event_new(base, LISTENER_FD, EV_READ | EV_PERSIST,
	    client_arrived, l);
	return l->listener == NULL ? -1 : event_add(l->listener, NULL);
}

/* On success the fd is ours. */
int
link_take(struct link *l, int fd, uint32_t flags)
{
	if (l->fd != -1)
		return -1;
	l->fd = fd;
	l->flags = flags;
	return 0;
}

/* Its size is fixed: a frame that maps it cannot be made to meet SIGBUS. */
static int
shared_page(void)
{
	int	fd = memfd_create("link", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd != -1 && (ftruncate(fd, sizeof(struct link_shared)) == -1 ||
	    fcntl(fd, F_ADD_SEALS, PAGE_SEALS) == -1))
		fd_drop(&fd);
	return fd;
}

/* As much as the kernel gives: a burst of the guest's waits here, and is not lost. */
static void
widen(int fd)
{
	int	size = INT_MAX / 2;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/*
 * As long as no client's link hangs but a few: who comes meanwhile waits. A watch that
 * cannot be had is asked for again by the next look of the bearers'.
 */
void
link_listen_on(struct link *l)
{
	if (l->listener == NULL)
		return;
	if (!bearer_room(l->keeper))
		event_del(l->listener);
	else if (!event_pending(l->listener, EV_READ, NULL))
		event_add(l->listener, NULL);
}

static void
turn_away(struct link *l, int client)
{
	bearer_take(l->keeper, &client);
	link_listen_on(l);
}

/* One client at a time; a second one meets the end of file at once. */
static void
client_arrived(int fd, short what, void *arg)
{
	struct link	*l = arg;
	int		 client;

	(void)what;
	client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (client == -1) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_warn("accepting a client");
		return;
	}
	if (l->fd != -1) {
		log_info("a second client was turned away");
		turn_away(l, client);
		return;
	}
	if ((l->shared = shared_page()) == -1) {
		log_warn("no page for the client; it is turned away");
		turn_away(l, client);
		return;
	}
	fd_refuse_fds(client);
	widen(client);
	link_take(l, client, 0);
	hatch_guest(l->keeper);
}

void
link_lost(struct link *l)
{
	bearer_take(l->keeper, &l->fd);
	link_listen_on(l);
	fd_drop(&l->shared);
}
