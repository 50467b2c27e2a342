/*
 * The broker's own header: its structs, and the prototypes by file.
 *
 * Times: `mono` is CLOCK_MONOTONIC in ns, for limits; records carry wall and
 * boot time of their own.
 */
#ifndef SALLYPORT_BROKER_H
#define SALLYPORT_BROKER_H

#include <sys/queue.h>

#include "account.h"
#include "chan.h"
#include "child.h"
#include "inspect.h"
#include "keeper.h"
#include "locals.h"
#include "policy.h"
#include "record.h"
#include "resolve.h"
#include "route.h"
#include "wire.h"

#define SEC			UINT64_C(1000000000)
#define CONNECT_TIMEOUT		60		/* s */
#define CLOSE_OVERDUE		(30 * SEC)	/* after HUP, drained */
#define REVOKE_OVERDUE		SEC
#define HELLO_OVERDUE		(5 * SEC)
#define UNREAD_OVERDUE		(10 * SEC)	/* a frame that reads nothing */
#define STOP_GRACE		SEC		/* last bytes of ended guests */
#define STOP_REPLY		(SEC / 8)	/* ... and what is said to them */
#define STOP_COUNTS		(SEC / 4)	/* a frame's words on what is left */
#define GUESTS_MAX		64		/* slots */
#define OWED_MAX		1024u		/* DENYs not yet taken; then no more reading */
/*
 * Of a guest, without their ANSWER. A frame has as many open, but by its own clock:
 * where we read late it gives up some that we still have.
 */
#define QUESTIONS_MAX		1024u		/* then more are refused */
#define QUESTIONS_FAULT		(4u * QUESTIONS_MAX)	/* then it is no honest frame */
#define FLIGHTS_MAX		(128u * WIRE_FLIGHT_MAX)	/* bytes held of a guest */

/*
 * No flow is connected before it is in the log. One whose first flight is to be seen
 * has a flow.dial then, and goes through FLOW_RECORDED twice: until that is durable,
 * and, after FLOW_PEEK and FLOW_INSPECT, until its flow.open is.
 */
enum flow_state {
	FLOW_HELD,	/* not begun: waits for a slot of `pending` */
	FLOW_RECORD,	/* before-connect: waits for its record */
	FLOW_CONNECT,	/* connect under way */
	FLOW_RECORDED,	/* connected, waits for its record */
	FLOW_PEEK,	/* the frame owes us its first flight */
	FLOW_INSPECT,	/* the flight is looked at */
	FLOW_WRITE,	/* the flight is on its way to the server */
	FLOW_READY,	/* waits for room among the fds in flight */
	FLOW_OPEN,	/* granted */
	FLOW_REVOKED,	/* the frame owes us its CLOSE */
	FLOW_DRAIN	/* closed; only the kernel has something to send (drain.c) */
};

struct asked;
struct broker;
struct epoll_event;
struct event;
struct event_base;
struct guest;
TAILQ_HEAD(flow_list, flow);

/* What is known of a flow's name: of flows that have one, or are to show one. */
struct named {
	struct name	name;		/* of the pin; len 0 = none */
	bool		seen;		/* `shown` is what the first bytes were */
	struct policy_shown shown;
	char		alpn[INSPECT_ALPN_MAX];
	uint32_t	tls;		/* the highest version that it offers, or 0 */
	uint32_t	hint;		/* enum inspect_hint: what they look like */
	uint32_t	assurance;
};

struct flight {			/* charged to its guest by `len` */
	uint32_t	len;
	unsigned char	bytes[];
};

/* Whoever goes on when its record is where the policy wants it: one of the two. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;	/* audit's, while it waits */
	uint64_t	rec;
	bool		waits;
	struct flow	*flow;
	struct question	*question;
};
TAILQ_HEAD(waiter_list, waiter);

