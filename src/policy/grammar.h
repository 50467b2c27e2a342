/*
 * The door to libgrammar: text in, model out; model to blob, model to text. Only
 * the sealed parser child and the `sallyport` command link it.
 */
#ifndef SALLYPORT_GRAMMAR_H
#define SALLYPORT_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "name.h"

struct model;

#define GRAMMAR_ERRORS_MAX	20		/* then parsing stops */
#define GRAMMAR_FILE_MAX	(64u << 20)	/* bytes of one file */
#define GRAMMAR_TEXT_MAX	(256u << 20)	/* of all of them */
#define GRAMMAR_MEMORY_MAX	((size_t)640 << 20)	/* for what they say */
#define GRAMMAR_TOO_LARGE	"the policy says more than 640 MiB of memory " \
	"can hold: put lists that several rules have into table <x> or names <x>"
#define GRAMMAR_FILES_MAX	65536		/* of one include */
#define GRAMMAR_BLOB_TOO_LARGE	"compiled it has more than 64 MiB: put lists that " \
	"several rules have into table <x> or names <x>, or write two policies"
#define GRAMMAR_DEPTH_MAX	8		/* includes in includes */
#define GRAMMAR_DIRS_MAX	16		/* directories of other files */
#define GRAMMAR_EXPAND_MAX	(1u << 20)	/* entries that macros stand for */
#define GRAMMAR_SEARCH_MAX	16		/* names of a search list */
#define GRAMMAR_LINE_MAX	512		/* of a message, escaped */

enum grammar_tier { TIER_ERROR, TIER_WARNING, TIER_NOTE };

struct grammar_message {
	enum grammar_tier tier;
	const char	*code;		/* "W202"; "": an error that has none */
	const char	*file;
	uint32_t	line, column;	/* line 0: the file as such */
	const char	*text;		/* without place, tier and code; escaped */
	/* Of an entry: how many rules use it unacknowledged, and where the first is. */
	uint32_t	uses;
	const char	*use_file;
	uint32_t	use_line;
	const char	*reason;	/* why it is acknowledged, or NULL */
};

struct grammar_sink {
	/*
	 * One message for people, printable ASCII, no newline. They come at the end of
	 * the reading, in the order of the text.
	 */
	void	(*line)(void *arg, const char *text);
	/* May be NULL. Instead of `line', and of all of them. */
	void	(*message)(void *arg, const struct grammar_message *);
	/*
	 * May be NULL. Called once, when the policy's own file has been read and
	 * before it is parsed, with every directory that parsing will look into.
	 */
	void	(*dirs)(void *arg, const char *const *dir, size_t n);
	/*
	 * May be NULL. Called for every file that is read, and every directory in
	 * which an include looks for files, with what fstat(2) said of it.
	 */
	void	(*file)(void *arg, const char *path, uint64_t dev, uint64_t ino);
	void	*arg;
	/* Of the lines. */
	bool	 quiet;				/* errors only */
	bool	 advise;			/* notes, too */
	bool	 all;				/* however many, and acknowledged ones */
	bool	 streams;	/* of what is open already, too: "-" */
	uint64_t now;		/* s since 1970, for what ends soon; 0: nobody asks */
	/* Counted here; what is acknowledged is no warning. */
	unsigned int errors, warnings, notes, acknowledged;
};

/* NULL after errors, all of which went to the sink. */
struct model *grammar_parse(const char *path, struct grammar_sink *);
/* The same for text at hand, which may not name other files. */
struct model *grammar_parse_text(const char *name, const char *text, size_t len,
	    struct grammar_sink *);
void	grammar_free(struct model *);

/* One host name as a policy may write it, in any script; 0, or -1 after an error. */
int	grammar_name(const char *text, struct grammar_sink *, struct name *out);

/* Known as a resolver that anyone may ask: an allow that names it is an error. */
bool	grammar_public_resolver(const struct name *);
/*
 * The shortest part of a name, from its end on, that is no public suffix. False: there
 * is none.
 */
bool	grammar_zone(const struct name *, struct name *zone);

/* `resolver { search ... }`, in its order; not in the compiled policy. */
const struct name *grammar_search(const struct model *, size_t *n);

/* Every file whose text was read, in that order; one that is read twice is there twice. */
const char *const *grammar_files(const struct model *, size_t *n);

/* The compiled policy and its length, to be freed; NULL if it is too big. */
void	*grammar_compile(const struct model *, size_t *len);
/* The canonical text, NUL-ended, to be freed. */
char	*grammar_print(const struct model *, size_t *len);

#endif
