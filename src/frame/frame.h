/*
 * The guest's room. Everything in this process is assumed to be compromised by
 * the guest sooner or later; the seal and the broker are what holds then.
 *
 * One thread, one event loop, no allocation by peer-given lengths. A frame goes
 *   link -> packet -> lan | dns | tcp (stack, relay) | dgram -> ask -> (wire)
 * and back
 *   (wire) -> ask -> dns | flow -> tcp | dgram -> link.
 */
#ifndef SALLYPORT_FRAME_H
#define SALLYPORT_FRAME_H

#include <sys/queue.h>
#include <sys/uio.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "reason.h"
#include "wire.h"

struct event;
struct event_base;

#define ETH_LEN		14
#define FRAME_MAX	(ETH_LEN + 65535)	/* Ethernet header + longest IP packet */
#define VNET_LEN	12	/* struct virtio_net_hdr_v1: TUNSETVNETHDRSZ */

/* Exit statuses beside FATAL_STATUS; the keeper and the broker read them. */
#define FRAME_EXIT_DONE	0	/* the channel was closed */
#define FRAME_EXIT_LINK	3	/* the other end of the link is gone */

/* The whole room's state that more than one file needs. main.c owns it. */
struct frame {
	struct event_base	*base;
	struct wire_config	 config;	/* valid once configured */
	bool			 configured;
	uint8_t			 guest_mac[6];	/* configured or learnt */
	bool			 guest_mac_known;
	uint64_t		 now_ms;	/* CLOCK_MONOTONIC, read once per turn */
};
extern struct frame	frame;

/* ---- rand.c: keyed hash and random numbers, seeded before the seal -------- */
void	 rand_seed(void);		/* getrandom(2); fatal on failure */
uint64_t rand_hash(const void *, size_t);	/* SipHash-2-4, boot key */
uint32_t rand_u32(void);

/* ---- link.c: frames in and out of fd 4 ------------------------------------- */

/*
 * One frame from the guest. The buffers are a fixed pool; `lwip` is where
 * stack.c keeps the pbuf that refers to it. A buffer is released exactly once.
 */
struct rxbuf {
	_Alignas(16) uint8_t lwip[80];
	struct rxbuf	*next;
	uint32_t	 len;		/* of the frame at data, without vnet header */
	bool		 needs_csum;	/* vnet: L4 checksum is partial, do not verify */
	bool		 csum_valid;	/* vnet: the kernel says it is good */
	uint16_t	 gso_size;	/* vnet: 0 = one segment */
	uint16_t	 pad;
	_Alignas(16) uint8_t data[];	/* 2 bytes of slack, then the Ethernet header */
};
#define RXBUF_SLACK	2		/* so that the IP header is 4-byte aligned */
static inline uint8_t *
rxbuf_eth(struct rxbuf *b)
{
	return b->data + RXBUF_SLACK;
}

void	link_map_shared(void);		/* FD_SHARED, if it is there; before the seal */
void	link_init(void);		/* pool, event on FD_OBJECT; after CONFIG */
bool	link_turn(void);		/* what is left of a batch; true: there is more */
void	rxbuf_release(struct rxbuf *);
unsigned int rxbuf_free_count(void);

/* What the guest's kernel is to finish; all zero: nothing, checksums are whole. */
struct tx_offload {
	bool		csum;		/* fill in the L4 checksum ... */
	uint16_t	csum_start;	/* ... from here (offset from the Ethernet header) */
	uint16_t	csum_offset;
	uint16_t	gso_size;	/* 0 = no segmentation */
	uint16_t	hdr_len;	/* Ethernet + IP + TCP header */
	bool		v6;
};
/*
 * Sends one Ethernet frame, iov[0] starting at the Ethernet header. Never
 * blocks: a full link drops the frame (counted) and returns -1. An offload that
 * the link does not have must not be asked for (see link_has_csum/tso).
 */
int	link_send(const struct iovec *iov, unsigned int n,
	    const struct tx_offload *);
bool	link_full(void);		/* hold back; tcp_link_writable() ends it */
bool	link_has_csum(void);		/* LINK_VNET and LINK_CSUM */
bool	link_has_tso(bool v6);

/* Of an IP packet in pieces. */
struct fragment {
	const uint8_t	*data;
	uint32_t	 len, id, at;
	uint8_t		 proto;		/* of the whole */
	bool		 more;
};

