/*
 * Questions between the guest and the broker: what is asked, what waits for its
 * answer, and for how long.
 *
 * The table is of fixed size, and that is the bound on what a guest can have asked
 * at once, by UDP and TCP together; one more is answered SERVFAIL. A question that
 * the broker has been asked keeps its place until it is answered or too old, even
 * if nobody waits any more: it cannot be taken back, so it still costs the broker.
 *
 * Trusts: dns.c's parsing, and the broker. Must not: ask the same question of one
 * UDP socket twice at a time (stubs repeat themselves), or answer one twice.
 */
#include <event2/event.h>
#include <event2/event_struct.h>
#include <string.h>

#include "dns.h"

#define ASKED_MAX	1024		/* a power of two: also the buckets */
#define WAIT_MS		15000		/* longer than any stub waits for one try */
#define TICK_MS		500
#define LOCAL_TTL	5		/* of what is answered here: as a denial's */

struct asked {
	TAILQ_ENTRY(asked)	 age;		/* or free */
	TAILQ_ENTRY(asked)	 pending;	/* id 0: waits for the channel */
	LIST_ENTRY(asked)	 by_id, by_key;
	uint64_t		 id;
	uint64_t		 expires_ms;
	struct dns_client	 client;	/* reply NULL: nobody waits */
	struct dns_query	 query;
};

TAILQ_HEAD(asked_queue, asked);
LIST_HEAD(asked_list, asked);

static struct asked		table[ASKED_MAX];
static unsigned int		fresh;		/* of these, used once so far */
static struct asked_list	by_id[ASKED_MAX], by_key[ASKED_MAX];
static struct asked_queue	unused = TAILQ_HEAD_INITIALIZER(unused);
static struct asked_queue	age = TAILQ_HEAD_INITIALIZER(age);
static struct asked_queue	pending = TAILQ_HEAD_INITIALIZER(pending);
static struct event		tick;

static void	on_tick(int, short, void *);

void
dns_room_init(void)
{
	evtimer_assign(&tick, frame.base, on_tick, NULL);
}

/* ---- the table ---- */

static struct asked_list *
id_bucket(uint64_t id)
{
	return &by_id[id % ASKED_MAX];
}

static struct asked_list *
key_bucket(const struct dns_client *c, const struct dns_query *q)
{
	uint8_t	key[2 * sizeof(struct endpoint) + sizeof(q->id)];

	memcpy(key, &c->guest, sizeof(c->guest));
	memcpy(key + sizeof(c->guest), &c->gateway, sizeof(c->gateway));
	memcpy(key + 2 * sizeof(c->guest), &q->id, sizeof(q->id));
	return &by_key[rand_hash(key, sizeof(key)) % ASKED_MAX];
}

static struct asked *
find(uint64_t id)
{
	struct asked	*a;

	LIST_FOREACH(a, id_bucket(id), by_id)
		if (a->id == id)
			return a;
	return NULL;
}

/* A stub's second try, before the answer to the first. */
static bool
asked_already(const struct dns_client *c, const struct dns_query *q)
{
	struct asked	*a;

	LIST_FOREACH(a, key_bucket(c, q), by_key)
		if (a->client.reply == c->reply && c->conn == NULL &&
		    a->query.id == q->id && a->query.len == q->len &&
		    endpoint_equal(&a->client.guest, &c->guest) &&
		    endpoint_equal(&a->client.gateway, &c->gateway) &&
		    memcmp(a->query.question, q->question, q->len) == 0)
			return true;
	return false;
}

static void
release(struct asked *a)
{
	if (a->id == 0)
		TAILQ_REMOVE(&pending, a, pending);
	else
		LIST_REMOVE(a, by_id);
	LIST_REMOVE(a, by_key);
	TAILQ_REMOVE(&age, a, age);
	TAILQ_INSERT_HEAD(&unused, a, age);
	if (TAILQ_EMPTY(&age))
		evtimer_del(&tick);
}

bool
dns_outstanding(uint64_t id)
{
	return id != 0 && find(id) != NULL;
}

/* ---- asking ---- */

static bool
send_resolve(struct asked *a)
{
	struct name	name;

	name_from_wire(a->query.question, a->query.len, &name);
	a->id = ask_resolve(a->query.qtype, &name);
	if (a->id == 0)
		return false;
	LIST_INSERT_HEAD(id_bucket(a->id), a, by_id);
	return true;
}

void
dns_channel_writable(void)
{
	struct asked	*a;

	while ((a = TAILQ_FIRST(&pending)) != NULL) {
		if (!send_resolve(a))
			return;
		TAILQ_REMOVE(&pending, a, pending);
	}
}

static void
tick_start(void)
{
	struct timeval	tv = { 0, TICK_MS * 1000 };

	evtimer_add(&tick, &tv);
}

/* A page of the table that no question has needed is never touched. */
static struct asked *
take(void)
{
	struct asked	*a = TAILQ_FIRST(&unused);

	if (a != NULL)
		TAILQ_REMOVE(&unused, a, age);
	else if (fresh < ASKED_MAX)
		a = &table[fresh++];
	return a;
}

