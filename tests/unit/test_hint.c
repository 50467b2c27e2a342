/*
 * Hints: a new reason comes with a decision about what to write, and a hint is one
 * short line of plain ASCII.
 */
#include <string.h>

#include "hint.h"
#include "reason.h"
#include "unit.h"

static void
each_is_decided(void **state)
{
	unsigned int	i;
	const char	*hint, *c;

	(void)state;
	for (i = 0; i < REASON_MAX; i++) {
		hint = hint_of(i);
		if (hint == NULL)
			fail_msg("%s: neither a hint nor the decision for none",
			    reason_name(i));
		if (strlen(hint) > 160)
			fail_msg("%s: %zu characters", reason_name(i), strlen(hint));
		for (c = hint; *c != '\0'; c++)
			if (*c < ' ' || *c > '~')
				fail_msg("%s: not plain", reason_name(i));
	}
	assert_string_equal(hint_of(REASON_MAX), "");
	assert_string_equal(hint_of(~0u), "");
}

static void
says(enum reason why, const char *words)
{
	if (strstr(hint_of(why), words) == NULL)
		fail_msg("%s: no %s in: %s", reason_name(why), words, hint_of(why));
}

static void
what_to_write(void **state)
{
	(void)state;
	says(REASON_DEFAULT_DENY, "allow to net ADDRESS port tcp N");
	says(REASON_NAME_NOT_ALLOWED, "allow to name \"NAME\" port tcp N");
	says(REASON_NO_PIN, "not looked the name up");
	says(REASON_ECH_PRESENT, "ech allow");
	says(REASON_SNI_UNPARSEABLE, "verify host");
	says(REASON_TLS_TIMEOUT, "verify none nowarn W201");
	says(REASON_SERVER_FIRST, "verify none nowarn W201");
	says(REASON_FLOOR_SPECIAL, "floor except net ADDRESS");
	says(REASON_FLOOR_LOCAL, "for an address of a link");
	says(REASON_CONNS, "conns N");
	/* What no policy opens has no advice. */
	assert_string_equal(hint_of(REASON_FLOOR_METADATA), "");
	assert_string_equal(hint_of(REASON_DNS_BOGUS), "");
	assert_string_equal(hint_of(REASON_DONE), "");
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(each_is_decided),
		cmocka_unit_test(what_to_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
