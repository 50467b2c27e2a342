/*
 * See dns_check.h. Trusts: nothing. Must not: share code with src/frame/dns.c.
 */
#include <string.h>

#include "dns_check.h"

static unsigned int
u16(const uint8_t *p)
{
	return p[0] * 256u + p[1];
}

static uint32_t
u32(const uint8_t *p)
{
	return (uint32_t)u16(p) << 16 | u16(p + 2);
}

/* The length of a name without pointers; 0: none. */
static size_t
name_length(const uint8_t *p, size_t len)
{
	size_t	at = 0;

	while (at < len) {
		if (p[at] == 0)
			return at + 1 > 255 ? 0 : at + 1;
		if (p[at] > 63)
			return 0;
		at += 1u + p[at];
	}
	return 0;
}

static bool
check_options(const uint8_t *p, size_t len, struct dns_seen *s)
{
	while (len > 0) {
		if (len < 4 || u16(p + 2) > len - 4)
			return false;
		if (u16(p) == 15) {
			if (u16(p + 2) != 2 || s->ede != 0)
				return false;
			s->ede = u16(p + 4) + 1;
		}
		len -= 4 + u16(p + 2);
		p += 4 + u16(p + 2);
	}
	return true;
}

/* One record at `at`; where it ends, or 0. */
static size_t
check_record(const uint8_t *m, size_t at, size_t len, struct dns_seen *s,
    int section)
{
	size_t	left = len - at, name, rdlen;
	const uint8_t	*r;

	if (left >= 2 && m[at] == 0xc0)
		name = m[at + 1] == 12 && s->question > 0 ? 2 : 0;
	else
		name = name_length(m + at, left);
	if (name == 0 || left < name + 10)
		return 0;
	r = m + at + name;
	rdlen = u16(r + 8);
	if (rdlen > left - name - 10)
		return 0;
	if (section == 0) {
		if (name != 2 || u16(r + 2) != 1 || s->answers >= 256 ||
		    (s->answers > 0 && (s->type != u16(r) ||
		    s->ttl != u32(r + 4))) ||
		    rdlen != (u16(r) == 1 ? 4 : u16(r) == 28 ? 16 : 0xffff))
			return 0;
		s->type = (uint16_t)u16(r);
		s->ttl = u32(r + 4);
		s->data[s->answers++] = r + 10;
	} else if (section == 1) {
		if (u16(r) != 6 || u16(r + 2) != 1 || rdlen != 22 || name != 1)
			return 0;
		s->soa++;
		s->soa_ttl = u32(r + 4);
		s->soa_minimum = u32(r + 10 + 18);
	} else {
		if (u16(r) != 41 || name != 1 || m[at] != 0 || s->edns ||
		    r[5] != 0 || !check_options(r + 10, rdlen, s))
			return 0;
		s->edns = true;
		s->size = u16(r + 2);
		s->rcode |= (unsigned int)r[4] << 4;
		s->dnssec_ok = (r[6] & 0x80) != 0;
		if (u16(r + 6) & 0x7fff)
			return 0;
	}
	return at + name + 10 + rdlen;
}

bool
dns_check(const uint8_t *m, size_t len, struct dns_seen *s)
{
	size_t		at = 12;
	unsigned int	i, section;

	memset(s, 0, sizeof(*s));
	if (len < 12 || (m[2] & 0x80) == 0 || (m[3] & 0x60) != 0 ||
	    u16(m + 4) > 1)
		return false;
	s->id = (uint16_t)u16(m);
	s->opcode = m[2] >> 3 & 15;
	s->aa = (m[2] & 4) != 0;
	s->tc = (m[2] & 2) != 0;
	s->rd = (m[2] & 1) != 0;
	s->ra = (m[3] & 0x80) != 0;
	s->cd = (m[3] & 0x10) != 0;
	s->rcode = m[3] & 15;
	if (u16(m + 4) == 1) {
		if ((s->question = name_length(m + at, len - at)) == 0 ||
		    len - at < s->question + 4)
			return false;
		s->question += 4;
		at += s->question;
	}
	for (section = 0; section < 3; section++)
		for (i = 0; i < u16(m + 6 + 2 * section); i++)
			if ((at = check_record(m, at, len, s,
			    (int)section)) == 0)
				return false;
	return at == len;
}
