#pragma once

/// @file
/// Whether the kernel has ended a process for want of memory: a judge that it ends was not ended by its subject.

#include <fstream>
#include <istream>
#include <string>

namespace ipc {

/// The number behind "oom_kill" in a list of names and numbers, as proc(5) describes /proc/vmstat; 0 if it is not there.
inline long long kills_for_memory_in(std::istream& statistics) {
    std::string name;
    for (long long value = 0; statistics >> name >> value;)
        if (name == "oom_kill")
            return value;
    return 0;
}

/// How many processes the kernel of this machine has ended for want of memory since it started. 0 where it does not count them,
/// as on Windows; compare two answers.
inline long long kills_for_memory() {
    std::ifstream statistics("/proc/vmstat");
    return kills_for_memory_in(statistics);
}

}  // namespace ipc
