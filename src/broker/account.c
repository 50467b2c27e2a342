/*
 * Accounts by guest's name. See account.h.
 *
 * An idle account goes when it remembers nothing: its buckets are full again, its
 * names older than their period, its pins over. That is looked at when a guest
 * comes or something ticks: nobody is woken up for it. More than ACCOUNTS_IDLE are
 * not kept: the one that has been idle for longest goes before its time. Who may
 * choose among so many names has a new account with each of them anyway.
 *
 * Trusts: the keeper for names; they are not the guests' to choose.
 * Must not: grow with what a guest does, or forget one that a reconnect would find.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"

/* Above this a frame is flooding: each OPEN has an ACK and a CLOSE. */
#define MESSAGES_PER_OPEN	8u
#define MESSAGES_MORE		20000u

void
accounts_init(struct accounts *s)
{
	TAILQ_INIT(&s->taken);
	TAILQ_INIT(&s->idle);
	s->nidle = s->nleftovers = 0;
}

static void
account_free(struct account *a)
{
	leftovers_free(&a->leftovers);
	quota_free(a->quota);
	aggregate_free(a->denied);
	aggregate_free(a->unresolved);
	aggregate_free(a->failed);
	pins_free(a->pins);
	budget_free(a->budget);
	free(a);
}

void
accounts_free(struct accounts *s)
{
	struct account	*a;

	while ((a = TAILQ_FIRST(&s->idle)) != NULL) {
		TAILQ_REMOVE(&s->idle, a, entry);
		account_free(a);
	}
	s->nidle = 0;
}

static void
messages_init(struct account *a, uint32_t rate, uint64_t mono)
{
	if (rate > UINT32_MAX / MESSAGES_PER_OPEN - MESSAGES_MORE)
		rate = UINT32_MAX / MESSAGES_PER_OPEN - MESSAGES_MORE;
	rate = rate == 0 ? 0 : rate * MESSAGES_PER_OPEN + MESSAGES_MORE;
	bucket_init(&a->messages, rate, rate, mono);
}

static struct account *
account_new(struct accounts *s, const char *name,
    const struct policy_limits *l, uint32_t conns_max, uint32_t rules,
    uint64_t mono)
{
	struct account	*a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	memcpy(a->name, name, strnlen(name, sizeof(a->name) - 1));
	a->quota = quota_new(l, conns_max, mono);
	leftovers_init(&a->leftovers, a->quota, &s->nleftovers);
	a->denied = aggregate_new();
	a->unresolved = aggregate_new();
	a->failed = aggregate_new();
	volume_init(&a->volume, l->audit_rate, l->audit_burst, mono);
	a->pins = pins_new();
	a->budget = budget_new(l, rules, mono);
	messages_init(a, l->rate, mono);
	if (a->quota == NULL || a->denied == NULL || a->unresolved == NULL ||
	    a->failed == NULL || a->pins == NULL || a->budget == NULL) {
		account_free(a);
		errno = ENOMEM;
		return NULL;
	}
	return a;
}

static void
idle_remove(struct accounts *s, struct account *a)
{
	TAILQ_REMOVE(&s->idle, a, entry);
	s->nidle--;
}

static struct account *
idle_find(struct accounts *s, const char *name)
{
	struct account	*a;

	TAILQ_FOREACH(a, &s->idle, entry)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

struct account *
account_take(struct accounts *s, const char *name,
    const struct policy_limits *l, uint32_t conns_max, uint32_t rules,
    uint64_t mono)
{
	struct account	*a;

	TAILQ_FOREACH(a, &s->taken, entry)
		if (strcmp(a->name, name) == 0) {
			errno = EEXIST;
			return NULL;
		}
	if ((a = idle_find(s, name)) != NULL)
		idle_remove(s, a);
	else if ((a = account_new(s, name, l, conns_max, rules,
	    mono)) == NULL)
		return NULL;
	TAILQ_INSERT_TAIL(&s->taken, a, entry);
	return a;
}

void
account_leave(struct accounts *s, struct account *a, uint64_t mono)
{
	TAILQ_REMOVE(&s->taken, a, entry);
	a->left = mono;
	a->pinned = pins_end(a->pins);
	TAILQ_INSERT_TAIL(&s->idle, a, entry);
	if (++s->nidle <= ACCOUNTS_IDLE)
		return;
	a = TAILQ_FIRST(&s->idle);
	idle_remove(s, a);
	account_free(a);
}

/* A new one would be the same. */
static bool
at_rest(struct account *a, uint64_t mono, uint64_t boot)
{
	return mono - a->left >= ACCOUNT_REST && a->pinned <= boot &&
	    quota_at_rest(a->quota, mono) && bucket_full(&a->messages, mono) &&
	    budget_at_rest(a->budget, mono) &&
	    volume_full(&a->volume, mono);
}

void
accounts_tick(struct accounts *s, uint64_t mono, uint64_t boot)
{
	struct account	*a, *next;

	for (a = TAILQ_FIRST(&s->idle); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		(void)leftovers_tick(&a->leftovers, mono);
		if (!at_rest(a, mono, boot))
			continue;
		idle_remove(s, a);
		account_free(a);
	}
}
