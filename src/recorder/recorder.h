/*
 * The recorder's own header: what its files say to each other, in the order in
 * which a record passes through them.
 *
 *   main -> queue -> writer -> accept, line, own -> member -> json, community
 *                       |  \-> openset
 *                       v
 *                    segment, reserve          (files)
 *                    failure -> torn           (when they break)
 *                    watch -> failure          (when somebody takes them away)
 *   start -> scan -> torn, openset             (what an earlier life left)
 */
#ifndef SALLYPORT_RECORDER_H
#define SALLYPORT_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fd.h"
#include "record.h"

#define LINE_ROOM	12288		/* no line is longer; line.c says why */
#define BUF_SIZE	(256u << 10)	/* one commit's lines */
#define QUEUE_MAX	8192		/* records not yet on the disk */
#define QUEUE_OTHER	4096		/* of those, all but closes, while broken */
#define QUEUE_DENY	1024		/* of those, denies, while broken */
#define BATCH_MAX	512		/* datagrams read before a commit */
#define UNACKED_MAX	4096		/* of the broker, while broken */
#define OPENS_MAX	131072		/* flows and questions that have no end yet */
#define ROTATE_MIN	(64u << 10)
#define RESERVE_MAX	(8u << 20)
#define RESERVE_MIN	4096
#define WATCH_NS	INT64_C(1000000000)	/* between two looks at our files */
#define SYNC_NS		INT64_C(500000000)	/* closes, denies: durable in 1 s */
#define PROBE_NS	INT64_C(1000000000)
#define PROBE_MAX_NS	INT64_C(30000000000)
#define NAME_ROOM	256		/* NAME_MAX and the NUL */
#define LOGNAME_MAX	200		/* leaves room for what is added to it */

/* ---- json.c ----------------------------------------------------------- */
struct json {
	char	*p, *end;
	bool	 over;			/* something did not fit */
};
void	json_put(struct json *, const char *, size_t);
void	json_u64(struct json *, uint64_t);
void	json_str(struct json *, const char *, size_t max);	/* with quotes */
void	json_hex(struct json *, const uint8_t *, size_t);
void	json_time(struct json *, uint64_t ns);			/* with quotes */
#define JSON_LIT(j, lit)	json_put(j, lit, sizeof(lit) - 1)
#define JSON_KEY(j, name)	JSON_LIT(j, ",\"" name "\":")

/* ---- community.c -------------------------------------------------------- */
#define COMMUNITY_LEN	30		/* "1:" and 28 of base64 */
/* False where there is none: an endpoint missing, families mixed. */
bool	community_id(char out[COMMUNITY_LEN], uint32_t proto,
	    const struct endpoint *src, const struct endpoint *dst);

/* ---- line.c, accept.c, own.c ---------------------------------------------- */
#define INST_STRLEN	37
struct origin {				/* who writes: the same in every line */
	char		host[65];
	char		boot[37];
	uint8_t		inst[16];
};
struct slice {				/* what a close at restart repeats of its open */
	const char	*p;
	size_t		 len;
};
enum loss { LOSS_NONE, LOSS_REMOVED, LOSS_MOVED, LOSS_CHANGED };
struct gap {
	uint64_t	opens, closes, denies, other;	/* not written */
	uint64_t	from, to;	/* lines that count no longer; 0 = none */
	int		err;
	bool		crash;		/* an earlier recorder or broker died */
	uint64_t	torn;		/* the line that was cut; 0 = none */
	enum loss	loss;		/* of the file that had these: */
	uint64_t	lost_from, lost_to;	/* they were on the disk; 0 = none */
};
struct stamp {
	uint64_t	seq, ts, mono;
};
/* Each appends one line; `over` is set if it did not fit. */
void	line_record(struct json *, const struct origin *, uint64_t seq,
	    const struct record *, const struct record_named *,
	    struct slice *body);	/* named: the same record, or NULL */
struct open_flow;
void	line_close(struct json *, const struct origin *, const struct stamp *,
	    unsigned int reason, const struct open_flow *);
struct head {				/* of a segment, or of a recorder's life */
	bool		start;		/* audit.open, else audit.rotate */
	uint32_t	durable;	/* enum policy_durable */
	uint64_t	rotate, reserve;
	uint64_t	rec;		/* last rec before this line */
	uint64_t	oldest;		/* seq of the oldest open flow's open */
	const char	*prev;		/* the segment before; NULL: same segment */
};
void	line_head(struct json *, const struct origin *, const struct stamp *,
	    const struct head *);
