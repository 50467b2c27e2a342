/*
 * A reader of DNS answers for tests, written apart from what writes them.
 */
#ifndef DNS_CHECK_H
#define DNS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dns_seen {
	uint16_t	id;
	unsigned int	opcode, rcode;		/* with the OPT's eight bits */
	bool		tc, rd, ra, aa, cd;
	size_t		question;		/* its length, 0: none */
	unsigned int	answers, soa;
	uint16_t	type;			/* of the answers: one for all */
	uint32_t	ttl, soa_ttl, soa_minimum;
	const uint8_t	*data[256];		/* the answers' */
	bool		edns, dnssec_ok;
	unsigned int	size, ede;		/* ede: 0 = none, else code + 1 */
};

/* False: not a well-formed answer, to its last byte. */
bool	dns_check(const uint8_t *, size_t, struct dns_seen *);

#endif
