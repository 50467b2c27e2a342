/* The parser child's own header: its seal. */
#ifndef SALLYPORT_PARSER_H
#define SALLYPORT_PARSER_H

#include <stddef.h>

/* Everything but Landlock; before the first byte of the policy is read. */
void	parser_lock(void);
/* Reading is left below these directories only; once, before parsing. */
void	parser_lock_paths(const char *const *dir, size_t n);

#endif
