/*
 * icmp.c: the right code for each refusal, no more quoted than allowed, none
 * about what must not be answered, and not without limit.
 */
#include <netinet/in.h>

#include <stdlib.h>

#include "bytes.h"
#include "frame_fake.h"
#include "unit.h"

static struct mk	m;
static uint8_t		noise[65536];

static void
deny(enum deny_code code)
{
	fake_nsent = 0;
	frame.now_ms += 10;
	icmp_deny(code, m.bytes + m.ip, m.len - m.ip);
}

static void
check_error(uint8_t type, uint8_t code, size_t quoted)
{
	struct fake_frame	*f = &fake_sent[0];
	const uint8_t		*ip = f->bytes + ETH_LEN, *l4 = sent_l4(f);
	struct endpoint		 gw = fake_addr(m.v6 ? GATEWAY6 : GATEWAY4);

	assert_int_equal(fake_nsent, 1);
	check_sent(f);
	assert_memory_equal(ip + (m.v6 ? 8 : 12), gw.addr, m.v6 ? 16 : 4);
	assert_memory_equal(ip + (m.v6 ? 24 : 16),
	    m.bytes + m.ip + (m.v6 ? 8 : 12), m.v6 ? 16 : 4);
	assert_int_equal(l4[0], type);
	assert_int_equal(l4[1], code);
	assert_int_equal(get32(l4 + 4), 0);
	assert_int_equal(f->len - (size_t)(l4 + 8 - f->bytes), quoted);
	assert_memory_equal(l4 + 8, m.bytes + m.ip, quoted);
}

static void
test_codes(void **state)
{
	static const struct {
		enum deny_code	code;
		uint8_t		code4, code6;
	} table[] = {
		{ DENY_RESET, 3, 4 }, { DENY_ADMIN, 13, 1 },
		{ DENY_HOST, 1, 3 }, { DENY_NET, 0, 0 },
	};
	size_t	i;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, noise, 10);
		deny(table[i].code);
		check_error(3, table[i].code4, 38);
		mk_tcp(&m, GUEST6, 9, "2001:db8::1", 9, 0);
		deny(table[i].code);
		check_error(1, table[i].code6, 60);
	}
	deny(DENY_SILENT);
	assert_int_equal(fake_nsent, 0);
	icmp_port_unreachable(m.bytes + m.ip, m.len - m.ip);
	check_error(1, 4, 60);
}

static void
test_quote(void **state)
{
	(void)state;
	mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, noise, 520);
	deny(DENY_ADMIN);
	check_error(3, 13, 548);
	mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, noise, 60000);
	deny(DENY_ADMIN);
	check_error(3, 13, 548);
	mk_udp(&m, GUEST6, 9, "2001:db8::1", 9, noise, 60000);
	deny(DENY_ADMIN);
	check_error(1, 1, 1232);
	assert_int_equal(fake_sent[0].len, ETH_LEN + 1280);
	mk_echo(&m, GUEST4, "192.0.2.1", 8, 1, 1, noise, 56);
	deny(DENY_ADMIN);
	check_error(3, 13, 84);
	mk_echo(&m, GUEST6, "2001:db8::1", 128, 1, 1, noise, 56);
	deny(DENY_ADMIN);
	check_error(1, 1, 104);
}

static void
test_silence(void **state)
{
	static const struct {
		const char	*src, *dst;
	} pairs[] = {
		{ GUEST4, "224.0.0.251" }, { GUEST4, "255.255.255.255" },
		{ GUEST6, "ff02::fb" }, { "10.0.2.7", "192.0.2.1" },
		{ "0.0.0.0", "192.0.2.1" }, { GUEST_LL, "2001:db8::1" },
	};
	unsigned int	type;
	size_t		i;

	(void)state;
	for (type = 0; type < 256; type++) {
		mk_echo(&m, GUEST4, "192.0.2.1", (uint8_t)type, 1, 1, noise,
		    40);
		deny(DENY_ADMIN);
		assert_int_equal(fake_nsent, type == 8);
		mk_echo(&m, GUEST6, "2001:db8::1", (uint8_t)type, 1, 1, noise,
		    40);
		deny(DENY_ADMIN);
		assert_int_equal(fake_nsent, type == 128);
	}
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		mk_udp(&m, pairs[i].src, 9, pairs[i].dst, 9, noise, 10);
		deny(DENY_ADMIN);
		assert_int_equal(fake_nsent, 0);
	}
	mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, noise, 10);
	put16(m.bytes + m.ip + 6, 3);		/* a later fragment */
	deny(DENY_ADMIN);
	assert_int_equal(fake_nsent, 0);
}

static void
test_short(void **state)
{
	size_t	len, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		mk_udp(&m, i == 0 ? GUEST4 : GUEST6, 9,
		    i == 0 ? "192.0.2.1" : "2001:db8::1", 9, noise, 0);
		for (len = 0; len < m.len - m.ip; len++) {
			uint8_t	*copy = malloc(len + 1);

			memcpy(copy, m.bytes + m.ip, len);
			fake_nsent = 0;
			icmp_deny(DENY_ADMIN, copy, len);
			assert_int_equal(fake_nsent, 0);
			free(copy);
		}
	}
	mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, noise, 0);
	m.bytes[m.ip] = 0x4f;			/* options beyond the end */
	deny(DENY_ADMIN);
	m.bytes[m.ip] = 0x40;
	deny(DENY_ADMIN);
	assert_int_equal(fake_nsent, 0);
}

static unsigned int
flood(unsigned int n)
{
	unsigned int	i, sent = 0;

	for (i = 0; i < n; i++) {
		fake_nsent = 0;
		icmp_port_unreachable(m.bytes + m.ip, m.len - m.ip);
		sent += fake_nsent;
	}
	return sent;
}

static void
test_rate(void **state)
{
	(void)state;
	mk_udp(&m, GUEST4, 9, "192.0.2.1", 9, noise, 0);
	frame.now_ms += 10000;
	assert_int_equal(flood(5000), 1000);
	assert_int_equal(flood(10), 0);
	frame.now_ms += 1;
	assert_int_equal(flood(10), 1);
	frame.now_ms += 100;
	assert_int_equal(flood(1000), 100);
	frame.now_ms += 60000;
	assert_int_equal(flood(5000), 1000);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test_setup(test_codes, fake_reset),
		cmocka_unit_test_setup(test_quote, fake_reset),
		cmocka_unit_test_setup(test_silence, fake_reset),
		cmocka_unit_test_setup(test_short, fake_reset),
		cmocka_unit_test_setup(test_rate, fake_reset),
	};
	size_t	i;

	for (i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(i * 2654435761u >> 13);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
