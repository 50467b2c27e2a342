/*
 * Where this build's other programs and its shipped policies are.
 *
 * A program that sits beside all the others runs from the build tree and uses
 * what lies there; any other uses the configured paths. No environment variable
 * has a say.
 */
#ifndef SALLYPORT_PLACE_H
#define SALLYPORT_PLACE_H

#include <stddef.h>

/* "sallyport", "sallyportd" or "sallyport-ROOM". 0, or -1: no such program. */
int	place_program(char *buf, size_t size, const char *name);
/* O_PATH, close-on-exec: for fexecve(3). -1 with errno. */
int	place_open(const char *name);
/* A shipped policy, by file name. 0, or -1: the path is too long. */
int	place_policy(char *buf, size_t size, const char *name);

#endif
