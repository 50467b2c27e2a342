/*
 * A guest, a server and a broker at random, over the whole way of a TCP segment:
 * packet, flow, segment, stack (lwIP), relay, ask; with first flights that the
 * broker wants to see, and questions to the gateway. The input is the source of
 * chance; what is chosen is mostly near what the connection's state makes
 * interesting, because bytes at random get no further than a checksum.
 *
 * What is tested is that nothing of it ends the process: no assert of lwIP's, no
 * sanitizer's finding, no fatal(). And at the end of each input everything that
 * was begun is ended: no flow is left that the broker has not closed.
 *
 * State does not leak from one input to the next but for the clock and ids.
 */
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "fd.h"
#include "frame_room.h"
#include "tcp.h"

#define FLOWS	6

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);
void	fuzz_report(void);

/* What the guest knows of its connection, and the server's end of it. */
struct conn {
	uint16_t	gport;
	bool		v6, syn_sent;
	const uint8_t	*stream;	/* what it says, in order; NULL: junk */
	bool		dns;		/* to the gateway */
	uint32_t	iss, seq, ack;	/* next to send, next expected */
	uint32_t	window;		/* ours to send into, unscaled */
	uint64_t	id;
	int		server;		/* -1 */
};

static struct conn	 conns[FLOWS];
static uint16_t		 next_port = 1024;
static const uint8_t	*in, *in_end;
static uint64_t		 ids[64];	/* granted and not yet closed; 0 = free */
static uint64_t		 peeks[512];	/* peeked and not yet decided */
#define DENIED		WIRE_ID_BROKER	/* ... or decided: a flight may cross that */
#define LENIENT		(DENIED >> 1)
static uint64_t		 questions[2048];
static uint8_t		 hello[70000], http[70000], queries[70000];
static uint8_t		 junk[70000];
static unsigned long	 nsegments, ngrants, nopen, nbytes_down, nbytes_up;
static unsigned long	 npeeks, nflights, nmutes, nwithout, nasked, nanswers;

void
fuzz_report(void)
{
	printf("%lu segments, %lu grants, %lu handshakes, %lu bytes down, "
	    "%lu up\n%lu peeks, %lu flights, %lu mute, %lu went on without, "
	    "%lu questions, %lu answers\n",
	    nsegments, ngrants, nopen, nbytes_down, nbytes_up, npeeks,
	    nflights, nmutes, nwithout, nasked, nanswers);
}

static uint32_t
chance(uint32_t n)
{
	uint32_t	v = 0;
	unsigned int	i;

	for (i = n > 256 ? (n > 65536 ? 4 : 2) : 1; i > 0 && in < in_end; i--)
		v = v << 8 | *in++;
	return n == 0 ? v : v % n;
}

static struct conn *
by_port(uint16_t gport)
{
	unsigned int	i;

	for (i = 0; i < FLOWS; i++)
		if (conns[i].gport == gport)
			return &conns[i];
	return NULL;
}

/* ---- the guest ---- */

/* At the end it mostly knows nothing any more, and says so when it is asked. */
static bool		 rebooted;
static struct room_seg	 refused[256];
static unsigned int	 nrefused;

static void
refuse(const struct room_seg *s)
{
	if ((s->flags & S_RST) != 0 || nrefused == sizeof(refused) /
	    sizeof(refused[0]))
		return;
	refused[nrefused++] = (struct room_seg){ .v6 = s->v6,
	    .gateway = s->dport == 53, .gport = s->gport, .dport = s->dport,
	    .seq = s->ack, .flags = S_RST };
}

static void
send_refusals(void)
{
	while (nrefused > 0)
		room_guest_sends(&refused[--nrefused]);
}

static void
segment(const struct room_seg *s)
{
	struct conn	*c = by_port(s->gport);
	static uint8_t	 copy[70000];

	memcpy(copy, s->data, s->len);	/* the sanitizer looks at every byte */
	if (rebooted)
		refuse(s);
	if (c == NULL)
		return;
	nopen += (s->flags & S_SYN) != 0;
	nbytes_down += s->len;
	c->ack = s->seq + (uint32_t)s->len +
	    ((s->flags & (S_SYN | S_FIN)) != 0);
	if ((s->flags & S_RST) == 0)
		c->seq = s->ack;
	c->window = (uint32_t)s->window << ((s->flags & S_SYN) ? 0 : 7);
}

/* What the guest says from there on, if it says anything that makes sense. */
static const uint8_t *
payload(const struct conn *c, uint32_t seq, size_t len)
{
	uint32_t	at = seq - c->iss;

	return c->stream != NULL && at <= sizeof(hello) &&
	    len <= sizeof(hello) - at ? c->stream + at : junk;
}

