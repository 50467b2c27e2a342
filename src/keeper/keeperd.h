/*
 * The keeper's own header. include/keeper.h is what it says to others.
 */
#ifndef SALLYPORT_KEEPERD_H
#define SALLYPORT_KEEPERD_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "chan.h"
#include "fd.h"
#include "keeper.h"
#include "log.h"

struct event;
struct event_base;
struct keeper;

/* What the command gives at exec. */
enum { COMMAND_FD = 3, LISTENER_FD = 4 };

#define ROLES		(ROLE_INSPECTOR + 1)
#define FRAME_LINK_GONE	3	/* a frame's exit status: the client hung up */

/* options.c */
struct options {
	const char	*policy;
	const char	*tenant;
	const char	*guest;
	const char	*audit_dir;
	const char	*audit_name;
	uint32_t	 durable;	/* enum policy_durable + 1, 0 = the policy's */
	uint32_t	 kind;		/* enum link_kind */
	bool		 trust_csum;
	uint32_t	 mtu;
	struct wire_lease v4, v6;
	enum log_level	 level;
	const char	*ca_bundle;	/* NULL = the system's */
	struct host_resolver host;
	struct keeper_who who;
	bool		 quiet;
};
/* Fatal, with words, on anything unknown. Cuts the texts it is given. */
void	options_parse(struct options *, int argc, char **argv);

/* backoff.c: pure; times are milliseconds of a monotonic clock */
struct backoff {
	uint64_t	started;
	uint32_t	delay;		/* before the next start */
};
#define BACKOFF_MIN	100u
#define BACKOFF_MAX	30000u
#define BACKOFF_HEALTHY	60000u
void	backoff_started(struct backoff *, uint64_t now);
void	backoff_died(struct backoff *, uint64_t now);

/* spawn.c */
struct spawn {
	enum role	 role;
	int		 exe;		/* O_PATH */
	const char	*argv[5];
	uid_t		 uid;
	gid_t		 gid;
	int		 channel, object, log, shared;	/* -1 = none */
	int		 foreign;	/* not to be closed as the last one; -1 = none */
	bool		 sibling;	/* our parent's child, not ours */
};
struct spawned {
	pid_t		 pid;
	int		 pidfd;
};
/* 0, or -1 with errno. A sibling that was born and failed then is no error: its
   pidfd tells. */
int	spawn(const struct spawn *, struct spawned *);
/* What a user can do about this errno of it: words behind a message, or none. */
const char *spawn_hint(int error);
/* The namespaces of a role: flags of clone(2). */

/* enter.c: the child's side of spawn */
void	enter_empty_root(void);
void	enter_ids(uid_t, gid_t);
int	enter_fds(const struct spawn *);

/* nursery.c: a room that must not inherit the keeper's seal */
int	nursery_open(struct keeper *);
void	nursery_close(struct keeper *);
int	nursery_spawn(const struct keeper *, int channel, int log,
	    struct spawned *);

struct child {
	struct keeper	*keeper;
	enum role	 role;
	struct spawned	 proc;		/* pidfd -1 = not running */
	struct event	*end;		/* the pidfd */
	struct event	*retry;
	struct backoff	 backoff;
	bool		 killed;	/* by us */
	bool		 renew;		/* what it was told is no more: no fault of its own */
	bool		 failing;	/* it could not be started; that was said */
};

/* link.c */
struct link {
	struct keeper	*keeper;
	int		 fd;		/* tap or client, -1 = none yet */
	uint32_t	 flags;
	int		 shared;	/* memfd, -1 on a tap */
	struct event	*listener;
};
int	link_listen(struct link *);
void	link_listen_on(struct link *);	/* if there is room for another client */
int	link_take(struct link *, int fd, uint32_t flags);
void	link_lost(struct link *);

/* bearer.c: closes what may hang whoever does so */
#define BEARERS		17u
struct load {
	int		 fd;		/* nobody has it yet; -1 = none */
	int		 pidfd;		/* its bearer, not buried yet; -1 = none */
};
struct bearers {
	struct keeper	*keeper;
	struct event	*look;
	struct load	 load[BEARERS];
};
void	bearers_init(struct keeper *);
bool	bearer_room(const struct keeper *);
void	bearer_take(struct keeper *, int *fd);

enum keeper_state {
	KEEPER_S_START = 1 << 0,	/* the broker is sealing itself */
	KEEPER_S_GREETED = 1 << 1,
	KEEPER_S_READY = 1 << 2,	/* the command was told so */
	KEEPER_S_STOPPING = 1 << 3,
	KEEPER_S_ENDING = 1 << 4	/* the broker is gone; waiting for the rest */
};

struct keeper {
	struct options	 opt;
	char		 level[2];	/* opt.level, as the rooms are given it */
	struct event_base *base;
	struct chan	*broker, *command;
	struct child	 child[ROLES];
	int		 exe[ROLES];
	int		 missing[ROLES];	/* errno of opening the program; 0 = it is there */
	int		 audit_dir;
	int		 files;		/* memfd: which the policy was read from */
	int		 ca_bundle;	/* until the nursery has it */
	int		 nursery;	/* channel to it */
	int		 nursery_pidfd;
	bool		 privileged;	/* may give its children other uids */
	struct link	 link;
	struct bearers	 bearers;
	enum keeper_state state;
	struct event	*deadline;
	struct keeper_summary summary;
	bool		 was_ready, failed;
	bool		 asked;		/* to end, by the command or a signal */
	bool		 unborn;	/* the broker was ended before it greeted */
	bool		 killed;	/* all, because a deadline was missed */
};

/* child.c */
void	child_init(struct keeper *);
int	child_start(struct keeper *, enum role);
void	child_want(struct keeper *, enum role);
void	child_kill(struct keeper *, enum role);
void	child_describe(const struct keeper *, enum role, struct spawn *);
bool	child_running(const struct keeper *, enum role);
void	child_ids(const struct keeper *, enum role, uid_t *, gid_t *);

/* hatch.c: the channel to the broker */
int	hatch_open(struct keeper *, int fd);
void	hatch_policy(struct keeper *, int memfd, uint64_t len);
void	hatch_guest(struct keeper *);
void	hatch_child(struct keeper *, enum role, pid_t, int channel, int log);
void	hatch_died(struct keeper *, const struct keeper_died *);
void	hatch_stop(struct keeper *);
void	hatch_law(struct keeper *, const struct keeper_law *);
void	hatch_host(struct keeper *, const struct keeper_host *);

/* command.c: the channel to the command */
int	command_open(struct keeper *);
void	command_up(struct keeper *);
void	command_end(struct keeper *);

/* parse.c: a sealed memfd with the compiled policy; -1: it was said why */
int	parse_policy(struct keeper *, uint64_t *len);

/* life.c: beginnings and ends of the whole set */
void	life_deadline(struct keeper *, int seconds);
void	life_stop(struct keeper *);
void	life_broker_gone(struct keeper *, bool clean);
void	life_check_end(struct keeper *);

/* seal.c */
void	seal_keeper_limits(void);
void	seal_keeper(const struct keeper *);
/* What is left to one whose children are of this uid. */
void	seal_keeper_caps(const struct keeper *, uid_t child);

#endif
