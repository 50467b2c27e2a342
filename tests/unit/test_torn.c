/* A line that was cut anywhere is a whole line afterwards; the openset, the
 * queue and the reader of old lines, on the way. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

#include "recorder.h"

static const char *const	lines[] = {
	"{\"v\":2,\"seq\":17,\"ts\":\"2026-11-25T02:05:09.000001Z\",\"mono\":5,"
	    "\"type\":\"flow.open\",\"inst\":\"ab010000-0000-0000-0000-00000000"
	    "0000\",\"rec\":9,\"tenant\":\"a\\\"b\\\\c\\u000a\\u00ff\",\"guest\":"
	    "\"\",\"flow\":77,\"g_src\":\"::1\",\"gen\":3,\"pol\":\"cd\"}",
	"{\"v\":2,\"seq\":17,\"type\":\"audit.open\",\"durable\":false,"
	    "\"x\":true,\"y\":0}",
	"{\"v\":2,\"seq\":17,\"type\":\"dns\",\"detail\":\"a}\\u007d\","
	    "\"chain\":[\"a}]\",\"b\\\"]\\u0041,\"],\"ips\":[\"::1\"],\"ttl\":60,"
	    "\"secure\":true,\"alpn\":\"}\"}",
};

/* Whole prefix kept, valid, not a member twice, seq is the expected one. */
static void
every_cut(void **state)
{
	char	text[LINE_ROOM], end[TORN_ROOM];
	size_t	i, len, n;
	json_t	*v;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		for (len = 1; len <= strlen(lines[i]); len++) {
			n = torn_finish(end, lines[i], len, 17);
			assert_true(n > 0 && n < TORN_ROOM);
			assert_int_equal(end[n - 1], '\n');
			snprintf(text, sizeof(text), "%.*s%s", (int)len,
			    lines[i], end);
			v = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
			if (v == NULL)
				fail_msg("cut at %zu: %s", len, text);
			assert_int_equal(json_integer_value(json_object_get(v,
			    "seq")), 17);
			assert_int_equal(len < strlen(lines[i]),
			    json_is_true(json_object_get(v, "torn")));
			json_decref(v);
		}
}

/* A close at restart repeats the name that its open had. */
static const char	names[] = "{\"v\":2,\"seq\":3,\"type\":\"flow.open\","
			    "\"rec\":1,\"tenant\":\"t\",\"guest\":\"g\",\"flow\":1,"
			    "\"name\":\"a.example\",\"names\":[\"a\",\"b,]\\\"\"],"
			    "\"sni\":\"a.example\",\"vhost\":\"x\","
			    "\"alpn\":[\"h2\"],\"ech\":true,\"assurance\":\"sni\","
			    "\"gen\":1,\"pol\":\"3\"}";

static const char	asked[] = "{\"v\":2,\"seq\":17,\"type\":\"dns.ask\","
			    "\"rec\":9,\"tenant\":\"a\",\"guest\":\"b\","
			    "\"ask\":5,\"name\":\"n\",\"qtype\":\"A\","
			    "\"rule_id\":\"r\",\"loc\":\"l\",\"gen\":1,"
			    "\"pol\":\"3\",\"detail\":\"d\"}";
static const char *const told[] = {
	"{\"v\":2,\"seq\":17,\"type\":\"dns\",\"rec\":9,\"tenant\":\"a\","
	"\"ask\":5,\"name\":\"n\",\"qtype\":\"A\",\"ips\":[\"1\",\"2\"]}",
	"{\"v\":2,\"seq\":17,\"type\":\"dns\",\"rec\":9,\"tenant\":\"a\","
	"\"name\":\"n\",\"qtype\":\"A\",\"ips\":[\"1\",\"2\"]}"
};

/* No lists of ours. */
static const char *const lists[] = {
	"{\"v\":2,\"seq\":1,\"a\":[]}", "{\"v\":2,\"seq\":1,\"a\":[\"b\"}",
	"{\"v\":2,\"seq\":1,\"a\":[\"b\",]}", "{\"v\":2,\"seq\":1,\"a\":[1]}",
	"{\"v\":2,\"seq\":1,\"a\":[\"b\"", "{\"v\":2,\"seq\":1,\"a\":[[\"b\"]]}",
};

/* Of format 1: what it says of flows is nothing to this reader. */
static void
format_one(void **state)
{
	static const char	line[] = "{\"v\":1,\"seq\":17,\"ts\":\"x\","
				    "\"type\":\"daemon.stop\",\"rec\":9}";
	struct text		t = { line, sizeof(line) - 1 };
	struct seen		s;

	(void)state;
	assert_true(parse_line(t, &s));
	assert_true(s.old && s.seq == 17 && parse_is(&s.type, "daemon.stop"));
	t.len--;
	assert_true(parse_old(&t));
	t = (struct text){ asked, sizeof(asked) - 1 };
	assert_false(parse_old(&t));
}