static void
send_segment(struct conn *c, uint8_t flags, uint32_t seq, uint32_t ack,
    size_t len)
{
	uint8_t		opts[40];
	struct room_seg	s = {
		.v6 = c->v6, .gateway = c->dns, .gport = c->gport,
		.dport = c->dns ? 53 : 80, .seq = seq,
		.ack = ack, .flags = flags, .options = opts,
		.data = payload(c, seq, len), .len = len,
	};
	size_t		i;

	s.window = (uint16_t)(chance(5) == 0 ? chance(3) : chance(65536));
	if ((flags & S_SYN) != 0 || chance(8) == 0) {
		static const uint8_t	kinds[] = { 0, 1, 2, 3, 4, 5, 8, 10 };

		s.options_len = chance(11) * 4;
		for (i = 0; i < s.options_len; i++)
			opts[i] = chance(3) ? kinds[chance(8)] :
			    (uint8_t)chance(256);
		if ((flags & S_SYN) != 0 && chance(4) != 0) {
			memcpy(opts, SYN_OPTIONS, 8);
			put16(opts + 2, chance(65536));
			opts[7] = (uint8_t)chance(16);
			s.options_len = 8;
		}
	}
	nsegments++;
	room_guest_sends(&s);
}

static void
guest_new(struct conn *c)
{
	fd_drop(&c->server);
	memset(c, 0, sizeof(*c));
	c->server = -1;
	c->gport = next_port++;
	if (next_port < 1024)
		next_port = 1024;
	c->v6 = chance(2) != 0;
	c->dns = chance(4) == 0;
	c->stream = chance(4) == 0 ? NULL : c->dns ? queries :
	    chance(3) == 0 ? http : hello;
	c->seq = c->iss = chance(0) + 1;
	c->syn_sent = true;
	send_segment(c, S_SYN, c->seq - 1, 0, 0);
}

static void
guest_acts(struct conn *c)
{
	static const uint16_t	lens[] = { 0, 0, 0, 1, 10, 100, 1400, 9000,
				    30000, 65000 };
	uint32_t		seq = c->seq, ack = c->ack;
	uint32_t		w = c->window;
	uint8_t			flags = chance(12) ? S_ACK : 0;

	switch (chance(10)) {
	case 0:
		seq += chance(3000);
		break;
	case 1:
		seq += w - chance(3000);
		break;
	case 2:
		seq -= chance(3000);
		break;
	case 3:
		seq += w > 0 ? chance(w) : 0;
		break;
	case 4:
		seq = chance(0);
		break;
	}
	switch (chance(8)) {
	case 0:
		ack -= chance(5000);
		break;
	case 1:
		ack = chance(0);
		break;
	}
	if (chance(30) == 0)
		flags |= S_FIN;
	if (chance(60) == 0)
		flags |= S_RST;
	if (chance(30) == 0)
		flags |= S_SYN;
	if (chance(4) == 0)
		flags |= S_PSH;
	send_segment(c, flags, seq, ack, lens[chance(10)]);
}

/* A question by UDP; now and then with a byte that is not as it was. */
static void
guest_asks(void)
{
	uint8_t	q[50];
	size_t	len = 12 + 8;

	memcpy(q, queries + 2, sizeof(q));
	q[1] = (uint8_t)chance(256);
	if (chance(8) == 0)
		q[chance((uint32_t)len)] = (uint8_t)chance(256);
	room_guest_datagram(chance(2) != 0, (uint16_t)(1 + chance(4)), 53, q,
	    len);
}

static void
guest_garbage(void)
{
	uint8_t	f[200];
	size_t	len = chance(sizeof(f)), i;

	for (i = 0; i < len; i++)
		f[i] = (uint8_t)chance(256);
	if (len > 14 && chance(4) != 0)
		put16(f + 12, chance(2) ? 0x0800 : 0x86dd);
	room_guest_frame(f, len);
}

/* ---- the server ---- */

