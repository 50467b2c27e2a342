/* The law by a plain walk over all rules: what the index must say, too. */
#ifndef TEST_PLAIN_H
#define TEST_PLAIN_H

#include "law.h"

/* What the rules say of a flow whose judgement has its forms, floor and service. */
void	plain_row(const struct policy *, const struct policy_query *,
	    const struct judgement *, bool all, struct row *);
/* The first exception that lifts the address floor for a form; port 0: for any. */
uint32_t plain_except(const struct policy *, const struct policy_query *,
	    const struct endpoint *form, bool own);
uint32_t plain_except_port(const struct policy *, const struct policy_query *,
	    const struct endpoint *form);
bool	plain_reaches(const struct policy *, unsigned int tenant,
	    const struct endpoint *, uint32_t own);
enum reason plain_reason(const struct policy *, const struct policy_query *);
struct name_verdict plain_name(const struct policy *, unsigned int tenant,
	    const struct name *, uint64_t now);

#endif
