/*
 * The law's own header: the compiled policy's layout (compile.c writes it,
 * load.c checks it, rows.c and decide.c read it), the floor, and one judgement with
 * all its steps (what `sallyport explain` shows is what the broker does).
 */
#ifndef SALLYPORT_LAW_H
#define SALLYPORT_LAW_H

#include "policy.h"

/*
 * The blob: head, struct policy_resolver, then the sections in the order of the
 * counts in the head, then what is not law and not hashed: one uint32_t per rule
 * (an offset into the rest), and the rest, the "file:line" texts. Offsets of
 * sections are never stored, so none can lie. Integers are in host byte order: the
 * blob does not leave the machine.
 */
#define BLOB_MAGIC	UINT32_C(0x4c4f5053)	/* "SPOL" */
#define BLOB_VERSION	9u
#define BLOB_NONE	UINT32_MAX
#define BLOB_COUNT_MAX	(1u << 24)		/* of anything but bytes */

struct blob_head {
	uint32_t	magic, version;
	uint32_t	floor;			/* FLOOR_VERSION */
	uint32_t	durable;		/* enum policy_durable */
	uint64_t	rotate, keep_bytes;
	uint32_t	keep_files;
	uint32_t	live;			/* s; 0, or LIVE_MIN to LIVE_MAX */
	uint32_t	tenants, rules, excepts, services;
	uint32_t	ranges, refs, sets;
	uint32_t	nrefs, nsets, keys, names;
	uint32_t	hosts, addrs;
	uint32_t	prefixes;		/* not aligned from here on */
	uint32_t	nametext;		/* bytes: a length and a text for each */
	uint32_t	text;			/* bytes of NUL-ended strings */
};
static_assert(sizeof(struct blob_head) == 104, "blob_head has no padding");

/*
 * Of the text that the law was written in. Not hashed, as the places are not: the law
 * is the same.
 */
#define BLOB_TEXT_HASH	32
#define LIVE_MIN	1u
#define LIVE_MAX	86400u

enum blob_kind { KIND_ANY, KIND_NET, KIND_SERVICE, KIND_NAME };
enum blob_mode { MODE_INHERIT, MODE_ENFORCE, MODE_AUDIT };

/* What a rule or an exception is about. Runs are {first, count}. */
struct blob_match {
	uint32_t	kind;			/* enum blob_kind */
	uint32_t	service;		/* KIND_SERVICE, else BLOB_NONE */
	uint32_t	ref, nrefs;		/* of sets: the destination */
	uint32_t	xref, nxrefs;		/* of sets: its `except` */
	uint32_t	name, nnames;		/* KIND_NAME: of nsets, the same */
	uint32_t	xname, nxnames;
	uint32_t	range, nranges;
	uint32_t	echo;			/* 0 or 1 */
};
static_assert(sizeof(struct blob_match) == 52, "blob_match");

struct blob_tenant {
	uint32_t	name;
	uint32_t	mode;			/* MODE_ENFORCE or MODE_AUDIT */
	struct policy_limits limits;
	uint32_t	rule, nrules;
	uint32_t	except, nexcepts;
};
static_assert(sizeof(struct blob_tenant) == 92, "blob_tenant");

struct blob_rule {
	struct blob_match match;
	uint32_t	id;
	uint32_t	deny;			/* 0 or 1 */
	uint32_t	mode;			/* enum blob_mode */
	uint32_t	verify;			/* enum verify: see match_verify() */
	uint32_t	ech;			/* 1: may be offered */
	uint32_t	until[2];		/* policy_rule_until(): low half first */
};
static_assert(sizeof(struct blob_rule) == 80, "blob_rule");

struct blob_except {
	struct blob_match match;
	uint32_t	ports;			/* 1: lifts the port floor too */
	uint32_t	own;			/* 1: own-addresses */
	uint32_t	ticket;
};
static_assert(sizeof(struct blob_except) == 64, "blob_except");

struct blob_service {
	struct endpoint	addr;
	uint32_t	proto;
	uint32_t	name;
};
static_assert(sizeof(struct blob_service) == 28, "blob_service");

struct blob_range {
	uint16_t	lo, hi;
	uint32_t	proto;
};
static_assert(sizeof(struct blob_range) == 8, "blob_range");

