/*
 * The command's own header: the table of commands, and what `run', `serve' and
 * `demo' share.
 */
#ifndef SALLYPORT_CLI_H
#define SALLYPORT_CLI_H

#include <sys/resource.h>
#include <sys/types.h>

#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "keeper.h"
#include "name.h"
#include "log.h"

/* Exit statuses; env(1) and timeout(1) use the same three. */
enum {
	EXIT_USAGE = 64,	/* EX_USAGE; of the commands that run no CMD */
	EXIT_MACHINERY = 125,	/* Sallyport itself failed, or was called wrongly */
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNALLED = 128	/* + the signal's number */
};

struct command {
	const char	*name;
	int		(*main)(int argc, char **argv);
	const char	*usage;		/* behind "sallyport NAME" */
	const char	*what;		/* one line for `sallyport help` */
};
/* help.c: how a command is called, and what its options are. */
void	help_print(const struct command *);
bool	help_wanted(const char *arg);
_Noreturn void help_and_exit(const char *command);
int	cmd_run(int argc, char **argv);
int	cmd_serve(int argc, char **argv);
int	cmd_demo(int argc, char **argv);
int	cmd_learn(int argc, char **argv);
/* One line: what is wrong, and where to look. Returns `status`. */
int	usage_error(int status, const char *command, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));
/* A number of min..max, or -1 after saying what was wrong. */
long	parse_number(const char *option, const char *text, long min, long max);

/*
 * The addresses of `run': private ones (RFC 1918, RFC 4193). The digits are those
 * of "SP" and "Sally", as in the link's MAC addresses.
 */
#define RUN_GUEST4	"10.83.80.100"
#define RUN_GATEWAY4	"10.83.80.2"
#define RUN_GUEST6	"fd53:616c:6c79::100"
#define RUN_GATEWAY6	"fd53:616c:6c79::2"
#define SERVE_LEN4	24	/* a machine that is configured by hand has a net */
#define SERVE_LEN6	64
#define MTU_MIN		1280	/* RFC 8200, 5 */
#define MTU_MAX		65520	/* a tap takes 65521 */

/* linkmtu.c */
uint32_t linkmtu(void);

/* lease.c: [0] IPv4, [1] IPv6; cleared before the first option */
struct lease {
	struct endpoint	guest, gateway;
	unsigned int	len;
	char		address[ENDPOINT_STRLEN + 4], router[ENDPOINT_STRLEN];
};
/* --guest-address, --gateway. 0, or -1 after saying what is wrong. */
int	lease_address(struct lease [2], const char *command, const char *text);
int	lease_gateway(struct lease [2], const char *command, const char *text);
/* After the last option: what was not given, and whether it goes together. */
int	lease_run(struct lease [2], const char *command, bool v4, bool v6);
int	lease_serve(struct lease [2]);

/* where.c */
/* The policy file to use: the one given, the installed one, or deny.conf. */
int	where_policy(const char *given, char *buf, size_t size);
/* The audit log to use; makes the default directory, where `keep' logs may be. Says
   what is wrong. */
int	where_audit(const char *given, uint32_t keep, char *buf, size_t size);
/* Where `run' keeps its logs without --audit. False: nobody knows. */
bool	where_state(char *buf, size_t size);
/* prune.c: the old ones of the logs in a directory of where_state()'s */
#define KEEP_DEFAULT	100u		/* with the one that is begun */
#define KEEP_MAX	1000000u
#define KEEP_ALL	UINT32_MAX
void	prune_logs(const char *path, uint32_t keep);	/* 0: as many as usual */
/* --keep; 0: it is no limit, which was said. */
uint32_t prune_limit(const char *command, const char *text);
/* The same for `run': in a directory that is the log's alone, made if need be. */
int	where_own_audit(const char *given, uint32_t keep, char *buf, size_t size);

/* "before-data", "before-connect", "async" */
bool	durable_word(const char *);
/* What records may call a guest. Says what is wrong. */
bool	guest_word(const char *command, const char *);

/* upstream.c: what the host's resolv.conf says */
#define RESOLV_CONF	"/etc/resolv.conf"
#define SEARCH_MAX	16
#define UPSTREAM_STRLEN	(ENDPOINT_STRLEN + 16)
struct hostconf {
	struct host_resolver host;
	size_t		nsearch;
	struct name	search[SEARCH_MAX];
	int		ndots;		/* -1: not given */
	bool		no_aaaa;
};
void	hostconf_read(struct hostconf *);
void	hostconf_parse(const char *, size_t, struct hostconf *);
/* "192.0.2.53", "fe80::1%2" */
const char *hostconf_upstream(const struct hostconf *, uint32_t,
	    char buf[UPSTREAM_STRLEN]);

