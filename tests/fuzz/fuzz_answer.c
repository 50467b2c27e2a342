/*
 * The broker between a frame, a recorder and a keeper that obey nothing: any
 * message, any order, time that jumps, deaths at every moment. Real sockets on
 * loopback, no seal.
 *
 * Input: a list of { op, a, b, c }, four bytes each; op % 12:
 *   0 raw bytes to the broker   1, 2 OPEN        3 ACK         4, 5 CLOSE
 *   6 DROPS                     7 the frame reads    8 the recorder acknowledges
 *   9 the recorder fails, recovers, dies or is back  10 time passes
 *   11 the frame dies, a new one says HELLO
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
static int			 keeper, recorder, frame, listener = -1;
static uint16_t			 port;
static uint64_t			 last_rec, acked, next_id, denied, opens;
static uint64_t			 ids[16];	/* of the latest GRANTs and OPENs */
static unsigned int		 nids;
static uint8_t			 state[FLOWS_MAX];	/* 1 = open, 2 = closed */
static uint64_t			 skew;		/* time that has passed */

#define MUST(x)	do { if (!(x)) abort(); } while (0)

static void
take_record(const struct record *r)
{
	if (r->head.type != RECORD_WRITE || r->head.id <= last_rec)
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
	if (r->type == REC_FLOW_DENY)
		denied++;
	else if (r->type == REC_DENY_AGG && r->csrc != CSRC_FRAME)
		denied += r->n;
}

static void
turn(void)
{
	struct record	r;
	char		buf[1024];
	int		fd;

	event_base_loop(base, EVLOOP_NONBLOCK);
	while (recorder != -1 && fd_recv(recorder, &r, sizeof(r), NULL,
	    NULL) > 0)
		take_record(&r);
	while (fd_recv(keeper, buf, sizeof(buf), NULL, NULL) > 0)
		;
	while ((fd = accept(listener, NULL, NULL)) != -1)
		close(fd);
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
					    .signal = 9 };

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
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
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

static void
begin(void)
{
	struct double_blob	blob;
	struct policy_limits	limits = { .conns = 40, .pending = 10,
				    .pending_dst = 8, .rate = 1000,
				    .burst = 500, .lifetime = 100 };
	char			err[64];
	int			pair[2];

	listen_once();
	memset(&blob, 0, sizeof(blob));
	memcpy(blob.magic, DOUBLE_MAGIC, 8);
	blob.limits = limits;
	last_rec = acked = denied = opens = skew = 0;
	nids = 0;
	memset(state, 0, sizeof(state));
	recorder = frame = -1;
	base = event_base_new();
	MUST(fd_channel(pair) == 0);
	keeper = pair[1];
	b = broker_new(base, pair[0],
	    policy_load(&blob, sizeof(blob), err, sizeof(err)), 0,
	    DURABLE_BEFORE_DATA);
	broker_start(b);
	recorder_starts();
	guest_starts();
}

/* The end as at KEEPER_STOP, with a recorder that takes everything. */
static void
end(void)
{
	unsigned int	i;

	recorder_starts();
	guest_detach(b->guest[0], REASON_SHUTDOWN);
	for (i = 0; i < 10000 && audit_backlog(b) > 0; i++) {
		turn();
		ack(RECORD_DURABLE, last_rec);
	}
	MUST(audit_backlog(b) == 0 && opens == 0 && b->nflows == 0);
	MUST(b->denied == denied);
	broker_free(b);
	event_base_free(base);
	close(keeper);
	fd_drop(&recorder);
	fd_drop(&frame);
}

static void
raw(const uint8_t *p)
{
	uint8_t	m[96];

	memset(m, p[2], sizeof(m));
	memset(m, 0, 16);
	m[0] = p[1] % 8;
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

static void
frame_reads(unsigned int n)
{
	unsigned char		m[WIRE_MAX];
	struct wire_head	h;
	int			fd;

	while (n-- > 0 && frame != -1 &&
	    fd_recv(frame, m, sizeof(m), &fd, NULL) > 0) {
		memcpy(&h, m, sizeof(h));
		MUST((h.type == WIRE_GRANT) == (fd != -1));
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

	switch (p[0] % 12u) {
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
		skew += p[1] * (SEC / 4);
		b->epoch += p[2] & 1;
		guest_tick(b->guest[0], mono_now() + skew);
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
