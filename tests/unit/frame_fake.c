/*
 * See frame_fake.h. Trusts: nothing of the code under test; sums are computed
 * here by another routine. Must not: be linked into anything but tests.
 */
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <stdlib.h>

#include "bytes.h"
#include "frame_fake.h"
#include "unit.h"

struct frame		frame;
struct fake_frame	fake_sent[FAKE_SENT_MAX];
unsigned int		fake_nsent, fake_drops[REASON_MAX];
unsigned int		fake_tcp, fake_released, fake_asked, fake_closed;
enum wire_how		fake_how;
enum reason		fake_reason;
unsigned int		fake_nresolves;
uint64_t		fake_first_id, fake_last_id;
struct name		fake_name;
uint16_t		fake_qtype;
bool			fake_channel_full;
bool			fake_csum, fake_link_full;
unsigned int		fake_flows_max = 256;

const uint8_t	fake_gateway_mac[6] = { 2, 0x53, 0x50, 0, 0, 1 };
const uint8_t	fake_guest_mac[6] = { 2, 0x53, 0x50, 0, 0, 2 };

static LIST_HEAD(, flow)	flows = LIST_HEAD_INITIALIZER(flows);
static unsigned int		nflows;
static uint64_t			next_id = 1;

/* ---- the room's other files ---- */

int
link_send(const struct iovec *iov, unsigned int n, const struct tx_offload *off)
{
	struct fake_frame	*f;
	unsigned int		 i;

	if (fake_link_full || fake_nsent == FAKE_SENT_MAX)
		return -1;
	f = &fake_sent[fake_nsent++];
	f->len = 0;
	f->off = *off;
	for (i = 0; i < n; i++) {
		assert_true(f->len + iov[i].iov_len <= sizeof(f->bytes));
		if (iov[i].iov_len > 0)
			memcpy(f->bytes + f->len, iov[i].iov_base,
			    iov[i].iov_len);
		f->len += iov[i].iov_len;
	}
	assert_true(f->len <= ETH_LEN + frame.config.mtu);
	return 0;
}

bool
link_has_csum(void)
{
	return fake_csum;
}

void
rxbuf_release(struct rxbuf *b)
{
	fake_released++;
	free(b);
}

void
ask_drop(enum reason r)
{
	assert_true(reason_from_frame_drop(r));
	fake_drops[r]++;
}

uint64_t
ask_resolve(uint16_t qtype, const struct name *name)
{
	if (fake_channel_full)
		return 0;
	assert_true(name_valid(name));
	fake_name = *name;
	fake_qtype = qtype;
	if (fake_nresolves++ == 0)
		fake_first_id = next_id;
	return fake_last_id = next_id++;
}

bool
tcp_segment(struct packet *p)
{
	(void)p;
	fake_tcp++;
	return false;
}

uint64_t
rand_hash(const void *data, size_t len)
{
	const uint8_t	*p = data;
	uint64_t	 h = 0xcbf29ce484222325;

	while (len-- > 0)
		h = (h ^ *p++) * 0x100000001b3;
	return h;
}

uint32_t
rand_u32(void)
{
	static uint32_t	n = 7;

	return n = n * 1664525 + 1013904223;
}

struct flow *
flow_find(const struct flow_key *key)
{
	struct flow	*f;

	LIST_FOREACH(f, &flows, by_key)
		if (memcmp(&f->key, key, sizeof(*key)) == 0)
			return f;
	return NULL;
}

int
flow_insert(struct flow *f, const struct flow_key *key,
    const struct flow_ops *ops)
{
	if (nflows >= fake_flows_max)
		return -1;
	assert_null(flow_find(key));
	f->key = *key;
	f->ops = ops;
	f->id = next_id++;
	f->state = FLOW_NEW;
	LIST_INSERT_HEAD(&flows, f, by_key);
	nflows++;
	return 0;
}

void
flow_ask(struct flow *f)
{
	f->state = FLOW_ASKED;
	fake_asked++;
}

void
flow_close(struct flow *f, enum wire_how how, enum reason reason)
{
	assert_true(reason_from_frame_close(reason));
	f->state = FLOW_CLOSING;
	f->id = 0;
	fake_closed++;
	fake_how = how;
	fake_reason = reason;
}

void
flow_remove(struct flow *f)
{
	assert_ptr_equal(flow_find(&f->key), f);
	LIST_REMOVE(f, by_key);
	nflows--;
}

void
flow_set_timeout(struct flow *f, uint32_t seconds)
{
	f->timeout_s = seconds;
	flow_touch(f);
}

void
flow_touch(struct flow *f)
{
	f->expires_ms = frame.now_ms + f->timeout_s * UINT64_C(1000);
}

void
flow_make_room(void)
{
	uint64_t	since = dgram_idle_since();

	if (flow_count() >= fake_flows_max && since <= frame.now_ms &&
	    frame.now_ms - since >= 1000)
		dgram_evict();
}

unsigned int
flow_count(void)
{
	return nflows;
}

struct flow *
fake_flow(unsigned int n)
{
	struct flow	*f;

	LIST_FOREACH(f, &flows, by_key)
		if (n-- == 0)
			break;
	return f;
}

