/*
 * ./configure --with-resolver=unbound: libunbound asks, except over TLS.
 *
 * Debian's libunbound is built with nettle and has no TLS, so tls upstreams are
 * the stub's, whose TLS is OpenSSL: one path, the same in every build.
 */
#include "config.h"

#include "log.h"
#include "stub.h"

const struct cipher *const	stub_cipher = &tls_cipher;

const struct engine *
engine_for(const struct resolver_config *c)
{
	if (!c->upstream[0].tls)
		return &unbound_engine;
	if (c->dnssec)
		fatalx("DNSSEC cannot be checked over tls upstreams: say "
		    "`dnssec no`, or name upstreams without tls");
	return &stub_engine;
}
