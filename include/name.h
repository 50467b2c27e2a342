/*
 * A host name: the only form in which one crosses a room.
 *
 * Text form of RFC 1035 without a trailing dot, lower case, counted, NUL-filled:
 * two equal names are equal under memcmp(). Labels are letters, digits, hyphens
 * (never first or last) and underscores, 1..63 of them, at most 253 in all; the
 * last label is no number, so a name never is an address (RFC 3696, 2; WHATWG
 * URL, "ends in a number"). Names in other scripts are A-labels here (RFC 5890).
 *
 * No C string function is needed to read one, and none may be: a byte that is
 * not in the list above, NUL included, makes it no name.
 */
#ifndef SALLYPORT_NAME_H
#define SALLYPORT_NAME_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_TEXT_MAX	253		/* without the NUL */
#define NAME_LABEL_MAX	63
#define NAME_WIRE_MAX	255		/* length bytes and the root's included */

struct name {
	uint16_t	len;			/* 0: no name */
	char		text[254];		/* NUL-filled */
};
static_assert(sizeof(struct name) == 256, "name has no padding");

/* Upper case is folded, one trailing dot taken away. 0, or -1: not a name. */
int	name_from_text(const char *text, size_t len, struct name *out);
/*
 * An uncompressed name of a DNS message, from `at`: RFC 1035, 3.1. Returns the
 * bytes it takes there, or -1: cut short, compressed, or not a host name.
 */
int	name_from_wire(const uint8_t *at, size_t len, struct name *out);
/* The same form, at most NAME_WIRE_MAX bytes; returns how many. */
size_t	name_to_wire(const struct name *, uint8_t out[NAME_WIRE_MAX]);

/* True if a peer's bytes are a name in the one form that there is. */
bool	name_valid(const struct name *);
bool	name_equal(const struct name *, const struct name *);
/* Total order, for sorted tables. */
int	name_compare(const struct name *, const struct name *);
unsigned int name_labels(const struct name *);

enum name_wild {
	NAME_EXACT,
	NAME_ONE,		/* "*.base": exactly one label more */
	NAME_MANY,		/* "**.base": one or more labels more */
	NAME_TREE		/* "+.base": the base itself, and all below it */
};

/* Matches label by label; only a tree matches its base itself. */
bool	name_matches(const struct name *, enum name_wild,
	    const struct name *base);

#endif
