/*
 * Upstreams that have just refused a datagram: ICMP said that nobody listens
 * there, and the kernel left that as the error of a connected socket.
 *
 * A host says so once a second, after six at once (icmp(7), icmp_ratelimit): most
 * of many questions are not told. So one "no" counts for a while, for whatever
 * else is sent to that address, until something comes from there: it is sent, but
 * not waited for as long.
 *
 * Trusts: the kernel, which believes only ICMP that quotes the socket's own ports.
 * Must not: end a question by itself; it only shortens how long one is waited for.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/socket.h>

#include <stdint.h>
#include <string.h>

#include "resolver.h"

#define COUNTS_MS	2000	/* longer than libunbound waits at first */

struct refusal {
	struct sockaddr_storage	peer;
	int64_t			until;
};

static struct refusal	refusals[UPSTREAM_MAX];
static size_t		nrefusals;

/* The number of the peer's; nrefusals: it has none. */
static size_t
find(int fd, struct sockaddr_storage *peer)
{
	socklen_t	len = sizeof(*peer);
	size_t		i = 0;

	memset(peer, 0, sizeof(*peer));
	if (getpeername(fd, (struct sockaddr *)peer, &len) == -1)
		return nrefusals;
	while (i < nrefusals &&
	    memcmp(&refusals[i].peer, peer, sizeof(*peer)) != 0)
		i++;
	return i;
}

void
refused_by(int fd)
{
	struct sockaddr_storage	peer;
	size_t			i = find(fd, &peer);

	if (i == UPSTREAM_MAX || peer.ss_family == AF_UNSPEC)
		return;
	if (i == nrefusals)
		refusals[nrefusals++].peer = peer;
	refusals[i].until = now_ms() + COUNTS_MS;
}

bool
refused_lately(int fd)
{
	struct sockaddr_storage	peer;
	size_t			i;

	return nrefusals > 0 && (i = find(fd, &peer)) < nrefusals &&
	    now_ms() < refusals[i].until;
}

void
refused_no_more(int fd)
{
	struct sockaddr_storage	peer;
	size_t			i;

	if (nrefusals > 0 && (i = find(fd, &peer)) < nrefusals)
		refusals[i] = refusals[--nrefusals];
}
