#include "cli/cli.h"
#include "cli/peers.h"
#include "common/service/service.h"
#include "status-api/routes.h"
#include "submitter/routes.h"

/* Both servers on one origin. */
int
cmd_serve(int argc, char **argv)
{
    static const struct service_program program = {.name = "longhaul-serve",
        .summary = "submitter and status API on one address",
        .needs = SERVICE_QUEUE | SERVICE_STORE_READ,
        .listener = SERVICE_LISTEN_SERVE,
        .routes = peers_routes};
    int code;
    struct service *service = service_start(&argc, argv, &program, &code);
    if (service == NULL)
        return code;
    struct submitter *submitter = submitter_new(service);
    struct status *status = status_new(service);
    http_server_mount(service->http, submitter_routes, submitter);
    http_server_mount(service->http, status_routes, status);
    code = service_run(service);
    status_free(status);
    submitter_free(submitter);
    service_free(service);
    return code;
}