/* ---- packet.c: what is in a frame; checksums --------------------------------- */
struct packet {
	struct rxbuf	*buf;
	uint8_t		*eth;
	uint8_t		*ip;		/* IP header */
	uint8_t		*l4;		/* after IPv4 options / IPv6 extension headers */
	uint32_t	 eth_len;
	uint32_t	 ip_len;	/* by the IP header; <= what arrived */
	uint32_t	 l4_len;
	uint16_t	 ethertype;
	uint8_t		 ip_proto;	/* of l4 */
	bool		 v6;
	bool		 df;		/* IPv4 DF; always true for IPv6 */
	uint8_t		 ttl;
	struct endpoint	 src, dst;	/* ports filled in for TCP and UDP */
	struct fragment	 frag;		/* with REASON_FRAGMENT */
};
/*
 * Parses and checks everything up to L4 (lengths, versions, IPv4 header
 * checksum, extension headers, lease, multicast, L4 checksum unless
 * needs_csum/trust). On REASON_NONE the packet may be used, on REASON_FRAGMENT `frag`;
 * else it is dropped and counted under that reason. ARP and foreign ethertypes come
 * back with ip NULL.
 */
enum reason packet_parse(struct rxbuf *, struct packet *);
/* Called by link.c for each frame; owns the buffer. Counts drops (ask_drop). */
void	packet_input(struct rxbuf *);

/* ---- fragment.c ---- */
#define FRAGMENT_SLOTS	16	/* datagrams in pieces, at a time */
/* The whole frame, once all has come; valid until the next call. It counts drops. */
struct rxbuf *fragment_take(const struct packet *);

uint16_t csum_fold(uint64_t sum);			/* not inverted */
uint64_t csum_add(uint64_t sum, const void *, size_t);	/* partial; even offsets only */
uint64_t csum_pseudo(bool v6, const uint8_t *src, const uint8_t *dst,
	    uint8_t proto, uint32_t l4_len);
uint64_t csum_iov(uint64_t sum, const struct iovec *, unsigned int n);	/* any lengths */

/*
 * Sends one IP packet to the guest with headers made here: Ethernet, IPv4 or
 * IPv6. `l4` starts with a complete L4 header whose checksum field (at
 * csum_offset, or SIZE_MAX for none) is filled in here, by offload if the link
 * has it. Larger than the guest's MTU: fragmented (RFC 791, RFC 8200 4.5).
 */
int	packet_send(const struct endpoint *src, const struct endpoint *dst,
	    uint8_t proto, struct iovec *l4, unsigned int n,
	    size_t csum_offset);

/* ---- lan.c: what a guest expects of its LAN ------------------------------------- */
void	lan_arp(const struct packet *);
/* ICMP and ICMPv6 that is for the gateway: NS, RS-silence, echo. True: eaten. */
bool	lan_icmp(const struct packet *);
/* Learns the guest's MAC from a frame whose source address is the lease's. */
void	lan_learn(const struct packet *);
/* The gateway's addresses: both leases' and its link-local one. Port ignored. */
bool	lan_is_gateway(const struct endpoint *);

/* ---- dns.c and its neighbours (dns.h): the gateway's name server --------------- */
void	dns_room_init(void);
/* Port 53 of the gateway. */
bool	dns_is_service(const struct endpoint *);
/* A datagram for it is answered, or asked about. True: eaten. */
bool	dns_udp(const struct packet *);
/* For ask.c. 0; -1: the broker's answer makes no sense. */
int	dns_answered(const struct wire_answer *);
bool	dns_outstanding(uint64_t id);
void	dns_channel_writable(void);

/* ---- icmp.c: errors to the guest --------------------------------------------------- */
/* `ip`: the offending packet from its IP header on (at least header + 8 bytes). */
void	icmp_deny(enum deny_code, const uint8_t *ip, size_t len);
void	icmp_port_unreachable(const uint8_t *ip, size_t len);
void	icmp_too_big(uint32_t mtu, const uint8_t *ip, size_t len);

/* ---- flow.c: the table ------------------------------------------------------------- */
enum flow_state {
	FLOW_NEW,	/* OPEN waits for the channel */
	FLOW_ASKED,
	FLOW_PEEKED,	/* the broker wants the guest's first bytes before it answers */
	FLOW_OPEN,	/* granted: has an fd */
	FLOW_LOCAL,	/* ends in this room: no id, nothing is said to the broker */
	FLOW_CLOSING	/* CLOSE sent or the id is gone; local clean-up only */
};

struct flow;
struct flow_ops {
	/* The first bytes, by ask_flight(). NULL: this protocol has none. */
	void	(*peeked)(struct flow *, enum peek_kind);
	/* Takes the fd. The flow is FLOW_OPEN. */
	void	(*granted)(struct flow *, int fd);
	/* The id is gone; tell the guest and flow_remove(). */
	void	(*denied)(struct flow *, enum deny_code);
	/* Reset the guest's side, close the fd, flow_close(RST, KILLED). */
	void	(*revoked)(struct flow *);
	/* idle for its whole timeout (flow_touch, flow_set_timeout). */
	void	(*timeout)(struct flow *);
	/* GRANT arrived but its fd was lost: give up (resource). */
	void	(*lost)(struct flow *);
};

