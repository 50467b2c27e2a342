/*
 * The rules of the hatch: one table lookup and a handful of exact compares
 * between a peer's bytes and a handler. Pure.
 *
 * Trusts: the table. Must not: hand on a message of any other length than its
 * struct's, or keep an fd nobody asked for.
 */
#include <string.h>

#include "config.h"
#include "fd.h"
#include "wire.h"

static const struct wire_rule *
find_rule(const struct wire_rule *rules, size_t n, uint32_t type)
{
	size_t	i;

	for (i = 0; i < n; i++)
		if (rules[i].type == type)
			return &rules[i];
	return NULL;
}

/* Exactly the struct, or the struct and as many bytes as its last member says. */
static bool
right_length(const struct wire_rule *rule, const void *buf, size_t len)
{
	uint32_t	tail;

	if (rule->tail == 0 || len < rule->len)
		return len == rule->len;
	memcpy(&tail, (const unsigned char *)buf + rule->len - sizeof(tail),
	    sizeof(tail));
	return tail > 0 && tail <= rule->tail && len - rule->len == tail;
}

static enum wire_fault
check(const struct wire_rule *rule, uint32_t state,
    const struct wire_head *head, const void *buf, size_t len, int fd)
{
	if (rule == NULL)
		return WIRE_UNKNOWN;
	if ((rule->states & state) == 0)
		return WIRE_STATE;
	if (!right_length(rule, buf, len))
		return WIRE_LENGTH;
	if (head->zero != 0)
		return WIRE_PADDING;
	if (rule->fd != (fd != -1))
		return WIRE_FD;
	return WIRE_OK;
}

enum wire_fault
wire_dispatch(const struct wire_rule *rules, size_t nrules, uint32_t state,
    void *room, const void *buf, size_t len, int fd)
{
	const struct wire_rule	*rule;
	struct wire_head	 head;
	enum wire_fault		 fault = WIRE_SHORT;

	if (len >= sizeof(head)) {
		memcpy(&head, buf, sizeof(head));
		rule = find_rule(rules, nrules, head.type);
		fault = check(rule, state, &head, buf, len, fd);
		if (fault == WIRE_OK)
			return rule->handler(room, buf, fd) == 0 ?
			    WIRE_OK : WIRE_REFUSED;
	}
	fd_drop(&fd);
	return fault;
}

void
wire_begin(void *msg, size_t len, uint32_t type, uint64_t id)
{
	struct wire_head	head = { .type = type, .id = id };

	memset(msg, 0, len);
	memcpy(msg, &head, sizeof(head));
}

void
wire_build_id(char out[WIRE_BUILD_LEN])
{
	static const char	id[] = PACKAGE_VERSION "+" BUILD_ID;
	size_t			len = sizeof(id) - 1;

	memset(out, 0, WIRE_BUILD_LEN);
	memcpy(out, id, len < WIRE_BUILD_LEN ? len : WIRE_BUILD_LEN - 1);
}

void
wire_hello_begin(struct wire_hello *m, uint32_t type)
{
	wire_begin(m, sizeof(*m), type, 0);
	m->magic = WIRE_MAGIC;
	m->version = WIRE_VERSION;
	wire_build_id(m->build);
}

bool
wire_hello_ours(const struct wire_hello *m)
{
	struct wire_hello	ours;

	wire_hello_begin(&ours, m->head.type);
	return m->head.id == 0 && m->magic == ours.magic &&
	    m->version == ours.version &&
	    memcmp(m->build, ours.build, sizeof(ours.build)) == 0;
}

const char *
wire_fault_name(enum wire_fault fault)
{
	switch (fault) {
	case WIRE_OK:
		return "none";
	case WIRE_SHORT:
		return "short";
	case WIRE_UNKNOWN:
		return "unknown-type";
	case WIRE_STATE:
		return "wrong-state";
	case WIRE_LENGTH:
		return "wrong-length";
	case WIRE_PADDING:
		return "padding";
	case WIRE_FD:
		return "unexpected-fd";
	case WIRE_REFUSED:
		return "refused";
	}
	return "?";
}
