/*
 * The command's parts that can be asked without namespaces: messages to the
 * kernel, id maps, words, CMD's filter.
 *
 * Trusts: nothing. Must not: change this process for good; filters go to forks.
 */
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "idmap.h"
#include "seal.h"
#include "unit.h"

static void
netlink_is_laid_out(void **state)
{
	static const unsigned char	want[] = {
		0, 0, 0, 0, 16, 0, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0,
		'b', 'o', 'd', 0,
		6, 0, 3, 0, 'l', 'o', 0, 0,
		12, 0, 18, 0x80,
		8, 0, 1, 0, 1, 2, 3, 4,
	};
	struct netlink			n;
	size_t				nest;

	(void)state;
	netlink_begin(&n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, "bod", 3);
	netlink_attr(&n, 3, "lo", 2);
	nest = netlink_nest(&n, 18);
	netlink_attr(&n, 1, "\1\2\3\4", 4);
	netlink_nest_end(&n, nest);
	assert_false(n.full);
	assert_int_equal(n.len, sizeof(want));
	assert_memory_equal(n.buf, want, sizeof(want));
}

static void
netlink_never_overflows(void **state)
{
	unsigned char	big[1200] = { 0 };
	struct netlink	n;
	size_t		nest;

	(void)state;
	netlink_begin(&n, RTM_NEWLINK, 0, "", 0);
	nest = netlink_nest(&n, 1);
	netlink_attr(&n, 2, big, sizeof(big));
	netlink_nest_end(&n, nest);
	assert_true(n.full);
	assert_true(n.len <= sizeof(n.buf));
	assert_int_equal(netlink_call(-1, &n), -1);
	assert_int_equal(errno, EMSGSIZE);
}

static void
netlink_brings_errors_back(void **state)
{
	struct rtmsg	m = { .rtm_family = AF_INET };
	struct netlink	n;
	int		fd = netlink_open();

	(void)state;
	assert_true(fd != -1);
	netlink_begin(&n, RTM_GETROUTE, 0, &m, sizeof(m));
	netlink_attr(&n, RTA_OIF, "\377\377\377\177", 4);	/* no such link */
	assert_int_equal(netlink_call(fd, &n), -1);
	assert_true(errno != 0 && errno != EPROTO);
	close(fd);
}

static void
identity_map_keeps_extents(void **state)
{
	char	out[128];

	(void)state;
	assert_true(idmap_identity("         0          0 4294967295\n", out,
	    sizeof(out)) > 0);
	assert_string_equal(out, "0 0 4294967295\n");
	assert_true(idmap_identity("0 1000 1\n1 100000 65536\n", out,
	    sizeof(out)) > 0);
	assert_string_equal(out, "0 0 1\n1 1 65536\n");
	assert_int_equal(idmap_identity("", out, sizeof(out)), -1);
	assert_int_equal(idmap_identity("0 0 1\n1 1 65536\n", out, 10), -1);
}

static void
drain_sees_what_is_left(void **state)
{
	static const char	head[] = "  sl  local_address rem_address   st "
				    "tx_queue rx_queue tr tm->when\n";
	static const char	v4[] = "   0: 6402000A:9C40 0A7200CB:0050 %02X "
				    "00000000:00000000 00:00000000 00000000\n";
	static const char	v6[] = "   1: 00000000000000000000000000000000"
				    ":1F90 000000000000000000000000000000"
				    "00:0050 %02X 00000000:00000000\n";
	char			line[256];
	unsigned int		st;

	(void)state;
	assert_false(drain_pending(""));
	assert_false(drain_pending(head));
	for (st = 1; st <= 12; st++) {
		bool	want = st == 4 || st == 9 || st == 11;

		snprintf(line, sizeof(line), v4, st);
		assert_int_equal(drain_pending(line), want);
		snprintf(line, sizeof(line), v6, st);
		assert_int_equal(drain_pending(line), want);
	}
}

static void
drain_counts_sockets(void **state)
{
	(void)state;
	assert_true(drain_in_use("TCP: inuse 3 orphan 0 tw 0 alloc 9 mem 1\n"));
	assert_true(drain_in_use("TCP6: inuse 1\n"));
	assert_false(drain_in_use("TCP: inuse 0 orphan 4 tw 7 alloc 9 mem 1\n"));
	assert_false(drain_in_use("TCP6: inuse 0\n"));
	assert_false(drain_in_use("UDP: inuse 5 mem 0\n"));
	assert_false(drain_in_use("sockets: used 8\n"));
}

static void
words_are_checked(void **state)
{
	(void)state;
	log_init("test", -1, LOG_LEVEL_WARN);
	assert_int_equal(parse_number("x", "1280", 1280, 65520), 1280);
	assert_int_equal(parse_number("x", "65520", 1280, 65520), 65520);
	assert_int_equal(parse_number("x", "1", 1280, 65520), -1);
	assert_int_equal(parse_number("x", "", 0, 10), -1);
	assert_int_equal(parse_number("x", "5 ", 0, 10), -1);
	assert_int_equal(parse_number("x", "18446744073709553116", 0, 2000),
	    -1);
	assert_true(durable_word("before-connect"));
	assert_false(durable_word("before"));
}

