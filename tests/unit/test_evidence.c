/*
 * What learn_evidence.c makes of each kind of evidence: a table of short logs, and the
 * rules that come of them.
 *
 * Trusts: nothing. Must not: depend on what the rest of a policy's text says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "learn.h"
#include "unit.h"

#define A	"203.0.114.11"
#define B	"203.0.114.12"
#define BOTH	"[\"a.example\",\"b.example\"]"

static struct learned	learned;
static unsigned int	flow;

static void
feed(const char *fmt, ...)
{
	char	line[4096];
	va_list	ap;
	int	n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert_true(n > 0 && (size_t)n < sizeof(line));
	record_line(&learned, line, (size_t)n);
}

static unsigned long long
ns(double s)
{
	return (unsigned long long)(s * 1e9);
}

static void
told(const char *guest, double s, const char *name, const char *addr)
{
	feed("{\"v\":2,\"mono_ns\":%llu,\"type\":\"dns\",\"verdict\":\"allow\",\"guest\":"
	    "\"%s\",\"name\":\"%s\",\"qtype\":\"A\",\"ips\":[\"%s\"]}", ns(s), guest,
	    name, addr);
}

/* `more': what else its open has, with a comma in front. */
static void
opened(const char *guest, double s, const char *proto, const char *addr, int port,
    const char *more)
{
	feed("{\"v\":2,\"mono_ns\":%llu,\"type\":\"flow.open\",\"verdict\":\"audit-deny\","
	    "\"guest\":\"%s\",\"rec\":1,\"flow\":%u,\"proto\":\"%s\",\"g_dst\":\"%s\","
	    "\"g_dp\":%d%s}", ns(s), guest, ++flow, proto, addr, port, more);
}

static void
closed(int up)
{
	feed("{\"v\":2,\"type\":\"flow.close\",\"verdict\":\"audit-deny\",\"rec\":2,"
	    "\"flow\":%u,\"up\":%d,\"down\":0}", flow, up);
}

static void
tcp(double s, const char *addr, int port, const char *more)
{
	opened("g", s, "tcp", addr, port, more);
	closed(1);
}

#define NAMED(n)	",\"name\":\"" n "\",\"assurance\":\"dns\""
#define SNI(n)		",\"name\":\"" n "\",\"sni\":\"" n "\",\"assurance\":\"sni\""
#define HOST(n)		",\"name\":\"" n "\",\"vhost\":\"" n "\",\"assurance\":\"host\""
#define HELLO(n)	NAMED(n) ",\"tls_offered\":\"1.3\""

/* ---- the logs -------------------------------------------------------------------- */

static void
shown_alone(void)
{
	told("g", 1, "a.example", A);
	told("g", 1, "b.example", A);
	tcp(1.1, A, 443, SNI("a.example"));
}

static void
mapped(void)
{
	tcp(1.1, "::ffff:" A, 8080, "");
}

static void
asked_just_before(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 22, NAMED("a.example"));
}

static void
asked_and_used(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 443, SNI("a.example"));
	opened("g", 1.2, "udp", A, 123, NAMED("a.example"));
	tcp(1.3, A, 2222, NAMED("a.example"));
}

static void
asked_again(void)
{
	asked_and_used();
	told("g", 2, "a.example", A);
	opened("g", 2.1, "udp", A, 5000, NAMED("a.example"));
}

static void
same_port_later(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 22, NAMED("a.example"));
	tcp(90, A, 22, NAMED("a.example"));
}

static void
next_address(void)
{
	told("g", 1, "a.example", A);
	told("g", 1, "a.example", B);
	opened("g", 1.1, "tcp", A, 22, NAMED("a.example"));
	closed(0);
	tcp(31, B, 22, NAMED("a.example"));
}

static void
asked_long_ago(void)
{
	told("g", 1, "a.example", A);
	tcp(30, A, 5432, NAMED("a.example"));
}

static void
another_guest(void)
{
	told("other", 1, "a.example", A);
	tcp(1.1, A, 22, "");
}

