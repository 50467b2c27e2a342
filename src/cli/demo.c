/*
 * `sallyport demo': an allowed fetch, a refused one, one that no policy can allow,
 * and what the audit log has of each. In namespaces of its own, without any
 * network.
 *
 * Trusts: the build's own programs and policy/demo.conf.
 * Must not: leave anything behind.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "demo.h"
#include "fd.h"
#include "place.h"

struct demo {
	char	self[4096];
	char	dir[64], policy[128], audit[128];	/* both in dir */
	long	read;			/* of the log, so far */
	bool	curl;
};

/* The exit status, and how long it took. */
static int
run_cmd(char *const argv[], double *seconds)
{
	struct timespec	a, b;
	int		status = 0;
	pid_t		pid;

	clock_gettime(CLOCK_MONOTONIC, &a);
	if ((pid = fork()) == 0) {
		execvp(argv[0], argv);
		log_warn("%s", argv[0]);
		_exit(EXIT_NOT_FOUND);
	}
	if (pid == -1 || waitpid(pid, &status, 0) == -1)
		return EXIT_MACHINERY;
	clock_gettime(CLOCK_MONOTONIC, &b);
	*seconds = (double)(b.tv_sec - a.tv_sec) +
	    (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    EXIT_SIGNALLED + WTERMSIG(status);
}

/* What the log has gained of flows since the last time. */
static int
show_log(struct demo *d)
{
	FILE	*f = fopen(d->audit, "re");
	char	*line = NULL;
	size_t	 size = 0;
	int	 n = 0;

	if (f == NULL)
		return 0;
	fseek(f, d->read, SEEK_SET);
	while (getline(&line, &size, f) > 0)
		if (strstr(line, "\"flow.") != NULL) {
			printf("  audit: %s", line);
			n++;
		}
	d->read = ftell(f);
	free(line);
	fclose(f);
	return n;
}

static int
fetch(struct demo *d, const char *address, const char *why)
{
	char	url[128], endpoint[128];
	char	*argv[20];
	double	seconds = 0;
	int	n = 0, status;

	snprintf(url, sizeof(url), "http://%s/", address);
	snprintf(endpoint, sizeof(endpoint), strchr(address, ':') == NULL ?
	    "%s:80" : "[%s]:80", address);
	argv[n++] = d->self;
	argv[n++] = (char *)(uintptr_t)"run";
	argv[n++] = (char *)(uintptr_t)"-q";
	argv[n++] = (char *)(uintptr_t)"-p";
	argv[n++] = d->policy;
	argv[n++] = (char *)(uintptr_t)"--audit";
	argv[n++] = d->audit;
	argv[n++] = (char *)(uintptr_t)"--";
	if (d->curl) {
		argv[n++] = (char *)(uintptr_t)"curl";
		argv[n++] = (char *)(uintptr_t)"-sS";
		argv[n++] = (char *)(uintptr_t)"-m";
		argv[n++] = (char *)(uintptr_t)"10";
		argv[n++] = url;
	} else {
		argv[n++] = d->self;
		argv[n++] = (char *)(uintptr_t)"demo";
		argv[n++] = (char *)(uintptr_t)"--fetch";
		argv[n++] = endpoint;
	}
	argv[n] = NULL;
	printf("\n%s\n  $ sallyport run -p demo.conf -- %s %s\n", why,
	    d->curl ? "curl" : "sallyport demo --fetch",
	    d->curl ? url : endpoint);
	fflush(stdout);
	status = run_cmd(argv, &seconds);
	printf("  -> exit status %d after %.0f ms\n", status, seconds * 1000);
	return status;
}

/* Each step has the outcome that it is there to show, or the demo failed. */
static int
step(struct demo *d, const char *address, const char *why, bool allowed)
{
	int	status = fetch(d, address, why);
	bool	recorded = show_log(d) > 0;

	fflush(stdout);
	if ((status == 0) == allowed && status < EXIT_MACHINERY && recorded)
		return 0;
	log_warnx("demo: this is not what was to be shown%s", recorded ? "" :
	    ": no record was written");
	return -1;
}

static bool
have_curl(void)
{
	const char	*path = getenv("PATH");
	char		*copy = strdup(path == NULL ? "/usr/bin:/bin" : path);
	char		 file[4096], *dir, *rest = copy;
	bool		 yes = false;

	while (copy != NULL && (dir = strsep(&rest, ":")) != NULL && !yes) {
		snprintf(file, sizeof(file), "%s/curl", dir);
		yes = access(file, X_OK) == 0;
	}
	free(copy);
	return yes;
}

/*
 * A copy of our own: in a namespace of one id root's file is nobody's, and the
 * parser takes no policy that is nobody's.
 */
static int
copy_policy(struct demo *d)
{
	char	shipped[4096], text[8192];
	ssize_t	n = -1;
	int	from, to, r = -1;

	if (place_policy(shipped, sizeof(shipped), "demo.conf") == -1)
		return -1;
	from = open(shipped, O_RDONLY | O_CLOEXEC);
	to = open(d->policy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (from != -1 && to != -1 && (n = read(from, text, sizeof(text))) > 0)
		r = fd_write_all(to, text, (size_t)n);
	if (r == -1)
		log_warn("%s", shipped);
	fd_drop(&from);
	fd_drop(&to);
	return r;
}

/* The policy, and the log in as many segments as it took. */
static void
clean_up(const struct demo *d)
{
	DIR		*dir = opendir(d->dir);
	struct dirent	*e;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (*e->d_name != '.' || strlen(e->d_name) > 2)
			unlinkat(dirfd(dir), e->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	if (rmdir(d->dir) == -1)
		log_warn("demo: %s stays behind", d->dir);
}

static int
prepare(struct demo *d)
{
	snprintf(d->dir, sizeof(d->dir), "/tmp/sallyport-demo.XXXXXX");
	if (place_program(d->self, sizeof(d->self), "sallyport") == -1 ||
	    mkdtemp(d->dir) == NULL) {
		log_warn("demo");
		return -1;
	}
	snprintf(d->policy, sizeof(d->policy), "%s/demo.conf", d->dir);
	snprintf(d->audit, sizeof(d->audit), "%s/audit.jsonl", d->dir);
	d->curl = have_curl();
	if (copy_policy(d) == 0)
		return 0;
	clean_up(d);
	return -1;
}

static int
show(struct demo *d)
{
	printf("An internet of two servers, %s and %s, in namespaces of its "
	    "own,\nand a policy that lets CMD reach one of them "
	    "(policy/demo.conf).\n", DEMO_ALLOWED, DEMO_DENIED);
	if (step(d, DEMO_ALLOWED, "1. A server that the policy allows:",
	    true) == -1 ||
	    step(d, DEMO_DENIED, "2. One that no rule allows: refused at once, "
	    "like a closed port.", false) == -1 ||
	    step(d, DEMO_FLOOR, "3. The metadata service of a cloud: below the "
	    "floor, whatever a policy says.", false) == -1)
		return 1;
	printf("\nEach of them has its record; the allowed one was on the disk "
	    "before the first\nbyte went either way.\n");
	return 0;
}

int
cmd_demo(int argc, char **argv)
{
	static struct demo	d;
	struct internet		net;
	int			status;

	if (argc == 3 && strcmp(argv[1], "--fetch") == 0)
		return web_fetch(argv[2]);
	if (argc != 1)
		return usage_error(EXIT_USAGE, "demo", "it takes no arguments");
	if (prepare(&d) == -1)
		return EXIT_MACHINERY;
	if (internet_make(&net) == -1) {
		clean_up(&d);
		return EXIT_MACHINERY;
	}
	status = show(&d);
	internet_end(&net);
	clean_up(&d);
	return status;
}
