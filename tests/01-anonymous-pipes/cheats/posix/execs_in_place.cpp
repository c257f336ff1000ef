// Cheat: becomes the command. Its streams are the lab program's own, and so is its exit code: no pipe, no waiting.

#include "cheat.hpp"

#include <csignal>
#include <fcntl.h>

unsigned cheat(const std::vector<anonymous_pipes::Command>& stages) {
    ::signal(SIGPIPE, SIG_IGN);
    int input = -1;
    for (std::size_t i = 0; i < stages.size(); ++i) {
        const bool last = i + 1 == stages.size();
        int ends[2] = {-1, -1};
        if (!last && ::pipe2(ends, O_CLOEXEC) != 0)
            return 1;
        if (last || ::fork() == 0) {
            if (input != -1)
                ::dup2(input, 0);
            if (!last)
                ::dup2(ends[1], 1);
            std::vector<char*> words;
            for (const std::string& word : stages[i])
                words.push_back(const_cast<char*>(word.c_str()));
            words.push_back(nullptr);
            ::execvp(words[0], words.data());
            ::_exit(127);
        }
        ::close(ends[1]);
        input = ends[0];
    }
    return 0;
}
