/*
 * The broker's parts joined in one process, without its seal: what the tests of
 * the whole program cannot reach, because it needs a change in the midst of a
 * flow or a clock that jumps.
 */
#include <sys/socket.h>

#include <netinet/in.h>

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "broker.h"
#include "fd.h"
#include "policy_double.h"

struct rig {
	struct event_base	*base;
	struct broker		*b;
	struct guest		*g;
	int			 keeper, recorder, frame, listener;
	uint16_t		 port;
	uint64_t		 id;
	bool			 hold;		/* no acknowledgements */
	struct record		 seen[64];	/* the last records, by rec */
	uint64_t		 nseen;
};

static struct rig	rig;

static int
take(int chan, void *buf, size_t size, int *fd)
{
	ssize_t	n = fd_recv(chan, buf, size, fd, NULL);

	return n > 0 ? (int)n : 0;
}

/* Runs the loop until nothing moves, and plays the recorder. */
static void
turn(void)
{
	struct record		r;
	struct record_ack	ack;
	int			quiet = 0;

	while (quiet < 3) {
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
		quiet++;
		while (rig.recorder != -1 &&
		    take(rig.recorder, &r, sizeof(r), NULL) > 0) {
			quiet = 0;
			if (r.head.type != RECORD_WRITE)
				continue;
			assert_int_equal(r.head.id, ++rig.nseen);
			rig.seen[rig.nseen % 64] = r;
			if (rig.hold)
				continue;
			wire_begin(&ack, sizeof(ack), RECORD_DURABLE,
			    rig.nseen);
			assert_int_equal(fd_send(rig.recorder, &ack,
			    sizeof(ack), -1), 0);
		}
		usleep(1000);
	}
}

static const struct record *
last_record(void)
{
	return &rig.seen[rig.nseen % 64];
}

static struct policy *
law(void)
{
	struct double_blob	blob;
	char			err[64];
	struct policy_limits	limits = POLICY_LIMITS_DEFAULT;

	memset(&blob, 0, sizeof(blob));
	memcpy(blob.magic, DOUBLE_MAGIC, 8);
	blob.limits = limits;
	return policy_load(&blob, sizeof(blob), err, sizeof(err));
}

static void
hello(int chan, uint32_t type)
{
	struct wire_hello	m;

	wire_begin(&m, sizeof(m), type, 0);
	m.magic = WIRE_MAGIC;
	m.version = WIRE_VERSION;
	wire_build_id(m.build);
	assert_int_equal(fd_send(chan, &m, sizeof(m), -1), 0);
}

static void
start_recorder(void)
{
	struct record_ack	ready;
	int			pair[2];

	assert_int_equal(fd_channel(pair), 0);
	rig.recorder = pair[1];
	audit_recorder(rig.b, pair[0]);
	hello(rig.recorder, RECORD_HELLO);
	turn();
	wire_begin(&ready, sizeof(ready), RECORD_READY, rig.nseen);
	assert_int_equal(fd_send(rig.recorder, &ready, sizeof(ready), -1), 0);
	turn();
}

static void
start_guest(void)
{
	struct keeper_guest	conf;
	struct keeper_child	child;
	struct wire_config	config;
	int			pair[2];

	wire_begin(&conf, sizeof(conf), KEEPER_GUEST, 0);
	snprintf(conf.name, sizeof(conf.name), "unit");
	conf.mtu = 1500;
	conf.v4.guest = endpoint_v4(0x0a000264, 0);
	conf.v4.gateway = endpoint_v4(0x0a000202, 0);
	guest_take(rig.b, &conf);
	rig.g = rig.b->guest[0];
	assert_int_equal(fd_channel(pair), 0);
	rig.frame = pair[1];
	wire_begin(&child, sizeof(child), KEEPER_CHILD, 0);
	guest_frame(rig.b, &child, pair[0]);
	hello(rig.frame, WIRE_HELLO);
	turn();
	assert_int_equal(take(rig.frame, &config, sizeof(config), NULL),
	    sizeof(config));
}

static int
setup(void **state)
{
	struct sockaddr_in	sin = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t		len = sizeof(sin);
	int			pair[2];

	(void)state;
	memset(&rig, 0, sizeof(rig));
	signal(SIGPIPE, SIG_IGN);
	rig.base = event_base_new();
	assert_int_equal(fd_channel(pair), 0);
	rig.keeper = pair[1];
	rig.b = broker_new(rig.base, pair[0], law(), 0, DURABLE_BEFORE_DATA);
	broker_start(rig.b);
	start_recorder();
	start_guest();
	rig.listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(rig.listener, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(rig.listener, 64), 0);
	getsockname(rig.listener, (struct sockaddr *)&sin, &len);
	rig.port = ntohs(sin.sin_port);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	broker_free(rig.b);
	event_base_free(rig.base);
	close(rig.keeper);
	fd_drop(&rig.recorder);
	fd_drop(&rig.frame);
	close(rig.listener);
	return 0;
}