/* machine.c: the keeper and what it starts */
struct machine_spec {
	const char	*policy, *audit, *tenant, *guest, *durable;
	const char	*link;			/* "tap" or "stream" */
	const char	*address[2], *gateway[2];	/* "A/LEN"; NULL = none */
	uint32_t	mtu;
	const char	*ca_bundle;		/* NULL = the system's */
	char		**command;		/* for the log; NULL = nothing of it */
	const struct hostconf *host;		/* as it is at the start */
	bool		trust_csum, quiet;
	int		level;
	int		listener;		/* -1 on a tap */
};
struct machine {
	int		chan, pidfd;
	int		files;		/* at UP: the memfd of the policy's files */
	struct keeper_summary summary;
};
enum machine_news { MACHINE_NOTHING, MACHINE_UP, MACHINE_DOWN, MACHINE_FAILED,
	MACHINE_GONE };
int	machine_start(struct machine *, const struct machine_spec *);
int	machine_link(struct machine *, int tap, uint32_t flags);
enum machine_news machine_read(struct machine *);
/* Asks it to end and waits for that. False: it did not end well. */
bool	machine_finish(struct machine *);
/* The host has other upstreams. */
void	machine_upstreams(struct machine *, const struct host_resolver *);
/* For the log: a file of the policy is another now. Before machine_finish(). */
void	machine_law(struct machine *, const char *path);
void	machine_report(const struct machine *, const char *audit);

/* netlink.c: one request, one answer */
struct netlink {
	unsigned char	buf[1024];
	size_t		len;
	bool		full;
};
int	netlink_open(void);
void	netlink_begin(struct netlink *, unsigned int type, unsigned int flags,
	    const void *body, size_t len);
void	netlink_attr(struct netlink *, unsigned int type, const void *, size_t);
size_t	netlink_nest(struct netlink *, unsigned int type);
void	netlink_nest_end(struct netlink *, size_t start);
/* 0, or -1 with the kernel's errno. */
int	netlink_call(int fd, struct netlink *);

/* netcfg.c */
int	netcfg_lo(int nl);
struct netcfg_link {
	const char	*name;
	const uint8_t	*mac;		/* NULL = as it is */
	uint32_t	mtu, txqlen;	/* 0 = as it is */
};
int	netcfg_link(int nl, const struct netcfg_link *);
int	netcfg_veth(int nl, const char *name, const char *peer, pid_t peer_ns);
int	netcfg_address(int nl, const char *dev, const char *addr,
	    unsigned int len);
int	netcfg_default(int nl, const char *dev, const char *gateway);
int	netcfg_neighbour(int nl, const char *dev, const char *addr,
	    const uint8_t mac[6]);

/* tap.c */
/* A tap named eth0 in this net namespace; says what is wrong. */
int	tap_open(bool offload, uint32_t *flags);

/* identity.c: who CMD is */
struct identity {
	bool		other;		/* --user: not ourselves */
	bool		root;		/* uid 0 of a machine's or container's ids */
	uid_t		uid;
	gid_t		gid;
	gid_t		*groups;
	int		ngroups;
	char		*name, *home;
};
int	identity_find(struct identity *, const char *user);
int	identity_become(const struct identity *);
/* What CMD may do as root, and no more: in a namespace that owns nothing. */
int	identity_root_caps(void);

/* limits.c: of resources, as we were called with them */
#define LIMITS_OURS	6
/* Takes what the hard ones allow. -1 after saying which is too low. */
int	limits_take(struct rlimit caller[LIMITS_OURS], bool quiet);
/* In CMD's process. */
int	limits_give_back(const struct rlimit caller[LIMITS_OURS]);

/* confine.c: how much of the user's accounts CMD may have */
#define CONFINE_HALVED	4
#define CONFINE_WATCHES	4
struct confine {
	struct rlimit	limit[CONFINE_HALVED];		/* the caller's */
	uint64_t	watches[CONFINE_WATCHES];	/* CMD's */
	struct rlimit	caller[LIMITS_OURS];
};
/* In the command, first of all, before limits_take(). */
void	confine_read(struct confine *);
uint64_t confine_half(uint64_t);

