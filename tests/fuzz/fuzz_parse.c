/*
 * Any text through the grammar. What parses must print to itself, compile, load,
 * and deny loopback and the metadata service, whatever name leads there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "grammar.h"
#include "law.h"

#define TEXT_MAX	65536

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
line(void *arg, const char *text)
{
	if (strlen(text) >= GRAMMAR_LINE_MAX)
		abort();
	(void)arg;
}

static void
check_law(struct policy *p, const char *dst)
{
	static const char	 text[] = "a.example.com";
	struct name		 a;
	const struct name *const bound[] = { &a };
	struct policy_query	 q = { .proto = PROTO_TCP, .bound = bound,
				    .nbound = 1 };

	if (name_from_text(text, strlen(text), &a) == -1 ||
	    endpoint_parse(dst, &q.dst) == -1)
		abort();
	for (; q.tenant < policy_tenants(p); q.tenant++)
		if (policy_index(p, q.tenant) == -1 ||
		    policy_decide(p, &q).kind != VERDICT_DENY)
			abort();
}

static void
check_model(const struct model *m)
{
	struct grammar_sink	 sink = { .line = line };
	char			*one, *two, err[128];
	size_t			 len;
	void			*blob;
	struct model		*again;
	struct policy		*p;

	one = grammar_print(m, &len);
	if ((again = grammar_parse_text("again", one, len, &sink)) == NULL)
		abort();
	two = grammar_print(again, NULL);
	if (strcmp(one, two) != 0)
		abort();
	if ((blob = grammar_compile(m, &len)) == NULL ||
	    (p = policy_load(blob, len, err, sizeof(err))) == NULL)
		abort();
	check_law(p, "127.0.0.1:80");
	check_law(p, "169.254.169.254:80");
	check_law(p, "[64:ff9b::a9fe:a9fe]:80");
	policy_free(p);
	free(blob);
	free(one);
	free(two);
	grammar_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct grammar_sink	 sink = { .line = line };
	struct model		*m;

	if (len > TEXT_MAX)
		return 0;
	m = grammar_parse_text("fuzz", (const char *)data, len, &sink);
	if ((m == NULL) != (sink.errors > 0))
		abort();
	if (m != NULL)
		check_model(m);
	grammar_free(m);
	return 0;
}
