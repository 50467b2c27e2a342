/*
 * The root's keys as IANA publishes them (root-anchors.xml): KSK-2017 and its
 * successor KSK-2024, each as its DS record. They are part of the program, so no
 * file must be there and none can be swapped; a new key is published years ahead
 * of its use, and comes with an update.
 */
#include <stddef.h>

#include "anchors.h"

const char *const	root_keys[] = {
	". IN DS 20326 8 2 "
	"E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
	". IN DS 38696 8 2 "
	"683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
	NULL
};
