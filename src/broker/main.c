/*
 * sallyport-broker: the only room with a door to the street.
 *
 * It takes the compiled policy from the keeper, opens what it will ever need,
 * seals itself, and then serves frames until the keeper says stop or is gone.
 *
 * Trusts: its fds (include/fd.h), the keeper.
 * Must not: touch anything of a guest before the seal.
 */
#include "config.h"	/* _GNU_SOURCE */

#include <sys/mman.h>

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "broker.h"
#include "fd.h"
#include "log.h"
#include "seal.h"

#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static bool
who_valid(const struct keeper_who *w)
{
	return w->len <= sizeof(w->cmd) && w->cut <= 1 &&
	    (w->len == 0 || w->cmd[w->len - 1] == '\0') &&
	    memchr(w->policy, '\0', sizeof(w->policy)) != NULL;
}

static void
first_message(struct keeper_policy *m, int *fd)
{
	if (chan_first(m, sizeof(*m), fd) != (ssize_t)sizeof(*m) || m->head.type != KEEPER_POLICY ||
	    m->head.zero != 0 || *fd == -1 ||
	    m->quiet > 1 || !resolver_host_valid(&m->host) ||
	    !who_valid(&m->who) ||
	    memchr(m->tenant, '\0', sizeof(m->tenant)) == NULL)
		fatalx("the keeper's first message is not a policy");
}

/* The memfd is sealed, so what is checked here is what is used. */
static struct policy *
load(const struct keeper_policy *m, int fd)
{
	struct policy	*policy;
	char		 err[256];
	void		*blob;
	int		 seals = fcntl(fd, F_GET_SEALS);

	if (seals == -1 || (seals & SEALS) != SEALS)
		fatalx("the compiled policy is not sealed against changes");
	if (m->len == 0 || m->len > POLICY_BLOB_MAX ||
	    lseek(fd, 0, SEEK_END) != (off_t)m->len)
		fatalx("the compiled policy has not the length it should");
	blob = mmap(NULL, m->len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (blob == MAP_FAILED)
		fatal("the compiled policy");
	policy = policy_load(blob, m->len, err, sizeof(err));
	if (policy == NULL)
		fatalx("the compiled policy: %s", err);
	munmap(blob, m->len);
	close(fd);
	return policy;
}

static struct broker *
prepare(struct event_base *base)
{
	struct keeper_policy	 m;
	struct policy		*policy;
	struct broker		*b;
	uint32_t		 durable;
	int			 fd, tenant;
	char			 hint[TENANTS_HINT_MAX];

	first_message(&m, &fd);
	policy = load(&m, fd);
	tenant = policy_tenant(policy, m.tenant);
	if (tenant < 0)
		policy_tenants_hint(policy, m.tenant, hint, sizeof(hint));
	if (tenant < 0 && m.tenant[0] == '\0')
		fatalx("the policy has more than one tenant: name one with "
		    "--tenant%s", hint);
	if (tenant < 0)
		fatalx("the policy has no tenant \"%s\"%s", m.tenant, hint);
	if (policy_index(policy, (unsigned int)tenant) == -1)
		fatalx("out of memory for the policy");
	durable = m.audit_mode != 0 ? m.audit_mode - 1 :
	    policy_audit(policy)->durable;
	if (durable > DURABLE_ASYNC)
		fatalx("unknown durability %u", durable);
	b = broker_new(base, FD_CHANNEL, policy, (unsigned int)tenant,
	    durable);
	b->host = m.host;
	b->quiet = m.quiet;
	b->who = m.who;
	return b;
}

int
main(int argc, char *argv[])
{
	struct event_base	*base;
	struct broker		*b;
	int			 status;

	if (log_init_child("sallyport-broker", argc, argv) == -1 || argc != 2)
		fatalx("this program is started by sallyportd only");
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("signal");
	seal_check_fds(FD_LOG + 1, NULL, 0);
	base = chan_base();
	b = prepare(base);
	log_never_wait();	/* guests depend on us, but not on who reads fd 5 */
	broker_seal_in();
	broker_start(b);
	if (event_base_dispatch(base) == -1)
		fatalx("libevent's loop failed");
	status = b->orphan ? 0 : b->status;
	broker_free(b);
	event_base_free(base);
	return status;
}
