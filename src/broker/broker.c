/*
 * The broker as a whole: its parts put together before the seal, its clock, and
 * its orderly end.
 *
 * Trusts: the keeper and the compiled policy.
 * Must not: open anything after broker_new() but the street's sockets.
 */
#include <sys/epoll.h>
#include <sys/resource.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "hash.h"
#include "log.h"

#define TICK_MS		500	/* something is due within seconds */
#define TICK_STOP_MS	25	/* at the end, where somebody waits */
#define TICK_SLOW_S	5	/* flows are open, nothing is due */
#define FDS_KEPT	64u	/* not for flows: channels, logs, epolls */
#define STOP_FLUSH_S	5u	/* for the recorder's last commit */
#define STOP_ORPHAN_S	2u	/* the same, without a keeper */

static void	broker_tick(int, short, void *);
static void	broker_watch(int, short, void *);
static void	broker_hold(int, short, void *);

/* How many flows this process has file descriptors for. */
static uint32_t
fds_for_flows(void)
{
	struct rlimit	rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("getrlimit");
	if (rl.rlim_max > UINT32_MAX)
		return UINT32_MAX;
	return rl.rlim_max > 2 * FDS_KEPT ? (uint32_t)rl.rlim_max - FDS_KEPT :
	    (uint32_t)rl.rlim_max / 2;
}

static struct event *
event_for(struct broker *b, int fd, short what, event_callback_fn fn)
{
	struct event	*e = event_new(b->base, fd, what, fn, b);

	if (e == NULL)
		fatalx("libevent has no memory");
	if (fd != -1 && event_add(e, NULL) == -1)
		fatal("no epoll watch, for which see fs.epoll.max_user_watches");
	return e;
}

/* Everything that has to be opened is opened here; takes policy and keeper. */
struct broker *
broker_new(struct event_base *base, int keeper, struct policy *policy,
    unsigned int tenant, uint32_t durable)
{
	struct broker	*b = calloc(1, sizeof(*b));

	if (b == NULL)
		fatal("broker");
	hash_init();
	accounts_init(&b->accounts);
	b->base = base;
	b->policy = policy;
	b->tenant = tenant;
	b->durable = durable;
	b->gen = 1;
	b->conns_max = fds_for_flows();
	TAILQ_INIT(&b->walk);
	b->locals = locals_open();
	if (route_open(&b->route) == -1)
		fatal("netlink");
	b->echo4 = ping_works(ADDR_V4);
	b->echo6 = ping_works(ADDR_V6);
	b->audit = audit_new(b);
	if ((b->watch = epoll_create1(EPOLL_CLOEXEC)) == -1)
		fatal("epoll");
	b->tick = event_for(b, -1, 0, broker_tick);
	b->holding = event_for(b, -1, 0, broker_hold);
	b->watching = event_for(b, b->watch, EV_READ | EV_PERSIST,
	    broker_watch);
	if ((b->changes = changes_new(b)) == NULL)
		fatal("netlink");
	b->expiry = expiry_new(b);
	b->childlog = childlog_new(base);
	b->keeper = keeper_open(b, keeper);
	if (b->childlog == NULL || b->keeper == NULL)
		fatal("broker");
	return b;
}

/* Sealed: says so, asks for who is needed, and opens the log's story. */
void
broker_start(struct broker *b)
{
	struct wire_hello	m;

	wire_hello_begin(&m, KEEPER_HELLO);
	if (chan_send(b->keeper, &m, sizeof(m), -1) == -1)
		fatal("the keeper takes no message");
	keeper_spawn(b, ROLE_RECORDER, 0);
	resolver_start(b);
	inspector_start(b);
	record_begin(b);
	resolver_record(b);
}

/* ---- time -------------------------------------------------------- */

static void
tick_in(struct broker *b, bool soon)
{
	suseconds_t	ms = b->stop == STOP_NO ? TICK_MS : TICK_STOP_MS;
	struct timeval	tv = { .tv_sec = soon ? 0 : TICK_SLOW_S,
			    .tv_usec = soon ? ms * 1000 : 0 };

	b->tick_soon = soon;
	event_add(b->tick, &tv);
}

void
broker_want_tick(struct broker *b)
{
	if (!b->tick_soon)
		tick_in(b, true);
}

static void
broker_tick(int fd, short what, void *arg)
{
	struct broker	*b = arg;
	uint64_t	 mono = mono_now();
	bool		 urgent = b->stop != STOP_NO, busy = false;
	unsigned int	 i;

	(void)fd;
	(void)what;
	b->tick_soon = false;
	resolver_tick(b, mono);
	inspector_tick(b, mono);
	audit_tick(b, mono);
	accounts_tick(&b->accounts, mono, boot_now());
	for (i = 0; i < GUESTS_MAX; i++) {
		if (b->guest[i] == NULL)
			continue;
		guest_tick(b->guest[i], mono);
		urgent |= guest_urgent(b->guest[i]);
		busy |= b->guest[i]->nflows > 0;
	}
	urgent |= resolver_urgent(b) || inspector_urgent(b) ||
	    audit_urgent(b);
	if (urgent || busy || b->accounts.nleftovers > 0)
		tick_in(b, urgent);
	if (b->stop != STOP_NO)
		broker_stop_step(b);
}

