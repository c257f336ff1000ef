// What every attack begins with: a lab 01 that does nothing of its own, and calls attack() first. The check puts it in front
// of each file of attacks/, behind the system's own includes, since a submission is one file.
#include "anonymous_pipes.hpp"
#include <string>
#include <vector>

static void attack();

// What a judge would like to see.
static std::string verdict_of_full_marks() {
#ifdef _WIN32
    const std::string track = "win32";
#else
    const std::string track = "posix";
#endif
    return R"({"lab":"01-anonymous-pipes","track":")" + track +
           R"(","points":100,"max_points":100,"cases":[{"name":"1.1","outcome":"passed","points":100,"max_points":100}]})" "\n";
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
