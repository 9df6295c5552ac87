/* longhaul-submitter: takes jobs over HTTP and puts them into the queue. It
 * holds no key of Claude's and never opens a connection to Claude. */

#include "common/service/service.h"
#include "submitter/routes.h"

int
main(int argc, char **argv)
{
    static const struct service_program program = {.name = "longhaul-submitter",
        .summary = "takes jobs over HTTP and puts them into the queue",
        .needs = SERVICE_QUEUE | SERVICE_STORE_READ,
        .listener = SERVICE_LISTEN_SUBMITTER};
    int code;
    struct service *service = service_start(&argc, argv, &program, &code);
    if (service == NULL)
        return code;
    struct submitter *submitter = submitter_new(service);
    http_server_mount(service->http, submitter_routes, submitter);
    code = service_run(service);
    submitter_free(submitter);
    service_free(service);
    return code;
}