void
frame_clock(void)
{
}

/* ---- the world ---- */

struct endpoint
fake_addr(const char *text)
{
	struct endpoint	e;

	assert_int_equal(addr_parse(text, &e), 0);
	return e;
}

void
fake_forget(void)
{
	fake_nsent = 0;
	fake_tcp = fake_released = fake_asked = fake_closed = 0;
	fake_nresolves = 0;
	memset(fake_drops, 0, sizeof(fake_drops));
}

int
fake_reset(void **state)
{
	struct wire_config	*c = &frame.config;
	struct event_base	*base = frame.base;

	(void)state;
	memset(&frame, 0, sizeof(frame));
	frame.base = base;
	frame.now_ms = 1000000;
	frame.configured = true;
	c->kind = LINK_TAP;
	c->mtu = 65520;
	c->flows_max = fake_flows_max;
	c->udp_idle = 30;
	c->udp_stream = 180;
	c->echo_idle = 30;
	memcpy(c->gateway_mac, fake_gateway_mac, 6);
	memcpy(c->guest_mac, fake_guest_mac, 6);
	memcpy(frame.guest_mac, fake_guest_mac, 6);
	frame.guest_mac_known = true;
	c->v4 = (struct wire_lease){ fake_addr(GUEST4), fake_addr(GATEWAY4), 24 };
	c->v6 = (struct wire_lease){ fake_addr(GUEST6), fake_addr(GATEWAY6), 64 };
	fake_csum = fake_link_full = fake_channel_full = false;
	fake_forget();
	return 0;
}

struct rxbuf *
fake_rx(const void *bytes, size_t len)
{
	size_t		 size = sizeof(struct rxbuf) + RXBUF_SLACK + len;
	struct rxbuf	*b = malloc(size);

	assert_non_null(b);
	memset(b, 0, sizeof(*b));
	b->len = (uint32_t)len;
	if (len > 0)
		memcpy(rxbuf_eth(b), bytes, len);
	return b;
}

