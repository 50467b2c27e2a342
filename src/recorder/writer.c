/*
 * The group commit: what waits is formatted into one buffer, written by one
 * write(2), made durable by one fdatasync(2) and acknowledged by one message.
 * While the disk works, the next group gathers in the channel: no timer decides
 * how large a group is.
 *
 * Opens, and whatever must be durable before it takes effect, are synced at
 * once; closes and denies with the next group, and within half a second.
 *
 * Must not: acknowledge what is not on the disk (async: not written), write
 * anything after a refused open before the broker was told, or leave a number
 * out of `seq`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "reason.h"
#include "recorder.h"

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec	t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

int64_t
writer_now(void)
{
	return (int64_t)clock_ns(CLOCK_MONOTONIC);
}

static void
acknowledge(struct writer *w, uint64_t rec)
{
	if (w->hold != 0 && rec >= w->hold)
		rec = w->hold - 1;
	if (rec <= w->acked)
		return;
	w->acked = w->out.durable_rec = rec;
	w->out.durable = true;
}

/* ---- taking ------------------------------------------------------------- */

/* While nothing can be written, closes have the most room and denies the least. */
static size_t
allowance(const struct writer *w, const struct record *r)
{
	if (w->state == WRITER_OK || line_ends(r))
		return QUEUE_MAX;
	return line_denies(r) || line_sums(r) ? QUEUE_DENY :
	    QUEUE_OTHER;
}

/*
 * The broker keeps what is not acknowledged, and stops reading its guests when
 * that is too much. An outage must not come to that: beyond a bound it is enough
 * that we have the record in memory, or have counted it. No open is among them.
 */
static void
relieve(struct writer *w)
{
	if (w->state == WRITER_OK || w->rec - w->acked < UNACKED_MAX)
		return;
	w->hold = 0;
	acknowledge(w, w->rec);
}

static bool
crowded(const struct writer *w)
{
	return openset_count(w->opens) + w->opens_queued >= OPENS_MAX;
}

/*
 * What begins while nothing can be written: a flow is refused. A question is not,
 * for it may have been asked already; those that wait for their record are refused
 * by the broker, as soon as it hears of this.
 */
void
writer_take(struct writer *w, const struct record *r,
    const struct record_named *n)
{
	bool	begins = line_begins(r);

	if (r->head.id <= w->rec)
		return;			/* sent again; it is in the log */
	w->rec = r->head.id;
	if (begins && w->state == WRITER_OK && crowded(w))
		failure_full(w, ENOBUFS);
	if ((line_opens(r) && w->state != WRITER_OK) ||
	    (begins && crowded(w)) ||
	    queue_used(&w->queue) >= allowance(w, r) ||
	    queue_push(&w->queue, r, n) == NULL)
		failure_count(w, r, w->gap.err != 0 ? w->gap.err : ENOSPC);
	else
		w->opens_queued += begins;
	relieve(w);
}

bool
writer_room(const struct writer *w)
{
	return w->state != WRITER_OK ||
	    queue_used(&w->queue) + BATCH_MAX <= QUEUE_MAX;
}

/* ---- lines -------------------------------------------------------------- */

struct json
writer_line(struct writer *w, struct stamp *at)
{
	struct json	j = { .p = w->buf + w->len,
			    .end = w->buf + sizeof(w->buf) };

	at->seq = ++w->seq;
	at->ts = clock_ns(CLOCK_REALTIME);
	at->mono = clock_ns(CLOCK_BOOTTIME);
	return j;
}

int
writer_add(struct writer *w, const struct json *j)
{
	if (j->over)
		fatalx("a line of the log is too long");
	w->len = (size_t)(j->p - w->buf);
	return sizeof(w->buf) - w->len < 2 * LINE_ROOM ? writer_flush(w) : 0;
}

