/*
 * File descriptors: fixed numbers, and every sendmsg(2)/recvmsg(2) of the house.
 */
#ifndef SALLYPORT_FD_H
#define SALLYPORT_FD_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

/* What a child finds at exec. 0, 1 and 2 are /dev/null. */
enum fixed_fd {
	FD_CHANNEL = 3,		/* to the broker (the broker's: to the keeper) */
	FD_OBJECT = 4,		/* frame: guest link; recorder: log directory;
				   parser: the memfd it fills; resolver: the CA
				   bundle, or /dev/null; others: unused */
	FD_LOG = 5,		/* diagnostics, write end */
	FD_SHARED = 6,		/* frame on a byte stream: struct link_shared */
	FD_FIRST_FREE = 7
};

/* SO_PASSRIGHTS, which no libc has yet */
#if defined(__hppa__)
#define FD_PASSRIGHTS	0x4051
#elif defined(__sparc__)
#define FD_PASSRIGHTS	0x005c
#else
#define FD_PASSRIGHTS	83
#endif

/*
 * One datagram and at most one fd over a SOCK_SEQPACKET socket; never blocks.
 * fd == -1: none, and then it is a plain write(2), which is all that a frame's
 * seal permits. The fd stays the caller's. 0, or -1 with errno (EAGAIN when
 * the queue is full, EMSGSIZE after a short write).
 */
int	fd_send(int chan, const void *buf, size_t len, int fd);

/*
 * Receives one datagram into buf. Returns its length; 0 = the peer is gone;
 * -1 with errno. EAGAIN: nothing there. EBADMSG: longer than `size`, or it
 * carried an fd where `fd` is NULL, or more than one: every fd that arrived
 * has been closed. With `fd` not NULL, *fd is the fd (close-on-exec) or -1.
 * EMFILE: the datagram is there (length in *lost) but its fd could not be
 * installed; the caller must give the flow up.
 */
ssize_t	fd_recv(int chan, void *buf, size_t size, int *fd, size_t *lost);

/*
 * No descriptor is to come in by this AF_UNIX socket, nor by those accepted from it
 * later; Linux 6.16. Before, nothing is done: 0. -1: another fault.
 */
int	fd_refuse_fds(int fd);
int	fd_nonblock(int fd);
int	fd_cloexec(int fd, bool on);
int	fd_close_from(int first);
/* A connected pair of SOCK_SEQPACKET|CLOEXEC|NONBLOCK sockets. */
int	fd_channel(int pair[2]);
/* Writes all of it or fails; for blocking fds only. */
int	fd_write_all(int fd, const void *buf, size_t len);
/* Closes *fd if it is open and sets it to -1; keeps errno. */
void	fd_drop(int *fd);

#endif
