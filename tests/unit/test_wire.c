/* The hatch: anything but a known message, now, in its exact length, is a fault. */
#include <fcntl.h>
#include <unistd.h>

#include "unit.h"

#include "fd.h"
#include "wire.h"

enum { S_NEW = 1, S_UP = 2 };

static int	handled, got_fd, answer;

static int
handler(void *room, const void *msg, int fd)
{
	(void)room;
	(void)msg;
	handled++;
	got_fd = fd;
	return answer;
}

static const struct wire_rule	rules[] = {
	{ WIRE_HELLO, S_NEW, sizeof(struct wire_hello), false, handler, 0 },
	{ WIRE_OPEN, S_UP, sizeof(struct wire_open), false, handler, 0 },
	{ WIRE_GRANT, S_UP, sizeof(struct wire_grant), true, handler, 0 },
	{ WIRE_FLIGHT, S_UP, sizeof(struct wire_flight), false, handler,
	    WIRE_FLIGHT_MAX },
};

static enum wire_fault
give(uint32_t state, const void *buf, size_t len, int fd)
{
	return wire_dispatch(rules, 4, state, NULL, buf, len, fd);
}

static int
reset(void **state)
{
	(void)state;
	handled = 0;
	got_fd = -1;
	answer = 0;
	return 0;
}

static void
lengths(void **state)
{
	unsigned char	buf[WIRE_MAX];
	size_t		len;

	(void)state;
	wire_begin(buf, sizeof(buf), WIRE_OPEN, 7);
	for (len = 0; len <= sizeof(buf); len++) {
		enum wire_fault	want = len < sizeof(struct wire_head) ?
		    WIRE_SHORT : len == sizeof(struct wire_open) ? WIRE_OK :
		    WIRE_LENGTH;

		assert_int_equal(give(S_UP, buf, len, -1), want);
	}
	assert_int_equal(handled, 1);
}

/* The struct's last word says how much follows, and is held to it. */
static void
tails(void **state)
{
	static unsigned char	buf[WIRE_MAX + 8];
	struct wire_flight	f;
	const uint32_t		len[] = { 0, 1, 2, 500, WIRE_FLIGHT_MAX,
				    WIRE_FLIGHT_MAX + 1, UINT32_MAX };
	size_t			i, n, want;

	(void)state;
	wire_begin(&f, sizeof(f), WIRE_FLIGHT, 7);
	for (i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		f.len = len[i];
		memcpy(buf, &f, sizeof(f));
		want = len[i] == 0 || len[i] > WIRE_FLIGHT_MAX ? 0 :
		    sizeof(f) + len[i];
		for (n = sizeof(struct wire_head); n <= sizeof(buf); n++)
			assert_int_equal(give(S_UP, buf, n, -1), n == want ?
			    WIRE_OK : WIRE_LENGTH);
	}
	assert_int_equal(handled, 4);
}

static void
types_and_states(void **state)
{
	struct wire_open	m;
	uint32_t		type;

	(void)state;
	for (type = 0; type < 1024; type++) {
		wire_begin(&m, sizeof(m), type, 1);
		if (type != WIRE_OPEN && type != WIRE_HELLO &&
		    type != WIRE_GRANT && type != WIRE_FLIGHT)
			assert_int_equal(give(S_UP, &m, sizeof(m), -1),
			    WIRE_UNKNOWN);
	}
	wire_begin(&m, sizeof(m), WIRE_OPEN, 1);
	assert_int_equal(give(S_NEW, &m, sizeof(m), -1), WIRE_STATE);
	wire_begin(&m, sizeof(m), UINT32_MAX, 1);
	assert_int_equal(give(S_UP, &m, sizeof(m), -1), WIRE_UNKNOWN);
	assert_int_equal(handled, 0);
}

static void
padding(void **state)
{
	struct wire_open	m;

	(void)state;
	wire_begin(&m, sizeof(m), WIRE_OPEN, 1);
	m.head.zero = 1;
	assert_int_equal(give(S_UP, &m, sizeof(m), -1), WIRE_PADDING);
}

static void
descriptors(void **state)
{
	struct wire_open	m;
	struct wire_grant	g;
	int			fd = dup(0);

	(void)state;
	wire_begin(&m, sizeof(m), WIRE_OPEN, 1);
	assert_int_equal(give(S_UP, &m, sizeof(m), fd), WIRE_FD);
	assert_int_equal(fcntl(fd, F_GETFD), -1);	/* closed for us */
	wire_begin(&g, sizeof(g), WIRE_GRANT, 1);
	assert_int_equal(give(S_UP, &g, sizeof(g), -1), WIRE_FD);
	fd = dup(0);
	assert_int_equal(give(S_UP, &g, sizeof(g), fd), WIRE_OK);
	assert_int_equal(got_fd, fd);
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);	/* the handler's */
	close(fd);
}

static void
refused(void **state)
{
	struct wire_open	m;

	(void)state;
	answer = -1;
	wire_begin(&m, sizeof(m), WIRE_OPEN, 1);
	assert_int_equal(give(S_UP, &m, sizeof(m), -1), WIRE_REFUSED);
}

static void
begin_clears(void **state)
{
	struct wire_config	m;
	unsigned char		*p = (unsigned char *)&m;
	size_t			i;

	(void)state;
	memset(&m, 0xa5, sizeof(m));
	wire_begin(&m, sizeof(m), WIRE_CONFIG, 9);
	assert_int_equal(m.head.type, WIRE_CONFIG);
	assert_int_equal(m.head.id, 9);
	for (i = sizeof(struct wire_head); i < sizeof(m); i++)
		assert_int_equal(p[i], 0);
}

static void
build_id(void **state)
{
	char	id[WIRE_BUILD_LEN];

	(void)state;
	wire_build_id(id);
	assert_int_equal(id[WIRE_BUILD_LEN - 1], 0);
	assert_non_null(strchr(id, '+'));
}

/* Another id, magic, version or build: not ours, whichever byte differs. */
static void
hellos(void **state)
{
	struct wire_hello	m;
	unsigned char		*p = (unsigned char *)&m;
	size_t			 i;

	(void)state;
	wire_hello_begin(&m, WIRE_HELLO);
	assert_int_equal(m.head.type, WIRE_HELLO);
	assert_true(wire_hello_ours(&m));
	for (i = offsetof(struct wire_head, id); i < sizeof(m); i++) {
		p[i] ^= 1;
		assert_false(wire_hello_ours(&m));
		p[i] ^= 1;
	}
}

#define T(f)	cmocka_unit_test_setup(f, reset)

int
main(void)
{
	const struct CMUnitTest	tests[] = {
		T(lengths), T(tails), T(types_and_states), T(padding), T(descriptors),
		T(refused), T(begin_clears), T(build_id), T(hellos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
