#include "process.hpp"

#include "failure.hpp"
#include "interrupt.hpp"
#include "ipc/clock.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <fstream>
#include <mutex>
#include <poll.h>
#include <set>
#include <spawn.h>
#include <string_view>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

// Long enough for a judge to kill and reap its subjects under Wine; a second Ctrl-C is not needed.
constexpr std::chrono::milliseconds clean_up_time{5000};

struct Pipe {
    ipc::unique_file read, write;
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) == -1)
            throw Failure(exit_code::machine, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
        read.reset(ends[0]);
        write.reset(ends[1]);
        ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
    }
};

std::mutex children_mutex;
std::set<pid_t> children;  // those that run() waits for

// Only the dead that nobody waits for. Taken from /proc, because waitpid(-1) would take other threads'
// children too.
void bury_orphans() {
    const std::lock_guard lock(children_mutex);
    std::error_code error;
    for (const fs::directory_entry& task : fs::directory_iterator("/proc/self/task", error)) {
        std::ifstream list(task.path() / "children");
        for (pid_t child = 0; list >> child;)
            if (!children.contains(child))
                ::waitpid(child, nullptr, WNOHANG);
    }
}

pid_t start(const Command& command, int output, int errors) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    if (!command.directory.empty())
        posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());

    // A group of its own: the terminal's Ctrl-C reaches only us, and we pass it on once and in order.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
        sigaddset(&signals, signal);
    posix_spawnattr_setsigdefault(&attributes, &signals);

    std::vector<char*> arguments;
    for (const std::string& argument : command.arguments)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    std::vector<char*> environment;
    for (const std::string& entry : command.environment)
        environment.push_back(const_cast<char*>(entry.c_str()));
    // A variable that stood there twice would be whatever the program takes it for; sh takes the last.
    const auto is_replaced = [&](std::string_view entry) {
        const std::string_view name = entry.substr(0, entry.find('=') + 1);
        return std::any_of(command.environment.begin(), command.environment.end(),
                           [&](const std::string& each) { return each.rfind(name, 0) == 0; });
    };
    for (char** entry = environ; *entry; ++entry)
        if (!is_replaced(*entry))
            environment.push_back(*entry);
    environment.push_back(nullptr);

    // Under the lock, or another thread could bury a short-lived child before it is known.
    const std::lock_guard lock(children_mutex);
    pid_t child = -1;
    const int code =
        posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), environment.data());
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0)
        throw Failure(exit_code::machine,
                      fmt::format("cannot start {}: {}. Run './course doctor' to see what is missing",
                                  command.arguments[0], std::strerror(code)));
    children.insert(child);
    return child;
}

// Takes what has arrived, and keeps as much as it may. False at the end of the file.
bool drain(int descriptor, std::string& text, std::size_t most) {
    char buffer[65536];
    for (;;) {
        const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
        if (count > 0)
            text.append(buffer, std::min(static_cast<std::size_t>(count), most - text.size()));
        else if (count == 0)
            return false;
        else if (errno == EAGAIN)
            return true;
        else if (errno != EINTR)
            return false;
    }
}

}  // namespace

