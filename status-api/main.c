/* longhaul-status: tells how jobs stand and hands out their results; lets
 * operators see, replay and discard dead letters. */

#include "common/service/service.h"
#include "status-api/routes.h"

int
main(int argc, char **argv)
{
    static const struct service_program program = {.name = "longhaul-status",
        .summary = "tells how jobs stand and hands out their results",
        .needs = SERVICE_QUEUE | SERVICE_STORE_READ,
        .listener = SERVICE_LISTEN_STATUS};
    int code;
    struct service *service = service_start(&argc, argv, &program, &code);
    if (service == NULL)
        return code;
    struct status *status = status_new(service);
    http_server_mount(service->http, status_routes, status);
    code = service_run(service);
    status_free(status);
    service_free(service);
    return code;
}
