/*
 * The recorder's lock: files below one directory, one channel, nothing else. No
 * capability, no truncation, no way to overwrite what is in the log.
 *
 * Should: run after the log is open (its errors are for people) and before the
 * first message of the broker.
 * Must not: hold anything that reaches a socket, a guest, or a policy.
 */
#include "config.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "log.h"
#include "recorder.h"
#include "seal.h"

#define NOFILE		24	/* 3 + fixed + active, reserve, one read, one torn */
#define ADDRESS_SPACE	(UINT64_C(512) << 20)	/* OPENS_MAX bodies are 60 MB */

static const struct seal_call	calls[] = {
	/* the channel */
	{ SCMP_SYS(recvmsg), "lib/fd.c: records",
	    { SEAL_INT(0, FD_CHANNEL),
	    SEAL_INT(2, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) } },
	{ SCMP_SYS(poll), "main.c: the loop", { { 0 } } },
	{ SCMP_SYS(ppoll), "the same, where libc has no poll(2)", { { 0 } } },
	{ SCMP_SYS(sched_yield), "main.c: the rest of a group", { { 0 } } },
	/* the log; also acknowledgements and diagnostics */
	{ SCMP_SYS(write), "segment.c, lib/fd.c, lib/log.c", { { 0 } } },
	{ SCMP_SYS(pread64), "scan.c", { { 0 } } },
	{ SCMP_SYS(fdatasync), "segment.c", { { 0 } } },
	{ SCMP_SYS(fsync), "writer.c: a new name in the directory",
	    { SEAL_INT(0, FD_OBJECT) } },
	{ SCMP_SYS(fallocate), "segment.c, reserve.c: mode 0 would move the end",
	    { SEAL_INT(1, FALLOC_FL_KEEP_SIZE) } },
	{ SCMP_SYS(openat), "segment.c: a new segment",
	    { SEAL_INT(0, FD_OBJECT), SEAL_INT(2, SEGMENT_MAKE) } },
	{ SCMP_SYS(openat), "segment.c: one that is there",
	    { SEAL_INT(0, FD_OBJECT), SEAL_INT(2, SEGMENT_REOPEN) } },
	{ SCMP_SYS(openat), "scan.c: an old one",
	    { SEAL_INT(0, FD_OBJECT), SEAL_INT(2, SEGMENT_READ) } },
	{ SCMP_SYS(openat), "scan.c: which there are",
	    { SEAL_INT(0, FD_OBJECT), SEAL_INT(2, DIRECTORY_READ) } },
	{ SCMP_SYS(getdents64), "scan.c", { { 0 } } },
	{ SCMP_SYS(flock), "segment.c: one writer",
	    { SEAL_INT(1, LOCK_EX | LOCK_NB) } },
	{ SCMP_SYS(fstat), "segment.c: regular, ours, its size", { { 0 } } },
	{ SCMP_SYS(newfstatat), "the same, as newer libc does it",
	    { SEAL_INT(3, AT_EMPTY_PATH) } },
	{ SCMP_SYS(newfstatat), "segment.c: still the file of that name",
	    { SEAL_INT(0, FD_OBJECT), SEAL_INT(3, AT_SYMLINK_NOFOLLOW) } },
	{ SCMP_SYS(newfstatat), "watch.c: is the directory still at its path",
	    { SEAL_INT(0, AT_FDCWD), SEAL_INT(3, 0) } },
	{ SCMP_SYS(geteuid), "segment.c: ours", { { 0 } } },
	{ SCMP_SYS(fstatfs), "reserve.c: an eighth of what is free", { { 0 } } },
	{ SCMP_SYS(renameat), "segment.c, reserve.c",
	    { SEAL_INT(0, FD_OBJECT), SEAL_INT(2, FD_OBJECT) } },
	{ SCMP_SYS(unlinkat), "reserve.c; writer.c: a segment without a line",
	    { SEAL_INT(0, FD_OBJECT), SEAL_INT(2, 0) } },
	{ SCMP_SYS(close), "segments", { { 0 } } },
	/* the process */
	{ SCMP_SYS(clock_gettime), "when the vDSO falls back", { { 0 } } },
	{ SCMP_SYS(mmap), "malloc: an open flow",
	    { SEAL_INT(2, PROT_READ | PROT_WRITE),
	    SEAL_INT(3, MAP_PRIVATE | MAP_ANONYMOUS) } },
	{ SCMP_SYS(munmap), "malloc", { { 0 } } },
	{ SCMP_SYS(brk), "malloc", { { 0 } } },
	{ SCMP_SYS(restart_syscall), "poll after a stop", { { 0 } } },
	{ SCMP_SYS(exit_group), "the end", { { 0 } } },
};

const struct seal_table	recorder_seal = {
	"recorder", calls, sizeof(calls) / sizeof(calls[0])
};

/*
 * No parent-death signal: when the keeper dies, the broker's end of the channel
 * closes, and then there are closes to be written.
 */
void
recorder_seal_self(int log_fd)
{
	struct seal_limits	limits = { .nofile = NOFILE,
				    .fsize = UINT64_MAX,
				    .as = ADDRESS_SPACE, .nproc = true };
	struct seal_path	path = { .dirfd = FD_OBJECT, .write = true };

	seal_check_fds(FD_LOG + 1, &log_fd, 1);
	seal_rlimits(&limits);
	seal_caps();
	seal_process("sp-recorder", 0);
	seal_landlock(&path, 1);
	seal_filter(&recorder_seal);
}
