/*
 * A stretch of a guest's bytes that is eaten from the front. Every length is
 * compared with what is left before anything moves.
 */
#ifndef SALLYPORT_SPAN_H
#define SALLYPORT_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span {
	const uint8_t	*p, *end;
};

static inline size_t
span_left(const struct span *s)
{
	return (size_t)(s->end - s->p);
}

/* The next n bytes; `out` may be NULL. */
static inline bool
span_take(struct span *s, size_t n, struct span *out)
{
	if (n > span_left(s))
		return false;
	if (out != NULL)
		*out = (struct span){ s->p, s->p + n };
	s->p += n;
	return true;
}

/* A number of 1..3 bytes in network order. */
static inline bool
span_number(struct span *s, size_t bytes, uint32_t *out)
{
	struct span	n;
	uint32_t	v = 0;

	if (!span_take(s, bytes, &n))
		return false;
	while (n.p < n.end)
		v = v << 8 | *n.p++;
	*out = v;
	return true;
}

/* A vector of TLS: its length in so many bytes, then its body. */
static inline bool
span_vector(struct span *s, size_t bytes, struct span *out)
{
	uint32_t	len;

	return span_number(s, bytes, &len) && span_take(s, len, out);
}

#endif