/*
 * A deny because of the log, for a flow that has an open in it: the broker heard
 * that the open had failed, or its recorder died, and the open was written after
 * all. Every open has a close, so this one gets it here. (If it has been dialled
 * only, the deny itself is what comes after that.)
 */
static bool
refusal(const struct record *r)
{
	return r->type == REC_FLOW_DENY && r->flow != 0 &&
	    r->reason == REASON_AUDIT_UNAVAILABLE;
}

static void
close_refused(struct writer *w, const struct record *r)
{
	struct open_flow	*f;
	struct stamp		 at;
	struct json		 j;

	f = openset_find(w->opens, w->origin.inst, r->flow);
	if (f == NULL || f->kind != OPEN_FLOW)
		return;
	j = writer_line(w, &at);
	at.ts = r->ts;
	at.mono = r->mono;
	line_close(&j, &w->origin, &at, r->reason, f);
	w->len = (size_t)(j.p - w->buf);
}

static void
format(struct writer *w, struct entry *e)
{
	struct record_named	named;
	struct slice		body;
	struct json		j;

	if (refusal(&e->r))
		close_refused(w, &e->r);
	e->seq = ++w->seq;
	j = (struct json){ .p = w->buf + w->len,
	    .end = w->buf + sizeof(w->buf) };
	line_record(&j, &w->origin, e->seq, &e->r, queue_named(e, &named),
	    &body);
	if (j.over)
		fatalx("a line of the log is too long");
	w->len = (size_t)(j.p - w->buf);
	if (line_begins(&e->r)) {
		free(e->body);
		e->body_len = body.len;
		if ((e->body = malloc(body.len)) == NULL)
			fatal("memory for an open flow");
		memcpy(e->body, body.p, body.len);
	}
}

/* ---- to the disk ---------------------------------------------------------- */

int
writer_flush(struct writer *w)
{
	size_t	n, len = w->len;

	if (len == 0)
		return 0;
	if (segment_space(&w->seg, len, w->rotate) == -1)
		return failure_full(w, errno);
	n = segment_append(&w->seg, w->buf, len);
	if (n != len)
		return failure_segment(w, errno, n);
	if (w->seg.first == 0)
		w->seg.first = w->file_seq + 1;
	w->file_seq = w->seq;
	w->len = 0;
	return 0;
}

static enum open_kind
kind_of(const struct record *r)
{
	return r->type == REC_DNS_ASK ? OPEN_ASK :
	    r->type == REC_FLOW_DIAL ? OPEN_DIAL : OPEN_FLOW;
}

static void
settle(struct writer *w, const struct entry *e)
{
	struct slice	body = { e->body, e->body_len };

	if (e->skip)
		return;
	if (line_begins(&e->r)) {
		w->opens_queued--;
		if (openset_add(w->opens, kind_of(&e->r), w->origin.inst,
		    e->r.flow, e->seq, &body) == -1)
			log_warnx("flow %llu cannot be watched",
			    (unsigned long long)e->r.flow);
	} else if (line_ends(&e->r))
		openset_del(w->opens, w->origin.inst, e->r.flow);
}

int
writer_commit(struct writer *w)
{
	struct queue	*q = &w->queue;
	enum loss	 loss;
	size_t		 i;
	uint64_t	 rec = 0;

	if (w->state == WRITER_BROKEN)
		return -1;
	if (segment_sync(&w->seg) == -1)
		return failure_segment(w, errno, 0);
	if ((loss = segment_loss(&w->seg, w->dir, w->name)) != LOSS_NONE)
		return failure_lost(w, loss);
	w->sync_at = 0;
	w->durable_seq = w->file_seq;
	if (w->state == WRITER_OK)
		w->probe_wait = 0;
	for (i = q->head; i < q->written; i++) {
		settle(w, &q->e[i]);
		rec = q->e[i].r.head.id;
	}
	queue_retire(q);
	w->opens_written = 0;
	if (w->gap_stated) {
		memset(&w->gap, 0, sizeof(w->gap));
		w->gap_stated = false;
		w->hold = 0;
	}
	acknowledge(w, queue_used(q) == 0 ? w->rec : rec);
	return 0;
}

