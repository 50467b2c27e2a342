/*
 * What a user typed, and how to say that it is wrong.
 *
 * Trusts: nothing. Must not: guess what was meant.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

int
usage_error(int status, const char *command, const char *fmt, ...)
{
	char	text[512];
	va_list	ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_warnx("%s: %s; see `sallyport help %s'", command, text, command);
	return status;
}

long
parse_number(const char *option, const char *text, long min, long max)
{
	char	*end;
	long	 n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno == 0 && end != text && *end == '\0' && n >= min && n <= max)
		return n;
	log_warnx("%s %s: want a number from %ld to %ld", option, text, min,
	    max);
	return -1;
}

/* It is a key of queries and a part of messages, so it needs no quotes anywhere. */
bool
guest_word(const char *command, const char *word)
{
	static const char	letters[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t			len = strlen(word), i = strspn(word, letters);

	while (i > 0 && i < len && (strchr("._-", word[i]) != NULL ||
	    strchr(letters, word[i]) != NULL))
		i++;
	if (len > 0 && i == len && len < GUEST_MAX)
		return true;
	usage_error(-1, command, "--guest %s: want a name of 1 to %d letters, "
	    "digits, dots, hyphens or underscores that begins with a letter or a "
	    "digit", word, GUEST_MAX - 1);
	return false;
}

bool
durable_word(const char *word)
{
	return strcmp(word, "before-data") == 0 ||
	    strcmp(word, "before-connect") == 0 || strcmp(word, "async") == 0;
}
