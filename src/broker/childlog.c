/*
 * Diagnostics of the other sealed processes: read from their pipes, cut into
 * lines, given a prefix that the child cannot choose, and passed on.
 *
 * Trusts: nothing of the bytes; log.c escapes them. Must not: let a child fill
 * the operator's disk, take up our time or pose as another: lines above the rate
 * are counted and dropped, and whoever writes without end waits for its reader. The
 * audit stream is another one and never dropped.
 */
#include <sys/queue.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

#define LINES_PER_SEC	20u
#define LINES_BURST	100u
#define LINE_ROOM	(LOG_LINE_MAX * 2)
/* What a pipe holds (pipe(7)). After so much it is left alone for a moment. */
#define BYTES_MAX	(64u << 10)
#define PAUSE_US	100000

struct pipe_end {
	LIST_ENTRY(pipe_end) entry;
	struct event	*event, *again;
	size_t		taken;		/* since the last pause */
	enum role	role;
	uint32_t	slot;
	int		fd;
	struct bucket	rate;
	uint64_t	dropped;
	size_t		len;
	char		line[LINE_ROOM];
};

struct childlog {
	struct event_base *base;
	LIST_HEAD(, pipe_end) pipes;
};

struct childlog *
childlog_new(struct event_base *base)
{
	struct childlog	*c = calloc(1, sizeof(*c));

	if (c != NULL)
		c->base = base;
	return c;
}

/* The child's own "sallyport-frame: " says nothing beside our prefix. */
static const char *
without_name(const char *line, enum role role)
{
	const char	*colon = strstr(line, ": "), *name = line;

	if (strncmp(name, "sallyport-", 10) == 0)
		name += 10;
	if (colon == NULL || strlen(role_name(role)) != (size_t)(colon - name) ||
	    strncmp(name, role_name(role), (size_t)(colon - name)) != 0)
		return line;
	return colon + 2;
}

static void
pass_on(struct pipe_end *p)
{
	p->line[p->len] = '\0';
	p->len = 0;
	if (!bucket_take(&p->rate, mono_now())) {
		p->dropped++;
		return;
	}
	if (p->dropped > 0)
		log_warnx("%s %u: %llu lines dropped", role_name(p->role),
		    p->slot, (unsigned long long)p->dropped);
	p->dropped = 0;
	log_warnx("%s %u: %s", role_name(p->role), p->slot,
	    without_name(p->line, p->role));
}

static void
take_bytes(struct pipe_end *p, const char *buf, size_t n)
{
	size_t	i;

	for (i = 0; i < n; i++) {
		if (buf[i] != '\n')
			p->line[p->len++] = buf[i];
		if ((buf[i] == '\n' && p->len > 0) ||
		    p->len == sizeof(p->line) - 1)
			pass_on(p);
	}
}

static void
pipe_free(struct pipe_end *p)
{
	LIST_REMOVE(p, entry);
	event_free(p->event);
	event_free(p->again);
	close(p->fd);
	free(p);
}

static void
pipe_later(struct pipe_end *p)
{
	struct timeval	tv = { .tv_usec = PAUSE_US };

	if (event_add(p->again, &tv) == -1)
		fatalx("libevent has no memory");
}

/* What cannot be watched now is tried again; the pipe keeps what comes. */
static void
pipe_watch(struct pipe_end *p)
{
	if (event_add(p->event, NULL) == -1)
		pipe_later(p);
}

static void
pipe_resume(int fd, short what, void *arg)
{
	struct pipe_end	*p = arg;

	(void)fd;
	(void)what;
	p->taken = 0;
	pipe_watch(p);
}

static void
pipe_pause(struct pipe_end *p)
{
	event_del(p->event);
	pipe_later(p);
}

static void
pipe_read(int fd, short what, void *arg)
{
	struct pipe_end	*p = arg;
	char		 buf[4096];
	ssize_t		 n = read(fd, buf, sizeof(buf));

	(void)what;
	if (n > 0) {
		take_bytes(p, buf, (size_t)n);
		p->taken += (size_t)n;
		if (p->taken >= BYTES_MAX)
			pipe_pause(p);
		return;
	}
	if (p->len > 0)
		pass_on(p);
	pipe_free(p);
}

/*
 * All that a dead child has left to say, which is no more than a pipe holds. A
 * child that lives is not waited for: the pipes do not block.
 */
void
childlog_drain(struct childlog *c)
{
	struct pipe_end	*p, *next;
	char		 buf[4096];
	size_t		 left;
	ssize_t		 n;

	for (p = LIST_FIRST(&c->pipes); p != NULL; p = next) {
		next = LIST_NEXT(p, entry);
		left = BYTES_MAX;
		while (left > 0 && (n = read(p->fd, buf, sizeof(buf))) > 0) {
			take_bytes(p, buf, (size_t)n);
			left -= (size_t)n < left ? (size_t)n : left;
		}
	}
}

/* Takes fd. Without memory the child merely goes unheard. */
void
childlog_add(struct childlog *c, enum role role, uint32_t slot, int fd)
{
	struct pipe_end	*p = calloc(1, sizeof(*p));

	if (p == NULL) {
		close(fd);
		return;
	}
	p->role = role;
	p->slot = slot;
	p->fd = fd;
	bucket_init(&p->rate, LINES_PER_SEC, LINES_BURST, mono_now());
	LIST_INSERT_HEAD(&c->pipes, p, entry);
	p->event = event_new(c->base, fd, EV_READ | EV_PERSIST, pipe_read, p);
	p->again = event_new(c->base, -1, 0, pipe_resume, p);
	if (p->event == NULL || p->again == NULL)
		fatalx("libevent has no memory");
	pipe_watch(p);
}

void
childlog_free(struct childlog *c)
{
	while (!LIST_EMPTY(&c->pipes))
		pipe_free(LIST_FIRST(&c->pipes));
	free(c);
}
