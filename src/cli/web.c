/*
 * The demonstration's web: a server that answers every request with where it
 * was asked, and a client for machines without curl.
 *
 * Trusts: nobody needs to; both ends live in the demonstration's namespaces.
 * Must not: be used for anything else.
 */
#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "cli.h"
#include "demo.h"
#include "fd.h"

static void
answer(int fd)
{
	char			request[1024], body[128], head[256];
	char			text[ENDPOINT_STRLEN];
	struct sockaddr_storage	ss;
	socklen_t		len = sizeof(ss);
	struct endpoint		e;

	if (read(fd, request, sizeof(request)) <= 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) == -1 ||
	    endpoint_from_sockaddr((struct sockaddr *)&ss, &e) == -1)
		return;
	e = endpoint_canonical(e);
	snprintf(body, sizeof(body), "Hello from %s, a server on the demo's "
	    "internet.\n", addr_print(&e, text));
	snprintf(head, sizeof(head), "HTTP/1.0 200 OK\r\nContent-Length: "
	    "%zu\r\nConnection: close\r\n\r\n", strlen(body));
	if (fd_write_all(fd, head, strlen(head)) == 0)
		(void)fd_write_all(fd, body, strlen(body));
}

int
web_listen(const char *addr)
{
	struct sockaddr_storage	ss;
	struct endpoint		e;
	socklen_t		len;
	int			fd, on = 1;

	if (endpoint_parse(addr, &e) == -1)
		return -1;
	len = endpoint_to_sockaddr(&e, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, len) == -1 ||
	    listen(fd, 16) == -1)
		fd_drop(&fd);
	return fd;
}

/* One request at a time; enough for a demonstration. */
void
web_serve(int listener)
{
	int	fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) != -1 ||
	    errno == EINTR || errno == ECONNABORTED) {
		if (fd == -1)
			continue;
		answer(fd);
		close(fd);
	}
}

/* GET / from "address:port" to stdout; 7 is what curl says when it cannot. */
int
web_fetch(const char *addr)
{
	struct sockaddr_storage	ss;
	struct endpoint		e;
	static const char	get[] = "GET / HTTP/1.0\r\n\r\n";
	char			buf[2048], *body;
	ssize_t			n;
	socklen_t		len;
	int			fd;

	if (endpoint_parse(addr, &e) == -1)
		return usage_error(EXIT_USAGE, "demo", "%s: want ADDRESS:PORT",
		    addr);
	len = endpoint_to_sockaddr(&e, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&ss, len) == -1) {
		log_warn("fetching from %s", addr);
		return 7;
	}
	if (fd_write_all(fd, get, sizeof(get) - 1) == -1 ||
	    (n = read(fd, buf, sizeof(buf) - 1)) <= 0)
		return 56;
	buf[n] = '\0';
	body = strstr(buf, "\r\n\r\n");
	fputs(body == NULL ? buf : body + 4, stdout);
	return 0;
}
