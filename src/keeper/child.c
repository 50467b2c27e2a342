/*
 * The rooms as running processes: started with their channel and log, watched
 * through their pidfd, restarted when the broker asks and back-off allows.
 *
 * Trusts: the broker's word on *when*; what is started is fixed at start.
 * Must not: signal by number. A pid may be somebody else's by now; a pidfd not.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "idmap.h"
#include "keeperd.h"

#define FRAME_SLOT	0u	/* the one guest of one-guest mode */

static void	child_end(int, short, void *);
static void	child_retry(int, short, void *);

static const char *const exe_name[ROLES] = {
	[ROLE_BROKER] = "sallyport-broker",
	[ROLE_FRAME] = "sallyport-frame",
	[ROLE_RECORDER] = "sallyport-recorder",
	[ROLE_PARSER] = "sallyport-parser",
	[ROLE_RESOLVER] = "sallyport-resolver",
	[ROLE_INSPECTOR] = "sallyport-inspector",
};

/* What is not done while a room is not there. */
static const char *const without[ROLES] = {
	[ROLE_FRAME] = "the guest is cut off",
	[ROLE_RECORDER] = "nothing new is let through",
	[ROLE_RESOLVER] = "no name is resolved",
	[ROLE_INSPECTOR] = "outside of audit mode no rule that verifies a "
	    "name lets a flow through",
};

static uint64_t
now_ms(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
child_init(struct keeper *k)
{
	unsigned int	role;
	struct child	*c;

	for (role = ROLE_BROKER; role < ROLES; role++) {
		c = &k->child[role];
		c->keeper = k;
		c->role = (enum role)role;
		c->proc.pidfd = -1;
		c->retry = event_new(k->base, -1, 0, child_retry, c);
		if (c->retry == NULL)
			fatalx("no memory for events");
	}
}

bool
child_running(const struct keeper *k, enum role role)
{
	return k->child[role].proc.pidfd != -1;
}

/*
 * Root gives each room an id that nothing else on the host has: the recorder the
 * one of the log's directory, the parser the caller's. An ordinary user has but
 * one, and namespaces, capabilities and filters keep the rooms apart.
 */
void
child_ids(const struct keeper *k, enum role role, uid_t *uid, gid_t *gid)
{
	struct stat	st;

	*uid = geteuid();
	*gid = getegid();
	if (!k->privileged)
		return;
	if (role == ROLE_BROKER)
		*uid = *gid = UID_BASE + 1;
	else if (role == ROLE_RESOLVER)
		*uid = *gid = UID_BASE + 2;
	else if (role == ROLE_INSPECTOR)
		*uid = *gid = UID_BASE + 3;
	else if (role == ROLE_FRAME)
		*uid = *gid = UID_BASE + 16 + FRAME_SLOT;
	else if (role == ROLE_RECORDER && fstat(k->audit_dir, &st) == 0 &&
	    idmap_has_uid(st.st_uid)) {
		*uid = st.st_uid;
		*gid = st.st_gid;
	}
}

/* What the room is called with, and its object. */
void
child_describe(const struct keeper *k, enum role role, struct spawn *s)
{
	memset(s, 0, sizeof(*s));
	s->role = role;
	s->exe = k->exe[role];
	s->argv[0] = exe_name[role];
	s->argv[1] = k->level;
	s->channel = s->object = s->log = s->shared = -1;
	s->foreign = k->link.fd;
	child_ids(k, role, &s->uid, &s->gid);
	if (role == ROLE_RECORDER) {
		s->argv[2] = k->opt.audit_name;
		s->argv[3] = k->opt.audit_dir[0] == '/' ?
		    k->opt.audit_dir : NULL;
		s->object = k->audit_dir;
	} else if (role == ROLE_FRAME) {
		s->object = s->foreign;
		s->foreign = -1;
		s->shared = k->link.shared;
	} else if (role == ROLE_RESOLVER)
		s->object = k->ca_bundle;
}

/* The resolver makes sockets, which nothing that inherits our seal can. */
static int
bring_up(const struct keeper *k, const struct spawn *s, struct spawned *out)
{
	if (s->role == ROLE_RESOLVER)
		return nursery_spawn(k, s->channel, s->log, out);
	return spawn(s, out);
}

/* A child whose end would not be seen is none: it is ended, and waited for. */
static int
watch(struct keeper *k, struct child *c)
{
	c->end = event_new(k->base, c->proc.pidfd, EV_READ, child_end, c);
	if (c->end != NULL && event_add(c->end, NULL) == 0)
		return 0;
	if (c->end != NULL)
		event_free(c->end);
	c->end = NULL;
	syscall(SYS_pidfd_send_signal, c->proc.pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)c->proc.pidfd, NULL, WEXITED);
	fd_drop(&c->proc.pidfd);
	errno = ENOBUFS;
	return -1;
}

