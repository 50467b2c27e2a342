/*
 * Diagnostics of one process to one fd. See include/log.h.
 *
 * Trusts: its format strings, nothing that is printed through them.
 * Must not: allocate, use stdio streams or locale, or take a lock: it is called
 * in sealed processes that may only write(2) (and poll(2), if they never wait).
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "log.h"

#define LOST_MAX	128
#define PATIENCE	1000	/* ms */
static_assert(LOST_MAX + LOG_LINE_MAX * 2 <= PIPE_BUF, "one write, one line");

static const char	*log_name = "sallyport";
static int		 log_fd = STDERR_FILENO;
static enum log_level	 log_level = LOG_LEVEL_WARN;
static int		 log_patience = -1;	/* ms that a line waits for room */
static unsigned long	 log_lost;

void
log_init(const char *name, int fd, enum log_level level)
{
	log_name = name;
	log_fd = fd;
	log_level = level;
}

void
log_set_level(enum log_level level)
{
	log_level = level;
}

enum log_level
log_get_level(void)
{
	return log_level;
}

int
log_init_child(const char *name, int argc, char *argv[])
{
	log_init(name, FD_LOG, LOG_LEVEL_WARN);
	if (argc < 2 || strlen(argv[1]) != 1 || argv[1][0] < '0' ||
	    argv[1][0] > '2')
		return -1;
	log_level = (enum log_level)(argv[1][0] - '0');
	return 0;
}

void
log_never_wait(void)
{
	log_patience = 0;
}

void
log_wait_briefly(void)
{
	log_patience = PATIENCE;
}

size_t
log_escape(char *out, size_t size, const char *in, size_t len)
{
	static const char	hex[] = "0123456789abcdef";
	size_t			i, n = 0;

	for (i = 0; i < len && n + 5 < size; i++) {
		unsigned char	c = (unsigned char)in[i];

		if (c >= 0x20 && c < 0x7f) {
			out[n++] = (char)c;
			continue;
		}
		out[n++] = '\\';
		out[n++] = 'x';
		out[n++] = hex[c >> 4];
		out[n++] = hex[c & 15];
	}
	out[n] = '\0';
	return n;
}

/*
 * A pipe that is writable at all takes a line whole (pipe(7), PIPE_BUF). Where one
 * line has waited in vain the next ones do not.
 */
static bool
room(void)
{
	struct pollfd	p = { .fd = log_fd, .events = POLLOUT };
	int		n;

	if (log_patience < 0)
		return true;
	while ((n = poll(&p, 1, log_lost > 0 ? 0 : log_patience)) == -1 &&
	    errno == EINTR)
		;
	return n != 0;
}

/* What could not be written before, in front of what can be written now. */
static int
begin(char *line, size_t size)
{
	int	n = 0;

	if (log_lost > 0)
		n = snprintf(line, size, "%s: lines lost for want of room: %lu\n",
		    log_name, log_lost);
	return n < (int)size ? n : 0;
}

static void
finish(const char *line, size_t len)
{
	if (!room() || (write(log_fd, line, len) == -1 && errno == EAGAIN))
		log_lost++;
	else
		log_lost = 0;	/* or nowhere left to say so */
}

void
log_line(const char *line, size_t len)
{
	char	buf[LOST_MAX + LOG_LINE_MAX * 2];
	int	saved = errno, n = begin(buf, LOST_MAX);

	if (len > sizeof(buf) - (size_t)n)
		len = sizeof(buf) - (size_t)n;
	memcpy(buf + n, line, len);
	finish(buf, (size_t)n + len);
	errno = saved;
}

static void	emit(const char *, int, const char *, va_list)
		    __attribute__((format(printf, 3, 0)));

/* "name: tier: text[: error]\n", escaped, in one write. */
static void
emit(const char *tier, int err, const char *fmt, va_list ap)
{
	char	text[LOG_LINE_MAX], line[LOST_MAX + LOG_LINE_MAX * 2];
	int	n, len;

	len = snprintf(text, sizeof(text), "%s: %s", log_name, tier);
	n = vsnprintf(text + len, sizeof(text) - (size_t)len, fmt, ap);
	if (n < 0)
		return;
	len += n;
	if ((size_t)len >= sizeof(text)) {
		memcpy(text + sizeof(text) - 4, "...", 4);
		len = sizeof(text) - 1;
	} else if (err != 0) {
		n = snprintf(text + len, sizeof(text) - (size_t)len, ": %s",
		    strerror(err));
		len = (int)strlen(text);
	}
	n = begin(line, LOST_MAX);
	n += (int)log_escape(line + n, LOG_LINE_MAX * 2 - 1, text, (size_t)len);
	line[n++] = '\n';
	finish(line, (size_t)n);
}

#define EMIT(tier, err) do {						\
	int	saved = errno;						\
	va_list	ap;							\
									\
	va_start(ap, fmt);						\
	emit(tier, err, fmt, ap);					\
	va_end(ap);							\
	errno = saved;							\
} while (0)

void
log_warn(const char *fmt, ...)
{
	EMIT("", saved);
}

void
log_warnx(const char *fmt, ...)
{
	EMIT("", 0);
}

void
log_info(const char *fmt, ...)
{
	if (log_level >= LOG_LEVEL_INFO)
		EMIT("", 0);
}

void
log_debug(const char *fmt, ...)
{
	if (log_level >= LOG_LEVEL_DEBUG)
		EMIT("debug: ", 0);
}

void
fatal(const char *fmt, ...)
{
	EMIT("fatal: ", saved);
	_exit(FATAL_STATUS);
}

void
fatalx(const char *fmt, ...)
{
	EMIT("fatal: ", 0);
	_exit(FATAL_STATUS);
}
