#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/service/service_private.h"

static void
limit_to_hard(int resource)
{
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit((__rlimit_resource_t)resource, &limit);
}

void
service_process_prepare(const struct service_flags *flags)
{
    static const struct rlimit none = {0, 0};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    umask(077);
    sigaction(SIGPIPE, &ignore, NULL);
    limit_to_hard(RLIMIT_NOFILE);
    /* Prompts and keys are in memory: no core file, no ptrace by others. */
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    if (!flags->die_with_parent)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    /* It may have died before that. Pid 1 is a parent like any other when
     * it was named (a container). */
    if (flags->parent != 0 ? getppid() != flags->parent : getppid() == 1)
        exit(SERVICE_EXIT_ERROR);
}

double
service_process_rss_bytes(void)
{
    /* Fields of /proc/self/statm: size, resident, ... in pages. */
    char text[128];
    FILE *file = fopen("/proc/self/statm", "re");
    size_t len = file != NULL ? fread(text, 1, sizeof(text), file) : 0;
    if (file != NULL)
        fclose(file);
    uint64_t pages = 0;
    struct slice rest = slice_make(text, len);
    slice_split(&rest, ' ');
    if (text_parse_u64(slice_split(&rest, ' '), INT64_MAX, &pages) != 0)
        return 0;
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

double
service_process_cpu_s(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
        (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
