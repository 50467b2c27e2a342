/*
 * A keyed hash and random numbers without a system call: SipHash-2-4 (Aumasson
 * and Bernstein, 2012) under two keys that are drawn once, before the seal.
 *
 * Trusts: getrandom(2). Must not: use one key for both purposes, or be called
 * before rand_seed(). A guest that could guess either could aim at one bucket of
 * the flow table or at another connection's sequence numbers.
 */
#include <sys/random.h>

#include <string.h>

#include "frame.h"
#include "log.h"

struct sip_key {
	uint64_t	k0, k1;
};

static struct sip_key	hash_key, stream_key;
static uint64_t		stream_counter;

void
rand_seed(void)
{
	uint64_t	seed[4];
	ssize_t		n = getrandom(seed, sizeof(seed), 0);

	if (n != (ssize_t)sizeof(seed))
		fatal("getrandom");
	hash_key = (struct sip_key){ seed[0], seed[1] };
	stream_key = (struct sip_key){ seed[2], seed[3] };
	explicit_bzero(seed, sizeof(seed));
}

static inline uint64_t
rotl(uint64_t x, unsigned int n)
{
	return x << n | x >> (64 - n);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] = rotl(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] = rotl(v[2], 32);
}

static inline void
sip_block(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
}

static uint64_t
siphash(const struct sip_key *key, const void *data, size_t len)
{
	uint64_t	v[4] = {
		key->k0 ^ UINT64_C(0x736f6d6570736575),
		key->k1 ^ UINT64_C(0x646f72616e646f6d),
		key->k0 ^ UINT64_C(0x6c7967656e657261),
		key->k1 ^ UINT64_C(0x7465646279746573),
	};
	const uint8_t	*p = data;
	uint64_t	 m, last = (uint64_t)len << 56;
	size_t		 i;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&m, p, 8);
		sip_block(v, m);
	}
	for (i = 0; i < len; i++)
		last |= (uint64_t)p[i] << (8 * i);
	sip_block(v, last);
	v[2] ^= 0xff;
	for (i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
rand_hash(const void *data, size_t len)
{
	return siphash(&hash_key, data, len);
}

uint32_t
rand_u32(void)
{
	uint64_t	n = stream_counter++;

	return (uint32_t)siphash(&stream_key, &n, sizeof(n));
}
