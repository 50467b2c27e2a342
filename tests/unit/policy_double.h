/*
 * The blob that the law's stand-in loads. See policy_double.c.
 */
#ifndef POLICY_DOUBLE_H
#define POLICY_DOUBLE_H

#include "policy.h"

#define DOUBLE_MAGIC	"DOUBLE01"

struct double_blob {
	char			magic[8];
	uint32_t		durable;
	struct policy_limits	limits;
	uint64_t		rotate;
};

#endif
