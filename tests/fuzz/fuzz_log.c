/*
 * What a recorder reads back: an old log, which its owner or an attacker on the
 * host may have written. Nothing it holds may do more than be misunderstood.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "recorder.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static char	path[] = "/tmp/sallyport-fuzz.XXXXXX";
static int	dir = -1;

static void
clean(void)
{
	unlinkat(dir, "log", 0);
	rmdir(path);
}

static void
start(void)
{
	if (dir != -1)
		return;
	log_init("fuzz", open("/dev/null", O_WRONLY), LOG_LEVEL_WARN);
	if (mkdtemp(path) == NULL)
		abort();
	dir = open(path, O_RDONLY | O_DIRECTORY);
	atexit(clean);
}

static void
whole_log(const uint8_t *data, size_t size)
{
	static struct scan	scan;
	const uint8_t		inst[16] = { 1 };
	struct openset		*opens = openset_new(7);
	struct open_flow	*f;
	struct segment		seg;
	int			fd;

	start();
	fd = openat(dir, "log", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd == -1 || write(fd, data, size) != (ssize_t)size ||
	    segment_open(&seg, dir, "log") == -1)
		abort();
	close(fd);
	scan_log(&scan, dir, "log", &seg, inst, size % 2 != 0, opens);
	if (scan.cut_len >= sizeof(scan.cut))
		abort();
	openset_oldest(opens);
	while ((f = openset_take_stale(opens, inst)) != NULL)
		free(f);
	openset_free(opens);
	segment_close(&seg);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char	*text = (const char *)data;
	char		 end[TORN_ROOM];
	struct seen	 s;
	size_t		 n;

	parse_line((struct text){ text, size }, &s);
	if (size > 0) {
		n = torn_finish(end, text, size, 17);
		if (n == 0 || n >= sizeof(end) || end[n - 1] != '\n' ||
		    memchr(end, '\n', n - 1) != NULL)
			abort();
	}
	whole_log(data, size);
	return 0;
}
