/* What every cmocka test includes, in the order that cmocka asks for. */
#ifndef SALLYPORT_UNIT_H
#define SALLYPORT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
