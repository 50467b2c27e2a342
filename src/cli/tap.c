/*
 * The tap that is the guest's eth0.
 *
 * Must: be opened after the process is in its net namespace: a tun descriptor
 * belongs to the namespace it was opened in.
 *
 * Trusts: the kernel. Must not: fail for want of offloads; a plain tap works.
 */
#include <sys/ioctl.h>

#include <linux/if_tun.h>
#include <net/if.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "fd.h"

#define VNET_HDR	12	/* struct virtio_net_hdr_v1 */

static int
open_tun(void)
{
	int	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd != -1)
		return fd;
	if (errno == EACCES || errno == EPERM)
		log_warn("/dev/net/tun: an ordinary user may open it where "
		    "its mode is 0666 (as root: chmod 0666 /dev/net/tun); "
		    "else run as root");
	else
		log_warn("/dev/net/tun: load the module (as root: modprobe "
		    "tun), or let the container have the device");
	return -1;
}

static int
attach(int fd, short flags)
{
	struct ifreq	ifr;

	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, "eth0", sizeof("eth0"));
	ifr.ifr_flags = flags;
	return ioctl(fd, TUNSETIFF, &ifr);
}

/*
 * Headers with checksum and segmentation offload, both ways. A tap takes what we
 * send with such a header in any case; TUNSETOFFLOAD is what it may send to us.
 */
static uint32_t
offloads(int fd)
{
	int	size = VNET_HDR;

	if (ioctl(fd, TUNSETVNETHDRSZ, &size) == -1)
		return 0;
	if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 |
	    TUN_F_TSO6) == -1)
		return 0;
	return LINK_VNET | LINK_CSUM | LINK_TSO4 | LINK_TSO6;
}

/* The device with headers, or -1 for one without. */
static int
with_offload(uint32_t *flags)
{
	int	fd = open_tun();

	if (fd != -1 &&
	    attach(fd, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR) == 0 &&
	    (*flags = offloads(fd)) != 0)
		return fd;
	fd_drop(&fd);
	log_info("a tap without offloads");
	return -1;
}

/* Persistent: else the last close waits for the kernel, 14 to 47 ms [m]. */
int
tap_open(bool offload, uint32_t *flags)
{
	int	fd;

	*flags = 0;
	if (access("/dev/net/tun", R_OK | W_OK) == 0 && offload &&
	    (fd = with_offload(flags)) != -1)
		;
	else if ((fd = open_tun()) == -1)
		return -1;
	else if (attach(fd, IFF_TAP | IFF_NO_PI) == -1)
		goto fail;
	if (ioctl(fd, TUNSETPERSIST, 1) == 0)
		return fd;
fail:
	log_warn("no tap device; if user namespaces are without capabilities "
	    "here: sysctl kernel.apparmor_restrict_unprivileged_userns=0");
	fd_drop(&fd);
	return -1;
}