struct flow_key {
	struct endpoint	guest, dst;
	uint8_t		proto;		/* enum proto */
	uint8_t		zero[3];
};
static_assert(sizeof(struct flow_key) == 44, "flow_key has no padding");

/* First member of struct tcp_flow and struct dgram_flow. */
struct flow {
	struct flow_key		 key;
	uint64_t		 id;
	const struct flow_ops	*ops;
	enum flow_state		 state;
	int			 fd;		/* -1 */
	LIST_ENTRY(flow)	 by_key, by_id;
	TAILQ_ENTRY(flow)	 pending;	/* waiting for the channel (FLOW_NEW) */
	TAILQ_ENTRY(flow)	 timer;		/* one list per timeout length */
	uint64_t		 expires_ms;
	uint32_t		 timeout_s;	/* 0 = none */
	uint32_t		 flight;	/* bytes of the FLIGHT that was sent; once
						   granted, of it by the broker */
	bool			 lenient;	/* it may be granted without one */
	uint64_t		 up, down, pup, pdown;
};

void	 flow_init(void);	/* after CONFIG */
struct flow *flow_find(const struct flow_key *);
struct flow *flow_by_id(uint64_t id);
/*
 * Asked for above the limit, so that it is the broker that refuses, and the log
 * says which connection it was. What comes on top of that is only counted.
 */
#define FLOW_EXTRA	64
/*
 * If there are as many as may be: the one that has been idle for longest goes, of UDP
 * associations, echo exchanges and half-closed connections. Nobody else does.
 */
void	 flow_make_room(void);
/* Enters a zeroed struct that starts with a struct flow; -1: table full. */
int	 flow_insert(struct flow *, const struct flow_key *,
	    const struct flow_ops *);
/* The same for one that ends here: it counts in no limit of the guest's. */
void	 flow_insert_local(struct flow *, const struct flow_key *,
	    const struct flow_ops *);
/* Sends (or queues) OPEN. */
void	 flow_ask(struct flow *);
/* Sends CLOSE and forgets the id; no further callback. The struct stays. */
void	 flow_close(struct flow *, enum wire_how, enum reason);
/* Out of all tables (the caller frees the memory). Needs flow_close or denied first. */
void	 flow_remove(struct flow *);
void	 flow_set_timeout(struct flow *, uint32_t seconds);
void	 flow_touch(struct flow *);
unsigned int flow_count(void);
/* For ask.c: the id is gone. */
void	 flow_forget(struct flow *);

/* ---- ask.c: the channel ---------------------------------------------------------------- */
void	ask_init(void);			/* channel on FD_CHANNEL, HELLO */
void	ask_drop(enum reason);		/* counted; reported at most once per reason and second */
void	ask_drain(void);		/* whatever the broker has said until now */
/*
 * The new id; 0: the channel is full, wait for flow_channel_writable() or
 * dns_channel_writable().
 */
uint64_t ask_open(const struct flow *);
uint64_t ask_resolve(uint16_t qtype, const struct name *);
/* Was it ever one of ours? */
bool	ask_id_used(uint64_t id);
/*
 * Once after a PEEK; without a byte only if it was lenient. 0; -1: the channel is
 * full, wait for tcp_channel_writable().
 */
int	ask_flight(const struct flow *, const uint8_t *, uint32_t len);
void	ask_close(const struct flow *, enum wire_how, enum reason);
void	flow_channel_writable(void);	/* flow.c: sends what waits */

/* ---- tcp: segment.c, relay.c and below (tcp.h) ------------------------------------------- */
void	tcp_room_init(void);		/* lwIP, netif, listener, 100 ms tick */
/* One TCP segment; returns true if it kept the buffer. */
bool	tcp_segment(struct packet *);
/* The half-closed connection on which nothing has moved for longest. */
uint64_t half_idle_since(void);	/* UINT64_MAX: there is none */
void	half_evict(void);
/* Once per turn: moves bytes, acks, reaps. True: there is more to do at once. */
bool	tcp_turn_end(void);
void	tcp_link_writable(void);	/* the link was full and is not any more */
void	tcp_channel_writable(void);	/* flights that wait are tried again */

/* ---- dgram.c: UDP associations and echo exchanges ---------------------------------------- */
void	dgram_room_init(void);
void	dgram_udp(struct packet *);	/* copies what it keeps */
void	dgram_echo(struct packet *);	/* echo request not for the gateway */
/* The longest idle association. */
uint64_t dgram_idle_since(void);	/* UINT64_MAX: there is none */
void	dgram_evict(void);

/* ---- main.c ---------------------------------------------------------------------------- */
void	frame_configure(const struct wire_config *);	/* from ask.c, once */
void	frame_clock(void);		/* first thing in every event's callback */

#endif
