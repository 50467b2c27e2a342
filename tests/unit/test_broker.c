/*
 * The broker's parts joined in one process, without its seal: what the tests of
 * the whole program cannot reach, because it needs a change in the midst of a
 * flow or a clock that jumps.
 */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

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
	struct record_named	 seen[64];	/* the last records, by rec */
	uint64_t		 nseen;
	int			 resolver, inspector;
	size_t			 write_max;	/* to sockets of flows */
	unsigned int		 full, writes;	/* EAGAINs first; all of them */
	int			 no_watch;	/* of this epoll: `no_watch_op` fails */
	int			 no_watch_op;
};

static struct rig	rig;

ssize_t	__real_write(int, const void *, size_t);
ssize_t	__wrap_write(int, const void *, size_t);

static bool
is_tcp(int fd)
{
	int		type = 0, domain = 0;
	socklen_t	len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	    type == SOCK_STREAM && domain == AF_INET;
}

/* Only what the broker writes goes this way: the test uses send(2). */
ssize_t
__wrap_write(int fd, const void *buf, size_t len)
{
	if (rig.write_max != 0 && is_tcp(fd)) {
		rig.writes++;
		if (rig.full > 0) {
			rig.full--;
			errno = EAGAIN;
			return -1;
		}
		if (len > rig.write_max)
			len = rig.write_max;
	}
	return __real_write(fd, buf, len);
}

/*
 * In the place of libc's, for libevent too: the user's watches are used up. 0 is
 * every epoll.
 */
int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *ev)
{
	if (op == rig.no_watch_op &&
	    (rig.no_watch == 0 || rig.no_watch == epoll)) {
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, epoll, op, fd, ev);
}

/* The next message. A guest is pinged every ten seconds, which is no test's subject. */
static int
take(int chan, void *buf, size_t size, int *fd)
{
	struct wire_head	head;
	ssize_t			n;

	do {
		n = fd_recv(chan, buf, size, fd, NULL);
		if (n > 0)
			memcpy(&head, buf, sizeof(head));
	} while (n > 0 && chan == rig.frame && head.type == WIRE_PING);
	return n > 0 ? (int)n : 0;
}

