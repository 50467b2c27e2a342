/*
 * Until what CMD wrote last has left its net namespace. A program may write,
 * close and exit; the kernel still delivers, and so it must here: the gateway is
 * only told to end when the sockets of the dead have nothing left to say.
 *
 * Trusts: /proc/net/tcp of init's own net namespace.
 * Must not: wait for long: a server that never reads must not keep us.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define DRAIN_FIRST	1000000L	/* ns; each look costs more than this */
#define DRAIN_LAST	32000000L
#define DRAIN_TOTAL	2000000000L

/* include/net/tcp_states.h: closed here, and not all of it acknowledged. */
enum { TCP_FIN_WAIT1 = 4, TCP_LAST_ACK = 9, TCP_CLOSING = 11 };

static bool
unfinished(const char *line)
{
	unsigned int	state;

	/* sl local:port remote:port st */
	if (sscanf(line, " %*d: %*[0-9A-F]:%*x %*[0-9A-F]:%*x %x", &state) != 1)
		return false;
	return state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK ||
	    state == TCP_CLOSING;
}

bool
drain_pending(const char *text)
{
	const char	*line;

	for (line = text; line != NULL && *line != '\0';
	    line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (unfinished(line))
			return true;
	}
	return false;
}

bool
drain_in_use(const char *line)
{
	unsigned int	n;

	return (sscanf(line, "TCP: inuse %u", &n) == 1 ||
	    sscanf(line, "TCP6: inuse %u", &n) == 1) && n > 0;
}

static bool
any_line(const char *path, bool (*match)(const char *line))
{
	FILE	*f = fopen(path, "re");
	char	 line[256];
	bool	 yes = false;

	if (f == NULL)
		return false;
	while (!yes && fgets(line, sizeof(line), f) != NULL)
		yes = match(line);
	fclose(f);
	return yes;
}

/*
 * Whether this net namespace has a TCP socket at all comes first: mostly it has
 * none by now, and /proc/net/tcp* is a walk through the whole host's table, 5 ms
 * each [m].
 */
static bool
left(const char *sockets, const char *states)
{
	return any_line(sockets, drain_in_use) &&
	    any_line(states, drain_pending);
}

void
drain_wait(void)
{
	struct timespec	step = { .tv_nsec = DRAIN_FIRST };
	long		slept = 0;	/* ns */

	while (left("/proc/net/sockstat", "/proc/net/tcp") ||
	    left("/proc/net/sockstat6", "/proc/net/tcp6")) {
		if (slept >= DRAIN_TOTAL) {
			log_info("some of what CMD sent was not taken within "
			    "two seconds");
			return;
		}
		nanosleep(&step, NULL);
		slept += step.tv_nsec;
		if (step.tv_nsec < DRAIN_LAST)
			step.tv_nsec *= 2;
	}
}
