/*
 * Endpoints and prefixes: parse, print, compare, classify. No I/O, no state.
 *
 * Trusts: nothing; every function takes any bytes.
 * Must not: call getaddrinfo(3) or inet_aton(3), or guess.
 */
#include <netinet/in.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"

static int
port_parse(const char *text, uint16_t *out)
{
	unsigned int	n = 0;
	const char	*p;

	for (p = text; *p >= '0' && *p <= '9' && n <= 65535; p++)
		n = n * 10 + (unsigned int)(*p - '0');
	if (p == text || *p != '\0' || n > 65535)
		return -1;
	*out = (uint16_t)n;
	return 0;
}

int
addr_parse(const char *text, struct endpoint *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, out->addr) == 1)
		out->family = ADDR_V4;
	else if (inet_pton(AF_INET6, text, out->addr) == 1)
		out->family = ADDR_V6;
	else
		return -1;
	return 0;
}

int
endpoint_parse(const char *text, struct endpoint *out)
{
	char		host[INET6_ADDRSTRLEN];
	const char	*end, *from = text;
	size_t		len;
	uint16_t	port;

	memset(out, 0, sizeof(*out));
	if (*text == '[') {
		from = text + 1;
		if ((end = strchr(from, ']')) == NULL || end[1] != ':')
			return -1;
	} else if ((end = strchr(text, ':')) == NULL)
		return -1;
	len = (size_t)(end - from);
	if (len >= sizeof(host))
		return -1;
	memcpy(host, from, len);
	host[len] = '\0';
	if (port_parse(end + (*text == '[' ? 2 : 1), &port) == -1 ||
	    addr_parse(host, out) == -1)
		return -1;
	if ((out->family == ADDR_V6) != (*text == '['))
		return -1;
	out->port = port;
	return 0;
}

const char *
addr_print(const struct endpoint *e, char buf[ENDPOINT_STRLEN])
{
	int	af = e->family == ADDR_V4 ? AF_INET : AF_INET6;

	if (e->family == ADDR_NONE ||
	    inet_ntop(af, e->addr, buf, ENDPOINT_STRLEN) == NULL)
		snprintf(buf, ENDPOINT_STRLEN, "-");
	return buf;
}

const char *
endpoint_print(const struct endpoint *e, char buf[ENDPOINT_STRLEN])
{
	char	host[ENDPOINT_STRLEN];

	addr_print(e, host);
	snprintf(buf, ENDPOINT_STRLEN, e->family == ADDR_V6 ? "[%.45s]:%u" :
	    "%.45s:%u", host, (unsigned int)e->port);
	return buf;
}

bool
endpoint_valid(const struct endpoint *e)
{
	static const uint8_t	zero[12];

	if (e->zero != 0)
		return false;
	if (e->family == ADDR_V4)
		return memcmp(e->addr + 4, zero, sizeof(zero)) == 0;
	return e->family == ADDR_V6;
}

bool
endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	return a->port == b->port && addr_equal(a, b);
}

bool
addr_equal(const struct endpoint *a, const struct endpoint *b)
{
	return addr_compare(a, b) == 0;
}

int
addr_compare(const struct endpoint *a, const struct endpoint *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->addr, b->addr, sizeof(a->addr));
}

struct endpoint
endpoint_v4(uint32_t host_order, uint16_t port)
{
	struct endpoint	e = { .family = ADDR_V4, .port = port };

	e.addr[0] = (uint8_t)(host_order >> 24);
	e.addr[1] = (uint8_t)(host_order >> 16);
	e.addr[2] = (uint8_t)(host_order >> 8);
	e.addr[3] = (uint8_t)host_order;
	return e;
}

struct endpoint
endpoint_v6(const uint8_t addr[16], uint16_t port)
{
	struct endpoint	e = { .family = ADDR_V6, .port = port };

	memcpy(e.addr, addr, sizeof(e.addr));
	return e;
}

uint32_t
endpoint_u32(const struct endpoint *e)
{
	return (uint32_t)e->addr[0] << 24 | (uint32_t)e->addr[1] << 16 |
	    (uint32_t)e->addr[2] << 8 | e->addr[3];
}

struct endpoint
endpoint_canonical(struct endpoint e)
{
	static const uint8_t	mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct endpoint		v4 = { .family = ADDR_V4, .port = e.port };

	if (e.family != ADDR_V6 || memcmp(e.addr, mapped, sizeof(mapped)) != 0)
		return e;
	memcpy(v4.addr, e.addr + 12, 4);
	return v4;
}

/* Bits of a family's address; 0 for no family. */
static unsigned int
family_bits(unsigned int family)
{
	return family == ADDR_V4 ? 32 : family == ADDR_V6 ? 128 : 0;
}

static bool
bits_equal(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int	whole = bits / 8, rest = bits % 8;
	uint8_t		mask = (uint8_t)(0xff00u >> rest);

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}

