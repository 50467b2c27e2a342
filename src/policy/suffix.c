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
is_shared(const struct name *n, bool below)
{
	struct name	house;
	size_t		i;

	for (i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (name_from_text(shared[i], strlen(shared[i]), &house) == 0 &&
		    (name_equal(n, &house) ||
		    (below && name_matches(n, NAME_MANY, &house))))
			return true;
	return false;
}

enum suffix
suffix_find(const struct blob_name *pattern)
{
	const psl_ctx_t		*list = psl_builtin();
	const struct name	*n = &pattern->base;

	if (list == NULL)
		fatalx("libpsl was built without its list: install one that has "
		    "it, or no rule by name can be judged");
	/* without the list's last rule, by which any top level is a suffix */
	if (psl_is_public_suffix2(list, n->text, PSL_TYPE_ICANN |
	    PSL_TYPE_NO_STAR_RULE))
		return SUFFIX_ICANN;
	if (psl_is_public_suffix2(list, n->text, PSL_TYPE_PRIVATE |
	    PSL_TYPE_NO_STAR_RULE) || is_shared(n, pattern->wild != NAME_EXACT))
		return SUFFIX_PRIVATE;
	return name_labels(n) == 1 ? SUFFIX_UNKNOWN : SUFFIX_NONE;
}
