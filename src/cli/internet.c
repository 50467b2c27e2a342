/*
 * The demonstration's internet: a net namespace with public-looking addresses and
 * a server at each, and a link to the namespace that stands for this host. Both
 * are ours alone; no packet leaves them.
 *
 * Trusts: nothing outside. Must not: touch the net namespace it was called in.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "demo.h"
#include "fd.h"
#include "idmap.h"

static const char *const servers[] = { DEMO_ALLOWED ":80", DEMO_DENIED ":80",
	"[" DEMO_V6 "]:80" };
#define NSERVERS	(sizeof(servers) / sizeof(servers[0]))

static int
world_addresses(int nl)
{
	struct netcfg_link	l = { .name = "world" };

	if (netcfg_lo(nl) == -1 || netcfg_link(nl, &l) == -1 ||
	    netcfg_address(nl, "world", DEMO_ALLOWED, 24) == -1 ||
	    netcfg_address(nl, "world", DEMO_DENIED, 24) == -1)
		return -1;
	if (netcfg_address(nl, "world", DEMO_V6, 64) == -1)
		log_info("no IPv6 here");
	return 0;
}

/* One process per address; they end with their parent, and that with us. */
static void
start_servers(void)
{
	size_t	i;
	int	fd;

	for (i = 0; i < NSERVERS; i++) {
		if ((fd = web_listen(servers[i])) == -1)
			continue;
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
			web_serve(fd);
			_exit(0);
		}
		close(fd);
	}
}

/* The far side. It says "r", waits for its link, says "r" when it is served. */
_Noreturn static void
world(int sync)
{
	char	c = 'r';
	int	nl;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	signal(SIGPIPE, SIG_IGN);
	if (write(sync, &c, 1) != 1 || read(sync, &c, 1) != 1)
		_exit(1);
	if ((nl = netlink_open()) == -1 || world_addresses(nl) == -1)
		fatal("the demonstration's internet");
	start_servers();
	if (write(sync, &c, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* Our own side of the link, which stands for the host. */
static int
host_side(pid_t far)
{
	struct netcfg_link	l = { .name = "uplink" };
	int			nl = netlink_open(), r = -1;

	if (nl != -1 && netcfg_lo(nl) == 0 &&
	    netcfg_veth(nl, "uplink", "world", far) == 0 &&
	    netcfg_link(nl, &l) == 0 &&
	    netcfg_address(nl, "uplink", "203.0.114.1", 24) == 0)
		r = 0;
	if (r == 0 && netcfg_address(nl, "uplink", "2600:1f00::1", 64) == -1)
		log_info("no IPv6 here");
	if (r == -1)
		log_warn("the demonstration's network");
	fd_drop(&nl);
	return r;
}

/*
 * A child writes the maps from outside: we are the one in the new namespace, and
 * root's full map needs a writer in the old one.
 */
static int
new_user_namespace(void)
{
	bool		root = idmap_privileged();
	struct idmap	m = { .full = root, .uid = geteuid(), .gid = getegid(),
			    .setgroups = root };
	int		sync[2], status = 1;
	pid_t		self = getpid(), writer;
	char		c;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) == -1)
		return -1;
	if ((writer = fork()) == 0)
		_exit(read(sync[1], &c, 1) != 1 || idmap_write(self, &m) == -1);
	if (writer == -1 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1) {
		log_warn("no namespaces for the demonstration; they need "
		    "kernel.unprivileged_userns_clone=1, or root");
		close(sync[0]);
		close(sync[1]);
		return -1;
	}
	if (write(sync[0], "g", 1) != 1 || waitpid(writer, &status, 0) == -1 ||
	    status != 0) {
		log_warnx("the id maps of the demonstration");
		status = 1;
	}
	close(sync[0]);
	close(sync[1]);
	return status == 0 ? 0 : -1;
}

int
internet_make(struct internet *net)
{
	int	sync[2];
	char	c = 'g';
	pid_t	pid;

	net->pidfd = -1;
	if (new_user_namespace() == -1)
		return -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync) == -1) {
		log_warn("socketpair");
		return -1;
	}
	pid = (pid_t)syscall(SYS_clone, CLONE_NEWNET | CLONE_PIDFD | SIGCHLD,
	    NULL, &net->pidfd, NULL, NULL);
	if (pid == 0) {
		close(sync[0]);
		world(sync[1]);
	}
	fd_drop(&sync[1]);
	if (pid == -1 || read(sync[0], &c, 1) != 1 || host_side(pid) == -1 ||
	    write(sync[0], &c, 1) != 1 || read(sync[0], &c, 1) != 1) {
		fd_drop(&sync[0]);
		internet_end(net);
		return -1;
	}
	fd_drop(&sync[0]);
	return 0;
}

void
internet_end(struct internet *net)
{
	if (net->pidfd == -1)
		return;
	syscall(SYS_pidfd_send_signal, net->pidfd, SIGKILL, NULL, 0);
	waitid(P_PIDFD, (id_t)net->pidfd, NULL, WEXITED);
	fd_drop(&net->pidfd);
}