static uint64_t
open_flow(void)
{
	struct wire_open	m;

	wire_begin(&m, sizeof(m), WIRE_OPEN, ++rig.id);
	m.proto = PROTO_TCP;
	m.guest = endpoint_v4(0x0a000264, 4000);
	m.dst = endpoint_v4(0x7f000001, rig.port);
	assert_int_equal(fd_send(rig.frame, &m, sizeof(m), -1), 0);
	turn();
	return rig.id;
}

/* The next message's type (0 = none); its id must be this one. */
static uint32_t
told(uint64_t id, int *fd)
{
	union {
		struct wire_head	head;
		unsigned char		bytes[WIRE_MAX];
	} m;
	int	got = -1;

	if (take(rig.frame, &m, sizeof(m), &got) == 0)
		return 0;
	assert_int_equal(m.head.id, id);
	if (fd != NULL)
		*fd = got;
	else
		fd_drop(&got);
	return m.head.type;
}

static void
say_close(uint64_t id, uint32_t how, uint32_t reason)
{
	struct wire_close	m;

	wire_begin(&m, sizeof(m), WIRE_CLOSE, id);
	m.how = how;
	m.reason = reason;
	assert_int_equal(fd_send(rig.frame, &m, sizeof(m), -1), 0);
	turn();
}

/* Something changed while the record was on its way; the verdict did not. */
static void
judged_again_and_allowed(void **state)
{
	uint64_t	id;

	(void)state;
	rig.hold = true;
	id = open_flow();
	rig.b->epoch++;
	rig.hold = false;
	open_flow();
	assert_int_equal(told(id, NULL), WIRE_GRANT);
	assert_int_equal(ledger_find(rig.g, id)->epoch, rig.b->epoch);
}

static void
judged_again_and_denied(void **state)
{
	struct flow	*f;
	uint64_t	 id;

	(void)state;
	rig.hold = true;
	id = open_flow();
	f = ledger_find(rig.g, id);
	assert_int_equal(f->state, FLOW_RECORDED);
	f->g_dst.port = 1;			/* what is now denied */
	rig.b->epoch++;
	rig.hold = false;
	open_flow();
	assert_int_equal(told(id, NULL), WIRE_DENY);
	assert_null(ledger_find(rig.g, id));
}

/* It would now be dialled elsewhere: what is connected is not what is allowed. */
static void
judged_again_and_moved(void **state)
{
	struct flow	*f;
	uint64_t	 id;

	(void)state;
	rig.hold = true;
	id = open_flow();
	f = ledger_find(rig.g, id);
	f->g_dst = endpoint_v4(0x7f000002, rig.port);
	rig.b->epoch++;
	rig.hold = false;
	open_flow();
	assert_int_equal(told(id, NULL), WIRE_DENY);
}

static void
close_overdue(void **state)
{
	struct flow	*f;
	uint64_t	 id = open_flow();
	int		 fd, conn;

	(void)state;
	assert_int_equal(told(id, &fd), WIRE_GRANT);
	conn = accept(rig.listener, NULL, NULL);
	assert_int_equal(write(conn, "data", 4), 4);
	close(conn);
	shutdown(fd, SHUT_WR);
	turn();
	f = ledger_find(rig.g, id);
	assert_ptr_equal(f->on, &rig.g->hup);
	ledger_tick(rig.g, f->due);		/* its data is not fetched yet */
	assert_int_equal(f->state, FLOW_OPEN);
	assert_int_equal(read(fd, (char[8]){ 0 }, 8), 4);
	ledger_tick(rig.g, f->due);
	assert_int_equal(f->state, FLOW_REVOKED);
	turn();
	assert_int_equal(last_record()->type, REC_IPC_VIOLATION);
	assert_string_equal(last_record()->detail, "close-overdue");
	assert_int_equal(told(id, NULL), WIRE_REVOKE);
	close(fd);
	say_close(id, HOW_RST, REASON_KILLED);
	assert_int_equal(last_record()->type, REC_FLOW_CLOSE);
	assert_int_equal(last_record()->reason, REASON_IPC_VIOLATION);
}

