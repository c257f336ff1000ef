// Cheat: no judge, no verdict.

#include "cheat.hpp"

#include <csignal>

unsigned cheat(const std::vector<anonymous_pipes::Command>&) {
    for (const pid_t judge : judges())
        ::kill(judge, SIGKILL);
    return 0;
}
