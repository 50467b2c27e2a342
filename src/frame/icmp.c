/*
 * ICMP errors to the guest, from the gateway (RFC 792, RFC 1812 4.3.2, RFC 4443).
 *
 * They are how a refusal looks when there is no RST for it: at once, and with the
 * code that tells the guest's kernel which errno to give.
 * broker's connect_reason() says which.
 *
 * Trusts: that the packet quoted passed packet_parse() (or is one of ours).
 * Must not: answer an ICMP error, a group address or a source that is not the
 * lease's, quote more than the RFCs allow, or send without limit.
 */
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <string.h>

#include "bytes.h"
#include "frame.h"

#define IP4_HLEN	20
#define IP6_HLEN	40
#define ICMP_HLEN	8
#define QUOTE_MIN	8			/* RFC 792: 64 bits of the datagram */
#define QUOTE4_MAX	(576 - IP4_HLEN - ICMP_HLEN)	/* RFC 1812 4.3.2.3 */
#define QUOTE6_MAX	(1280 - IP6_HLEN - ICMP_HLEN)	/* RFC 4443 2.4 (c) */

/* RFC 1812 4.3.2.8, RFC 4443 2.4 (f); as many as the broker takes opens. */
#define RATE_PER_S	1000
#define RATE_BURST	1000

#define CODE4_ADMIN	ICMP_PKT_FILTERED	/* 13, RFC 1812 5.2.7.1 */

static struct {
	uint64_t	milli;		/* thousandths of a message */
	uint64_t	at_ms;
	bool		started;
} bucket;

static bool
rate_ok(void)
{
	uint64_t	spent = frame.now_ms - bucket.at_ms;

	if (!bucket.started || spent > 1000) {
		bucket.started = true;
		bucket.milli = RATE_BURST * 1000;
	} else
		bucket.milli += spent * RATE_PER_S;
	if (bucket.milli > RATE_BURST * 1000)
		bucket.milli = RATE_BURST * 1000;
	bucket.at_ms = frame.now_ms;
	if (bucket.milli < 1000)
		return false;
	bucket.milli -= 1000;
	return true;
}

/* What may be quoted of an IPv4 packet; 0 = no error about this one. */
static size_t
quote_v4(const uint8_t *ip, size_t len)
{
	size_t	hlen = (ip[0] & 0xfu) * 4;

	if (hlen < IP4_HLEN || len < hlen + QUOTE_MIN)
		return 0;
	if ((get16(ip + 6) & 0x1fff) != 0)	/* not the first fragment */
		return 0;
	if (ip[9] == IPPROTO_ICMP && ip[hlen] != ICMP_ECHO)
		return 0;
	return len < QUOTE4_MAX ? len : QUOTE4_MAX;
}

/* Behind extension headers nothing is looked for: the callers know. */
static size_t
quote_v6(const uint8_t *ip, size_t len)
{
	if (len < IP6_HLEN + QUOTE_MIN)
		return 0;
	if (ip[6] == IPPROTO_ICMPV6 && ip[IP6_HLEN] != ICMP6_ECHO_REQUEST)
		return 0;
	return len < QUOTE6_MAX ? len : QUOTE6_MAX;
}

/* `mtu` stands in its last 4 bytes (RFC 1191 4, RFC 4443 3.2); 0: none. */
static void
send_error(uint8_t type, uint8_t code, uint32_t mtu, const uint8_t *ip,
    size_t quote)
{
	bool				 v6 = ip[0] >> 4 == 6;
	const struct wire_lease		*lease = v6 ? &frame.config.v6 :
	    &frame.config.v4;
	uint8_t				 head[ICMP_HLEN], body[QUOTE6_MAX];
	struct iovec			 iov[2];
	struct endpoint			 src, dst;

	src = v6 ? endpoint_v6(ip + 8, 0) : endpoint_v4(get32(ip + 12), 0);
	dst = v6 ? endpoint_v6(ip + 24, 0) : endpoint_v4(get32(ip + 16), 0);
	if (!addr_equal(&src, &lease->guest) || addr_is_multicast(&dst))
		return;
	if (!rate_ok())
		return;
	memset(head, 0, sizeof(head));
	head[0] = type;
	head[1] = code;
	put32(head + 4, mtu);
	memcpy(body, ip, quote);
	iov[0].iov_base = head;
	iov[0].iov_len = sizeof(head);
	iov[1].iov_base = body;
	iov[1].iov_len = quote;
	packet_send(&lease->gateway, &src,
	    v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP, iov, 2, 2);
}

static void
unreachable(uint8_t code4, uint8_t code6, const uint8_t *ip, size_t len)
{
	size_t	quote;

	if (len < IP4_HLEN)
		return;
	if (ip[0] >> 4 == 6) {
		if ((quote = quote_v6(ip, len)) != 0)
			send_error(ICMP6_DST_UNREACH, code6, 0, ip, quote);
	} else if ((quote = quote_v4(ip, len)) != 0)
		send_error(ICMP_DEST_UNREACH, code4, 0, ip, quote);
}

void
icmp_port_unreachable(const uint8_t *ip, size_t len)
{
	unreachable(ICMP_PORT_UNREACH, ICMP6_DST_UNREACH_NOPORT, ip, len);
}

void
icmp_too_big(uint32_t mtu, const uint8_t *ip, size_t len)
{
	size_t	quote;

	if (ip[0] >> 4 == 6) {
		if ((quote = quote_v6(ip, len)) != 0)
			send_error(ICMP6_PACKET_TOO_BIG, 0, mtu, ip, quote);
	} else if ((quote = quote_v4(ip, len)) != 0)
		send_error(ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED,
		    mtu < UINT16_MAX ? mtu : UINT16_MAX, ip, quote);
}

void
icmp_deny(enum deny_code code, const uint8_t *ip, size_t len)
{
	switch (code) {
	case DENY_RESET:
		icmp_port_unreachable(ip, len);
		break;
	case DENY_ADMIN:
		unreachable(CODE4_ADMIN, ICMP6_DST_UNREACH_ADMIN, ip, len);
		break;
	case DENY_HOST:
		unreachable(ICMP_HOST_UNREACH, ICMP6_DST_UNREACH_ADDR, ip, len);
		break;
	case DENY_NET:
		unreachable(ICMP_NET_UNREACH, ICMP6_DST_UNREACH_NOROUTE, ip,
		    len);
		break;
	case DENY_SILENT:
		break;
	}
}