struct flow {
	struct flow	*chain;		/* same bucket in the guest's table */
	TAILQ_ENTRY(flow) all;		/* guest's flows, oldest first */
	struct waiter	wait;		/* while not durable */
	TAILQ_ENTRY(flow) turn;		/* the list `on`, if any */
	TAILQ_ENTRY(flow) live;		/* its guest's, if `lives' */
	bool		lives;
	TAILQ_ENTRY(flow) walk;		/* the broker's, of all flows */
	uint32_t	walked;		/* in which round */
	struct flow_list *on;
	struct guest	*guest;
	uint64_t	id;		/* the frame's */
	uint64_t	number;		/* the log's */
	uint64_t	begun, connected, due;	/* mono */
	uint64_t	turned;		/* mono: it had its slot of `pending`, 0: not yet */
	uint64_t	asked_at;	/* boot: its OPEN */
	uint64_t	peeked_at, flown_at;	/* mono: its PEEK, its FLIGHT */
	enum flow_state	state;
	bool		dialled, opened;	/* it has a flow.dial, a flow.open */
	bool		durable;	/* the last of them */
	bool		watched, owes_revoke;
	bool		lenient;	/* PEEK_LOOK: it goes on without a flight, if there
					   is none; else it is charged as unproven until it
					   is sent */
	bool		late;		/* its flow.open waits for the connect */
	bool		mute;		/* the guest has ended, and said nothing */
	bool		crossing;	/* it did; the flight may be under way */
	enum reason	judged;		/* audit mode: what it would be denied for */
	enum reason	revoked;	/* why, in FLOW_REVOKED */
	enum reason	waits;		/* the limit that it waits for (hold.c), or none */
	uint32_t	proto, epoch, rule, verdict;
	struct endpoint	g_src, g_dst, h_src, dial;
	uint32_t	local_ok;	/* as the verdict's */
	struct charge	charge;
	uint64_t	up, down;	/* read before a revoke */
	bool		metered;
	uint64_t	held;		/* of the kernel's memory, at the last look */
	int		fd;
	struct event	*connecting;	/* or writing its flight, or waiting for one of
					   the two to speak */
	struct named	*named;		/* NULL: an address and nothing more */
	char		*names;		/* of its record: those that it may be of */
	struct flight	*flight;	/* until all of it is written */
	uint32_t	written;	/* of the flight */
	struct asked	*asked;		/* the inspector has it */
};

/* A DENY that the frame has not yet taken. */
struct owed {
	STAILQ_ENTRY(owed) entry;
	uint64_t	id;
	uint32_t	code;
};

/* A question that the resolver is to answer. */
struct question {
	struct question	*chain;		/* same bucket in the resolver's table */
	TAILQ_ENTRY(question) open;	/* the resolver's, oldest first */
	TAILQ_ENTRY(question) of;	/* its guest's */
	struct waiter	wait;		/* before it is the resolver's */
	struct guest	*guest;		/* NULL: it is gone, and the end recorded */
	uint64_t	id;		/* the frame's; 0: that is gone, nobody is told */
	uint64_t	ask;		/* the log's; 0: there is no dns.ask */
	uint64_t	number;		/* the resolver's */
	uint64_t	born, due;	/* mono; due: again with each resolver */
	bool		asked;
	uint32_t	qtype, verdict, reason, rule;	/* of policy_name() */
	struct name	name;
};
TAILQ_HEAD(question_list, question);

/* An ANSWER that the frame has not yet taken. */
struct reply {
	STAILQ_ENTRY(reply) entry;
	uint64_t	id;
	uint32_t	code, ttl, n;
	struct endpoint	addr[];
};

enum guest_state {		/* masks of answer.c's table */
	GUEST_ASKED = 1 << 0,	/* its frame is to be started */
	GUEST_GREETING = 1 << 1,	/* started, no HELLO yet */
	GUEST_SERVED = 1 << 2,
	GUEST_ENDING = 1 << 3	/* killed or gone; DIED is to come */
};

