/* ./configure --with-resolver=stub: neither libunbound nor OpenSSL is linked. */
#include "config.h"

#include "log.h"
#include "stub.h"

const struct cipher *const	stub_cipher = NULL;

const struct engine *
engine_for(const struct resolver_config *c)
{
	if (c->upstream[0].tls)
		fatalx("this build asks by plain DNS only: for tls upstreams "
		    "use ./configure --with-resolver=unbound");
	if (c->dnssec)
		fatalx("this build does not check DNSSEC: for `dnssec yes` "
		    "use ./configure --with-resolver=unbound");
	return &stub_engine;
}
