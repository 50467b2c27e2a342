/*
 * The life of the resolver and of the inspector, seen from the broker. See
 * child.h.
 *
 * Trusts: the keeper for starts and deaths. Nothing of the child: what its table
 * or a handler refuses ends it, as it ends a frame.
 * Must not: wait for it, or ask for it again before the keeper has said that the
 * last one is dead.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "child.h"
#include "log.h"

#define CHILD_QUEUE	2u		/* CONFIG only: the rest waits with its owner */
#define CHILD_GREETS	(10 * SEC)
#define STATUS_LOADER	127u		/* of ld.so(8), which has no words here */

static const struct chan_ops	child_chan;

void
child_want(struct child *c, struct broker *b, enum role role,
    const struct child_ops *ops)
{
	c->broker = b;
	c->role = role;
	c->ops = ops;
	c->state = CHILD_NONE;
	c->wanted = c->there = true;
	c->hello_due = mono_now() + CHILD_GREETS;
	keeper_spawn(b, role, 0);
}

static void
end_it(struct child *c)
{
	keeper_kill(c->broker, c->role, 0);
	chan_free(c->chan);
	c->chan = NULL;
	c->state = CHILD_NONE;
	c->renewing = true;
}

void
child_renew(struct child *c, bool wanted)
{
	c->wanted = wanted;
	if (c->chan != NULL)
		end_it(c);
	/* as for the first one */
	c->begun = false;
	c->hello_due = mono_now() + CHILD_GREETS;
	broker_want_tick(c->broker);
	if (wanted && !c->there) {
		c->there = true;
		keeper_spawn(c->broker, c->role, 0);
	}
}

void
child_started(struct child *c, int fd)
{
	if (!c->there || c->chan != NULL)
		fatalx("the keeper started a %s that nobody asked for",
		    role_name(c->role));
	if (!c->wanted) {		/* any more */
		close(fd);
		end_it(c);
		return;
	}
	c->chan = chan_new(c->broker->base, fd, 0, CHILD_QUEUE, &child_chan, c);
	if (c->chan == NULL) {
		close(fd);
		child_fault(c, "its channel cannot be watched");
		return;
	}
	c->state = CHILD_GREETING;
	c->hello_due = mono_now() + CHILD_GREETS;
	broker_want_tick(c->broker);
	if (c->ops->started != NULL)
		c->ops->started(c);
}

bool
child_expected(const struct child *c)
{
	return c->wanted && (c->state == CHILD_UP || !c->begun);
}

static void
hang_up(struct child *c)
{
	chan_free(c->chan);
	c->chan = NULL;
	c->state = CHILD_NONE;
	c->begun = true;
	c->ops->gone(c);
}

void
child_fault(struct child *c, const char *why)
{
	if (!c->failing)
		log_warnx("the %s is ended: %s", role_name(c->role), why);
	c->fault = why;
	keeper_kill(c->broker, c->role, 0);
	hang_up(c);
}

static void
record_death(const struct child *c, const struct keeper_died *d)
{
	const char	*why = c->fault != NULL ? c->fault :
			    d->pid == 0 ? "not-started" :
			    !c->greeted ? "before-hello" : NULL;
	struct record	 r;

	record_init(c->broker, NULL, REC_CHILD_DIED, &r);
	r.pid = d->pid;
	r.signal = d->signal;
	r.status = d->status;
	r.err = d->err;
	snprintf(r.detail, sizeof(r.detail), "%s%s%s", role_name(c->role),
	    why != NULL ? ": " : "", why != NULL ? why : "");
	audit_put(c->broker, &r);
}

static const char *
hint(const struct child *c, const struct keeper_died *d)
{
	if (c->fault != NULL)
		return "are all programs of the same build?";
	if (d->status == FATAL_STATUS)
		return "its own line says why";
	return d->status == STATUS_LOADER ?
	    "ldd(1) says which library it misses" : "it has not said why";
}

/* Once for a row of starts that lead to nothing; the log has each. */
static void
say_death(struct child *c, const struct keeper_died *d)
{
	if (c->greeted)
		log_warnx("the %s died (signal %u, status %u) and is started "
		    "again", role_name(c->role), d->signal, d->status);
	else if (d->pid != 0 && !c->failing)
		log_warnx("the %s ends before it is of use (signal %u, status "
		    "%u), and is tried ever more slowly; %s",
		    role_name(c->role), d->signal, d->status, hint(c, d));
	c->failing = !c->greeted;
}

static void
mourn(struct child *c, const struct keeper_died *d)
{
	if (c->chan != NULL)
		chan_drain(c->chan);	/* its last answers count */
	hang_up(c);			/* or it never had a channel */
	if (c->broker->stop != STOP_NO)
		return;
	say_death(c, d);
	record_death(c, d);
}

void
child_died(struct child *c, const struct keeper_died *d)
{
	if (!c->there)
		fatalx("the keeper lost a %s that nobody asked for",
		    role_name(c->role));
	c->there = false;
	if (!c->renewing)
		mourn(c, d);
	c->fault = NULL;
	c->greeted = c->renewing = false;
	if (c->broker->stop != STOP_NO || !c->wanted)
		return;
	c->there = true;
	keeper_spawn(c->broker, c->role, 0);
}

/* The first one may be late; what waits for it cannot wait for ever. */
void
child_tick(struct child *c, uint64_t mono)
{
	if (c->state == CHILD_UP || mono < c->hello_due)
		return;
	if (c->state == CHILD_GREETING)
		child_fault(c, "no-hello");
	else if (!c->begun)
		hang_up(c);
}

void
child_free(struct child *c)
{
	chan_free(c->chan);
	c->chan = NULL;
}

/* ---- its channel ---------------------------------------------------------------- */

int
child_refuse(struct child *c, const char *why)
{
	c->fault = why;
	return -1;
}

int
child_hello(void *room, const void *msg, int fd)
{
	const struct wire_hello	*m = msg;
	struct child		*c = room;

	(void)fd;
	if (!wire_hello_ours(m))
		return child_refuse(c, "another-build");
	c->state = CHILD_UP;
	c->begun = c->greeted = true;
	c->failing = false;
	c->ops->writable(c);
	return 0;
}

static void
child_message(void *arg, const void *buf, size_t len, int fd)
{
	struct child	*c = arg;
	enum wire_fault	 fault;

	fault = wire_dispatch(c->ops->rules, c->ops->nrules, c->state, c, buf,
	    len, fd);
	if (fault == WIRE_REFUSED && c->fault != NULL)
		child_fault(c, c->fault);
	else if (fault != WIRE_OK)
		child_fault(c, wire_fault_name(fault));
}

/* Without its channel it is of no use, even if it lives. */
static void
child_closed(void *arg, const char *why)
{
	struct child	*c = arg;

	if (why != NULL) {
		child_fault(c, "bad datagram");
		return;
	}
	keeper_kill(c->broker, c->role, 0);
	hang_up(c);
}

static void
child_writable(void *arg)
{
	struct child	*c = arg;

	c->ops->writable(c);
}

static const struct chan_ops	child_chan = {
	.message = child_message,
	.closed = child_closed,
	.writable = child_writable
};
