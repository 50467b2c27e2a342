/*
 * sallyport-recorder LEVEL FILENAME [DIRECTORY]: the only holder of the audit log.
 *
 * fd 3 is the channel to the broker, fd 4 the directory of the log (its path is only
 * looked at, to see whether it is still there), fd 5 takes diagnostics. A plain
 * poll(2) loop: there is one peer and one timer, and libevent would add four system
 * calls to the filter for them.
 *
 * Trusts: the keeper for its fds; the broker for what happened, not for form.
 * Must not: see a socket or a packet, or end while something can still be
 * written.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "reason.h"
#include "recorder.h"
#include "seal.h"

enum state {
	ST_NEW = 1 << 0,
	ST_RUN = 1 << 1,
	ST_END = 1 << 2
};

struct recorder {
	enum state	state;
	bool		gone;		/* the broker */
	struct writer	writer;
};

/* Acknowledgements are small and few: one that does not fit is tried again. */
static int
answer(const struct writer *w, uint32_t type, uint64_t rec, uint32_t err)
{
	struct record_ack	ack;

	wire_begin(&ack, sizeof(ack), type, rec);
	ack.err = err;
	ack.harm = w->harmed;
	return fd_send(FD_CHANNEL, &ack, sizeof(ack), -1);
}

/* FAILED first: nothing else may tell the broker about later records. */
static void
send_outbox(struct writer *w)
{
	struct outbox	*o = &w->out;

	if (o->failed) {
		if (answer(w, RECORD_FAILED, o->failed_rec, o->failed_err) == -1)
			return;
		o->failed = false;
	}
	if (o->durable) {
		if (answer(w, RECORD_DURABLE, o->durable_rec, 0) == -1)
			return;
		o->durable = false;
	}
	if (o->recovered) {
		if (answer(w, RECORD_RECOVERED, o->durable_rec, 0) == -1)
			return;
		o->recovered = false;
	}
}

static bool
outbox_empty(const struct outbox *o)
{
	return !o->failed && !o->durable && !o->recovered;
}

_Noreturn static void
cannot_start(const struct writer *w)
{
	const char	*verb = w->made ? "begun" : "continued";
	int		 err = w->state == WRITER_OK ? 0 : w->gap.err;

	if (err == 0)
		fatalx("the audit log %s cannot be %s", w->name, verb);
	if (err == ENOSPC || err == EDQUOT)
		fatalx("the audit log %s cannot be %s: no room is left there; "
		    "make some, or have the log elsewhere", w->name, verb);
	fatalx("the audit log %s cannot be %s: %s", w->name, verb,
	    strerror(err));
}

static int
on_start(void *arg, const void *msg, int fd)
{
	const struct record_start	*st = msg;
	struct recorder			*r = arg;

	(void)fd;
	if (st->durable > DURABLE_ASYNC || st->resume > 1)
		return -1;
	if (writer_start(&r->writer, st) == -1)
		cannot_start(&r->writer);
	r->state = ST_RUN;
	if (answer(&r->writer, RECORD_READY, r->writer.acked, 0) == -1)
		fatal("answering the broker");
	return 0;
}

static int
on_write(void *arg, const void *msg, int fd)
{
	const struct record	*rec = msg;
	struct recorder		*r = arg;

	(void)fd;
	if (!line_acceptable(rec))
		return -1;
	writer_take(&r->writer, rec, NULL);
	return 0;
}

static int
on_named(void *arg, const void *msg, int fd)
{
	const struct record_named	*named = msg;
	struct recorder			*r = arg;

	(void)fd;
	if (!line_acceptable_named(named))
		return -1;
	writer_take(&r->writer, &named->r, named);
	return 0;
}

static int
on_end(void *arg, const void *msg, int fd)
{
	struct recorder	*r = arg;

	(void)msg;
	(void)fd;
	r->state = ST_END;
	return 0;
}

static const struct wire_rule	rules[] = {
	{ RECORD_START, ST_NEW, sizeof(struct record_start), false, on_start, 0 },
	{ RECORD_WRITE, ST_RUN, sizeof(struct record), false, on_write, 0 },
	{ RECORD_NAMED, ST_RUN, sizeof(struct record_named), false, on_named,
	    0 },
	{ RECORD_END, ST_RUN, sizeof(struct wire_head), false, on_end, 0 },
};

