/*
 * What lwIP asks of its platform. No stdio, no abort(): a failed assertion is
 * one line on the log and the end of this process.
 */
#ifndef SALLYPORT_ARCH_CC_H
#define SALLYPORT_ARCH_CC_H

#include <stdint.h>
#include <stdlib.h>

/* Byte swaps in line instead of calls into def.c; builds are little-endian. */
#ifndef BYTE_ORDER
#define BYTE_ORDER	__BYTE_ORDER__
#endif
#define LWIP_DONT_PROVIDE_BYTEORDER_FUNCTIONS
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define lwip_htons(x)	__builtin_bswap16((uint16_t)(x))
#define lwip_htonl(x)	__builtin_bswap32((uint32_t)(x))
#else
#define lwip_htons(x)	((uint16_t)(x))
#define lwip_htonl(x)	((uint32_t)(x))
#endif

#define LWIP_NO_STDIO_H		1
#define LWIP_NO_INTTYPES_H	1
#define X8_F	"02x"
#define U16_F	"u"
#define S16_F	"d"
#define X16_F	"x"
#define U32_F	"u"
#define S32_F	"d"
#define X32_F	"x"
#define SZT_F	"zu"

_Noreturn void port_assert(const char *what);
uint32_t port_rand(void);
uint16_t port_chksum(const void *, int len);

#define LWIP_PLATFORM_DIAG(x)	do { } while (0)
#define LWIP_PLATFORM_ASSERT(x)	port_assert(x)
#define LWIP_RAND()		port_rand()
#define LWIP_CHKSUM		port_chksum

#endif
