/*
 * A tap: one read or write is one frame, behind a struct virtio_net_hdr_v1 if
 * the link has LINK_VNET (Documentation/networking/tuntap.rst).
 *
 * Trusts: the kernel's vnet header on read: it is the kernel's own, not the
 * guest's. Must not: ask for an offload that was not granted.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <unistd.h>

#include "frame.h"
#include "link.h"
#include "log.h"

#define IOV_MAX_FRAME	256	/* netif.c makes no longer lists */

static_assert(sizeof(struct virtio_net_hdr_v1) == VNET_LEN, "vnet header");

static inline bool
has_vnet(void)
{
	return (frame.config.flags & LINK_VNET) != 0;
}

/* Did the device itself end (its namespace went, it was deleted)? */
static void
tap_error(void)
{
	switch (errno) {
	case EAGAIN:
	case EINTR:
	case EIO:		/* it is down */
	case ENOBUFS:
	case ENOMEM:
	case EINVAL:		/* a header that this kernel does not like */
	case EFAULT:
		return;
	default:
		link_gone(strerror(errno));
	}
}

static void
take_vnet(struct rxbuf *b, const struct virtio_net_hdr_v1 *h)
{
	b->needs_csum = (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
	b->csum_valid = (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0;
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		b->gso_size = h->gso_size;
}

static bool
tap_read(void)
{
	struct virtio_net_hdr_v1	 h;
	struct rxbuf			*b = rxbuf_get();
	struct iovec			 iov[2];
	size_t				 skip = has_vnet() ? sizeof(h) : 0;
	ssize_t				 n;

	if (b == NULL)
		return false;
	iov[0] = (struct iovec){ &h, sizeof(h) };
	iov[1] = (struct iovec){ rxbuf_eth(b), rxbuf_capacity() };
	n = skip > 0 ? readv(link_fd, iov, 2) :
	    read(link_fd, iov[1].iov_base, iov[1].iov_len);
	if (n < (ssize_t)(skip + ETH_LEN)) {
		rxbuf_release(b);
		if (n == -1)
			tap_error();
		return n > 0;
	}
	b->len = (uint32_t)((size_t)n - skip);
	if (skip > 0)
		take_vnet(b, &h);
	packet_input(b);
	return true;
}

static bool
tap_receive(unsigned int max)
{
	while (max > 0 && tap_read())
		max--;
	return false;		/* the event is level-triggered */
}

static void
put_vnet(struct virtio_net_hdr_v1 *h, const struct tx_offload *off)
{
	memset(h, 0, sizeof(*h));
	h->gso_type = VIRTIO_NET_HDR_GSO_NONE;
	if (off == NULL)
		return;
	if (off->csum) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = off->csum_start;
		h->csum_offset = off->csum_offset;
	}
	if (off->gso_size != 0) {
		h->gso_type = off->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 :
		    VIRTIO_NET_HDR_GSO_TCPV4;
		h->gso_size = off->gso_size;
		h->hdr_len = off->hdr_len;
	}
}

/* tun_get_user() never says EAGAIN: what the guest cannot take is dropped there. */
static int
tap_send(const struct iovec *in, unsigned int n, const struct tx_offload *off)
{
	struct virtio_net_hdr_v1	 h;
	struct iovec			 iov[IOV_MAX_FRAME + 1];
	unsigned int			 k = 0;

	if (n > IOV_MAX_FRAME)
		return -1;
	if (has_vnet()) {
		put_vnet(&h, off);
		iov[k++] = (struct iovec){ &h, sizeof(h) };
	}
	memcpy(iov + k, in, n * sizeof(*in));
	if (writev(link_fd, iov, (int)(k + n)) == -1) {
		tap_error();
		return -1;
	}
	return 0;
}

static bool
tap_full(void)
{
	return false;
}

const struct link_ops tap_ops = { tap_receive, tap_send, tap_full };
