/*
 * The public suffix list: below which names anyone can get one of his own. libpsl
 * carries the list in itself, so no file is read.
 *
 * Trusts: the list of the libpsl that is installed.
 * Must not: be linked into a process that carries traffic.
 */
#include <string.h>

#include <libpsl.h>

#include "grammar.h"
#include "log.h"
#include "read.h"

/*
 * Names that the list knows nothing of, or only in parts, but below which the
 * customers of one house live side by side.
 */
static const char *const	shared[] = {
	"amazonaws.com",
	"azureedge.net",
	"azurefd.net",
	"b-cdn.net",
	"backblazeb2.com",
	"cloudflarestorage.com",
	"fastly.net",
	"googleusercontent.com",
	"ngrok-free.app",
	"windows.net",
};

/* `below': so are the names below them. */
static bool
is_shared(const char *text, size_t len, bool below)
{
	size_t	i, n, more;

	for (i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
		n = strlen(shared[i]);
		more = len - n;
		if (len >= n && memcmp(text + more, shared[i], n) == 0 &&
		    (more == 0 || (below && text[more - 1] == '.')))
			return true;
	}
	return false;
}

static enum suffix
find(const char *text, size_t len, bool below)
{
	const psl_ctx_t	*list = psl_builtin();

	if (list == NULL)
		fatalx("libpsl was built without its list: install one that has "
		    "it, or no rule by name can be judged");
	/* without the list's last rule, by which any top level is a suffix */
	if (!psl_is_public_suffix2(list, text, PSL_TYPE_ANY |
	    PSL_TYPE_NO_STAR_RULE))
		return is_shared(text, len, below) ? SUFFIX_PRIVATE :
		    memchr(text, '.', len) == NULL ? SUFFIX_UNKNOWN : SUFFIX_NONE;
	return psl_is_public_suffix2(list, text, PSL_TYPE_ICANN |
	    PSL_TYPE_NO_STAR_RULE) ? SUFFIX_ICANN : SUFFIX_PRIVATE;
}

enum suffix
suffix_find(const struct pattern *n)
{
	return find(n->base->text, n->base->len, n->wild != NAME_EXACT);
}

/*
 * The name's last part that is one owner's: the shortest that is no public suffix. False:
 * the name itself is one, or is below a house whose customers' names are not told apart.
 */
bool
grammar_zone(const struct name *n, struct name *zone)
{
	const char	*p = n->text + n->len;

	while (p > n->text) {
		for (p--; p > n->text && p[-1] != '.'; p--)
			;
		if (name_from_text(p, strlen(p), zone) == -1)
			return false;
		if (find(zone->text, zone->len, true) == SUFFIX_NONE)
			return true;
		if (p > n->text)
			p--;
	}
	return false;
}
