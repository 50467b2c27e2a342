/*
 * The table of flows: by the guest's 5-tuple, by id, and by when they expire.
 *
 * Trusts: the broker's word on an id. Must not: keep more than config.flows_max
 * (and FLOW_EXTRA) live flows, or let a guest choose who shares a bucket (the hash
 * is keyed).
 *
 * A live flow is one that the broker may know: NEW, ASKED, PEEKED or OPEN. After
 * flow_close() the owner may keep the struct in the table (TCP still has bytes
 * for the guest); it counts no longer.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "log.h"

LIST_HEAD(bucket, flow);
TAILQ_HEAD(flow_queue, flow);

/* One list per length of timeout keeps each in order of expiry. */
#define TIMER_LISTS	12
#define TICK_MS		500

#define IDLE_MS		1000	/* younger ones are in use */

struct timer_list {
	uint32_t		seconds;
	struct flow_queue	flows;
};

static struct bucket		*by_key, *by_id;
static size_t			 buckets;	/* a power of two */
static unsigned int		 live, timed;
static struct flow_queue	 pending = TAILQ_HEAD_INITIALIZER(pending);
static struct timer_list	 timers[TIMER_LISTS];
static unsigned int		 ntimers;
static struct event		 tick;

static void	on_tick(int, short, void *);

void
flow_init(void)
{
	buckets = 64;
	while (buckets < frame.config.flows_max)
		buckets *= 2;
	by_key = calloc(buckets, sizeof(*by_key));
	by_id = calloc(buckets, sizeof(*by_id));
	if (by_key == NULL || by_id == NULL)
		fatal("no memory for the flow table");
	evtimer_assign(&tick, frame.base, on_tick, NULL);
}

static struct bucket *
key_bucket(const struct flow_key *key)
{
	return &by_key[rand_hash(key, sizeof(*key)) & (buckets - 1)];
}

/* Ids are consecutive: the plainest hash is the best one. */
static struct bucket *
id_bucket(uint64_t id)
{
	return &by_id[id & (buckets - 1)];
}

struct flow *
flow_find(const struct flow_key *key)
{
	struct flow	*f;

	LIST_FOREACH(f, key_bucket(key), by_key)
		if (memcmp(&f->key, key, sizeof(*key)) == 0)
			return f;
	return NULL;
}

struct flow *
flow_by_id(uint64_t id)
{
	struct flow	*f;

	LIST_FOREACH(f, id_bucket(id), by_id)
		if (f->id == id)
			return f;
	return NULL;
}

unsigned int
flow_count(void)
{
	return live;
}

static void
enter(struct flow *f, const struct flow_key *key, const struct flow_ops *ops,
    enum flow_state state)
{
	f->key = *key;
	f->ops = ops;
	f->state = state;
	f->fd = -1;
	LIST_INSERT_HEAD(key_bucket(key), f, by_key);
}

int
flow_insert(struct flow *f, const struct flow_key *key,
    const struct flow_ops *ops)
{
	if (live >= frame.config.flows_max + FLOW_EXTRA)
		return -1;
	enter(f, key, ops, FLOW_NEW);
	live++;
	return 0;
}

void
flow_insert_local(struct flow *f, const struct flow_key *key,
    const struct flow_ops *ops)
{
	enter(f, key, ops, FLOW_LOCAL);
}

void
flow_make_room(void)
{
	uint64_t	dgram = dgram_idle_since(), half = half_idle_since();
	uint64_t	since = dgram < half ? dgram : half;

	if (live < frame.config.flows_max || since > frame.now_ms ||
	    frame.now_ms - since < IDLE_MS)
		return;
	if (dgram < half)
		dgram_evict();
	else
		half_evict();
}

/* ---- asking and closing ---- */

static bool
send_open(struct flow *f)
{
	if ((f->id = ask_open(f)) == 0)
		return false;
	f->state = FLOW_ASKED;
	LIST_INSERT_HEAD(id_bucket(f->id), f, by_id);
	return true;
}

void
flow_ask(struct flow *f)
{
	if (!TAILQ_EMPTY(&pending) || !send_open(f))
		TAILQ_INSERT_TAIL(&pending, f, pending);
}

void
flow_channel_writable(void)
{
	struct flow	*f;

	while ((f = TAILQ_FIRST(&pending)) != NULL) {
		if (!send_open(f))
			return;
		TAILQ_REMOVE(&pending, f, pending);
	}
}

/* The id means nothing to either side any more. */
void
flow_forget(struct flow *f)
{
	switch (f->state) {
	case FLOW_CLOSING:
		return;
	case FLOW_LOCAL:
		break;
	case FLOW_NEW:
		TAILQ_REMOVE(&pending, f, pending);
		live--;
		break;
	case FLOW_ASKED:
	case FLOW_PEEKED:
	case FLOW_OPEN:
		LIST_REMOVE(f, by_id);
		live--;
		break;
	}
	f->state = FLOW_CLOSING;
}

void
flow_close(struct flow *f, enum wire_how how, enum reason reason)
{
	if (f->state == FLOW_ASKED || f->state == FLOW_PEEKED)
		ask_close(f, HOW_CANCEL, reason);
	else if (f->state == FLOW_OPEN)
		ask_close(f, how, reason);
	flow_forget(f);
}

void
flow_remove(struct flow *f)
{
	if (f->state != FLOW_CLOSING)
		fatalx("a live flow left the table");
	flow_set_timeout(f, 0);
	LIST_REMOVE(f, by_key);
}

/* ---- timeouts ---- */

static struct timer_list *
timer_list(uint32_t seconds)
{
	unsigned int	i;

	for (i = 0; i < ntimers; i++)
		if (timers[i].seconds == seconds)
			return &timers[i];
	if (ntimers == TIMER_LISTS)
		fatalx("more than %d lengths of timeout", TIMER_LISTS);
	timers[ntimers].seconds = seconds;
	TAILQ_INIT(&timers[ntimers].flows);
	return &timers[ntimers++];
}

static void
tick_start(void)
{
	struct timeval	tv = { TICK_MS / 1000, (TICK_MS % 1000) * 1000 };

	event_add(&tick, &tv);
}

void
flow_set_timeout(struct flow *f, uint32_t seconds)
{
	if (f->timeout_s != 0) {
		TAILQ_REMOVE(&timer_list(f->timeout_s)->flows, f, timer);
		timed--;
	}
	f->timeout_s = seconds;
	if (seconds == 0)
		return;
	if (timed++ == 0)
		tick_start();
	f->expires_ms = frame.now_ms + (uint64_t)seconds * 1000;
	TAILQ_INSERT_TAIL(&timer_list(seconds)->flows, f, timer);
}

void
flow_touch(struct flow *f)
{
	if (f->timeout_s != 0)
		flow_set_timeout(f, f->timeout_s);
}

/* The callback must end the flow or give it another timeout. */
static void
expire(struct flow *f)
{
	flow_set_timeout(f, 0);
	f->ops->timeout(f);
}

static void
on_tick(int fd, short what, void *arg)
{
	struct flow	*f;
	unsigned int	 i;

	(void)fd;
	(void)what;
	(void)arg;
	frame_clock();
	for (i = 0; i < ntimers; i++)
		while ((f = TAILQ_FIRST(&timers[i].flows)) != NULL &&
		    f->expires_ms <= frame.now_ms)
			expire(f);
	if (timed > 0)
		tick_start();
}
