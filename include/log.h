/*
 * Diagnostics: three tiers and no others. fatal*() ends the process, log_warn*()
 * reports that one message, peer or flow failed, the rest is a return code.
 * The "x" forms do not add strerror(errno). log_* keep errno.
 *
 * A line goes to one fd (2, or a sealed process's fd 5) by one write(2). Bytes
 * outside printable ASCII are escaped, so no peer can forge a line or reach a
 * terminal. Whoever reads the fd may be slow: log_init()'s default is to wait.
 */
#ifndef SALLYPORT_LOG_H
#define SALLYPORT_LOG_H

#include <stddef.h>

enum log_level { LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_LINE_MAX	1024	/* longer lines are cut and marked "..." */

void	log_init(const char *name, int fd, enum log_level);
void	log_set_level(enum log_level);
enum log_level log_get_level(void);
/*
 * For a child of the keeper: its fd 5, at the level in argv[1], "0" to "2".
 * -1: there is none, and it is WARN.
 */
int	log_init_child(const char *name, int argc, char *argv[]);
/*
 * For a process that others depend on. A line that finds no room (a pipe that
 * nobody reads, a terminal that is stopped) is lost and counted, and the next
 * one that finds some says how many were. Needs poll(2) of one fd, timeout 0.
 * Room for a byte may be none for a line, or be gone by then: only an fd that is
 * O_NONBLOCK is sure not to wait (the keeper's own_stderr()).
 */
void	log_never_wait(void);
/*
 * The same for a process that is to end in any case: a line waits for a second,
 * and those after one that was lost do not. Timeouts of poll(2): 1000 and 0.
 */
void	log_wait_briefly(void);
/* At most 2 * LOG_LINE_MAX bytes, escaped by the caller, with their newline. */
void	log_line(const char *, size_t);

void	log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void	log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fatal(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));
_Noreturn void fatalx(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));

/* Exit status of fatal*() (sysexits.h EX_SOFTWARE). */
#define FATAL_STATUS	70

/* Copies `len` bytes with every unprintable one as \xNN; always ends in NUL. */
size_t	log_escape(char *out, size_t size, const char *in, size_t len);

#endif