void	line_gap(struct json *, const struct origin *, const struct stamp *,
	    uint64_t rec, const struct gap *);
void	line_remove(struct json *, const struct origin *, const struct stamp *,
	    uint64_t rec, const char *file, uint64_t from, uint64_t to);
bool	line_acceptable(const struct record *);
bool	line_acceptable_named(const struct record_named *);
/* Of something that has an end of its own, or is that end. */
bool	line_begins(const struct record *);
bool	line_opens(const struct record *);	/* of a flow's connect */
bool	line_ends(const struct record *);
/* A denied attempt, in a line of its own. */
bool	line_denies(const struct record *);
/* Of many. */
bool	line_sums(const struct record *);
void	line_inst(char out[INST_STRLEN], const uint8_t inst[16]);

/* ---- openset.c ------------------------------------------------------------ */
enum open_kind { OPEN_FLOW, OPEN_DIAL, OPEN_ASK };
struct open_flow {
	struct open_flow *next;
	uint64_t	flow, seq;
	uint8_t		inst[16];
	enum open_kind	kind;
	size_t		len;
	char		body[];		/* as in the line of the open */
};
struct openset;
struct openset *openset_new(uint64_t seed);
void	openset_free(struct openset *);
size_t	openset_count(const struct openset *);
/* An earlier entry of the same flow is replaced. 0, or -1: full, no memory. */
int	openset_add(struct openset *, enum open_kind, const uint8_t inst[16],
	    uint64_t flow, uint64_t seq, const struct slice *body);
struct open_flow *openset_find(const struct openset *, const uint8_t inst[16],
	    uint64_t flow);
void	openset_del(struct openset *, const uint8_t inst[16], uint64_t flow);
void	openset_void(struct openset *, uint64_t from, uint64_t to);
/* Gives up one that is not of `keep` (NULL: any at all); the caller frees it. */
struct open_flow *openset_take_stale(struct openset *, const uint8_t *keep);
uint64_t openset_oldest(const struct openset *);

/* ---- torn.c ----------------------------------------------------------------- */
#define TORN_ROOM	128
/*
 * The bytes that make a cut line a whole one, with its newline. `seq` is the
 * number that the line has or would have had.
 */
size_t	torn_finish(char out[TORN_ROOM], const char *cut, size_t len,
	    uint64_t seq);

/* ---- segment.c ------------------------------------------------------------- */
struct segment {
	int		fd;		/* -1 = none */
	uint64_t	dev, ino;
	uint64_t	first;		/* seq of its first line; 0 = empty */
	uint64_t	size;
	uint64_t	alloc;		/* blocks are there up to here */
	bool		no_alloc;	/* the file system cannot preallocate */
};
/* Opens or makes the file, checks that it is ours and locks it. 0, -1. */
int	segment_open(struct segment *, int dir, const char *name);
int	segment_create(struct segment *, int dir, const char *name);
void	segment_close(struct segment *);
/* Makes sure that `len` more bytes have their blocks. 0, or -1. */
int	segment_space(struct segment *, size_t len, uint64_t limit);
/* How many bytes came to be in the file; errno is set if not all. */
size_t	segment_append(struct segment *, const char *, size_t len);
int	segment_sync(const struct segment *);
/* FILE becomes FILE.<first seq>; the name goes to `to`. */
int	segment_retire(const struct segment *, int dir, const char *name,
	    char to[NAME_ROOM]);
void	segment_name(char out[NAME_ROOM], const char *name, uint64_t first);
/* The file of that name is this one. */
bool	segment_there(const struct segment *, int dir, const char *name);
/* What somebody has done to it, or to its name. */
enum loss segment_loss(const struct segment *, int dir, const char *name);
/* Whatever has our name and is not ours becomes FILE.foreign.<seq>. */
int	segment_aside(int dir, const char *name, uint64_t seq);

/* ---- reserve.c --------------------------------------------------------------- */
struct reserve {
	struct segment	seg;
	uint64_t	size;		/* 0 = there is none */
};
int	reserve_make(struct reserve *, int dir, const char *name);
/* The reserve becomes FILE, and `out` its segment. */
int	reserve_take(struct reserve *, int dir, const char *name,
	    struct segment *out);
