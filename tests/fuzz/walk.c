/*
 * Feeds a fuzz target with pseudo-random inputs for some seconds: the walk that
 * needs no libFuzzer.	usage: walk_X [seed [seconds [bytes-per-input]]]
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);
void	fuzz_report(void) __attribute__((weak));	/* how deep it went */

/* xorshift64* (Marsaglia; Vigna): any seed but 0. */
static uint64_t	state;

static uint8_t
next(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint8_t)((state * UINT64_C(0x2545f4914f6cdd1d)) >> 56);
}

static double
now(void)
{
	struct timeval	tv;	/* the harness owns clock_gettime(2) */

	gettimeofday(&tv, NULL);
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

int
main(int argc, char *argv[])
{
	uint64_t	 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	double		 seconds = argc > 2 ? atof(argv[2]) : 5, end;
	size_t		 len = argc > 3 ? strtoul(argv[3], NULL, 0) : 20000, i;
	uint8_t		*buf = malloc(len);
	unsigned long	 runs = 0;

	if (buf == NULL)
		return 1;
	for (end = now() + seconds; now() < end; runs++, seed++) {
		state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
		for (i = 0; i < len; i++)
			buf[i] = next();
		LLVMFuzzerTestOneInput(buf, len);
	}
	printf("%lu inputs, the last with seed %" PRIu64 "\n", runs, seed - 1);
	free(buf);
	if (fuzz_report != NULL)
		fuzz_report();
	return 0;
}
