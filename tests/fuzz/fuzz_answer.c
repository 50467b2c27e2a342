/*
 * The broker between a frame, a recorder, a resolver, an inspector and a keeper that
 * obey nothing: any message, any order, time that jumps, deaths at every moment.
 * Real sockets on loopback, no seal.
 *
 * Input: a list of { op, a, b, c }, four bytes each; op % 18:
 *   0 raw bytes to the broker   1, 2 OPEN        3 ACK         4, 5 CLOSE
 *   6 DROPS                     7 the frame reads    8 the recorder acknowledges
 *   9 the recorder fails, recovers, dies or is back  10 time passes, a server acts
 *   11 the frame dies, a new one says HELLO         12 RESOLVE
 *   13 FLIGHT, MUTE 14 the resolver answers         15 the inspector answers
 *   16 one of these two dies, lies or is back       17 OPEN of what has a name
 *
 * What must hold after every input: each flow.open has one flow.close or one
 * flow.deny of its number, records are numbered without a gap, denials told and
 * summed are those counted, and no charge is left.
 */
#include <sys/socket.h>

#include <netinet/in.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "fd.h"
#include "log.h"
#include "../unit/policy_double.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define FLOWS_MAX	4096u

static struct event_base	*base;
static struct broker		*b;
static int			 keeper, recorder, frame, resolver, inspector,
				 listener = -1;
static uint16_t			 port;
static uint64_t			 last_rec, acked, next_id, denied, opens;
static uint64_t			 ids[16];	/* of the latest GRANTs and OPENs */
static unsigned int		 nids;
static uint8_t			 state[FLOWS_MAX];	/* 1 = open, 2 = closed */
static uint64_t			 skew;		/* time that has passed */
static int			 servers[64];	/* what they keep open */
static size_t			 nservers;

#define MUST(x)	do { if (!(x)) abort(); } while (0)

static void
take_record(const struct record *r)
{
	if ((r->head.type != RECORD_WRITE && r->head.type != RECORD_NAMED) ||
	    r->head.id <= last_rec)
		return;			/* sent again */
	MUST(r->head.id == last_rec + 1);
	last_rec = r->head.id;
	MUST(r->flow < FLOWS_MAX);
	if (r->type == REC_FLOW_OPEN) {
		MUST(state[r->flow] == 0);
		state[r->flow] = 1;
		opens++;
	} else if (r->type == REC_FLOW_CLOSE ||
	    (r->type == REC_FLOW_DENY && r->flow != 0)) {
		MUST(state[r->flow] == 1);
		state[r->flow] = 2;
		opens--;
	}
	if (r->type == REC_FLOW_DENY || (r->type == REC_DNS &&
	    r->verdict == VERDICT_DENY))
		denied++;
	else if (r->type == REC_DENY_AGG && r->csrc != CSRC_FRAME)
		denied += r->n;
}

static void
turn(void)
{
	struct record_named	r;
	char			buf[1024];
	int			fd;

	event_base_loop(base, EVLOOP_NONBLOCK);
	while (recorder != -1 && fd_recv(recorder, &r, sizeof(r), NULL,
	    NULL) > 0)
		take_record(&r.r);
	while (fd_recv(keeper, buf, sizeof(buf), NULL, NULL) > 0)
		;
	while ((fd = accept(listener, NULL, NULL)) != -1) {
		if (nservers == sizeof(servers) / sizeof(servers[0]))
			close(servers[--nservers]);
		servers[nservers++] = fd;
	}
}

static void
say(int chan, void *m, size_t len)
{
	if (chan != -1 && fd_send(chan, m, len, -1) == -1)
		turn();
}

static void
hello(int chan, uint32_t type)
{
	struct wire_hello	m;

	wire_begin(&m, sizeof(m), type, 0);
	m.magic = WIRE_MAGIC;
	m.version = WIRE_VERSION;
	wire_build_id(m.build);
	say(chan, &m, sizeof(m));
}

static void
ack(uint32_t type, uint64_t rec)
{
	struct record_ack	m;

	wire_begin(&m, sizeof(m), type, rec);
	say(recorder, &m, sizeof(m));
	turn();
}

static void
recorder_dies(void)
{
	const struct keeper_died	killed = { .role = ROLE_RECORDER,
					    .pid = 1, .signal = 9 };

	fd_drop(&recorder);
	turn();
	audit_died(b, &killed);
	turn();
}

