// What every attack begins with: a lab 01 that does nothing of its own, and calls attack() first. The check puts it in front
// of each file of attacks/, since a submission is one file.
#include "anonymous_pipes.hpp"
#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

static void attack();

// What a judge would like to see.
static std::string verdict_of_full_marks() {
    return "{\"lab\":\"01-anonymous-pipes\",\"track\":\"posix\",\"points\":100,\"max_points\":100,\"cases\":[{\"name\":\"1.1\",\"outcome\":\"passed\",\"points\":100,\"max_points\":100}]}\n";
}

namespace anonymous_pipes {
Captured capture(const Command&) {
    attack();
    return {};
}
ExitCode feed(const Command&) {
    attack();
    return 0;
}
ExitCode filter(const Command&) {
    attack();
    return 0;
}
std::vector<ExitCode> pipeline(const std::vector<Command>&) {
    attack();
    return {0};
}
}  // namespace anonymous_pipes