static void
reads_back(void **state)
{
	struct seen	s;
	struct text	t = { lines[0], strlen(lines[0]) };
	size_t		len;

	(void)state;
	assert_true(parse_line(t, &s));
	assert_int_equal(s.seq, 17);
	assert_int_equal(s.rec, 9);
	assert_int_equal(s.flow, 77);
	assert_true(s.has_inst && s.inst[0] == 0xab && s.inst[1] == 1);
	assert_true(parse_is(&s.type, "flow.open"));
	assert_memory_equal(s.body.p, ",\"tenant\":\"a", 12);
	assert_memory_equal(s.body.p + s.body.len - 11, ",\"pol\":\"cd\"", 11);
	t = (struct text){ names, sizeof(names) - 1 };
	assert_true(parse_line(t, &s));
	assert_memory_equal(s.body.p, ",\"tenant\"", 9);
	assert_memory_equal(s.body.p + s.body.len - 3, "\"3\"", 3);
	assert_int_equal(s.body.len, strstr(names, "\"3\"") + 3 -
	    strstr(names, ",\"tenant"));
	t = (struct text){ asked, sizeof(asked) - 1 };
	assert_true(parse_line(t, &s));
	assert_int_equal(s.flow, 5);
	assert_int_equal(s.body.len, strstr(asked, "\"3\"") + 3 -
	    strstr(asked, ",\"tenant"));
	for (len = 0; len < 2; len++) {		/* what has lists, or no number */
		t = (struct text){ told[len], strlen(told[len]) };
		assert_true(parse_line(t, &s));
		assert_int_equal(s.flow, len == 0 ? 5 : 0);
		assert_true(parse_is(&s.type, "dns") && s.rec == 9);
	}
	t = (struct text){ lines[0], strlen(lines[0]) };
	/* no part of it is a line, and none is read beyond its end */
	for (len = 0; len < t.len; len++) {
		char	*copy = malloc(len + 1);

		memcpy(copy, lines[0], len);
		assert_false(parse_line((struct text){ copy, len }, &s));
		free(copy);
	}
	assert_false(parse_line((struct text){ "{\"v\":2,\"seq\":1,\"a\":1}", 20 },
	    &s));
	for (len = 0; len < sizeof(lists) / sizeof(lists[0]); len++)
		assert_false(parse_line((struct text){ lists[len],
		    strlen(lists[len]) }, &s));
}

static const uint8_t	inst_a[16] = { 1 }, inst_b[16] = { 2 };
static const struct slice	body = { "body", 4 };

static void
openset(void **state)
{
	struct openset		*s = openset_new(12345);
	struct open_flow	*f;
	uint64_t		 i;
	size_t			 n = 0;

	(void)state;
	for (i = 1; i <= 50000; i++)
		assert_int_equal(openset_add(s, OPEN_FLOW,
		    i % 2 ? inst_a : inst_b, i, i * 10, &body), 0);
	assert_int_equal(openset_add(s, OPEN_FLOW, inst_a, 1, 7, &body), 0);
	assert_int_equal(openset_count(s), 50000);
	assert_int_equal(openset_oldest(s), 7);
	assert_null(openset_find(s, inst_b, 1));
	f = openset_find(s, inst_a, 3);
	assert_non_null(f);
	assert_int_equal(f->seq, 30);
	openset_void(s, 20, 30);
	assert_null(openset_find(s, inst_a, 3));
	assert_int_equal(openset_count(s), 49998);
	openset_del(s, inst_a, 1);
	openset_del(s, inst_a, 1);
	assert_int_equal(openset_count(s), 49997);
	while ((f = openset_take_stale(s, inst_a)) != NULL) {
		assert_memory_equal(f->inst, inst_b, 16);
		free(f);
		n++;
	}
	assert_int_equal(n, 24999);
	assert_int_equal(openset_count(s), 24998);
	openset_free(s);
}

static void
openset_bounded(void **state)
{
	struct openset	*s = openset_new(1);
	uint64_t	 i;

	(void)state;
	for (i = 0; i < OPENS_MAX; i++)
		assert_int_equal(openset_add(s, OPEN_FLOW, inst_a, i, 1, &body), 0);
	assert_int_equal(openset_add(s, OPEN_FLOW, inst_a, i, 1, &body), -1);
	assert_int_equal(openset_count(s), OPENS_MAX);
	openset_free(s);
}

static void
queue(void **state)
{
	struct queue	q;
	struct record	r;
	uint64_t	i, next = 1, rec = 0;
	size_t		k;

	(void)state;
	assert_int_equal(queue_init(&q), 0);
	memset(&r, 0, sizeof(r));
	for (i = 0; i < 100; i++) {
		while (queue_used(&q) < QUEUE_MAX) {
			r.head.id = ++rec;
			assert_non_null(queue_push(&q, &r, NULL));
		}
		assert_null(queue_push(&q, &r, NULL));
		q.written = q.head + 1000;
		q.e[q.head].body = malloc(4);
		if (i % 3 == 0) {
			queue_rewind(&q);
			assert_int_equal(q.written, q.head);
			assert_null(q.e[q.head].body);
			continue;
		}
		for (k = q.head; k < q.written; k++)
			assert_int_equal(q.e[k].r.head.id, next++);
		queue_retire(&q);
		assert_int_equal(queue_used(&q), QUEUE_MAX - 1000);
	}
	q.written = q.tail;
	queue_retire(&q);
	assert_int_equal(q.tail, 0);
	free(q.e);
}

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		cmocka_unit_test(every_cut), cmocka_unit_test(reads_back),
		cmocka_unit_test(format_one),
		cmocka_unit_test(openset), cmocka_unit_test(openset_bounded),
		cmocka_unit_test(queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
