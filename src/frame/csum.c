/*
 * The Internet checksum (RFC 1071), fast enough to be verified on every packet.
 *
 * Sums are kept in memory order, whatever the machine's: the one's complement
 * sum does not care (RFC 1071, 2(B)), so a folded sum is stored by memcpy() and
 * a packet with a good checksum folds to 0xffff.
 *
 * Trusts: the caller's lengths. Must not: read a byte beyond them.
 */
#include <netinet/in.h>

#include <string.h>

#include "frame.h"

/* Two 64-bit lanes: SSE2 and NEON have them in every machine we build for. */
#define LANES	__attribute__((vector_size(16)))
#define BLOCK	64		/* bytes per turn of the wide loop */

/*
 * Adds 32-bit words into 64-bit lanes. A lane takes 2^32 words before it could
 * overflow; no packet has that many.
 */
static uint64_t
sum_blocks(const uint8_t *p, size_t blocks)
{
	const uint64_t LANES	low = { UINT32_MAX, UINT32_MAX };
	uint64_t LANES		a = { 0, 0 }, b = { 0, 0 };
	uint64_t LANES		v[BLOCK / 16];
	uint64_t LANES		sum;
	size_t			i;

	for (; blocks > 0; blocks--, p += BLOCK) {
		memcpy(v, p, BLOCK);
		for (i = 0; i < BLOCK / 16; i++) {
			a += v[i] & low;
			b += v[i] >> 32;
		}
	}
	sum = a + b;
	return sum[0] + sum[1];
}

uint64_t
csum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t	*p = data;
	size_t		 blocks = len / BLOCK;
	uint32_t	 word;

	if (blocks > 0) {
		sum += sum_blocks(p, blocks);
		p += blocks * BLOCK;
		len -= blocks * BLOCK;
	}
	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	if (len > 0) {
		word = 0;
		memcpy(&word, p, len);
		sum += word;
	}
	return sum;
}

uint16_t
csum_fold(uint64_t sum)
{
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & UINT32_MAX) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* RFC 768, RFC 9293 3.1 and RFC 8200 8.1: both add up to the same words. */
uint64_t
csum_pseudo(bool v6, const uint8_t *src, const uint8_t *dst, uint8_t proto,
    uint32_t l4_len)
{
	size_t		len = v6 ? 16 : 4;
	uint64_t	sum;

	sum = csum_add(0, src, len);
	sum = csum_add(sum, dst, len);
	return sum + htons(proto) + htonl(l4_len);
}

uint64_t
csum_iov(uint64_t sum, const struct iovec *iov, unsigned int n)
{
	unsigned int	i;
	bool		odd = false;
	uint64_t	part;

	for (i = 0; i < n; i++) {
		part = csum_add(0, iov[i].iov_base, iov[i].iov_len);
		/* At an odd offset every byte is the other half of its word. */
		if (odd)
			part = __builtin_bswap16(csum_fold(part));
		sum += part;
		odd ^= (iov[i].iov_len & 1) != 0;
	}
	return sum;
}