/*
 * The broker's own diagnostics go to our stderr, and its channel ends here; the
 * others talk to the broker, which gets the far ends of both.
 */
int
child_start(struct keeper *k, enum role role)
{
	struct child	*c = &k->child[role];
	struct spawn	 s;
	int		 chan[2] = { -1, -1 }, log[2] = { -1, -1 }, r = -1;

	child_describe(k, role, &s);
	if (fd_channel(chan) == -1 || fd_refuse_fds(chan[0]) == -1 || (role != ROLE_BROKER &&
	    pipe2(log, O_CLOEXEC | O_NONBLOCK) == -1))
		goto out;
	s.channel = chan[1];
	s.log = role == ROLE_BROKER ? STDERR_FILENO : log[1];
	if ((r = bring_up(k, &s, &c->proc)) == -1 ||
	    (r = watch(k, c)) == -1)
		goto out;
	c->killed = c->renew = false;
	backoff_started(&c->backoff, now_ms());
	log_debug("%s is pid %d", role_name(role), (int)c->proc.pid);
	if (role == ROLE_BROKER) {
		r = hatch_open(k, chan[0]);
		chan[0] = -1;
	} else
		hatch_child(k, role, c->proc.pid, chan[0], log[0]);
out:
	fd_drop(&chan[0]);
	fd_drop(&chan[1]);
	fd_drop(&log[0]);
	fd_drop(&log[1]);
	return r;
}

static bool
may_run(const struct keeper *k, enum role role)
{
	if (role == ROLE_FRAME)
		return k->link.fd != -1 &&
		    (k->state & (KEEPER_S_GREETED | KEEPER_S_READY)) != 0;
	return k->state != KEEPER_S_ENDING;
}

/* What can be done about it. */
static const char *
advice(const struct child *c, int err)
{
	if (c->keeper->missing[c->role] != 0)
		return "install it, and start Sallyport again";
	if (c->role == ROLE_RESOLVER && (err == EPIPE || err == ECONNRESET))
		return "sp-nursery is gone, so start Sallyport again";
	switch (err) {
	case EMFILE:
	case ENFILE:
		return "raise the limit of open files";
	case ETOOMANYREFS:
		return "another program of this user holds its file "
		    "descriptors in flight";
	case ENOBUFS:
		return "are fs.epoll.max_user_watches used up?";
	case EAGAIN:
		return "raise the limit of processes";
	case EPERM:
	case ENOSPC:
	case EUSERS:
		return "let it have namespaces: see namespaces(7)";
	default:
		return "it is tried again, ever more slowly";
	}
}

/*
 * As if it had died at once, and told so: what waits for it must not wait. It is
 * the broker's to ask again. Said for the first of a row.
 */
static void
not_started(struct child *c, int err)
{
	struct keeper_died	d;

	if (!c->failing)
		log_warnx("%s cannot be started (%s): %s until it can; %s",
		    exe_name[c->role], strerrordesc_np(err), without[c->role],
		    advice(c, err));
	c->failing = true;
	backoff_died(&c->backoff, now_ms());
	wire_begin(&d, sizeof(d), KEEPER_DIED, FRAME_SLOT);
	d.role = c->role;
	d.err = (uint32_t)err;
	hatch_died(c->keeper, &d);
}

