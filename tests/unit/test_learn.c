/*
 * What `run --learn' makes of a log in which nothing can be trusted: whatever stands
 * in its fields, the policy's text has the shapes below and no others, and is one
 * that `check' takes.
 *
 * Trusts: nothing. Must not: depend on how the recorder escapes.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grammar.h"
#include "learn.h"
#include "unit.h"

#define ROUNDS	400
#define RECORDS	60

static const char *const shapes[] = {
	"^$", "^#[ -~\t]*$", "^\t#[ -~]*$", "^policy version 1$",
	"^tenant learned \\{$", "^\\}$", "^\tdeny to any$",
	"^\tallow to name (\"[a-z0-9_.-]+\"|\\{( \"[a-z0-9_.-]+\")+ \\}) port (tcp|udp) "
	    "(\\{( [0-9]+)+ \\}|[0-9]+)( verify (host|none))?( ech allow)?$",
	"^\tallow to name \\{$", "^\t\t\"[a-z0-9_.-]+\"$",
	"^\t\\} port (tcp|udp) (\\{( [0-9]+)+ \\}|[0-9]+)( verify (host|none))?"
	    "( ech allow)?$",
	"^\tallow to net [0-9a-f:.]+ (icmp echo|port (tcp|udp) "
	    "(\\{( [0-9]+)+ \\}|[0-9]+))$",
};
#define NSHAPES	(sizeof(shapes) / sizeof(shapes[0]))

static const char *const hostile[] = {
	"floor-special\n}\ntenant z { allow to any }\n#", "floor-\"\n", "tcp\nallow",
	"a.example\" port tcp 1\nallow to any #", "}\n", "\x01\x1b[2J", "x,y.example,",
	"a.example,b.example", "192.0.2.1\nallow", "2001:db8::1%lo", "", " ", "..", "-",
	"A.Example.", "\xff\xfe", "#", "\\\n", "a.example, 192.0.2.1 ,\n}",
	"one.one.one.one", "*.example", "_srv._tcp.a.example",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
};
#define NHOSTILE	(sizeof(hostile) / sizeof(hostile[0]))

static const char *const plain[] = {
	"floor-special", "floor-local", "rate", "dns-upstream", "tcp", "udp", "icmp",
	"203.0.114.11", "203.0.114.12", "2600:1f00::10", "a.example", "b.example.net",
	"sni", "host", "deny", "allow", "inspector", "10.0.0.1, 10.0.0.2",
};
#define NPLAIN	(sizeof(plain) / sizeof(plain[0]))

static const char *const types[] = { "flow.open", "flow.close", "flow.deny", "deny.agg",
	"dns", "child.died", "audit.gap", "limit" };
static const char *const keys[] = { "reason", "proto", "g_dst", "g_dp", "name", "names",
	"sni", "assurance", "ech", "detail", "stripped", "ips", "n", "opens", "denies",
	"verdict", "flow", "up", "down" };
#define NKEYS	(sizeof(keys) / sizeof(keys[0]))

static unsigned int	seed = 1;

static unsigned int
pick(size_t n)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 8) % (unsigned int)n;
}

/* Mostly what belongs there, so that much gets through; and what does not. */
static json_t *
value(void)
{
	static const json_int_t	numbers[] = { 0, 1, 2, 443, 65535, 65536, -1,
				    INT64_MAX, INT64_MIN };

	switch (pick(8)) {
	case 0:
		return json_stringn_nocheck(hostile[pick(NHOSTILE)], 0);
	case 1: {
		const char *s = hostile[pick(NHOSTILE)];

		return json_stringn_nocheck(s, strlen(s));
	}
	case 2:
		return json_integer(numbers[pick(9)]);
	case 3:
		return json_pack("[s, s, i, {}]", plain[pick(NPLAIN)],
		    plain[pick(NPLAIN)], 1);
	case 4:
		return json_boolean(pick(2));
	default:
		return json_string(plain[pick(NPLAIN)]);
	}
}

static void
set(json_t *r, const char *key, json_t *v)
{
	if (v != NULL)
		json_object_set_new(r, key, v);
}

static void
record(FILE *f)
{
	json_t		*r = json_object();
	size_t		 i;
	char		*line;

