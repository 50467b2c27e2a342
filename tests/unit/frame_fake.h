/*
 * The frame's surroundings for unit tests: a link that remembers what was sent,
 * a flow table of a few entries, counters for drops, and makers of packets.
 */
#ifndef FRAME_FAKE_H
#define FRAME_FAKE_H

#include "frame.h"

#define FAKE_SENT_MAX	128

struct fake_frame {
	uint8_t			bytes[FRAME_MAX + 64];
	size_t			len;
	struct tx_offload	off;
};
extern struct fake_frame	fake_sent[FAKE_SENT_MAX];
extern unsigned int		fake_nsent;
extern unsigned int		fake_drops[REASON_MAX];
extern unsigned int		fake_tcp, fake_released, fake_asked, fake_closed;
extern enum wire_how		fake_how;
extern enum reason		fake_reason;
/* The RESOLVEs since fake_forget(), and the ids of the first and the last. */
extern unsigned int		fake_nresolves;
extern uint64_t			fake_first_id, fake_last_id;
extern struct name		fake_name;	/* of the last */
extern uint16_t			fake_qtype;
extern bool			fake_channel_full;
extern bool			fake_csum, fake_link_full;
extern unsigned int		fake_flows_max;

#define GUEST4		"10.0.2.100"
#define GATEWAY4	"10.0.2.2"
#define GUEST6		"fd53:616c:6c79::100"
#define GATEWAY6	"fd53:616c:6c79::2"
#define GATEWAY_LL	"fe80::53:50ff:fe00:1"
#define GUEST_LL	"fe80::53:50ff:fe00:2"

extern const uint8_t	fake_guest_mac[6], fake_gateway_mac[6];

/* The configuration of `run`, no frame sent, nothing counted. cmocka setup. */
int	fake_reset(void **);
/* Only forgets what was sent and counted. */
void	fake_forget(void);
struct endpoint fake_addr(const char *);
/* The n-th live flow, or NULL. */
struct flow *fake_flow(unsigned int n);

/*
 * A buffer of exactly this frame and not a byte more, so that a sanitizer sees
 * each byte read beyond it. The caller frees it, or packet_input() does.
 */
struct rxbuf *fake_rx(const void *frame, size_t len);

/* One's complement sum written as in the RFC: the reference. */
uint16_t	naive_csum(uint32_t start, const uint8_t *, size_t);

/* A packet under construction: Ethernet, IP, then L4. */
struct mk {
	uint8_t	bytes[FRAME_MAX + 64];
	size_t	len, ip, l4;
	bool	v6;
	uint8_t	proto;
};
void	mk_ip(struct mk *, const char *src, const char *dst, uint8_t proto);
void	mk_add(struct mk *, const void *, size_t);
/* Lengths and checksums; call last. */
void	mk_finish(struct mk *);
void	mk_fix_ip(struct mk *);
void	mk_fix_l4(struct mk *);
void	mk_udp(struct mk *, const char *src, uint16_t sport, const char *dst,
	    uint16_t dport, const void *, size_t);
void	mk_tcp(struct mk *, const char *src, uint16_t sport, const char *dst,
	    uint16_t dport, size_t payload);
void	mk_echo(struct mk *, const char *src, const char *dst, uint8_t type,
	    uint16_t ident, uint16_t seq, const void *, size_t);
void	mk_arp(struct mk *, unsigned int op, const char *sender,
	    const char *target);
void	mk_ns(struct mk *, const char *src, const char *dst, const char *target,
	    bool with_option);
/* Through packet_input(). */
void	mk_send(const struct mk *);

/* A sent frame has good lengths and checksums (partial ones: finished first). */
void	check_sent(struct fake_frame *);
const uint8_t *sent_l4(const struct fake_frame *);

#endif
