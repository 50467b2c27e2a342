/* Hooks that lwIP's sources see (LWIP_HOOK_FILENAME). */
#ifndef SALLYPORT_PORT_H
#define SALLYPORT_PORT_H

#include "lwip/ip_addr.h"

u32_t	port_isn(const ip_addr_t *local, u16_t lport, const ip_addr_t *remote,
	    u16_t rport);

#endif
