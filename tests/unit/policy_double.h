/*
 * The blob that the law's stand-in loads. See policy_double.c.
 */
#ifndef POLICY_DOUBLE_H
#define POLICY_DOUBLE_H

#include "policy.h"

#define DOUBLE_MAGIC	"DOUBLE01"

struct double_blob {
	char			magic[8];
	uint32_t		rotate;
	uint32_t		durable;
	struct policy_limits	limits;
	uint32_t		needs;
	uint32_t		pin_min, pin_max, pin_grace;
	uint32_t		upstreams;	/* of documentation's 192.0.2.53 */
	uint32_t		live;
};
static_assert(sizeof(struct double_blob) == 8 + 4 + 4 + 24 +
    sizeof(struct policy_limits), "no padding");

#endif