static void
recorder_starts(void)
{
	int	pair[2];

	if (recorder != -1)
		recorder_dies();
	MUST(fd_channel(pair) == 0);
	recorder = pair[1];
	audit_recorder(b, pair[0]);
	hello(recorder, RECORD_HELLO);
	turn();
	acked = last_rec;
	ack(RECORD_READY, acked);
}

/* Greeted, or not. */
static int
child_starts(struct child *c, uint32_t type, bool greets)
{
	int	pair[2];

	MUST(fd_channel(pair) == 0);
	child_started(c, pair[0]);
	if (greets)
		hello(pair[1], type);
	turn();
	return pair[1];
}

static void
child_dies(struct child *c, int *chan)
{
	const struct keeper_died	killed = { .pid = 1, .signal = 9 };

	fd_drop(chan);
	child_died(c, &killed);
	turn();
}

static void
frame_starts(void)
{
	struct keeper_child	m;
	int			pair[2];

	MUST(fd_channel(pair) == 0);
	fd_drop(&frame);
	frame = pair[1];
	wire_begin(&m, sizeof(m), KEEPER_CHILD, 0);
	m.role = ROLE_FRAME;
	guest_frame(b, &m, pair[0]);
	next_id = 1;
}

/* status 3: its link is gone, and a new client comes. */
static void
frame_dies(uint32_t status)
{
	struct keeper_died	m;

	wire_begin(&m, sizeof(m), KEEPER_DIED, 0);
	m.role = ROLE_FRAME;
	m.pid = 1;
	m.status = status;
	m.signal = status == 3 ? 0 : SIGSEGV;
	fd_drop(&frame);
	guest_died(b, &m);
	turn();
}

static void
guest_starts(void)
{
	struct keeper_guest	conf;

	wire_begin(&conf, sizeof(conf), KEEPER_GUEST, 0);
	conf.name[0] = 'f';
	conf.mtu = 1500;
	conf.v4.guest = endpoint_v4(0x0a000264, 0);
	conf.v4.gateway = endpoint_v4(0x0a000202, 0);
	guest_take(b, &conf);
	frame_starts();
	hello(frame, WIRE_HELLO);
	turn();
}

static void
listen_once(void)
{
	struct sockaddr_in	sin = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_ANY) };
	socklen_t		len = sizeof(sin);

	if (listener != -1)
		return;
	log_init("fuzz", -1, LOG_LEVEL_WARN);
	signal(SIGPIPE, SIG_IGN);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	MUST(bind(listener, (struct sockaddr *)&sin, len) == 0);
	MUST(listen(listener, 128) == 0);
	getsockname(listener, (struct sockaddr *)&sin, &len);
	port = ntohs(sin.sin_port);
}

/* The latest that was connected to speaks or ends, or both. */
static void
server_does(unsigned int what)
{
	if (nservers == 0)
		return;
	if ((what & 2) != 0)
		(void)!write(servers[nservers - 1], "220", 3);
	if ((what & 4) != 0)
		close(servers[--nservers]);
}

/* Nothing is left for the next input. */
static void
servers_end(void)
{
	turn();
	while (nservers > 0)
		close(servers[--nservers]);
}

static void
begin(void)
{
	struct double_blob	blob;
	struct policy_limits	limits = { .conns = 40, .pending = 10,
				    .pending_dst = 8, .unproven = 6,
				    .unproven_dst = 4, .rate = 1000,
				    .burst = 500, .lifetime = 100,
				    .dns_rate = 1000, .dns_burst = 500,
				    .names = 20, .names_per = 60 };
	char			err[64];
	int			pair[2];

	listen_once();
	memset(&blob, 0, sizeof(blob));
	memcpy(blob.magic, DOUBLE_MAGIC, 8);
	blob.limits = limits;
	blob.needs = NEEDS_RESOLVER | NEEDS_INSPECTOR;
	blob.pin_min = blob.pin_max = blob.pin_grace = 1;
	blob.upstreams = 1;
	last_rec = acked = denied = opens = skew = 0;
	nids = 0;
	memset(state, 0, sizeof(state));
	recorder = frame = resolver = inspector = -1;
	base = event_base_new();
	MUST(fd_channel(pair) == 0);
	keeper = pair[1];
	b = broker_new(base, pair[0],
	    policy_load(&blob, sizeof(blob), err, sizeof(err)), 0,
	    DURABLE_BEFORE_DATA);
	broker_start(b);
	recorder_starts();
	resolver = child_starts(resolver_child(b), RESOLVER_HELLO, true);
	inspector = child_starts(inspector_child(b), INSPECT_HELLO, true);
	guest_starts();
}