static void
broker_watch(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ledger_watch(arg);
}

static void
broker_hold(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	hold_turn(arg);
}

/* ---- the end --------------------------------------------------------------------- */

/* Orphans have no time to lose: whoever could restart them is gone. */
void
broker_stop(struct broker *b, bool orphan)
{
	if (orphan && !b->orphan) {
		b->orphan = true;
		event_base_loopexit(b->base, &(struct timeval){
		    .tv_sec = STOP_ORPHAN_S });
	}
	if (b->stop == STOP_NO) {
		b->stop = STOP_GRACEFUL;
		b->stop_due = mono_now() + STOP_GRACE;
	}
	tick_in(b, true);
	broker_stop_step(b);
}

/*
 * What is not connected, or was not told its guest yet, ends with the guest, as does
 * a connect of a process that dies. What the guest has said to the end needs us no
 * more; for a moment its server's answer is waited for, so that the record has it.
 */
static bool
waited_for(const struct flow *f, bool briefly)
{
	if (f->proto != PROTO_TCP || (f->state <= FLOW_RECORDED && f->flight == NULL))
		return false;
	return briefly || !meter_said(f);
}

/*
 * A command that ended may have left its last bytes in its kernel, which sends
 * them and a FIN: such flows end by themselves within moments.
 */
static bool
ending_by_itself(const struct broker *b)
{
	uint64_t		 now = mono_now();
	bool			 briefly = now + STOP_GRACE <
				    b->stop_due + STOP_REPLY;
	const struct flow	*f;
	unsigned int		 i;

	if (b->orphan || now >= b->stop_due)
		return false;
	for (i = 0; i < GUESTS_MAX; i++) {
		if (b->guest[i] == NULL || b->guest[i]->state != GUEST_SERVED)
			continue;
		TAILQ_FOREACH(f, &b->guest[i]->flows, all)
			if (waited_for(f, briefly))
				return true;
	}
	return false;
}

/*
 * What moved in other flows than TCP only their frame knows, so it is asked, by
 * taking them back, before it is ended. False: nobody is left to say anything.
 */
static bool
counts_wanted(struct broker *b, bool ask)
{
	struct flow	*f, *next;
	unsigned int	 i;
	bool		 wanted = false;

	for (i = 0; i < GUESTS_MAX; i++) {
		if (b->guest[i] == NULL || b->guest[i]->state != GUEST_SERVED)
			continue;
		for (f = TAILQ_FIRST(&b->guest[i]->flows); f != NULL; f = next) {
			next = TAILQ_NEXT(f, all);
			if (ask && f->state == FLOW_OPEN &&
			    f->proto != PROTO_TCP)
				ledger_revoke(f, REASON_SHUTDOWN);
			wanted |= f->state == FLOW_REVOKED;
		}
	}
	return wanted;
}

static void
end_guests(struct broker *b)
{
	struct record	r;
	unsigned int	i;

	for (i = 0; i < GUESTS_MAX; i++)
		if (b->guest[i] != NULL)
			guest_detach(b->guest[i], REASON_SHUTDOWN);
	record_init(b, NULL, REC_DAEMON_STOP, &r);
	r.reason = REASON_SHUTDOWN;
	audit_put(b, &r);
	b->stop = STOP_FLUSH;
	b->stop_due = mono_now() + STOP_FLUSH_S * SEC;
}

/* Called whenever something that the end waits for may have happened. */
void
broker_stop_step(struct broker *b)
{
	bool	done;

	if (b->stop == STOP_GRACEFUL) {
		if (ending_by_itself(b))
			return;
		b->stop = STOP_COUNT;
		b->stop_due = mono_now() + STOP_COUNTS;
		(void)counts_wanted(b, !b->orphan);
	}
	if (b->stop == STOP_COUNT) {
		if (!b->orphan && mono_now() < b->stop_due &&
		    counts_wanted(b, false))
			return;
		end_guests(b);
	}
	if (b->stop == STOP_DONE)
		return;
	done = audit_end(b);
	if (!done && mono_now() < b->stop_due)
		return;
	if (!done)
		log_warnx("%llu records could not be written to the audit log",
		    (unsigned long long)audit_backlog(b));
	b->stop = STOP_DONE;
	b->status = done && !audit_harmed(b) ? 0 : 1;
	if (!b->orphan)
		keeper_summary(b);
	event_base_loopbreak(b->base);
}

void
broker_free(struct broker *b)
{
	unsigned int	i;

	for (i = 0; i < GUESTS_MAX; i++)
		if (b->guest[i] != NULL) {
			ledger_end_all(b->guest[i], REASON_SHUTDOWN);
			question_end_all(b->guest[i], REASON_SHUTDOWN);
			guest_free(b->guest[i]);
		}
	accounts_free(&b->accounts);
	resolver_free(b);
	inspector_free(b);
	event_free(b->tick);
	event_free(b->holding);
	event_free(b->watching);
	changes_free(b->changes);
	expiry_free(b->expiry);
	childlog_free(b->childlog);
	chan_free(b->keeper);
	audit_free(b->audit);
	locals_close(b->locals);
	route_close(&b->route);
	close(b->watch);
	policy_free(b->policy);
	free(b);
}
