/*
 * What a record costs: CPU to format it, and records per second through the
 * real sallyport-recorder with 1, 8, 64 and 512 of them under way, each one a
 * flow.open that is acknowledged after its fdatasync.
 *
 * usage: bench_recorder DIRECTORY [SECONDS]
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recorder.h"

static double
now(clockid_t id)
{
	struct timespec	t;

	clock_gettime(id, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct record
sample(uint64_t rec, uint32_t type)
{
	struct record	r;

	wire_begin(&r, sizeof(r), RECORD_WRITE, rec);
	r.type = type;
	r.flow = rec;
	r.proto = PROTO_TCP;
	r.verdict = VERDICT_ALLOW;
	r.ts = UINT64_C(1795572309123456789) + rec * 1000;
	r.mono = rec * 1000;
	endpoint_parse("10.0.2.100:40123", &r.g_src);
	endpoint_parse("192.0.2.10:443", &r.g_dst);
	endpoint_parse("198.51.100.7:50123", &r.h_src);
	endpoint_parse("192.0.2.10:443", &r.h_dst);
	r.gen = 1;
	strcpy(r.tenant, "acme");
	strcpy(r.guest, "build-1");
	strcpy(r.rule, "web");
	strcpy(r.loc, "sallyport.conf:12");
	return r;
}

static void
formatting(void)
{
	struct origin	o = { "host", "f37e4b04-ddfa-4db3-abce-cde06fd2b43c",
			    { 1 } };
	struct record	r = sample(1, REC_FLOW_OPEN);
	static char	buf[LINE_ROOM];
	struct slice	body;
	struct json	j;
	uint64_t	i, n = 500000;
	double		t = now(CLOCK_PROCESS_CPUTIME_ID);

	for (i = 0; i < n; i++) {
		j = (struct json){ .p = buf, .end = buf + sizeof(buf) };
		line_record(&j, &o, i, &r, NULL, &body);
	}
	t = now(CLOCK_PROCESS_CPUTIME_ID) - t;
	printf("format: %.2f us CPU per record of %zu bytes\n", t / (double)n *
	    1e6, (size_t)(j.p - buf));
}

static pid_t
start(const char *dir, int *chan)
{
	int	pair[2], d = open(dir, O_RDONLY | O_DIRECTORY);
	pid_t	pid;

	if (d == -1 || fd_channel(pair) == -1)
		err(1, "%s", dir);
	if ((pid = fork()) == 0) {
		d = fcntl(d, F_DUPFD, 100);
		pair[1] = fcntl(pair[1], F_DUPFD, 100);
		if (dup2(STDERR_FILENO, FD_LOG) == -1 ||
		    dup2(d, FD_OBJECT) == -1 ||
		    dup2(pair[1], FD_CHANNEL) == -1)
			_exit(126);
		fd_close_from(FD_LOG + 1);
		execl("./sallyport-recorder", "sallyport-recorder", "0",
		    "bench.jsonl", (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	close(d);
	*chan = pair[0];
	return pid;
}

/* Waits for one message; its rec if it acknowledges. */
static uint64_t
hear(int chan, int timeout)
{
	struct pollfd	p = { .fd = chan, .events = POLLIN };
	union {
		struct record_ack	ack;
		struct wire_hello	hello;
	} m;
	size_t		lost;

	if (poll(&p, 1, timeout) != 1)
		return 0;
	if (fd_recv(chan, &m, sizeof(m), NULL, &lost) <= 0)
		errx(1, "the recorder is gone");
	if (m.ack.head.type == RECORD_FAILED)
		errx(1, "the recorder failed");
	return m.ack.head.type == RECORD_DURABLE ? m.ack.head.id : 0;
}

static void
through(const char *dir, uint64_t window, double seconds)
{
	struct record_start	st;
	struct wire_head	end;
	struct rusage		before, after;
	struct record		r;
	uint64_t		sent = 0, acked = 0, acks = 0, got;
	int			chan, status;
	pid_t			pid = start(dir, &chan);
	double			t, cpu;

	getrusage(RUSAGE_CHILDREN, &before);
	wire_begin(&st, sizeof(st), RECORD_START, 0);
	st.rotate = 64 << 20;
	st.inst[0] = (uint8_t)window;
	st.inst[1] = (uint8_t)(window >> 8);
	hear(chan, 5000);
	fd_send(chan, &st, sizeof(st), -1);
	hear(chan, 5000);
	t = now(CLOCK_MONOTONIC);
	while (now(CLOCK_MONOTONIC) < t + seconds) {
		while (sent < acked + window) {
			r = sample(sent + 1, REC_FLOW_OPEN);
			r.flow = sent % 60000 + 1;	/* replaced, not piled up */
			if (fd_send(chan, &r, sizeof(r), -1) == -1)
				break;
			sent++;
		}
		if ((got = hear(chan, 1000)) != 0) {
			acked = got;
			acks++;
		}
	}
	t = now(CLOCK_MONOTONIC) - t;
	wire_begin(&end, sizeof(end), RECORD_END, 0);
	while (fd_send(chan, &end, sizeof(end), -1) == -1)
		hear(chan, 1000);
	waitpid(pid, &status, 0);
	getrusage(RUSAGE_CHILDREN, &after);
	cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec +
	    after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
	    (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec +
	    after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
	printf("%4llu under way: %8.0f records/s durable, %6.1f in a group, "
	    "%.2f us CPU each\n", (unsigned long long)window,
	    (double)acked / t, acks == 0 ? 0 : (double)acked / (double)acks,
	    acked == 0 ? 0 : cpu / (double)acked * 1e6);
	close(chan);
}

int
main(int argc, char **argv)
{
	static const uint64_t	windows[] = { 1, 8, 64, 512 };
	size_t			i;

	if (argc < 2)
		errx(2, "usage: bench_recorder DIRECTORY [SECONDS]");
	formatting();
	for (i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
		through(argv[1], windows[i], argc > 2 ? atof(argv[2]) : 2);
	return 0;
}
