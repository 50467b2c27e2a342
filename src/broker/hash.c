/*
 * SipHash-2-4 (Aumasson, Bernstein 2012) with one random key per process: the
 * tables that it serves are indexed by what guests choose (ids, addresses).
 *
 * Trusts: getrandom(2). Must not: be used as a MAC, or with a known key.
 */
#include <sys/random.h>

#include <string.h>

#include "hash.h"
#include "log.h"

static uint64_t	key[2];

void
hash_init(void)
{
	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		fatal("getrandom");
}

static uint64_t
rotate(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

static void
mix(uint64_t v[4], unsigned int rounds)
{
	while (rounds-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

uint64_t
hash_bytes(const void *data, size_t len)
{
	const unsigned char	*p = data;
	uint64_t		 word, v[4];
	size_t			 left = len;

	v[0] = key[0] ^ UINT64_C(0x736f6d6570736575);
	v[1] = key[1] ^ UINT64_C(0x646f72616e646f6d);
	v[2] = key[0] ^ UINT64_C(0x6c7967656e657261);
	v[3] = key[1] ^ UINT64_C(0x7465646279746573);
	for (; left >= sizeof(word); left -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		v[3] ^= word;
		mix(v, 2);
		v[0] ^= word;
	}
	word = (uint64_t)len << 56;
	while (left-- > 0)
		word |= (uint64_t)p[left] << (8 * left);
	v[3] ^= word;
	mix(v, 2);
	v[0] ^= word;
	v[2] ^= 0xff;
	mix(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