/* Everything that is there, up to a group's size. */
static void
receive(struct recorder *r)
{
	static union {
		unsigned char	bytes[sizeof(struct record_named) + 1];
		struct wire_head align;
	} buf;
	enum wire_fault	fault;
	ssize_t		n;
	int		i;

	for (i = 0; i < BATCH_MAX && r->state != ST_END; i++) {
		n = fd_recv(FD_CHANNEL, buf.bytes, sizeof(buf), NULL, NULL);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			if (n == -1)
				log_warn("the broker's channel");
			r->gone = true;
			return;
		}
		fault = wire_dispatch(rules, sizeof(rules) / sizeof(rules[0]),
		    r->state, r, buf.bytes, (size_t)n, -1);
		if (fault != WIRE_OK) {
			log_warnx("a message of the broker: %s",
			    wire_fault_name(fault));
			r->gone = true;
			return;
		}
	}
}

static int
timeout_ms(const struct recorder *r, bool more)
{
	int64_t	at = writer_deadline(&r->writer), left;

	if (more)
		return 0;
	left = at - writer_now();
	return left <= 0 ? 0 : (int)(left / 1000000) + 1;
}

/*
 * Where broker and recorder share a CPU, the first record of many wakes us before
 * the others are sent, and each would have a commit of its own. So whoever is
 * ready to run goes first. With nobody else there it returns at once, and a
 * stranger who is not due is not waited for.
 */
static void
let_gather(void)
{
	sched_yield();
}

static void
loop(struct recorder *r)
{
	struct writer	*w = &r->writer;
	struct pollfd	 p = { .fd = FD_CHANNEL };
	bool		 more = false;

	while (!r->gone && r->state != ST_END) {
		p.events = writer_room(w) ? POLLIN : 0;
		if (!outbox_empty(&w->out))
			p.events |= POLLOUT;
		if (poll(&p, 1, timeout_ms(r, more)) == -1 && errno != EINTR)
			fatal("poll");
		if ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
			let_gather();
			receive(r);
		}
		send_outbox(w);
		more = writer_turn(w);
		send_outbox(w);
	}
}

/* The last acknowledgement is worth waiting for, but not for ever. */
static void
last_words(struct recorder *r, int result)
{
	struct writer	*w = &r->writer;
	struct pollfd	 p = { .fd = FD_CHANNEL, .events = POLLOUT };

	if (result == -1) {
		w->out.failed = true;
		w->out.failed_rec = w->acked;
		w->out.failed_err = (uint32_t)w->gap.err;
	}
	if (w->harmed) {		/* it may have been seen just now */
		w->out.durable = true;
		w->out.durable_rec = w->acked;
	}
	w->out.recovered = false;
	send_outbox(w);
	if (!outbox_empty(&w->out) && poll(&p, 1, 1000) == 1)
		send_outbox(w);
}

static void
greet(void)
{
	struct wire_hello	hello;

	wire_hello_begin(&hello, RECORD_HELLO);
	if (fd_send(FD_CHANNEL, &hello, sizeof(hello), -1) == -1)
		fatal("greeting the broker");
}

static void
check_channel(void)
{
	int		type = 0;
	socklen_t	len = sizeof(type);

	if (getsockopt(FD_CHANNEL, SOL_SOCKET, SO_TYPE, &type, &len) == -1 ||
	    type != SOCK_SEQPACKET)
		fatalx("sallyportd starts this program; see sallyport(1)");
	if (fd_nonblock(FD_CHANNEL) == -1 ||
	    fd_cloexec(FD_CHANNEL, true) == -1 ||
	    fd_cloexec(FD_OBJECT, true) == -1 || fd_cloexec(FD_LOG, true) == -1)
		fatal("fixed fds");
}

/* Of the user's; 0 is none. */
static uint64_t
file_limit(void)
{
	struct rlimit	rl;

	if (getrlimit(RLIMIT_FSIZE, &rl) == -1)
		fatal("getrlimit");
	return rl.rlim_cur == RLIM_INFINITY ? 0 : rl.rlim_cur;
}

int
main(int argc, char **argv)
{
	static struct recorder	r = { .state = ST_NEW };
	bool			ended;
	int			result;

	if (argc < 3 || argc > 4)
		fatalx("sallyportd starts this program; see sallyport(1)");
	log_init_child("recorder", argc, argv);
	check_channel();
	signal(SIGPIPE, SIG_IGN);	/* a dead broker is no reason to die */
	signal(SIGXFSZ, SIG_IGN);	/* EFBIG is handled like a full disk */
	r.writer.file_max = file_limit();
	writer_open(&r.writer, FD_OBJECT, argv[2]);
	watch_begin(&r.writer, argv[3]);
	recorder_seal_self(r.writer.seg.fd);
	greet();
	loop(&r);
	if (r.state == ST_NEW)
		_exit(0);	/* nothing of libc's is left to be done */
	ended = r.state == ST_END;
	result = writer_end(&r.writer, REASON_UNKNOWN_CRASH);
	if (ended)
		last_words(&r, result);
	_exit(result == 0 && !r.writer.harmed ? 0 : 1);
}
