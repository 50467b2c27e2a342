/*
 * First flights on their way to the inspector, and what it finds in them. A
 * flight is copied there and never looked into here.
 *
 * Trusts: nothing of the inspector's answers but their place in the order.
 * Must not: let a flow pass that the inspector has not answered for, or wait for
 * it longer than INSPECT_OVERDUE.
 */
#include <stdlib.h>
#include <string.h>

#include "broker.h"
#include "log.h"

#define TLS_MAJOR	3u		/* of every version there has been */
#define INSPECT_OVERDUE	(2 * SEC)

/* One flight that it has, and has not answered for. The flow may be gone. */
struct asked {
	STAILQ_ENTRY(asked) entry;
	struct flow	*flow;
	uint64_t	number, due;
	uint32_t	kind;
};

struct inspector {
	struct child	child;		/* first: the rules' room is both */
	uint64_t	number;
	struct flow_list waiting;	/* for room in the channel */
	STAILQ_HEAD(, asked) asked;	/* in the order of their numbers */
};

static void
pop(struct inspector *i)
{
	struct asked	*a = STAILQ_FIRST(&i->asked);

	if (a->flow != NULL)
		a->flow->asked = NULL;
	STAILQ_REMOVE_HEAD(&i->asked, entry);
	free(a);
}

static int
send_flight(struct inspector *i, const struct flow *f)
{
	struct {
		struct inspect_flight	m;
		unsigned char		bytes[WIRE_FLIGHT_MAX];
	} buf;

	wire_begin(&buf.m, sizeof(buf.m), INSPECT_FLIGHT, i->number + 1);
	buf.m.kind = f->named->shown.kind;
	buf.m.len = f->flight->len;
	memcpy(buf.bytes, f->flight->bytes, f->flight->len);
	return chan_try(i->child.chan, &buf, sizeof(buf.m) + f->flight->len,
	    -1);
}

static void
pump(struct child *c)
{
	struct inspector	*i = (struct inspector *)c;
	struct flow		*f;
	struct asked		*a;

	while (c->state == CHILD_UP &&
	    (f = TAILQ_FIRST(&i->waiting)) != NULL) {
		if (send_flight(i, f) == -1)
			return;
		if ((a = calloc(1, sizeof(*a))) == NULL)
			fatal("a flight");
		a->flow = f;
		a->number = ++i->number;
		a->kind = f->named->shown.kind;
		a->due = mono_now() + INSPECT_OVERDUE;
		f->asked = a;
		STAILQ_INSERT_TAIL(&i->asked, a, entry);
		ledger_move(f, NULL);
	}
}

/* The flow has its flight; the answer comes by peek_result(). */
void
inspector_ask(struct flow *f)
{
	struct inspector	*i = f->guest->broker->inspector;

	if (i == NULL || !child_expected(&i->child)) {
		peek_unseen(f, SHOWN_UNDECIDED, REASON_INSPECTOR_UNAVAILABLE);
		return;
	}
	ledger_move(f, &i->waiting);
	broker_want_tick(f->guest->broker);
	pump(&i->child);
}

/* The flow ends; what the inspector says of it will be nobody's. */
void
inspector_forget(struct flow *f)
{
	if (f->asked != NULL)
		f->asked->flow = NULL;
	f->asked = NULL;
}

static void
gone(struct child *c)
{
	struct inspector	*i = (struct inspector *)c;
	struct flow		*f;

	while (!STAILQ_EMPTY(&i->asked)) {
		f = STAILQ_FIRST(&i->asked)->flow;
		pop(i);
		if (f != NULL)
			peek_unseen(f, SHOWN_UNDECIDED,
			    REASON_INSPECTOR_UNAVAILABLE);
	}
	while ((f = TAILQ_FIRST(&i->waiting)) != NULL)
		peek_unseen(f, SHOWN_UNDECIDED, REASON_INSPECTOR_UNAVAILABLE);
}