void	reserve_remove(struct reserve *, int dir, const char *name);
/* False: it was taken away, and is none any more. */
bool	reserve_kept(struct reserve *, int dir, const char *name);

/* ---- parse.c ----------------------------------------------------------------- */
struct text {
	const char	*p;
	size_t		 len;
};
struct seen {				/* one line */
	uint64_t	seq, rec, flow, from, to, oldest;	/* flow: or ask */
	struct text	type;
	struct slice	body;
	uint8_t		inst[16];
	bool		has_inst, torn;
	bool		old;		/* of format 1: only `seq', `type', `torn' count */
	bool		past;		/* what stands behind flow and ask was seen */
};
bool	parse_is(const struct text *, const char *word);
uint64_t parse_number(const struct text *);
/* It begins as one of format 1, which the programs before this one wrote. */
bool	parse_old(const struct text *);
/* False: not a line of ours. The result points into it. */
bool	parse_line(struct text, struct seen *);

/* ---- scan.c ------------------------------------------------------------------ */
struct scan {
	uint64_t	seq;		/* of the last line */
	uint64_t	rec;		/* last of `inst` that is in the log */
	uint64_t	first;		/* of the active file; 0 = it is empty */
	uint64_t	lines;		/* read */
	uint64_t	strange;	/* of those, not understood */
	bool		stopped;	/* the last line is daemon.stop */
	bool		old;		/* the active file is of format 1 */
	char		cut[LINE_ROOM];	/* the end of the active file, if torn */
	size_t		cut_len;
	char		prev[NAME_ROOM];	/* newest retired segment, or "" */
};
/* 0, or -1 with a message: it is not an audit log, or cannot be read. */
int	scan_log(struct scan *, int dir, const char *name,
	    const struct segment *active, const uint8_t inst[16], bool quick,
	    struct openset *);
/* The first line of that one is ours and has its number. */
bool	scan_begins(int dir, const char *name, uint64_t first);
/* Makes whole the last lines of retired segments that were cut. */
void	scan_mend(int dir, const char *name);

/* ---- retired.c --------------------------------------------------------------- */
/* The highest number <= `most`, or with up the lowest > `most`; 0 = none. */
uint64_t retired_find(int dir, const char *name, uint64_t most, bool up);
/* The numbers of the retired segments, ascending, to be freed; NULL: none. */
uint64_t *retired_list(int dir, const char *name, size_t *n);
int	retired_open(int dir, const char *name, uint64_t first);	/* to read */

/* ---- queue.c ----------------------------------------------------------------- */
struct entry {
	struct record	 r;
	uint64_t	 seq;
	bool		 skip;		/* refused, or only counted */
	char		*names;		/* of a record_named: what follows the record, */
	size_t		 names_len;	/* without the zeros at its end */
	char		*body;		/* an open's, for the openset */
	size_t		 body_len;
};
struct queue {
	struct entry	*e;
	size_t		 head, written, tail;	/* head <= written <= tail */
};
int	queue_init(struct queue *);
/* named: the same record, or NULL. NULL: full, or no memory. */
struct entry *queue_push(struct queue *, const struct record *,
	    const struct record_named *);
/* The record of an entry with its names, in `buf`; NULL: it has none. */
const struct record_named *queue_named(const struct entry *,
	    struct record_named *buf);
size_t	queue_used(const struct queue *);
void	queue_retire(struct queue *);		/* head..written are done */
void	queue_rewind(struct queue *);		/* written goes back to head */

