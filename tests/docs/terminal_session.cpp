#include "terminal_session.hpp"

#include "handout.hpp"
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <ipc/error.hpp>
#include <poll.h>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

namespace handout {
namespace {

// Commands come by descriptor 9, the news that one has ended goes by 8; the commands themselves have neither,
// and a standard input at which nobody types, so that none of them reads what is meant for the shell.
constexpr const char* loop =
    "while IFS= read -r -d '' -u 9 command; do eval \"$command\" 8>&- 9>&-; echo >&8; done";

struct Pipe {
    int ends[2];
    Pipe() { ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2"); }
};

}  // namespace

TerminalSession::TerminalSession(const std::filesystem::path& folder, const std::filesystem::path& programs) {
    Pipe commands, ends, output, keyboard;
    const std::string path = programs.string() + ":" + std::getenv("PATH");
    shell_ = ipc::check(::fork(), "fork");
    if (shell_ == 0) {
        ::setsid();
        // Above 9 first: a pipe may have got one of the numbers that are wanted.
        const int in = ::fcntl(commands.ends[0], F_DUPFD, 20), out = ::fcntl(ends.ends[1], F_DUPFD, 20);
        ::dup2(output.ends[1], 1);
        ::dup2(output.ends[1], 2);
        ::dup2(keyboard.ends[0], 0);
        ::dup2(in, 9);
        ::dup2(out, 8);
        ::close(in);
        ::close(out);
        ::setenv("PATH", path.c_str(), 1);
        ::setenv("LC_ALL", "C.UTF-8", 1);
        ::setenv("XDG_RUNTIME_DIR", folder.c_str(), 1);
        if (::chdir(folder.c_str()) == 0)
            ::execlp("bash", "bash", "--norc", "--noprofile", "-c", loop, static_cast<char*>(nullptr));
        ::_exit(127);
    }
    ::close(commands.ends[0]);
    ::close(ends.ends[1]);
    ::close(output.ends[1]);
    ::close(keyboard.ends[0]);
    keyboard_ = keyboard.ends[1];
    commands_ = commands.ends[1];
    ends_ = ends.ends[0];
    output_ = output.ends[0];
}

TerminalSession::~TerminalSession() {
    ::close(commands_);
    ::close(keyboard_);
    ::close(ends_);
    ::close(output_);
}

void TerminalSession::type(const std::string& command) {
    ipc::check(::write(commands_, command.c_str(), command.size() + 1), "write", "the shell's commands");
    busy_ = true;
}

bool TerminalSession::ended(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (busy_ && std::chrono::steady_clock::now() < until)
        read_some(std::chrono::milliseconds(50));
    return !busy_;
}

void TerminalSession::read_some(std::chrono::milliseconds limit) {
    pollfd files[] = {{output_, POLLIN, 0}, {ends_, POLLIN, 0}};
    if (::poll(files, 2, static_cast<int>(limit.count())) <= 0)
        return;
    char bytes[4096];
    if (files[0].revents & POLLIN) {
        const ssize_t count = ::read(output_, bytes, sizeof bytes);
        printed_.append(bytes, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
    // The output of a command is in the pipe before the news of its end: read that first.
    if ((files[1].revents & POLLIN) && !(files[0].revents & POLLIN) && ::read(ends_, bytes, sizeof bytes) > 0)
        busy_ = false;
    if ((files[1].revents & (POLLIN | POLLHUP)) == POLLHUP)
        busy_ = false;
}

std::vector<std::string> TerminalSession::lines() const {
    std::vector<std::string> result;
    std::istringstream stream(printed_);
    for (std::string line; std::getline(stream, line);) {
        const std::string seen = as_at_a_terminal(line);
        if (seen == line || !seen.empty())
            result.push_back(seen);
    }
    return result;
}

void TerminalSession::take(std::size_t count) {
    std::string rest;
    std::istringstream stream(printed_);
    for (std::string line; std::getline(stream, line);) {
        const std::string seen = as_at_a_terminal(line);
        if (seen != line && seen.empty())
            continue;
        if (count > 0)
            --count;
        else
            rest += line + "\n";
    }
    printed_ = rest;
}

namespace {

std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> all;
    std::error_code ignored;
    for (const auto& task :
         std::filesystem::directory_iterator("/proc/" + std::to_string(parent) + "/task", ignored)) {
        std::ifstream children(task.path() / "children");
        for (pid_t child; children >> child;) {
            all.push_back(child);
            const std::vector<pid_t> further = children_of(child);
            all.insert(all.end(), further.begin(), further.end());
        }
    }
    return all;
}

struct AtWork {
    bool runs = false;
    double seconds = 0;  // of processor time, of those who live
};

AtWork at_work() {
    AtWork all;
    for (const pid_t process : children_of(::getpid())) {
        std::ifstream file("/proc/" + std::to_string(process) + "/stat");
        std::string stat;
        std::getline(file, stat);
        // Behind the name: the state, ten numbers, and then the time for itself and for the kernel, in ticks.
        std::istringstream rest(stat.substr(std::min(stat.size(), stat.rfind(')') + 1)));
        std::string state, skipped;
        double user = 0, kernel = 0;
        rest >> state;
        for (int i = 0; i < 10; ++i)
            rest >> skipped;
        rest >> user >> kernel;
        all.runs |= state == "R" || state == "D";
        all.seconds += (user + kernel) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    }
    return all;
}

}  // namespace

void TerminalSession::settle(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    // Whoever has had a second for itself does not start any more: it works, and will not come to rest.
    const double before = at_work().seconds;
    for (int quiet = 0; quiet < 3 && std::chrono::steady_clock::now() < until;) {
        const AtWork now = at_work();
        if (now.seconds - before > 1)
            return;
        quiet = now.runs ? 0 : quiet + 1;
        read_some(std::chrono::milliseconds(15));
    }
}

void end_everybody() {
    // Who dies leaves its children to us (adopt_orphans), so this ends with nobody.
    for (int turn = 0; turn < 200; ++turn) {
        std::ifstream children("/proc/self/task/" + std::to_string(::getpid()) + "/children");
        for (pid_t child; children >> child;) {
            ::kill(child, SIGCONT);
            ::kill(child, SIGKILL);
        }
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
        if (::waitpid(-1, nullptr, WNOHANG) == -1)
            return;
        ::poll(nullptr, 0, 5);
    }
}

}  // namespace handout