struct blob_set {
	uint32_t	first, n;		/* of prefixes: sorted, disjoint */
};
static_assert(sizeof(struct blob_set) == 8, "blob_set");

/*
 * Names. All that stand anywhere in the policy are one dictionary, each once,
 * sorted by name_hash() and then by text. A key is one of them and how it is meant:
 * its index << 2 | enum name_wild. A set is a run of keys: sorted, no doubles.
 */
struct blob_entry {
	uint32_t	hash;			/* name_hash() */
	uint32_t	text_kinds;		/* where its length stands in nametext << 4 |
						   1 << each enum name_wild it has a key of */
};
static_assert(sizeof(struct blob_entry) == 8, "blob_entry");

struct blob_nset {
	uint32_t	first, n;		/* of keys */
};
static_assert(sizeof(struct blob_nset) == 8, "blob_nset");

struct blob_name {				/* a key, spelled out; not in the blob */
	uint32_t	wild;			/* enum name_wild */
	struct name	base;
};

struct blob_host {				/* sorted by name */
	struct name	name;
	uint32_t	addr, naddrs;		/* of addrs: IPv4 first, port 0 */
};
static_assert(sizeof(struct blob_host) == 264, "blob_host");
static_assert(_Alignof(struct prefix) == 1, "prefixes follow anything");

/* load.c */
struct policy {
	void				*blob;
	const struct blob_head		*head;
	const struct blob_tenant	*tenant;
	const struct blob_rule		*rule;
	const struct blob_except	*except;
	const struct blob_service	*service;
	const struct blob_range		*range;
	const uint32_t			*ref;
	const struct blob_set		*set;
	const struct prefix		*prefix;
	const uint32_t			*nref;
	const struct blob_nset		*nset;
	const uint32_t			*key;
	const struct blob_entry		*name;
	const uint8_t			*nametext;
	uint32_t			*bucket;	/* load.c: of hashes with the same
							   first bits, the first name */
	unsigned int			 shift;		/* all bits but those */
	uint32_t			 deepest;	/* labels of a "**." or "+." name */
	const struct blob_host		*host;
	const struct endpoint		*addr;
	const struct policy_resolver	*resolver;
	const char			*text;
	const uint8_t			*text_hash;	/* BLOB_TEXT_HASH bytes */
	const uint8_t			*loc;	/* unaligned uint32_t each */
	const char			*loctext;
	size_t				 loctextlen;
	struct policy_audit		 audit;
	uint8_t				 hash[32];
	struct index			**index;	/* of each tenant, or NULL */
};

/* prefix.c: sets of prefixes */
int	prefix_compare(const struct prefix *, const struct prefix *);
/* Sorts, drops what another one contains; returns how many are left. */
size_t	prefix_normalise(struct prefix *, size_t n);
/* Strictly ascending and disjoint. */
bool	prefix_normalised(const struct prefix *, size_t n);
/* Binary search in a normalised set: the one that holds the address, or NULL. */
const struct prefix *prefix_search(const struct prefix *, size_t n,
	    const struct endpoint *);

/* floor.c */
#define FLOOR_VERSION	2u

struct floor_entry {
	struct prefix	prefix;
	uint8_t		never;		/* no exception can lift it */
	uint8_t		reason;		/* enum reason */
	const char	*what;		/* its name and where that is written */
};
struct floor_port {
	uint16_t	port;
	uint16_t	proto;
	const char	*what;
};
extern const struct floor_entry	floor_entries[];
extern const size_t		floor_nentries;
extern const struct floor_port	floor_ports[];
extern const size_t		floor_nports;

struct forms {			/* policy_forms() */
	struct endpoint	form[POLICY_FORMS_MAX];
	size_t		n;
};
void	floor_forms(const struct endpoint *, struct forms *);
/* The entry that holds one form, or NULL. Entries that never yield come first. */
const struct floor_entry *floor_find(const struct endpoint *form);
const struct floor_port *floor_find_port(uint32_t proto, uint16_t port);
/* A NAT64 prefix that lies in 64:ff9b::/96 as its IPv4; others as they are. */
struct prefix floor_unwrap(const struct prefix *);
/* The next entry from *from on that overlaps an unwrapped prefix, or NULL. */
const struct floor_entry *floor_overlap(const struct prefix *, size_t *from);

/*
 * keys.c: a name is looked up once, which gives all keys that would match it; which
 * of them a set has is a matter of numbers.
 */
