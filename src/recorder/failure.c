/*
 * When the disk does not do what it should. Three states (recorder.h):
 *
 *   ok      the reserve is there; everything is written
 *   full    the reserve has become the active segment, or there is none: opens
 *           are refused, everything else is written while it fits ("dry": it
 *           does not; closes wait in memory, denies are counted)
 *   broken  the segment failed. Its lines since the last sync count no longer:
 *           an audit.gap in the next segment says so, and what still holds is
 *           written again there. fdatasync(2) is never tried twice on a file:
 *           after an error the kernel may have dropped the pages and would
 *           report success.
 *            So it is with a segment that somebody removed, moved or changed:
 *            what was on the disk of it is told as lost. And where only the
 *            directory is elsewhere, lines are still written, but for opens.
 *
 * A probe with a growing interval looks for a way back.
 *
 * Must not: lose a record without counting it, or touch an acknowledged one.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "recorder.h"

/*
 * What the broker hears: no open behind `acked` is in the log. While it has not
 * heard that, `acked` can grow past refused opens (writer.c, relieve()), so the
 * first one holds: FAILED with a later one would open a gate.
 */
static void
tell(struct writer *w, int err)
{
	if (!w->out.failed)
		w->out.failed_rec = w->acked;
	w->out.failed = true;
	w->out.failed_err = (uint32_t)err;
}

void
failure_count(struct writer *w, const struct record *r, int err)
{
	struct gap	*g = &w->gap;

	if (g->err == 0)
		g->err = err;
	if (line_opens(r)) {
		g->opens++;
		tell(w, err);
		return;
	}
	if (line_denies(r))
		g->denies++;
	else if (r->type == REC_DENY_AGG)
		g->denies += r->n;
	else if (r->type == REC_FLOW_CLOSE)
		g->closes++;
	else
		g->other++;
	if (w->hold == 0)		/* not acknowledged before it is stated */
		w->hold = r->head.id;
}

/* Every open that the broker still waits for. */
static void
refuse_opens(struct writer *w, int err)
{
	struct queue	*q = &w->queue;
	struct entry	*e;
	size_t		 i;

	for (i = q->head; i < q->tail; i++) {
		e = &q->e[i];
		if (e->skip || !line_opens(&e->r) ||
		    e->r.head.id <= w->acked)
			continue;
		e->skip = true;
		w->opens_queued--;
		failure_count(w, &e->r, err);
	}
	w->gap.err = err;
	w->out.recovered = false;
	tell(w, err);
}

static void
probe_later(struct writer *w)
{
	if (w->probe_wait == 0)
		w->probe_wait = PROBE_NS;
	w->probe_at = writer_now() + w->probe_wait;
	w->probe_wait *= 2;
	if (w->probe_wait > PROBE_MAX_NS)
		w->probe_wait = PROBE_MAX_NS;
}

/* The reserve takes the place of the active segment. */
static int
use_reserve(struct writer *w)
{
	char	prev[NAME_ROOM];

	if (writer_retire(w, prev) == -1 ||
	    reserve_take(&w->reserve, w->dir, w->name, &w->seg) == -1)
		return failure_segment(w, errno, 0);
	return writer_head(w, false, prev[0] == '\0' ? NULL : prev);
}

int
failure_full(struct writer *w, int err)
{
	w->len = 0;
	w->seq = w->file_seq;
	if (w->state != WRITER_OK) {
		w->dry = true;
		return -1;
	}
	if (writer_commit(w) == -1)
		return -1;
	errno = err;
	log_warn("%s: new flows are refused until there is space", w->name);
	w->state = WRITER_FULL;
	refuse_opens(w, err);
	probe_later(w);
	if (err == ENOBUFS)
		return -1;		/* too many flows, not too little disk */
	if (w->reserve.size == 0)
		w->dry = true;
	else
		use_reserve(w);
	return -1;
}

/* The end of a cut line, now or when there is space. */
static void
finish_cut(struct writer *w, const char *cut, size_t len)
{
	w->torn_len = torn_finish(w->torn, cut, len, w->seq);
	if (segment_append(&w->seg, w->torn, w->torn_len) == w->torn_len) {
		w->torn_len = 0;
		return;
	}
	fd_drop(&w->torn_fd);
	w->torn_fd = w->seg.fd;
	w->seg.fd = -1;
}

static void
void_lines(struct writer *w, size_t cut)
{
	const char	*p = w->buf, *nl;

	w->seq = w->file_seq;
	while ((nl = memchr(p, '\n', (size_t)(w->buf + cut - p))) != NULL) {
		w->seq++;
		p = nl + 1;
	}
	if (p < w->buf + cut) {
		w->gap.torn = ++w->seq;
		finish_cut(w, p, (size_t)(w->buf + cut - p));
	}
	if (cut > 0 && w->seg.first == 0)
		w->seg.first = w->file_seq + 1;
	w->file_seq = w->seq;
	if (w->seq > w->durable_seq) {
		w->gap.from = w->durable_seq + 1;
		w->gap.to = w->seq;
	}
}