/*
 * Must it be durable before something happens? Else it may wait a little. A name
 * that was answered lets nothing out: whoever dials has a flow.open of its own. One
 * that is asked does, if it is the guest's own choice; the broker says so.
 */
static bool
urgent(const struct writer *w, const struct entry *e)
{
	const struct record	*r = &e->r;
	struct record_named	 n;

	if (w->mode == DURABLE_ASYNC)
		return false;
	if (r->type == REC_DNS_ASK)
		return queue_named(e, &n)->urgent != 0;
	return r->type != REC_FLOW_CLOSE && r->type != REC_FLOW_DENY &&
	    !line_sums(r) && r->type != REC_LIMIT &&
	    r->type != REC_DNS;
}

struct group {
	size_t	end;		/* the index behind the last record */
	size_t	opens;
	bool	sync, rotate;
};

/* False: the segment, or what is left of the reserve, is full without it. */
static bool
put(struct writer *w, struct entry *e, struct group *g)
{
	size_t		len = w->len;
	uint64_t	seq = w->seq, end;

	format(w, e);
	end = w->seg.size + w->len;
	g->rotate = w->rotate != 0 && end > w->rotate;
	if (g->rotate || (w->state == WRITER_FULL && len > 0 &&
	    end > w->seg.alloc)) {
		w->len = len;
		w->seq = seq;
		return false;
	}
	g->opens += e->r.type == REC_FLOW_OPEN;
	g->sync = g->sync || urgent(w, e);
	return true;
}

static struct group
gather(struct writer *w)
{
	struct queue	*q = &w->queue;
	struct group	 g = { .end = q->written };
	struct entry	*e;

	for (; g.end < q->tail; g.end++) {
		e = &q->e[g.end];
		if (e->skip)
			continue;
		if (sizeof(w->buf) - w->len < 2 * LINE_ROOM)
			break;
		if (refusal(&e->r) && w->opens_written + g.opens > 0) {
			g.sync = true;	/* its open may be among them */
			break;
		}
		if (!put(w, e, &g))
			break;
	}
	return g;
}

/* One group. -1: the state has changed, or nothing can be written now. */
static int
pump(struct writer *w)
{
	struct queue	*q = &w->queue;
	struct group	 g = gather(w);

	if (writer_flush(w) == -1)
		return -1;
	q->written = g.end;
	w->opens_written += g.opens;
	if (g.end > 0 && w->mode == DURABLE_ASYNC)
		acknowledge(w, q->e[g.end - 1].r.head.id);
	if (g.sync || g.rotate || queue_used(q) > QUEUE_MAX / 2) {
		if (writer_commit(w) == -1)
			return -1;
	} else if (w->sync_at == 0)
		w->sync_at = writer_now() + SYNC_NS;
	return g.rotate ? writer_rotate(w, false) : 0;
}

static bool
waiting(const struct writer *w)
{
	return w->state != WRITER_BROKEN && !w->dry && !w->out.failed &&
	    w->queue.written < w->queue.tail;
}

bool
writer_turn(struct writer *w)
{
	int64_t	now = writer_now();

	if (w->out.failed)
		return false;		/* the broker must know first */
	if (now >= w->watch_at)
		watch_look(w);
	if (w->probe_at != 0 && now >= w->probe_at && !w->out.failed)
		failure_probe(w);
	if (waiting(w))
		pump(w);
	if (w->sync_at != 0 && now >= w->sync_at &&
	    w->state != WRITER_BROKEN)
		writer_commit(w);
	return waiting(w);
}

int64_t
writer_deadline(const struct writer *w)
{
	int64_t	at = w->watch_at;

	if (w->sync_at != 0 && w->sync_at < at)
		at = w->sync_at;
	return w->probe_at != 0 && w->probe_at < at ? w->probe_at : at;
}

