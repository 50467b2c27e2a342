/*
 * libunbound's "pluggable event base" on our libevent: so it starts no thread and
 * no process, and shares no structure of libevent's with us.
 */
#ifndef SALLYPORT_PLUGGABLE_H
#define SALLYPORT_PLUGGABLE_H

struct event_base;
struct ub_event_base;

/*
 * For the life of the process, and one upstream. What was sent to who refuses it is
 * waited for no longer than refused_ms, below 1000. NULL: no memory.
 */
struct ub_event_base *pluggable_base(struct event_base *, unsigned int at,
	    unsigned int refused_ms);

#endif