static void
start_now(struct child *c)
{
	struct keeper	*k = c->keeper;

	if (child_running(k, c->role) || !may_run(k, c->role))
		return;
	backoff_started(&c->backoff, now_ms());	/* one that fails is no health */
	if (child_start(k, c->role) == 0)
		c->failing = false;
	else
		not_started(c, errno);
}

static void
child_retry(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start_now(arg);
}

/*
 * The broker asked for it: at once, or when its time has come. Programs are opened
 * once, so one that is not there will not be: that is told once, and asking again
 * is of no use.
 */
void
child_want(struct keeper *k, enum role role)
{
	struct child	*c = &k->child[role];
	struct timeval	 tv = { .tv_sec = c->backoff.delay / 1000,
			    .tv_usec = c->backoff.delay % 1000 * 1000 };

	if (k->missing[role] != 0) {
		if (!c->failing)
			not_started(c, k->missing[role]);
	} else if (c->backoff.delay == 0)
		start_now(c);
	else if (!event_pending(c->retry, EV_TIMEOUT, NULL))
		event_add(c->retry, &tv);
}

void
child_kill(struct keeper *k, enum role role)
{
	struct child	*c = &k->child[role];

	c->killed = true;
	if (c->proc.pidfd != -1 && syscall(SYS_pidfd_send_signal,
	    c->proc.pidfd, SIGKILL, NULL, 0) == -1 && errno != ESRCH)
		log_warn("%s cannot be killed", role_name(role));
}

/* Whoever had it killed has said why. */
static void
say_end(const struct child *c, const struct keeper_died *d)
{
	if (d->signal == SIGKILL && c->killed)
		return;
	if (d->signal != 0)
		log_warnx("%s died of signal %u", role_name(d->role),
		    d->signal);
	else if (d->status != 0)
		log_info("%s ended with status %u", role_name(d->role),
		    d->status);
}

/* It never came up. One that knows why has said so, with FATAL_STATUS. */
static void
say_broker(const struct keeper *k, const struct keeper_died *d)
{
	if (!k->was_ready && d->signal == 0 && d->status != FATAL_STATUS)
		log_warnx("the broker ended with status %u and has not said why; "
		    "are all programs of the same build?", d->status);
}

static void
room_ended(struct keeper *k, struct child *c, const struct keeper_died *d)
{
	bool	gone = d->role == ROLE_FRAME && d->signal == 0 &&
		    d->status == FRAME_LINK_GONE;

	if (gone) {
		link_lost(&k->link);
		c->backoff.delay = 0;	/* it did its work */
	}
	hatch_died(k, d);
	if (gone)
		hatch_guest(k);		/* the next client may be there */
	life_check_end(k);
}

static void
child_end(int fd, short what, void *arg)
{
	struct child		*c = arg;
	struct keeper		*k = c->keeper;
	struct keeper_died	 d;
	siginfo_t		 si;

	(void)what;
	memset(&si, 0, sizeof(si));
	if (waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG) == -1)
		fatal("waitid");
	wire_begin(&d, sizeof(d), KEEPER_DIED, FRAME_SLOT);
	d.role = c->role;
	d.pid = (uint32_t)c->proc.pid;
	if (si.si_code == CLD_EXITED)
		d.status = (uint32_t)si.si_status;
	else
		d.signal = (uint32_t)si.si_status;
	event_free(c->end);
	c->end = NULL;
	fd_drop(&c->proc.pidfd);
	if (c->killed && c->renew)
		c->backoff.delay = 0;
	else
		backoff_died(&c->backoff, now_ms());
	if (k->state < KEEPER_S_STOPPING)
		say_end(c, &d);
	if (c->role == ROLE_BROKER && k->state < KEEPER_S_STOPPING)
		say_broker(k, &d);
	if (c->role == ROLE_BROKER)
		life_broker_gone(k, d.signal == 0 && d.status == 0);
	else
		room_ended(k, c, &d);
}