/* The end as at KEEPER_STOP, with a recorder that takes everything. */
static void
end(void)
{
	unsigned int	i;

	servers_end();
	recorder_starts();
	guest_detach(b->guest[0], REASON_SHUTDOWN);
	for (i = 0; i < 10000 && audit_backlog(b) > 0; i++) {
		turn();
		ack(RECORD_DURABLE, last_rec);
	}
	MUST(audit_backlog(b) == 0 && opens == 0 && b->nflows == 0);
	MUST(b->stop == STOP_NO);
	MUST(b->denied == denied);
	broker_free(b);
	event_base_free(base);
	close(keeper);
	fd_drop(&recorder);
	fd_drop(&resolver);
	fd_drop(&inspector);
	fd_drop(&frame);
}

static void
raw(const uint8_t *p)
{
	uint8_t	m[96];

	memset(m, p[2], sizeof(m));
	memset(m, 0, 16);
	m[0] = p[1] % 10;
	m[8] = p[3];
	say(frame, m, 1 + p[2] % 96u);
}

static void
do_open(const uint8_t *p)
{
	static const uint8_t	protos[] = { PROTO_TCP, PROTO_TCP, PROTO_UDP,
				    PROTO_ECHO };
	struct wire_open	m;

	wire_begin(&m, sizeof(m), WIRE_OPEN, next_id);
	ids[nids++ % 16] = next_id;
	next_id += 1 + (p[1] & 1);
	m.proto = protos[p[1] >> 1 & 3];
	m.guest = endpoint_v4(p[3] == 0xff ? 1 : 0x0a000264, p[3]);
	m.dst = endpoint_v4(0x7f000001 + (p[2] & 3), p[2] > 0xc0 ? p[2] & 7 :
	    port);
	say(frame, &m, sizeof(m));
}

static void
do_resolve(const uint8_t *p)
{
	static const char *const	names[] = { "sni.test", "host.test",
					    "plain.test", "sniaudit.test",
					    "stop.test", "x.example",
					    "static.test", "audit.test" };
	struct wire_resolve		m;
	char				wild[] = "x00.wild.test";

	wire_begin(&m, sizeof(m), WIRE_RESOLVE, next_id++);
	m.qtype = p[1] < 0xe0 ? RESOLVE_A : p[1] < 0xf8 ? RESOLVE_AAAA : p[1];
	wild[1] = (char)('0' + p[3] % 10);
	wild[2] = (char)('0' + p[3] / 10 % 10);
	if (p[3] == 0xfe)
		name_from_text("sniglance.test", 14, &m.name);
	else if (p[3] == 0xfd)
		name_from_text("look.test", 9, &m.name);
	else if (p[2] >= 0x80)
		name_from_text(wild, sizeof(wild) - 1, &m.name);
	else
		name_from_text(names[p[2] % 8], strlen(names[p[2] % 8]),
		    &m.name);
	if (p[3] == 0xff)
		m.name.text[p[2] % sizeof(m.name.text)] ^= (char)p[1];
	say(frame, &m, sizeof(m));
}

/* To 127.9.0.1, which is reached by name only. */
static void
do_open_named(const uint8_t *p)
{
	struct wire_open	m;

	wire_begin(&m, sizeof(m), WIRE_OPEN, next_id);
	ids[nids++ % 16] = next_id++;
	m.proto = p[1] < 0xf0 ? PROTO_TCP : PROTO_UDP;
	m.guest = endpoint_v4(0x0a000264, p[3]);
	m.dst = endpoint_v4(0x7f090001 + (p[2] & 1), port);
	say(frame, &m, sizeof(m));
}

static void
do_flight(const uint8_t *p)
{
	static struct {
		struct wire_flight	m;
		unsigned char		bytes[UINT8_MAX * 65];
	} f;
	const struct flow	*flow = b->guest[0] == NULL ? NULL :
				    ledger_find(b->guest[0], ids[p[1] % 16]);
	uint32_t		 len = p[2] < 0x80 ? p[2] : p[2] * 65u;
	struct wire_id		 mute;

	if (p[3] < 0xf0 && (flow == NULL || (flow->state != FLOW_PEEK &&
	    !flow->crossing)))
		return;
	if (len == 0 && (flow == NULL || flow->lenient)) {
		wire_begin(&mute, sizeof(mute), WIRE_MUTE, ids[p[1] % 16]);
		say(frame, &mute, sizeof(mute));
		return;
	}
	wire_begin(&f.m, sizeof(f.m), WIRE_FLIGHT, ids[p[1] % 16]);
	f.m.len = len;
	if (frame != -1)
		fd_send(frame, &f, sizeof(f.m) + len, -1);
}

