/*
 * lan.c: the gateway answers for its own addresses, and for those that are nobody's.
 */
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#include <stdlib.h>

#include "bytes.h"
#include "frame_fake.h"
#include "unit.h"

static struct mk	m;
static uint8_t		noise[65536];

/* ---- ARP ---- */

static void
arp(unsigned int op, const char *sender, const char *target)
{
	fake_nsent = 0;
	mk_arp(&m, op, sender, target);
	mk_send(&m);
}

static void
check_arp_reply(const char *for_address, const char *asked)
{
	const struct fake_frame	*f = &fake_sent[0];
	const uint8_t		*a = f->bytes + ETH_LEN;
	struct endpoint		 gw = fake_addr(asked);
	struct endpoint		 to = fake_addr(for_address);

	assert_int_equal(fake_nsent, 1);
	assert_int_equal(f->len, ETH_LEN + 28);
	assert_memory_equal(f->bytes, fake_guest_mac, 6);
	assert_memory_equal(f->bytes + 6, fake_gateway_mac, 6);
	assert_int_equal(get16(f->bytes + 12), ETHERTYPE_ARP);
	assert_int_equal(get16(a + 6), 2);
	assert_memory_equal(a + 8, fake_gateway_mac, 6);
	assert_memory_equal(a + 14, gw.addr, 4);
	assert_memory_equal(a + 18, fake_guest_mac, 6);
	assert_memory_equal(a + 24, to.addr, 4);
}

/* Of the link's net, and where a guest thinks that its link goes further. */
static void
test_arp(void **state)
{
	static const char *const others[] = { "10.0.2.1", "10.0.2.3",
	    "10.0.2.101", "192.0.2.1", "169.254.169.254" };
	static const char *const nobody[] = { "0.0.0.0", "127.0.0.1",
	    "224.0.0.1", "255.255.255.255" };
	size_t			 i;

	(void)state;
	arp(1, GUEST4, GATEWAY4);
	check_arp_reply(GUEST4, GATEWAY4);
	arp(1, "0.0.0.0", GATEWAY4);	/* a probe: it is taken */
	check_arp_reply("0.0.0.0", GATEWAY4);
	arp(1, "0.0.0.0", GUEST4);	/* the guest's own: free */
	assert_int_equal(fake_nsent, 0);
	arp(1, GUEST4, GUEST4);		/* gratuitous */
	assert_int_equal(fake_nsent, 0);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		arp(1, GUEST4, others[i]);
		check_arp_reply(GUEST4, others[i]);
		arp(1, "0.0.0.0", others[i]);	/* a probe: it is free */
		assert_int_equal(fake_nsent, 0);
		arp(2, GUEST4, others[i]);
		assert_int_equal(fake_nsent, 0);
		arp(1, "10.0.2.7", others[i]);	/* not its address */
		assert_int_equal(fake_nsent, 0);
	}
	for (i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		arp(1, GUEST4, nobody[i]);
		assert_int_equal(fake_nsent, 0);
	}
	arp(1, "10.0.2.7", GATEWAY4);
	assert_int_equal(fake_nsent, 0);
	arp(2, GUEST4, GATEWAY4);
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(fake_drops[REASON_MALFORMED], 0);
	memset(&frame.config.v4, 0, sizeof(frame.config.v4));
	arp(1, "0.0.0.0", "0.0.0.0");
	assert_int_equal(fake_nsent, 0);
}

static void
test_arp_malformed(void **state)
{
	static const size_t	at[] = { 0, 2, 4, 5, 8, 9 };
	size_t			i;

	(void)state;
	for (i = 0; i < ETH_LEN + 28; i++) {
		mk_arp(&m, 1, GUEST4, GATEWAY4);
		m.len = i;
		mk_send(&m);
	}
	assert_int_equal(fake_drops[REASON_MALFORMED], ETH_LEN + 28);
	for (i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		mk_arp(&m, 1, GUEST4, GATEWAY4);
		m.bytes[ETH_LEN + at[i]] ^= 0x41;
		mk_send(&m);
	}
	assert_int_equal(fake_drops[REASON_MALFORMED], ETH_LEN + 28 + i);
	assert_int_equal(fake_nsent, 0);
}

static void
test_learn(void **state)
{
	static const uint8_t	other[6] = { 2, 9, 9, 9, 9, 9 };

	(void)state;
	/* fixed by the configuration: a claim changes nothing */
	mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, "x", 1);
	memcpy(m.bytes + 6, other, 6);
	mk_send(&m);
	assert_memory_equal(frame.guest_mac, fake_guest_mac, 6);
	/* not fixed: the last one seen, but no group address */
	memset(frame.config.guest_mac, 0, 6);
	frame.guest_mac_known = false;
	m.bytes[6] = 3;
	mk_send(&m);
	assert_false(frame.guest_mac_known);
	m.bytes[6] = 2;
	mk_send(&m);
	assert_true(frame.guest_mac_known);
	assert_memory_equal(frame.guest_mac, other, 6);
	arp(1, "10.0.2.7", GATEWAY4);
	assert_memory_equal(frame.guest_mac, other, 6);
	arp(1, GUEST4, "10.0.2.3");
	assert_memory_equal(frame.guest_mac, fake_guest_mac, 6);
}