static void
another_run(void)
{
	told("g", 1, "a.example", A);
	feed("{\"v\":2,\"type\":\"daemon.start\"}");
	tcp(1.1, A, 22, "");
}

static void
nothing_asked(void)
{
	tcp(1, A, 22, "");
	opened("g", 1, "icmp", A, 0, "");
}

static void
no_pin(void)
{
	tcp(1, A, 443, ",\"sni\":\"a.example\",\"assurance\":\"none\"");
}

static void
hello_of_one(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 443, HELLO("a.example"));
}

static void
hello_of_several(void)
{
	told("g", 1, "a.example", A);
	told("g", 1, "b.example", A);
	tcp(1.1, A, 443, ",\"names\":" BOTH ",\"tls_offered\":\"1.3\"");
}

static void
hello_beside_shown(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 443, SNI("a.example"));
	told("g", 2, "a.example", A);
	tcp(2.1, A, 443, HELLO("a.example"));
}

static void
only_connections(void)
{
	told("g", 1, "a.example", A);
	opened("g", 1.1, "tcp", A, 443, NAMED("a.example"));
	closed(0);
	told("g", 2, "a.example", A);
	opened("g", 2.1, "tcp", A, 80, NAMED("a.example"));
	closed(0);
	told("g", 3, "a.example", A);
	opened("g", 3.1, "tcp", A, 81, NAMED("a.example"));
	closed(0);
}

static void
covered_connection(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 443, SNI("a.example"));
	opened("g", 1.2, "tcp", A, 443, NAMED("a.example"));
	closed(0);
}

static void
both_proofs(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 8443, SNI("a.example") ",\"ech\":true");
	tcp(1.2, A, 8443, HOST("a.example"));
}

static void
outer_name(void)
{
	told("g", 1, "a.example", A);
	tcp(1.1, A, 443, ",\"name\":\"a.example\",\"sni\":\"outer.example\",\"ech\":true,"
	    "\"assurance\":\"none\"");
}

static void
rotated_away(void)
{
	tcp(1, A, 22, NAMED("a.example"));
}

static void
one_zone(void)
{
	static const char *const	names[] = { "b.x.example.com", "a.x.example.com",
					    "c.x.example.com", "d.x.example.com",
					    "e.x.example.com", "a.example.net",
					    "x.github.io", "y.github.io" };
	size_t				i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		told("g", (double)i, names[i], A);
		opened("g", (double)i, "tcp", A, 443, "");
		feed("{\"v\":2,\"mono_ns\":1,\"type\":\"flow.open\",\"guest\":\"g\","
		    "\"flow\":%u,\"proto\":\"tcp\",\"g_dst\":\"%s\",\"g_dp\":443,"
		    "\"name\":\"%s\",\"sni\":\"%s\",\"assurance\":\"sni\"}", ++flow, A,
		    names[i], names[i]);
		closed(1);
	}
}

#define NAME(n)	"\tallow to name \"" n "\" port "
#define TLS	"\t# by the server name that TLS shows\n"
#define HTTP	"\n\t# by the Host of a request\n"
#define NONE	"\n\t# by name, which nothing proves\n"
#define NET	"\n\t# by address\n"

