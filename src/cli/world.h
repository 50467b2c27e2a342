/*
 * The files of CMD's world: what world.c does in order, and the steps that it does
 * it by. What is found out first, in the command's own process, is in `struct run';
 * the rest runs in init, with the capabilities of CMD's namespaces, before CMD. Each
 * step says what is wrong and returns -1.
 */
#ifndef SALLYPORT_WORLD_H
#define SALLYPORT_WORLD_H

#include <limits.h>
#include <stdbool.h>

#include "cli.h"

/* mounts.c */
/* A tmpfs for the sources of binds. It is gone when CMD starts. */
#define SCRATCH		"/dev/.sallyport"
#define SCRATCH_EMPTY	SCRATCH "/empty"	/* a file */
#define SCRATCH_LOWER	SCRATCH "/lower"	/* an empty directory */
int	mounts_scratch(void);
void	mounts_scratch_gone(void);
int	mounts_scratch_file(const char *path, const char *text, size_t len);
/* The path itself, through no symlink: somebody may be changing it. O_PATH. */
int	mounts_open(const char *path);
int	mounts_tmpfs(const char *path, const char *options);
/* A clone of what is there, to be put elsewhere; -1 with errno. */
int	mounts_clone(const char *path);
/* Attaches `tree' there and closes it; -1 with errno. */
int	mounts_put(int *tree, const char *path);
int	mounts_readonly(const char *path, unsigned int flags);
/* `file' of the scratch tmpfs, read-only at `path'. */
int	mounts_file_over(const char *file, const char *path);
/* The path is read-only, as is what is mounted below it; no such path: 0. */
int	mounts_freeze(const char *path);
/* A directory disappears under an empty one, anything else under a file. */
int	mounts_cover(const char *path);
/* A place to mount on, in a directory of CMD's own. */
void	mounts_point(const char *path, bool dir);
/* True if `dir' is `path' or above it. */
bool	mounts_above(const char *dir, const char *path);

/* kept.c: taken before anything is covered, put back upon it */
struct kept {
	char	*path;
	bool	dir;
	int	tree;
};
struct world {
	const struct run	*run;
	char			cwd[PATH_MAX];
	char			program[PATH_MAX];	/* "" if not found */
	char			home[PATH_MAX];		/* without links; as above */
	struct kept		back[4];	/* home, cwd, program */
	size_t			nback;
	struct kept		*exposed;	/* one for each of run's */
	/* Found before anything is covered: a link on the way may go with that. */
	struct plan		*sockets;
	char			*logs[3];	/* directories; NULL: none there */
	char			**law;		/* one for each of the law's */
};
/* Where CMD works, if that would be below a /tmp of its own. */
int	kept_work(struct world *);
int	kept_exposed(struct world *);
int	kept_put_work(struct world *);
int	kept_put_exposed(struct world *);
/* True if CMD will not see it, unless --expose names it. */
bool	kept_loses(const struct run *, const char *path);

/* outside.c: true if it is a socket; `named': CMD was told of it */
bool	outside_add(struct run *, const char *path, bool named);
/* listed.c: those that the kernel knows to listen */
void	listed_find(struct run *);

/* private.c: directories of CMD's own */
int	private_make(const struct run *);

/* devices.c: its /dev; terminal.c: the caller's terminal in it */
#define TERMINALS	4	/* 0, 1, 2, and the controlling one */
struct terminals {
	struct terminal {
		char	path[64];
		int	tree;
	} of[TERMINALS];
	size_t	n;
};
int	devices_make(void);
void	terminals_keep(struct terminals *);
int	terminals_put(struct terminals *);

/* overlay.c: its files, not its sockets; -1 with errno. */
int	overlay_over(const char *path, const char *home);
/* The directory as it is, and in it an empty file more that the host does not have;
   read-only for who could not write there anyway. -1 with errno. */
int	overlay_file(const struct run *, const char *path, const char *name);
/* pieces.c: each file of `from' into the empty directory that is there now. */
int	pieces_put(const struct identity *, int from, const char *path,
	    bool *all);
/* sockets.c: those of programs outside, in directories that are not CMD's own */
int	sockets_find(struct world *);
int	sockets_cover(const struct world *);

/*
 * vault.c: the log and the policy, after every other cover and everything that was
 * put back, so that nothing of them shows through what --expose names. A mount that
 * it makes upon itself has to be recursive: others may be below.
 */
int	vault_guard(const struct world *);
/* Before the first cover: where log and policy really are. */
int	vault_find(struct world *);

/* etc.c: resolv.conf, and CMD's own line of passwd */
int	etc_make(const struct run *, const char *resolv);
/* Where /etc/resolv.conf leads; on a host that has none, into an /etc of CMD's. Before
   anything is mounted. "": that is not to be had. */
void	etc_resolv(const struct run *, char *buf, size_t size);

/* aliases.c */
/* Before CMD's namespaces are made. */
void	aliases_read(struct run *);
/* Each other path at which the same can be reached; until one is -1. */
int	aliases_walk(const struct run *, const char *path,
	    int (*)(void *arg, const char *path), void *arg);
/* Each mount elsewhere that shows a part of what is below the directory. */
int	aliases_parts(const struct run *, const char *path,
	    int (*)(void *arg, const char *path), void *arg);
/* aliases_walk for those who work on CMD's files. */
int	aliases_each(const struct run *, const char *path, int (*)(const struct run *,
	    const char *path, const char *cwd), const char *cwd);

/* kernelfs.c: /proc, /sys */
int	kernelfs_make(const struct run *);

#endif
