/*
 * packet.c, csum.c, output.c: nothing that a hostile frame says about itself is
 * believed, checksums are exact, and what we make is whole.
 */
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include <stdlib.h>

#include "bytes.h"
#include "frame_fake.h"
#include "unit.h"

#define NELEM(a)	(sizeof(a) / sizeof((a)[0]))

static struct mk	m;
static uint8_t		noise[65536];

static enum reason
parse(const struct mk *k, size_t len, struct packet *out)
{
	struct rxbuf	*b = fake_rx(k->bytes, len);
	enum reason	 r = packet_parse(b, out);

	free(b);
	return r;
}

static enum reason
reason_of(const struct mk *k)
{
	struct packet	p;

	return parse(k, k->len, &p);
}

/* ---- the checksum ---- */

static void
test_csum_property(void **state)
{
	uint32_t	seed = 1;
	size_t		i, off, len;
	uint64_t	sum;
	uint16_t	got;

	(void)state;
	for (i = 0; i < 4000; i++) {
		seed = seed * 1664525 + 1013904223;
		off = (seed >> 8) % 67;
		len = i < 300 ? i : (seed >> 12) % 2000;
		sum = csum_add(0, noise + off, len);
		got = htons(csum_fold(sum));
		assert_int_equal(got, naive_csum(0, noise + off, len));
	}
	/* the longest packet of the highest words does not overflow a lane */
	memset(m.bytes, 0xff, 65535);
	assert_int_equal(htons(csum_fold(csum_add(0, m.bytes, 65535))),
	    naive_csum(0, m.bytes, 65535));
}

static void
test_csum_iov(void **state)
{
	struct iovec	iov[5];
	uint32_t	seed = 99;
	size_t		total, len;
	unsigned int	i, turn;

	(void)state;
	for (turn = 0; turn < 2000; turn++) {
		for (total = 0, i = 0; i < NELEM(iov); i++) {
			seed = seed * 1664525 + 1013904223;
			len = (seed >> 10) % 40;
			iov[i].iov_base = noise + total;
			iov[i].iov_len = len;
			total += len;
		}
		assert_int_equal(htons(csum_fold(csum_iov(0, iov, 5))),
		    naive_csum(0, noise, total));
	}
}

static void
test_csum_fold(void **state)
{
	(void)state;
	assert_int_equal(csum_fold(0), 0);
	assert_int_equal(csum_fold(0xffff), 0xffff);
	assert_int_equal(csum_fold(0x10000), 1);
	assert_int_equal(csum_fold(UINT64_MAX), 0xffff);
	assert_int_equal(csum_fold(UINT64_C(0xffffffff00000001)), 1);
}

/* ---- good packets ---- */

static void
make_kind(unsigned int kind)
{
	static const char	hello[] = "hello, world";

	switch (kind) {
	case 0:
		mk_udp(&m, GUEST4, 1000, "192.0.2.1", 53, hello, 12);
		break;
	case 1:
		mk_udp(&m, GUEST6, 1000, "2001:db8::1", 53, hello, 11);
		break;
	case 2:
		mk_tcp(&m, GUEST4, 1000, "192.0.2.1", 80, 5);
		break;
	case 3:
		mk_tcp(&m, GUEST6, 1000, "2001:db8::1", 80, 6);
		break;
	case 4:
		mk_echo(&m, GUEST4, "192.0.2.1", 8, 7, 1, hello, 12);
		break;
	case 5:
		mk_echo(&m, GUEST6, "2001:db8::1", 128, 7, 1, hello, 12);
		break;
	default:
		mk_ns(&m, GUEST_LL, "ff02::1:ff00:2", GATEWAY6, true);
	}
}
#define KINDS	7

static void
test_good(void **state)
{
	struct packet	p;
	unsigned int	kind;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		make_kind(kind);
		assert_int_equal(parse(&m, m.len, &p), REASON_NONE);
		assert_int_equal(p.ip_len, m.len - ETH_LEN);
		assert_int_equal(p.v6, m.v6);
		assert_int_equal(p.ip_proto, m.proto);
		assert_int_equal(p.l4_len, m.len - m.l4);
		if (kind < 4) {
			assert_int_equal(p.src.port, 1000);
			assert_int_equal(p.dst.port, kind < 2 ? 53 : 80);
		}
		/* padding behind the packet is not part of it */
		mk_add(&m, noise, 46);
		assert_int_equal(parse(&m, m.len, &p), REASON_NONE);
		assert_int_equal(p.l4_len, m.len - 46 - m.l4);
	}
}