/* ---- NDP ---- */

static void
ns(const char *src, const char *dst, const char *target, bool option)
{
	fake_nsent = 0;
	mk_ns(&m, src, dst, target, option);
	mk_send(&m);
}

static void
check_na(const char *target, const char *to, uint8_t flags)
{
	struct fake_frame	*f = &fake_sent[0];
	const uint8_t		*ip = f->bytes + ETH_LEN, *na = ip + 40;
	struct endpoint		 t = fake_addr(target), d = fake_addr(to);
	struct endpoint		 s = (flags & 0x80) != 0 ? t : fake_addr(GATEWAY6);

	assert_int_equal(fake_nsent, 1);
	check_sent(f);
	assert_int_equal(ip[7], 255);
	assert_memory_equal(ip + 8, s.addr, 16);
	assert_memory_equal(ip + 24, d.addr, 16);
	assert_int_equal(f->len, ETH_LEN + 40 + 32);
	assert_int_equal(na[0], ND_NEIGHBOR_ADVERT);
	assert_int_equal(na[4], flags);
	assert_memory_equal(na + 8, t.addr, 16);
	assert_int_equal(na[24], ND_OPT_TARGET_LINKADDR);
	assert_int_equal(na[25], 1);
	assert_memory_equal(na + 26, fake_gateway_mac, 6);
}

static void
test_ndp(void **state)
{
	static const char *const others[] = { "fd53:616c:6c79::3",
	    "fd53:616c:6c79::101", "2001:db8::1" };
	static const char *const nobody[] = { "::", "::1", "ff02::1",
	    "fe80::1234" };
	size_t			 i;

	(void)state;
	ns(GUEST6, "ff02::1:ff00:2", GATEWAY6, true);
	check_na(GATEWAY6, GUEST6, 0xe0);
	ns(GUEST_LL, "ff02::1:ff00:2", GATEWAY6, true);
	check_na(GATEWAY6, GUEST_LL, 0xe0);
	ns(GUEST_LL, GATEWAY_LL, GATEWAY_LL, true);
	check_na(GATEWAY_LL, GUEST_LL, 0xe0);
	ns(GUEST6, GATEWAY6, GATEWAY6, false);
	check_na(GATEWAY6, GUEST6, 0xe0);
	/* somebody tries to take the gateway's address */
	ns("::", "ff02::1:ff00:2", GATEWAY6, false);
	check_na(GATEWAY6, "ff02::1", 0xa0);
	/* the guest probes for its own */
	ns("::", "ff02::1:ff00:100", GUEST6, false);
	assert_int_equal(fake_nsent, 0);
	ns(GUEST_LL, "ff02::1:ff00:100", GUEST6, false);
	assert_int_equal(fake_nsent, 0);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		ns(GUEST6, "ff02::1:ff00:3", others[i], true);
		check_na(others[i], GUEST6, 0x40);
		ns(GUEST_LL, "ff02::1:ff00:3", others[i], true);
		check_na(others[i], GUEST_LL, 0x40);
		ns("::", "ff02::1:ff00:3", others[i], false);
		assert_int_equal(fake_nsent, 0);
	}
	for (i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		ns(GUEST6, "ff02::1:ff00:3", nobody[i], true);
		assert_int_equal(fake_nsent, 0);
	}
	memset(&frame.config.v6, 0, sizeof(frame.config.v6));
	ns(GUEST_LL, GATEWAY_LL, GATEWAY_LL, true);
	ns(GUEST_LL, "ff02::1:ff00:3", others[0], true);
	ns("::", "ff02::1:ff00:0", "::", false);
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(fake_drops[REASON_MALFORMED], 0);
}

static void
bad_ns(size_t at, uint8_t value, size_t cut)
{
	mk_ns(&m, GUEST6, "ff02::1:ff00:2", GATEWAY6, true);
	m.bytes[at] = value;
	m.len -= cut;
	mk_finish(&m);
	mk_send(&m);
}