/* False: no place is free. */
static bool
ask(const struct dns_client *c, const struct dns_query *q)
{
	struct asked	*a = take();

	if (a == NULL)
		return false;
	a->client = *c;
	a->query = *q;
	a->expires_ms = frame.now_ms + WAIT_MS;
	LIST_INSERT_HEAD(key_bucket(c, q), a, by_key);
	if (TAILQ_EMPTY(&age))
		tick_start();
	TAILQ_INSERT_TAIL(&age, a, age);
	if (!TAILQ_EMPTY(&pending) || !send_resolve(a)) {
		a->id = 0;
		TAILQ_INSERT_TAIL(&pending, a, pending);
	}
	return true;
}

static void
reply_code(const struct dns_client *c, const struct dns_query *q,
    enum dns_rcode rcode)
{
	struct dns_answer	answer = { .rcode = rcode, .ttl = LOCAL_TTL };

	c->reply(c, q, &answer);
}

bool
dns_take(const uint8_t *m, size_t len, const struct dns_client *c)
{
	struct dns_query	q;

	switch (dns_parse(m, len, &q)) {
	case DNS_ASK:
		if (!asked_already(c, &q) && !ask(c, &q)) {
			ask_drop(REASON_DNS_BUDGET);
			reply_code(c, &q, DNS_SERVFAIL);
		}
		break;
	case DNS_NO_NAME:
		ask_drop(REASON_NAME_INVALID);
		reply_code(c, &q, q.rcode);
		break;
	case DNS_REPLY:
		reply_code(c, &q, q.rcode);
		break;
	case DNS_DROP:
		ask_drop(REASON_MALFORMED);
		return false;
	}
	return true;
}

void
dns_orphan(const void *conn)
{
	struct asked	*a, *next;

	for (a = TAILQ_FIRST(&age); a != NULL; a = next) {
		next = TAILQ_NEXT(a, age);
		if (a->client.conn != conn)
			continue;
		a->client.conn = NULL;
		a->client.reply = NULL;
		if (a->id == 0)
			release(a);
	}
}

/* ---- answers ---- */

/* The place is free before the answer is delivered: that may ask again. */
static void
finish(struct asked *a, const struct dns_answer *answer)
{
	struct dns_client	client = a->client;
	struct dns_query	query = a->query;

	release(a);
	if (client.reply != NULL)
		client.reply(&client, &query, answer);
}

/* Two builds that disagree must not go on. */
static bool
makes_sense(const struct wire_answer *m)
{
	static const struct endpoint	none;
	uint32_t			i;

	if (m->code < ANSWER_ADDRESSES || m->code > ANSWER_UNREACHED ||
	    m->zero != 0 || m->n > ANSWER_MAX ||
	    (m->code == ANSWER_ADDRESSES) != (m->n > 0))
		return false;
	for (i = 0; i < m->n; i++)
		if (!endpoint_valid(&m->addr[i]) || m->addr[i].port != 0 ||
		    m->addr[i].family != m->addr[0].family)
			return false;
	for (; i < ANSWER_MAX; i++)
		if (!endpoint_equal(&m->addr[i], &none))
			return false;
	return true;
}

static bool
fits_type(const struct wire_answer *m, uint16_t qtype)
{
	switch (m->addr[0].family) {
	case ADDR_V4:
		return qtype == DNS_TYPE_A;
	case ADDR_V6:
		return qtype == DNS_TYPE_AAAA;
	default:
		return m->n == 0;
	}
}

static enum dns_rcode
rcode_of(uint32_t code)
{
	switch (code) {
	case ANSWER_NXDOMAIN:
	case ANSWER_DENIED:
		return DNS_NXDOMAIN;
	case ANSWER_SERVFAIL:
	case ANSWER_UNREACHED:
		return DNS_SERVFAIL;
	case ANSWER_REFUSED:
		return DNS_REFUSED;
	default:
		return DNS_NOERROR;
	}
}

/* RFC 8914, 4: why, for who reads it; who does not has the code. */
static uint16_t
ede_of(uint32_t code)
{
	switch (code) {
	case ANSWER_DENIED:
	case ANSWER_WITHHELD:
		return 15;		/* Blocked */
	case ANSWER_UNREACHED:
		return 22;		/* No Reachable Authority */
	default:
		return 0;
	}
}

int
dns_answered(const struct wire_answer *m)
{
	struct asked		*a = find(m->head.id);
	struct dns_answer	 answer = {
		.rcode = rcode_of(m->code),
		.ede = ede_of(m->code),
		.ttl = m->ttl,
		.n = m->n,
		.addr = m->addr,
	};

	if (!makes_sense(m))
		return -1;
	if (a == NULL)
		return 0;		/* too late */
	if (!fits_type(m, a->query.qtype))
		return -1;
	finish(a, &answer);
	return 0;
}

static void
on_tick(int fd, short what, void *arg)
{
	static const struct dns_answer	late = { .rcode = DNS_SERVFAIL };
	struct asked			*a;

	(void)fd;
	(void)what;
	(void)arg;
	frame_clock();
	while ((a = TAILQ_FIRST(&age)) != NULL &&
	    a->expires_ms <= frame.now_ms)
		finish(a, &late);
	if (!TAILQ_EMPTY(&age))
		tick_start();
}
