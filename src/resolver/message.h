/*
 * DNS messages (RFC 1035): the one question that is sent, and what an answer to
 * it says. The only parser of DNS bytes in the resolver that is ours; packets of
 * both engines go through it.
 */
#ifndef SALLYPORT_MESSAGE_H
#define SALLYPORT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolve.h"

#define MESSAGE_HEAD	12		/* RFC 1035, 4.1.1 */
#define MESSAGE_ASK_MAX	(MESSAGE_HEAD + NAME_WIRE_MAX + 4)
#define CAPS_BYTES	32		/* a bit for each byte of a name's text */

/*
 * A question with RD and no EDNS: answers stay below 512 bytes on UDP, so that
 * none comes in fragments, whose later ones carry no port and no id to check.
 * Letters whose bit is set in `caps` are sent in upper case (0x20). Returns the
 * length.
 */
size_t	message_ask(uint8_t out[MESSAGE_ASK_MAX], uint16_t id,
	    const struct name *, uint32_t qtype,
	    const uint8_t caps[CAPS_BYTES]);
/* For the servers of the root, which whoever is there knows by heart. */
size_t	message_ask_root(uint8_t out[MESSAGE_ASK_MAX], uint16_t id);
void	message_set_id(uint8_t *ask, uint16_t id);
uint16_t message_id(const uint8_t *);

/* An answer to exactly this ask: its id, its question, each letter's case. */
bool	message_fits(const uint8_t *, size_t len, const uint8_t *ask,
	    size_t asklen);
/* TC: there is more, by TCP. Of a message that fits. */
bool	message_cut(const uint8_t *);

/*
 * What the answer says about this name: the addresses that its owner has, or the
 * one at the end of its chain of CNAMEs, and nothing else that stands there.
 * Writes everything but the head and `secure`. RESOLVE_FAILED: not usable.
 */
void	message_read(const uint8_t *, size_t len, const struct name *,
	    uint32_t qtype, struct resolver_answer *);

#endif
