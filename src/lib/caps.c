/*
 * The capabilities' steps of a seal (include/seal.h), by the system calls themselves.
 *
 * A library in between reads /proc/PID/status twice to find out what capget(2) says
 * at once, and in a pid namespace below the host's /proc the status is somebody
 * else's.
 *
 * Trusts: the kernel. Must not: go on after a step that failed, or believe that a
 * capability is gone without having asked.
 */
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "seal.h"

#define SETS	_LINUX_CAPABILITY_U32S_3	/* 32 capabilities each */

struct caps {
	struct __user_cap_header_struct	head;	/* pid 0 = the caller */
	struct __user_cap_data_struct	data[SETS];
};

/*
 * It needs CAP_SETPCAP, so it comes before the capabilities go; a process that never
 * had any needs no locking.
 */
static void
lock_securebits(int more)
{
	int	bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	if (prctl(PR_SET_SECUREBITS, bits | SECBIT_NOROOT |
	    SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
	    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
	    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | more, 0, 0, 0) == -1 &&
	    errno != EPERM)
		fatal("securebits");
}

/* To ask costs a tenth of a drop, and a child's are its parent's. */
void
seal_bounding(void)
{
	unsigned long	i;
	int		has;

	for (i = 0; (has = prctl(PR_CAPBSET_READ, i, 0, 0, 0)) != -1; i++)
		if (has != 0 && (has = prctl(PR_CAPBSET_DROP, i, 0, 0, 0)) == -1)
			break;
	if (errno != EINVAL && errno != EPERM)	/* EINVAL: past the last one */
		fatal("bounding set");
}

static void
begin(struct caps *c)
{
	memset(c, 0, sizeof(*c));
	c->head.version = _LINUX_CAPABILITY_VERSION_3;
}

/* What is there must be what was set, in every set: the ambient one needs two. */
static void
verify(const struct caps *want)
{
	struct caps	now;

	begin(&now);
	if (syscall(SYS_capget, &now.head, now.data) == -1)
		fatal("the capabilities cannot be read back");
	if (memcmp(now.data, want->data, sizeof(now.data)) != 0)
		fatalx("capabilities %08x%08x are still there",
		    now.data[1].permitted, now.data[0].permitted);
}

static void
keep(const unsigned int *cap, size_t n)
{
	struct caps	want;
	size_t		i;

	begin(&want);
	for (i = 0; i < n; i++)
		want.data[cap[i] / 32].permitted |= 1u << cap[i] % 32;
	for (i = 0; i < SETS; i++)
		want.data[i].effective = want.data[i].permitted;
	seal_bounding();
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &want.head, want.data) == -1)
		fatal("capabilities");
	verify(&want);
}

void
seal_caps_keep(const unsigned int *caps, size_t n)
{
	lock_securebits(SECBIT_KEEP_CAPS_LOCKED);
	keep(caps, n);
}

void
seal_securebits_cmd(void)
{
	lock_securebits(0);
}

void
seal_caps_cmd(void)
{
	keep(NULL, 0);
}

void
seal_caps(void)
{
	seal_caps_keep(NULL, 0);
}