#define NAME_LABELS_MAX	((NAME_TEXT_MAX + 1) / 2)
#define NAME_KEYS_MAX	(2 * NAME_LABELS_MAX + 1)

struct name_keys {
	uint32_t	n;
	uint32_t	exact;		/* the first ones: of the name itself */
	uint32_t	key[NAME_KEYS_MAX];
};
uint32_t name_hash(const char *text, size_t len);
void	name_keys(const struct policy *, const struct name *,
	    struct name_keys *);
/* One of the keys stands in one of the sets: `first' and n are a run of nrefs. */
bool	match_keys(const struct policy *, uint32_t first, uint32_t n,
	    const struct name_keys *);

/* match.c: what a match says of an address, a port, a name */
bool	match_sets(const struct policy *, uint32_t ref, uint32_t n,
	    const struct endpoint *);
bool	match_net(const struct policy *, const struct blob_match *,
	    const struct endpoint *);
/* The same, by an entry that is this one address. */
bool	match_address(const struct policy *, const struct blob_match *,
	    const struct endpoint *);
bool	match_ports(const struct policy *, const struct blob_match *,
	    uint32_t proto, uint16_t port);
bool	match_names(const struct policy *, const struct blob_match *,
	    const struct name *);
/* The same of a name that has been looked up: for many matches. */
bool	match_by_keys(const struct policy *, const struct blob_match *,
	    const struct name_keys *);
/* By an entry that is no wildcard. */
bool	match_exactly(const struct policy *, const struct blob_match *,
	    const struct name *);
/* Its `until' has come. */
bool	match_expired(const struct blob_rule *, uint64_t now);
/* It was written without ports: every port of every protocol. */
bool	match_all_ports(const struct policy *, const struct blob_match *);
/* What an allow by name wants of a TCP flow to this port; never VERIFY_BY_PORT. */
enum verify match_verify(const struct blob_rule *, uint16_t port);
bool	match_audited(const struct blob_tenant *, const struct blob_rule *);

/* What the rules say of one flow: the first of each kind, or POLICY_NO_RULE. */
struct row {
	bool		floored;
	uint32_t	deny;		/* by address */
	uint32_t	watch;		/* deny by name: it has the port */
	uint32_t	shown_deny;	/* deny by name: it matches what is shown */
	uint32_t	barred;		/* deny by name: of a name that an allow matches,
					   and none that one matches lives */
	uint32_t	plain;		/* allow: nothing has to be shown */
	uint32_t	proving;	/* allow: of a live name, if that is shown */
	uint32_t	proved;		/* allow: it is */
	uint32_t	expired;	/* allow: plain or proving, or proved, but for its end */
	bool		proving_sni, proving_host;	/* what a proving one wants */
	bool		ech_stops;	/* one of those by SNI bears no ECH */
};

/* law.c */
bool	law_allows(const struct row *, uint32_t shown, bool lenient);
bool	law_may_allow(const struct row *, bool lenient);
enum peek law_peek(const struct row *, bool lenient);
uint32_t law_label(const struct row *, const struct policy_shown *);
enum reason law_reason(const struct row *, const struct policy_shown *,
	    uint32_t *rule);

/* decide.c: one judgement with all its steps */
struct judgement {
	struct forms	forms;
	bool		gateway;	/* the destination is the guest's gateway */
	uint32_t	service;	/* at the gateway, or BLOB_NONE */
	const struct floor_entry *floor;	/* what was hit, lifted or not */
	size_t		form;			/* by which form */
	bool		local;			/* hit: it is this host's own */
	const struct floor_port *port;		/* hit: the port floor */
	uint32_t	lifted, lifted_port;	/* by which exception, or BLOB_NONE */
	struct row	row;		/* of the denies that are in force */
	struct row	all;		/* the same, if all of them were */
	bool		lenient;	/* audit mode */
	struct verdict	verdict;
};
void	law_judge(const struct policy *, const struct policy_query *,
	    struct judgement *);

/* rows.c; `all': denies in audit mode, too */
void	row_fill(const struct policy *, const struct policy_query *,
	    const struct judgement *, bool all, struct row *);

/* names.c */
/* Why no allow matches, whatever is shown. */
enum reason names_reason(const struct policy *, const struct policy_query *);

#endif
