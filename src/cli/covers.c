/*
 * What CMD does not see of the host's files: the ways by which a process with the
 * caller's uid would reach a program outside and have it open a connection.
 *
 * This closes the network's back doors. It does not close the file system:
 * sallyport(1), SECURITY.
 *
 * Trusts: the user's own environment.
 * Must not: go on when a cover cannot be put where it belongs.
 */
#include <sys/stat.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

static const char *const hidden[] = {
	"/run/dbus",			/* system services, systemd among them */
	"/run/systemd",			/* systemd, resolved, the journal */
	"/run/docker.sock", "/run/docker", "/run/containerd", "/run/podman",
	"/run/crio", "/run/libvirt", "/run/snapd.socket",
	"/run/snapd-snap.socket",	/* start things, with a network */
	"/run/nscd", "/run/avahi-daemon",	/* resolve names */
	"/run/screen", "/run/screens", "/tmp/screens",	/* run commands */
	"/tmp/.X11-unix",		/* types into other windows */
};
#define NHIDDEN	(sizeof(hidden) / sizeof(hidden[0]))

/* The session bus, systemd, agents; tmux and emacs run commands outside. */
static int
cover_users(uid_t uid)
{
	static const char *const	where[] = { "/run/user/",
					    "/tmp/tmux-", "/tmp/emacs" };
	char				path[64];
	size_t				i;

	for (i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		snprintf(path, sizeof(path), "%s%u", where[i], uid);
		if (mounts_cover(path) == -1)
			return -1;
	}
	return 0;
}

/* The same where the environment says that they are elsewhere. */
static int
cover_named(void)
{
	static const struct { const char *name, *before; } var[] = {
		{ "TMUX", "" }, { "DBUS_SESSION_BUS_ADDRESS", "unix:path=" },
		{ "DOCKER_HOST", "unix://" }, { "CONTAINER_HOST", "unix://" },
	};
	char		path[PATH_MAX];
	const char	*value;
	struct stat	st;
	size_t		i, len;

	for (i = 0; i < sizeof(var) / sizeof(var[0]); i++) {
		len = strlen(var[i].before);
		value = getenv(var[i].name);
		if (value == NULL || strncmp(value, var[i].before, len) != 0)
			continue;
		snprintf(path, sizeof(path), "%.*s",
		    (int)strcspn(value + len, ",;"), value + len);
		if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
		    mounts_cover(path) == -1)
			return -1;
	}
	return 0;
}

int
covers_all(const struct run *r)
{
	const char	*runtime = getenv("XDG_RUNTIME_DIR");
	size_t		 i;

	for (i = 0; i < NHIDDEN; i++)
		if (mounts_cover(hidden[i]) == -1)
			return -1;
	if (cover_named() == -1 || cover_users(getuid()) == -1 ||
	    (r->who.other && cover_users(r->who.uid) == -1))
		return -1;
	if (runtime != NULL && *runtime == '/' && strcmp(runtime, "/") != 0 &&
	    mounts_cover(runtime) == -1)
		return -1;
	return 0;
}