/* What a call answers under CMD's filter, as an errno. */
static int
under_guard(long nr, long a, long b)
{
	int	status;
	pid_t	pid = fork();

	if (pid == 0) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    guard_load() == -1)
			_exit(200);
		_exit(syscall(nr, a, b, 0, 0, 0, 0) == -1 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define HIGH	(1L << 32)	/* what the kernel does not look at */

static void
guard_refuses_families(void **state)
{
	long	f;

	(void)state;
	for (f = 1; f < 64; f++) {
		bool	ok = f == AF_UNIX || f == AF_INET || f == AF_INET6 ||
			    f == AF_NETLINK;
		int	error = under_guard(SYS_socket, f, SOCK_STREAM);

		assert_int_equal(error == EPERM, !ok);
		if (!ok)
			assert_int_equal(under_guard(SYS_socket, f | HIGH,
			    SOCK_STREAM), EPERM);
	}
}

static void
guard_refuses_typing(void **state)
{
	(void)state;
	assert_int_equal(under_guard(SYS_ioctl, 0, TIOCSTI), EPERM);
	assert_int_equal(under_guard(SYS_ioctl, 0, TIOCSTI | HIGH), EPERM);
	assert_int_equal(under_guard(SYS_ioctl, 0, TIOCLINUX), EPERM);
	assert_int_not_equal(under_guard(SYS_ioctl, -1, TIOCGWINSZ), EPERM);
	assert_int_equal(under_guard(SYS_io_uring_setup, 1, 0), EPERM);
}

static void
guard_refuses_keys(void **state)
{
	(void)state;
	assert_int_equal(under_guard(SYS_add_key, 0, 0), EPERM);
	assert_int_equal(under_guard(SYS_request_key, 0, 0), EPERM);
	assert_int_equal(under_guard(SYS_keyctl, 0, -3), EPERM);
}

/*
 * True if it died: what is to live on is watched for half a second, what is to
 * die may take its time on a busy machine.
 */
static bool
died(pid_t pid, bool is_to)
{
	const struct timespec	step = { .tv_nsec = 10000000 };
	int			i, most = is_to ? 1000 : 50;

	for (i = 0; i < most && waitpid(pid, NULL, WNOHANG) == 0; i++)
		nanosleep(&step, NULL);
	return i < most;
}

/* A group of which one, perhaps behind the border, signals all. */
_Noreturn static void
kill_group(bool border)
{
	pid_t	outside, killer;

	setpgid(0, 0);
	if ((outside = fork()) == 0) {
		pause();
		_exit(0);
	}
	signal(SIGUSR1, SIG_IGN);
	if ((killer = fork()) == 0) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (border)
			seal_landlock_scope();
		kill(0, SIGUSR1);
		_exit(0);
	}
	waitpid(killer, NULL, 0);
	_exit(died(outside, !border));
}

static int
hit(bool border)
{
	int	status;
	pid_t	pid = fork();

	if (pid == 0)
		kill_group(border);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	kill(-pid, SIGKILL);
	return WEXITSTATUS(status);
}

/* landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) */
static void
border_stops_signals(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 6)
		skip();
	assert_int_equal(hit(true), 0);
	assert_int_equal(hit(false), 1);
}

static void
conf(struct hostconf *c, const char *text)
{
	hostconf_parse(text, strlen(text), c);
}

static void
is_upstream(const struct hostconf *c, uint32_t i, const char *want)
{
	char	buf[UPSTREAM_STRLEN];

	assert_true(i < c->host.n);
	assert_string_equal(hostconf_upstream(c, i, buf), want);
	assert_int_equal(c->host.upstream[i].port, 53);
}