/* A question that it was asked, answered as the input says. */
static void
resolver_answers(const uint8_t *p)
{
	struct resolver_answer	m;
	struct resolver_ask	q;

	if (resolver == -1 || fd_recv(resolver, &q, sizeof(q), NULL,
	    NULL) != sizeof(q) || q.head.type != RESOLVER_ASK)
		return;
	wire_begin(&m, sizeof(m), RESOLVER_ANSWER, q.head.id +
	    (p[3] == 0xff));
	m.status = p[1] < 0xf8 ? RESOLVED + p[1] % 5u : p[1];
	m.ttl = p[2];
	m.n = m.status == RESOLVED ? 1 + p[2] % 3u : p[1] > 0xfc;
	m.addr[0] = endpoint_v4(0x7f090001 + (p[2] & 1), 0);
	m.addr[1] = endpoint_v4(0x0a000001, 0);
	m.addr[2] = endpoint_v4(0xc0000201, 0);
	if (q.qtype == RESOLVE_AAAA && p[3] < 0xf0)
		m.addr[0] = m.addr[1] = m.addr[2] = endpoint_v6(
		    (const uint8_t[16]){ 0x26, p[2] }, 0);
	m.nchain = p[3] == 0xfe;
	m.upstream = p[3] & 3u;
	m.rcode = p[3] >> 3;
	m.rtt = (uint64_t)p[2] << 26;
	say(resolver, &m, sizeof(m));
}

static void
inspector_answers(const uint8_t *p)
{
	static unsigned char	buf[WIRE_MAX];
	struct inspect_result	m;
	struct inspect_flight	q;

	if (inspector == -1 || fd_recv(inspector, buf, sizeof(buf), NULL,
	    NULL) < (ssize_t)sizeof(q))
		return;
	memcpy(&q, buf, sizeof(q));
	wire_begin(&m, sizeof(m), INSPECT_RESULT, q.head.id +
	    (p[3] == 0xff));
	m.kind = p[3] == 0xfd ? p[1] : q.kind != PEEK_EITHER ? q.kind :
	    PEEK_TLS + (p[1] & 1u);
	m.status = p[1] < 0xf8 ? INSPECT_NAMED + p[1] % 3u : p[1];
	m.ech = p[2] > 0xf0;
	m.tls = (p[3] & 1) != 0 ? 0x300u + p[2] : 0;
	if (m.status == INSPECT_NAMED)
		name_from_text(p[2] & 1 ? "sni.test" : "host.test",
		    p[2] & 1 ? 8 : 9, &m.name);
	m.alpn[0] = p[3] == 0xfe ? 1 : 'h';
	say(inspector, &m, sizeof(m));
}

static void
child_does(const uint8_t *p)
{
	struct child	*c = p[1] & 1 ? resolver_child(b) :
			    inspector_child(b);
	uint32_t	 type = p[1] & 1 ? RESOLVER_HELLO : INSPECT_HELLO;
	int		*chan = p[1] & 1 ? &resolver : &inspector;

	if (p[2] < 0x20 && *chan != -1)
		hello(*chan, type);
	else if (p[2] < 0x60)
		fd_drop(chan);
	else {
		child_dies(c, chan);
		*chan = child_starts(c, type, p[2] < 0xf0);
	}
}

static void
do_close(const uint8_t *p)
{
	struct wire_close	 m;
	const struct flow	*f;

	f = b->guest[0] == NULL ? NULL : ledger_find(b->guest[0],
	    ids[p[1] % 16]);
	wire_begin(&m, sizeof(m), WIRE_CLOSE, ids[p[1] % 16]);
	/* mostly right, or no dialogue would live long */
	if (p[2] >= 0xf0)
		m.how = p[2] % 5u;
	else if (f == NULL)
		return;
	else
		m.how = f->state < FLOW_OPEN ? HOW_CANCEL :
		    HOW_FIN + p[2] % 2u;
	m.reason = p[3] < 0xf0 ? REASON_DONE + p[3] % 3u : p[3];
	m.up = UINT64_MAX;
	say(frame, &m, sizeof(m));
}

