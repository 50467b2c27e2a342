/*
 * What the demonstration is made of.
 */
#ifndef SALLYPORT_DEMO_H
#define SALLYPORT_DEMO_H

#include <sys/types.h>

/* web.c */
int	web_listen(const char *addr);	/* "address:port"; -1 with errno */
void	web_serve(int listener);
int	web_fetch(const char *addr);

/* internet.c: a net namespace that stands for the world */
struct internet {
	int	pidfd;
};
/*
 * Moves us into new user and net namespaces, with the internet at the other end
 * of a link. -1: it was said why.
 */
int	internet_make(struct internet *);
void	internet_end(struct internet *);

#define DEMO_ALLOWED	"203.0.114.10"
#define DEMO_DENIED	"203.0.114.20"
#define DEMO_FLOOR	"169.254.169.254"
#define DEMO_V6		"2600:1f00::10"

#endif
