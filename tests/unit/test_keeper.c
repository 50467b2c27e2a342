/*
 * The keeper's pure parts: back-off and its private options.
 *
 * Trusts: nothing. Must not: start anything but itself.
 */
#include <sys/wait.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keeperd.h"
#include "unit.h"

static void
backoff_doubles(void **state)
{
	static const uint32_t	want[] = { 100, 200, 400, 800, 1600, 3200,
				    6400, 12800, 25600, 30000, 30000 };
	struct backoff		b = { 0 };
	size_t			i;

	(void)state;
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		backoff_started(&b, 1000 * i);
		backoff_died(&b, 1000 * i + 5);
		assert_int_equal(b.delay, want[i]);
	}
}

static void
backoff_forgets_after_health(void **state)
{
	struct backoff	b = { 0 };

	(void)state;
	backoff_started(&b, 0);
	backoff_died(&b, 10);
	backoff_started(&b, 110);
	backoff_died(&b, 110 + BACKOFF_HEALTHY - 1);
	assert_int_equal(b.delay, 2 * BACKOFF_MIN);
	backoff_started(&b, 1000000);
	backoff_died(&b, 1000000 + BACKOFF_HEALTHY);
	assert_int_equal(b.delay, BACKOFF_MIN);
}

#define BASE	"sallyportd", "--one-guest", "--policy", "p", "--audit", "d/f"
#define V4	"--address", "10.0.2.100/24", "--gateway", "10.0.2.2"

static void
parse(struct options *o, const char *const *argv)
{
	static char	text[48][64];
	char		*copy[49];
	int		n;

	for (n = 0; argv[n] != NULL; n++) {
		snprintf(text[n], sizeof(text[n]), "%s", argv[n]);
		copy[n] = text[n];
	}
	copy[n] = NULL;
	options_parse(o, n, copy);
}

#define UP3	"--upstream", "::1", "--upstream", "::2", "--upstream", "::3"

static void
options_are_taken(void **state)
{
	const char	*argv[] = { BASE, V4, "--tenant", "ci", "--guest", "g",
			    "--durable", "async", "--link", "stream", "--mtu",
			    "1500", "--trust-csum", "--level", "2",
			    "--address", "fd00::2/64", "--gateway", "fd00::1",
			    "--upstream", "192.0.2.53", "--upstream", "::1",
			    "--upstream", "fe80::1%7", "--resolver-option",
			    "rotate", "--resolver-option", "use-vc",
			    "--resolver-option", "timeout:3",
			    "--ca-bundle", "ca.pem", "--quiet", NULL };
	struct options	o;
	char		buf[ENDPOINT_STRLEN];

	(void)state;
	parse(&o, argv);
	assert_string_equal(o.policy, "p");
	assert_string_equal(o.audit_dir, "d");
	assert_string_equal(o.audit_name, "f");
	assert_string_equal(o.tenant, "ci");
	assert_string_equal(o.guest, "g");
	assert_int_equal(o.durable, 3);
	assert_int_equal(o.kind, LINK_STREAM);
	assert_int_equal(o.mtu, 1500);
	assert_true(o.trust_csum);
	assert_int_equal(o.level, LOG_LEVEL_DEBUG);
	assert_string_equal(addr_print(&o.v4.guest, buf), "10.0.2.100");
	assert_int_equal(o.v4.prefix_len, 24);
	assert_string_equal(addr_print(&o.v6.gateway, buf), "fd00::1");
	assert_int_equal(o.v6.prefix_len, 64);
	assert_int_equal(o.host.n, 3);
	assert_string_equal(endpoint_print(&o.host.upstream[0], buf),
	    "192.0.2.53:53");
	assert_string_equal(endpoint_print(&o.host.upstream[1], buf),
	    "[::1]:53");
	assert_string_equal(endpoint_print(&o.host.upstream[2], buf),
	    "[fe80::1]:53");
	assert_int_equal(o.host.scope[1], 0);
	assert_int_equal(o.host.scope[2], 7);
	assert_int_equal(o.host.upstream[3].family, ADDR_NONE);
	assert_int_equal(o.host.rotate, 1);
	assert_int_equal(o.host.tcp, 1);
	assert_int_equal(o.host.patience, 3);
	assert_string_equal(o.ca_bundle, "ca.pem");
	assert_true(o.quiet);
}

