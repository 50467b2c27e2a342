/*
 * Host names in their one canonical form. See include/name.h.
 *
 * Trusts: nothing; every byte may be a guest's.
 * Must not: allocate, or read a name as a C string.
 */
#include <string.h>

#include "name.h"

/* The byte in canonical form, or 0: it belongs in no host name. */
static char
fold(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_')
		return (char)c;
	return 0;
}

/* A label and, if it is not the first, the dot before it. */
static bool
add_label(struct name *n, const uint8_t *label, size_t len)
{
	size_t	at = n->len, i;

	if (len == 0 || len > NAME_LABEL_MAX ||
	    label[0] == '-' || label[len - 1] == '-' ||
	    len + (at > 0) > NAME_TEXT_MAX - at)
		return false;
	if (at > 0)
		n->text[at++] = '.';
	for (i = 0; i < len; i++)
		if ((n->text[at++] = fold(label[i])) == 0)
			return false;
	n->len = (uint16_t)at;
	return true;
}

static bool
is_hex(const char *p, size_t len)
{
	for (; len > 0; p++, len--)
		if (!((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f')))
			return false;
	return true;
}

/* inet_aton(3) and browsers read these as (parts of) addresses. */
static bool
ends_in_number(const struct name *n)
{
	const char	*last = n->text + n->len;
	size_t		 len, i;

	while (last > n->text && last[-1] != '.')
		last--;
	len = (size_t)(n->text + n->len - last);
	if (len >= 2 && last[0] == '0' && last[1] == 'x')
		return is_hex(last + 2, len - 2);
	for (i = 0; i < len; i++)
		if (last[i] < '0' || last[i] > '9')
			return false;
	return true;
}

static int
finish(struct name *n, bool good)
{
	if (good && n->len > 0 && !ends_in_number(n))
		return 0;
	memset(n, 0, sizeof(*n));
	return -1;
}

int
name_from_text(const char *text, size_t len, struct name *out)
{
	const uint8_t	*p = (const uint8_t *)text;
	bool		 good = true;
	size_t		 i, label = 0;

	memset(out, 0, sizeof(*out));
	if (len > 0 && text[len - 1] == '.')
		len--;
	if (len == 0 || len > NAME_TEXT_MAX)
		return -1;
	for (i = 0; good && i <= len; i++)
		if (i == len || p[i] == '.') {
			good = add_label(out, p + label, i - label);
			label = i + 1;
		}
	return finish(out, good);
}

int
name_from_wire(const uint8_t *at, size_t len, struct name *out)
{
	const uint8_t	*p = at, *end = at + len;
	bool		 good = true;

	memset(out, 0, sizeof(*out));
	while (good && p < end && *p != 0) {
		/* a pointer or an unknown kind of label is longer than 63 */
		good = *p <= NAME_LABEL_MAX && *p < end - p &&
		    add_label(out, p + 1, *p);
		p += good ? 1 + *p : 0;
	}
	if (p >= end || finish(out, good) == -1)
		return finish(out, false);
	return (int)(p + 1 - at);
}

size_t
name_to_wire(const struct name *n, uint8_t out[NAME_WIRE_MAX])
{
	size_t	i, length = 0, at = 1;

	for (i = 0; i < n->len; i++, at++) {
		if (n->text[i] == '.') {
			out[length] = (uint8_t)(at - length - 1);
			length = at;
		} else
			out[at] = (uint8_t)n->text[i];
	}
	out[length] = (uint8_t)(at - length - 1);
	out[at++] = 0;
	return at;
}

bool
name_valid(const struct name *n)
{
	struct name	same;

	return n->len > 0 && n->len <= NAME_TEXT_MAX &&
	    name_from_text(n->text, n->len, &same) == 0 &&
	    name_equal(n, &same);
}

bool
name_equal(const struct name *a, const struct name *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

int
name_compare(const struct name *a, const struct name *b)
{
	return memcmp(a->text, b->text, sizeof(a->text));
}

unsigned int
name_labels(const struct name *n)
{
	unsigned int	labels = n->len > 0;
	size_t		i;

	for (i = 0; i < n->len; i++)
		labels += n->text[i] == '.';
	return labels;
}

bool
name_matches(const struct name *n, enum name_wild wild,
    const struct name *base)
{
	size_t	more;

	if (wild == NAME_EXACT || (wild == NAME_TREE && name_equal(n, base)))
		return name_equal(n, base);
	if (base->len == 0 || n->len < base->len + 2)
		return false;
	more = (size_t)(n->len - base->len) - 1;	/* in front of the dot */
	if (n->text[more] != '.' ||
	    memcmp(n->text + more + 1, base->text, base->len) != 0)
		return false;
	return wild == NAME_MANY || wild == NAME_TREE ||
	    memchr(n->text, '.', more) == NULL;
}
