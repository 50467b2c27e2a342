/*
 * The inspector's own header. include/inspect.h is what it says to the broker.
 */
#ifndef SALLYPORT_INSPECTOR_H
#define SALLYPORT_INSPECTOR_H

#include "inspect.h"

/*
 * What a whole first flight says about itself. Pure: the same bytes give the same
 * answer. Fills all but `head`; a BAD flight says nothing else.
 */
void	inspect_tls(const uint8_t *, size_t, struct inspect_result *);
void	inspect_http(const uint8_t *, size_t, struct inspect_result *);
/* alien.c: may any server take it for a hello or a request; what does it look like? */
bool	inspect_is_alien(const uint8_t *, size_t);
uint32_t inspect_hint(const uint8_t *, size_t);
/* By kind, a peek_kind; 0, or -1: there is no such kind. */
int	inspect(uint32_t kind, const uint8_t *, size_t,
	    struct inspect_result *);

void	inspect_clear(struct inspect_result *);

/* seal.c */
void	inspector_seal_in(void);

#endif
