/* suggest.c: the word that was probably meant. */
#ifndef SALLYPORT_SUGGEST_H
#define SALLYPORT_SUGGEST_H

struct suggestion {
	const char	*word;		/* as it was written */
	const char	*best;
	unsigned int	 distance;
};

void	suggest_begin(struct suggestion *, const char *word);
void	suggest_offer(struct suggestion *, const char *candidate);
const char *suggest_end(const struct suggestion *);	/* or NULL */

#endif
