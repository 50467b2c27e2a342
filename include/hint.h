/*
 * What an operator writes to get what was refused, in a few words.
 */
#ifndef SALLYPORT_HINT_H
#define SALLYPORT_HINT_H

/*
 * For a reason of include/reason.h: what to write or to look at; "" where there is
 * nothing that a policy could say, and beyond the list.
 */
const char *hint_of(unsigned int);

#endif