/* Every kind cut at every length is malformed, and nothing beyond is read. */
static void
test_truncated(void **state)
{
	struct packet	p;
	unsigned int	kind;
	size_t		len;

	(void)state;
	for (kind = 0; kind < KINDS; kind++) {
		make_kind(kind);
		for (len = 0; len < m.len; len++)
			assert_int_equal(parse(&m, len, &p), REASON_MALFORMED);
	}
}

/* As before, but the IP header agrees with what is left. */
static void
test_truncated_l4(void **state)
{
	struct packet	p;
	unsigned int	kind;
	size_t		len, whole;

	(void)state;
	for (kind = 0; kind < 6; kind++) {
		make_kind(kind);
		whole = m.len;
		for (len = m.l4; len < whole; len++) {
			m.len = len;
			if (m.v6)
				put16(m.bytes + m.ip + 4,
				    (unsigned int)(len - m.l4));
			else
				put16(m.bytes + m.ip + 2,
				    (unsigned int)(len - m.ip));
			mk_fix_ip(&m);
			assert_int_not_equal(parse(&m, len, &p), REASON_NONE);
		}
	}
}

/* ---- lies ---- */

#define IP	ETH_LEN
#define L4V4	(ETH_LEN + 20)
#define L4V6	(ETH_LEN + 40)

