/*
 * A builder of ClientHellos for the inspector's tests, with every length put right
 * afterwards, so that a test can put one wrong.
 */
#ifndef SALLYPORT_TEST_HELLO_H
#define SALLYPORT_TEST_HELLO_H

#include <stddef.h>
#include <stdint.h>

#define HELLO_MAX	65536

struct bytes {
	uint8_t	b[HELLO_MAX];
	size_t	len;
};

struct hello_spec {
	const char	*sni;		/* NULL: no such extension */
	size_t		 sni_len;	/* 0: strlen */
	const char	*alpn;		/* "h2,http/1.1"; NULL: none */
	int		 ech_at;	/* position of 0xfe0d; -1: none */
	size_t		 pad;		/* bytes of a padding extension; 0: none */
	int		 others;	/* so many more extensions */
	const char	*versions;	/* body of supported_versions; NULL: 1.3 alone */
	size_t		 versions_len;	/* 0 and versions: no such extension */
};

void	put(struct bytes *, const void *, size_t);
void	put_number(struct bytes *, size_t bytes, size_t value);
/* A length of so many bytes, to be closed when its body is there. */
size_t	open_vector(struct bytes *, size_t bytes);
void	close_vector(struct bytes *, size_t at, size_t bytes);
void	put_extension(struct bytes *, unsigned int type, const void *, size_t);

/* The handshake message: its head, a ClientHello. */
void	hello_build(struct bytes *, const struct hello_spec *);
/* In records of at most `size` bytes. */
void	hello_records(struct bytes *, const struct bytes *, size_t size);

#endif
