/*
 * Which entry of a rule's lists an address or a name is found in.
 */
#ifndef SALLYPORT_ENTRY_H
#define SALLYPORT_ENTRY_H

#include "model.h"

struct spot {
	char		 text[NAME_TEXT_MAX + 8];	/* as the canonical text has it */
	char		 set[80];	/* "table <x>", "macro $x", "names <x>", "" */
	struct where	 at;		/* where the entry is written */
};

bool	entry_of_address(const struct model *, const struct dest *,
	    const struct endpoint *, struct spot *);
bool	entry_of_name(const struct model *, const struct dest *,
	    const struct name *, struct spot *);

#endif
