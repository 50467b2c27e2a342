/*
 * System calls by the doors that an interpreter does not have: i386's int 0x80 and
 * x32's numbers. A filter that looks at x86-64's alone lets them through.
 *
 * usage: probe DOOR FAMILY	socket(FAMILY, SOCK_STREAM, 0) by i386 | x32 | x86-64
 *        probe DOOR sti		ioctl(0, TIOCSTI, "x") by the same
 *        probe DOOR kill	kill(0, SIGUSR1) by the same
 *
 * Says what the call returned. Exit status: 0 it did something, 1 it did not.
 *
 * Trusts: nothing, it is the attacker's. Must not: be installed.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define X32_BIT		0x40000000L
#define STI		0x5412

enum door { NATIVE, I386, X32 };

#ifdef __x86_64__
/* Pointers are 32 bits wide there: what they point to is put where that is enough. */
static long
by_int80(long nr, long a, long b, long c)
{
	long	ret;

	__asm__ volatile ("int $0x80" : "=a"(ret) :
	    "a"(nr), "b"(a), "c"(b), "d"(c) : "memory");
	return ret;
}

static char *
low_memory(void)
{
	void	*p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (p == MAP_FAILED)
		exit(2);
	strcpy(p, "x");
	return p;
}

#define I386_KILL	37
#define I386_IOCTL	54
#define I386_SOCKET	359
#define X32_IOCTL	514
#else
#define I386_KILL	0
#define I386_IOCTL	0
#define I386_SOCKET	0
#define X32_IOCTL	0

static long
by_int80(long nr, long a, long b, long c)
{
	(void)nr, (void)a, (void)b, (void)c;
	return -ENOSYS;
}

static char *
low_memory(void)
{
	static char	x[] = "x";

	return x;
}
#endif

static long
through(enum door door, long native, long i386, long a, long b, long c)
{
	long	ret;

	if (door == I386)
		return by_int80(i386, a, b, c);
	if (door == X32)
		native = native == SYS_ioctl ? X32_IOCTL | X32_BIT :
		    native | X32_BIT;
	ret = syscall(native, a, b, c);
	return ret == -1 ? -errno : ret;
}

static enum door
door_of(const char *name)
{
	if (strcmp(name, "i386") == 0)
		return I386;
	return strcmp(name, "x32") == 0 ? X32 : NATIVE;
}

int
main(int argc, char **argv)
{
	enum door	door;
	long		ret;

	if (argc != 3)
		return 2;
	door = door_of(argv[1]);
	signal(SIGUSR1, SIG_IGN);
	if (strcmp(argv[2], "sti") == 0)
		ret = through(door, SYS_ioctl, I386_IOCTL, 0, STI,
		    (long)low_memory());
	else if (strcmp(argv[2], "kill") == 0)
		ret = through(door, SYS_kill, I386_KILL, 0, SIGUSR1, 0);
	else
		ret = through(door, SYS_socket, I386_SOCKET,
		    strtol(argv[2], NULL, 10), SOCK_STREAM, 0);
	printf("%s %s: %ld\n", argv[1], argv[2], ret);
	return ret >= 0 ? 0 : 1;
}
