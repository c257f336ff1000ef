#pragma once

// What the cheats share: the contract's four functions, which do nothing but cheat(), and who the judge is. Each cheat
// must earn 0 points. None does harm outside: it ends by itself, and touches no process but the judge's own.

#include "anonymous_pipes.hpp"

#include <fstream>
#include <sstream>
#include <string>
#include <sys/types.h>
#include <unistd.h>
#include <vector>

/// The attempt; gets the commands that it should have run. Its result is taken for the exit code.
unsigned cheat(const std::vector<anonymous_pipes::Command>& stages);

namespace anonymous_pipes {
Captured capture(const Command& command) { return {"", cheat({command})}; }
ExitCode feed(const Command& command) { return cheat({command}); }
ExitCode filter(const Command& command) { return cheat({command}); }
std::vector<ExitCode> pipeline(const std::vector<Command>& stages) { return {cheat(stages)}; }
}  // namespace anonymous_pipes

inline pid_t parent_of(pid_t pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::ostringstream text;
    text << file.rdbuf();
    const auto name_end = text.str().rfind(") ");
    return name_end == std::string::npos ? 0 : static_cast<pid_t>(std::atoi(text.str().c_str() + name_end + 4));
}

/// The process of the case and the coordinator above it, as long as they are judges at all.
inline std::vector<pid_t> judges() {
    std::vector<pid_t> found;
    for (pid_t pid = ::getppid(); pid > 1; pid = parent_of(pid)) {
        std::string name;
        std::ifstream("/proc/" + std::to_string(pid) + "/comm") >> name;
        if (name.rfind("judge-", 0) != 0)
            break;
        found.push_back(pid);
    }
    return found;
}

inline const std::string passed_case = R"({"outcome":"passed","message":"","waiting":"","mistake":"","seconds":0.01,"confinement":""})";
inline const std::string full_verdict =
    R"({"schema":"ipc-labs/verdict/v1","lab":"01-anonymous-pipes","track":"posix","subject":"lab-01","source":"","seed":"1",)"
    R"("confinement":"","seconds":0.2,"points":100,"max_points":100,"interrupted":false,"cases":[{"name":"1.1",)"
    R"("exercise":"Exercise 1: capture","title":"capture prints exactly what the command wrote","outcome":"passed","points":100,)"
    R"("max_points":100,"mistake":"","message":"","waiting":"","section":"","rerun":"","seconds":0.1}]})";
