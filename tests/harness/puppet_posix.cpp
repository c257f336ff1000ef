#include "puppet_system.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace puppet {

struct Channel::State {
    int socket;
};

Channel::Channel(const std::string& endpoint) : state_(new State{}) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (endpoint.size() >= sizeof address.sun_path)
        ::_exit(120);
    std::memcpy(address.sun_path, endpoint.data(), endpoint.size());
    // High up, so that the numbers a test looks at (3, 4, …) are the ones it would see without us.
    const int low = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    state_->socket = ::fcntl(low, F_DUPFD_CLOEXEC, 500);
    ::close(low);
    if (::connect(state_->socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        ::_exit(121);
}

Channel::~Channel() = default;

void Channel::read(char* to, std::size_t size) {
    while (size > 0) {
        const ssize_t count = ::read(state_->socket, to, size);  // not recv: a read is known to wait for ever
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            ::_exit(122);  // the judge is gone
        to += count;
        size -= static_cast<std::size_t>(count);
    }
}

void Channel::write(const char* from, std::size_t size) {
    while (size > 0) {
        const ssize_t count = ::send(state_->socket, from, size, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            ::_exit(122);
        from += count;
        size -= static_cast<std::size_t>(count);
    }
}

namespace {

int descriptor(Standard which) {
    return which == Standard::input ? STDIN_FILENO : which == Standard::output ? STDOUT_FILENO : STDERR_FILENO;
}

pid_t spawned = -1;

}  // namespace

Moved standard_write(Standard which, const char* data, std::size_t size) {
    static const bool quiet = (::signal(SIGPIPE, SIG_IGN), true);  // only now: a child is started with the default
    (void)quiet;
    Moved moved;
    while (moved.count < size) {
        const ssize_t count = ::write(descriptor(which), data + moved.count, size - moved.count);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            moved.error = ::strerrorname_np(errno);
            return moved;
        }
        moved.count += static_cast<std::size_t>(count);
    }
    return moved;
}

Moved standard_read(char* to, std::size_t size) {
    for (;;) {
        const ssize_t count = ::read(STDIN_FILENO, to, size);
        if (count >= 0)
            return {static_cast<std::size_t>(count), ""};
        if (errno != EINTR)
            return {0, ::strerrorname_np(errno)};
    }
}

void close_standard(Standard which) { ::close(descriptor(which)); }

std::uint32_t own_id() { return static_cast<std::uint32_t>(::getpid()); }

std::vector<std::string> arguments(int argc, char** argv) {
    std::vector<std::string> all(argv, argv + argc);
    if (!all.empty())
        all[0] = std::filesystem::read_symlink("/proc/self/exe").string();
    return all;
}

std::vector<std::string> odd_signals() {
    std::vector<std::string> odd;
    sigset_t blocked;
    ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
    for (int signal = 1; signal < SIGRTMIN; ++signal) {
        struct sigaction action {};
        if (::sigaction(signal, nullptr, &action) != 0)
            continue;
        const std::string name = std::string("SIG") + ::sigabbrev_np(signal);
        if (action.sa_handler == SIG_IGN)
            odd.push_back(name + " ignored");
        if (::sigismember(&blocked, signal))
            odd.push_back(name + " blocked");
    }
    return odd;
}

std::map<std::string, std::string> environment() {
    std::map<std::string, std::string> all;
    for (char** entry = environ; *entry; ++entry)
        if (const char* equals = std::strchr(*entry, '='))
            all.emplace(std::string(*entry, static_cast<std::size_t>(equals - *entry)), equals + 1);
    return all;
}

std::string current_directory() { return std::filesystem::current_path().string(); }

std::vector<std::string> descriptors(const Channel&) {
    std::vector<std::string> open;
    for (int number = 0; number < 500; ++number) {
        char target[512];
        const std::string link = "/proc/self/fd/" + std::to_string(number);
        const ssize_t length = ::readlink(link.c_str(), target, sizeof target);
        if (length > 0)
            open.push_back(std::to_string(number) + " " + std::string(target, static_cast<std::size_t>(length)));
    }
    return open;
}

void ignore_polite_requests() {
    ::signal(SIGTERM, SIG_IGN);
    ::signal(SIGINT, SIG_IGN);
    ::signal(SIGHUP, SIG_IGN);
}

std::uint32_t spawn(const std::string& program, const std::string& endpoint, bool detached) {
    spawned = ::fork();
    if (spawned == 0) {
        if (detached)
            ::setsid();
        ::execl(program.c_str(), program.c_str(), endpoint.c_str(), nullptr);
        ::_exit(123);
    }
    return static_cast<std::uint32_t>(spawned);
}

std::uint32_t reap() {
    int status = 0;
    while (::waitpid(spawned, &status, 0) < 0 && errno == EINTR) {
    }
    return static_cast<std::uint32_t>(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

void end(std::uint32_t code) { ::_exit(static_cast<int>(code)); }

void crash(const std::string& how) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    const int signal = how == "segv" ? SIGSEGV : how == "kill" ? SIGKILL : SIGABRT;
    ::signal(signal, SIG_DFL);
    ::raise(signal);
    ::_exit(124);
}

void hold() {
    for (;;)
        ::pause();
}

}  // namespace puppet
