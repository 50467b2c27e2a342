/*
 * The lines that the recorder writes of itself: where a segment begins, what was
 * removed, what is missing; and the end of what nobody else ends any more.
 *
 * Trusts: the recorder's own state. Must not: say more of a flow than its open did.
 */
#include "config.h"

#include <string.h>

#include "line.h"
#include "reason.h"

static const char *const	modes[] = { "before-data", "before-connect",
				    "async" };

void
line_close(struct json *j, const struct origin *o, const struct stamp *at,
    unsigned int reason, const struct open_flow *f)
{
	line_start(j, at, f->kind == OPEN_ASK ? "dns" : "flow.close");
	WORD(j, "reason", reason_name(reason));
	line_origin(j, o, f->inst);
	json_put(j, f->body, f->len);
	JSON_LIT(j, "}\n");
}

void
line_head(struct json *j, const struct origin *o, const struct stamp *at,
    const struct head *h)
{
	line_start(j, at, h->start ? "audit.open" : "audit.rotate");
	line_origin(j, o, o->inst);
	NUMBER(j, "rec", h->rec);
	WORD(j, "mode", modes[h->durable]);
	if (h->durable == DURABLE_ASYNC)
		JSON_LIT(j, ",\"durable\":false");
	else
		JSON_LIT(j, ",\"durable\":true");
	NUMBER(j, "rotate", h->rotate);
	NUMBER(j, "reserve", h->reserve);
	NUMBER(j, "head", at->seq - 1);
	if (h->prev != NULL) {
		JSON_KEY(j, "prev");
		json_str(j, h->prev, NAME_ROOM);
	}
	if (h->oldest != 0)
		NUMBER(j, "oldest", h->oldest);
	JSON_LIT(j, "}\n");
}

void
line_remove(struct json *j, const struct origin *o, const struct stamp *at,
    uint64_t rec, const char *file, uint64_t from, uint64_t to)
{
	line_start(j, at, "audit.remove");
	line_origin(j, o, o->inst);
	NUMBER(j, "rec", rec);
	JSON_KEY(j, "segment");
	json_str(j, file, NAME_ROOM);
	NUMBER(j, "first_seq", from);
	NUMBER(j, "last_seq", to);
	JSON_LIT(j, "}\n");
}

void
line_gap(struct json *j, const struct origin *o, const struct stamp *at,
    uint64_t rec, const struct gap *g)
{
	static const char *const	loss[] = { "", "removed", "moved",
					    "changed" };

	line_start(j, at, "audit.gap");
	WORD(j, "reason", reason_name(g->crash ? REASON_UNKNOWN_CRASH :
	    REASON_AUDIT_UNAVAILABLE));
	line_origin(j, o, o->inst);
	NUMBER(j, "rec", rec);
	if (g->err != 0)
		member_errno(j, (uint32_t)g->err);
	if (g->from != 0) {
		NUMBER(j, "void_from", g->from);
		NUMBER(j, "void_to", g->to);
	}
	NUMBER(j, "opens", g->opens);
	NUMBER(j, "closes", g->closes);
	NUMBER(j, "denies", g->denies);
	NUMBER(j, "other", g->other);
	if (g->torn != 0)
		NUMBER(j, "torn_seq", g->torn);
	if (g->loss != LOSS_NONE)
		WORD(j, "lost", loss[g->loss]);
	if (g->lost_from != 0) {
		NUMBER(j, "lost_from", g->lost_from);
		NUMBER(j, "lost_to", g->lost_to);
	}
	JSON_LIT(j, "}\n");
}
