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

#define DRAIN_STEP	2000000L	/* ns */
#define DRAIN_STEPS	1000		/* two seconds */

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

static bool
pending(const char *path)
{
	FILE	*f = fopen(path, "re");
	char	 line[256];
	bool	 yes = false;

	if (f == NULL)
		return false;
	while (!yes && fgets(line, sizeof(line), f) != NULL)
		yes = drain_pending(line);
	fclose(f);
	return yes;
}

void
drain_wait(void)
{
	struct timespec	step = { .tv_nsec = DRAIN_STEP };
	int		i;

	for (i = 0; i < DRAIN_STEPS; i++) {
		if (!pending("/proc/net/tcp") && !pending("/proc/net/tcp6"))
			return;
		nanosleep(&step, NULL);
	}
	log_info("some of what CMD sent was not taken within two seconds");
}
