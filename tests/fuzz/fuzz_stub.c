/*
 * Answers of upstreams, as message.c reads them. The question is taken from the
 * packet, so that most inputs come past it; what comes out is checked against
 * what resolve.h promises the broker.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

#define MUST(x)	do { if (!(x)) abort(); } while (0)

/* What UDP without EDNS carries; longer inputs are slow and say it again. */
#define LENGTH_MAX	512

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static bool
zero(const void *p, size_t len)
{
	static const struct resolver_answer	none;

	return memcmp(p, &none, len) == 0;
}

static void
check(const struct resolver_answer *a, uint32_t qtype)
{
	uint32_t	i;

	MUST(a->status >= RESOLVED && a->status <= RESOLVE_FAILED);
	MUST(a->status != RESOLVE_BOGUS && a->secure == 0);
	MUST(a->more == 0 || (a->more == 1 && a->n > 0));
	MUST(a->n <= ANSWER_MAX && a->nchain <= RESOLVE_CHAIN_MAX);
	MUST((a->n > 0) == (a->status == RESOLVED));
	MUST(a->ttl <= (a->status == RESOLVED ? INT32_MAX : 60));
	for (i = 0; i < a->n; i++)
		MUST(endpoint_valid(&a->addr[i]) && a->addr[i].port == 0 &&
		    a->addr[i].family ==
		    (qtype == RESOLVE_A ? ADDR_V4 : ADDR_V6));
	for (i = 0; i < a->nchain; i++)
		MUST(name_valid(&a->chain[i]));
	MUST(zero(a->addr + a->n, (ANSWER_MAX - a->n) * sizeof(a->addr[0])));
	MUST(zero(a->chain + a->nchain,
	    (RESOLVE_CHAIN_MAX - a->nchain) * sizeof(a->chain[0])));
	if (a->status == RESOLVE_FAILED)
		MUST(a->nchain == 0 && a->ttl == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct resolver_answer	a;
	uint8_t				ask[MESSAGE_ASK_MAX];
	uint8_t				caps[CAPS_BYTES] = { 0 };
	struct name			name;
	uint32_t			qtype = RESOLVE_A;
	size_t				asklen;
	int				n = -1;

	if (len > LENGTH_MAX)
		return 0;
	if (len > MESSAGE_HEAD)
		n = name_from_wire(data + MESSAGE_HEAD, len - MESSAGE_HEAD,
		    &name);
	if (n == -1)
		MUST(name_from_text("a.test", strlen("a.test"), &name) == 0);
	else if ((size_t)n + 2 <= len - MESSAGE_HEAD &&
	    data[MESSAGE_HEAD + n + 1] == RESOLVE_AAAA)
		qtype = RESOLVE_AAAA;
	asklen = message_ask(ask, 0, &name, qtype, caps);
	if (len >= 2)
		memcpy(ask, data, 2);
	message_read(data, len, &name, qtype, &a);
	check(&a, qtype);
	/* who is asked in lower case repeats it, or is not heard */
	if (message_fits(data, len, ask, asklen))
		MUST(n != -1 && len >= asklen);
	return 0;
}