/* private.c: directories of the host's that CMD has its own of */
enum private_kind { PRIVATE_DEV, PRIVATE_RUN, PRIVATE_TMP, PRIVATE_RUNTIME,
	PRIVATE_EMPTY };
struct private_dirs {
	struct private_dir {
		char			*path, *name;
		enum private_kind	kind;
	} *of;
	size_t	n;
};
/* expose.c: what CMD is to see all the same */
struct exposed {
	char	*path, *given;		/* without links, and as it was named */
	dev_t	dev;
	ino_t	ino;
	mode_t	mode;
};
/* outside.c: sockets of programs outside */
struct outside {
	struct outside_socket {
		char	*path;
		bool	named;		/* CMD was told of it */
	} *sock;
	size_t	n;
	char	*lost;			/* an argument's file, not a socket */
};

/* law.c: the files of the policy, and the directories of its includes */
struct law_file {
	const char	*path;		/* as the parser opened it */
	uint64_t	dev, ino;
	const char	*of;		/* of a loose directory or link: which it leads to */
};
struct law {
	struct law_file	*file, *loose;	/* loose: CMD might move or turn them */
	size_t		n, nloose;
	const char	*search[SEARCH_MAX];	/* the policy's own */
	size_t		nsearch;
};
/* The parser's list. -1 after saying so. */
int	law_read(struct law *, int fd);
/* A path of the list from the root. False: it is too long. */
bool	law_full(const char *path, const char *cwd, char out[PATH_MAX]);

struct run {
	const char	*policy, *tenant, *audit, *durable, *user, *learn, *guest;
	uint32_t	logs;		/* --keep; 0: not given */
	bool		no_command;
	uint32_t	mtu;
	bool		v4, v6, quiet, offload, unsafe, no_userns;
	int		level;
	int		*keep;		/* descriptors for CMD */
	size_t		nkeep;
	const char	**expose, *ca_bundle;
	size_t		nexpose;
	bool		share_tmp, ssh_agent, nested;
	struct lease	lease[2];
	struct private_dirs own;
	struct exposed	*exposed;
	size_t		nexposed;
	struct outside	outside;
	char		*passwd;	/* with CMD's line; NULL: as it is */
	char		**cmd;
	char		policy_path[4096], audit_path[4096];
	int		log_dir;	/* the log's, held since before CMD */
	int		learn_dir;	/* --learn FILE's; -1 = none */
	struct law	law;		/* when the policy is in force */
	struct hostconf	host;		/* before that */
	struct mounted {
		char	dev[32], type[32];
		char	*root, *at;	/* what of the file system is there */
		bool	automount;	/* an indirect map of autofs */
	} *mounted;			/* the caller's mounts, in their order */
	size_t		nmounted;
	struct identity	who;
	struct confine	limits;
	sigset_t	mask;		/* as we were called with */
	bool		ignored[NSIG];
};

/* In init and in CMD's process; each says what is wrong. */
int	confine_namespaces(const struct run *);
int	confine_rlimits(const struct confine *);

/* inherit.c: descriptors that CMD would inherit */
/* Why CMD is not to have it, or NULL. */
const char *inherit_refusal(int fd);
/* 0-2 and --keep-fd. Says what is wrong. */
int	inherit_check(const struct run *);

/* held.c: what was opened before CMD, for what is done when CMD is dead */
/* The directory of the log, and that of --learn FILE. Says what is wrong. */
int	held_open(struct run *);
/* The log's path leads to the log. Says so if it does not. */
bool	held_log(const struct run *);
/* The name of a path's last part. */
const char *held_name(const char *path);

/* law.c, too. Before CMD: what of the policy's paths is loose. */
void	law_look(struct run *);
/* After it: says what is another now. The first file that is led to, or NULL. */
const char *law_replaced(const struct run *);
/*
 * vault.c: whatever lies on a path, its end not included, and could be renamed by CMD
 * is handed to a function, the outermost first, until that is not 0; with the
 * directory above.
 */
struct stat;
typedef int	above_fn(const char *, const struct stat *, const char *cwd, void *);
int	vault_above(const struct run *, const char *path, above_fn *, const char *cwd,
	    void *);

