/*
 * The files of CMD's world: what world.c does in order, and the steps that it does
 * it by. All of them run in init, with the capabilities of CMD's namespaces, before
 * CMD; each says what is wrong and returns -1.
 */
#ifndef SALLYPORT_WORLD_H
#define SALLYPORT_WORLD_H

#include <limits.h>
#include <stdbool.h>

#include "cli.h"

/* mounts.c */
/* A tmpfs for the sources of binds; over /proc until /proc is made anew. */
#define SCRATCH		"/proc"
#define RESOLV		SCRATCH "/resolv.conf"
/* The scratch tmpfs, with an empty file and CMD's resolv.conf. */
int	mounts_scratch(const struct run *);
int	mounts_readonly(const char *path, unsigned int flags);
/* The path is read-only, as is what is mounted below it; no such path: 0. */
int	mounts_freeze(const char *path);
/* A directory disappears under an empty one, anything else under a file. */
int	mounts_cover(const char *path);
/* A place to mount on: below a cover there is none left. */
void	mounts_point(const char *path, bool dir);
/* True if `dir' is `path' or above it. */
bool	mounts_above(const char *dir, const char *path);

/* expose.c: --expose */
struct kept {
	char	path[PATH_MAX];
	bool	dir;
	int	tree;
};
/* Before anything is covered: as a mount to put back. */
int	expose_keep(const struct run *, struct kept *);
int	expose_put_back(const struct run *, struct kept *);

/* covers.c: what programs outside serve */
int	covers_all(const struct run *);

/*
 * vault.c: the log and the policy, after every other cover and everything that was
 * put back, so that nothing of them shows through what --expose names. A mount that
 * it makes upon itself has to be recursive: others may be below.
 */
int	vault_guard(const struct run *, const char *cwd);

/* kernelfs.c: /proc, /sys */
int	kernelfs_make(void);

#endif