static const struct lie {
	const char	*name;
	unsigned int	 kind;
	size_t		 at;
	unsigned int	 width;
	uint32_t	 value;
	bool		 fix_ip, fix_l4;
	enum reason	 want;
} lies[] = {
	{ "v4 version 6", 0, IP, 1, 0x65, 1, 0, REASON_MALFORMED },
	{ "v4 version 0", 0, IP, 1, 0x05, 1, 0, REASON_MALFORMED },
	{ "v4 header 4 words", 0, IP, 1, 0x44, 1, 0, REASON_MALFORMED },
	{ "v4 header 0 words", 0, IP, 1, 0x40, 1, 0, REASON_MALFORMED },
	{ "v4 header beyond", 0, IP, 1, 0x4f, 0, 0, REASON_MALFORMED },
	{ "v4 total 0", 0, IP + 2, 2, 0, 1, 0, REASON_MALFORMED },
	{ "v4 total 19", 0, IP + 2, 2, 19, 1, 0, REASON_MALFORMED },
	{ "v4 total 20", 0, IP + 2, 2, 20, 1, 0, REASON_MALFORMED },
	{ "v4 total beyond", 0, IP + 2, 2, 41, 1, 0, REASON_MALFORMED },
	{ "v4 total max", 0, IP + 2, 2, 65535, 1, 0, REASON_MALFORMED },
	{ "v4 bad sum", 0, IP + 10, 2, 0x1234, 0, 0, REASON_BAD_CHECKSUM },
	{ "v4 more fragments", 0, IP + 6, 2, 0x2000, 1, 0, REASON_FRAGMENT },
	{ "v4 offset 1", 0, IP + 6, 2, 1, 1, 0, REASON_FRAGMENT },
	{ "v4 last offset", 0, IP + 6, 2, 0x1fff, 1, 0, REASON_FRAGMENT },
	{ "v4 don't fragment", 0, IP + 6, 2, 0x4000, 1, 0, REASON_NONE },
	{ "v4 reserved bit", 0, IP + 6, 2, 0x8000, 1, 0, REASON_NONE },
	{ "v4 stranger", 0, IP + 15, 1, 101, 1, 1, REASON_SPOOFED_SOURCE },
	{ "v4 source 0", 0, IP + 12, 4, 0, 1, 1, REASON_SPOOFED_SOURCE },
	{ "v4 multicast", 0, IP + 16, 4, 0xe00000fb, 1, 1, REASON_MULTICAST },
	{ "v4 broadcast", 0, IP + 16, 4, 0xffffffff, 1, 1, REASON_MULTICAST },
	{ "v4 subnet", 0, IP + 16, 4, 0x0a0002ff, 1, 1, REASON_MULTICAST },
	{ "v4 to itself", 0, IP + 16, 4, 0x0a000264, 1, 1, REASON_MALFORMED },
	{ "v4 to all by MAC", 0, 0, 1, 0xff, 0, 0, REASON_MULTICAST },
	{ "v4 SCTP", 0, IP + 9, 1, 132, 1, 0, REASON_PROTO_UNSUPPORTED },
	{ "v4 ICMPv6", 0, IP + 9, 1, 58, 1, 0, REASON_PROTO_UNSUPPORTED },
	{ "v4 IPv4 in it", 0, IP + 9, 1, 4, 1, 0, REASON_PROTO_UNSUPPORTED },
	{ "UDP length 0", 0, L4V4 + 4, 2, 0, 0, 1, REASON_MALFORMED },
	{ "UDP length 7", 0, L4V4 + 4, 2, 7, 0, 1, REASON_MALFORMED },
	{ "UDP length beyond", 0, L4V4 + 4, 2, 21, 0, 1, REASON_MALFORMED },
	{ "UDP length max", 0, L4V4 + 4, 2, 65535, 0, 1, REASON_MALFORMED },
	{ "UDP from port 0", 0, L4V4, 2, 0, 0, 1, REASON_MALFORMED },
	{ "UDP to port 0", 0, L4V4 + 2, 2, 0, 0, 1, REASON_MALFORMED },
	{ "UDP ports 0", 0, L4V4, 4, 0, 0, 1, REASON_MALFORMED },
	{ "UDP bad sum", 0, L4V4 + 9, 1, 0, 0, 0, REASON_BAD_CHECKSUM },
	{ "UDP no sum", 0, L4V4 + 6, 2, 0, 0, 0, REASON_NONE },
	{ "v6 version 4", 1, IP, 1, 0x45, 0, 0, REASON_MALFORMED },
	{ "v6 payload beyond", 1, IP + 4, 2, 20, 0, 0, REASON_MALFORMED },
	{ "v6 payload max", 1, IP + 4, 2, 65535, 0, 0, REASON_MALFORMED },
	{ "v6 payload 0", 1, IP + 4, 2, 0, 0, 0, REASON_MALFORMED },
	{ "v6 payload 7", 1, IP + 4, 2, 7, 0, 0, REASON_MALFORMED },
	{ "v6 stranger", 1, IP + 22, 1, 9, 0, 1, REASON_SPOOFED_SOURCE },
	{ "v6 multicast", 1, IP + 24, 2, 0xff02, 0, 1, REASON_MULTICAST },
	{ "v6 no next header", 1, IP + 6, 1, 59, 0, 0, REASON_PROTO_UNSUPPORTED },
	{ "v6 ESP", 1, IP + 6, 1, 50, 0, 0, REASON_PROTO_UNSUPPORTED },
	{ "v6 ICMP", 1, IP + 6, 1, 1, 0, 0, REASON_PROTO_UNSUPPORTED },
	{ "v6 fragment", 1, IP + 6, 1, 44, 0, 0, REASON_FRAGMENT },
	{ "v6 UDP no sum", 1, L4V6 + 6, 2, 0, 0, 0, REASON_BAD_CHECKSUM },
	{ "v6 UDP length 0", 1, L4V6 + 4, 2, 0, 0, 1, REASON_MALFORMED },
	{ "v6 UDP length 20", 1, L4V6 + 4, 2, 20, 0, 1, REASON_MALFORMED },
	{ "TCP header 4 words", 2, L4V4 + 12, 1, 0x40, 0, 1, REASON_MALFORMED },
	{ "TCP header 0", 2, L4V4 + 12, 1, 0, 0, 1, REASON_MALFORMED },
	{ "TCP header beyond", 2, L4V4 + 12, 1, 0x70, 0, 1, REASON_MALFORMED },
	{ "TCP header to the end", 2, L4V4 + 12, 1, 0x60, 0, 1, REASON_NONE },
	{ "TCP from port 0", 2, L4V4, 2, 0, 0, 1, REASON_MALFORMED },
	{ "TCP to port 0", 2, L4V4 + 2, 2, 0, 0, 1, REASON_MALFORMED },
	{ "TCP bad sum", 2, L4V4 + 16, 2, 1, 0, 0, REASON_BAD_CHECKSUM },
	{ "v6 TCP header beyond", 3, L4V6 + 12, 1, 0x70, 0, 1, REASON_MALFORMED },
	{ "v6 TCP bad sum", 3, L4V6 + 16, 2, 1, 0, 0, REASON_BAD_CHECKSUM },
	{ "ICMP bad sum", 4, L4V4 + 2, 2, 1, 0, 0, REASON_BAD_CHECKSUM },
	{ "v6 echo bad sum", 5, L4V6 + 2, 2, 1, 0, 0, REASON_BAD_CHECKSUM },
	{ "v6 echo, link-local", 5, IP + 8, 2, 0xfe80, 0, 1, REASON_SPOOFED_SOURCE },
	{ "NS across a router", 6, IP + 7, 1, 254, 0, 0, REASON_MULTICAST },
	{ "NS bad sum", 6, L4V6 + 2, 2, 1, 0, 0, REASON_BAD_CHECKSUM },
};