	set(r, "v", json_integer(2));
	set(r, "type", json_string(types[pick(8)]));
	for (i = 0; i < NKEYS; i++)
		if (pick(4) != 0)
			set(r, keys[i], value());
	if (pick(2) == 0)
		set(r, "g_dst", json_string("203.0.114.11"));
	if (pick(2) == 0)
		set(r, "g_dp", json_integer(pick(65536)));
	if (pick(2) == 0)
		set(r, "proto", json_string(pick(2) ? "tcp" : "udp"));
	line = json_dumps(r, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (line != NULL)
		fprintf(f, "%s\n", line);
	free(line);
	json_decref(r);
}

static void
check_shapes(char *text)
{
	static regex_t	re[NSHAPES];
	static bool	made;
	char		*line, *end;
	size_t		 i;

	for (i = 0; i < NSHAPES && !made; i++)
		assert_int_equal(regcomp(&re[i], shapes[i],
		    REG_EXTENDED | REG_NOSUB), 0);
	made = true;
	for (line = text; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		*end = '\0';
		for (i = 0; i < NSHAPES; i++)
			if (regexec(&re[i], line, 0, NULL, 0) == 0)
				break;
		if (i == NSHAPES)
			fail_msg("\"%s\"", line);
		*end = '\n';
	}
}

static void
say(void *arg, const char *line)
{
	(void)arg;
	print_message("%s\n", line);
}

/* The text that is learnt from what `fill' writes into a log. */
static char *
learn(int dir, void (*fill)(FILE *), size_t *rules)
{
	static char	 first[] = "cmd\n}", second[] = "\x1b[1mallow to any";
	char		*cmd[] = { first, second, NULL };
	struct learn_head head = { "run --learn", cmd, "learned" };
	struct learned	 l;
	char		*text = NULL;
	size_t		 size;
	int		 fd = openat(dir, "log", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FILE		*f = fdopen(fd, "w");

	assert_non_null(f);
	fill(f);
	fclose(f);
	memset(&l, 0, sizeof(l));
	evidence_init(&l);
	assert_int_equal(learn_log(&l, dir, "log"), 0);
	claims_conclude(&l);
	rules_arrange(&l);
	f = open_memstream(&text, &size);
	text_policy(f, &l, &head);
	fclose(f);
	*rules += l.wants.n + l.floored.n;
	learn_free(&l);
	return text;
}

static void
fill_at_random(FILE *f)
{
	size_t	i;

	for (i = 0; i < RECORDS; i++)
		record(f);
	fputs("\n{\"type\":\nnot json\n{}\n[]\n\"x\"\n", f);
}

static int
make_dir(char *path)
{
	int	dir;

	assert_non_null(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir != -1);
	return dir;
}

static void
nothing_gets_out(void **state)
{
	char			path[] = "/tmp/learn.XXXXXX";
	struct grammar_sink	sink = { .line = say, .quiet = true };
	struct model		*m;
	size_t			 rules = 0;
	int			 i, dir = make_dir(path);
	char			*text;

	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	for (i = 0; i < ROUNDS; i++) {
		text = learn(dir, fill_at_random, &rules);
		check_shapes(text);
		m = grammar_parse_text("learnt", text, strlen(text), &sink);
		assert_int_equal(sink.errors, 0);
		grammar_free(m);
		free(text);
	}
	assert_true(rules > ROUNDS);	/* it was not all refused */
	(void)unlinkat(dir, "log", 0);
	close(dir);
	(void)rmdir(path);
}

static void
fill_forged(FILE *f)
{
	fputs("{\"v\":2,\"type\":\"flow.deny\",\"verdict\":\"deny\",\"reason\":\"floor-x\\n}"
	    "\\ntenant z { allow to any }\\n#\",\"proto\":\"tcp\",\"g_dst\":"
	    "\"192.0.2.1\",\"g_dp\":1}\n"
	    "{\"v\":2,\"type\":\"flow.deny\",\"verdict\":\"deny\",\"reason\":"
	    "\"floor-special\",\"proto\":\"\\nallow\",\"g_dst\":\"192.0.2.2\","
	    "\"g_dp\":1}\n"
	    "{\"v\":2,\"type\":\"flow.deny\",\"verdict\":\"deny\",\"reason\":"
	    "\"floor-special\",\"proto\":\"tcp\",\"g_dst\":\"192.0.2.3\","
	    "\"g_dp\":1}\n", f);
}

/* Words that nobody of ours says are not repeated, not even in a comment. */
static void
forged_words(void **state)
{
	char	path[] = "/tmp/learn.XXXXXX";
	int	dir = make_dir(path);
	size_t	rules = 0;
	char	*text = learn(dir, fill_forged, &rules);

	(void)state;
	check_shapes(text);
	assert_null(strstr(text, "tenant z"));
	assert_null(strstr(text, "192.0.2.1"));
	assert_null(strstr(text, "192.0.2.2"));
	assert_non_null(strstr(text, "#\ttcp 192.0.2.3 port 1: floor-special\n"));
	free(text);
	(void)unlinkat(dir, "log", 0);
	close(dir);
	(void)rmdir(path);
}

/* A FIFO, a link, a directory: said, and not waited for. */
static void
not_a_log(void **state)
{
	char		path[] = "/tmp/learn.XXXXXX";
	struct learned	l;
	int		dir = make_dir(path), i;

	(void)state;
	memset(&l, 0, sizeof(l));
	evidence_init(&l);
	for (i = 0; i < 3; i++) {
		if (i == 0)
			assert_int_equal(mkfifoat(dir, "log", 0600), 0);
		else if (i == 1)
			assert_int_equal(symlinkat("/etc/passwd", dir, "log"), 0);
		else
			assert_int_equal(mkdirat(dir, "log", 0700), 0);
		alarm(5);
		assert_int_equal(learn_log(&l, dir, "log"), -1);
		alarm(0);
		(void)unlinkat(dir, "log", i == 2 ? AT_REMOVEDIR : 0);
	}
	learn_free(&l);
	close(dir);
	(void)rmdir(path);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(nothing_gets_out),
		cmocka_unit_test(forged_words),
		cmocka_unit_test(not_a_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
