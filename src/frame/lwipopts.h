/*
 * lwIP 2.2.1, unmodified, as a TCP engine and nothing else: raw API, no threads,
 * no timers of its own, one netif. Ethernet, ARP, NDP, ICMP, UDP and everything
 * that looks at a packet before TCP does are ours.
 */
#ifndef SALLYPORT_LWIPOPTS_H
#define SALLYPORT_LWIPOPTS_H

#define NO_SYS				1
#define SYS_LIGHTWEIGHT_PROT		0
#define LWIP_TIMERS			0	/* stack.c calls tcp_tmr() */
#define LWIP_NETCONN			0
#define LWIP_SOCKET			0
#define LWIP_NETIF_API			0
#define LWIP_STATS			0
#define LWIP_NETIF_STATUS_CALLBACK	0

/* Memory: malloc, under RLIMIT_AS; what a guest can make us keep is counted in up.c and down.c. */
#define MEM_LIBC_MALLOC			1
#define MEMP_MEM_MALLOC			1
#define MEM_ALIGNMENT			8
#define LWIP_SUPPORT_CUSTOM_PBUF	1
#define PBUF_LINK_HLEN			0	/* Ethernet and vnet headers are iovecs */
#define PBUF_LINK_ENCAPSULATION_HLEN	0
/*
 * Never allocated from. But the default of its element size follows TCP_MSS and
 * would wrap memp_desc.size, a u16_t.
 */
#define PBUF_POOL_SIZE			0
#define PBUF_POOL_BUFSIZE		2048

/* IP: the output half only. */
#define LWIP_SINGLE_NETIF		1
#define LWIP_NETIF_LOOPBACK		0
#define LWIP_HAVE_LOOPIF		0
#define LWIP_NETIF_HWADDRHINT		1	/* netif->hints leads to the pcb in output */
#define LWIP_IPV4			1
#define LWIP_IPV6			1
#define LWIP_ARP			0
#define LWIP_ETHERNET			0
#define LWIP_ICMP			0
#define LWIP_ICMP6			1	/* ip6.c does not compile without */
#define LWIP_UDP			0
#define LWIP_RAW			0
#define LWIP_DHCP			0
#define LWIP_AUTOIP			0
#define LWIP_DNS			0
#define LWIP_IGMP			0
#define IP_FORWARD			0
#define IP_OPTIONS_ALLOWED		0
#define IP_REASSEMBLY			0
#define IP_FRAG				0
#define LWIP_IPV6_FORWARD		0
#define LWIP_IPV6_FRAG			0
#define LWIP_IPV6_REASS			0
#define LWIP_IPV6_MLD			0
#define LWIP_IPV6_AUTOCONFIG		0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT	0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS	0
#define LWIP_ND6_ALLOW_RA_UPDATES	0
#define LWIP_ND6_TCP_REACHABILITY_HINTS	0
#define LWIP_ND6_QUEUEING		0
#define LWIP_IPV6_DHCP6			0

/* TCP */
#define LWIP_TCP			1
#define TCP_MSS				65480	/* 65520 - 40 */
#define LWIP_WND_SCALE			1
#define TCP_RCV_SCALE			7
#define TCP_WND				(4096 * 1024)
#define TCP_SND_BUF			(1024 * 1024)	/* down.c stops far below */
#define TCP_SND_QUEUELEN		8192	/* pbufs; as above */
#define TCP_OVERSIZE			0	/* every write is without copy */
/*
 * Not a matter of taste: with the out-of-order queue a guest can reach an assert
 * of tcp_receive() in every version. SACK goes with it.
 */
#define TCP_QUEUE_OOSEQ			0
#define LWIP_TCP_SACK_OUT		0
#define LWIP_TCP_TIMESTAMPS		0
#define TCP_LISTEN_BACKLOG		0	/* its counter is a u8_t */
#define LWIP_TCP_KEEPALIVE		1
#define LWIP_TCP_PCB_NUM_EXT_ARGS	1	/* the end of a pcb is told there */
#define TCP_TMR_INTERVAL		100	/* ms: slow timer 200 ms, RTO >= 600 ms */
#define LWIP_TCP_RTO_TIME		1000	/* RFC 6298 2.1 */
#define TCP_MAXRTX			12	/* never reached: stack.c gives up, by the clock */
#define TCP_MSL				5000UL	/* ms: TIME_WAIT 10 s */
#define LWIP_DISABLE_TCP_SANITY_CHECKS	1	/* they are about the sockets API */

/* Checksums of what goes out: per netif, by what the link takes over. */
#define LWIP_CHECKSUM_CTRL_PER_NETIF	1
#define LWIP_CHECKSUM_ON_COPY		0

#define LWIP_HOOK_FILENAME		"port.h"
#define LWIP_HOOK_TCP_ISN(local, lport, remote, rport)	\
	port_isn(local, lport, remote, rport)

#endif
