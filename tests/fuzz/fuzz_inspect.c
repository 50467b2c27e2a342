/*
 * A guest's first flight. Input: one byte, whose last bit is the kind and whose
 * others are a record size, and the flight.
 *
 * What must hold: a name is a name, and is in the flight; the rest of the result is
 * clean; a second look agrees, and so does one at the same hello in records of
 * another size; a flight without its last byte has no other name.
 */
#include <stdlib.h>
#include <string.h>

#include "inspector.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
must(bool what)
{
	if (!what)
		abort();
}

static struct inspect_result
look(uint32_t kind, const uint8_t *bytes, size_t len)
{
	struct inspect_result	r;

	memset(&r, 0xa5, sizeof(r));
	must(inspect(kind, bytes, len, &r) == 0);
	memset(&r.head, 0, sizeof(r.head));
	return r;
}

static void
check_result(const struct inspect_result *r)
{
	const struct inspect_result	none = { .status = r->status,
					    .kind = r->kind, .hint = r->hint };
	const char				*p;

	must(r->hint < HINT_MAX);
	if (r->status == INSPECT_BAD || r->status == INSPECT_ALIEN)
		must(memcmp(r, &none, sizeof(none)) == 0);
	else if (r->status == INSPECT_NAMED)
		must(name_valid(&r->name));
	else
		must(r->status == INSPECT_NAMELESS && r->name.len == 0);
	must(r->zero == 0 && (r->tls == 0 || (r->tls >> 8 == 3 &&
	    r->kind == PEEK_TLS)));
	must(r->ech <= 1 && r->alpn[INSPECT_ALPN_MAX - 1] == '\0');
	for (p = r->alpn; *p != '\0'; p++)
		must(*p > ' ' && *p < 0x7f);
}

static bool
contains(const uint8_t *bytes, size_t len, const struct name *n)
{
	size_t	at, i;

	for (at = 0; at + n->len <= len; at++) {
		for (i = 0; i < n->len; i++) {
			uint8_t	c = bytes[at + i];

			if (c >= 'A' && c <= 'Z')
				c |= 0x20;
			if (c != (uint8_t)n->text[i])
				break;
		}
		if (i == n->len)
			return true;
	}
	return false;
}

/* The handshake out of its records; what is no whole record ends it. */
static size_t
unpack(const uint8_t *p, size_t len, uint8_t *out)
{
	size_t	n = 0, size;

	while (len > 5 && p[0] == 22) {
		size = (size_t)p[3] << 8 | p[4];
		if (size > len - 5)
			break;
		memcpy(out + n, p + 5, size);
		n += size;
		p += 5 + size;
		len -= 5 + size;
	}
	return n;
}

static size_t
pack(const uint8_t *p, size_t len, size_t size, uint8_t *out)
{
	size_t	at = 0, n;

	for (; len > 0; p += n, len -= n) {
		n = len < size ? len : size;
		memcpy(out + at, "\x16\3\3", 3);
		out[at + 3] = (uint8_t)(n >> 8);
		out[at + 4] = (uint8_t)n;
		memcpy(out + at + 5, p, n);
		at += 5 + n;
	}
	return at;
}

static void
other_records(const uint8_t *bytes, size_t len, size_t size,
    const struct inspect_result *want)
{
	static uint8_t		hello[WIRE_FLIGHT_MAX];
	static uint8_t		again[WIRE_FLIGHT_MAX * 6];
	struct inspect_result	r;
	size_t			n = unpack(bytes, len, hello);

	must(contains(hello, n, &want->name));
	n = pack(hello, n, size, again);
	r = look(PEEK_TLS, again, n);
	must(memcmp(&r, want, sizeof(r)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct inspect_result	r, same;
	uint32_t		kind;

	if (size < 2 || size - 1 > WIRE_FLIGHT_MAX)
		return 0;
	kind = (data[0] & 1) != 0 ? PEEK_HTTP : PEEK_TLS;
	r = look(kind, data + 1, size - 1);
	check_result(&r);
	same = look(kind, data + 1, size - 1);
	must(memcmp(&r, &same, sizeof(r)) == 0);
	must(r.kind == kind);
	same = look(PEEK_EITHER, data + 1, size - 1);
	must(same.kind != kind || memcmp(&r, &same, sizeof(r)) == 0);
	must(same.kind == kind || r.status >= INSPECT_BAD);
	/* what is alien stays so, whatever comes; what is not may have begun so */
	same = look(kind, data + 1, size / 2);
	must(same.status != INSPECT_ALIEN || r.status == INSPECT_ALIEN);
	if (r.status != INSPECT_NAMED)
		return 0;
	if (kind == PEEK_TLS)
		other_records(data + 1, size - 1, (data[0] >> 1) + 1u, &r);
	else
		must(contains(data + 1, size - 1, &r.name));
	same = look(kind, data + 1, size - 2);
	must(same.status >= INSPECT_BAD || name_equal(&same.name, &r.name));
	return 0;
}
