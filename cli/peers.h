#ifndef LH_CLI_PEERS_H
#define LH_CLI_PEERS_H

/*
 * peers: /metrics for a whole installation. `longhaul up` writes a file with
 * a line "NAME ADDRESS" for each of its workers; `longhaul serve`, told of
 * the file by LONGHAUL_METRICS_PEERS, asks each of them at a scrape and
 * answers with all of it. A worker that does not answer in time is left out
 * and shows as longhaul_peer_up 0.
 */

#include "common/net/http_server.h"

#define PEERS_VARIABLE "LONGHAUL_METRICS_PEERS"
#define PEERS_MAX 64

/* GET /metrics; the program pointer is the struct service. */
extern const struct http_route peers_routes[];

#endif
