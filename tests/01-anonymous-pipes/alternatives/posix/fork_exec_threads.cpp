// Alternative: fork() and execvp() with a report pipe, pipes that are closed by hand in the child, and in filter a thread
// for the input.

#include "anonymous_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace anonymous_pipes {
namespace {

struct Pipe {
    int read_end = -1, write_end = -1;
    Pipe() = default;
    Pipe(const Pipe&) = delete;
    ~Pipe() {
        close_read();
        close_write();
    }
    void make() {
        int ends[2];
        ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
        read_end = ends[0];
        write_end = ends[1];
    }
    void close_read() { drop(read_end); }
    void close_write() { drop(write_end); }

private:
    static void drop(int& end) {
        if (end != -1)
            ::close(end);
        end = -1;
    }
};

pid_t spawn(const Command& command, int input, int output) {
    std::vector<char*> words;
    for (const std::string& word : command)
        words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);

    Pipe report;  // closed by exec without a word, or errno in it
    report.make();
    const pid_t child = ipc::check(::fork(), "fork");
    if (child == 0) {
        ::signal(SIGPIPE, SIG_DFL);
        if (input != -1)
            ::dup2(input, 0);
        if (output != -1)
            ::dup2(output, 1);
        ::execvp(words[0], words.data());
        const int error = errno;
        [[maybe_unused]] const ssize_t told = ::write(report.write_end, &error, sizeof error);
        ::_exit(127);
    }
    report.close_write();
    int error = 0;
    ssize_t count;
    do
        count = ::read(report.read_end, &error, sizeof error);
    while (count == -1 && errno == EINTR);
    if (count > 0) {
        while (::waitpid(child, nullptr, 0) == -1 && errno == EINTR) {
        }
        ipc::throw_error(error, "execvp", command[0]);
    }
    return child;
}

ExitCode reap(pid_t child) {
    siginfo_t info{};
    int result;
    do
        result = ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED);
    while (result == -1 && errno == EINTR);
    ipc::check(result, "waitid");
    return static_cast<ExitCode>(info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status);
}

ssize_t read_again(int file, char* to, std::size_t size) {
    ssize_t count;
    do
        count = ::read(file, to, size);
    while (count == -1 && errno == EINTR);
    return ipc::check(count, "read");
}

bool send(int file, const char* from, ssize_t size) {
    for (ssize_t sent = 0; sent < size;) {
        const ssize_t count = ::write(file, from + sent, static_cast<std::size_t>(size - sent));
        if (count >= 0)
            sent += count;
        else if (errno == EPIPE)
            return false;
        else if (errno != EINTR)
            ipc::throw_last_error("write");
    }
    return true;
}

}  // namespace

Captured capture(const Command& command) {
    Pipe out;
    out.make();
    const pid_t child = spawn(command, -1, out.write_end);
    out.close_write();
    Captured result;
    std::vector<char> chunk(4096);
    while (const ssize_t count = read_again(out.read_end, chunk.data(), chunk.size()))
        result.output.append(chunk.data(), static_cast<std::size_t>(count));
    result.exit_code = reap(child);
    return result;
}

ExitCode feed(const Command& command) {
    ::signal(SIGPIPE, SIG_IGN);
    Pipe in;
    in.make();
    const pid_t child = spawn(command, in.read_end, -1);
    in.close_read();
    std::vector<char> chunk(8192);
    while (const ssize_t count = read_again(0, chunk.data(), chunk.size()))
        if (!send(in.write_end, chunk.data(), count))
            break;
    in.close_write();
    return reap(child);
}

ExitCode filter(const Command& command) {
    ::signal(SIGPIPE, SIG_IGN);
    Pipe in, out;
    in.make();
    out.make();
    const pid_t child = spawn(command, in.read_end, out.write_end);
    in.close_read();
    out.close_write();

    // The thread must also end when the child does, while standard input goes on: so it waits for either.
    const ipc::unique_file over(ipc::check(::eventfd(0, EFD_CLOEXEC), "eventfd"));
    std::thread sender([&] {
        std::vector<char> chunk(32768);
        for (;;) {
            pollfd either[3] = {{0, POLLIN, 0}, {over.get(), POLLIN, 0}, {in.write_end, 0, 0}};
            if (::poll(either, 3, -1) == -1)
                continue;  // EINTR
            if (either[1].revents || either[2].revents)
                break;
            const ssize_t count = read_again(0, chunk.data(), chunk.size());
            if (count == 0 || !send(in.write_end, chunk.data(), count))
                break;
        }
        in.close_write();
    });
    std::vector<char> chunk(32768);
    while (const ssize_t count = read_again(out.read_end, chunk.data(), chunk.size()))
        if (!send(1, chunk.data(), count))
            break;
    out.close_read();
    ::eventfd_write(over.get(), 1);
    const ExitCode code = reap(child);  // before the thread: one blocked in write() comes back when the reader is gone
    sender.join();
    return code;
}

std::vector<ExitCode> pipeline(const std::vector<Command>& stages) {
    std::vector<pid_t> children;
    std::vector<Pipe> pipes(stages.size());  // pipes[i] leads from stage i to stage i + 1
    auto wait_for_all = [&] {
        std::vector<ExitCode> codes;
        for (pid_t child : children)
            codes.push_back(reap(child));
        return codes;
    };
    for (std::size_t i = 0; i < stages.size(); ++i) {
        if (i + 1 < stages.size())
            pipes[i].make();
        try {
            children.push_back(spawn(stages[i], i > 0 ? pipes[i - 1].read_end : -1, pipes[i].write_end));
        } catch (...) {
            for (Pipe& pipe : pipes) {
                pipe.close_read();
                pipe.close_write();
            }
            wait_for_all();
            throw;
        }
        pipes[i].close_write();
        if (i > 0)
            pipes[i - 1].close_read();
    }
    return wait_for_all();
}

}  // namespace anonymous_pipes