/* "h2,http/1.1": printable, none of them empty, NUL-filled, a NUL at the end. */
static bool
alpn_valid(const char *p)
{
	size_t	i, len = strnlen(p, INSPECT_ALPN_MAX);

	for (i = 0; i < len; i++)
		if (p[i] < ' ' || p[i] > '~' || (p[i] == ',' &&
		    (i == 0 || p[i - 1] == ',' || i + 1 == len)))
			return false;
	for (i = len; i < INSPECT_ALPN_MAX; i++)
		if (p[i] != '\0')
			return false;
	return len < INSPECT_ALPN_MAX;
}

static int
answered(void *room, const void *msg, int fd)
{
	const struct inspect_result	*m = msg;
	struct inspector		*i = room;
	const struct asked		*a = STAILQ_FIRST(&i->asked);
	struct flow			*f;

	(void)fd;
	if (a == NULL || a->number != m->head.id)
		return child_refuse(&i->child, "unasked-answer");
	if (m->status < INSPECT_NAMED || m->status > INSPECT_ALIEN ||
	    m->ech > 1 || !alpn_valid(m->alpn))
		return child_refuse(&i->child, "bad-answer");
	if (m->hint >= HINT_MAX || (m->kind != PEEK_TLS && m->kind != PEEK_HTTP) ||
	    (a->kind != PEEK_EITHER && a->kind != m->kind))
		return child_refuse(&i->child, "bad-kind");
	if (m->zero != 0 || (m->tls != 0 && (m->tls >> 8 != TLS_MAJOR ||
	    m->kind != PEEK_TLS || m->status > INSPECT_NAMELESS)))
		return child_refuse(&i->child, "bad-version");
	if (m->status == INSPECT_NAMED ? !name_valid(&m->name) :
	    m->name.len != 0)
		return child_refuse(&i->child, "bad-name");
	f = a->flow;
	pop(i);
	if (f != NULL)
		peek_result(f, m);
	return 0;
}

void
inspector_tick(struct broker *b, uint64_t mono)
{
	struct inspector	*i = b->inspector;
	const struct asked	*a;

	if (i == NULL)
		return;
	child_tick(&i->child, mono);
	if ((a = STAILQ_FIRST(&i->asked)) != NULL && a->due <= mono)
		child_fault(&i->child, "no-answer");
}

bool
inspector_urgent(const struct broker *b)
{
	return b->inspector != NULL && (!STAILQ_EMPTY(&b->inspector->asked) ||
	    !TAILQ_EMPTY(&b->inspector->waiting) ||
	    b->inspector->child.state == CHILD_GREETING);
}

static const struct wire_rule	rules[] = {
	{ INSPECT_HELLO, CHILD_GREETING, sizeof(struct wire_hello), false,
	    child_hello, 0 },
	{ INSPECT_RESULT, CHILD_UP, sizeof(struct inspect_result), false,
	    answered, 0 },
};

static const struct child_ops	inspector_ops = {
	.rules = rules,
	.nrules = sizeof(rules) / sizeof(rules[0]),
	.writable = pump,
	.gone = gone
};

void
inspector_start(struct broker *b)
{
	struct inspector	*i;

	if ((policy_needs(b->policy, b->tenant) & NEEDS_INSPECTOR) == 0)
		return;
	if ((i = calloc(1, sizeof(*i))) == NULL)
		fatal("inspector");
	TAILQ_INIT(&i->waiting);
	STAILQ_INIT(&i->asked);
	b->inspector = i;
	child_want(&i->child, b, ROLE_INSPECTOR, &inspector_ops);
}

struct child *
inspector_child(const struct broker *b)
{
	return b->inspector != NULL ? &b->inspector->child : NULL;
}

/* After the guests and their flows. */
void
inspector_free(struct broker *b)
{
	struct inspector	*i = b->inspector;

	if (i == NULL)
		return;
	while (!STAILQ_EMPTY(&i->asked))
		pop(i);
	child_free(&i->child);
	free(i);
	b->inspector = NULL;
}