static void
server_acts(struct conn *c)
{
	struct linger	rst = { 1, 0 };
	ssize_t		n;

	if (c->server == -1)
		return;
	switch (chance(12)) {
	case 0:
		setsockopt(c->server, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
		fd_drop(&c->server);
		break;
	case 1:
		fd_drop(&c->server);
		break;
	case 2:
		shutdown(c->server, SHUT_WR);
		break;
	case 3:
	case 4:
	case 5:
		while ((n = read(c->server, junk, sizeof(junk))) > 0)
			nbytes_up += (size_t)n;
		break;
	default:
		if (write(c->server, junk, chance(2) ? chance(65536) :
		    chance(100)) == -1 && errno == EPIPE)
			fd_drop(&c->server);
	}
}

/* ---- the broker ---- */

static uint64_t *
slot(uint64_t *table, size_t n, uint64_t id)
{
	static uint64_t	none;
	size_t		i;

	for (i = 0; i < n; i++)
		if (table[i] == id)
			return &table[i];
	return &none;			/* a cancelled one: it was never here */
}

static uint64_t *
id_slot(uint64_t id)
{
	return slot(ids, sizeof(ids) / sizeof(ids[0]), id);
}

static uint64_t *
peek_slot(uint64_t id)
{
	return slot(peeks, sizeof(peeks) / sizeof(peeks[0]), id);
}

static bool
is_peeked(uint64_t peek)
{
	return *peek_slot(peek) == peek;
}

static void
grant(struct conn *c, uint64_t id, uint32_t written)
{
	int	pair[2];

	ngrants++;
	*id_slot(0) = id;
	room_tcp_pair(pair);
	fd_drop(&c->server);
	c->server = pair[1];
	room_grant_written(id, pair[0], written);
	close(pair[0]);		/* the real broker keeps it; enough for us */
}

static void
deny(uint64_t id)
{
	room_deny(id, (enum deny_code)(1 + chance(5)));
}

static void
answer_open(uint64_t id, const struct wire_open *m)
{
	struct conn	*c = by_port(m->guest.port);

	if (m->proto != PROTO_TCP || c == NULL || chance(8) == 0) {
		deny(id);
		return;
	}
	c->id = id;
	if (chance(3) != 0) {
		grant(c, id, 0);
		return;
	}
	npeeks++;
	if (chance(2) == 0) {
		*peek_slot(0) = id | LENIENT;
		room_peek_leniently(id, chance(3) == 0 ? PEEK_HTTP : PEEK_TLS);
		return;
	}
	*peek_slot(0) = id;
	room_peek(id, chance(3) == 0 ? PEEK_HTTP : PEEK_TLS);
}

static void
decide(uint64_t id, uint32_t written)
{
	unsigned int	i;

	for (i = 0; i < FLOWS; i++)
		if (conns[i].id == id && chance(6) != 0) {
			grant(&conns[i], id, written);
			return;
		}
	deny(id);
}

/* Once for a peek, before it is decided, and never too long; 0: it was silent. */
static void
answer_flight(uint64_t id, uint32_t len)
{
	uint64_t	peek = is_peeked(id | LENIENT) ? id | LENIENT : id;

	if (is_peeked(id | DENIED) || is_peeked(id | DENIED | LENIENT)) {
		*peek_slot(id | DENIED) = *peek_slot(id | DENIED | LENIENT) =
		    0;
		return;
	}
	if (id == 0 || !is_peeked(peek) || len > WIRE_FLIGHT_MAX)
		errx(1, "a flight that nobody wants");
	nflights += len > 0;
	nmutes += len == 0;
	*peek_slot(peek) = 0;
	if (len == 0 && peek == id) {
		deny(id);		/* it was to prove something */
		return;
	}
	decide(id, peek != id && chance(2) == 0 ? 0 : len);
}

/* A deadline, a server that speaks first, or a policy that has changed. */
static void
broker_decides(uint64_t peek)
{
	uint64_t	id = peek & ~LENIENT;

	if (id == 0 || (id & DENIED) != 0 || !is_peeked(peek))
		return;
	*peek_slot(peek) |= DENIED;
	if (peek == id || chance(4) == 0) {
		deny(id);
		return;
	}
	nwithout++;
	decide(id, 0);
}

static void
remember_question(const struct wire_resolve *m)
{
	nasked++;
	if (!name_valid(&m->name))
		errx(1, "a question that is no name");
	*slot(questions, sizeof(questions) / sizeof(questions[0]), 0) =
	    m->head.id;
}

static void
broker_answers(uint64_t *question)
{
	struct wire_answer	w;

	if (*question == 0)
		return;
	nanswers++;
	wire_begin(&w, sizeof(w), WIRE_ANSWER, *question);
	w.code = ANSWER_NODATA + chance(ANSWER_UNREACHED - ANSWER_NODATA + 1);
	*question = 0;
	room_broker_send(&w, sizeof(w), -1);
}

static void
broker_answers_all(void)
{
	size_t	i;

	for (i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		broker_answers(&questions[i]);
		room_turn();
	}
}

static uint32_t
flight_len(const uint8_t *buf)
{
	struct wire_flight	m;

	memcpy(&m, buf, sizeof(m));
	if (m.len == 0)
		errx(1, "an empty flight");
	return m.len;
}

static void
broker_acts(void)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_head	head;

	while (room_broker_recv(buf, sizeof(buf)) > 0) {
		memcpy(&head, buf, sizeof(head));
		if (head.type == WIRE_OPEN)
			answer_open(head.id, (void *)buf);
		else if (head.type == WIRE_FLIGHT)
			answer_flight(head.id, flight_len(buf));
		else if (head.type == WIRE_MUTE)
			answer_flight(head.id, 0);
		else if (head.type == WIRE_RESOLVE)
			remember_question((void *)buf);
		else if (head.type == WIRE_CLOSE)
			*id_slot(head.id) = *peek_slot(head.id) =
			    *peek_slot(head.id | LENIENT) = 0;
	}
}

