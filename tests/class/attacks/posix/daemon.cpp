// A process that outlives the run; it stops by itself after two minutes.
#include <sys/prctl.h>
static void attack() {
    if (::fork() == 0) {
        ::setsid();
        if (::fork() == 0) {
            for (int file = 0; file < 64; ++file)
                ::close(file);
            ::prctl(PR_SET_NAME, "ipc-labs-daemon");
            ::sleep(120);
        }
        ::_exit(0);
    }
    ::_exit(0);
}
