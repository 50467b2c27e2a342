/*
 * Numbers in packets: network order, any alignment.
 */
#ifndef SALLYPORT_BYTES_H
#define SALLYPORT_BYTES_H

#include <stdint.h>

static inline uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] * 256u + p[1]);
}

static inline uint32_t
get32(const uint8_t *p)
{
	return p[0] * UINT32_C(0x1000000) + p[1] * UINT32_C(0x10000) +
	    p[2] * UINT32_C(0x100) + p[3];
}

static inline void
put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void
put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

#endif
