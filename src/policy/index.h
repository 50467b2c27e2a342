/*
 * The index of one tenant: which of its rules can be about a port, an address or a
 * name. index.c says what it is for and how it is made.
 */
#ifndef SALLYPORT_INDEX_H
#define SALLYPORT_INDEX_H

#include "law.h"

/* What a flow asks for the first rule of. A floor exception is a CLASS_DENY. */
enum rule_class {
	CLASS_DENY,		/* by address, in force */
	CLASS_DENY_AUDITED,
	CLASS_ALLOW,		/* by address */
	CLASS_WATCH,		/* deny by name, in force */
	CLASS_WATCH_AUDITED,
	CLASS_NAMED,		/* allow by name; this and its verify, and */
	CLASS_ECH = CLASS_NAMED + VERIFY_BY_PORT + 1,	/* the same with ech */
	CLASSES = CLASS_ECH + VERIFY_BY_PORT + 1
};

/*
 * A key is a class and an item, which is the number of a rule among its tenant's
 * (of an exception, the same): keys that are sorted have each class in a piece, and
 * in that the order of the file.
 */
#define KEY_BITS	24
static_assert(BLOB_COUNT_MAX <= 1u << KEY_BITS, "an item fits in a key");
static_assert(CLASSES <= 1u << (32 - KEY_BITS), "a class, too");

/* lists.c: many short lists of numbers in one piece of memory. */
struct pairs {			/* list << 32 | number */
	uint64_t	*v;
	size_t		 n, cap;
	bool		 failed;	/* there was no memory for one */
};
struct lists {
	uint32_t	 n;
	uint32_t	*start;		/* n + 1 of them */
	uint32_t	*number;	/* sorted within a list, no doubles */
};
void	pairs_add(struct pairs *, uint32_t list, uint32_t number);
/* Sorts; without doubles. */
void	pairs_sort(struct pairs *);
/* Of sorted pairs, which it frees. 0, or -1: there is no memory. */
int	lists_make(struct lists *, uint32_t n, struct pairs *);
void	lists_free(struct lists *);
static inline uint32_t
list_length(const struct lists *l, uint32_t i)
{
	return l->start[i + 1] - l->start[i];
}

/* Whether an item passes is for the one who asks. */
typedef bool item_test(const void *arg, uint32_t item);
bool	item_any(const void *arg, uint32_t item);	/* each does */
/* The first item of a class in a list, below `best', that passes; else best. */
uint32_t list_first(const struct lists *, uint32_t list, uint32_t class,
	    uint32_t best, item_test *, const void *arg);
uint32_t list_count(const struct lists *, uint32_t list, uint32_t class);

/* ports.c: a tree of ranges, halved from all ports down to one. */
struct ports {
	uint32_t	 depths[3];	/* bit k: a node of 2^k ports is in use */
	uint32_t	*node;		/* sorted; each has a list of keys */
	struct lists	 keys;
};
void	ports_add(struct pairs *, const struct policy *,
	    const struct blob_match *, uint32_t key);
int	ports_make(struct ports *, struct pairs *);
void	ports_free(struct ports *);
uint32_t ports_first(const struct ports *, uint32_t proto, uint16_t port,
	    uint32_t class, uint32_t best, item_test *, const void *arg);
uint32_t ports_count(const struct ports *, uint32_t proto, uint16_t port,
	    uint32_t class);

/* nets.c: prefixes in order, each knowing the narrowest one that it lies in. */
struct net_tree {
	uint32_t	 n;
	struct net_key {
		uint64_t	hi, lo;
	}		*key;
	struct net_node {
		uint32_t	up;	/* POLICY_NO_RULE: there is none */
		uint32_t	sum;	/* of what to look at from here upwards */
		uint32_t	len;
	}		*node;
	struct lists	 sets;		/* that have it, of each */
};
struct net_pair {
	struct prefix	prefix;
	uint32_t	set;
};
/* `weight': how much there is to look at for each set. Sorts. */
int	nets_make(struct net_tree *, struct net_pair *, size_t n,
	    const struct lists *weight);
