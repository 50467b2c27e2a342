/*
 * Two files of CMD's /etc: resolv.conf names the gateway; passwd has CMD's own line
 * where the host keeps that elsewhere (sssd, systemd-homed), behind sockets that CMD
 * does not reach.
 *
 * Trusts: getpwuid(3), before anything is hidden.
 * Must not: change a file of the host's.
 */
#include <sys/mount.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "world.h"

#define PASSWD		"/etc/passwd"
#define RESOLV_SOURCE	SCRATCH "/resolv.conf"
#define PASSWD_SOURCE	SCRATCH "/passwd"
#define PASSWD_MAX	(1u << 20)

/* A link whose end is missing, as where systemd-resolved is not running. */
static bool
dangling(char *buf, size_t size)
{
	char		link[PATH_MAX];
	const char	*rest = link;
	ssize_t		n = readlink(RESOLV_CONF, link, sizeof(link) - 1);

	if (n == -1)
		return false;
	link[n] = '\0';
	if (strncmp(link, "../", 3) == 0)
		rest = link + 2;
	snprintf(buf, size, "%s%s", *rest == '/' ? "" : "/etc/", rest);
	return strstr(buf, "/..") == NULL;
}

void
etc_resolv(const struct run *r, char *buf, size_t size)
{
	char	real[PATH_MAX];

	if (realpath(RESOLV_CONF, real) != NULL)
		snprintf(buf, size, "%s", real);
	else if (dangling(buf, size))
		return;
	else if (overlay_file(r, "/etc", "resolv.conf") == 0)
		snprintf(buf, size, RESOLV_CONF);
	else {
		log_debug("an /etc for CMD: %s", strerror(errno));
		*buf = '\0';
	}
}

static void
add_word(char *text, size_t size, const char *sep, const char *word)
{
	size_t	len = strlen(text);

	if (len + strlen(sep) + strlen(word) < size)
		snprintf(text + len, size - len, "%s%s", sep, word);
}

/* The policy's list, or the host's. A name that it leads to needs a rule, too. */
static void
search_list(const struct run *r, char *text, size_t size)
{
	size_t	i, n = r->law.nsearch > 0 ? r->law.nsearch : r->host.nsearch;

	for (i = 0; i < n; i++)
		add_word(text, size, i == 0 ? "search " : " ",
		    r->law.nsearch > 0 ? r->law.search[i] :
		    r->host.search[i].text);
	if (n > 0)
		add_word(text, size, "", "\n");
}

/* What of the host's options is about names; the rest is about servers. */
static void
options(const struct run *r, char *text, size_t size)
{
	char	ndots[24];

	add_word(text, size, "", "options attempts:1");
	if (r->host.ndots >= 0) {
		snprintf(ndots, sizeof(ndots), "ndots:%d", r->host.ndots);
		add_word(text, size, " ", ndots);
	}
	if (r->host.no_aaaa)
		add_word(text, size, " ", "no-aaaa");
	add_word(text, size, "", "\n");
}

static void
resolv_text(const struct run *r, char *text, size_t size)
{
	snprintf(text, size, "# sallyport: the gateway\n");
	if (r->v4)
		add_word(text, size, "nameserver ", r->lease[0].router);
	if (r->v6)
		add_word(text, size, r->v4 ? "\nnameserver " : "nameserver ",
		    r->lease[1].router);
	add_word(text, size, "", "\n");
	search_list(r, text, size);
	options(r, text, size);
}

static int
name_server(const struct run *r, const char *target)
{
	char	text[256 + SEARCH_MAX * (NAME_TEXT_MAX + 2)];

	resolv_text(r, text, sizeof(text));
	if (private_over(&r->own, target) != NULL)
		mounts_point(target, false);
	if (mounts_scratch_file(RESOLV_SOURCE, text, strlen(text)) == -1) {
		log_warn("a resolv.conf for CMD");
		return -1;
	}
	if (*target == '\0' || access(target, F_OK) == -1) {
		log_warnx("no " RESOLV_CONF " here, and none can be made for CMD "
		    "alone; make an empty file");
		return 0;
	}
	if (mounts_file_over(RESOLV_SOURCE, target) == 0)
		return 0;
	log_warn("%s: pointing CMD at the gateway", target);
	return -1;
}

/* Its whole text, and room for a line; NULL if that is not to be had. */
static char *
read_passwd(size_t *len)
{
	char	*text = malloc(PASSWD_MAX);
	int	 fd = open(PASSWD, O_RDONLY | O_CLOEXEC);
	ssize_t	 n;

	*len = 0;
	while (text != NULL && fd != -1 && *len < PASSWD_MAX - 1 &&
	    (n = read(fd, text + *len, PASSWD_MAX - 1 - *len)) > 0)
		*len += (size_t)n;
	if (text != NULL && (fd == -1 || *len == PASSWD_MAX - 1)) {
		free(text);
		text = NULL;
	} else if (text != NULL)
		text[*len] = '\0';
	fd_drop(&fd);
	return text;
}

/* name:password:uid: */
static bool
has_uid(const char *text, uid_t uid)
{
	const char	*p;
	char		*end;

	for (p = text; p != NULL && *p != '\0'; p = strchr(p, '\n')) {
		p += *p == '\n';
		p += strcspn(p, ":\n");
		if (*p == ':')
			p += 1 + strcspn(p + 1, ":\n");
		if (*p == ':' && strtoul(p + 1, &end, 10) == uid &&
		    end > p + 1 && *end == ':')
			return true;
	}
	return false;
}

void
etc_remember(struct run *r)
{
	struct passwd	*pw;
	size_t		 len;
	char		*text = read_passwd(&len);

	if (text != NULL && !has_uid(text, r->who.uid) &&
	    (pw = getpwuid(r->who.uid)) != NULL &&
	    asprintf(&r->passwd, "%s%s%s:x:%u:%u:%s:%s:%s\n", text,
	    len > 0 && text[len - 1] != '\n' ? "\n" : "", pw->pw_name,
	    pw->pw_uid, pw->pw_gid, pw->pw_gecos, pw->pw_dir,
	    pw->pw_shell) == -1)
		r->passwd = NULL;
	free(text);
}

static int
own_line(const struct run *r)
{
	if (r->passwd == NULL ||
	    (mounts_scratch_file(PASSWD_SOURCE, r->passwd,
	    strlen(r->passwd)) == 0 &&
	    mounts_file_over(PASSWD_SOURCE, PASSWD) == 0))
		return 0;
	log_warn(PASSWD ": with CMD's own line");
	return -1;
}

int
etc_make(const struct run *r, const char *resolv)
{
	return name_server(r, resolv) == -1 ? -1 : own_line(r);
}
