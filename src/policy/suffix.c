/*
 * The public suffix list: below which names anyone can get one of his own. libpsl
 * carries the list in itself, so no file is read.
 *
 * Trusts: the list of the libpsl that is installed.
 * Must not: be linked into a process that carries traffic.
 */
#include <string.h>

#include <libpsl.h>

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

static bool
is_shared(const struct pattern *n)
{
	const char	*text = n->base->text;
	size_t		 i, len, more;

	for (i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
		len = strlen(shared[i]);
		more = n->base->len - len;
		if (n->base->len >= len && memcmp(text + more, shared[i],
		    len) == 0 && (more == 0 || (n->wild != NAME_EXACT &&
		    text[more - 1] == '.')))
			return true;
	}
	return false;
}

static bool
is_top(const struct model_name *n)
{
	return memchr(n->text, '.', n->len) == NULL;
}

enum suffix
suffix_find(const struct pattern *n)
{
	const psl_ctx_t	*list = psl_builtin();

	if (list == NULL)
		fatalx("libpsl was built without its list: install one that has "
		    "it, or no rule by name can be judged");
	/* without the list's last rule, by which any top level is a suffix */
	if (!psl_is_public_suffix2(list, n->base->text, PSL_TYPE_ANY |
	    PSL_TYPE_NO_STAR_RULE))
		return is_shared(n) ? SUFFIX_PRIVATE : is_top(n->base) ?
		    SUFFIX_UNKNOWN : SUFFIX_NONE;
	return psl_is_public_suffix2(list, n->base->text, PSL_TYPE_ICANN |
	    PSL_TYPE_NO_STAR_RULE) ? SUFFIX_ICANN : SUFFIX_PRIVATE;
}
