/*
 * Everything that lwIP needs from outside: time, chance, sums, and an end.
 *
 * Trusts: rand.c's keys. Must not: let lwIP go on after a failed assertion; the
 * guest then loses its frame and gets a new one.
 */
#include <time.h>

#include "frame.h"
#include "log.h"

#include "lwip/sys.h"
#include "port.h"

/* RFC 6528: the clock of RFC 9293 3.4.1 ticks every 4 us. */
#define ISN_TICK_NS	4000

static uint64_t
monotonic_ns(void)
{
	struct timespec	ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	    (uint64_t)ts.tv_nsec;
}

u32_t
sys_now(void)
{
	return (u32_t)frame.now_ms;
}

uint32_t
port_rand(void)
{
	return rand_u32();
}

uint16_t
port_chksum(const void *data, int len)
{
	return csum_fold(csum_add(0, data, (size_t)len));
}

_Noreturn void
port_assert(const char *what)
{
	fatalx("lwIP: %s", what);
}

/* The address of either family as 16 bytes; lwIP leaves the rest undefined. */
static void
isn_address(uint32_t out[4], const ip_addr_t *a)
{
	unsigned int	i;

	out[0] = out[1] = out[2] = out[3] = 0;
	if (IP_IS_V6(a))
		for (i = 0; i < 4; i++)
			out[i] = ip_2_ip6(a)->addr[i];
	else
		out[0] = ip4_addr_get_u32(ip_2_ip4(a));
}

u32_t
port_isn(const ip_addr_t *local, u16_t lport, const ip_addr_t *remote,
    u16_t rport)
{
	uint32_t	tuple[9];

	isn_address(tuple, local);
	isn_address(tuple + 4, remote);
	tuple[8] = (uint32_t)lport << 16 | rport;
	return (u32_t)(rand_hash(tuple, sizeof(tuple)) +
	    monotonic_ns() / ISN_TICK_NS);
}
