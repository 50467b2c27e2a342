/* See script.h. */
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

#include "fd.h"
#include "script.h"

#define ISS	0xffffff00u	/* wraps around soon */
#define SEEN	4096

/* One script on one family. */
struct run {
	const struct script	*script;
	bool			 v6;
};

/* What the guest was sent and has not looked at; payload was, as it came. */
static struct room_seg	 seen[SEEN], last;
static unsigned int	 seen_first, seen_end;
static uint32_t		 isn;

static const struct run	*run;
static const struct step *now;
static uint16_t		 gport = 20000;
static uint64_t		 id;
static int		 server = -1, copy = -1;
static uint32_t		 written, taken;	/* by the server */
static struct wire_close closed;
static unsigned int	 nopens, ncloses;

#define wrong(...)	do {						\
	print_error("%s, IPv%d, line %d: ", run->script->name,		\
	    run->v6 ? 6 : 4, now == NULL ? 0 : now->line);		\
	print_error(__VA_ARGS__);					\
	print_error("\n");						\
	fail();								\
} while (0)

/* What stands at a sequence number, either way. */
static uint8_t
byte_at(uint32_t at)
{
	return (uint8_t)(at * 31 + at / 251);
}

static const char *
flag_names(uint8_t flags)
{
	static char	s[8];
	size_t		n = 0, i;

	for (i = 0; i < 5; i++)
		if ((flags & 1u << i) != 0)
			s[n++] = "FSRPA"[i];
	s[n] = '\0';
	return s;
}

/* ---- what the guest sees ---- */

static void
on_segment(const struct room_seg *s)
{
	size_t	i;

	if (run == NULL || s->gport != gport)
		return;
	if ((s->flags & (S_SYN | S_ACK)) == (S_SYN | S_ACK))
		isn = s->seq;
	for (i = 0; i < s->len; i++)
		if (s->data[i] != byte_at(s->seq - isn + (uint32_t)i))
			wrong("byte %zu of a segment is wrong", i);
	if (seen_end == SEEN)
		wrong("the guest is flooded");
	seen[seen_end++] = *s;
}

static void
describe(const struct room_seg *s)
{
	print_error("  the guest was sent %s %u:%u ack %u win %u\n",
	    flag_names(s->flags), s->seq - isn,
	    s->seq - isn + (uint32_t)s->len,
	    (s->flags & S_ACK) != 0 ? s->ack - ISS : s->ack, s->window);
}

static struct room_seg *
next_seen(void)
{
	if (seen_first == seen_end)
		return NULL;
	last = seen[seen_first++];
	if (seen_first == seen_end)
		seen_first = seen_end = 0;
	return &last;
}

static void
sees(const struct step *t)
{
	const struct room_seg	*s = next_seen();
	uint32_t		 ack = (t->flags & S_ACK) != 0 ? ISS + t->ack : 0;

	if (s == NULL)
		wrong("the guest was sent nothing");
	if ((s->flags & ~S_PSH) == t->flags && s->seq == isn + t->seq &&
	    s->len == t->len && s->ack == ack)
		return;
	describe(s);
	wrong("it was to be %s %u:%u ack %u", flag_names(t->flags), t->seq,
	    t->seq + t->len, t->ack);
}

static void
sees_all(const struct step *t)
{
	uint32_t		 at = t->seq;
	const struct room_seg	*s;

	while (at != t->seq + t->len) {
		if ((s = next_seen()) == NULL)
			wrong("the guest has %u of %u bytes", at - t->seq,
			    t->len);
		if (s->seq != isn + at || s->len == 0 ||
		    s->len > t->seq + t->len - at) {
			describe(s);
			wrong("it was to be at %u", at);
		}
		at += (uint32_t)s->len;
	}
}

static void
sees_none(void)
{
	const struct room_seg	*s = next_seen();

	if (s == NULL)
		return;
	describe(s);
	wrong("it was to be nothing");
}

/* ---- what it says ---- */

