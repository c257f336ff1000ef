// Alternative: vfork(), two processes instead of two threads or poll(): in filter a forked pump carries the input, as in
// the days before either; splice() moves the bytes where it can; the pipeline is a recursion.

#include "anonymous_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <functional>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace anonymous_pipes {
namespace {

using File = ipc::unique_file;

std::pair<File, File> pipe_ends() {
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    return {File(ends[0]), File(ends[1])};
}

pid_t run(const Command& command, int input, int output) {
    std::vector<char*> words;
    for (const std::string& word : command)
        words.push_back(const_cast<char*>(word.data()));
    words.push_back(nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    volatile int error = 0;  // shared with the child of vfork()
    const auto previous = ::signal(SIGPIPE, SIG_DFL);  // back again once the child has it
    const pid_t child = ::vfork();
    if (child == 0) {
        if ((input < 0 || ::dup2(input, STDIN_FILENO) >= 0) && (output < 0 || ::dup2(output, STDOUT_FILENO) >= 0))
            ::execvp(words[0], words.data());
        error = errno;
        ::_exit(127);
    }
    ::signal(SIGPIPE, previous);
    ipc::check(child, "vfork");
    if (error != 0) {
        ::waitpid(child, nullptr, 0);
        ipc::throw_error(error, "execvp", command[0]);
    }
    return child;
}

ExitCode end_of(pid_t child) {
    int status;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return static_cast<ExitCode>(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

// Moves everything, by splice() where one side is a pipe. Ends with the source, or when the sink has no reader.
void move_all(int from, int to) {
    bool can_splice = true;
    char buffer[16384];
    for (;;) {
        ssize_t count = can_splice ? ::splice(from, nullptr, to, nullptr, 1 << 16, 0) : ::read(from, buffer, sizeof buffer);
        if (count == 0 || (count < 0 && errno == EPIPE))
            return;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && can_splice && errno == EINVAL) {
            can_splice = false;  // neither is a pipe, or the file cannot do it
            continue;
        }
        ipc::check(count, can_splice ? "splice" : "read");
        for (const char* at = buffer; !can_splice && count > 0;) {
            const ssize_t written = ::write(to, at, static_cast<std::size_t>(count));
            if (written < 0 && errno == EINTR)
                continue;
            if (written < 0 && errno == EPIPE)
                return;
            at += ipc::check(written, "write");
            count -= written;
        }
    }
}

}  // namespace

Captured capture(const Command& command) {
    auto [from, to] = pipe_ends();
    const pid_t child = run(command, -1, to.get());
    to.reset();
    Captured captured;
    for (std::size_t have = 0;;) {
        captured.output.resize(have + 65536);
        const ssize_t count = ::read(from.get(), captured.output.data() + have, 65536);
        if (count < 0 && errno == EINTR)
            continue;
        have += static_cast<std::size_t>(ipc::check(count, "read"));
        captured.output.resize(have);
        if (count == 0)
            break;
    }
    captured.exit_code = end_of(child);
    return captured;
}

ExitCode feed(const Command& command) {
    auto [from, to] = pipe_ends();
    const pid_t child = run(command, from.get(), -1);
    from.reset();
    ::signal(SIGPIPE, SIG_IGN);
    move_all(STDIN_FILENO, to.get());
    to.reset();
    return end_of(child);
}

ExitCode filter(const Command& command) {
    auto [input, to_child] = pipe_ends();
    auto [from_child, output] = pipe_ends();
    const pid_t child = run(command, input.get(), output.get());
    input.reset();
    output.reset();
    ::signal(SIGPIPE, SIG_IGN);
    const pid_t parent = ::getpid();
    const pid_t pump = ipc::check(::fork(), "fork");
    if (pump == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent)
            ::_exit(0);
        from_child.reset();
        ::close(STDOUT_FILENO);
        try {
            move_all(STDIN_FILENO, to_child.get());
        } catch (const std::exception&) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    to_child.reset();
    move_all(from_child.get(), STDOUT_FILENO);
    from_child.reset();
    const ExitCode code = end_of(child);
    ::kill(pump, SIGKILL);  // it may wait for input that nobody needs any more
    end_of(pump);
    return code;
}

std::vector<ExitCode> pipeline(const std::vector<Command>& stages) {
    // Starts stage `i` and all behind it; `input` is closed here before anyone is waited for.
    std::function<std::vector<ExitCode>(std::size_t, File)> from = [&](std::size_t i, File input) {
        if (i == stages.size())
            return std::vector<ExitCode>{};
        auto [read_end, write_end] = i + 1 < stages.size() ? pipe_ends() : std::pair<File, File>{};
        const pid_t child = run(stages[i], input.get(), write_end.get());
        input.reset();
        write_end.reset();
        std::vector<ExitCode> codes;
        try {
            codes = from(i + 1, std::move(read_end));
        } catch (...) {
            read_end.reset();
            end_of(child);
            throw;
        }
        codes.insert(codes.begin(), end_of(child));
        return codes;
    };
    return from(0, File());
}

}  // namespace anonymous_pipes