struct prefix
prefix_of(const struct endpoint *e, unsigned int len)
{
	struct prefix	p = { .family = e->family, .len = (uint8_t)len };
	unsigned int	i;

	for (i = 0; i < len && i < 128; i += 8)
		p.addr[i / 8] = len - i >= 8 ? e->addr[i / 8] :
		    (uint8_t)(e->addr[i / 8] & (0xff00u >> (len - i)));
	return p;
}

int
prefix_parse(const char *text, struct prefix *out)
{
	char		host[INET6_ADDRSTRLEN];
	const char	*slash = strchr(text, '/');
	struct endpoint	e;
	uint16_t	len;
	size_t		n = slash != NULL ? (size_t)(slash - text) : strlen(text);

	memset(out, 0, sizeof(*out));
	if (n >= sizeof(host))
		return -1;
	memcpy(host, text, n);
	host[n] = '\0';
	if (addr_parse(host, &e) == -1)
		return -1;
	len = (uint16_t)family_bits(e.family);
	if (slash != NULL && (port_parse(slash + 1, &len) == -1 ||
	    len > family_bits(e.family)))
		return -1;
	*out = prefix_of(&e, len);
	if (memcmp(out->addr, e.addr, sizeof(e.addr)) != 0)
		return -1;
	return 0;
}

const char *
prefix_print(const struct prefix *p, char buf[ENDPOINT_STRLEN])
{
	struct endpoint	e = { .family = p->family };
	char		host[ENDPOINT_STRLEN];

	memcpy(e.addr, p->addr, sizeof(e.addr));
	addr_print(&e, host);
	if (p->len == family_bits(p->family))
		snprintf(buf, ENDPOINT_STRLEN, "%.45s", host);
	else
		snprintf(buf, ENDPOINT_STRLEN, "%.45s/%u", host, p->len);
	return buf;
}

bool
prefix_valid(const struct prefix *p)
{
	struct endpoint	e = { .family = p->family };
	struct prefix	q;

	if (family_bits(p->family) == 0 || p->len > family_bits(p->family))
		return false;
	memcpy(e.addr, p->addr, sizeof(e.addr));
	q = prefix_of(&e, p->len);
	return endpoint_valid(&e) && memcmp(q.addr, p->addr, 16) == 0;
}

bool
prefix_contains(const struct prefix *p, const struct endpoint *e)
{
	return p->family == e->family && bits_equal(p->addr, e->addr, p->len);
}

bool
prefix_overlaps(const struct prefix *a, const struct prefix *b)
{
	return a->family == b->family &&
	    bits_equal(a->addr, b->addr, a->len < b->len ? a->len : b->len);
}

bool
addr_is_loopback(const struct endpoint *e)
{
	static const uint8_t	one[16] = { [15] = 1 };

	if (e->family == ADDR_V4)
		return e->addr[0] == 127;
	return e->family == ADDR_V6 && memcmp(e->addr, one, 16) == 0;
}

bool
addr_is_unspecified(const struct endpoint *e)
{
	static const uint8_t	zero[16];

	if (e->family == ADDR_V4)
		return e->addr[0] == 0;
	return e->family == ADDR_V6 && memcmp(e->addr, zero, 16) == 0;
}

bool
addr_is_link_local(const struct endpoint *e)
{
	if (e->family == ADDR_V4)
		return e->addr[0] == 169 && e->addr[1] == 254;
	return e->family == ADDR_V6 && e->addr[0] == 0xfe &&
	    (e->addr[1] & 0xc0) == 0x80;
}

bool
addr_is_multicast(const struct endpoint *e)
{
	if (e->family == ADDR_V4)
		return e->addr[0] >> 4 == 14 || endpoint_u32(e) == UINT32_MAX;
	return e->family == ADDR_V6 && e->addr[0] == 0xff;
}

socklen_t
endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out)
{
	struct sockaddr_in	*in = (struct sockaddr_in *)out;
	struct sockaddr_in6	*in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (e->family == ADDR_V4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(e->port);
		memcpy(&in->sin_addr, e->addr, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(e->port);
	memcpy(&in6->sin6_addr, e->addr, 16);
	return sizeof(*in6);
}

int
endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *out)
{
	const struct sockaddr_in	*in = (const void *)sa;
	const struct sockaddr_in6	*in6 = (const void *)sa;

	memset(out, 0, sizeof(*out));
	if (sa->sa_family == AF_INET) {
		out->family = ADDR_V4;
		out->port = ntohs(in->sin_port);
		memcpy(out->addr, &in->sin_addr, 4);
		return 0;
	}
	if (sa->sa_family != AF_INET6)
		return -1;
	out->family = ADDR_V6;
	out->port = ntohs(in6->sin6_port);
	memcpy(out->addr, &in6->sin6_addr, 16);
	return 0;
}

const char *
proto_name(unsigned int proto)
{
	switch (proto) {
	case PROTO_TCP:
		return "tcp";
	case PROTO_UDP:
		return "udp";
	case PROTO_ECHO:
		return "icmp";
	default:
		return "?";
	}
}
