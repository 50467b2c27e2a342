/*
 * The stub's parts: an inquiry (a question on its way to upstreams), streams
 * that carry many of them over TCP, and the cipher that may lie between.
 */
#ifndef SALLYPORT_STUB_H
#define SALLYPORT_STUB_H

#include "message.h"
#include "resolver.h"

struct event;
struct stub;

struct inquiry {
	TAILQ_ENTRY(inquiry)	 entry;		/* of the waiting, or of a stream */
	struct stub		*stub;
	struct attempt		*attempt;
	struct stream		*stream;	/* it is asked there; else NULL */
	bool			 waiting;
	unsigned int		 tries;
	struct event		*timer;
	struct event		*rd;		/* of its socket; NULL: it has none */
	int			 fd;
	size_t			 asklen;
	uint8_t			 ask[MESSAGE_ASK_MAX];
};
TAILQ_HEAD(inquiries, inquiry);

/* An answer whose id and question are this inquiry's. */
void	stub_heard(struct inquiry *, const uint8_t *, size_t len);
/*
 * It will not be heard. Not `refused`: the connection was good and is gone, so it
 * is worth asking there again.
 */
void	stub_unheard(struct inquiry *, bool refused);

/* ---- stream.c: one connection to an upstream, made when it is needed ----- */
struct stream *stream_new(struct event_base *, const struct resolver_config *,
	    unsigned int at);
/* Gives the inquiry an id of the stream's. -1: the upstream cannot be asked now. */
int	stream_ask(struct stream *, struct inquiry *);
void	stream_forget(struct inquiry *);

/* ---- tls.c, by a table so that a build may do without ---------------------- */
struct tls;
struct cipher {
	/* Before the seal, once: reads the CA certificates. */
	void	(*prepare)(int fd);
	struct tls *(*start)(const struct name *server);
	void	(*free)(struct tls *);
	/* 0, or -1 with *why: bytes from the street; text for it. */
	int	(*feed)(struct tls *, const uint8_t *, size_t, const char **why);
	int	(*write)(struct tls *, const uint8_t *, size_t);
	bool	(*up)(const struct tls *);	/* and its name was verified */
	/* How many bytes were put there; 0: none. */
	size_t	(*read)(struct tls *, uint8_t *, size_t);	/* text from it */
	size_t	(*pull)(struct tls *, uint8_t *, size_t);	/* bytes for the street */
};
extern const struct cipher		tls_cipher;
extern const struct cipher *const	stub_cipher;	/* NULL: without */

#endif
