/*
 * What a C library's own resolver makes of a name: its addresses, one a line. The
 * lab builds it with musl-gcc, statically; glibc is asked through Python.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int
main(int argc, char *argv[])
{
	struct addrinfo	hints, *all, *a;
	char		host[INET6_ADDRSTRLEN];
	int		r;

	if (argc != 2)
		return 2;
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	if ((r = getaddrinfo(argv[1], NULL, &hints, &all)) != 0) {
		puts(gai_strerror(r));
		return 1;
	}
	for (a = all; a != NULL; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host),
		    NULL, 0, NI_NUMERICHOST) == 0)
			puts(host);
	freeaddrinfo(all);
	return 0;
}
