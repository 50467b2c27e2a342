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

/* True if we may map and become ids other than our own. */
bool	idmap_privileged(void);
/* True if this namespace knows the id. */
bool	idmap_has_uid(uid_t);

/* 0, or -1 with errno. The process must be dumpable while this runs. */
int	idmap_write(pid_t, const struct idmap *);

/*
 * The text of a full map: each extent of `own` (the text of our own
 * /proc/self/uid_map or gid_map) onto itself. Its length, or -1.
 */
int	idmap_identity(const char *own, char *out, size_t size);

#endif
