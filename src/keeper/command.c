/*
 * The channel to the command that started us. It brings the tap and the news that
 * CMD has ended; its own end means the same as that news.
 *
 * Trusts: the user's command; it could as well have done it all by itself.
 * Must not: outlive it.
 */
#include <errno.h>
#include <string.h>

#include "keeperd.h"

#define COMMAND_QUEUE	8

static int
on_link(void *arg, const void *msg, int fd)
{
	struct keeper		*k = arg;
	struct keeper_link	 l;

	memcpy(&l, msg, sizeof(l));
	if (k->opt.kind != LINK_TAP || link_take(&k->link, fd, l.flags) == -1) {
		fd_drop(&fd);
		return -1;
	}
	hatch_guest(k);
	return 0;
}

static int
on_law(void *arg, const void *msg, int fd)
{
	struct keeper		*k = arg;
	struct keeper_law	l;

	(void)fd;
	memcpy(&l, msg, sizeof(l));
	if (k->state == KEEPER_S_READY)	/* else there is no log to tell it to */
		hatch_law(k, &l);
	return 0;
}

/*
 * The broker's to act on. If it has the resolver killed for that, the next one is
 * not made to wait as after a death.
 */
static int
on_upstreams(void *arg, const void *msg, int fd)
{
	struct keeper		*k = arg;
	struct keeper_host	h;

	(void)fd;
	memcpy(&h, msg, sizeof(h));
	k->opt.host = h.host;
	k->child[ROLE_RESOLVER].renew = true;
	hatch_host(k, &h);
	return 0;
}

static int
on_finish(void *arg, const void *msg, int fd)
{
	struct keeper	*k = arg;

	(void)msg;
	(void)fd;
	k->asked = true;
	life_stop(k);
	return 0;
}

#define S_ANY	(KEEPER_S_START | KEEPER_S_GREETED | KEEPER_S_READY | \
		KEEPER_S_STOPPING | KEEPER_S_ENDING)

static const struct wire_rule rules[] = {
	{ KEEPER_LINK, KEEPER_S_START | KEEPER_S_GREETED,
	    sizeof(struct keeper_link), true, on_link, 0 },
	{ KEEPER_LAW, S_ANY, sizeof(struct keeper_law), false,
	    on_law, 0 },
	{ KEEPER_UPSTREAMS, S_ANY, sizeof(struct keeper_host), false,
	    on_upstreams, 0 },
	{ KEEPER_FINISH, S_ANY, sizeof(struct wire_head), false, on_finish, 0 },
};

static void
command_closed(void *arg, const char *why)
{
	struct keeper	*k = arg;

	if (why != NULL)
		log_warnx("channel to the command: %s", why);
	chan_free(k->command);
	k->command = NULL;
	life_stop(k);
}

static void
command_message(void *arg, const void *buf, size_t len, int fd)
{
	struct keeper	*k = arg;
	enum wire_fault	 fault;

	fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]),
	    k->state, k, buf, len, fd);
	if (fault != WIRE_OK)
		command_closed(k, wire_fault_name(fault));
}

static const struct chan_ops ops = {
	.message = command_message,
	.closed = command_closed,
};

int
command_open(struct keeper *k)
{
	if (fd_nonblock(COMMAND_FD) == -1 || fd_cloexec(COMMAND_FD, true) == -1)
		return -1;
	k->command = chan_new(k->base, COMMAND_FD, CHAN_TAKES_FDS,
	    COMMAND_QUEUE, &ops, k);
	return k->command == NULL ? -1 : 0;
}

void
command_up(struct keeper *k)
{
	struct wire_head	up;

	wire_begin(&up, sizeof(up), KEEPER_UP, 0);
	if (k->command != NULL)
		chan_send(k->command, &up, sizeof(up), k->files);
	fd_drop(&k->files);
}

/* The last word: how it went, or that it never began. */
void
command_end(struct keeper *k)
{
	struct keeper_summary	down = k->summary;
	struct wire_head	failed;

	if (k->command == NULL)
		return;
	/* who was asked to end before it was up has not failed */
	if (!k->was_ready && (k->failed || !k->asked)) {
		wire_begin(&failed, sizeof(failed), KEEPER_FAILED, 0);
		chan_send(k->command, &failed, sizeof(failed), -1);
		return;
	}
	wire_begin(&down.head, sizeof(down.head), KEEPER_DOWN, 0);
	down.failed = k->failed;
	chan_send(k->command, &down, sizeof(down), -1);
}