/* What was not acknowledged is to be written again, but for the opens. */
static void
take_back(struct writer *w, int err, size_t cut)
{
	void_lines(w, cut);
	w->len = 0;
	w->gap_stated = false;
	refuse_opens(w, err);
	queue_rewind(&w->queue);
	w->opens_written = 0;
	w->state = WRITER_BROKEN;
	w->dry = false;
	w->sync_at = 0;
	if (w->probe_wait == 0) {	/* the reserve may well work: at once */
		w->probe_wait = PROBE_NS;
		w->probe_at = writer_now();
	} else
		probe_later(w);
}

int
failure_segment(struct writer *w, int err, size_t cut)
{
	errno = err;
	log_warn("%s: writing failed; new flows are refused", w->name);
	take_back(w, err, cut);
	if (w->seg.first != 0)	/* else writer_retire() has to remove it */
		fd_drop(&w->seg.fd);
	return -1;
}

/* Several may be lost before one line tells of them. */
static void
lost_lines(struct writer *w, enum loss loss)
{
	struct gap	*g = &w->gap;

	w->harmed = w->aside = true;
	g->loss = loss;
	if (w->seg.first == 0 || w->seg.first > w->durable_seq)
		return;
	if (g->lost_from == 0)
		g->lost_from = w->seg.first;
	g->lost_to = w->durable_seq;
}

/* One that was changed has our name and keeps it; the others have it no more. */
int
failure_lost(struct writer *w, enum loss loss)
{
	static const char *const	what[] = { "", "removed", "moved away",
					    "changed by somebody else" };

	log_warnx("%s was %s while it was written; new flows are refused until "
	    "a new one is begun", w->name, what[loss]);
	lost_lines(w, loss);
	take_back(w, ESTALE, 0);
	if (loss == LOSS_CHANGED && w->seg.first != 0)
		fd_drop(&w->seg.fd);
	else
		segment_close(&w->seg);
	return -1;
}

void
failure_away(struct writer *w)
{
	log_warnx("%s: no longer the directory of the log, which was removed, "
	    "moved or replaced; new flows are refused until it is back",
	    w->path);
	w->away = w->harmed = true;
	if (w->state != WRITER_OK || writer_commit(w) == -1)
		return;
	w->state = WRITER_FULL;
	refuse_opens(w, ESTALE);
	probe_later(w);
}

int
failure_gap(struct writer *w)
{
	struct gap	*g = &w->gap;
	struct stamp	 at;
	struct json	 j;

	if (g->opens + g->closes + g->denies + g->other + g->from +
	    g->torn == 0 && !g->crash && g->loss == LOSS_NONE)
		return 0;
	j = writer_line(w, &at);
	line_gap(&j, &w->origin, &at,
	    queue_used(&w->queue) == 0 ? w->rec : w->acked, g);
	if (writer_add(w, &j) == -1 || writer_flush(w) == -1)
		return -1;
	w->gap_stated = true;
	return writer_commit(w);
}

/* A cut line of a retired file that could not be finished for want of space. */
static void
finish_later(struct writer *w)
{
	struct segment	old = { .fd = w->torn_fd };
	size_t		n;

	if (w->torn_fd == -1)
		return;
	n = (size_t)write(old.fd, w->torn, w->torn_len);
	if (n == w->torn_len)
		fd_drop(&w->torn_fd);
}

static int
revive(struct writer *w)
{
	if (w->seg.first != 0 && !segment_there(&w->seg, w->dir, w->name)) {
		lost_lines(w, LOSS_MOVED);
		segment_close(&w->seg);
	}
	if (w->aside && w->seg.first == 0 &&
	    segment_aside(w->dir, w->name, w->seq + 1) == -1)
		return -1;
	if (w->reserve.size == 0 &&
	    reserve_make(&w->reserve, w->dir, w->name) == -1)
		return -1;
	w->state = WRITER_FULL;
	if (use_reserve(w) == -1)
		return -1;
	w->aside = false;
	return failure_gap(w);
}

void
failure_probe(struct writer *w)
{
	probe_later(w);
	finish_later(w);
	if (w->state == WRITER_BROKEN && revive(w) == -1)
		return;
	w->dry = false;
	if ((w->away = watch_away(w)))
		return;
	if (openset_count(w->opens) >= OPENS_MAX || (w->reserve.size == 0 &&
	    reserve_make(&w->reserve, w->dir, w->name) == -1))
		return;
	w->state = WRITER_OK;
	if (failure_gap(w) == -1)
		return;
	w->probe_at = 0;
	w->out.recovered = true;
	log_warnx("%s: writing again", w->name);
}
