/*
 * One reading of a policy: its file, then the files it includes, each parsed by
 * itself so that no error crosses a file; then what needs the whole.
 *
 * Trusts: file.c's look at each file.
 * Must not: go on to compile after an error.
 */
#include <stdlib.h>
#include <string.h>

#include "idmap.h"
#include "read.h"
#include "parse.h"

/* ---- the directories that will be looked into ----------------------------- */

static void
no_line(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static void
add_dir(struct parse *p, const struct where *at, const char *path)
{
	size_t	i;

	for (i = 0; i < p->ndirs; i++)
		if (strcmp(p->dir[i], path) == 0)
			return;
	if (p->ndirs < GRAMMAR_DIRS_MAX)
		p->dir[p->ndirs++] = path;
	else
		report_error(p, at, "a policy's files lie in at most %d "
		    "directories", GRAMMAR_DIRS_MAX);
}

/* Only tokens are looked at: what follows `include` and `file`. */
static void
find_dirs(struct parse *p, const char *text, size_t len)
{
	struct grammar_sink	 quiet = { .line = no_line };
	struct parse		 scan = { .m = model_new(), .sink = &quiet };
	struct token		 t;
	int			 before = 0;

	add_dir(p, NULL, file_directory(p, p->source->path));
	lex_open(&scan.lex, p->source->path, text, len, 0);
	do {
		lex_next(&scan, &t);
		if (t.kind == STRING && (before == INCLUDE || before == FILE_))
			add_dir(p, &t.at, file_directory(p,
			    file_resolve(p, t.text)));
		before = t.kind;
	} while (t.kind != END);
	messages_give(&scan);
	grammar_free(scan.m);
	if (p->sink->dirs != NULL)
		p->sink->dirs(p->sink->arg, p->dir, p->ndirs);
}

/*
 * An included file may include what lies below the directories that the policy
 * itself names: the parser child sees no others.
 */
static bool
is_below(const struct parse *p, const char *path)
{
	size_t	i, len;

	for (i = 0; i < p->ndirs; i++) {
		const char *dir = p->dir[i];

		len = strcmp(dir, ".") == 0 || strcmp(dir, "/") == 0 ? 0 :
		    strlen(dir);
		if (strncmp(path, dir, len) != 0 ||
		    strstr(path + len, "..") != NULL)
			continue;
		if (len > 0 ? path[len] == '/' :
		    (*path == '/') == (*dir == '/'))
			return true;
	}
	return false;
}

bool
grammar_may_read(const struct parse *p, const char *path)
{
	return p->source->parent == NULL || is_below(p, path);
}

/* ---- files -------------------------------------------------------------------- */

static void parse_includes(struct parse *, const struct source *);

static void
parse_source(struct parse *p, const struct source *s, const char *text,
    size_t len)
{
	memset(&p->include, 0, sizeof(p->include));
	push(p->m, p->opened, s->path);
	p->source = s;
	p->scope = s->scope;
	p->defined.line = 0;
	p->used = false;
	p->tenant = NULL;
	p->shown = s->parent == NULL;
	lex_open(&p->lex, s->path, text, len, s->parent == NULL ? MAIN :
	    INCLUDED);
	if (lex_readable(p))
		yyparse(p);
	if (s->parent != NULL && p->defined.line != 0 && !p->used)
		report_error(p, &p->defined, "nothing uses what this file defines: "
		    "it holds for the tenants of this file, and it has none; "
		    "define it in the policy's own file");
	parse_includes(p, s);
}

static bool
is_loop(const struct source *s)
{
	const struct source	*up;

	for (up = s->parent; up != NULL; up = up->parent)
		if (up->dev == s->dev && up->ino == s->ino)
			return true;
	return false;
}

static void
parse_include(struct parse *p, const struct source *parent,
    const struct where *at, const char *path)
{
	struct source	 s = { .path = path, .parent = parent,
			    .depth = parent->depth + 1 };
	char		*text;
	size_t		 len;

	if (s.depth > GRAMMAR_DEPTH_MAX) {
		report_error(p, at, "includes are nested more than %d deep",
		    GRAMMAR_DEPTH_MAX);
		return;
	}
	if ((text = file_read(p, at, &s, &len)) == NULL)
		return;
	s.scope = (uint32_t)p->m->scope.n;
	push(p->m, p->m->scope, ((struct scope){ parent->scope }));
	if (is_loop(&s))
		report_error(p, at, "%.200s is being read already: the includes "
		    "form a loop", path);
	else
		parse_source(p, &s, text, len);
	free(text);
}

static void
parse_includes(struct parse *p, const struct source *s)
{
	const struct include	*inc = p->include.v;
	size_t			 i, k, n = p->include.n, files;
	const char		**path;

	for (i = 0; i < n && !report_full(p); i++) {
		p->source = s;
		if (!grammar_may_read(p, file_resolve(p, inc[i].path))) {
			report_error(p, &inc[i].at, "an included file may include "
			    "only what lies below a directory that the policy "
			    "itself names");
			continue;
		}
		files = file_glob(p, &inc[i], &path);
		for (k = 0; k < files && !report_full(p); k++)
			parse_include(p, s, &inc[i].at, path[k]);
	}
}

/* ---- entries ------------------------------------------------------------------- */

static struct model *
finish(struct parse *p, const char *name)
{
	const struct where	whole = { name, 0, 0 };

	if (p->sink->errors == 0 && p->m->tenant.n == 0)
		report_error(p, &whole, "there is no tenant, so nothing is "
		    "allowed to anyone: write tenant NAME { ... }");
	if (p->sink->errors == 0 && settle(p))
		review(p);
	messages_give(p);
	if (p->sink->errors == 0)
		return p->m;
	grammar_free(p->m);
	return NULL;
}

static void
begin(struct grammar_sink *sink)
{
	sink->errors = sink->warnings = sink->notes = sink->acknowledged = 0;
}

struct model *
grammar_parse_text(const char *name, const char *text, size_t len,
    struct grammar_sink *sink)
{
	struct parse	p = { .m = model_new(), .sink = sink };
	struct source	s = { .path = model_string(p.m, name, strlen(name)) };

	begin(sink);
	model_read(p.m, s.path, text, len);
	parse_source(&p, &s, text, len);
	return finish(&p, s.path);
}

struct model *
grammar_parse(const char *path, struct grammar_sink *sink)
{
	struct parse	 p = { .m = model_new(), .sink = sink, .files = true,
			    .no_root = idmap_lacks_root() };
	struct source	 s = { .path = model_string(p.m, path, strlen(path)) };
	struct where	 whole = { s.path, 0, 0 };
	char		*text;
	size_t		 len = 0;

	begin(sink);
	if ((text = file_read(&p, &whole, &s, &len)) != NULL) {
		p.source = &s;
		find_dirs(&p, text, len);
		parse_source(&p, &s, text, len);
		free(text);
	}
	return finish(&p, s.path);
}

const struct name *
grammar_search(const struct model *m, size_t *n)
{
	*n = m->search.n;
	return m->search.v;
}

int
grammar_name(const char *text, struct grammar_sink *sink, struct name *out)
{
	struct parse		p = { .m = model_new(), .sink = sink };
	const struct item	w = { .text = text, .at = { "name", 0, 0 } };
	int			rc;

	begin(sink);
	rc = pattern_name(&p, &w, out);
	messages_give(&p);
	grammar_free(p.m);
	return rc;
}