static void
apply(const struct lie *l)
{
	make_kind(l->kind);
	if (l->width == 1)
		m.bytes[l->at] = (uint8_t)l->value;
	else if (l->width == 2)
		put16(m.bytes + l->at, l->value);
	else
		put32(m.bytes + l->at, l->value);
	if (l->fix_ip)
		mk_fix_ip(&m);
	if (l->fix_l4)
		mk_fix_l4(&m);
}

static void
test_lies(void **state)
{
	size_t		i;
	enum reason	got;

	(void)state;
	for (i = 0; i < NELEM(lies); i++) {
		apply(&lies[i]);
		got = reason_of(&m);
		if (got != lies[i].want)
			fail_msg("%s: %s, not %s", lies[i].name,
			    reason_name(got), reason_name(lies[i].want));
	}
}

static void
test_v4_options(void **state)
{
	struct packet	p;
	uint8_t		saved[64];
	size_t		n, words;

	(void)state;
	for (words = 1; words <= 10; words++) {
		make_kind(0);
		n = m.len - m.l4;
		memcpy(saved, m.bytes + m.l4, n);
		m.bytes[m.ip] = (uint8_t)(0x45 + words);
		memset(m.bytes + m.l4, 1, words * 4);
		m.len = m.l4 = m.l4 + words * 4;
		mk_add(&m, saved, n);
		mk_finish(&m);
		assert_int_equal(parse(&m, m.len, &p), REASON_NONE);
		assert_int_equal(p.dst.port, 53);
		assert_int_equal(p.l4_len, 20);
	}
}

/* ---- IPv6 extension headers ---- */

/* UDP behind the headers in `ext`; the first one's type is `first`. */
static enum reason
with_headers(uint8_t first, const uint8_t *ext, size_t len)
{
	uint8_t		udp[8] = { 3, 232, 0, 53, 0, 8, 0, 0 };

	mk_ip(&m, GUEST6, "2001:db8::1", IPPROTO_UDP);
	m.bytes[m.ip + 6] = first;
	mk_add(&m, ext, len);
	m.l4 = m.len;
	mk_add(&m, udp, sizeof(udp));
	mk_finish(&m);
	return reason_of(&m);
}

