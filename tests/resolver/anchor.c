/*
 * The root of tests/resolver/test_dnssec.py, in the place of the internet's: its
 * key is no secret. Must not: be linked into anything that is installed.
 */
#include <stddef.h>

#include "anchors.h"

const char *const	root_keys[] = {
	". IN DS 5990 15 2 "
	"B0F1C00CEE4A566AE3AFD0252C33FE3BC811EB4805AA5A94C6542EAE04C3339A",
	NULL
};
