/*
 * One reading of a policy: its file, then the files it includes, each parsed by
 * itself so that no error crosses a file; then what needs the whole.
 *
 * Trusts: file.c's look at each file.
 * Must not: go on to compile after an error.
 */
#include <stdlib.h>
#include <string.h>

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
add_dir(const char **dir, size_t *n, const char *path)
{
	size_t	i;

	for (i = 0; i < *n; i++)
		if (strcmp(dir[i], path) == 0)
			return;
	if (*n < GRAMMAR_DIRS_MAX)
		dir[(*n)++] = path;
}

/* Only tokens are looked at: what follows `include` and `file`. */
static void
announce_dirs(struct parse *p, const char *text, size_t len)
{
	struct grammar_sink	 quiet = { .line = no_line };
	struct parse		 scan = { .m = p->m, .sink = &quiet };
	const char		*dir[GRAMMAR_DIRS_MAX];
	struct token		 t;
	size_t			 n = 0;
	int			 before = 0;

	if (p->sink->dirs == NULL)
		return;
	add_dir(dir, &n, file_directory(p, p->source->path));
	lex_open(&scan.lex, p->source->path, text, len, 0);
	do {
		lex_next(&scan, &t);
		if (t.kind == STRING && (before == INCLUDE || before == FILE_))
			add_dir(dir, &n, file_directory(p,
			    file_resolve(p, t.text)));
		before = t.kind;
	} while (t.kind != END);
	p->sink->dirs(p->sink->arg, dir, n);
}

/* ---- files -------------------------------------------------------------------- */

static void parse_includes(struct parse *, const struct source *);

static void
parse_source(struct parse *p, const struct source *s, const char *text,
    size_t len)
{
	memset(&p->include, 0, sizeof(p->include));
	p->source = s;
	p->tenant = NULL;
	lex_open(&p->lex, s->path, text, len, s->parent == NULL ? MAIN :
	    INCLUDED);
	yyparse(p);
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
	if (is_loop(&s))
		report_error(p, at, "%.200s includes itself, at last: take one "
		    "include out", path);
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
	if (p->sink->errors == 0)
		return p->m;
	grammar_free(p->m);
	return NULL;
}

struct model *
grammar_parse_text(const char *name, const char *text, size_t len,
    struct grammar_sink *sink)
{
	struct parse	p = { .m = model_new(), .sink = sink };
	struct source	s = { .path = model_string(p.m, name, strlen(name)) };

	sink->errors = sink->warnings = 0;
	parse_source(&p, &s, text, len);
	return finish(&p, s.path);
}

struct model *
grammar_parse(const char *path, struct grammar_sink *sink)
{
	struct parse	 p = { .m = model_new(), .sink = sink, .files = true };
	struct source	 s = { .path = model_string(p.m, path, strlen(path)) };
	struct where	 whole = { s.path, 0, 0 };
	char		*text;
	size_t		 len = 0;

	sink->errors = sink->warnings = 0;
	if ((text = file_read(&p, &whole, &s, &len)) != NULL) {
		p.source = &s;
		announce_dirs(&p, text, len);
		parse_source(&p, &s, text, len);
		free(text);
	}
	return finish(&p, s.path);
}