struct guest {
	struct broker	*broker;
	uint32_t	slot;
	enum guest_state state;
	bool		put_off;	/* ASKED, and the keeper does not know yet */
	struct keeper_guest conf;
	struct chan	*chan;
	uint32_t	frame_pid;
	uint64_t	last_id;
	uint64_t	hello_due, unread_since;
	uint64_t	crowded;	/* since when no fd could be sent; 0 = it can */
	uint64_t	attach_rec;	/* READY waits for it; 0 = said */
	struct account	*account;	/* its name's; what follows is in it */
	struct quota	*quota;
	struct pins	*pins;
	struct budget	*budget;
	bool		paused, flooding;
	uint64_t	deaf;		/* when it last was not read for the log's sake */
	const char	*why;		/* a handler's word for its refusal */
	uint64_t	ping_due;
	uint64_t	silent_due;	/* the next look at who answers */
	bool		ping_open;	/* PING sent, no PONG yet */
	struct flow	**table;
	uint32_t	table_mask;
	struct flow_list flows, ready, hup, revoked;
	struct flow_list lives;		/* to be told of, the next one first */
	uint32_t	nlives;
	uint64_t	lived, lives_due;	/* mono: when it was looked; ms of one */
	struct flow_list held;		/* in the order of their coming */
	struct flow_list drains;	/* over, but for what the kernel has to send */
	struct flow_list unpeeked;	/* PEEK is not yet told */
	struct flow_list peeking;	/* told, and to prove something; by when */
	struct flow_list looking;	/* told, and only looked at */
	uint32_t	nflows;
	uint32_t	crossing;	/* PEEKs that we ended: a FLIGHT may be under way */
	uint32_t	flights;	/* bytes held */
	uint64_t	kmem;		/* bytes in its sockets' buffers */
	bool		untested;	/* a CLOSE of its frame could not be tried */
	STAILQ_HEAD(, owed) owed;
	uint32_t	nowed;
	struct question_list questions;
	STAILQ_HEAD(, reply) replies;
	uint32_t	nquestions;	/* both of these */
	uint64_t	inflight[WIRE_INFLIGHT_MAX];	/* ids, oldest first */
	uint32_t	ninflight;
	struct keeper_died died;	/* role 0: alive, as far as we know */
};

struct audit;
struct changes;
struct childlog;
struct expiry;
struct inspector;
struct resolver;

struct tell {				/* tell.c */
	uint64_t	at, untold;
	uint32_t	left;
	bool		hinted[REASON_MAX];
};

enum broker_stop { STOP_NO, STOP_GRACEFUL, STOP_COUNT, STOP_FLUSH, STOP_DONE };

struct broker {
	struct event_base *base;
	struct event	*tick, *watching, *holding;
	bool		tick_soon;	/* it comes within TICK */
	struct chan	*keeper;
	struct policy	*policy;
	unsigned int	tenant;
	uint32_t	gen, epoch;	/* epoch: policy or the host's network changed */
	uint32_t	durable;	/* enum policy_durable */
	uint32_t	conns_max;	/* what there are fds for, of all guests */
	struct locals	*locals;
	struct route	 route;
	bool		route_warned;
	struct changes	*changes;
	struct expiry	*expiry;
	struct flow_list walk;		/* all flows; those not yet in this round first */
	uint32_t	round;
	struct audit	*audit;
	struct resolver	*resolver;	/* NULL: the policy has no use for one */
	struct inspector *inspector;
	struct host_resolver host;	/* as its resolv.conf is now */
	struct keeper_who who;
	bool		quiet;		/* about using them, and about the lease */
	bool		lease_looked;
	struct tell	tell;
	int		watch;		/* epoll: HUPs of granted sockets */
	bool		echo4, echo6, echo_warned;
	struct guest	*guest[GUESTS_MAX];
	struct accounts	accounts;
	struct childlog	*childlog;
	uint64_t	flow_number;
	uint32_t	nflows;		/* of all guests */
	uint32_t	nheld;		/* of those: not begun */
	uint64_t	allowed, tried, denied, up, down;
	uint64_t	denied_for[REASON_MAX];
	enum broker_stop stop;
	bool		orphan;		/* the keeper is gone */
	uint64_t	stop_due;
	int		status;		/* of the process, once the loop has ended */
};

/* broker.c */
struct broker	*broker_new(struct event_base *, int keeper, struct policy *,
		    unsigned int tenant, uint32_t durable);
