/*
 * What a rule says of itself: who agreed (ticket), why (note), and how long it holds
 * (until). Only the last one is law, and so the only one that is part of the rule's
 * id: a ticket that is renewed names no other rule.
 *
 * A deny has no end. It would open, on a day when nobody looks, what it stops; an
 * allow that ends only closes.
 *
 * Trusts: nothing in the words. Must not: read a clock; what time it is, the sink says.
 */
#include <stdio.h>
#include <string.h>

#include "read.h"

#define TICKET_MAX	128		/* with the NUL */
#define DAY		UINT64_C(86400)
#define SOON		(7 * DAY)
#define YEAR_FIRST	1971u
#define YEAR_LAST	9999u

struct date { unsigned int year, month, day, hour, minute, second; };

/* ---- dates: RFC 3339, in UTC ------------------------------------------------ */

static bool
is_leap(unsigned int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned int
days_in(unsigned int year, unsigned int month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30,
				    31, 30, 31 };

	return days[month - 1] + (month == 2 && is_leap(year));
}

static uint64_t
seconds_of(const struct date *d)
{
	uint64_t	days = d->day - 1;
	unsigned int	i;

	for (i = 1970; i < d->year; i++)
		days += is_leap(i) ? 366 : 365;
	for (i = 1; i < d->month; i++)
		days += days_in(d->year, i);
	return days * DAY + d->hour * 3600 + d->minute * 60 + d->second;
}

/* Exactly n digits. */
static bool
digits(const char **s, unsigned int n, unsigned int *out)
{
	*out = 0;
	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		*out = *out * 10 + (unsigned int)(**s - '0');
	}
	return true;
}

static bool
skip(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

static bool
take_day(const char **s, struct date *d)
{
	return digits(s, 4, &d->year) && skip(s, '-') && digits(s, 2, &d->month) &&
	    skip(s, '-') && digits(s, 2, &d->day) && d->year >= YEAR_FIRST &&
	    d->month >= 1 && d->month <= 12 && d->day >= 1 &&
	    d->day <= days_in(d->year, d->month);
}

static bool
take_time(const char **s, struct date *d)
{
	return digits(s, 2, &d->hour) && skip(s, ':') && digits(s, 2, &d->minute) &&
	    skip(s, ':') && digits(s, 2, &d->second) && d->hour < 24 &&
	    d->minute < 60 && d->second < 60;
}

/* "+01:00": what it is ahead of UTC, in seconds. */
static bool
take_offset(const char **s, int64_t *out)
{
	unsigned int	hour, minute;
	int64_t		sign = **s == '-' ? -1 : 1;

	if ((!skip(s, '+') && !skip(s, '-')) || !digits(s, 2, &hour) ||
	    !skip(s, ':') || !digits(s, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*out = sign * (int64_t)(hour * 3600 + minute * 60);
	return **s == '\0';
}

static void
broken_down(uint64_t t, struct date *d)
{
	uint64_t	days = t / DAY;

	memset(d, 0, sizeof(*d));
	d->hour = (unsigned int)(t % DAY / 3600);
	d->minute = (unsigned int)(t % 3600 / 60);
	d->second = (unsigned int)(t % 60);
	for (d->year = 1970; days >= (is_leap(d->year) ? 366 : 365); d->year++)
		days -= is_leap(d->year) ? 366 : 365;
	for (d->month = 1; days >= days_in(d->year, d->month); d->month++)
		days -= days_in(d->year, d->month);
	d->day = (unsigned int)days + 1;
}

/* The last day, or the moment, as a policy has it. */
const char *
date_print(uint64_t until, char buf[DATE_STRLEN])
{
	struct date	d;
	bool		whole = until % DAY == 0;

	broken_down(whole ? until - DAY : until, &d);
	if (whole)
		snprintf(buf, DATE_STRLEN, "%04u-%02u-%02u", d.year % 10000,
		    d.month % 100, d.day % 100);
	else
		snprintf(buf, DATE_STRLEN, "%04u-%02u-%02uT%02u:%02u:%02uZ",
		    d.year % 10000, d.month % 100, d.day % 100, d.hour % 100,
		    d.minute % 100, d.second % 100);
	return buf;
}

/*
 * A day lasts to its end; a moment is the first at which the rule has ended. *shifted:
 * it would be one, but for an offset; *out is what to write for it then.
 */
static bool
parse(const char *s, uint64_t *out, bool *shifted)
{
	struct date	d = { 0, 0, 0, 0, 0, 0 };
	int64_t		offset = 0;

	*shifted = false;
	if (!take_day(&s, &d))
		return false;
	*out = seconds_of(&d) + DAY;
	if (*s == '\0')
		return true;
	if ((!skip(&s, 'T') && !skip(&s, 't')) || !take_time(&s, &d))
		return false;
	*out = seconds_of(&d);
	if ((skip(&s, 'Z') || skip(&s, 'z')) && *s == '\0')
		return true;
	*shifted = take_offset(&s, &offset);
	*out = (uint64_t)((int64_t)*out - offset);
	return false;
}

bool
date_parse(const char *text, uint64_t *until)
{
	bool	shifted;

	return parse(text, until, &shifted);
}

/* ---- the grammar's actions --------------------------------------------------- */

void
build_ticket(struct parse *p, struct rule *r, const struct item *w)
{
	if (r->ticket != NULL)
		report_error(p, &w->at, "the rule has a ticket already: write "
		    "both into one");
	if (*w->text == '\0' || strlen(w->text) >= TICKET_MAX)
		report_error(p, &w->at, "a ticket has 1 to %d characters: what "
		    "is longer is a note", TICKET_MAX - 1);
	r->ticket = w->text;
}

void
build_note(struct parse *p, struct rule *r, const struct item *w)
{
	if (r->note != NULL)
		report_error(p, &w->at, "the rule has a note already: write both "
		    "into one");
	if (*w->text == '\0')
		report_error(p, &w->at, "the note is empty: write one, or leave "
		    "it out");
	r->note = w->text;
}

void
build_until(struct parse *p, struct rule *r, const struct where *at,
    const struct item *w)
{
	char	buf[DATE_STRLEN];
	bool	shifted;

	if (r->until_at.line != 0)
		report_error(p, at, "the rule has an end already");
	r->until_at = *at;
	if (!parse(w->text, &r->until, &shifted)) {
		if (shifted)
			report_error(p, &w->at, "\"%.64s\" is not in UTC: write "
			    "%s", w->text, date_print(r->until, buf));
		else
			report_error(p, &w->at, "\"%.64s\" is not a date: a day, "
			    "as 2027-01-31, which is the last one, or a moment "
			    "in UTC, as 2027-01-31T18:00:00Z", w->text);
		r->until = 0;
	} else if (r->deny)
		report_error(p, at, "until is for an allow: a deny that ends would "
		    "open what it stops. Leave the date out, or give it to the "
		    "allows");
}

void
review_until(struct parse *p, const struct rule *r)
{
	uint64_t	now = p->sink->now;
	char		buf[DATE_STRLEN];

	if (r->until == 0 || now == 0)
		return;
	if (r->until <= now)
		report_lint(p, "W160", &r->until_at, NULL, "this rule has ended (%s) and "
		    "allows nothing: give it another date, or remove it",
		    date_print(r->until, buf));
	else if (r->until - now <= SOON)
		report_lint(p, "W160", &r->until_at, NULL, "this rule ends within 7 days "
		    "(%s)", date_print(r->until, buf));
}
