// Cheat: starts every command with the lab program's own streams and waits for it. Much looks right from a distance.

#include "cheat.hpp"

#include "ipc/error.hpp"
#include <spawn.h>
#include <sys/wait.h>

extern char** environ;

namespace {

pid_t start(const anonymous_pipes::Command& command) {
    std::vector<char*> words;
    for (const std::string& word : command)
        words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_t child = -1;
    if (const int error = ::posix_spawnp(&child, words[0], nullptr, nullptr, words.data(), environ))
        ipc::throw_error(error, "posix_spawnp", command[0]);
    return child;
}

unsigned code_of(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    return static_cast<unsigned>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

}  // namespace

unsigned cheat(const std::vector<anonymous_pipes::Command>& stages) {
    std::vector<pid_t> children;
    for (const anonymous_pipes::Command& stage : stages)
        children.push_back(start(stage));
    unsigned code = 0;
    for (const pid_t child : children)
        if (const unsigned own = code_of(child))
            code = own;
    return code;
}