static void
guest(const struct step *t)
{
	static uint8_t	data[65536];
	struct room_seg	s = {
		.v6 = run->v6, .gport = gport, .dport = 80,
		.seq = ISS + t->seq, .flags = t->flags,
		.window = (uint16_t)t->win, .urgent = (uint16_t)t->urgent,
		.data = data, .len = t->len,
	};
	uint32_t	i, at = t->seq + ((t->flags & S_SYN) != 0);

	for (i = 0; i < t->len; i++)
		data[i] = byte_at(at + i);
	if ((t->flags & S_ACK) != 0)
		s.ack = isn + t->ack;
	if (t->options != NULL) {
		s.options = (const uint8_t *)t->options;
		s.options_len = t->options_len;
	} else if ((t->flags & S_SYN) != 0) {
		s.options = (const uint8_t *)SCRIPT_OPTIONS;
		s.options_len = sizeof(SCRIPT_OPTIONS) - 1;
	}
	room_guest_sends(&s);
}

static void
takes(const struct step *t)
{
	struct step		 a = *t;
	const struct room_seg	*s;
	uint32_t		 at = t->seq;
	unsigned int		 quiet = 0, n = 0;

	a.flags = S_ACK;
	a.seq = t->ack;
	a.len = 0;
	while ((int32_t)(t->seq + t->len - at) > 0) {
		if ((s = next_seen()) == NULL) {
			if (++quiet > 3000)
				wrong("the guest has %u of %u bytes",
				    at - t->seq, t->len);
			room_wait(100);
			continue;
		}
		if ((s->flags & (S_RST | S_SYN)) != 0 || ++n > t->len) {
			describe(s);
			wrong("after %u of %u bytes", at - t->seq, t->len);
		}
		if (s->seq == isn + at)
			at += (uint32_t)s->len;
		a.ack = at;
		guest(&a);
		room_turn();
		quiet = 0;
	}
}

static void
pauses(const struct step *t)
{
	struct step		 a = *t;
	const struct room_seg	*s;
	uint32_t		 ms;

	a.flags = S_ACK;
	a.seq = t->ack;
	a.ack = t->seq;
	a.len = 0;
	for (ms = 0; ms < t->len; ms += 100) {
		while ((s = next_seen()) != NULL) {
			if ((s->flags & (S_RST | S_SYN)) != 0) {
				describe(s);
				wrong("after %u ms", ms);
			}
			guest(&a);
		}
		room_wait(100);
	}
}

/* ---- the broker ---- */