void		 broker_start(struct broker *);
void		 broker_want_tick(struct broker *);
void		 broker_stop(struct broker *, bool orphan);
void		 broker_stop_step(struct broker *);
void		 broker_free(struct broker *);

/* seal.c */
void	broker_seal_in(void);

/* keeper.c */
struct chan	*keeper_open(struct broker *, int fd);
void		 keeper_spawn(struct broker *, enum role, uint32_t slot);
void		 keeper_kill(struct broker *, enum role, uint32_t slot);
void		 keeper_ready(struct broker *, uint32_t slot);
void		 keeper_logging(struct broker *);
void		 keeper_summary(struct broker *);

/* guest.c */
void	guest_take(struct broker *, const struct keeper_guest *);
void	guest_frame(struct broker *, const struct keeper_child *, int fd);
void	guest_died(struct broker *, const struct keeper_died *);
void	guest_greeted(struct guest *);
void	guest_gone(struct guest *);
void	guest_report(struct guest *, const char *what);
void	guest_violation(struct guest *, const char *what);
void	guest_kill(struct guest *, enum reason);
void	guest_untested(struct guest *);
void	guest_durable(struct broker *, uint64_t rec);
void	guest_tick(struct guest *, uint64_t mono);
void	guest_pause(struct guest *);
struct verdict guest_decide(const struct guest *, uint32_t proto,
	    const struct endpoint *dst, const struct bound *,
	    const struct policy_shown *);
void	guest_detach(struct guest *, enum reason);
/* tell.c: a denial as it happens, if that is wanted */
void	tell_flow(struct guest *, uint32_t proto, const struct endpoint *dst,
	    const struct named *, enum reason, uint32_t rule);
void	tell_question(struct guest *, const struct name *, enum reason);
/* lease.c: an address of the guest's own? */
bool	lease_has(const struct guest *, const struct endpoint *);
/* Says, once, which of its link's the policy may mean at the host. */
void	lease_look(const struct guest *);
bool	guest_heard(const struct guest *, uint64_t mono);
bool	guest_urgent(const struct guest *);
void	guest_free(struct guest *);

/* answer.c */
extern const struct chan_ops answer_ops;
void	answer_flush(struct guest *);
void	answer_deny(struct guest *, uint64_t id, enum deny_code);
bool	answer_tell(struct guest *, const void *msg, size_t len, int fd);
int	answer_refuse(struct guest *, const char *why);
void	answer_revoke(struct flow *);
void	answer_reset(struct guest *);
bool	answer_inflight(const struct guest *, uint64_t id);

/* host.c */
enum route_kind host_look(struct broker *, uint32_t proto,
	    const struct endpoint *src, const struct endpoint *dst,
	    uint32_t *own);
bool	host_clear(const struct flow *);

/* changes.c */
struct changes *changes_new(struct broker *);	/* NULL: errno */
void	changes_look(struct changes *);	/* as if there had been one */
void	changes_free(struct changes *);

/* expiry.c */
struct expiry *expiry_new(struct broker *);
void	expiry_free(struct expiry *);
uint64_t wall_seconds(void);		/* since 1970, UTC */

/* connect.c */
int	connect_socket(uint32_t proto, const struct endpoint *dial);
int	connect_begin(struct flow *);
void	connect_settle(struct flow *, int error);
void	connect_drop(struct flow *);
enum reason connect_reason(int error, enum deny_code *);

/* open.c */
int	open_take(struct guest *, const struct wire_open *);
void	open_bound(const struct flow *, struct bound *);
void	open_name(struct named *, const struct verdict *,
	    const struct bound *);
enum reason open_ahead(struct flow *, enum deny_code *);
void	open_record(struct flow *);
void	open_connected(struct flow *);
void	open_held(struct flow *);
void	open_judged(struct flow *, const struct verdict *);

/* hold.c */
void	hold_flow(struct flow *, enum reason limit);
void	hold_wake(struct guest *);
void	hold_turn(struct broker *);
void	hold_tick(struct guest *, uint64_t mono);

/* peek.c */
enum reason peek_begin(struct flow *, const struct verdict *,
	    enum deny_code *);