Outcome run(const Command& command) {
    stop_if_interrupted();
    Pipe output, errors;
    const pid_t child = start(command, output.write.get(), errors.write.get());
    output.write.reset();
    errors.write.reset();
    const ipc::unique_file ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    if (!ended) {
        const int code = errno;
        ::kill(-child, SIGKILL);
        throw Failure(exit_code::machine,
                      fmt::format("cannot watch {} (pidfd_open: {}); Linux 5.3 or newer is needed",
                                  command.arguments[0], std::strerror(code)));
    }

    Outcome outcome;
    ipc::Deadline limit = ipc::Deadline::in(command.limit);
    bool asked = false, killed = false, output_open = true, errors_open = true;
    for (;;) {
        // The end of the output is not the end of the program, nor the other way round: Wine's servers may
        // keep a pipe open for minutes. So the process itself is waited for.
        pollfd waiting[] = {{ended.get(), POLLIN, 0},
                            {output_open ? output.read.get() : -1, POLLIN, 0},
                            {errors_open ? errors.read.get() : -1, POLLIN, 0},
                            {asked ? -1 : interrupt_descriptor(), POLLIN, 0}};
        ::poll(waiting, 4, limit.poll_ms());
        const bool over = waiting[0].revents != 0;
        if (output_open)
            output_open = drain(output.read.get(), outcome.output, command.most_output);
        if (errors_open)
            errors_open = drain(errors.read.get(), outcome.errors, command.most_output);
        if (over)
            break;
        if (interrupted() && !asked) {
            asked = true;
            limit = ipc::Deadline::in(clean_up_time);
            ::kill(-child, SIGINT);
        } else if (limit.expired() && !killed) {
            outcome.over_limit = !asked;
            // Asked first, because a judge that is killed cannot end its subjects.
            if (!asked) {
                asked = true;
                limit = ipc::Deadline::in(clean_up_time);
                ::kill(-child, SIGINT);
            } else {
                killed = true;
                limit = ipc::Deadline();
                ::kill(-child, SIGKILL);
            }
        }
    }
    // Not yet reaped, so the group's number still belongs to it. Nothing of a program that was stopped stays
    // behind.
    if (asked)
        ::kill(-child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    {
        const std::lock_guard lock(children_mutex);
        children.erase(child);
    }
    bury_orphans();
    stop_if_interrupted();
    outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    outcome.code = outcome.signal ? 128 + outcome.signal : WEXITSTATUS(status);
    return outcome;
}

void adopt_orphans() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void end_adopted(const std::string& word, const std::string& variable) {
    const auto has_variable = [&](pid_t pid) {
        std::ifstream environment(fmt::format("/proc/{}/environ", pid), std::ios::binary);
        for (std::string each; std::getline(environment, each, '\0');)
            if (each == variable)
                return true;
        return false;
    };
    const ipc::Deadline limit = ipc::Deadline::in(std::chrono::seconds(5));
    for (bool some = true; some && !limit.expired();) {
        some = false;
        {
            const std::lock_guard lock(children_mutex);
            std::error_code error;
            for (const fs::directory_entry& task : fs::directory_iterator("/proc/self/task", error)) {
                std::ifstream list(task.path() / "children");
                for (pid_t child = 0; list >> child;) {
                    const fs::path program = fs::read_symlink(fmt::format("/proc/{}/exe", child), error);
                    if (children.contains(child) || program.filename().string().find(word) == std::string::npos ||
                        !has_variable(child))
                        continue;
                    ::kill(child, SIGKILL);
                    some = true;
                }
            }
        }
        bury_orphans();
        if (some)
            ::poll(nullptr, 0, 5);
    }
}

fs::path find_program(const std::string& program) {
    const char* variable = std::getenv("PATH");
    std::string_view rest = variable ? variable : "/usr/local/bin:/usr/bin:/bin";
    while (!rest.empty()) {
        const std::size_t end = std::min(rest.find(':'), rest.size());
        const fs::path candidate = fs::path(rest.substr(0, end)) / program;
        if (::access(candidate.c_str(), X_OK) == 0 && fs::is_regular_file(candidate))
            return candidate;
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return {};
}

std::string shell_line(const std::vector<std::string>& arguments) {
    std::string line;
    for (const std::string& argument : arguments) {
        if (!line.empty())
            line += ' ';
        const bool plain = !argument.empty() &&
                           argument.find_first_not_of(
                               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%") ==
                               std::string::npos;
        if (plain) {
            line += argument;
            continue;
        }
        line += '\'';
        for (const char c : argument)
            line += c == '\'' ? std::string("'\\''") : std::string(1, c);
        line += '\'';
    }
    return line;
}

}  // namespace course
