/*
 * Endpoints and prefixes: the only form in which an address crosses a room.
 *
 * An IPv4 address sits in the first four bytes of `addr`, the rest is zero.
 * Ports are in host byte order. A struct of these types has no padding and
 * every unused byte is zero, so two equal values are equal under memcmp().
 *
 * Text is read by inet_pton(3) only: "127.1", "0x7f000001" and other
 * historical spellings are not addresses here.
 */
#ifndef SALLYPORT_ADDR_H
#define SALLYPORT_ADDR_H

#include <sys/socket.h>

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum addr_family { ADDR_NONE = 0, ADDR_V4 = 4, ADDR_V6 = 6 };

enum proto { PROTO_NONE = 0, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ECHO = 1 };

struct endpoint {
	uint8_t		family;		/* enum addr_family */
	uint8_t		zero;		/* always 0 */
	uint16_t	port;		/* host order; 0 where none applies */
	uint8_t		addr[16];	/* network order */
};
static_assert(sizeof(struct endpoint) == 20, "endpoint has no padding");

struct prefix {
	uint8_t		family;
	uint8_t		len;		/* 0..32 or 0..128 */
	uint8_t		addr[16];	/* host bits are zero */
};
static_assert(sizeof(struct prefix) == 18, "prefix has no padding");

/* Longest text of an endpoint, "[v6]:port" and the NUL. */
#define ENDPOINT_STRLEN	56

/* "192.0.2.1" or "2001:db8::1"; the port becomes 0. 0, or -1. */
int	addr_parse(const char *text, struct endpoint *out);
/* "192.0.2.1:80" or "[2001:db8::1]:80". 0, or -1. */
int	endpoint_parse(const char *text, struct endpoint *out);
/* The address without its port; returns `buf`. */
const char *addr_print(const struct endpoint *, char buf[ENDPOINT_STRLEN]);
const char *endpoint_print(const struct endpoint *, char buf[ENDPOINT_STRLEN]);

/* True if family, unused bytes and (for ADDR_V4) the tail are well-formed. */
bool	endpoint_valid(const struct endpoint *);
bool	endpoint_equal(const struct endpoint *, const struct endpoint *);
bool	addr_equal(const struct endpoint *, const struct endpoint *);
int	addr_compare(const struct endpoint *, const struct endpoint *);
struct endpoint endpoint_v4(uint32_t host_order, uint16_t port);
struct endpoint endpoint_v6(const uint8_t addr[16], uint16_t port);
uint32_t endpoint_u32(const struct endpoint *);	/* v4, host order */

/* ::ffff:a.b.c.d becomes a.b.c.d; everything else is returned unchanged. */
struct endpoint endpoint_canonical(struct endpoint);

/* "10.0.0.0/8" or a bare address (full length). Host bits set = -1. */
int	prefix_parse(const char *text, struct prefix *out);
const char *prefix_print(const struct prefix *, char buf[ENDPOINT_STRLEN]);
bool	prefix_valid(const struct prefix *);
bool	prefix_contains(const struct prefix *, const struct endpoint *);
bool	prefix_overlaps(const struct prefix *, const struct prefix *);
/* The address with its host bits cleared. */
struct prefix prefix_of(const struct endpoint *, unsigned int len);

bool	addr_is_loopback(const struct endpoint *);	/* 127/8, ::1 */
bool	addr_is_unspecified(const struct endpoint *);	/* 0/8, :: */
bool	addr_is_link_local(const struct endpoint *);	/* 169.254/16, fe80::/10 */
bool	addr_is_multicast(const struct endpoint *);	/* 224/4, ff00::/8, 255.255.255.255 */

socklen_t endpoint_to_sockaddr(const struct endpoint *,
	    struct sockaddr_storage *out);
int	endpoint_from_sockaddr(const struct sockaddr *, struct endpoint *out);

const char *proto_name(unsigned int proto);	/* "tcp", "udp", "icmp", "?" */

#endif