/* What it does with its copy of the socket when a flow is over. */
static void
end_socket(void)
{
	struct linger	l = { closed.how != HOW_FIN, 0 };

	if (copy == -1)
		return;
	setsockopt(copy, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	if (closed.how == HOW_FIN)
		shutdown(copy, SHUT_WR);
	fd_drop(&copy);
}

static void
read_broker(void)
{
	_Alignas(8) uint8_t	buf[WIRE_MAX];
	struct wire_head	h;

	while (room_broker_recv(buf, sizeof(buf)) > 0) {
		memcpy(&h, buf, sizeof(h));
		if (h.type == WIRE_OPEN) {
			id = h.id;
			nopens++;
		} else if (h.type == WIRE_CLOSE) {
			memcpy(&closed, buf, sizeof(closed));
			ncloses++;
			end_socket();
		}
	}
}

static void
grant(void)
{
	int	pair[2];

	if (nopens == 0)
		wrong("nothing was asked");
	fd_drop(&server);
	fd_drop(&copy);
	room_tcp_pair(pair);
	server = pair[1];
	copy = pair[0];
	written = taken = 0;
	room_grant(id, pair[0]);
}

static void
check_closed(const struct step *t)
{
	if (ncloses == 0)
		wrong("the flow is not closed");
	if (closed.how != t->len || closed.reason != t->ack)
		wrong("it is closed as %u, reason %u (%s)", closed.how,
		    closed.reason, reason_name(closed.reason));
	ncloses = 0;
}

/* ---- the server ---- */

static void
writes(const struct step *t)
{
	uint8_t		*data = malloc(t->len);
	uint32_t	 i, done = 0;
	ssize_t		 n;

	for (i = 0; i < t->len; i++)
		data[i] = byte_at(1 + written + i);
	while (done < t->len) {
		n = write(server, data + done, t->len - done);
		if (n > 0)
			done += (uint32_t)n;
		else
			break;
		room_turn();
	}
	free(data);
	if (done < t->len)
		wrong("the server could write %u bytes", done);
	written += done;
}

static void
reads(const struct step *t)
{
	uint8_t		b[4096];
	uint32_t	have = 0;
	ssize_t		n, i;

	while ((n = read(server, b, sizeof(b))) > 0) {
		for (i = 0; i < n; i++)
			if (b[i] != byte_at(1 + taken + have + (uint32_t)i))
				wrong("byte %u is not what the guest sent",
				    have + (uint32_t)i);
		have += (uint32_t)n;
		room_turn();
	}
	if (have != t->len)
		wrong("the server has read %u bytes", have);
	taken += have;
}

static void
reads_end(int error)
{
	uint8_t	b;
	ssize_t	n = read(server, &b, 1);

	if (n == 1 || (n == 0) != (error == 0) || (n == -1 && errno != error))
		wrong("the server's read() says %zd, %s", n, strerror(errno));
}

static void
server_ends(enum op op)
{
	struct linger	l = { 1, 0 };

	if (op == OP_SHUT) {
		shutdown(server, SHUT_WR);
		return;
	}
	if (op == OP_ABORT)
		setsockopt(server, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	fd_drop(&server);
}

/* ---- scripts ---- */

static void
play_room(const struct step *t)
{
	switch (t->op) {
	case OP_WAIT:
		room_wait(t->len);
		break;
	case OP_GRANT:
		grant();
		break;
	case OP_DENY:
		room_deny(id, (enum deny_code)t->len);
		break;
	case OP_OPENS:
		if (nopens != t->len)
			wrong("the broker was asked %u times", nopens);
		break;
	case OP_CLOSED:
		check_closed(t);
		break;
	case OP_WRITES:
		writes(t);
		break;
	case OP_READS:
		reads(t);
		break;
	case OP_EOF:
		reads_end(0);
		break;
	case OP_ECONNRESET:
		reads_end(ECONNRESET);
		break;
	default:
		server_ends(t->op);
	}
}

static void
play(const struct step *t)
{
	switch (t->op) {
	case OP_GUEST:
		guest(t);
		break;
	case OP_TAKES:
		takes(t);
		break;
	case OP_PAUSES:
		pauses(t);
		break;
	case OP_FORGET:
		seen_first = seen_end = 0;
		break;
	case OP_SEES:
		sees(t);
		break;
	case OP_SEES_ALL:
		sees_all(t);
		break;
	case OP_WINDOW:
		if (last.window != t->win)
			wrong("the window is %u", last.window);
		break;
	case OP_NONE:
		sees_none();
		break;
	default:
		play_room(t);
	}
	room_turn();
	room_wait(2);		/* what is put off for a millisecond */
	read_broker();
}

static int
start(void **state)
{
	run = *state;
	now = NULL;
	gport++;
	seen_first = seen_end = 0;
	isn = 0;
	id = 0;
	nopens = ncloses = 0;
	return 0;
}

/* Whatever it was: nothing is left of it. */
static int
end(void **state)
{
	(void)state;
	run = NULL;
	fd_drop(&server);
	if (id != 0 && copy != -1) {
		room_revoke(id);
		room_turn();
		read_broker();
	}
	fd_drop(&copy);
	room_wait(70000);
	read_broker();
	assert_int_equal(flow_count(), 0);
	return 0;
}

static void
run_script(void **state)
{
	(void)state;
	for (now = run->script->steps; now->op != OP_END; now++)
		play(now);
	sees_none();
}

static char *
test_name(const struct run *r)
{
	char	*s;

	if (asprintf(&s, "%s, IPv%d", r->script->name, r->v6 ? 6 : 4) == -1)
		abort();
	return s;
}

int
script_run(const struct script *scripts, unsigned int n)
{
	struct CMUnitTest	*tests = calloc(2 * n, sizeof(*tests));
	struct run		*runs = calloc(2 * n, sizeof(*runs));
	unsigned int		 i;
	int			 failed;

	for (i = 0; i < 2 * n; i++) {
		runs[i] = (struct run){ &scripts[i / 2], i % 2 != 0 };
		tests[i] = (struct CMUnitTest){ test_name(&runs[i]),
		    run_script, start, end, &runs[i] };
	}
	room_on_segment = on_segment;
	room_start(0, 1500, 64);
	failed = _cmocka_run_group_tests("scripts", tests, 2 * n, NULL, NULL);
	for (i = 0; i < 2 * n; i++)
		free((void *)(uintptr_t)tests[i].name);
	free(tests);
	free(runs);
	return failed;
}
