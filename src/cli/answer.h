/*
 * What explain and rules have to say, before it is said: steps in their order, and a
 * verdict. The same answer goes out as text or as JSON.
 */
#ifndef SALLYPORT_ANSWER_H
#define SALLYPORT_ANSWER_H

#include "entry.h"
#include "json.h"
#include "model.h"
#include "policy.h"

struct grammar_sink;

/* reading.c: a policy as text and as law */
struct reading {
	const char	*path;
	struct model	*m;
	struct policy	*p;
	unsigned int	 warnings;
};
/* 0, or -1 after messages on stderr. */
int	reading_open(struct reading *, const char *path, uint64_t now);
void	reading_close(struct reading *);
/*
 * The number of the tenant in the policy, which is made ready for questions about it,
 * or -1 after a message that lists some.
 */
int	reading_tenant(const struct reading *, const char *command,
	    const char *tenant);
const struct rule *reading_rule(const struct reading *, uint32_t rule);
/* One line on stderr if there were warnings. */
void	reading_note(const struct reading *);
void	reading_json(const struct reading *, struct json *);
/* Members that say which rule: id, place, text; the second in an object of their own. */
void	reading_json_of(const struct reading *, struct json *, uint32_t rule,
	    size_t most);
void	reading_json_rule(const struct reading *, struct json *, const char *key,
	    uint32_t rule, size_t most);

struct step {
	const char	*word;
	char		*text;
	bool		 minor;		/* may be left out, if there is no room */
	uint32_t	 rule;		/* that it is about, or POLICY_NO_RULE */
	bool		 has_entry;
	struct spot	 entry;		/* of that rule */
	const char	*shown;		/* kind of first bytes, of a row: "sni", ... */
	struct name	 name;		/* that they show */
	uint32_t	 kind, reason;	/* the verdict then */
};

struct outcome {
	const char	*word;		/* "allow", "deny", "audit-deny", "depends", ... */
	char		*text;		/* the line */
	uint32_t	 reason;	/* enum reason */
	uint32_t	 rule;
	const char	*name, *assurance;
	char		 dial[ENDPOINT_STRLEN];	/* "": nothing is dialled */
	int		 status;	/* to exit with */
};

struct answer {
	const struct reading	*r;
	struct step		*step;
	size_t			 n, cap;
	unsigned int		 parts;
	bool			 minor;		/* what is added is, whatever it is */
	struct outcome		 verdict;
};

void	answer_init(struct answer *, const struct reading *);
void	answer_free(struct answer *);
/* What comes now is a part like the ones before: the first two are shown for certain. */
void	answer_part(struct answer *);
struct step *answer_add(struct answer *, const char *word, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
struct step *answer_rule(struct answer *, const char *word, uint32_t rule,
	    const struct spot *);
void	answer_verdict(struct answer *, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));
void	answer_json(const struct answer *, struct json *);

/* screen.c: at most SCREEN_LINES of SCREEN_COLUMNS, or all of it */
#define SCREEN_LINES	24
#define SCREEN_COLUMNS	80
void	screen_print(const struct answer *, bool all);

#endif
