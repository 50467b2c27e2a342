/*
 * `sallyport learn --merge POLICY': what was learnt and POLICY does not allow yet. The
 * law itself is asked, not the text: a rule that is there in another form is there.
 *
 * The result is the text of the file that has the tenant, byte by byte, with the new
 * rules at the end of the tenant's block, where no rule that decided before decides any
 * less, and the comments at the end. A fragment could not be included: a tenant is
 * defined once, and rules are its block's.
 *
 * Trusts: the user, whose policy it is.
 * Must not: lose or change a byte of the policy; or write what does not parse.
 */
#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "grammar.h"
#include "learn.h"
#include "model.h"
#include "policy.h"

struct merge {
	const char	*path, *tenant;
	struct model	*m;
	struct policy	*p;
	const struct tenant *block;
	int		 index;
	size_t		 files;		/* that it was read from */
	const char	*to;		/* what is written, NULL: stdout */
	struct stat	 over;		/* the file that is there now */
	bool		 loses;		/* it is one of those that are read */
	char		*text;		/* of the file that has it */
	size_t		 len, open, close;	/* behind its `{', and at its `}' */
};

static void
line_to_stderr(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "%s\n", text);
}

/* ---- what is allowed already ------------------------------------------------------ */

static struct policy_shown
shown_of(const struct want *w, const struct name *n)
{
	struct policy_shown	s = { .what = SHOWN_NOTHING };

	if (w->kind == TARGET_NAME && w->proto == PROTO_TCP &&
	    w->verify != BY_NOTHING) {
		s.what = SHOWN_NAME;
		s.kind = w->verify == BY_HOST ? PEEK_HTTP : PEEK_TLS;
		s.ech = w->ech;
		s.name = *n;
	}
	return s;
}

static bool
is_allowed(const struct merge *g, const struct want *w)
{
	struct name		 n;
	const struct name	*bound = &n;
	struct policy_shown	 s;
	struct policy_query	 q = { .tenant = (unsigned int)g->index,
				    .proto = w->proto, .bound = &bound,
				    .now = (uint64_t)time(NULL) };
	struct verdict		 v;

	if (addr_parse(w->kind == TARGET_NET ? w->to : w->addr, &q.dst) == -1)
		return false;
	q.dst.port = (uint16_t)w->port;
	if (w->kind == TARGET_NAME) {
		if (name_from_text(w->to, strlen(w->to), &n) == -1 ||
		    policy_name(g->p, q.tenant, &n, q.now).kind != VERDICT_ALLOW)
			return false;
		q.nbound = 1;
	}
	s = shown_of(w, &n);
	v = policy_decide(g->p, &q);
	if (v.kind != VERDICT_DENY && v.peek != PEEK_NONE) {
		q.shown = &s;
		v = policy_decide(g->p, &q);
	}
	return v.kind == VERDICT_ALLOW;
}

/* ---- the tenant's block -------------------------------------------------------------- */

/* Past a comment or a string, to the next character that counts. */
static size_t
skip(const struct merge *g, size_t i)
{
	if (g->text[i] == '#')
		while (i < g->len && g->text[i] != '\n')
			i++;
	else if (g->text[i] == '"')
		for (i++; i < g->len && g->text[i] != '"'; )
			i++;
	return i;
}

/* The block that begins after `at': it parses, so its braces match. */
static bool
find_block(struct merge *g, size_t at)
{
	size_t	i, depth = 0;

	for (i = at; i < g->len; i++) {
		i = skip(g, i);
		if (i >= g->len)
			break;
		if (g->text[i] == '{' && depth++ == 0)
			g->open = i + 1;
		else if (g->text[i] == '}' && --depth == 0) {
			g->close = i;
			return true;
		}
	}
	return false;
}

static size_t
line_start(const struct merge *g, uint32_t line)
{
	size_t	i;

	for (i = 0; i < g->len && line > 1; i++)
		line -= g->text[i] == '\n';
	return i;
}

static bool
read_file(struct merge *g, const char *path)
{
	FILE	*f = fopen(path, "re");
	size_t	 n, room = 0;

	while (f != NULL) {
		if (g->len + 1 >= room) {
			room = room == 0 ? 65536 : room * 2;
			if ((g->text = realloc(g->text, room)) == NULL)
				fatalx("learn: no memory");
		}
		n = fread(g->text + g->len, 1, room - g->len - 1, f);
		g->len += n;
		if (n == 0)
			break;
	}
	if (f == NULL || ferror(f) || g->len == 0) {
		log_warn("learn: %s", path);
		if (f != NULL)
			fclose(f);
		return false;
	}
	fclose(f);
	g->text[g->len] = '\0';
	return true;
}

static void
count_file(void *arg, const char *path, uint64_t dev, uint64_t ino)
{
	struct merge	*g = arg;

	(void)path;
	g->files++;
	g->loses |= g->to != NULL && dev == g->over.st_dev && ino == g->over.st_ino;
}

/* ---- the policy that is there ----------------------------------------------------------- */

static int
load(struct merge *g)
{
	struct grammar_sink	 sink = { .line = line_to_stderr, .quiet = true,
				    .now = (uint64_t)time(NULL),
				    .file = count_file, .arg = g };
	char			 err[128] = "it is larger than 64 MiB";
	size_t			 len;
	void			*blob;

	if ((g->m = grammar_parse(g->path, &sink)) == NULL)
		return -1;
	if ((blob = grammar_compile(g->m, &len)) != NULL)
		g->p = policy_load(blob, len, err, sizeof(err));
	free(blob);
	if (g->p == NULL)
		log_warnx("learn: %s: %s", g->path, err);
	return g->p == NULL ? -1 : 0;
}

