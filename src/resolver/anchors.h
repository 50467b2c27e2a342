/*
 * The keys that DNSSEC begins with. A file of its own, so that a test can be
 * linked with a root that it can sign for.
 */
#ifndef SALLYPORT_ANCHORS_H
#define SALLYPORT_ANCHORS_H

/* DS records as text (RFC 4034, 5.3); NULL ends them. */
extern const char *const	root_keys[];

#endif
