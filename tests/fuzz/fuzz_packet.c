/*
 * Everything of the frame that is not TCP, fed by a guest and a host that obey
 * nothing: packets, grants, refusals, host datagrams and time, in any order.
 *
 * Input: a list of { op, length (2 bytes, big-endian), bytes }.
 *   op & 7:  0, 1  a frame as it is      2, 3  a frame with its sums put right
 *            4  what the broker says     5  a datagram from the host
 *            6  milliseconds pass        7  the link's state
 * Sums are put right because a mutation of a packet would otherwise never get
 * behind the checksum.
 */
#include <sys/socket.h>

#include <net/ethernet.h>
#include <netinet/in.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "frame_fake.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define PAIRS_MAX	64

/* The host's ends of the granted sockets. */
static int		host[PAIRS_MAX];
static unsigned int	nhost;

static void
frame_in(const uint8_t *bytes, size_t len, bool fix)
{
	static struct mk	m;
	static struct packet	p;
	struct rxbuf		*b;

	if (len > FRAME_MAX)
		len = FRAME_MAX;
	memset(m.bytes, 0, 64);
	if (len > 0)
		memcpy(m.bytes, bytes, len);
	m.len = len;
	if (fix && len >= ETH_LEN + 20) {
		m.ip = ETH_LEN;
		m.v6 = m.bytes[ETH_LEN] >> 4 == 6;
		mk_fix_ip(&m);
		b = fake_rx(m.bytes, m.len);
		if (packet_parse(b, &p) == REASON_BAD_CHECKSUM &&
		    p.l4 != NULL) {
			m.l4 = (size_t)(p.l4 - p.eth);
			m.proto = p.ip_proto;
			m.len = m.l4 + p.l4_len;
			mk_fix_l4(&m);
		}
		free(b);
	}
	packet_input(fake_rx(m.bytes, m.len));
}

static void
grant(struct flow *f)
{
	int	pair[2];

	if (nhost == PAIRS_MAX || socketpair(AF_UNIX,
	    SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == -1)
		return;
	host[nhost++] = pair[1];
	f->state = FLOW_OPEN;
	f->ops->granted(f, pair[0]);
}

/* To one of the questions of this frame; what makes no sense is refused. */
static void
answer(uint8_t which, uint8_t code)
{
	struct wire_answer	m;
	uint64_t		ids = fake_last_id - fake_first_id + 1;

	wire_begin(&m, sizeof(m), WIRE_ANSWER, fake_first_id + which % ids);
	m.code = code & 7;
	m.ttl = which;
	m.n = (code >> 3 & 15) * 4;
	memset(&m.addr, 0, sizeof(m.addr));
	for (uint32_t i = 0; i < m.n && i < ANSWER_MAX; i++)
		m.addr[i] = fake_addr(fake_qtype == 28 ? GUEST6 : GUEST4);
	dns_answered(&m);
}

static void
broker_says(const uint8_t *bytes, size_t len)
{
	struct flow	*f;

	if (len >= 2 && fake_nresolves > 0 && (bytes[1] & 0x80) != 0) {
		answer(bytes[0], bytes[1]);
		return;
	}
	if (len < 2 || (f = fake_flow(bytes[0])) == NULL)
		return;
	if (f->state == FLOW_ASKED) {
		if (bytes[1] % 4 == 0)
			f->ops->denied(f, (enum deny_code)(bytes[1] / 4 % 7));
		else if (bytes[1] % 4 == 1)
			f->ops->lost(f);
		else
			grant(f);
	} else if (bytes[1] % 2 == 0)
		f->ops->revoked(f);
	else
		f->ops->timeout(f);
}

/* Whatever the guest did, what it gets is well-formed. */
static void
check_answers(void)
{
	const uint8_t	*ip;
	unsigned int	 i;

	for (i = 0; i < fake_nsent; i++) {
		ip = fake_sent[i].bytes + ETH_LEN;
		if (get16(fake_sent[i].bytes + 12) == ETHERTYPE_ARP)
			continue;
		if (ip[0] >> 4 == 6 ? ip[6] == IPPROTO_FRAGMENT :
		    (get16(ip + 6) & 0x3fff) != 0)
			continue;
		check_sent(&fake_sent[i]);
	}
}

static void
one(uint8_t op, const uint8_t *bytes, size_t len)
{
	unsigned int	asked;
	uint64_t	first;
	ssize_t		n;

	switch (op & 7) {
	case 0:
	case 1:
	case 2:
	case 3:
		frame_in(bytes, len, (op & 2) != 0);
		break;
	case 4:
		broker_says(bytes, len);
		break;
	case 5:
		if (nhost > 0 && len > 0) {
			n = write(host[bytes[0] % nhost], bytes + 1, len - 1);
			(void)n;
		}
		break;
	case 6:
		frame.now_ms += len > 0 ? bytes[0] * 100u : 1;
		break;
	default:
		fake_link_full = len > 0 && (bytes[0] & 1) != 0;
		fake_csum = len > 0 && (bytes[0] & 2) != 0;
		frame.config.mtu = len > 0 && (bytes[0] & 4) != 0 ? 1280 :
		    65520;
	}
	event_base_loop(frame.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	check_answers();
	asked = fake_nresolves;
	first = fake_first_id;
	fake_forget();
	fake_nresolves = asked;
	fake_first_id = first;
}

/* Every flow goes; what was granted is closed; nothing is left in the loop. */
static void
end(void)
{
	struct wire_answer	 m;
	struct flow		*f;
	uint64_t		 id;

	while ((f = fake_flow(0)) != NULL) {
		if (f->state == FLOW_OPEN)
			f->ops->timeout(f);
		else
			f->ops->denied(f, DENY_SILENT);
	}
	while (nhost > 0)
		close(host[--nhost]);
	for (id = fake_first_id; fake_nresolves > 0 && id <= fake_last_id; id++) {
		wire_begin(&m, sizeof(m), WIRE_ANSWER, id);
		m.code = ANSWER_NXDOMAIN;
		dns_answered(&m);
		fake_nsent = 0;
	}
	if (event_base_get_num_events(frame.base, EVENT_BASE_COUNT_ADDED) != 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t	len;

	if (frame.base == NULL) {
		frame.base = event_base_new();
		fake_reset(NULL);
		dgram_room_init();
		dns_room_init();
	}
	fake_reset(NULL);
	while (size >= 3) {
		len = get16(data + 1);
		if (len > size - 3)
			len = size - 3;
		one(data[0], data + 3, len);
		data += 3 + len;
		size -= 3 + len;
	}
	end();
	return 0;
}