static void
test_ndp_malformed(void **state)
{
	size_t	l4 = ETH_LEN + 40, cut, n = 0;

	(void)state;
	bad_ns(l4 + 1, 1, 0);			/* code */
	bad_ns(l4 + 25, 0, 0);			/* option of length 0 */
	bad_ns(l4 + 25, 2, 0);			/* ... beyond the end */
	bad_ns(l4 + 25, 255, 0);
	n += 4;
	for (cut = 1; cut < 32; cut++) {
		if (cut == 8)			/* the option is not needed */
			continue;
		bad_ns(l4 + 25, 1, cut);
		n++;
	}
	/* those without a whole ICMPv6 header are just to a group */
	assert_int_equal(fake_drops[REASON_MALFORMED] +
	    fake_drops[REASON_MULTICAST], n);
	assert_int_equal(fake_drops[REASON_MULTICAST], 7);
	fake_forget();
	/* hop limit 254, straight to the gateway */
	mk_ns(&m, GUEST6, GATEWAY6, GATEWAY6, true);
	m.bytes[ETH_LEN + 7] = 254;
	mk_send(&m);
	/* a probe with a source address option */
	ns("::", "ff02::1:ff00:2", GATEWAY6, true);
	assert_int_equal(fake_drops[REASON_MALFORMED], 2);
	assert_int_equal(fake_nsent, 0);
}

/* Everything else of NDP is heard and not answered. */
static void
test_ndp_silence(void **state)
{
	uint8_t	type;

	(void)state;
	for (type = 133; type <= 137; type++) {
		if (type == ND_NEIGHBOR_SOLICIT)
			continue;
		mk_ns(&m, GUEST_LL, "ff02::2", GATEWAY6, true);
		m.bytes[ETH_LEN + 40] = type;
		mk_finish(&m);
		mk_send(&m);
	}
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(fake_drops[REASON_MULTICAST], 0);
	assert_int_equal(fake_drops[REASON_ICMP_TYPE], 0);
}

/* ---- echo ---- */

static void
check_echo(const char *src, const char *dst, size_t len)
{
	struct fake_frame	*f = &fake_sent[0];
	const uint8_t		*l4 = sent_l4(f), *ip = f->bytes + ETH_LEN;
	struct endpoint		 s = fake_addr(src), d = fake_addr(dst);
	bool			 v6 = s.family == ADDR_V6;

	assert_int_equal(fake_nsent, 1);
	check_sent(f);
	assert_memory_equal(ip + (v6 ? 8 : 12), d.addr, v6 ? 16 : 4);
	assert_memory_equal(ip + (v6 ? 24 : 16), s.addr, v6 ? 16 : 4);
	assert_int_equal(l4[0], v6 ? 129 : 0);
	assert_int_equal(get32(l4 + 4), 0x00070009);
	assert_int_equal(f->len - (size_t)(l4 + 8 - f->bytes), len);
	assert_memory_equal(l4 + 8, noise, len);
}

static void
echo(const char *src, const char *dst, size_t len)
{
	fake_nsent = 0;
	mk_echo(&m, src, dst, strchr(src, ':') != NULL ? 128 : 8, 7, 9, noise,
	    len);
	mk_send(&m);
}

static void
test_echo(void **state)
{
	static const size_t	len[] = { 0, 1, 2, 55, 56, 57, 1471, 1472,
	    65490, 65491, 65492 };
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		echo(GUEST4, GATEWAY4, len[i]);
		check_echo(GUEST4, GATEWAY4, len[i]);
		if (len[i] > 65472)
			continue;
		echo(GUEST6, GATEWAY6, len[i]);
		check_echo(GUEST6, GATEWAY6, len[i]);
	}
	echo(GUEST_LL, GATEWAY_LL, 10);
	check_echo(GUEST_LL, GATEWAY_LL, 10);
	echo(GUEST_LL, GATEWAY6, 10);
	check_echo(GUEST_LL, GATEWAY6, 10);
	echo(GUEST_LL, "2001:db8::1", 10);
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(fake_asked, 0);
	/* a code that no echo has is not an echo */
	mk_echo(&m, GUEST4, GATEWAY4, 8, 7, 9, noise, 10);
	m.bytes[m.l4 + 1] = 1;
	mk_fix_l4(&m);
	mk_send(&m);
	assert_int_equal(fake_nsent, 0);
	assert_int_equal(fake_drops[REASON_ICMP_TYPE], 1);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test_setup(test_arp, fake_reset),
		cmocka_unit_test_setup(test_arp_malformed, fake_reset),
		cmocka_unit_test_setup(test_learn, fake_reset),
		cmocka_unit_test_setup(test_ndp, fake_reset),
		cmocka_unit_test_setup(test_ndp_malformed, fake_reset),
		cmocka_unit_test_setup(test_ndp_silence, fake_reset),
		cmocka_unit_test_setup(test_echo, fake_reset),
	};
	size_t	i;

	for (i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 2654435761u >> 13);
	fake_reset(NULL);
	dgram_room_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
