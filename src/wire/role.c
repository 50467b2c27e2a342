/*
 * The names of the rooms, as people and records read them. See include/keeper.h.
 */
#include "keeper.h"

const char *
role_name(unsigned int role)
{
	switch (role) {
	case ROLE_BROKER:
		return "broker";
	case ROLE_FRAME:
		return "frame";
	case ROLE_RECORDER:
		return "recorder";
	case ROLE_PARSER:
		return "parser";
	case ROLE_RESOLVER:
		return "resolver";
	case ROLE_INSPECTOR:
		return "inspector";
	}
	return "?";
}
