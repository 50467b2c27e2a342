/*
 * The id maps of a new user namespace, written from outside by the process that
 * made it. Identity maps only: an id is the same number on both sides, so no
 * record and no message has to say which side it means.
 */
#ifndef SALLYPORT_IDMAP_H
#define SALLYPORT_IDMAP_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

struct idmap {
	bool		full;		/* every id that we have; needs root */
	uid_t		uid;		/* else: just these two */
	gid_t		gid;
	bool		setgroups;	/* the namespace may call setgroups(2) */
};

/* True if we are root: may map and become ids other than our own, and have some. */
bool	idmap_privileged(void);
/* True if a map of ours may name uid 0, be it our own (since Linux 5.12). */
bool	idmap_may_name_root(void);
/* True if a map, the text of /proc/PID/uid_map, is of more than one id. */
bool	idmap_many(const char *map);
/* True if this namespace knows the id. */
bool	idmap_has_uid(uid_t);
/* True if it knows no uid 0, or calls us so: root's files then show IDMAP_NOBODY. */
bool	idmap_lacks_root(void);
#define IDMAP_NOBODY	65534	/* the kernel's default, sysctl kernel.overflowuid */

/* 0, or -1 with errno. The process must be dumpable while this runs. */
int	idmap_write(pid_t, const struct idmap *);

/*
 * The text of a full map: each extent of `own` (the text of our own
 * /proc/self/uid_map or gid_map) onto itself. Its length, or -1.
 */
int	idmap_identity(const char *own, char *out, size_t size);

#endif
