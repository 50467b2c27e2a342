/*
 * TLS for the stub, by OpenSSL, between buffers: it has no socket and no file.
 * The certificate must lead to one of the CAs that the keeper gave, and be for
 * the upstream's name (RFC 8310, 8.1: the strict profile; there is no other).
 *
 * Trusts: the bundle of CA certificates.
 * Must not: read OpenSSL's configuration, or anything at all after the seal.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "stub.h"

#define BUNDLE_MAX	(8u << 20)

struct tls {
	SSL	*ssl;
	bool	 up;
};

static SSL_CTX	*context;

/* What OpenSSL says of its last failure. */
static const char *
words(void)
{
	const char	*why = ERR_reason_error_string(ERR_peek_last_error());

	return why == NULL ? "TLS failed" : why;
}

static char *
read_bundle(int fd, size_t *len)
{
	char	*text = malloc(BUNDLE_MAX);
	ssize_t	 n;

	if (text == NULL)
		fatal("the CA certificates");
	for (*len = 0; *len < BUNDLE_MAX; *len += (size_t)n) {
		/* the keeper's: its offset is where the last resolver left it */
		n = pread(fd, text + *len, BUNDLE_MAX - *len, (off_t)*len);
		if (n == -1)
			fatal("the CA certificates");
		if (n == 0)
			return text;
	}
	fatalx("the bundle of CA certificates is longer than %u bytes",
	    BUNDLE_MAX);
}

static unsigned int
read_certificates(X509_STORE *store, int fd)
{
	unsigned int	 count = 0;
	size_t		 len;
	char		*text = read_bundle(fd, &len);
	BIO		*bio = BIO_new_mem_buf(text, (int)len);
	X509		*cert;

	if (bio == NULL)
		fatalx("OpenSSL: %s", words());
	while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (X509_STORE_add_cert(store, cert) != 1)
			fatalx("OpenSSL: %s", words());
		X509_free(cert);
		count++;
	}
	ERR_clear_error();	/* the end of the bundle is an error to it */
	BIO_free(bio);
	free(text);
	return count;
}

static void
tls_free(struct tls *t)
{
	SSL_free(t->ssl);
	free(t);
}

/* RFC 7858 has no ALPN of its own; "dot" is registered for it. */
static const unsigned char	alpn[] = { 3, 'd', 'o', 't' };

static struct tls *
tls_start(const struct name *server)
{
	struct tls	*t = calloc(1, sizeof(*t));
	BIO		*in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	char		 host[sizeof(server->text)];

	if (t == NULL || in == NULL || out == NULL ||
	    (t->ssl = SSL_new(context)) == NULL)
		fatalx("OpenSSL: %s", words());
	BIO_set_mem_eof_return(in, -1);
	BIO_set_mem_eof_return(out, -1);
	SSL_set_bio(t->ssl, in, out);
	SSL_set_connect_state(t->ssl);
	SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	memcpy(host, server->text, sizeof(host));
	if (SSL_set1_host(t->ssl, host) != 1 ||
	    SSL_set_tlsext_host_name(t->ssl, host) != 1 ||
	    SSL_set_alpn_protos(t->ssl, alpn, sizeof(alpn)) != 0)
		fatalx("OpenSSL: %s", words());
	SSL_do_handshake(t->ssl);	/* its first words */
	ERR_clear_error();
	return t;
}

/*
 * OpenSSL fetches its algorithms and seeds its generator with the first
 * handshake: one is begun here, with nobody.
 */
static void
warm_up(void)
{
	struct name	nobody;

	if (name_from_text("seal.invalid", strlen("seal.invalid"),
	    &nobody) == -1)
		fatalx("a name is none");
	tzset();	/* a certificate's dates go by gmtime_r(3), which does this */
	tls_free(tls_start(&nobody));
}

static void
tls_prepare(int fd)
{
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG |
	    OPENSSL_INIT_NO_ATEXIT, NULL) != 1 ||
	    (context = SSL_CTX_new(TLS_client_method())) == NULL ||
	    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
		fatalx("OpenSSL: %s", words());
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	if (read_certificates(SSL_CTX_get_cert_store(context), fd) == 0)
		fatalx("there are no CA certificates to verify tls upstreams "
		    "with: install the package ca-certificates");
	warm_up();
}

/* Why the handshake failed, as one can do something about it. */
static const char *
failure(const struct tls *t)
{
	long	verdict = SSL_get_verify_result(t->ssl);

	return verdict == X509_V_OK ? words() :
	    X509_verify_cert_error_string(verdict);
}

static int
tls_feed(struct tls *t, const uint8_t *data, size_t len, const char **why)
{
	int	n;

	ERR_clear_error();
	if (len > INT_MAX ||
	    BIO_write(SSL_get_rbio(t->ssl), data, (int)len) != (int)len)
		return -1;
	if (t->up)
		return 0;
	n = SSL_do_handshake(t->ssl);
	t->up = n == 1;
	if (n == 1 || SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ)
		return 0;
	*why = failure(t);
	return -1;
}

static bool
tls_up(const struct tls *t)
{
	return t->up;
}

static int
tls_write(struct tls *t, const uint8_t *data, size_t len)
{
	ERR_clear_error();
	return SSL_write(t->ssl, data, (int)len) == (int)len ? 0 : -1;
}

static size_t
tls_read(struct tls *t, uint8_t *out, size_t size)
{
	int	n;

	ERR_clear_error();
	n = t->up ? SSL_read(t->ssl, out, (int)size) : 0;
	return n > 0 ? (size_t)n : 0;
}

static size_t
tls_pull(struct tls *t, uint8_t *out, size_t size)
{
	int	n = BIO_read(SSL_get_wbio(t->ssl), out, (int)size);

	return n > 0 ? (size_t)n : 0;
}

const struct cipher	tls_cipher = {
	tls_prepare, tls_start, tls_free, tls_feed, tls_write, tls_up, tls_read,
	tls_pull
};