static void
broker_revokes(uint64_t id)
{
	if (id != 0 && id == *id_slot(id))
		room_revoke(id);
}

/* ---- one input ---- */

static void
act(void)
{
	struct conn	*c = &conns[chance(FLOWS)];
	uint32_t	 what = chance(100);

	if (!c->syn_sent || what == 0)
		guest_new(c);
	else if (what < 55)
		guest_acts(c);
	else if (what < 75)
		server_acts(c);
	else if (what < 85)
		room_turn();
	else if (what < 92)
		broker_acts();
	else if (what < 95)
		room_wait(100 * (1 + chance(20)));
	else if (what == 95)
		guest_garbage();
	else if (what == 96)
		room_link_full = chance(2) == 0;
	else if (what == 97 && chance(8) == 0)
		broker_revokes(c->id);
	else if (what == 97 && chance(8) == 0)
		broker_decides(c->id);
	else if (what == 97)
		broker_decides(c->id | LENIENT);
	else if (what == 98)
		guest_asks();
	else if (what == 99)
		broker_answers(&questions[chance(8)]);
	if (!room_link_full)
		tcp_link_writable();
}

/* Everything that was lent for payload is back. */
static bool
pools_full(void)
{
	static uint64_t		bytes;
	static unsigned int	buffers;

	if (buffers == 0) {
		bytes = pool_free_bytes(0);
		buffers = rxbuf_free_count();
	}
	return pool_free_bytes(0) == bytes && rxbuf_free_count() == buffers;
}

/* Everything is taken back, and everything must come to an end. */
static void
end_all(bool silent)
{
	unsigned int	i, left = 0;

	room_link_full = false;
	tcp_link_writable();
	rebooted = !silent;		/* who is silent is given up in the end */
	in = in_end;
	room_turn();
	broker_acts();
	room_turn();
	broker_acts();
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		broker_revokes(ids[i]);
	for (i = 0; i < sizeof(peeks) / sizeof(peeks[0]); i++)
		broker_decides(peeks[i]);
	room_turn();
	broker_acts();
	broker_answers_all();
	broker_acts();
	for (i = 0; i < 14000 && (!pools_full() || stack_count() > 0); i++) {
		room_wait(100);
		send_refusals();
	}
	rebooted = false;
	nrefused = 0;
	if (!pools_full() || stack_count() > 0)
		errx(1, "memory is left behind");
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		left += ids[i] != 0;
	memset(peeks, 0, sizeof(peeks));
	if (left != 0 || flow_count() != 0)
		errx(1, "%u ids and %u flows are left", left, flow_count());
	for (i = 0; i < FLOWS; i++) {
		fd_drop(&conns[i].server);
		memset(&conns[i], 0, sizeof(conns[i]));
		conns[i].server = -1;
	}
}

/* A ClientHello of 1 500 bytes in small records, a head, and questions. */
static void
make_streams(void)
{
	static const uint8_t	question[] = {
		0, 20, 0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0,
		2, 'a', 'b', 0, 0, 1, 0, 1
	};
	size_t			i;

	for (i = 0; i < 40; i++) {
		memcpy(hello + i * 45, "\x16\x03\x01\0\x28", 5);
		memset(hello + i * 45 + 5, 'x', 40);
	}
	memcpy(hello + 5, "\1\0\5\xdc", 4);
	for (i = 0; i < sizeof(http) - 40; i += 4)
		memcpy(http + i, "a:b\n", 4);
	memcpy(http + 2000, "\n\n\n\n", 4);
	for (i = 0; i + sizeof(question) < sizeof(queries); i +=
	    sizeof(question))
		memcpy(queries + i, question, sizeof(question));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static bool	started;
	unsigned int	i;

	if (!started) {
		room_on_segment = segment;
		make_streams();
		/* FUZZ_LINK=plain: no offloads, so checksums and MSS segments */
		room_start(getenv("FUZZ_LINK") != NULL ? 0 :
		    LINK_CSUM | LINK_TSO4, 1500, 64);
		for (i = 0; i < FLOWS; i++)
			conns[i].server = -1;
		pools_full();
		started = true;
	}
	in = data;
	in_end = data + len;
	while (in < in_end)
		act();
	end_all(len > 0 && data[len - 1] % 16 == 0);
	return 0;
}
