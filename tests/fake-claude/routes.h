#ifndef LH_FAKE_ROUTES_H
#define LH_FAKE_ROUTES_H

/*
 * routes: the tables of the simulator's HTTP interface. The program pointer
 * of both is a struct simulator.
 */

#include "common/net/http_server.h"

/* Claude's API, and /livez. */
extern const struct http_route routes_api[];
/* /_fake/: for tests; mounted with --control only. */
extern const struct http_route routes_control[];

#endif