/* Nothing that the floor keeps, and each address is pinned by now. */
static void
take_answer(const struct wire_answer *m)
{
	struct bound	bound;
	uint32_t	i;

	MUST((m->code == ANSWER_ADDRESSES) == (m->n > 0) &&
	    m->n <= ANSWER_MAX);
	for (i = 0; i < m->n; i++) {
		MUST(m->addr[i].addr[0] != 10);
		pins_bound(b->guest[0]->pins, &m->addr[i], boot_now(), &bound);
		MUST(bound.n > 0 || bound.lapsed);
	}
}

static void
frame_reads(unsigned int n)
{
	unsigned char		m[WIRE_MAX] __attribute__((aligned(8)));
	struct wire_head	h;
	int			fd;

	while (n-- > 0 && frame != -1 &&
	    fd_recv(frame, m, sizeof(m), &fd, NULL) > 0) {
		memcpy(&h, m, sizeof(h));
		MUST((h.type == WIRE_GRANT) == (fd != -1));
		if (h.type == WIRE_ANSWER)
			take_answer((const struct wire_answer *)(void *)m);
		if (h.type == WIRE_PING) {
			wire_begin(&h, sizeof(h), WIRE_PONG, 0);
			say(frame, &h, sizeof(h));
		} else if (h.type == WIRE_GRANT) {
			wire_begin(&h, sizeof(h), WIRE_ACK, h.id);
			say(frame, &h, sizeof(h));
		}
		fd_drop(&fd);
	}
}

static void
recorder_does(const uint8_t *p)
{
	switch (p[1] % 6u) {
	case 0:
		recorder_dies();
		break;
	case 1:
		recorder_starts();
		break;
	case 2:
		ack(RECORD_FAILED, acked);
		break;
	case 3:
		ack(RECORD_RECOVERED, acked);
		break;
	case 4:
		ack(330 + p[2] % 8u, p[3]);
		break;
	default:
		ack(RECORD_DURABLE, acked = last_rec);
	}
}

static void
next_frame(const uint8_t *p)
{
	frame_dies(p[1] & 3);
	if (b->guest[0] == NULL) {
		guest_starts();
		return;
	}
	frame_starts();
	if ((p[2] & 7) != 0)
		hello(frame, WIRE_HELLO);
}

static void
step(const uint8_t *p)
{
	struct wire_id		id;
	struct wire_drops	drops;

	switch (p[0] % 18u) {
	case 0:
		raw(p);
		break;
	case 1:
	case 2:
		do_open(p);
		break;
	case 3:
		frame_reads(4);
		if (p[1] < 0xf0)
			break;
		wire_begin(&id, sizeof(id), WIRE_ACK, ids[p[1] % 16]);
		say(frame, &id, sizeof(id));
		break;
	case 4:
	case 5:
		do_close(p);
		break;
	case 6:
		wire_begin(&drops, sizeof(drops), WIRE_DROPS, 0);
		drops.reason = REASON_SPOOFED_SOURCE + p[1] % 8u;
		drops.n = p[2];
		say(frame, &drops, sizeof(drops));
		break;
	case 7:
		frame_reads(p[1]);
		break;
	case 8:
		acked = last_rec - (p[1] % 3u <= last_rec - acked ? p[1] % 3u :
		    0);
		ack(RECORD_DURABLE, acked);
		break;
	case 9:
		recorder_does(p);
		break;
	case 10:
		if ((p[3] & 1) != 0) {
			server_does(p[3]);
			break;
		}
		skew += p[1] * (SEC / 4);
		b->epoch += p[2] & 1;
		resolver_tick(b, mono_now() + skew);
		inspector_tick(b, mono_now() + skew);
		guest_tick(b->guest[0], mono_now() + skew);
		break;
	case 12:
		do_resolve(p);
		break;
	case 13:
		do_flight(p);
		break;
	case 14:
		resolver_answers(p);
		break;
	case 15:
		inspector_answers(p);
		break;
	case 16:
		child_does(p);
		break;
	case 17:
		do_open_named(p);
		break;
	default:
		next_frame(p);
	}
	turn();
	if (b->guest[0]->state == GUEST_ENDING && (p[3] & 7) != 0)
		next_frame(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t	i;

	begin();
	for (i = 0; i + 4 <= len && i < 4 * 1000; i += 4)
		step(data + i);
	end();
	return 0;
}
