/*
 * Lines of comments, sorted and each once, so that they do not depend on the order of a
 * log; with a head above the first, if there is one.
 *
 * Trusts: its caller, that a line is one, and a comment.
 * Must not: print a head of nothing.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learn.h"

const char *
learn_proto(uint32_t proto)
{
	return proto == PROTO_TCP ? "tcp" : proto == PROTO_UDP ? "udp" : "icmp";
}

static FILE *
line(struct note *n)
{
	if (n->head != NULL)
		fprintf(n->f, "\n%s\n", n->head);
	n->head = NULL;
	return n->f;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
lines_add(struct lines *l, char *text)
{
	if (text == NULL)
		fatalx("learn: no memory");
	if (l->n == l->room) {
		l->room = l->room == 0 ? 16 : l->room * 2;
		l->of = reallocarray(l->of, l->room, sizeof(*l->of));
		if (l->of == NULL)
			fatalx("learn: no memory");
	}
	l->of[l->n++] = text;
}

void
lines_write(struct lines *l, struct note *n)
{
	size_t	i;

	if (l->n > 1)
		qsort(l->of, l->n, sizeof(*l->of), by_text);
	for (i = 0; i < l->n; i++)
		if (i == 0 || strcmp(l->of[i - 1], l->of[i]) != 0)
			fputs(l->of[i], line(n));
	for (i = 0; i < l->n; i++)
		free(l->of[i]);
	free(l->of);
	memset(l, 0, sizeof(*l));
}

void
lines_say(struct lines *l, const char *fmt, ...)
{
	char	*text;
	va_list	 ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		text = NULL;
	va_end(ap);
	lines_add(l, text);
}
