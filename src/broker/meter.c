/*
 * What the kernel says of a TCP socket, granted or to be: bytes that no frame can forge.
 *
 * Trusts: TCP_INFO. Must not: read SO_ERROR (the frame needs it), or be called
 * after the fd is closed.
 *
 * Up: what was sent once, plus what the kernel will still send after a FIN.
 * Down: what was received; the peer's FIN counts as a byte there.
 */
#include <sys/socket.h>

#include <netinet/in.h>

#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <string.h>

#include "broker.h"

/* The states of include/net/tcp_states.h in the kernel; RFC 9293, 3.3.2. */
enum { TCP_ESTABLISHED = 1, TCP_FIN_WAIT1 = 4, TCP_CLOSE_WAIT = 8,
    TCP_LAST_ACK = 9, TCP_CLOSING = 11 };

static bool
peer_ended(uint8_t state, bool fin)
{
	return fin || state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK ||
	    state == TCP_CLOSING;
}

/* Our own FIN waits in the queue and is counted there as a byte. */
static uint64_t
unsent(const struct tcp_info *ti)
{
	uint64_t	n = ti->tcpi_notsent_bytes;

	if (n > 0 && (ti->tcpi_state == TCP_FIN_WAIT1 ||
	    ti->tcpi_state == TCP_LAST_ACK || ti->tcpi_state == TCP_CLOSING))
		n--;
	return n;
}

/* Nothing that has arrived is left to be read. */
bool
meter_drained(int fd)
{
	uint32_t	mem[SK_MEMINFO_VARS];
	socklen_t	len = sizeof(mem);

	memset(mem, 0, sizeof(mem));
	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, mem, &len) == -1 ||
	    mem[SK_MEMINFO_RMEM_ALLOC] == 0;
}

/* fin: the flow ended in order, so the kernel sends what is queued. */
void
meter_read(const struct flow *f, bool fin, struct meter *m)
{
	struct tcp_info	ti;
	socklen_t	len = sizeof(ti);

	memset(m, 0, sizeof(*m));
	memset(&ti, 0, sizeof(ti));
	if (f->proto != PROTO_TCP || getsockopt(f->fd, IPPROTO_TCP, TCP_INFO,
	    &ti, &len) == -1)
		return;
	m->up = ti.tcpi_bytes_sent - ti.tcpi_bytes_retrans;
	if (fin)
		m->up += unsent(&ti);
	m->down = ti.tcpi_bytes_received;
	if (m->down > 0 && peer_ended(ti.tcpi_state, fin))
		m->down--;
	m->rtt = UINT64_C(1000) * ti.tcpi_rtt;
}

/*
 * Bytes are on their way to the peer, or wait for it to make room, and for so long
 * nothing has come back, not even that there is no room.
 */
bool
meter_silent(const struct flow *f, uint32_t ms)
{
	struct tcp_info	ti;
	socklen_t	len = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	return f->proto == PROTO_TCP && getsockopt(f->fd, IPPROTO_TCP,
	    TCP_INFO, &ti, &len) == 0 &&
	    (ti.tcpi_unacked > 0 || ti.tcpi_notsent_bytes > 0) &&
	    ti.tcpi_last_ack_recv >= ms;
}

/* The peer has said something; its end alone is no word. */
bool
meter_spoke(const struct flow *f)
{
	struct meter	m;

	meter_read(f, false, &m);
	return m.down > 0;
}

/* Our side has had its end: the kernel has all that the guest said, or is to have. */
bool
meter_said(const struct flow *f)
{
	struct tcp_info	ti;
	socklen_t	len = sizeof(ti);

	memset(&ti, 0, sizeof(ti));
	return getsockopt(f->fd, IPPROTO_TCP, TCP_INFO, &ti, &len) == -1 ||
	    (ti.tcpi_state != TCP_ESTABLISHED && ti.tcpi_state != TCP_CLOSE_WAIT);
}