/* Runs the loop until nothing moves, and plays the recorder. */
static void
turn(void)
{
	struct record_named	r;
	struct record_ack	ack;
	int			quiet = 0;

	while (quiet < 3) {
		event_base_loop(rig.base, EVLOOP_NONBLOCK);
		quiet++;
		while (rig.recorder != -1 &&
		    take(rig.recorder, &r, sizeof(r), NULL) > 0) {
			quiet = 0;
			if (r.r.head.type != RECORD_WRITE &&
			    r.r.head.type != RECORD_NAMED)
				continue;
			assert_int_equal(r.r.head.id, ++rig.nseen);
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
	return &rig.seen[rig.nseen % 64].r;
}

static struct policy *
law(void)
{
	struct double_blob	blob;
	char			err[64];
	struct policy_limits	limits = POLICY_LIMITS_DEFAULT;

	memset(&blob, 0, sizeof(blob));
	memcpy(blob.magic, DOUBLE_MAGIC, 8);
	limits.pending = limits.pending_dst = 1024;
	limits.unproven = limits.unproven_dst = 1024;
	blob.limits = limits;
	blob.needs = NEEDS_RESOLVER | NEEDS_INSPECTOR;
	blob.pin_min = 60;
	blob.pin_max = 3600;
	blob.pin_grace = 30;
	blob.upstreams = 1;
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

/* One of the two, greeted. */
static int
start_child(struct child *c, uint32_t type)
{
	int	pair[2];

	assert_int_equal(fd_channel(pair), 0);
	child_started(c, pair[0]);
	hello(pair[1], type);
	turn();
	return pair[1];
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
				    .sin_addr.s_addr = htonl(INADDR_ANY) };
	socklen_t		len = sizeof(sin);
	int			pair[2];

	(void)state;
	memset(&rig, 0, sizeof(rig));
	signal(SIGPIPE, SIG_IGN);
	rig.base = chan_base();
	assert_int_equal(fd_channel(pair), 0);
	rig.keeper = pair[1];
	rig.b = broker_new(rig.base, pair[0], law(), 0, DURABLE_BEFORE_DATA);
	broker_start(rig.b);
	start_recorder();
	rig.resolver = start_child(resolver_child(rig.b), RESOLVER_HELLO);
	rig.inspector = start_child(inspector_child(rig.b), INSPECT_HELLO);
	start_guest();
	rig.listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(rig.listener, SOL_SOCKET, SO_RCVTIMEO,
	    &(struct timeval){ .tv_sec = 5 }, sizeof(struct timeval));
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
	fd_drop(&rig.resolver);
	fd_drop(&rig.inspector);
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

/* The reason and the code for each errno. */
static void
errors_of_connect(void **state)
{
	static const struct {
		int		error;
		enum reason	reason;
		enum deny_code	code;
	} t[] = {
		{ ECONNREFUSED, REASON_CONNECT_REFUSED, DENY_RESET },
		{ ECONNRESET, REASON_PEER_RESET, DENY_RESET },
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

/* Bytes that wait for the peer, and how long ago it has said anything. */
static void
silence(void **state)
{
	static char		some[1 << 16];
	struct flow		f = { .proto = PROTO_TCP };
	struct sockaddr_in	sin;
	socklen_t		len = sizeof(sin);
	int			peer;

	(void)state;
	f.fd = socket(AF_INET, SOCK_STREAM, 0);
	getsockname(rig.listener, (struct sockaddr *)&sin, &len);
	assert_int_equal(connect(f.fd, (struct sockaddr *)&sin, len), 0);
	peer = accept(rig.listener, NULL, NULL);
	assert_int_equal(fd_nonblock(f.fd), 0);
	assert_false(meter_silent(&f, 0));	/* nothing is on its way */
	while (write(f.fd, some, sizeof(some)) > 0)
		;
	assert_true(meter_silent(&f, 0));
	assert_false(meter_silent(&f, 60000));
	usleep(150000);
	assert_true(meter_silent(&f, 100));
	while (kmem_queued(f.fd) > 0)
		assert_true(read(peer, some, sizeof(some)) > 0);
	assert_false(meter_silent(&f, 0));
	close(f.fd);
	close(peer);
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
					    .pid = 1, .signal = 9 };
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

/* ---- first flights ------------------------------------------------------------- */

static struct name
named(const char *text)
{
	struct name	n;

	assert_int_equal(name_from_text(text, strlen(text), &n), 0);
	return n;
}

static uint64_t
open_named(const char *text)
{
	struct endpoint		e = endpoint_v4(0x7f090001, rig.port);
	struct name		n = named(text);
	struct wire_open	m;

	pins_put(rig.g->pins, &n, &e, 1, UINT64_MAX, boot_now());
	wire_begin(&m, sizeof(m), WIRE_OPEN, ++rig.id);
	m.proto = PROTO_TCP;
	m.guest = endpoint_v4(0x0a000264, 4000);
	m.dst = e;
	assert_int_equal(fd_send(rig.frame, &m, sizeof(m), -1), 0);
	turn();
	return rig.id;
}

static uint32_t
told_any(void)
{
	union {
		struct wire_head	head;
		unsigned char		bytes[WIRE_MAX];
	} m;
	int	fd = -1;

	if (take(rig.frame, &m, sizeof(m), &fd) == 0)
		return 0;
	fd_drop(&fd);
	return m.head.type;
}

/* FLIGHT, and what the inspector says. */
static void
show_told(uint64_t id, const char *flight, const char *name)
{
	struct {
		struct wire_flight	m;
		char			bytes[64];
	} f;
	union {
		struct inspect_flight	m;
		unsigned char		bytes[WIRE_MAX];
	} got;
	struct inspect_result	r;
	size_t			len = strlen(flight);

	wire_begin(&f, sizeof(f), WIRE_FLIGHT, id);
	f.m.len = (uint32_t)len;
	memcpy(f.bytes, flight, len);
	assert_int_equal(fd_send(rig.frame, &f, sizeof(f.m) + len, -1), 0);
	turn();
	while (take(rig.inspector, &got, sizeof(got), NULL) > 0)
		if (got.m.head.type == INSPECT_FLIGHT) {
			wire_begin(&r, sizeof(r), INSPECT_RESULT,
			    got.m.head.id);
			r.status = INSPECT_NAMED;
			r.kind = PEEK_TLS;
			r.name = named(name);
			assert_int_equal(fd_send(rig.inspector, &r, sizeof(r),
			    -1), 0);
		}
	turn();
}

static void
show(uint64_t id, const char *flight, const char *name)
{
	assert_int_equal(told(id, NULL), WIRE_PEEK);
	show_told(id, flight, name);
}

static int
served(const char *want)
{
	struct sockaddr_in	sin;
	socklen_t		len = sizeof(sin);
	char			buf[64];
	int			conn = accept(rig.listener,
				    (struct sockaddr *)&sin, &len);
	ssize_t			n = recv(conn, buf, sizeof(buf), MSG_DONTWAIT);

	if (want == NULL)
		assert_int_equal(n, -1);
	else {
		assert_int_equal(n, strlen(want));
		assert_memory_equal(buf, want, strlen(want));
	}
	return conn;
}

/* Three bytes at a time, with pauses: all of them come before the grant. */
static void
written_in_pieces(void **state)
{
	uint64_t	id = open_named("sni.test");

	(void)state;
	rig.write_max = 3;
	rig.full = 2;
	show(id, "0123456789", "sni.test");
	assert_int_equal(rig.writes, 2 + 4);
	assert_int_equal(told(id, NULL), WIRE_GRANT);
	assert_int_equal(ledger_find(rig.g, id)->written, 10);
	assert_int_equal(rig.g->flights, 0);
	close(served("0123456789"));
}

/* What went out counts, though the guest never had the socket. */
static void
cancelled_after_the_flight(void **state)
{
	uint64_t	id;
	int		i;

	(void)state;
	for (i = 0; i < (int)WIRE_INFLIGHT_MAX; i++)
		open_flow();		/* not acknowledged: no room for more */
	id = open_named("sni.test");
	while (told_any() != WIRE_PEEK)
		;
	show_told(id, "0123456789", "sni.test");
	assert_int_equal(ledger_find(rig.g, id)->state, FLOW_READY);
	say_close(id, HOW_CANCEL, REASON_GUEST_RST);
	assert_null(ledger_find(rig.g, id));
	assert_int_equal(last_record()->type, REC_FLOW_CLOSE);
	assert_int_equal(last_record()->up, 10);
	assert_int_equal(last_record()->csrc, CSRC_KERNEL);
}

/* A server that is gone before it was spoken to. */
static void
reset_before_the_flight(void **state)
{
	struct linger	l = { 1, 0 };
	uint64_t	id = open_named("sni.test");
	int		conn;

	(void)state;
	rig.hold = true;
	show(id, "0123456789", "sni.test");
	conn = accept(rig.listener, NULL, NULL);
	setsockopt(conn, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(conn);
	rig.hold = false;
	guest_report(rig.g, "for the acknowledgement");
	turn();
	assert_int_equal(told(id, NULL), WIRE_DENY);
	assert_int_equal(last_record()->type, REC_FLOW_CLOSE);
	assert_int_equal(last_record()->reason, REASON_PEER_RESET);
}

/* The law is asked again with the same name, though its pin is gone. */
static void
judged_again_with_its_name(void **state)
{
	uint64_t	id = open_named("sni.test");

	(void)state;
	rig.hold = true;
	show(id, "hello", "sni.test");
	pins_free(rig.g->pins);
	rig.g->pins = rig.g->account->pins = pins_new();
	rig.b->epoch++;
	rig.hold = false;
	guest_report(rig.g, "for the acknowledgement");
	turn();
	assert_int_equal(told(id, NULL), WIRE_GRANT);
	close(served("hello"));
}

/* Denied meanwhile: not a byte, although it is connected. */
static void
judged_again_before_the_flight(void **state)
{
	struct flow	*f;
	uint64_t	 id = open_named("sni.test");

	(void)state;
	rig.hold = true;
	show(id, "hello", "sni.test");
	f = ledger_find(rig.g, id);
	assert_int_equal(f->state, FLOW_RECORDED);
	f->named->shown.ech = true;		/* what is now denied */
	rig.b->epoch++;
	rig.hold = false;
	guest_report(rig.g, "for the acknowledgement");
	turn();
	assert_int_equal(told(id, NULL), WIRE_DENY);
	assert_int_equal(last_record()->reason, REASON_ECH_PRESENT);
	close(served(NULL));
}

/* A flow that went on without a flight is judged as one that shows nothing. */
static void
judged_again_without_a_flight(void **state)
{
	uint64_t	id = open_named("sniaudit.test");
	int		conn = accept(rig.listener, NULL, NULL);

	(void)state;
	assert_int_equal(told(id, NULL), WIRE_PEEK);
	rig.hold = true;
	assert_int_equal(write(conn, "220", 3), 3);
	turn();
	assert_int_equal(ledger_find(rig.g, id)->state, FLOW_RECORDED);
	assert_int_equal(last_record()->reason, REASON_SERVER_FIRST);
	rig.b->epoch++;
	rig.hold = false;
	guest_report(rig.g, "for the acknowledgement");
	turn();
	assert_int_equal(told(id, NULL), WIRE_GRANT);
	close(conn);
}

/* One that is looked at for the record only, and shows nothing. */
static void
judged_again_unlooked(void **state)
{
	uint64_t	id;
	int		conn;

	(void)state;
	rig.b->durable = DURABLE_BEFORE_CONNECT;
	rig.hold = true;
	id = open_named("look.test");
	assert_int_equal(ledger_find(rig.g, id)->state, FLOW_RECORD);
	assert_int_equal(last_record()->type, REC_FLOW_DIAL);
	rig.hold = false;
	guest_report(rig.g, "for the acknowledgement");
	turn();
	assert_int_equal(told(id, NULL), WIRE_PEEK);
	rig.hold = true;
	conn = accept(rig.listener, NULL, NULL);
	assert_int_equal(write(conn, "220", 3), 3);
	turn();
	assert_int_equal(ledger_find(rig.g, id)->state, FLOW_RECORDED);
	rig.b->epoch++;
	rig.hold = false;
	guest_report(rig.g, "for the acknowledgement");
	turn();
	assert_int_equal(told(id, NULL), WIRE_GRANT);
	close(conn);
}

static void
revoked_in_peek(void **state)
{
	uint64_t	id = open_named("sni.test");
	struct flow	*f = ledger_find(rig.g, id);

	(void)state;
	assert_int_equal(f->state, FLOW_PEEK);
	assert_int_equal(quota_conns(rig.g->quota), 1);
	assert_int_equal(quota_pending(rig.g->quota), 0);
	assert_int_equal(quota_unproven(rig.g->quota), 1);
	assert_int_equal(told(id, NULL), WIRE_PEEK);
	ledger_revoke(f, REASON_KILLED);
	turn();
	assert_int_equal(told(id, NULL), WIRE_DENY);
	assert_int_equal(last_record()->type, REC_FLOW_CLOSE);
	assert_int_equal(last_record()->reason, REASON_KILLED);
	assert_int_equal(last_record()->verdict, VERDICT_NONE);
	assert_int_equal(quota_unproven(rig.g->quota), 0);
	assert_int_equal(rig.g->crossing, 1);
	assert_int_equal(quota_conns(rig.g->quota), 0);
}

/* More PEEKs than the channel holds: none is lost, and none times out untold. */
static void
peeks_owed(void **state)
{
	uint64_t		first = open_named("sni.test"), n = first;
	struct wire_peek	m;
	int			conn[400];
	unsigned int		i;

	(void)state;
	for (i = 0; i < 400; i++) {
		open_named("sni.test");
		conn[i] = accept(rig.listener, NULL, NULL);
	}
	assert_false(TAILQ_EMPTY(&rig.g->unpeeked));
	assert_int_equal(TAILQ_LAST(&rig.g->unpeeked, flow_list)->due, 0);
	while (take(rig.frame, &m, sizeof(m), NULL) > 0) {
		assert_int_equal(m.head.id, n++);
		turn();
	}
	assert_int_equal(n, first + 401);
	assert_true(TAILQ_EMPTY(&rig.g->unpeeked));
	peek_tick(rig.g, mono_now() + 5 * SEC);
	assert_int_equal(rig.g->nflows, 401);
	peek_tick(rig.g, mono_now() + 12 * SEC);
	assert_int_equal(rig.g->nflows, 0);
	assert_int_equal(rig.g->crossing, 401);
	for (i = 0; i < 400; i++)
		close(conn[i]);
}

static void
own_addresses(void **state)
{
	struct endpoint	lo = endpoint_v4(0x7f000001, 0), wrapped;
	uint32_t	own;

	(void)state;
	assert_true(locals_has(rig.b->locals, &lo));
	lo.addr[3] = 77;
	assert_false(locals_has(rig.b->locals, &lo));
	/* what no list has, the kernel knows */
	assert_int_equal(route_ask(&rig.b->route, PROTO_UDP, NULL, &lo),
	    ROUTE_OWN);
	assert_int_equal(host_look(rig.b, PROTO_TCP, NULL, &lo, &own),
	    ROUTE_OWN);
	assert_int_equal(own, 1);
	assert_int_equal(addr_parse("64:ff9b::127.0.0.77", &wrapped), 0);
	(void)host_look(rig.b, PROTO_TCP, NULL, &wrapped, &own);
	assert_int_equal(own, 2);
}

/* ---- the user's watches are used up ---------------------------------------------- */

/* How often the keeper was asked to end a child of this role since the last time. */
static unsigned int
kills(enum role role)
{
	union {
		struct keeper_child	child;
		struct wire_hello	hello;
	} m;
	unsigned int	n = 0;

	turn();
	while (take(rig.keeper, &m, sizeof(m), NULL) > 0)
		n += m.child.head.type == KEEPER_KILL && m.child.role == role;
	return n;
}

static void
say_ack(uint64_t id)
{
	struct wire_id	m;

	wire_begin(&m, sizeof(m), WIRE_ACK, id);
	assert_int_equal(fd_send(rig.frame, &m, sizeof(m), -1), 0);
	turn();
}

/* A socket that cannot be watched is not given away, and its record says so. */
static void
unwatched_is_not_granted(void **state)
{
	uint64_t	id;
	char		c;
	int		conn;

	(void)state;
	rig.no_watch = rig.b->watch;
	rig.no_watch_op = EPOLL_CTL_ADD;
	id = open_flow();
	assert_int_equal(told(id, NULL), WIRE_DENY);
	assert_null(ledger_find(rig.g, id));
	assert_int_equal(last_record()->type, REC_FLOW_CLOSE);
	assert_int_equal(last_record()->reason, REASON_RESOURCE);
	assert_int_equal(last_record()->err, ENOSPC);
	conn = accept(rig.listener, NULL, NULL);
	assert_int_equal(read(conn, &c, 1), -1);	/* it was reset */
	close(conn);
	rig.no_watch_op = 0;
	assert_int_equal(told(open_flow(), NULL), WIRE_GRANT);
}

/* Nothing needs a new watch from the grant to the end, whatever happens between. */
static void
watched_to_the_end(void **state)
{
	uint64_t	id = open_flow();
	int		fd, conn;

	(void)state;
	assert_int_equal(told(id, &fd), WIRE_GRANT);
	say_ack(id);
	rig.no_watch = rig.b->watch;
	rig.no_watch_op = EPOLL_CTL_ADD;
	conn = accept(rig.listener, NULL, NULL);
	shutdown(conn, SHUT_WR);
	shutdown(fd, SHUT_WR);
	turn();				/* HUP */
	say_close(id, HOW_FIN, REASON_DONE);
	turn();				/* and it has kept its copy */
	assert_int_equal(last_record()->type, REC_IPC_VIOLATION);
	assert_string_equal(last_record()->detail, "kept-copy");
	assert_int_equal(kills(ROLE_FRAME), 1);
	close(fd);
	close(conn);
}

/* A frame whose CLOSE cannot be put to the test is not believed. */
static void
untested_close(void **state)
{
	uint64_t	id = open_flow(), other;
	int		fd, fd2;

	(void)state;
	assert_int_equal(told(id, &fd), WIRE_GRANT);
	other = open_flow();
	assert_int_equal(told(other, &fd2), WIRE_GRANT);
	say_ack(other);
	rig.no_watch = rig.b->watch;
	rig.no_watch_op = EPOLL_CTL_MOD;
	say_close(id, HOW_RST, REASON_GUEST_RST);
	assert_int_equal(kills(ROLE_FRAME), 1);
	assert_null(rig.g->chan);
	assert_null(ledger_find(rig.g, other));
	assert_int_equal(last_record()->type, REC_FLOW_CLOSE);
	assert_int_equal(last_record()->reason, REASON_RESOURCE);
	close(fd);
	close(fd2);
}

/* What one child's channel lacks ends that child; the broker asks for the next. */
static void
unwatched_children(void **state)
{
	struct keeper_child	m;
	struct keeper_died	d;
	int			pair[2];

	(void)state;
	(void)kills(ROLE_FRAME);
	fd_drop(&rig.recorder);
	wire_begin(&d, sizeof(d), KEEPER_DIED, 0);
	d.pid = 1;
	d.signal = SIGKILL;
	d.role = ROLE_FRAME;
	guest_died(rig.b, &d);
	d.role = ROLE_RESOLVER;
	child_died(resolver_child(rig.b), &d);
	d.role = ROLE_RECORDER;
	audit_died(rig.b, &d);
	rig.no_watch_op = EPOLL_CTL_ADD;
	wire_begin(&m, sizeof(m), KEEPER_CHILD, 0);
	m.pid = 2;
	assert_int_equal(fd_channel(pair), 0);
	guest_frame(rig.b, &m, pair[0]);
	assert_int_equal(read(pair[1], &m, sizeof(m)), 0);
	assert_int_equal(kills(ROLE_FRAME), 1);
	close(pair[1]);
	assert_int_equal(fd_channel(pair), 0);
	child_started(resolver_child(rig.b), pair[0]);
	assert_int_equal(kills(ROLE_RESOLVER), 1);
	close(pair[1]);
	assert_int_equal(fd_channel(pair), 0);
	audit_recorder(rig.b, pair[0]);
	assert_int_equal(read(pair[1], &m, sizeof(m)), 0);
	close(pair[1]);
	rig.no_watch_op = 0;
	audit_died(rig.b, &d);
	start_recorder();
	assert_true(audit_up(rig.b));
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
		T(written_in_pieces), T(cancelled_after_the_flight),
		T(reset_before_the_flight), T(judged_again_with_its_name),
		T(judged_again_before_the_flight),
		T(judged_again_without_a_flight), T(judged_again_unlooked),
		T(revoked_in_peek),
		T(peeks_owed),
		T(unwatched_is_not_granted), T(watched_to_the_end),
		T(untested_close), T(unwatched_children),
		T(silence), T(own_addresses), cmocka_unit_test(errors_of_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