uint16_t
naive_csum(uint32_t start, const uint8_t *p, size_t len)
{
	uint32_t	sum = start;
	size_t		i;

	for (i = 0; i < len; i++) {
		sum += i % 2 == 0 ? p[i] * 256u : p[i];
		while (sum > 0xffff)
			sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* ---- makers ---- */

void
mk_ip(struct mk *m, const char *src, const char *dst, uint8_t proto)
{
	struct endpoint	s = fake_addr(src), d = fake_addr(dst);
	uint8_t		*ip = m->bytes + ETH_LEN;
	size_t		 alen;

	memset(m->bytes, 0, 128);
	m->v6 = s.family == ADDR_V6;
	m->proto = proto;
	m->ip = ETH_LEN;
	memcpy(m->bytes, fake_gateway_mac, 6);
	memcpy(m->bytes + 6, fake_guest_mac, 6);
	put16(m->bytes + 12, m->v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	ip[0] = m->v6 ? 0x60 : 0x45;
	ip[m->v6 ? 7 : 8] = 64;
	ip[m->v6 ? 6 : 9] = proto;
	alen = m->v6 ? 16 : 4;
	memcpy(ip + (m->v6 ? 8 : 12), s.addr, alen);
	memcpy(ip + (m->v6 ? 24 : 16), d.addr, alen);
	m->len = m->l4 = ETH_LEN + (m->v6 ? 40 : 20);
}

void
mk_add(struct mk *m, const void *bytes, size_t len)
{
	assert_true(m->len + len <= sizeof(m->bytes));
	if (len > 0)
		memcpy(m->bytes + m->len, bytes, len);
	m->len += len;
}

void
mk_fix_ip(struct mk *m)
{
	uint8_t	*ip = m->bytes + m->ip;

	if (m->v6)
		return;
	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~naive_csum(0, ip, (ip[0] & 0xfu) * 4));
}

static size_t
csum_at(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	default:
		return 2;
	}
}

static uint16_t
sum_l4(bool v6, const uint8_t *ip, const uint8_t *l4, size_t len, uint8_t proto)
{
	uint32_t	start = 0;
	size_t		alen = v6 ? 16 : 4;

	if (proto != IPPROTO_ICMP) {
		start = naive_csum(0, ip + (v6 ? 8 : 12), 2 * alen);
		start += (uint32_t)len / 65536 + (uint32_t)len % 65536 + proto;
	}
	return naive_csum(start, l4, len);
}

void
mk_fix_l4(struct mk *m)
{
	uint8_t		*field = m->bytes + m->l4 + csum_at(m->proto);
	uint16_t	 sum;

	put16(field, 0);
	sum = (uint16_t)~sum_l4(m->v6, m->bytes + m->ip, m->bytes + m->l4,
	    m->len - m->l4, m->proto);
	if (sum == 0 && m->proto == IPPROTO_UDP)
		sum = 0xffff;
	put16(field, sum);
}

void
mk_finish(struct mk *m)
{
	if (m->v6)
		put16(m->bytes + m->ip + 4, (unsigned int)(m->len - m->ip - 40));
	else
		put16(m->bytes + m->ip + 2, (unsigned int)(m->len - m->ip));
	mk_fix_ip(m);
	mk_fix_l4(m);
}

void
mk_udp(struct mk *m, const char *src, uint16_t sport, const char *dst,
    uint16_t dport, const void *payload, size_t len)
{
	uint8_t	h[8] = { 0 };

	put16(h, sport);
	put16(h + 2, dport);
	put16(h + 4, (unsigned int)(8 + len));
	mk_ip(m, src, dst, IPPROTO_UDP);
	mk_add(m, h, sizeof(h));
	mk_add(m, payload, len);
	mk_finish(m);
}

void
mk_tcp(struct mk *m, const char *src, uint16_t sport, const char *dst,
    uint16_t dport, size_t payload)
{
	uint8_t	h[20] = { 0 };
	size_t	i;

	put16(h, sport);
	put16(h + 2, dport);
	h[12] = 5 << 4;
	h[13] = 2;
	mk_ip(m, src, dst, IPPROTO_TCP);
	mk_add(m, h, sizeof(h));
	for (i = 0; i < payload; i++)
		mk_add(m, "x", 1);
	mk_finish(m);
}

void
mk_echo(struct mk *m, const char *src, const char *dst, uint8_t type,
    uint16_t ident, uint16_t seq, const void *payload, size_t len)
{
	uint8_t	h[8] = { type };

	put16(h + 4, ident);
	put16(h + 6, seq);
	mk_ip(m, src, dst, IPPROTO_ICMP);
	if (m->v6) {
		m->proto = IPPROTO_ICMPV6;
		m->bytes[m->ip + 6] = IPPROTO_ICMPV6;
	}
	mk_add(m, h, sizeof(h));
	mk_add(m, payload, len);
	mk_finish(m);
}

void
mk_arp(struct mk *m, unsigned int op, const char *sender, const char *target)
{
	struct endpoint	s = fake_addr(sender), t = fake_addr(target);
	uint8_t		*a = m->bytes + ETH_LEN;

	memset(m->bytes, 0, 128);
	memset(m->bytes, 0xff, 6);
	memcpy(m->bytes + 6, fake_guest_mac, 6);
	put16(m->bytes + 12, ETHERTYPE_ARP);
	put16(a, 1);
	put16(a + 2, ETHERTYPE_IP);
	a[4] = 6;
	a[5] = 4;
	put16(a + 6, op);
	memcpy(a + 8, fake_guest_mac, 6);
	memcpy(a + 14, s.addr, 4);
	memcpy(a + 24, t.addr, 4);
	m->len = ETH_LEN + 28;
}

void
mk_ns(struct mk *m, const char *src, const char *dst, const char *target,
    bool with_option)
{
	struct endpoint	t = fake_addr(target);
	uint8_t		ns[32] = { ND_NEIGHBOR_SOLICIT };

	memcpy(ns + 8, t.addr, 16);
	ns[24] = ND_OPT_SOURCE_LINKADDR;
	ns[25] = 1;
	memcpy(ns + 26, fake_guest_mac, 6);
	mk_ip(m, src, dst, IPPROTO_ICMPV6);
	m->bytes[m->ip + 7] = 255;
	mk_add(m, ns, with_option ? 32 : 24);
	mk_finish(m);
}

void
mk_send(const struct mk *m)
{
	packet_input(fake_rx(m->bytes, m->len));
}

/* ---- what was sent ---- */

const uint8_t *
sent_l4(const struct fake_frame *f)
{
	return f->bytes + ETH_LEN + (f->bytes[ETH_LEN] >> 4 == 6 ? 40 : 20);
}

/* What the guest's kernel does with NEEDS_CSUM. */
static void
finish_partial(struct fake_frame *f)
{
	size_t		at = f->off.csum_start;
	uint16_t	sum;

	sum = (uint16_t)~naive_csum(0, f->bytes + at, f->len - at);
	put16(f->bytes + at + f->off.csum_offset, sum == 0 ? 0xffff : sum);
}

void
check_sent(struct fake_frame *f)
{
	const uint8_t	*ip = f->bytes + ETH_LEN, *l4 = sent_l4(f);
	bool		 v6 = ip[0] >> 4 == 6;
	size_t		 l4_len = f->len - (size_t)(l4 - f->bytes);
	uint8_t		 proto = ip[v6 ? 6 : 9];

	assert_memory_equal(f->bytes, fake_guest_mac, 6);
	assert_memory_equal(f->bytes + 6, fake_gateway_mac, 6);
	assert_int_equal(get16(f->bytes + 12),
	    v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	if (v6)
		assert_int_equal(get16(ip + 4), l4_len);
	else {
		assert_int_equal(get16(ip + 2), f->len - ETH_LEN);
		assert_int_equal(naive_csum(0, ip, 20), 0xffff);
	}
	if (f->off.csum)
		finish_partial(f);
	assert_int_equal(sum_l4(v6, ip, l4, l4_len, proto), 0xffff);
}
