/*
 * Messages: "file:line:column: what, and what was expected". They go to the sink
 * as they come, at most GRAMMAR_ERRORS_MAX of them.
 *
 * Trusts: its format strings. What they print is escaped here.
 * Must not: decide anything but when it is enough.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "read.h"

bool
report_full(const struct parse *p)
{
	return p->sink->errors >= GRAMMAR_ERRORS_MAX;
}

static void __attribute__((format(printf, 4, 0)))
report(struct parse *p, const struct where *at, const char *tier,
    const char *fmt, va_list ap)
{
	char	line[GRAMMAR_LINE_MAX], safe[GRAMMAR_LINE_MAX];
	int	n;

	if (at->line != 0)
		n = snprintf(line, sizeof(line), "%.200s:%u:%u: %s", at->file,
		    at->line, at->column, tier);
	else
		n = snprintf(line, sizeof(line), "%.200s: %s", at->file, tier);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	log_escape(safe, sizeof(safe), line, strlen(line));
	p->sink->line(p->sink->arg, safe);
}

void
report_error(struct parse *p, const struct where *at, const char *fmt, ...)
{
	va_list	ap;

	if (report_full(p))
		return;
	va_start(ap, fmt);
	report(p, at, "", fmt, ap);
	va_end(ap);
	if (++p->sink->errors == GRAMMAR_ERRORS_MAX)
		p->sink->line(p->sink->arg,
		    "20 errors: mend these first, the rest is not shown");
}

void
report_warning(struct parse *p, const struct where *at, const char *fmt, ...)
{
	va_list	ap;

	if (p->sink->warnings++ >= GRAMMAR_ERRORS_MAX || p->sink->quiet)
		return;
	va_start(ap, fmt);
	report(p, at, "warning: ", fmt, ap);
	va_end(ap);
}
