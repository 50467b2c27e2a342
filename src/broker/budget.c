/*
 * The budgets of one guest's questions. Names are remembered by a keyed hash of
 * 64 bits: two that collide, which no guest can aim for, cost one.
 *
 * Trusts: its caller for the rule. Must not: allocate after the start, or count a
 * name twice within one period.
 *
 * A ring in the order of counting: what is at its end for a whole period leaves,
 * so that at no time more than `names` were new within the last period.
 */
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "budget.h"
#include "quota.h"

#define NSEC	UINT64_C(1000000000)

struct asked {
	uint64_t	hash;		/* of rule and name */
	uint64_t	since;
	uint32_t	rule;
	uint32_t	next;		/* in its bucket: number + 1; 0 = none */
};

struct budget {
	struct bucket	 questions;
	uint32_t	 max;		/* per rule; 0 = no limit */
	uint64_t	 period;
	uint32_t	 rules;
	uint64_t	 begin, end;	/* of the ring: numbers that only rise */
	uint32_t	 *count;	/* by rule; the last is POLICY_NO_RULE's */
	uint32_t	 bucket[BUDGET_MAX];
	struct asked	 ring[BUDGET_MAX];
};

struct budget *
budget_new(const struct policy_limits *l, uint32_t rules, uint64_t now)
{
	struct budget	*n = calloc(1, sizeof(*n));

	if (n == NULL || (n->count = calloc((size_t)rules + 1,
	    sizeof(*n->count))) == NULL) {
		free(n);
		return NULL;
	}
	bucket_init(&n->questions, l->dns_rate, l->dns_burst, now);
	n->max = l->names;
	n->period = l->names_per * NSEC;
	n->rules = rules;
	return n;
}

void
budget_free(struct budget *n)
{
	if (n == NULL)
		return;
	free(n->count);
	free(n);
}

bool
budget_rate(struct budget *n, uint64_t now)
{
	return bucket_take(&n->questions, now);
}

static struct asked *
asked_at(struct budget *n, uint64_t number)
{
	return &n->ring[number % BUDGET_MAX];
}

static uint32_t *
bucket_of(struct budget *n, uint64_t hash)
{
	return &n->bucket[hash % BUDGET_MAX];
}

static bool
known(struct budget *n, uint64_t hash)
{
	uint32_t	i = *bucket_of(n, hash);

	while (i != 0 && n->ring[i - 1].hash != hash)
		i = n->ring[i - 1].next;
	return i != 0;
}

static void
forget_first(struct budget *n)
{
	struct asked	*a = asked_at(n, n->begin);
	uint32_t	*link = bucket_of(n, a->hash);

	while (&n->ring[*link - 1] != a)
		link = &n->ring[*link - 1].next;
	*link = a->next;
	n->count[a->rule]--;
	n->begin++;
}

static void
remember(struct budget *n, uint64_t hash, uint32_t rule, uint64_t now)
{
	struct asked	*a = asked_at(n, n->end);
	uint32_t	*bucket = bucket_of(n, hash);

	*a = (struct asked){ .hash = hash, .since = now, .rule = rule,
	    .next = *bucket };
	*bucket = (uint32_t)(n->end % BUDGET_MAX) + 1;
	n->count[rule]++;
	n->end++;
}

static uint64_t
hash_of(uint32_t rule, const struct name *name)
{
	struct {
		uint32_t	rule, zero;
		struct name	name;
	} key;

	memset(&key, 0, sizeof(key));
	key.rule = rule;
	key.name = *name;
	return hash_bytes(&key, sizeof(key));
}

static void
forget_old(struct budget *n, uint64_t now)
{
	while (n->begin < n->end &&
	    now - asked_at(n, n->begin)->since >= n->period)
		forget_first(n);
}

bool
budget_at_rest(struct budget *n, uint64_t now)
{
	forget_old(n, now);
	return n->begin == n->end && bucket_full(&n->questions, now);
}

bool
budget_charge(struct budget *n, uint32_t rule, const struct name *name,
    uint64_t now)
{
	uint64_t	hash;

	if (n->max == 0)
		return true;
	if (rule >= n->rules)
		rule = n->rules;
	forget_old(n, now);
	hash = hash_of(rule, name);
	if (known(n, hash))
		return true;
	if (n->count[rule] >= n->max || n->end - n->begin >= BUDGET_MAX)
		return false;
	remember(n, hash, rule, now);
	return true;
}
