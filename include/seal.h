/*
 * What each room's seal.c is built from. A room has ONE table of system calls,
 * one line per call with who needs it; everything else kills the process.
 *
 * Compares: ints (fds, flags, requests) by SEAL_INT, 32 bits masked, because the
 * kernel looks at 32 bits and a 64-bit compare can be walked around; pointers by
 * SEAL_NULL. No other compare exists here, on purpose.
 */
#ifndef SALLYPORT_SEAL_H
#define SALLYPORT_SEAL_H

#include <sys/types.h>

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEAL_ARGS_MAX	4

struct seal_arg {
	uint8_t		arg;		/* 1-based; 0 = end */
	bool		pointer;
	uint32_t	mask, value;	/* (arg & mask) == value */
};
/* argument n (0-based), as an int, is exactly v */
#define SEAL_INT(n, v)		{ (n) + 1, false, UINT32_MAX, (uint32_t)(v) }
/* the bits in m of argument n are v */
#define SEAL_BITS(n, m, v)	{ (n) + 1, false, (uint32_t)(m), (uint32_t)(v) }
/* argument n is a NULL pointer, all 64 bits */
#define SEAL_NULL(n)		{ (n) + 1, true, 0, 0 }

struct seal_call {
	int		nr;		/* SCMP_SYS(name) */
	const char	*who;		/* what needs it: for the reader */
	struct seal_arg	arg[SEAL_ARGS_MAX];
};

struct seal_table {
	const char	*room;
	const struct seal_call *call;
	size_t		ncalls;
};

/* The rooms' tables, for the loader, the golden files and the seal suite. */
extern const struct seal_table frame_seal, broker_seal, recorder_seal,
	    keeper_seal, parser_seal, inspector_seal, resolver_seal;

/*
 * Loads the filter: KILL_PROCESS for all else, also for other architectures and
 * x32. Under a sanitizer this does nothing but say so (such builds cannot be
 * installed). Any failure is fatal. Needs no_new_privs.
 */
void	seal_filter(const struct seal_table *);
/* The same filter as pseudo filter code, for the golden files. 0 or -1. */
int	seal_export(const struct seal_table *, int fd);

/*
 * The steps in front of the filter; each is fatal on failure. Should: run in
 * this order, in one thread, after the last uid change. Mustn't: run twice.
 */
struct seal_limits {
	uint64_t	nofile;		/* soft and hard; clipped to the hard limit in force */
	uint64_t	fsize;		/* UINT64_MAX = leave */
	uint64_t	as;		/* UINT64_MAX = leave */
	bool		nproc;		/* true: RLIMIT_NPROC 0 */
};
void	seal_rlimits(const struct seal_limits *);	/* CORE 0 always */
/* Every capability gone from every set, securebits locked; verified. */
void	seal_caps(void);
/*
 * The bounding set alone: what is permitted stays. In front of a fork(2) it spares
 * the child its own; a new user namespace fills it again.
 */
void	seal_bounding(void);
/* Keeps exactly these (effective, permitted), bounding set empty. */
void	seal_caps_keep(const unsigned int *caps, size_t n);
/*
 * seal_caps() for somebody else's program: it may say PR_SET_KEEPCAPS, as ping(8)
 * and setpriv(1) do and fail without. With nothing permitted it keeps nothing. In
 * two steps: another uid is taken in between, which then costs no capability that
 * the second one needs.
 */
void	seal_securebits_cmd(void);
void	seal_caps_cmd(void);
/* PR_SET_NAME, DUMPABLE 0, PDEATHSIG (0 = none), NO_NEW_PRIVS; verified. */
void	seal_process(const char *name, int pdeathsig);
/* One thread, and no fd but those below `first` and those in `extra`. */
void	seal_check_fds(int first, const int *extra, size_t n);

/*
 * Landlock with every right of the running kernel handled. No path: nothing is
 * allowed. With paths: reading (and, if write, creating, writing, renaming
 * and removing files) below those directories. Kernels without Landlock are
 * left alone; that is said at debug level.
 */
struct seal_path {
	int		dirfd;		/* an open directory (or file) */
	bool		write;
};
void	seal_landlock(const struct seal_path *, size_t n);
/* The same with no path, but connect(2) of TCP stays: the broker's. */
void	seal_landlock_street(void);
/*
 * Nothing but a border (Landlock ABI 6; without it, nothing at all): no signal and
 * no abstract socket leads out. CMD's, which shares its caller's process group.
 */
void	seal_landlock_scope(void);
/*
 * No socket of the file system that a process outside has bound (Landlock ABI 9;
 * without it, nothing at all), but those at or below the open files `except`. Who is
 * under it cannot mount anything.
 */
void	seal_landlock_sockets(const int *except, size_t n);
bool	seal_landlock_has_sockets(void);

#endif