/* More refusals than the channel holds: none is lost, each comes once. */
static void
owed_and_paid(void **state)
{
	struct wire_deny	m;
	uint64_t		id, n = 0;

	(void)state;
	for (id = 1; id <= 2000; id++)
		answer_deny(rig.g, id, DENY_RESET);
	assert_true(rig.g->nowed > 1000 && rig.g->paused);
	while (take(rig.frame, &m, sizeof(m), NULL) > 0) {
		assert_int_equal(m.head.id, ++n);
		turn();
	}
	assert_int_equal(n, 2000);
	assert_false(rig.g->paused);
	assert_int_equal(rig.g->nowed, 0);
}

static void
revoked_before_the_grant(void **state)
{
	struct flow	*f;
	uint64_t	 id;

	(void)state;
	rig.hold = true;
	id = open_flow();
	f = ledger_find(rig.g, id);
	ledger_revoke(f, REASON_POLICY_REVOKED);
	turn();
	assert_int_equal(told(id, NULL), WIRE_DENY);
	assert_int_equal(last_record()->type, REC_FLOW_CLOSE);
	assert_int_equal(last_record()->reason, REASON_POLICY_REVOKED);
	assert_int_equal(quota_conns(rig.g->quota), 0);
}

/* The reason and the code of flows.md, 4, for each errno. */
static void
errors_of_connect(void **state)
{
	static const struct {
		int		error;
		enum reason	reason;
		enum deny_code	code;
	} t[] = {
		{ ECONNREFUSED, REASON_CONNECT_REFUSED, DENY_RESET },
		{ ECONNRESET, REASON_CONNECT_REFUSED, DENY_RESET },
		{ EHOSTUNREACH, REASON_HOST_UNREACH, DENY_HOST },
		{ ENETUNREACH, REASON_NET_UNREACH, DENY_NET },
		{ EACCES, REASON_HOST_UNREACH, DENY_ADMIN },
		{ EPERM, REASON_HOST_UNREACH, DENY_ADMIN },
		{ ETIMEDOUT, REASON_CONNECT_TIMEOUT, DENY_SILENT },
		{ EADDRNOTAVAIL, REASON_RESOURCE, DENY_RESET },
		{ EMFILE, REASON_RESOURCE, DENY_RESET },
		{ ENOBUFS, REASON_RESOURCE, DENY_RESET },
		{ ENOMEM, REASON_RESOURCE, DENY_RESET },
	};
	enum deny_code	code;
	size_t		i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		assert_int_equal(connect_reason(t[i].error, &code),
		    t[i].reason);
		assert_int_equal(code, t[i].code);
	}
}

/* No OPEN record is numbered twice or lost when the recorder changes. */
static void
another_recorder(void **state)
{
	uint64_t	id;

	(void)state;
	rig.hold = true;
	id = open_flow();
	close(rig.recorder);
	rig.recorder = -1;
	turn();
	assert_int_equal(told(id, NULL), WIRE_DENY);
	assert_false(audit_up(rig.b));
	rig.nseen--;		/* the open did not reach the disk */
	rig.hold = false;
	start_recorder();
	assert_int_equal(audit_backlog(rig.b), 0);
	assert_int_equal(last_record()->type, REC_FLOW_DENY);
	assert_int_equal(last_record()->flow, 1);
	id = open_flow();
	assert_int_equal(told(id, NULL), WIRE_GRANT);
}

/* DIED overtakes what the recorder had acknowledged before its end. */
static void
last_acknowledgement(void **state)
{
	const struct keeper_died	killed = { .role = ROLE_RECORDER,
					    .signal = 9 };
	struct record_ack		ack;
	uint64_t			id;

	(void)state;
	rig.hold = true;
	id = open_flow();
	wire_begin(&ack, sizeof(ack), RECORD_DURABLE, rig.nseen);
	assert_int_equal(fd_send(rig.recorder, &ack, sizeof(ack), -1), 0);
	close(rig.recorder);
	rig.recorder = -1;
	audit_died(rig.b, &killed);
	assert_int_equal(audit_backlog(rig.b), 0);
	assert_int_equal(told(id, NULL), WIRE_GRANT);
}

static void
own_addresses(void **state)
{
	struct endpoint		lo = endpoint_v4(0x7f000001, 0);
	struct policy_locals	l = locals_list(rig.b->locals);
	size_t			i;

	(void)state;
	assert_true(locals_has(rig.b->locals, &lo));
	lo.addr[3] = 77;
	assert_false(locals_has(rig.b->locals, &lo));
	for (i = 1; i < l.n; i++)
		assert_true(addr_compare(&l.addr[i - 1], &l.addr[i]) <= 0);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(judged_again_and_allowed), T(judged_again_and_denied),
		T(judged_again_and_moved), T(close_overdue), T(owed_and_paid),
		T(revoked_before_the_grant), T(another_recorder),
		T(last_acknowledgement),
		T(own_addresses), cmocka_unit_test(errors_of_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