/* ---- segments --------------------------------------------------------------- */

int
writer_head(struct writer *w, bool start, const char *prev)
{
	struct head	h = { .start = start, .durable = w->mode,
			    .rotate = w->rotate, .reserve = w->reserve.size,
			    .rec = w->acked,
			    .oldest = openset_oldest(w->opens), .prev = prev };
	struct stamp	at;
	struct json	j;

	if (fsync(w->dir) == -1 && errno != EINVAL)
		return failure_segment(w, errno, 0);
	j = writer_line(w, &at);
	line_head(&j, &w->origin, &at, &h);
	return writer_add(w, &j) == -1 ? -1 : writer_flush(w);
}

/* The active file gets its last name. One without a line just goes. */
int
writer_retire(struct writer *w, char prev[NAME_ROOM])
{
	int	r = 0;

	prev[0] = '\0';
	if (w->seg.first != 0)
		r = segment_retire(&w->seg, w->dir, w->name, prev);
	else if (w->seg.fd != -1)
		r = unlinkat(w->dir, w->name, 0);
	if (r == -1) {
		log_warn("renaming %s", w->name);
		return -1;
	}
	segment_close(&w->seg);
	return 0;
}

int
writer_rotate(struct writer *w, bool start)
{
	char	prev[NAME_ROOM];

	if (writer_commit(w) == -1)
		return -1;
	if (writer_retire(w, prev) == -1 ||
	    segment_create(&w->seg, w->dir, w->name) == -1)
		return failure_segment(w, errno, 0);
	return writer_head(w, start, prev) == -1 ? -1 : keep_trim(w);
}

/* ---- the end ----------------------------------------------------------------- */

#define CLOSE_BATCH	256

static int
close_batch(struct writer *w, unsigned int reason, struct open_flow **f,
    size_t n)
{
	struct stamp	at;
	struct json	j;
	size_t		i;

	for (i = 0; i < n; i++) {
		j = writer_line(w, &at);
		line_close(&j, &w->origin, &at, reason, f[i]);
		if (writer_add(w, &j) == -1)
			return -1;
	}
	return writer_flush(w) == -1 ? -1 : writer_commit(w);
}

int
writer_close_stale(struct writer *w, unsigned int reason, const uint8_t *keep)
{
	struct open_flow	*f[CLOSE_BATCH];
	struct slice		 body;
	size_t			 i, n;
	int			 r = 0;

	do {
		for (n = 0; n < CLOSE_BATCH && (f[n] =
		    openset_take_stale(w->opens, keep)) != NULL; n++)
			;
		if (n > 0)
			r = close_batch(w, reason, f, n);
		for (i = 0; i < n; i++) {
			body = (struct slice){ f[i]->body, f[i]->len };
			if (r == -1)
				openset_add(w->opens, f[i]->kind, f[i]->inst,
				    f[i]->flow, f[i]->seq, &body);
			free(f[i]);
		}
	} while (n > 0 && r == 0);
	return r;
}

int
writer_end(struct writer *w, unsigned int reason)
{
	int	tries;

	if (w->state != WRITER_OK)
		failure_probe(w);
	w->out.failed = false;		/* nobody waits for that any more */
	for (tries = 0; tries < 3; tries++) {
		while (waiting(w) && pump(w) == 0)
			;
		if (!waiting(w) && writer_commit(w) == 0 &&
		    writer_close_stale(w, reason, NULL) == 0 &&
		    failure_gap(w) == 0)
			break;
		w->out.failed = false;
		failure_probe(w);
	}
	if (tries < 3 && w->queue.written == w->queue.tail) {
		reserve_remove(&w->reserve, w->dir, w->name);
		return 0;
	}
	log_warnx("%zu records and %zu closes could not be written",
	    queue_used(&w->queue), openset_count(w->opens));
	return -1;
}
