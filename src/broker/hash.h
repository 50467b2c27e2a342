/*
 * A keyed hash, so that no guest can choose what collides.
 */
#ifndef SALLYPORT_BROKER_HASH_H
#define SALLYPORT_BROKER_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Draws the key. Fatal on failure; must precede the seal and the first table. */
void		hash_init(void);
uint64_t	hash_bytes(const void *, size_t);

#endif