void	peek_ask(struct flow *);
void	peek_turn(struct flow *);
void	peek_flush(struct guest *);
bool	peek_is_told(const struct flow *);
int	peek_take(struct guest *, const struct wire_flight *);
int	peek_mute(struct guest *, const struct wire_id *);
void	peek_unseen(struct flow *, enum shown, enum reason);
void	peek_result(struct flow *, const struct inspect_result *);
void	peek_write(struct flow *);
void	peek_drop(struct flow *);
void	peek_tick(struct guest *, uint64_t mono);

/* inspector.c */
void	inspector_start(struct broker *);
void	inspector_ask(struct flow *);
void	inspector_forget(struct flow *);
void	inspector_tick(struct broker *, uint64_t mono);
bool	inspector_urgent(const struct broker *);
struct child *inspector_child(const struct broker *);
void	inspector_free(struct broker *);

/* resolver.c */
void	resolver_start(struct broker *);
/* For the log: whom it asks, if those are the host's to say. */
void	resolver_record(struct broker *);
/* The host has other upstreams now; and whether what is said of them can be. */
void	resolver_host(struct broker *, const struct host_resolver *);
bool	resolver_host_valid(const struct host_resolver *);
bool	resolver_expected(const struct broker *);
void	resolver_ask(struct broker *, struct question *);
void	resolver_forget(struct broker *, struct question *);
void	resolver_tick(struct broker *, uint64_t mono);
bool	resolver_urgent(const struct broker *);
struct child *resolver_child(const struct broker *);
void	resolver_free(struct broker *);

/* Who gave an answer, for the log. */
void	resolver_source(const struct broker *, const struct resolver_answer *,
	    struct record_named *);

/* question.c */
int	question_take(struct guest *, const struct wire_resolve *);
void	question_settle(struct question *, const struct resolver_answer *);
void	question_failed(struct question *);
void	question_durable(struct question *);
void	question_refuse(struct question *);
void	question_reset(struct guest *);
void	question_end_all(struct guest *, enum reason);

/* conclude.c */
void	conclude_record(const struct question *, struct record_named *);
void	conclude_answer(struct question *, const struct resolver_answer *);
void	conclude_empty(struct question *, enum reason);
void	conclude_refused(struct question *, enum reason,
	    struct record_named *);

/* reply.c */
void	reply_send(struct guest *, uint64_t id, const struct wire_answer *);
void	reply_flush(struct guest *);
void	reply_reset(struct guest *);

/* ping.c */
bool	ping_works(unsigned int family);

/* ledger.c */
struct flow	*ledger_add(struct guest *, const struct wire_open *,
		    const struct verdict *, const struct named *,
		    const struct charge *);
struct flow	*ledger_find(const struct guest *, uint64_t id);
void	ledger_connected(struct flow *);
void	ledger_ready(struct flow *);
void	ledger_failed(struct flow *, enum reason, enum deny_code, int error);
void	ledger_durable(struct flow *);
bool	ledger_release(struct flow *);
bool	ledger_expired(const struct flow *);
bool	ledger_watched(struct flow *);	/* false: it is refused, and gone */
void	ledger_unwatch(struct flow *);
void	ledger_granted(struct flow *);
void	ledger_revoke(struct flow *, enum reason);
void	ledger_refuse(struct flow *);
bool	ledger_end(struct flow *, enum reason, const struct wire_close *);
void	ledger_end_all(struct guest *, enum reason);
void	ledger_watch(struct broker *);
void	ledger_tick(struct guest *, uint64_t mono);
void	ledger_move(struct flow *, struct flow_list *);

void	ledger_free(struct flow *);

/* live.c */
void	live_add(struct flow *);
void	live_drop(struct flow *);
void	live_tick(struct guest *, uint64_t mono);
bool	live_urgent(const struct guest *);

/* drain.c, leftover.c */
#define DRAIN_LITTLE	4096u		/* a FIN, or a small packet */
#define DRAIN_STUCK	(60 * SEC)	/* without a byte taken; then RST */
bool	drain_wanted(const struct flow *);
void	drain_take(struct flow *);
uint64_t drain_tick(struct guest *, uint64_t mono);
uint64_t drain_reset(struct guest *);
void	drain_leave(struct guest *);