static void
options_have_defaults(void **state)
{
	const char	*argv[] = { "sallyportd", "--one-guest", "--policy",
			    "p", "--audit", "/f", V4, NULL };
	struct options	o;

	(void)state;
	parse(&o, argv);
	assert_string_equal(o.audit_dir, "/");
	assert_int_equal(o.kind, LINK_TAP);
	assert_int_equal(o.mtu, 65520);
	assert_int_equal(o.durable, 0);
	assert_int_equal(o.v6.guest.family, ADDR_NONE);
	assert_int_equal(o.host.n, 0);
	assert_int_equal(o.host.patience, 0);
	assert_null(o.ca_bundle);
	assert_false(o.quiet);
}

static int
status_of(const char *const *argv)
{
	struct options	o;
	int		status;
	pid_t		pid = fork();

	if (pid == 0) {
		log_init("test", -1, LOG_LEVEL_WARN);
		parse(&o, argv);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
options_are_refused(void **state)
{
	const char	*bad[][40] = {
		{ "sallyportd", NULL },
		{ BASE, NULL },				/* no address */
		{ BASE, V4, "more", NULL },
		{ BASE, V4, "--frob", NULL },
		{ BASE, V4, "--mtu", "1279", NULL },
		{ BASE, V4, "--mtu", "65521", NULL },
		{ BASE, V4, "--mtu", "-1", NULL },
		{ BASE, V4, "--mtu", "1500x", NULL },
		{ BASE, V4, "--mtu", "99999999999999999999", NULL },
		{ BASE, V4, "--level", "3", NULL },
		{ BASE, V4, "--link", "fd", NULL },
		{ BASE, V4, "--durable", "never", NULL },
		{ BASE, V4, "--upstream", "dns.example", NULL },
		{ BASE, V4, "--upstream", "fe80::1%eth0", NULL },
		{ BASE, V4, "--upstream", "192.0.2.1:53", NULL },
		{ BASE, V4, "--upstream", "192.0.2.1%7", NULL },
		{ BASE, V4, "--upstream", "fe80::1%0", NULL },
		{ BASE, V4, "--upstream", "2001:db8::1%7", NULL },
		{ BASE, V4, "--resolver-option", "edns0", NULL },
		{ BASE, V4, "--resolver-option", "timeout:0", NULL },
		{ BASE, V4, "--resolver-option", "timeout:31", NULL },
		{ BASE, V4, UP3, UP3, UP3, NULL },
		{ BASE, "--address", "10.0.2.100", NULL },
		{ BASE, "--address", "10.0.2/24", NULL },
		{ BASE, "--address", "10.0.2.1/33", NULL },
		{ BASE, "--address", "fd00::1/129", "--gateway", "fd00::2",
		    NULL },
		{ BASE, "--address", "10.0.2.1/31", "--gateway", "10.0.2.2",
		    NULL },
		{ BASE, "--address", "10.0.2.1/24", NULL },
		{ BASE, "--address", "10.0.2.1/24", "--gateway", "10.0.3.1",
		    NULL },
		{ BASE, "--address", "10.0.2.1/24", "--gateway", "10.0.2.1",
		    NULL },
		{ "sallyportd", "--one-guest", "--policy", "p", "--audit",
		    "d/", V4, NULL },
	};
	const char	*good[] = { BASE, V4, NULL };
	size_t		i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(status_of(bad[i]), FATAL_STATUS);
	assert_int_equal(status_of(good), 0);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(backoff_doubles),
		cmocka_unit_test(backoff_forgets_after_health),
		cmocka_unit_test(options_are_taken),
		cmocka_unit_test(options_have_defaults),
		cmocka_unit_test(options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