static void
test_extensions(void **state)
{
	static const uint8_t	pad[] = { 17, 0, 1, 4, 0, 0, 0, 0 };
	static const uint8_t	pad1[] = { 17, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t	over[] = { 17, 0, 1, 5, 0, 0, 0, 0 };
	static const uint8_t	cut[] = { 17, 0, 0, 0, 0, 0, 0, 1 };
	static const uint8_t	skip[] = { 17, 0, 0x1e, 4, 0, 0, 0, 0 };
	static const uint8_t	drop[] = { 17, 0, 0x5e, 4, 0, 0, 0, 0 };
	static const uint8_t	jumbo[] = { 17, 0, 0xc2, 4, 0, 1, 0, 0 };
	static const uint8_t	far[] = { 17, 2, 1, 4, 0, 0, 0, 0 };
	static const uint8_t	max[] = { 17, 255, 1, 4, 0, 0, 0, 0 };
	static const uint8_t	route[] = { 17, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t	route1[] = { 17, 0, 0, 1, 0, 0, 0, 0 };
	static const uint8_t	frag[] = { 44, 0, 1, 4, 0, 0, 0, 0,
	    17, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t	hop2[] = { 0, 0, 1, 4, 0, 0, 0, 0,
	    17, 0, 1, 4, 0, 0, 0, 0 };

	(void)state;
	assert_int_equal(with_headers(0, pad, 8), REASON_NONE);
	assert_int_equal(with_headers(60, pad, 8), REASON_NONE);
	assert_int_equal(with_headers(0, pad1, 8), REASON_NONE);
	assert_int_equal(with_headers(0, over, 8), REASON_MALFORMED);
	assert_int_equal(with_headers(0, cut, 8), REASON_MALFORMED);
	assert_int_equal(with_headers(60, skip, 8), REASON_NONE);
	assert_int_equal(with_headers(60, drop, 8), REASON_PROTO_UNSUPPORTED);
	assert_int_equal(with_headers(0, jumbo, 8), REASON_PROTO_UNSUPPORTED);
	assert_int_equal(with_headers(0, far, 8), REASON_MALFORMED);
	assert_int_equal(with_headers(60, max, 8), REASON_MALFORMED);
	assert_int_equal(with_headers(43, route, 8), REASON_NONE);
	assert_int_equal(with_headers(43, route1, 8),
	    REASON_PROTO_UNSUPPORTED);
	assert_int_equal(with_headers(60, frag, 16), REASON_FRAGMENT);
	assert_int_equal(with_headers(0, hop2, 16), REASON_MALFORMED);
}

static void
test_extension_count(void **state)
{
	uint8_t		chain[12 * 8];
	unsigned int	i, n;

	(void)state;
	for (n = 1; n <= 12; n++) {
		memset(chain, 0, sizeof(chain));
		for (i = 0; i < n; i++) {
			chain[i * 8] = i + 1 == n ? 17 : 60;
			chain[i * 8 + 2] = 1;
			chain[i * 8 + 3] = 4;
		}
		assert_int_equal(with_headers(60, chain, n * 8),
		    n <= 8 ? REASON_NONE : REASON_MALFORMED);
	}
}

/* ---- checksums that are not to be verified ---- */

static enum reason
parse_flags(bool needs, bool valid, uint16_t gso)
{
	struct rxbuf	*b = fake_rx(m.bytes, m.len);
	struct packet	 p;
	enum reason	 r;

	b->needs_csum = needs;
	b->csum_valid = valid;
	b->gso_size = gso;
	r = packet_parse(b, &p);
	free(b);
	return r;
}

static void
test_trust(void **state)
{
	(void)state;
	make_kind(2);
	put16(m.bytes + L4V4 + 16, 0xdead);
	assert_int_equal(parse_flags(0, 0, 0), REASON_BAD_CHECKSUM);
	assert_int_equal(parse_flags(1, 0, 0), REASON_NONE);
	assert_int_equal(parse_flags(0, 1, 0), REASON_NONE);
	assert_int_equal(parse_flags(1, 0, 1400), REASON_NONE);
	frame.config.flags |= LINK_TRUST_CSUM;
	assert_int_equal(parse_flags(0, 0, 0), REASON_NONE);
	/* segmentation was never offered for UDP */
	make_kind(0);
	assert_int_equal(parse_flags(1, 0, 1400), REASON_MALFORMED);
}

static void
test_family_off(void **state)
{
	(void)state;
	/* nobody may be nobody but a probe for an address */
	mk_echo(&m, "::", "2001:db8::1", 128, 7, 1, noise, 4);
	assert_int_equal(reason_of(&m), REASON_SPOOFED_SOURCE);
	memset(&frame.config.v6, 0, sizeof(frame.config.v6));
	make_kind(1);
	assert_int_equal(reason_of(&m), REASON_SPOOFED_SOURCE);
	memset(&frame.config.v4, 0, sizeof(frame.config.v4));
	make_kind(0);
	assert_int_equal(reason_of(&m), REASON_SPOOFED_SOURCE);
	mk_udp(&m, "0.0.0.0", 68, "192.0.2.1", 67, "x", 1);
	assert_int_equal(reason_of(&m), REASON_SPOOFED_SOURCE);
}

/* ---- where packets go ---- */

static void
test_input(void **state)
{
	(void)state;
	make_kind(2);
	mk_send(&m);
	assert_int_equal(fake_tcp, 1);
	make_kind(0);
	mk_send(&m);
	assert_int_equal(fake_asked, 1);
	make_kind(4);
	mk_send(&m);
	assert_int_equal(fake_asked, 2);
	/* other ICMP is counted and stays unanswered */
	mk_echo(&m, GUEST4, "192.0.2.1", 13, 7, 1, noise, 20);
	mk_send(&m);
	mk_echo(&m, GUEST4, GATEWAY4, 3, 7, 1, noise, 28);
	mk_send(&m);
	assert_int_equal(fake_drops[REASON_ICMP_TYPE], 2);
	/* LLDP, VLAN */
	put16(m.bytes + 12, 0x88cc);
	mk_send(&m);
	put16(m.bytes + 12, 0x8100);
	mk_send(&m);
	assert_int_equal(fake_drops[REASON_PROTO_UNSUPPORTED], 2);
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(fake_released, 7);
}

static void
test_unsupported_is_denied(void **state)
{
	(void)state;
	mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, noise, 40);
	m.bytes[m.ip + 9] = 132;
	mk_fix_ip(&m);
	mk_send(&m);
	assert_int_equal(fake_nsent, 1);
	check_sent(&fake_sent[0]);
	assert_int_equal(sent_l4(&fake_sent[0])[0], 3);
	assert_int_equal(sent_l4(&fake_sent[0])[1], 13);
	/* ... but not to a stranger, and not to an option that we don't know */
	put32(m.bytes + m.ip + 12, 0x0a000207);
	mk_fix_ip(&m);
	mk_send(&m);
	assert_int_equal(fake_nsent, 1);
	assert_int_equal(fake_drops[REASON_SPOOFED_SOURCE], 1);
}

/* Random bytes behind a good start: no crash, and always one release. */
static void
test_noise(void **state)
{
	uint32_t	seed = 5;
	unsigned int	i, j;

	(void)state;
	for (i = 0; i < 20000; i++) {
		make_kind(i % KINDS);
		for (j = 0; j < 4; j++) {
			seed = seed * 1664525 + 1013904223;
			m.bytes[12 + (seed >> 8) % (m.len - 12)] =
			    (uint8_t)(seed >> 24);
		}
		if (i % 2 == 0) {
			mk_fix_ip(&m);
			mk_fix_l4(&m);
		}
		fake_nsent = 0;
		mk_send(&m);
		assert_int_equal(fake_released, i + 1);
	}
}

/* ---- packet_send ---- */

static void
send_udp(bool v6, size_t len, size_t cut)
{
	struct endpoint	src = fake_addr(v6 ? "2001:db8::1" : "192.0.2.1");
	struct endpoint	dst = fake_addr(v6 ? GUEST6 : GUEST4);
	uint8_t		h[8] = { 0, 9, 0, 10 };
	struct iovec	iov[3] = { { h, 8 }, { noise, cut },
	    { noise + cut, len - cut } };

	put16(h + 4, (unsigned int)(8 + len));
	fake_nsent = 0;
	assert_int_equal(packet_send(&src, &dst, IPPROTO_UDP, iov, 3, 6), 0);
}

static void
test_send(void **state)
{
	size_t	len;

	(void)state;
	for (len = 0; len < 70; len++) {
		fake_csum = len % 2 == 0;
		send_udp(len % 3 == 0, len, len / 2);
		assert_int_equal(fake_nsent, 1);
		assert_int_equal(fake_sent[0].off.csum, fake_csum);
		check_sent(&fake_sent[0]);
		assert_memory_equal(sent_l4(&fake_sent[0]) + 8, noise, len);
	}
}

/* The sum that comes out as zero is sent as its other zero (RFC 768). */
static void
test_send_zero_sum(void **state)
{
	uint8_t		saved[2];
	unsigned int	v, zero = 0;

	(void)state;
	memcpy(saved, noise, 2);
	for (v = 0; v < 65536; v++) {
		put16(noise, v);
		send_udp(true, 2, 1);
		assert_int_not_equal(get16(sent_l4(&fake_sent[0]) + 6), 0);
		zero += get16(sent_l4(&fake_sent[0]) + 6) == 0xffff;
	}
	assert_true(zero > 0);
	memcpy(noise, saved, 2);
}

/* Puts the fragments together again and compares. */
static void
check_fragments(bool v6, size_t len)
{
	static uint8_t	whole[65536];
	const uint8_t	*ip, *data;
	size_t		 at, part, total = 0;
	unsigned int	 i, word;

	for (i = 0; i < fake_nsent; i++) {
		ip = fake_sent[i].bytes + ETH_LEN;
		data = sent_l4(&fake_sent[i]) + (v6 ? 8 : 0);
		word = get16(v6 ? ip + 42 : ip + 6);
		at = v6 ? word & 0xfff8u : (word & 0x1fffu) * 8;
		part = fake_sent[i].len - (size_t)(data - fake_sent[i].bytes);
		assert_int_equal(at, total);
		assert_int_equal((word & (v6 ? 1 : 0x2000)) != 0,
		    i + 1 < fake_nsent);
		if (v6) {
			assert_int_equal(ip[6], 44);
			assert_int_equal(ip[40], 17);
			assert_memory_equal(ip + 44, fake_sent[0].bytes +
			    ETH_LEN + 44, 4);
		} else
			assert_int_equal(naive_csum(0, ip, 20), 0xffff);
		memcpy(whole + at, data, part);
		total += part;
	}
	assert_int_equal(total, 8 + len);
	assert_memory_equal(whole + 8, noise, len);
	assert_int_not_equal(get16(whole + 6), 0);
}

static void
test_fragments(void **state)
{
	static const uint32_t	mtu[] = { 1280, 1281, 1500, 9000, 65520 };
	size_t			i, len;
	bool			v6;

	(void)state;
	fake_csum = true;
	for (i = 0; i < NELEM(mtu); i++) {
		frame.config.mtu = mtu[i];
		for (len = mtu[i] - 60; len < mtu[i] + 60; len++) {
			v6 = len % 2 == 0;
			if (len > (v6 ? 65527u : 65507u))
				continue;
			send_udp(v6, len, 3);
			if (8 + len + (v6 ? 40 : 20) <= mtu[i])
				assert_int_equal(fake_nsent, 1);
			else
				check_fragments(v6, len);
		}
		send_udp(false, 65507, 1);
		check_fragments(false, 65507);
		send_udp(true, 65527, 65527);
		check_fragments(true, 65527);
	}
}

static void
test_send_refuses(void **state)
{
	struct endpoint	src = fake_addr("192.0.2.1"), dst = fake_addr(GUEST4);
	uint8_t		h[8] = { 0 };
	struct iovec	iov[2] = { { h, 8 }, { noise, 65508 } };

	(void)state;
	assert_int_equal(packet_send(&src, &dst, IPPROTO_UDP, iov, 2, 6), -1);
	iov[1].iov_len = 1;
	frame.guest_mac_known = false;
	assert_int_equal(packet_send(&src, &dst, IPPROTO_UDP, iov, 2, 6), -1);
	frame.guest_mac_known = true;
	fake_link_full = true;
	assert_int_equal(packet_send(&src, &dst, IPPROTO_UDP, iov, 2, 6), -1);
	assert_int_equal(fake_nsent, 0);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(test_csum_property),
		cmocka_unit_test(test_csum_iov),
		cmocka_unit_test(test_csum_fold),
		cmocka_unit_test_setup(test_good, fake_reset),
		cmocka_unit_test_setup(test_truncated, fake_reset),
		cmocka_unit_test_setup(test_truncated_l4, fake_reset),
		cmocka_unit_test_setup(test_lies, fake_reset),
		cmocka_unit_test_setup(test_v4_options, fake_reset),
		cmocka_unit_test_setup(test_extensions, fake_reset),
		cmocka_unit_test_setup(test_extension_count, fake_reset),
		cmocka_unit_test_setup(test_trust, fake_reset),
		cmocka_unit_test_setup(test_family_off, fake_reset),
		cmocka_unit_test_setup(test_input, fake_reset),
		cmocka_unit_test_setup(test_unsupported_is_denied, fake_reset),
		cmocka_unit_test_setup(test_noise, fake_reset),
		cmocka_unit_test_setup(test_send, fake_reset),
		cmocka_unit_test_setup(test_send_zero_sum, fake_reset),
		cmocka_unit_test_setup(test_fragments, fake_reset),
		cmocka_unit_test_setup(test_send_refuses, fake_reset),
	};
	size_t	i;

	for (i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 2654435761u >> 13);
	fake_reset(NULL);
	dgram_room_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