/* cut.c */
void	cut_flow(const struct flow *, bool at_once);
bool	cut_wire(struct flow *);
bool	cut_is_wire(const struct epoll_event *);
void	cut_sprung(struct broker *, const struct epoll_event *);

/* kmem.c */
uint64_t kmem_held(int fd);
uint64_t kmem_queued(int fd);
bool	kmem_drained(int fd, uint64_t *held, uint64_t *due, uint64_t mono);
void	kmem_tick(struct guest *, uint64_t mono);
bool	kmem_room(const struct guest *);
bool	kmem_urgent(const struct guest *);

/* meter.c */
struct meter {
	uint64_t	up, down, rtt;
};
bool	meter_drained(int fd);
bool	meter_spoke(const struct flow *);
bool	meter_said(const struct flow *);
bool	meter_silent(const struct flow *, uint32_t ms);

/* silent.c */
void	silent_tick(struct guest *, uint64_t mono);
void	meter_read(const struct flow *, bool fin, struct meter *);

/* record.c */
uint64_t mono_now(void);
uint64_t boot_now(void);
uint64_t record_time(void);
void	record_text(char *dst, size_t size, const char *src);
void	record_begin(struct broker *);
void	record_rule(const struct broker *, uint32_t rule, struct record *);
void	record_init(const struct broker *, const struct guest *,
	    enum record_type, struct record *);
void	record_flow(const struct flow *, enum record_type, struct record *);
void	record_undecided(const struct flow *, enum record_type,
	    struct record *);
void	record_named(const struct named *, const char *names,
	    const struct record *, struct record_named *);
char	*record_names(const struct guest *, const struct endpoint *dst,
	    const struct named *);
char	*record_lapsed(const struct guest *, const struct endpoint *dst,
	    struct named *);
uint64_t record_write(struct guest *, struct record *);
uint64_t record_write_named(struct guest *, struct record_named *);
uint64_t record_put(struct guest *, const struct named *, const char *names,
	    struct record *);
void	record_list(char *list, size_t size, const char *text);

/* audit.c */
struct audit	*audit_new(struct broker *);
void	audit_free(struct audit *);
uint64_t audit_put(struct broker *, struct record *);
uint64_t audit_put_named(struct broker *, struct record_named *);
bool	audit_await(struct broker *, struct waiter *, uint64_t rec);
void	audit_forget(struct broker *, struct waiter *);
bool	audit_sent(const struct broker *);
bool	audit_up(const struct broker *);
bool	audit_crowded(const struct broker *);
void	audit_recorder(struct broker *, int fd);
void	audit_died(struct broker *, const struct keeper_died *);
bool	audit_end(struct broker *);
uint64_t audit_backlog(const struct broker *);
/* A record that waits too long shuts the gate: looked for now and then. */
void	audit_tick(struct broker *, uint64_t mono);
bool	audit_urgent(const struct broker *);
/* The recorder said that lines it had acknowledged are gone, or elsewhere. */
bool	audit_harmed(const struct broker *);

/* deny.c */
void	deny_open(struct guest *, const struct wire_open *, enum reason,
	    uint32_t rule, const struct named *);
void	deny_flow(const struct flow *, struct record *);
void	deny_question(struct guest *, struct record_named *, uint32_t rule);
enum deny_code deny_code(uint32_t proto);
void	deny_starved(struct guest *, int error);
void	deny_limit(struct guest *, enum reason);
bool	deny_hot(const struct flow *);
void	deny_told(const struct flow *, enum reason);
bool	deny_failed(const struct flow *, enum reason);
void	deny_drops(struct guest *, enum reason, uint64_t n);
void	deny_flush(struct guest *, uint64_t mono, bool all);

/* childlog.c */
struct childlog	*childlog_new(struct event_base *);
void	childlog_add(struct childlog *, enum role, uint32_t slot, int fd);
void	childlog_drain(struct childlog *);
void	childlog_free(struct childlog *);

#endif
