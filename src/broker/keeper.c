/*
 * The channel to the keeper: what it tells, what is asked of it.
 *
 * Trusts: the keeper. Nonsense from it means that the builds differ or memory is
 * broken, so it is fatal. Must not: wait for an answer.
 */
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"

#define KEEPER_QUEUE	256u

static void
ask(struct broker *b, enum keeper_type type, enum role role, uint32_t slot)
{
	struct keeper_child	m;

	wire_begin(&m, sizeof(m), type, slot);
	m.role = role;
	if (chan_send(b->keeper, &m, sizeof(m), -1) == -1 && !b->orphan)
		log_warn("the keeper takes no message");
}

void
keeper_spawn(struct broker *b, enum role role, uint32_t slot)
{
	if (b->stop == STOP_NO || role == ROLE_RECORDER)
		ask(b, KEEPER_SPAWN, role, slot);
}

void
keeper_kill(struct broker *b, enum role role, uint32_t slot)
{
	ask(b, KEEPER_KILL, role, slot);
}

void
keeper_ready(struct broker *b, uint32_t slot)
{
	struct wire_id	m;

	wire_begin(&m, sizeof(m), KEEPER_READY, slot);
	chan_send(b->keeper, &m, sizeof(m), -1);
}

void
keeper_logging(struct broker *b)
{
	struct wire_id	m;

	wire_begin(&m, sizeof(m), KEEPER_LOGGING, 0);
	chan_send(b->keeper, &m, sizeof(m), -1);
}

/* Each is the first of those that are left. */
static void
most_denied(const struct broker *b, struct keeper_why why[KEEPER_WHY])
{
	bool		told[REASON_MAX] = { false };
	uint32_t	i, r, most;

	for (i = 0; i < KEEPER_WHY; i++) {
		for (r = most = 0; r < REASON_MAX; r++)
			if (!told[r] && b->denied_for[r] > b->denied_for[most])
				most = r;
		if (b->denied_for[most] == 0)
			return;
		told[most] = true;
		why[i].n = b->denied_for[most];
		why[i].reason = most;
	}
}

void
keeper_summary(struct broker *b)
{
	struct keeper_summary	m;

	wire_begin(&m, sizeof(m), KEEPER_SUMMARY, 0);
	m.allowed = b->allowed;
	m.tried = b->tried;
	m.denied = b->denied;
	m.up = b->up;
	m.down = b->down;
	most_denied(b, m.why);
	chan_send(b->keeper, &m, sizeof(m), -1);
}

static int
keeper_guest(void *room, const void *msg, int fd)
{
	const struct keeper_guest	*m = msg;
	struct broker			*b = room;

	(void)fd;
	if (memchr(m->name, '\0', sizeof(m->name)) == NULL)
		return -1;
	if (b->stop == STOP_NO)
		guest_take(b, m);
	return 0;
}

static struct child *
child_of(const struct broker *b, uint32_t role)
{
	return role == ROLE_RESOLVER ? resolver_child(b) :
	    role == ROLE_INSPECTOR ? inspector_child(b) : NULL;
}

static int
keeper_child(void *room, const void *msg, int fd)
{
	const struct keeper_child	*m = msg;
	struct broker			*b = room;

	struct child			*c = child_of(b, m->role);

	if (m->role == ROLE_RECORDER)
		audit_recorder(b, fd);
	else if (m->role == ROLE_FRAME)
		guest_frame(b, m, fd);
	else if (c != NULL)
		child_started(c, fd);
	else {
		close(fd);
		return -1;
	}
	return 0;
}

static int
keeper_child_log(void *room, const void *msg, int fd)
{
	const struct keeper_child	*m = msg;
	struct broker			*b = room;

	childlog_add(b->childlog, m->role, (uint32_t)m->head.id, fd);
	return 0;
}

static int
keeper_died(void *room, const void *msg, int fd)
{
	const struct keeper_died	*m = msg;
	struct child			*c = child_of(room, m->role);

	(void)fd;
	if (m->role == ROLE_RECORDER)
		audit_died(room, m);
	else if (m->role == ROLE_FRAME)
		guest_died(room, m);
	else if (c != NULL)
		child_died(c, m);
	else
		return -1;
	return 0;
}

static int
keeper_stop(void *room, const void *msg, int fd)
{
	(void)msg;
	(void)fd;
	broker_stop(room, false);
	return 0;
}

/* It cannot tell who did it: a command may have, and the user may. */
static int
keeper_law(void *room, const void *msg, int fd)
{
	const struct keeper_law	*m = msg;
	struct broker		*b = room;
	struct record		 r;

	(void)fd;
	if (memchr(m->path, '\0', sizeof(m->path)) == NULL)
		return -1;
	record_init(b, NULL, REC_POLICY_REPLACED, &r);
	record_text(r.detail, sizeof(r.detail), m->path);
	audit_put(b, &r);
	return 0;
}

static int
keeper_host(void *room, const void *msg, int fd)
{
	const struct keeper_host	*m = msg;

	(void)fd;
	if (!resolver_host_valid(&m->host))
		return -1;
	resolver_host(room, &m->host);
	return 0;
}

static const struct wire_rule rules[] = {
	{ KEEPER_GUEST, 1, sizeof(struct keeper_guest), false, keeper_guest, 0 },
	{ KEEPER_CHILD, 1, sizeof(struct keeper_child), true, keeper_child, 0 },
	{ KEEPER_CHILD_LOG, 1, sizeof(struct keeper_child), true,
	    keeper_child_log, 0 },
	{ KEEPER_DIED, 1, sizeof(struct keeper_died), false, keeper_died, 0 },
	{ KEEPER_STOP, 1, sizeof(struct wire_id), false, keeper_stop, 0 },
	{ KEEPER_LAW_GONE, 1, sizeof(struct keeper_law), false, keeper_law, 0 },
	{ KEEPER_HOST, 1, sizeof(struct keeper_host), false, keeper_host, 0 },
};

static void
keeper_message(void *arg, const void *buf, size_t len, int fd)
{
	enum wire_fault	fault;

	fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]), 1, arg,
	    buf, len, fd);
	if (fault != WIRE_OK)
		fatalx("the keeper speaks nonsense: %s",
		    wire_fault_name(fault));
}

/* No room for an fd: what the keeper sent cannot be had again. */
static void
keeper_fd_lost(void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	fatalx("no file descriptor is left for a new process; raise the hard "
	    "limit (ulimit -Hn) or lower the policy's conns");
}

static void
keeper_closed(void *arg, const char *why)
{
	if (why != NULL)
		log_warnx("the keeper's channel: %s", why);
	broker_stop(arg, true);
}

static const struct chan_ops	keeper_ops = {
	.message = keeper_message,
	.fd_lost = keeper_fd_lost,
	.closed = keeper_closed
};

struct chan *
keeper_open(struct broker *b, int fd)
{
	return chan_new(b->base, fd, CHAN_TAKES_FDS, KEEPER_QUEUE,
	    &keeper_ops, b);
}
