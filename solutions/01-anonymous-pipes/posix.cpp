// Lab 01, posix track: the reference solution.

#include "anonymous_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace anonymous_pipes {
namespace {

struct Pipe {
    ipc::unique_file read_end, write_end;
};

// Close-on-exec from birth: a child gets only the end that is given to it as a standard stream, so no sibling can
// keep a pipe open that is none of its business.
Pipe make_pipe() {
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    return {ipc::unique_file(ends[0]), ipc::unique_file(ends[1])};
}

// Starts `command` with the given standard input and output; -1 leaves the caller's own.
pid_t start(const Command& command, int input, int output) {
    std::vector<char*> arguments;
    for (const std::string& word : command)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    if (input != -1)
        ::posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    if (output != -1)
        ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);

    // We ignore SIGPIPE; the child must not inherit that, or `yes | head` would never end.
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t defaults;
    ::sigemptyset(&defaults);
    ::sigaddset(&defaults, SIGPIPE);
    ::posix_spawnattr_setsigdefault(&attributes, &defaults);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

    pid_t child = -1;
    const int error = ::posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        ipc::throw_error(error, "posix_spawnp", command[0]);
    return child;
}

ExitCode wait_for(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) == -1)
        if (errno != EINTR)
            ipc::throw_last_error("waitpid");
    return static_cast<ExitCode>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

using Buffer = std::array<char, 64 * 1024>;

// Some bytes, or 0 at the end. A signal is no end.
std::size_t read_some(int file, Buffer& buffer) {
    for (;;) {
        const ssize_t count = ::read(file, buffer.data(), buffer.size());
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (errno != EINTR)
            ipc::throw_last_error("read");
    }
}

// All of it, or false when nobody reads any more.
bool write_all(int file, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t count = ::write(file, data, size);
        if (count == -1 && errno == EINTR)
            continue;
        if (count == -1 && errno == EPIPE)
            return false;
        ipc::check(count, "write");
        data += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

// One direction of a filter: what came from the source and has not gone into the sink yet, never more than a buffer.
struct Flow {
    int source, sink;
    std::string waiting;

    bool open() const { return sink != -1; }
    pollfd watch_source() const { return {open() && waiting.empty() ? source : -1, POLLIN, 0}; }
    pollfd watch_sink() const { return {sink, static_cast<short>(waiting.empty() ? 0 : POLLOUT), 0}; }  // POLLERR comes unasked

    void move(short source_ready, short sink_ready) {
        if (source_ready) {
            Buffer buffer;
            waiting.assign(buffer.data(), read_some(source, buffer));
            if (waiting.empty())
                sink = -1;
        } else if (sink_ready && waiting.empty()) {
            sink = -1;  // POLLERR: nobody reads any more
        } else if (sink_ready) {
            // poll() promises room for PIPE_BUF bytes; a larger write could wait for a child that waits for us.
            const std::size_t size = std::min<std::size_t>(waiting.size(), PIPE_BUF);
            if (write_all(sink, waiting.data(), size))
                waiting.erase(0, size);
            else
                sink = -1;
        }
    }
};

}  // namespace

Captured capture(const Command& command) {
    Pipe out = make_pipe();
    const pid_t child = start(command, -1, out.write_end.get());
    out.write_end.reset();  // or the last writer would be ourselves, and end of file would never come

    // First the output, then the exit code: a child that fills the pipe cannot end before somebody has read.
    Captured captured;
    Buffer buffer;
    while (const std::size_t count = read_some(out.read_end.get(), buffer))
        captured.output.append(buffer.data(), count);
    captured.exit_code = wait_for(child);
    return captured;
}

ExitCode feed(const Command& command) {
    ::signal(SIGPIPE, SIG_IGN);  // a reader that hangs up becomes EPIPE, which we can handle
    Pipe in = make_pipe();
    const pid_t child = start(command, in.read_end.get(), -1);
    in.read_end.reset();  // or we would be a reader ourselves, and never learn that the child has gone

    Buffer buffer;
    while (const std::size_t count = read_some(STDIN_FILENO, buffer))
        if (!write_all(in.write_end.get(), buffer.data(), count))
            break;
    in.write_end.reset();
    return wait_for(child);
}

ExitCode filter(const Command& command) {
    ::signal(SIGPIPE, SIG_IGN);
    Pipe in = make_pipe(), out = make_pipe();
    const pid_t child = start(command, in.read_end.get(), out.write_end.get());
    in.read_end.reset();
    out.write_end.reset();

    Flow to_child{STDIN_FILENO, in.write_end.get(), {}};
    Flow from_child{out.read_end.get(), STDOUT_FILENO, {}};
    while (from_child.open()) {
        pollfd watched[4] = {to_child.watch_source(), to_child.watch_sink(), from_child.watch_source(), from_child.watch_sink()};
        if (::poll(watched, 4, -1) == -1) {
            if (errno == EINTR)
                continue;
            ipc::throw_last_error("poll");
        }
        to_child.move(watched[0].revents, watched[1].revents);
        from_child.move(watched[2].revents, watched[3].revents);
        if (!to_child.open())
            in.write_end.reset();  // end of file for the child
    }
    in.write_end.reset();
    out.read_end.reset();  // a child that still writes learns that nobody reads
    return wait_for(child);
}

std::vector<ExitCode> pipeline(const std::vector<Command>& stages) {
    std::vector<pid_t> children;
    ipc::unique_file input;  // the read end that the next stage gets; none for the first
    try {
        for (std::size_t i = 0; i < stages.size(); ++i) {
            const bool last = i + 1 == stages.size();
            Pipe next = last ? Pipe{} : make_pipe();
            children.push_back(start(stages[i], input.get(), next.write_end.get()));
            input = std::move(next.read_end);  // the write end closes here, the read end with the next turn
        }
    } catch (...) {
        input.reset();  // those that run already get end of file, or EPIPE
        for (pid_t child : children)
            wait_for(child);
        throw;
    }
    std::vector<ExitCode> codes;
    for (pid_t child : children)
        codes.push_back(wait_for(child));
    return codes;
}

}  // namespace anonymous_pipes