static void
find_tenant(struct merge *g)
{
	size_t	i;

	g->index = policy_tenant(g->p, g->tenant);
	if (g->index != -1 && policy_index(g->p, (unsigned int)g->index) == -1)
		fatalx("learn: no memory");
	for (i = 0; i < g->m->tenant.n; i++)
		if (strcmp(g->m->tenant.v[i].name, g->tenant) == 0)
			g->block = &g->m->tenant.v[i];
}

/* What is replaced by this file's text must be this file, or none of the policy's. */
static bool
may_replace(const struct merge *g, const char *file)
{
	struct stat	st;

	if (!g->loses || (stat(file, &st) == 0 && st.st_dev == g->over.st_dev &&
	    st.st_ino == g->over.st_ino))
		return true;
	log_warnx("learn: -o %s would be lost: tenant %s is in %s, whose text is what "
	    "is written: -o %s", g->to, g->tenant, file, file);
	return false;
}

static int
find_place(struct merge *g)
{
	const char	*file = g->block != NULL ? g->block->at.file : g->path;

	if (!read_file(g, file) || !may_replace(g, file))
		return -1;
	if (g->block == NULL) {
		g->open = g->close = g->len;
		return 0;
	}
	if (strcmp(file, g->path) != 0)
		log_warnx("learn: tenant %s is in %s, which %s includes: that "
		    "file is what is written", g->tenant, file, g->path);
	if (find_block(g, line_start(g, g->block->at.line)))
		return 0;
	log_warnx("learn: the block of tenant %s is not found in %s", g->tenant,
	    file);
	return -1;
}

/* ---- the new text -------------------------------------------------------------------------- */

/* Where the line of the closing brace begins, if nothing else is on it. */
static size_t
place(const struct merge *g)
{
	size_t	i = g->close;

	while (i > g->open && (g->text[i - 1] == ' ' || g->text[i - 1] == '\t'))
		i--;
	return i > g->open && g->text[i - 1] == '\n' ? i : g->close;
}

static void
write_rules(FILE *f, const struct merge *g, const struct learned *l,
    const struct learn_head *h)
{
	fprintf(f, "\n\t# learnt from %zu flow%s of\n\t", l->flows,
	    l->flows == 1 ? "" : "s");
	text_words(f, h->cmd);
	(void)rules_write(f, l);
	if (g->block == NULL)
		fputs("}\n", f);
}

static void
write_all(FILE *f, const struct merge *g, struct learned *l,
    const struct learn_head *h)
{
	size_t	at = g->block != NULL ? place(g) : g->len;

	fwrite(g->text, 1, at, f);
	if (l->wants.n > 0) {
		if (at > 0 && g->text[at - 1] != '\n')
			fputc('\n', f);
		if (g->block == NULL)
			fprintf(f, "\ntenant %s {", g->tenant);
		write_rules(f, g, l, h);
	}
	fwrite(g->text + at, 1, g->len - at, f);
	if (g->len > 0 && g->text[g->len - 1] != '\n')
		fputc('\n', f);
	if (l->wants.n > 0)
		text_notes(f, l, g->tenant);
}

/* Unless it names other files, which are looked for where it is to be. */
static bool
parses(const struct merge *g, const char *text, size_t len)
{
	struct grammar_sink	 sink = { .line = line_to_stderr, .quiet = true };
	struct model		*m;
	bool			 good;

	if (g->files > 1)
		return true;
	m = grammar_parse_text(g->path, text, len, &sink);
	good = m != NULL && sink.errors == 0;
	if (m != NULL)
		grammar_free(m);
	if (!good)
		log_warnx("learn: what was to be written is no policy: nothing is");
	return good;
}

static void
drop_allowed(const struct merge *g, struct learned *l)
{
	struct list	left = { .size = sizeof(struct want), .key = WANT_KEY };
	size_t		i;

	if (g->index == -1)
		return;
	for (i = 0; i < l->wants.n; i++)
		if (!is_allowed(g, list_at(&l->wants, i)))
			(void)list_put(&left, list_at(&l->wants, i));
	list_free(&l->wants);
	l->wants = left;
}

static int
compose(struct merge *g, struct learned *l, const struct learn_head *h,
    char **out, size_t *len)
{
	FILE	*f = open_memstream(out, len);

	if (f == NULL) {
		log_warn("learn");
		return -1;
	}
	drop_allowed(g, l);
	if (l->wants.n == 0)
		log_warnx("learn: %s allows all of it already: it is written as it "
		    "was", g->path);
	rules_arrange(l);
	write_all(f, g, l, h);
	if (fclose(f) != 0) {
		log_warn("learn");
		return -1;
	}
	return parses(g, *out, *len) ? 0 : -1;
}

int
merge_policy(struct learned *l, const char *path, const char *to,
    const struct learn_head *h, char **out, size_t *len)
{
	struct merge	g = { .path = path, .tenant = h->tenant, .index = -1 };
	int		result;

	if (to != NULL && stat(to, &g.over) == 0)
		g.to = to;
	result = load(&g);
	*out = NULL;
	if (result == 0) {
		find_tenant(&g);
		result = find_place(&g);
	}
	if (result == 0)
		result = compose(&g, l, h, out, len);
	free(g.text);
	policy_free(g.p);
	if (g.m != NULL)
		grammar_free(g.m);
	return result;
}
