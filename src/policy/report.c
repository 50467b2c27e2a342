/*
 * Messages of a reading. They are kept as they come, and given out at its end by
 * messages.c, in the order of the text: review goes by subject and by rule, and its
 * reader by line.
 *
 * An entry of a macro, a table or a set of names that many rules use is warned of once,
 * where it stands, and knows how many they are.
 *
 * Trusts: its format strings. What they print is escaped here.
 * Must not: decide anything but when it is enough.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "messages.h"

bool
report_full(const struct parse *p)
{
	return p->sink->errors >= GRAMMAR_ERRORS_MAX;
}

static struct reports *
reports_of(struct parse *p)
{
	if (p->reports == NULL &&
	    (p->reports = calloc(1, sizeof(*p->reports))) == NULL)
		fatalx("out of memory for messages");
	return p->reports;
}

static __attribute__((format(printf, 2, 0))) const char *
text_of(struct parse *p, const char *fmt, va_list ap)
{
	char	text[GRAMMAR_LINE_MAX], safe[GRAMMAR_LINE_MAX];

	vsnprintf(text, sizeof(text), fmt, ap);
	log_escape(safe, sizeof(safe), text, strlen(text));
	return model_string(p->m, safe, strlen(safe));
}

/* ---- one message for one code at one place ------------------------------------- */

static size_t
hash(const char *code, const struct where *at, enum grammar_tier tier)
{
	uint64_t	h = (uint64_t)(uintptr_t)at->file;

	h = (h ^ at->line) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ at->column ^ (uint64_t)tier << 32) *
	    UINT64_C(0x9e3779b97f4a7c15);
	for (; code != NULL && *code != '\0'; code++)
		h = (h ^ (unsigned char)*code) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(h ^ h >> 29);
}

static bool
is_same(const struct message *m, const char *code, const struct where *at,
    enum grammar_tier tier)
{
	return m->tier == tier && m->at.line == at->line &&
	    m->at.column == at->column && m->at.file == at->file &&
	    strcmp(m->code, code) == 0;
}

/* The slot of that message, or the free one for it. */
static uint32_t *
slot_of(struct reports *r, const char *code, const struct where *at,
    enum grammar_tier tier)
{
	size_t	i = hash(code, at, tier) & (r->nslots - 1);

	while (r->slot[i] != 0 && !is_same(&r->message.v[r->slot[i] - 1], code,
	    at, tier))
		i = (i + 1) & (r->nslots - 1);
	return &r->slot[i];
}

static void
grow(struct reports *r)
{
	size_t	i;

	if (r->message.n * 2 < r->nslots)
		return;
	free(r->slot);
	r->nslots = r->nslots == 0 ? 64 : r->nslots * 2;
	if ((r->slot = calloc(r->nslots, sizeof(*r->slot))) == NULL)
		fatalx("out of memory for messages");
	for (i = 0; i < r->message.n; i++) {
		const struct message *m = &r->message.v[i];

		if (m->shared)
			*slot_of(r, m->code, &m->at, m->tier) =
			    (uint32_t)i + 1;
	}
}

/* One more rule, of which `reason' says whether its line acknowledges that. */
static void
add_use(struct message *m, const struct where *owner, const char *reason)
{
	if (m->owner.file == owner->file && m->owner.line == owner->line &&
	    m->owner.column == owner->column)
		return;
	m->owner = *owner;
	if (reason != NULL) {
		m->forgiven++;
		if (m->reason == NULL)
			m->reason = reason;
		return;
	}
	if (m->uses++ == 0)
		m->first = *owner;
}

/* What cannot be kept any more is counted. */
static void
count_only(struct parse *p, enum grammar_tier tier, const char *code,
    const struct where *at, const struct where *owner)
{
	struct reports	*r = reports_of(p);

	if (tier == TIER_NOTE)
		return;
	if (nowarn_find(p, code, at) != NULL ||
	    (owner != NULL && nowarn_find(p, code, owner) != NULL))
		p->sink->acknowledged++;
	else
		r->unkept++;
}

static void __attribute__((format(printf, 6, 0)))
remark(struct parse *p, enum grammar_tier tier, const char *code,
    const struct where *at, const struct where *owner, const char *fmt,
    va_list ap)
{
	struct reports	*r = reports_of(p);
	struct message	 m = { .tier = tier, .code = code, .at = *at,
			    .shared = owner != NULL };
	uint32_t	 none = 0, *slot = &none;

	grow(r);
	if (owner != NULL)
		slot = slot_of(r, code, at, tier);
	if (*slot == 0 && r->message.n >= MESSAGES_MAX) {
		count_only(p, tier, code, at, owner);
		return;
	}
	if (*slot == 0) {
		m.text = text_of(p, fmt, ap);
		push(p->m, r->message, m);
		*slot = (uint32_t)r->message.n;
	}
	if (owner != NULL)
		add_use(&r->message.v[*slot - 1], owner,
		    nowarn_find(p, code, owner));
}

/* ---- for everyone ------------------------------------------------------------------ */

/* An entry of a macro is looked at wherever the macro is used. */
static bool
is_known(const struct reports *r, const struct message *m)
{
	size_t	i;

	for (i = 0; i < r->message.n; i++) {
		const struct message *o = &r->message.v[i];

		if (o->tier == TIER_ERROR && o->at.file == m->at.file &&
		    o->at.line == m->at.line && o->at.column == m->at.column &&
		    strcmp(o->text, m->text) == 0)
			return true;
	}
	return false;
}

static void __attribute__((format(printf, 4, 0)))
add_error(struct parse *p, const char *code, const struct where *at,
    const char *fmt, va_list ap)
{
	struct message	m = { .tier = TIER_ERROR, .code = code, .at = *at };
	struct reports	*r = reports_of(p);

	if (report_full(p))
		return;
	m.text = text_of(p, fmt, ap);
	if (is_known(r, &m))
		return;
	push(p->m, r->message, m);
	p->sink->errors++;
}

void
report_error(struct parse *p, const struct where *at, const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	add_error(p, "", at, fmt, ap);
	va_end(ap);
}

void
report_coded(struct parse *p, const char *code, const struct where *at,
    const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	add_error(p, code, at, fmt, ap);
	va_end(ap);
}

void
report_lint(struct parse *p, const char *code, const struct where *at,
    const struct where *owner, const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	remark(p, TIER_WARNING, code, at, owner, fmt, ap);
	va_end(ap);
}

void
report_note(struct parse *p, const char *code, const struct where *at,
    const struct where *owner, const char *fmt, ...)
{
	va_list	ap;

	va_start(ap, fmt);
	remark(p, TIER_NOTE, code, at, owner, fmt, ap);
	va_end(ap);
}

size_t
report_count(const struct parse *p)
{
	return p->reports == NULL ? 0 : p->reports->message.n;
}

void
report_use(struct parse *p, size_t from, size_t to, const struct where *owner)
{
	struct message	*m;

	for (; from < to; from++) {
		m = &p->reports->message.v[from];
		if (m->shared)
			add_use(m, owner, nowarn_find(p, m->code, owner));
	}
}

const char *
place_print(const struct where *message, const struct where *at,
    char buf[PLACE_STRLEN])
{
	if (message->file == at->file || strcmp(message->file, at->file) == 0)
		snprintf(buf, PLACE_STRLEN, "line %u", at->line);
	else
		snprintf(buf, PLACE_STRLEN, "%.200s:%u", at->file, at->line);
	return buf;
}
