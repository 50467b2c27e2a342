/*
 * Records on their way to the disk, oldest first: [head, written) are in the
 * file but not yet durable, [written, tail) wait. If a segment fails, what was
 * written is simply waiting again.
 *
 * Must not: reorder, or grow beyond QUEUE_MAX.
 */
#include <stdlib.h>
#include <string.h>

#include "recorder.h"

int
queue_init(struct queue *q)
{
	memset(q, 0, sizeof(*q));
	q->e = calloc(QUEUE_MAX, sizeof(*q->e));
	return q->e == NULL ? -1 : 0;
}

size_t
queue_used(const struct queue *q)
{
	return q->tail - q->head;
}

/* The whole moves to the front when the end is reached; that is seldom. */
static void
compact(struct queue *q)
{
	memmove(q->e, q->e + q->head, queue_used(q) * sizeof(*q->e));
	q->tail -= q->head;
	q->written -= q->head;
	q->head = 0;
}

/* The names are short in most records, and their room is large. */
static bool
keep_names(struct entry *e, const struct record_named *n)
{
	const char	*p = (const char *)n + sizeof(n->r);
	size_t		 len = sizeof(*n) - sizeof(n->r);

	while (len > 1 && p[len - 1] == '\0')
		len--;
	if ((e->names = malloc(len)) == NULL)
		return false;
	memcpy(e->names, p, len);
	e->names_len = len;
	return true;
}

const struct record_named *
queue_named(const struct entry *e, struct record_named *buf)
{
	if (e->names == NULL)
		return NULL;
	memset(buf, 0, sizeof(*buf));
	buf->r = e->r;
	memcpy((char *)buf + sizeof(buf->r), e->names, e->names_len);
	return buf;
}

struct entry *
queue_push(struct queue *q, const struct record *r,
    const struct record_named *n)
{
	struct entry	*e;

	if (queue_used(q) >= QUEUE_MAX)
		return NULL;
	if (q->tail == QUEUE_MAX)
		compact(q);
	e = &q->e[q->tail];
	e->names = NULL;
	e->names_len = 0;
	if (n != NULL && !keep_names(e, n))
		return NULL;
	q->tail++;
	e->r = *r;
	e->seq = 0;
	e->skip = false;
	e->body = NULL;
	e->body_len = 0;
	return e;
}

/* What was made of it; the record itself may be written again. */
static void
forget(struct entry *e)
{
	free(e->body);
	e->body = NULL;
	e->body_len = 0;
}

void
queue_retire(struct queue *q)
{
	while (q->head < q->written) {
		forget(&q->e[q->head]);
		free(q->e[q->head].names);
		q->e[q->head++].names = NULL;
	}
	if (q->head == q->tail)
		q->head = q->written = q->tail = 0;
}

void
queue_rewind(struct queue *q)
{
	size_t	i;

	for (i = q->head; i < q->written; i++)
		forget(&q->e[i]);
	q->written = q->head;
}
