/*
 * Inside of the lexer: lex.c, and foreign.c for what is not the grammar's.
 */
#ifndef SALLYPORT_LEX_H
#define SALLYPORT_LEX_H

#include <string.h>

#include "read.h"
#include "parse.h"

static inline int
peek(const struct lex *l)
{
	return l->p < l->end ? (unsigned char)*l->p : -1;
}

/* The one after that. */
static inline int
peek_on(const struct lex *l)
{
	return l->end - l->p < 2 ? -1 : (unsigned char)l->p[1];
}

static inline void
advance(struct lex *l)
{
	unsigned char	c = (unsigned char)*l->p++;

	if (c == '\n') {
		l->line++;
		l->column = 1;
		l->more = 0;
	} else if (char_begins(&l->more, c))
		l->column++;
}

static inline struct where
here(const struct lex *l)
{
	return (struct where){ l->file, l->line, l->column };
}

static inline bool
is_word(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (c > ' ' && c < 0x7f &&
	    strchr(".:/_-+*%[]@&?!|~^()", c) != NULL);
}

static inline bool
is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static inline void
skip_line(struct lex *l)
{
	while (l->p < l->end && *l->p != '\n')
		advance(l);
}

/* What follows of the statement is not read. */
static inline int
give_up(struct parse *p)
{
	p->lex.skip = true;
	return YYerror;
}

/* foreign.c: each has told what is wrong */
bool	foreign_comment(struct parse *);	/* skipped, if there was one */
bool	foreign_quote(const struct lex *);
int	foreign_string(struct parse *, struct token *);
int	foreign_semicolon(struct parse *, struct token *);	/* 0: read on */
int	foreign_character(struct parse *, struct token *);	/* the same */

#endif