void	nets_free(struct net_tree *);
/* The narrowest one that holds it, or POLICY_NO_RULE. */
uint32_t nets_find(const struct net_tree *, const struct endpoint *);

struct index_item {			/* what an index is made of */
	const struct blob_match	*match;
	uint32_t		 key;
};

/* sets.c: the sets that items are about, and the items of each */
#define BIG_SETS	8u		/* are searched where they lie */
#define BIG_LEAST	64u		/* prefixes or names */

struct sets {
	const struct policy	*policy;
	bool			 names;		/* of names; else of prefixes */
	uint32_t		 n, *set;	/* numbers in the blob; sorted */
	uint32_t		 nbig, big[BIG_SETS];	/* of those */
	struct lists		 items;		/* keys */
};
int	sets_make(struct sets *, const struct index_item *, size_t n);
void	sets_free(struct sets *);
uint32_t sets_size(const struct sets *, uint32_t i);
bool	sets_is_big(const struct sets *, uint32_t i);

/*
 * cover.c: which items are about an address. Of `others', list 0 has those that are
 * about any, then come those of each host-service.
 */
struct cover {
	const struct policy	*policy;
	struct ports		 ports;
	struct lists		 others;
	struct sets		 sets;
	struct net_tree		 v4, v6;	/* of all sets that are not big */
};
int	cover_make(struct cover *, const struct policy *,
	    const struct index_item *, size_t n);
void	cover_free(struct cover *);

/* Where in a cover an address is: found once, asked for each class. */
struct spot {
	const struct cover	*cover;
	const struct net_tree	*nets;
	uint32_t		 node;
	uint32_t		 big;		/* bit i: big[i] has it */
	uint32_t		 service;	/* or BLOB_NONE */
	bool			 any;		/* those that are about any, too */
	uint32_t		 sum;		/* of what to look at */
	uint32_t		 proto;		/* PROTO_NONE: of all ports */
	uint16_t		 port;
};
void	cover_find(const struct cover *, const struct endpoint *,
	    struct spot *);
/* At the gateway: what is about any address, and about one host-service. */
void	cover_service(const struct cover *, uint32_t service, struct spot *);
uint32_t cover_first(const struct spot *, uint32_t class, uint32_t best,
	    item_test *, const void *arg);

/* called.c: which items are about a name */
struct called {
	const struct policy	*policy;
	struct ports		 ports;
	struct sets		 sets;
	uint32_t		*key;		/* of sets that are not big; sorted */
	struct lists		 with;		/* the sets with it, of each */
};
int	called_make(struct called *, const struct policy *,
	    const struct index_item *, size_t n);
void	called_free(struct called *);

/* A name, or some of its keys: found once, asked for each class. */
struct calling {
	const struct called	*called;
	uint32_t		 big;		/* bit i: big[i] has one */
	uint32_t		 sum;		/* of what to look at */
	uint32_t		 proto;		/* PROTO_NONE: of all ports */
	uint16_t		 port;
	uint32_t		 n, at[NAME_KEYS_MAX];	/* keys of small sets */
};
void	called_find(const struct called *, const uint32_t *key, uint32_t n,
	    struct calling *);
uint32_t called_first(const struct calling *, uint32_t class, uint32_t best,
	    item_test *, const void *arg);

/* index.c */
struct index {
	uint32_t	count[CLASSES];
	uint64_t	ending;		/* when the first of its rules ends, or never */
	struct cover	rules;		/* all but those by name */
	struct cover	excepts;
	struct called	named;		/* rules by name */
	uint32_t	stops[2];	/* the first deny that stops every name: in
					   force, in audit mode */
};
const struct index *index_of(const struct policy *, unsigned int tenant);
void	index_free(struct index *);

#endif