/* ---- writer.c ---------------------------------------------------------------- */
enum writer_state {
	WRITER_OK,
	WRITER_FULL,			/* no reserve: opens are refused */
	WRITER_BROKEN			/* no segment: nothing can be written */
};
struct outbox {				/* to the broker, in this order */
	bool		failed, recovered, durable;
	uint64_t	failed_rec, durable_rec;
	uint32_t	failed_err;
};
struct writer {
	int		 dir;
	const char	*name, *path;	/* the directory's; NULL = it cannot be watched */
	struct origin	 origin;
	uint32_t	 mode;		/* enum policy_durable */
	uint64_t	 rotate;
	uint64_t	 file_max;	/* what a file of ours can have (RLIMIT_FSIZE) */
	uint64_t	 keep_bytes, keep_files;	/* 0 = all */
	enum writer_state state;
	struct segment	 seg;		/* broken: the old one's; fd -1 if it has lines */
	struct reserve	 reserve;
	struct queue	 queue;
	struct openset	*opens;
	size_t		 opens_queued;	/* what begins, in the queue */
	size_t		 opens_written;	/* flow.opens that are not yet settled */
	struct gap	 gap;		/* what the next audit.gap has to say */
	bool		 gap_stated;	/* it is in a line, not yet on the disk */
	struct outbox	 out;
	uint64_t	 seq;		/* of the last line in buf */
	uint64_t	 file_seq;	/* ... in the file */
	uint64_t	 durable_seq;	/* ... on the disk */
	uint64_t	 rec;		/* last received */
	uint64_t	 acked;		/* all up to it are accounted for */
	uint64_t	 hold;		/* first that is only counted; 0 = none */
	int64_t		 sync_at, probe_at, probe_wait;	/* 0 = no timer */
	int64_t		 watch_at;
	bool		 made;		/* nothing of an earlier life was there */
	bool		 dry;		/* WRITER_FULL, and nothing fits */
	bool		 aside;		/* our name may be somebody else's file */
	bool		 away;		/* the directory is not at its path */
	bool		 harmed;	/* so it was with some of the log, once */
	int		 torn_fd;	/* a retired file whose end waits for space */
	char		 torn[TORN_ROOM];
	size_t		 torn_len;
	size_t		 len;
	char		 buf[BUF_SIZE];
};
int64_t	writer_now(void);
/* named: the same record, or NULL. */
void	writer_take(struct writer *, const struct record *,
	    const struct record_named *);
bool	writer_room(const struct writer *);
/* Writes and commits one buffer of what waits. True: there is more to do. */
bool	writer_turn(struct writer *);
int64_t	writer_deadline(const struct writer *);
/* Everything out, opens closed as `reason`. 0, or -1: something is missing. */
int	writer_end(struct writer *, unsigned int reason);
/* For the other files: a line of the recorder's own, and what carries it. */
struct json writer_line(struct writer *, struct stamp *);
int	writer_add(struct writer *, const struct json *);
int	writer_flush(struct writer *);
int	writer_commit(struct writer *);
int	writer_head(struct writer *, bool start, const char *prev);
int	writer_retire(struct writer *, char prev[NAME_ROOM]);
int	writer_rotate(struct writer *, bool start);
int	writer_close_stale(struct writer *, unsigned int reason,
	    const uint8_t *keep);

/* ---- failure.c --------------------------------------------------------------- */
/* A record that gets no line: counted, and if it is an open, refused. */
void	failure_count(struct writer *, const struct record *, int err);
/* No space for what is in buf: into the reserve, or dry. Always -1. */
int	failure_full(struct writer *, int err);
/* The segment can no longer be trusted; `cut` bytes of buf got into it. */
int	failure_segment(struct writer *, int err, size_t cut);
/* The segment is gone, or is no longer what we wrote. Always -1. */
int	failure_lost(struct writer *, enum loss);
/* Its directory is not where it was: opens are refused. */
void	failure_away(struct writer *);
void	failure_probe(struct writer *);
int	failure_gap(struct writer *);		/* states it, if there is one */

/* ---- watch.c ------------------------------------------------------------------ */
/* Once, before the seal. Fatal if the directory is not at `path'. */
void	watch_begin(struct writer *, const char *path);
/* Now and then: all of our files, and their directory. */
void	watch_look(struct writer *);
bool	watch_away(const struct writer *);

/* ---- keep.c ------------------------------------------------------------------ */
/* Removes the oldest segments. 0, or -1: the state has changed. */
int	keep_trim(struct writer *);

/* ---- start.c ----------------------------------------------------------------- */
/* Before the seal: the file is open, ours and locked. Fatal on failure. */
void	writer_open(struct writer *, int dir, const char *name);
/* 0, or -1 with a message. */
int	writer_start(struct writer *, const struct record_start *);

/* ---- seal.c ------------------------------------------------------------------ */
#define SEGMENT_MAKE	(O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | \
			    O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define SEGMENT_REOPEN	(O_RDWR | O_APPEND | O_NOFOLLOW | O_CLOEXEC | \
			    O_NONBLOCK | O_NOCTTY)
#define SEGMENT_READ	(O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | \
			    O_NOCTTY)
#define DIRECTORY_READ	(O_RDONLY | O_DIRECTORY | O_CLOEXEC)
void	recorder_seal_self(int log_fd);

#endif