static void
resolv_conf_is_read(void **state)
{
	static const char	text[] =
		"; nameserver 192.0.2.9\n"
		"# nameserver 192.0.2.9\n"
		"search nameserver 192.0.2.9\n"
		" nameserver 192.0.2.9\n"
		"nameserver\n"
		"nameserver \n"
		"nameservers 192.0.2.9\n"
		"nameserver192.0.2.9\n"
		"nameserver dns.example\n"
		"nameserver 192.0.2\n"
		"nameserver 0x7f000001\n"
		"nameserver fe80::1%no-such-link\n"
		"nameserver fe80::1\n"
		"nameserver 192.0.2.9%lo\n"
		"nameserver 224.0.0.1\n"
		"nameserver [2001:db8::1]:53\n"
		"nameserver 192.0.2.1#53\n"
		"nameserver 127.0.0.53\r\n"
		"options edns0\n"
		"nameserver\t 2001:DB8:0::1 \t# the second\n"
		"nameserver 127.0.0.53\n"
		"\n"
		"nameserver 192.0.2.3";
	struct hostconf	c;
	char		more[512];
	size_t		len;

	(void)state;
	hostconf_parse(text, sizeof(text) - 1, &c);
	assert_int_equal(c.host.n, 4);
	is_upstream(&c, 0, "192.0.2.1");
	is_upstream(&c, 1, "127.0.0.53");
	is_upstream(&c, 2, "2001:db8::1");
	is_upstream(&c, 3, "192.0.2.3");
	assert_int_equal(c.ndots, -1);
	assert_int_equal(c.host.rotate + c.host.tcp + c.host.patience, 0);
	for (len = 0; len < sizeof(text); len++)
		hostconf_parse(text, len, &c);		/* for the sanitizer */
	for (len = 1, *more = '\0'; len <= 9; len++)
		snprintf(more + strlen(more), sizeof(more) - strlen(more),
		    "nameserver ::%zu\n", len);
	conf(&c, more);
	assert_int_equal(c.host.n, UPSTREAM_MAX);
	is_upstream(&c, 7, "::8");
	hostconf_parse("nameserver ::1\0nameserver\n", 26, &c);
	assert_int_equal(c.host.n, 0);
	conf(&c, "nameserver "
	    "1111111111111111111111111111111111111111111111111111111111111111");
	assert_int_equal(c.host.n, 0);
	conf(&c, "nameserver ::ffff:192.0.2.1\nnameserver 0.0.0.0\n"
	    "nameserver ::\n");
	assert_int_equal(c.host.n, 3);
	is_upstream(&c, 0, "192.0.2.1");
	is_upstream(&c, 1, "127.0.0.1");
	is_upstream(&c, 2, "::1");
	conf(&c, "");
	assert_int_equal(c.host.n, 0);
}

/* The loopback link is the first one in every network namespace. */
static void
resolv_conf_has_scopes(void **state)
{
	struct hostconf	c;

	(void)state;
	conf(&c, "nameserver fe80::1%lo\nnameserver fe80::1%7\n"
	    "nameserver fe80::1%1\nnameserver fe80::1%0\nnameserver fe80::1%\n"
	    "nameserver fe80::1%7x\nnameserver 2001:db8::1%lo\n");
	assert_int_equal(c.host.n, 2);
	is_upstream(&c, 0, "fe80::1%1");
	is_upstream(&c, 1, "fe80::1%7");
}

static void
resolv_conf_has_a_list(void **state)
{
	struct hostconf	c;
	char		many[1024] = "search";
	int		i;

	(void)state;
	conf(&c, "domain a.example b.example\n");
	assert_int_equal(c.nsearch, 1);
	assert_string_equal(c.search[0].text, "a.example");
	conf(&c, "domain a.example\nsearch\tb.example. \tC.Example 1.2.3.4 "
	    "x..y\r\n");
	assert_int_equal(c.nsearch, 2);
	assert_string_equal(c.search[0].text, "b.example");
	assert_string_equal(c.search[1].text, "c.example");
	conf(&c, "search a.example\nsearch .\n");
	assert_int_equal(c.nsearch, 0);
	conf(&c, "search a.example\nsearch");
	assert_int_equal(c.nsearch, 0);
	for (i = 0; i < 40; i++)
		snprintf(many + strlen(many), sizeof(many) - strlen(many),
		    " n%d.example", i);
	conf(&c, many);
	assert_int_equal(c.nsearch, SEARCH_MAX);
}

static void
resolv_conf_has_options(void **state)
{
	struct hostconf	c;

	(void)state;
	conf(&c, "options edns0 trust-ad rotate\toptions ndots:2 ndots: ndots:x "
	    "timeout:\noptions use-vc timeout:3 attempts:7 no-aaaa\n");
	assert_int_equal(c.host.rotate, 1);
	assert_int_equal(c.host.tcp, 1);
	assert_int_equal(c.host.patience, 3);
	assert_int_equal(c.ndots, 2);
	assert_true(c.no_aaaa);
	conf(&c, "options timeout:99999999999999999999 ndots:99\n");
	assert_int_equal(c.host.patience, 30);
	assert_int_equal(c.ndots, 15);
	conf(&c, "options timeout:0 timeout:-1\nrotate\n");
	assert_int_equal(c.host.patience, 0);
	assert_int_equal(c.host.rotate, 0);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(resolv_conf_is_read),
		cmocka_unit_test(resolv_conf_has_scopes),
		cmocka_unit_test(resolv_conf_has_a_list),
		cmocka_unit_test(resolv_conf_has_options),
		cmocka_unit_test(netlink_is_laid_out),
		cmocka_unit_test(netlink_never_overflows),
		cmocka_unit_test(netlink_brings_errors_back),
		cmocka_unit_test(identity_map_keeps_extents),
		cmocka_unit_test(drain_sees_what_is_left),
		cmocka_unit_test(drain_counts_sockets),
		cmocka_unit_test(words_are_checked),
		cmocka_unit_test(guard_refuses_families),
		cmocka_unit_test(guard_refuses_typing),
		cmocka_unit_test(guard_refuses_keys),
		cmocka_unit_test(border_stops_signals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