static const struct {
	const char	*what;
	void		(*log)(void);
	const char	*rules;
} table[] = {
	{ "the name that was shown, alone", shown_alone, NAME("a.example") "tcp 443\n" },
	{ "an IPv4 address in IPv6", mapped, "\tallow to net " A " port tcp 8080\n" },
	{ "asked just before", asked_just_before,
	    NAME("a.example") "tcp 22 verify none\n" },
	{ "the answer was for something else", asked_and_used,
	    TLS NAME("a.example") "tcp 443\n" NET "\tallow to net " A
	    " port tcp 2222\n\tallow to net " A " port udp 123\n" },
	{ "asked again", asked_again,
	    TLS NAME("a.example") "tcp 443\n" NONE NAME("a.example") "udp 5000\n"
	    NET "\tallow to net " A " port tcp 2222\n\tallow to net " A
	    " port udp 123\n" },
	{ "the port is the name's", same_port_later,
	    NAME("a.example") "tcp 22 verify none\n" },
	{ "the next of its addresses", next_address,
	    NAME("a.example") "tcp 22 verify none\n" },
	{ "long ago, and for nothing else", asked_long_ago,
	    "\t# by name, which nothing proves\n" NAME("a.example")
	    "tcp 5432 verify none\n" NET "\tallow to net " A " port tcp 5432\n" },
	{ "another guest was told", another_guest, "\tallow to net " A " port tcp 22\n" },
	{ "in another run", another_run, "\tallow to net " A " port tcp 22\n" },
	{ "nobody asked", nothing_asked, "\tallow to net " A " icmp echo\n"
	    "\tallow to net " A " port tcp 22\n" },
	{ "a name that was not looked up", no_pin, "\tallow to net " A " port tcp 443\n" },
	{ "a hello without a name, of the one that was asked for", hello_of_one,
	    NAME("a.example") "tcp 443 verify none\n" },
	{ "a hello without a name, and several were asked for", hello_of_several,
	    TLS NAME("a.example") "tcp 443\n" NAME("b.example") "tcp 443\n"
	    NET "\tallow to net " A " port tcp 443\n" },
	{ "a hello without a name weakens none that was shown", hello_beside_shown,
	    TLS NAME("a.example") "tcp 443\n" NET "\tallow to net " A
	    " port tcp 443\n" },
	{ "connections on which nothing moved: a guess by the port", only_connections,
	    TLS NAME("a.example") "tcp 443\n" HTTP NAME("a.example")
	    "tcp 80 verify host\n" NONE NAME("a.example") "tcp 81 verify none\n" },
	{ "one that others cover", covered_connection, NAME("a.example") "tcp 443\n" },
	{ "two ways to show a name are two rules", both_proofs,
	    TLS NAME("a.example") "tcp 8443 ech allow\n" HTTP
	    NAME("a.example") "tcp 8443 verify host\n" },
	{ "the outer name of ECH says nothing", outer_name,
	    NAME("a.example") "tcp 443 verify none\n" },
	{ "the answer is not in the log any more", rotated_away,
	    "\t# by name, which nothing proves\n" NAME("a.example")
	    "tcp 22 verify none\n" NET "\tallow to net " A " port tcp 22\n" },
	{ "names of one zone, and of a house whose names are anyone's", one_zone,
	    "\t# or: \"*.x.example.com\" (5 names seen)\n\tallow to name {\n"
	    "\t\t\"a.x.example.com\"\n\t\t\"b.x.example.com\"\n"
	    "\t\t\"c.x.example.com\"\n\t\t\"d.x.example.com\"\n"
	    "\t\t\"e.x.example.com\"\n\t} port tcp 443\n"
	    NAME("a.example.net") "tcp 443\n"
	    NAME("x.github.io") "tcp 443\n" NAME("y.github.io") "tcp 443\n" },
};

static void
each_kind(void **state)
{
	char	*text;
	size_t	 i, size;
	FILE	*f;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memset(&learned, 0, sizeof(learned));
		evidence_init(&learned);
		table[i].log();
		claims_conclude(&learned);
		rules_arrange(&learned);
		f = open_memstream(&text, &size);
		(void)rules_write(f, &learned);
		fclose(f);
		if (strcmp(text, table[i].rules) != 0)
			fail_msg("%s: got\n%swanted\n%s", table[i].what, text,
			    table[i].rules);
		free(text);
		learn_free(&learned);
	}
}

/* However many records there are, what is kept is what is distinct and what is open. */
static void
bounded(void **state)
{
	int	i;

	(void)state;
	memset(&learned, 0, sizeof(learned));
	evidence_init(&learned);
	for (i = 0; i < 20000; i++) {
		told("g", i, "a.example", A);
		tcp(i, A, 443, SNI("a.example"));
	}
	assert_int_equal(learned.flows, 20000);
	assert_int_equal(learned.nlive, 0);
	assert_true(learned.live_room <= 1024);
	assert_int_equal(learned.claims.n, 1);
	assert_int_equal(learned.pairs.n, 1);
	learn_free(&learned);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(each_kind),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
