/*
 * The keeper's two channels: to the broker, and to the command that started it
 * (`sallyport run`, `sallyport serve`). Same rules as wire.h: SEQPACKET, exact
 * lengths, struct wire_head first, no padding; here fds travel from the keeper
 * to the broker, and from the command to the keeper.
 *
 * head.id is the guest's slot (0 in one-guest mode) where one applies.
 */
#ifndef SALLYPORT_KEEPER_H
#define SALLYPORT_KEEPER_H

#include "wire.h"

#define TENANT_MAX	64		/* with the NUL */
#define GUEST_MAX	64
#define COMMAND_LINE_MAX	256		/* of a command line, each argument with its NUL */
#define POLICY_PATH_MAX	256		/* with the NUL; of a longer one the end */
#define UPSTREAM_MAX	8		/* of the policy, and of the host */
#define UPSTREAM_PATIENCE_MAX	30	/* s; as in resolv.conf(5) */

enum role {
	ROLE_BROKER = 1, ROLE_FRAME, ROLE_RECORDER, ROLE_PARSER, ROLE_RESOLVER,
	ROLE_INSPECTOR
};
const char *role_name(unsigned int);

enum keeper_type {
	/* keeper -> broker */
	KEEPER_POLICY = 128,	/* + sealed memfd with the compiled policy */
	KEEPER_GUEST,		/* a guest is to be served: its addresses and link */
	KEEPER_CHILD,		/* + channel to a started child */
	KEEPER_CHILD_LOG,	/* + read end of that child's diagnostics */
	KEEPER_DIED,		/* or could not be started */
	KEEPER_STOP,		/* close every flow, flush the log, then exit 0 */
	KEEPER_LAW_GONE,	/* struct keeper_law: as the command said it */
	KEEPER_HOST,		/* struct keeper_host: the same */
	/* broker -> keeper */
	KEEPER_HELLO = 160,	/* sealed; struct wire_hello */
	KEEPER_SPAWN,
	KEEPER_KILL,
	KEEPER_READY,		/* policy in force, log durable, frame greeted */
	KEEPER_SUMMARY,		/* answer to STOP, before exit */
	KEEPER_LOGGING,		/* once: the log is begun, a stream's clients may come */
	/* command -> keeper (head.id 0) */
	KEEPER_LINK = 192,	/* + the tap, or the connected stream client */
	KEEPER_FINISH,		/* CMD has ended */
	KEEPER_LAW,		/* before that: a file of the policy is another now */
	KEEPER_UPSTREAMS,	/* struct keeper_host: the host's resolv.conf changed */
	/* keeper -> command */
	KEEPER_UP = 224,	/* CMD may start; + memfd with the policy's files, in
				   one-guest mode: "DEVICE INODE PATH", NUL-ended */
	KEEPER_DOWN,		/* with the summary; the keeper exits next */
	KEEPER_FAILED		/* it never came up; why is on stderr */
};

/*
 * What the host's resolv.conf says: it counts where the policy has no upstream. The
 * command reads it, and no room ever does.
 */
struct host_resolver {
	uint32_t	n;		/* 0: it names nobody, or is not there */
	uint32_t	rotate, tcp;	/* `options rotate', `use-vc': 0 or 1 */
	uint32_t	patience;	/* `options timeout:N', s; 0: not given */
	uint32_t	scope[UPSTREAM_MAX];	/* the link of an fe80:: address */
	struct endpoint	upstream[UPSTREAM_MAX];	/* port 53 */
};
static_assert(sizeof(struct host_resolver) == 16 + 8 * 24, "host_resolver");

/* Who started this, and what for: told to the log and to nobody else. */
struct keeper_who {
	uint32_t	uid, pid;	/* of the command */
	uint32_t	len;		/* of cmd; 0: it is not to be told */
	uint32_t	cut;		/* 1: there is more of it */
	char		cmd[COMMAND_LINE_MAX];	/* arguments, a NUL after each */
	char		policy[POLICY_PATH_MAX];	/* its path, from the root */
};
static_assert(sizeof(struct keeper_who) == 16 + 256 + 256, "keeper_who");

struct keeper_policy {			/* + memfd */
	struct wire_head head;
	uint64_t	len;		/* of the blob */
	char		tenant[TENANT_MAX];	/* "" = the only one there is */
	uint32_t	audit_mode;	/* durable: enum policy_durable + 1; 0 = the policy's */
	uint32_t	quiet;		/* 1: who uses the host's upstreams need not say so */
	struct host_resolver host;
	struct keeper_who who;
};
static_assert(sizeof(struct keeper_policy) == 16 + 8 + 64 + 8 +
    sizeof(struct host_resolver) + sizeof(struct keeper_who),
    "keeper_policy");

struct keeper_guest {
	struct wire_head head;
	char		name[GUEST_MAX];
	uint32_t	kind;		/* enum link_kind */
	uint32_t	flags;		/* LINK_VNET .. LINK_TRUST_CSUM, as granted */
	uint32_t	mtu;
	uint8_t		gateway_mac[6];
	uint8_t		guest_mac[6];	/* zero: learn */
	struct wire_lease v4, v6;
	uint32_t	zero[2];
};
static_assert(sizeof(struct keeper_guest) == 16 + 64 + 12 + 12 + 88 + 4 + 4,
    "keeper_guest");

struct keeper_child {			/* CHILD, CHILD_LOG (+ fd), SPAWN, KILL */
	struct wire_head head;
	uint32_t	role;		/* enum role */
	uint32_t	pid;		/* CHILD only; for the record */
};
static_assert(sizeof(struct keeper_child) == 24, "keeper_child");

/*
 * A child that could not be started has pid 0: nobody is to wait for it. Asking
 * again, after this as after a death, is asking for the next try.
 */
struct keeper_died {
	struct wire_head head;
	uint32_t	role;
	uint32_t	pid;		/* 0 = there was none */
	uint32_t	signal;		/* 0 = it exited */
	uint32_t	status;
	uint32_t	err;		/* pid 0: errno of the start; else 0 */
	uint32_t	zero;
};
static_assert(sizeof(struct keeper_died) == 40, "keeper_died");

#define KEEPER_WHY	3
struct keeper_summary {			/* SUMMARY, DOWN */
	struct wire_head head;
	uint64_t	allowed, denied;	/* flows; denied counts every attempt */
	uint64_t	up, down;		/* payload bytes */
	uint64_t	tried;		/* flows of neither kind: no byte, and no refusal */
	uint32_t	failed;			/* DOWN: 1 = a part of the machinery died */
	uint32_t	zero;
	struct keeper_why {		/* what most were denied for, the most first */
		uint64_t n;		/* 0: no more of them */
		uint32_t reason, zero;
	} why[KEEPER_WHY];
};
static_assert(sizeof(struct keeper_summary) == 64 + 16 * KEEPER_WHY,
    "keeper_summary");

struct keeper_host {			/* UPSTREAMS, HOST */
	struct wire_head head;
	struct host_resolver host;
};
static_assert(sizeof(struct keeper_host) == 16 + sizeof(struct host_resolver),
    "keeper_host");

#define KEEPER_PATH_MAX	128
struct keeper_law {
	struct wire_head head;
	char		path[KEEPER_PATH_MAX];	/* with the NUL; cut if need be */
};
static_assert(sizeof(struct keeper_law) == 16 + 128, "keeper_law");

struct keeper_link {			/* + fd */
	struct wire_head head;
	uint32_t	flags;		/* LINK_VNET .. LINK_TSO6, as the kernel granted them */
	uint32_t	zero;
};
static_assert(sizeof(struct keeper_link) == 24, "keeper_link");

#endif
