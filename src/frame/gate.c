/*
 * What RFC 9293 3.10.7.4 asks of a segment before anything in it counts: is it in
 * the window, does it acknowledge what was sent, is a reset meant. lwIP asks less,
 * and takes window and acknowledgment of a segment that it then refuses.
 *
 * Trusts: nothing. Must not: change the connection for a segment that does not
 * pass, or answer one with more than one segment that is no longer.
 */
#include "tcp.h"

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

/*
 * RFC 9293 3.5.3 and RFC 5961 3.2: the next number resets, one in the window is
 * challenged (lwIP does both), any other is none of ours.
 */
static enum gate
check_reset(const struct tcp_flow *f, const struct gate_segment *s)
{
	const struct tcp_pcb	*pcb = f->pcb;
	uint32_t		 at = s->seq - pcb->rcv_nxt;

	if (at != 0 && at >= pcb->rcv_wnd)
		return GATE_DROP;
	/* lwIP ignores all in TIME-WAIT; see segment.c why this one counts. */
	if (at == 0 && f->waiting && f->challenged)
		return GATE_END;
	return GATE_PASS;
}

/*
 * The window of the very segment whose window holds already: lwIP lets it grow
 * only. A reader that takes it back is obeyed (RFC 9293 3.8.6). To lwIP such a
 * segment would be a duplicate ACK, so it does not get it unless there is more.
 */
static enum gate
shrink(struct tcp_flow *f, const struct gate_segment *s, uint32_t window)
{
	struct tcp_pcb	*pcb = f->pcb;

	pcb->snd_wnd = window;
	if (s->len > 0)
		return TCP_SEQ_GT(s->seq, pcb->rcv_nxt) ? GATE_AHEAD :
		    GATE_PASS;
	pcb->tmr = tcp_ticks;		/* as tcp_process() does: it lives */
	pcb->keep_cnt_sent = pcb->persist_probe = 0;
	relay_dirty(f);
	return GATE_DROP;
}

/*
 * RFC 5961 5: neither beyond what was sent nor older than a window. Both at once:
 * it lies between the two.
 */
static bool
ack_is_ours(const struct tcp_pcb *pcb, uint32_t ack)
{
	uint32_t	oldest = pcb->lastack - pcb->snd_wnd_max;

	return ack - oldest <= pcb->snd_nxt - oldest;
}

enum gate
gate_check(struct tcp_flow *f, const struct gate_segment *s)
{
	const struct tcp_pcb	*pcb = f->pcb;
	uint32_t		 window;

	if ((s->flags & TCP_RST) != 0)
		return check_reset(f, s);
	/*
	 * An empty one may be at the right edge, where a sender is that has
	 * filled the window; so may a probe of a window that is shut.
	 */
	if (TCP_SEQ_LT(s->seq + s->len, pcb->rcv_nxt) ||
	    TCP_SEQ_GT(s->seq, pcb->rcv_nxt + pcb->rcv_wnd))
		return GATE_ACK;
	if ((s->flags & TCP_ACK) == 0)
		return GATE_DROP;
	if (pcb->state == SYN_RCVD)
		return s->ack == pcb->snd_nxt ? GATE_PASS : GATE_RESET;
	if (!ack_is_ours(pcb, s->ack))
		return GATE_ACK;
	window = SND_WND_SCALE(pcb, s->window);
	if (window < pcb->snd_wnd && s->seq == pcb->snd_wl1 &&
	    s->ack == pcb->snd_wl2)
		return shrink(f, s, window);
	return s->len > 0 && TCP_SEQ_GT(s->seq, pcb->rcv_nxt) ? GATE_AHEAD :
	    GATE_PASS;
}

/*
 * RFC 9293 3.6.1 (MAY-2): a SYN above all that the old connection has used begins
 * a new one; else it may be an old one that was late.
 */
bool
gate_may_reopen(const struct tcp_flow *f, uint32_t seq)
{
	return TCP_SEQ_GEQ(seq, f->pcb->rcv_nxt);
}
