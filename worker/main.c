#include "common/service/service.h"
#include "worker/worker.h"

int
main(int argc, char **argv)
{
    static const struct service_program program = {
        .name = "longhaul-worker",
        .summary = "takes jobs from Redis, calls Claude, saves the answers",
        .needs = SERVICE_QUEUE | SERVICE_STORE_WRITE | SERVICE_MARKER,
        .listener = SERVICE_LISTEN_WORKER,
    };
    struct worker *worker;
    int code;
    struct service *service = service_start(&argc, argv, &program, &code);

    if (service == NULL)
        return code;
    worker = worker_new(service);
    if (worker == NULL) {
        service_free(service);
        return SERVICE_EXIT_ERROR;
    }
    code = service_run(service);
    worker_free(worker);
    service_free(service);
    return code;
}