/* CMD could write what is there, or put another in its place. */
bool	vault_reaches(const struct run *, const char *path);

/* follow.c: the host's resolv.conf, as long as we run */
struct follow {
	const struct run *run;		/* NULL: there is no CMD that could write it */
	struct machine	*machine;
	struct host_resolver now;
	int		fd;		/* inotify; -1: it is polled, or not followed */
	int64_t		due;		/* ms: to be looked at; 0: when something happens */
	bool		empty;		/* it was, a moment ago */
	bool		off;
};
void	follow_open(struct follow *, const struct run *, struct machine *,
	    const struct hostconf *);
void	follow_close(struct follow *);
int	follow_timeout(const struct follow *);	/* for poll(2) */
/* After each poll(2). */
void	follow_work(struct follow *);

/* learn.c: a policy from what CMD did */
/* Before CMD runs: may FILE be made? Says what is wrong. */
int	learn_check(const char *file);
/* After its end. */
int	learn_write(const struct run *, int status);

/* Between the command and init, over one SEQPACKET pair. */
enum ctl_type {
	CTL_MAPPED = 1,		/* to init: your id maps are written */
	CTL_TAP,		/* from init, with the tap */
	CTL_GO,			/* to init: start CMD; + the policy's files */
	CTL_STARTED,		/* from init: there is a CMD for signals to reach */
	CTL_SIGNAL,		/* to init: for CMD */
	CTL_STOPPED,		/* from init: CMD is, by this signal */
	CTL_ENDED		/* from init: our exit status */
};
struct ctl {
	uint32_t	type;
	int32_t		value;		/* signal, status */
	uint32_t	flags;		/* TAP: enum link_flag */
	uint32_t	families;	/* TAP: 1 = IPv4, 2 = IPv6 */
};
int	ctl_send(int fd, enum ctl_type, int value);
/* Waits for one message. 0, or -1: the other side is gone. */
int	ctl_wait(int fd, struct ctl *, int *passed);

/* guestns.c: CMD's namespaces, as seen from outside */
struct guestns {
	pid_t		pid;		/* of init */
	int		pidfd, ctl;
	int		tap;
	uint32_t	flags, families;
};
int	guestns_make(struct guestns *, const struct run *);
void	guestns_kill(struct guestns *);

/* wait.c: between start and end of CMD */
struct wait {
	struct run	*run;
	struct guestns	*guest;
	struct machine	*machine;
	int		tty;		/* -1 = not in its foreground */
	bool		began, started, ended, over;	/* ended: CMD, by itself */
	sigset_t	early;		/* came before CMD did */
	int		status;		/* what ours is to be */
};
void	wait_signals(struct run *);
void	wait_for(struct wait *);
void	wait_terminal_back(struct wait *);
bool	wait_group_gone(pid_t group);

/* init.c: pid 1 in there */
_Noreturn void init_main(const struct run *, int ctl);
/* begin.c: CMD itself */
/* Forks CMD, in a user namespace of its own if it is root's. -1: said why. */
pid_t	begin_cmd(const struct run *);
/* inside.c: its network */
/* Only families that CMD has got are left in v4, v6. */
int	inside_network(struct run *, int ctl);
/* CMD's home directory; "/" if nobody knows. */
const char *run_home(const struct run *);
/* private.c: in the order in which they are made */
void	private_find(struct run *);
/* The one that a path is in, by its real name or the usual one; or NULL. */
const struct private_dir *private_over(const struct private_dirs *,
	    const char *path);
/* expose.c: --expose and --ssh-agent; says what is wrong */
int	expose_find(struct run *);
/* etc.c: while getpwuid(3) still reaches whom it asks */
void	etc_remember(struct run *);
/* outside.c: which sockets there are */
void	outside_look(struct run *);
/* After CMD has failed: what it may have missed. */
void	outside_hint(const struct run *);
/* world.c: its files */
int	world_make(const struct run *);
/* sockets.c: in CMD's process, those that no mount hides; if the kernel can */
void	sockets_close(const struct run *);
/* guard.c: CMD's filter */
int	guard_load(void);
/* drain.c: until CMD's last bytes have left */
void	drain_wait(void);
/* True if /proc/net/tcp* `text` has a socket with bytes or a FIN to deliver. */
bool	drain_pending(const char *text);
/* True if a line of /proc/net/sockstat* counts a TCP socket. */
bool	drain_in_use(const char *line);

#endif
