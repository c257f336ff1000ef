// Names in shared memory, in queues, in the file system.
#include <mqueue.h>
static void attack() {
    const int memory = ::shm_open("/ipc-labs-left", O_CREAT | O_RDWR, 0600);
    if (memory >= 0 && ::ftruncate(memory, 4096) != 0)
        ::perror("ftruncate");
    ::mq_open("/ipc-labs-left", O_CREAT | O_RDWR, 0600, nullptr);
    ::mkfifo("/tmp/ipc-labs-left", 0600);
    ::_exit(0);
}
