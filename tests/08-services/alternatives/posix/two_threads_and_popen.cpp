// Lab 08, posix track: another way. One thread waits for the manager's orders, another one serves; they share a few flags and
// an event. systemctl is run by popen(), its answer read one property at a time.

#include "services.hpp"

#include "control_channel.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace services {
namespace {

// A name becomes part of paths and of systemctl's command line: no slash, and no dash or dot in front.
void check_name(const std::string& name) {
    constexpr const char* letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const bool allowed = !name.empty() && name.size() <= 200 && std::strchr(letters, name[0]) &&
                         name.find_first_not_of(std::string(letters) + "-_.:") == std::string::npos;
    if (!allowed)
        ipc::throw_error(EINVAL, "service name", "'" + name + "'; take letters, digits and - _ . :");
}

using std::chrono::steady_clock;

// ---- telling the manager ------------------------------------------------------------------------------------------------

// One datagram; safe from any thread, since it shares nothing.
void tell_manager(const std::string& lines) {
    const char* where = std::getenv("NOTIFY_SOCKET");
    if (!where || !*where)
        return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t length = std::strlen(where);
    if (length >= sizeof address.sun_path)
        ipc::throw_error(ENAMETOOLONG, "NOTIFY_SOCKET", where);
    std::memcpy(address.sun_path, where, length);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = 0;
    const ipc::unique_file socket(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
    iovec part{const_cast<char*>(lines.data()), lines.size()};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ipc::check(::sendmsg(socket.get(), &message, MSG_NOSIGNAL), "sendmsg", std::string("NOTIFY_SOCKET=") + where);
}

std::chrono::microseconds watchdog() {
    const char *time = std::getenv("WATCHDOG_USEC"), *pid = std::getenv("WATCHDOG_PID");
    const bool ours = std::getenv("NOTIFY_SOCKET") && (!pid || std::to_string(::getpid()) == pid);
    return std::chrono::microseconds(time && ours ? std::atoll(time) : 0);
}

// ---- the service ----------------------------------------------------------------------------------------------------------

class TwoThreads {
public:
    TwoThreads(const Service& service, Application& application)
        : application_(application), runtime_(service.runtime), wake_(ipc::check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
        for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1})
            ::sigaddset(&orders_, signal);
        // Before the thread is made: it inherits the mask, and no order reaches it.
        ::pthread_sigmask(SIG_BLOCK, &orders_, nullptr);
    }

    void run() {
        if (::mkdir(runtime_.c_str(), 0755) != 0 && errno != EEXIST)
            ipc::throw_last_error("mkdir", runtime_);
        const ipc::unique_file lock(ipc::check(::open((runtime_ + "/lock").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644), "open", runtime_ + "/lock"));
        ipc::check(::flock(lock.get(), LOCK_EX | LOCK_NB), "flock", runtime_ + "/lock, held by another instance");
        std::exception_ptr failure;
        std::thread server([&] {
            try {
                serve();
            } catch (...) {
                failure = std::current_exception();
            }
            over_ = true;
            ::kill(::getpid(), SIGUSR1);
        });
        while (!over_)
            hear_one();
        server.join();
        if (failure)
            std::rethrow_exception(failure);
    }

private:
    void hear_one() {
        int signal = 0;
        ::sigwait(&orders_, &signal);
        if (signal == SIGHUP)
            reload_ = true;
        else if (signal != SIGUSR1 && !stop_.exchange(true) && !over_)
            tell_manager("STOPPING=1\nSTATUS=on the way down");
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
    }

    void serve() {
        if (!application_.load([this](const std::string& what) {
                tell_manager("EXTEND_TIMEOUT_USEC=3000000\nSTATUS=" + what);
                return !stop_;
            }))
            return;
        const std::string path = control_channel::address(runtime_);
        const ipc::unique_file listener(ipc::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
        // Bound under another name, made private, and only then moved to the one that clients know.
        const std::string fresh = path + "~";
        sockaddr_un fresh_address = control_channel::socket_address(fresh);
        ::unlink(fresh.c_str());
        ipc::check(::bind(listener.get(), reinterpret_cast<sockaddr*>(&fresh_address), sizeof fresh_address), "bind", fresh);
        ipc::check(::chmod(fresh.c_str(), 0600), "chmod", fresh);
        ipc::check(::listen(listener.get(), 8), "listen", fresh);
        ipc::check(::rename(fresh.c_str(), path.c_str()), "rename", path);
        struct Name {
            const std::string& path;
            ~Name() { ::unlink(path.c_str()); }
        } goes_with_us{path};
        tell_manager("READY=1\nMAINPID=" + std::to_string(::getpid()));
        application_.ready(path);
        control_channel::Clients clients(listener.get());
        auto fed = steady_clock::now();
        while (!stop_) {
            const auto every = std::chrono::duration_cast<std::chrono::milliseconds>(watchdog()) / 3;
            std::vector<pollfd> watched = {{wake_.get(), POLLIN, 0}};
            clients.watch(watched);
            ::poll(watched.data(), watched.size(), every.count() > 0 ? static_cast<int>(every.count()) : -1);
            std::uint64_t count = 0;
            [[maybe_unused]] const ssize_t read = ::read(wake_.get(), &count, sizeof count);
            if (every.count() > 0 && steady_clock::now() - fed >= every) {
                tell_manager("WATCHDOG=1");
                fed = steady_clock::now();
            }
            if (reload_.exchange(false))
                reload();
            clients.attend([this](int client, const std::string& request) { return answer(client, request); });
        }
    }

    void reload() {
        const auto now = std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now().time_since_epoch()).count();
        tell_manager("MONOTONIC_USEC=" + std::to_string(now) + "\nRELOADING=1");
        try {
            application_.reload();
            application_.log("reloaded", {});
        } catch (const std::exception& error) {
            application_.log("reload-failed", {{"error", error.what()}});
        }
        tell_manager("READY=1");
    }

    std::string answer(int client, const std::string& request) {
        ucred who{};
        socklen_t size = sizeof who;
        ipc::check(::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size), "getsockopt");
        application_.log("request", {{"pid", std::to_string(who.pid)}, {"user", std::to_string(who.uid)}, {"text", request}});
        return application_.answer(request, [this](const std::string& what) {
            std::string lines = "STATUS=" + what;
            if (watchdog().count() > 0)
                lines += "\nWATCHDOG=1";
            if (stop_)
                lines += "\nEXTEND_TIMEOUT_USEC=3000000";
            tell_manager(lines);
            return !stop_;
        });
    }

    Application& application_;
    std::string runtime_;
    ipc::unique_file wake_;
    sigset_t orders_{};
    std::atomic<bool> stop_ = false, reload_ = false, over_ = false;
};

// ---- systemctl, by a shell -------------------------------------------------------------------------------------------------

// Names are checked before they come here: nothing in them means anything to a shell.
std::string systemctl(const std::string& words) {
    FILE* pipe = ::popen(("systemctl " + words).c_str(), "r");
    if (!pipe)
        ipc::throw_last_error("popen");
    std::string text;
    std::array<char, 512> buffer;
    while (const std::size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
        text.append(buffer.data(), count);
    const int status = ::pclose(pipe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error("systemctl " + words + " failed");
    return text;
}

std::string property(const std::string& name, const std::string& key) {
    std::string value = systemctl("show --value -p " + key + " " + name + ".service");
    return value.substr(0, value.find('\n'));
}

std::string escaped(const std::string& path) {
    std::string text;
    for (const char c : std::filesystem::absolute(path).string()) {
        char code[5];
        if (c == '%' || c == '$')
            text += std::string(2, c);
        else if (std::strchr("\"'\\ \t\n;", c)) {
            std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
            text += code;
        } else
            text += c;
    }
    return text;
}

std::string contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

void replace(const std::string& path, const std::string& text) {
    const std::string fresh = path + "~";
    const ipc::unique_file made(ipc::check(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), "open", fresh));
    ipc::check(::write(made.get(), text.data(), text.size()), "write", fresh);
    ipc::check(::rename(fresh.c_str(), path.c_str()), "rename", path);
}

}  // namespace

void run(const Service& service, Application& application) {
    check_name(service.name);
    try {
        TwoThreads(service, application).run();
    } catch (const std::exception& error) {
        application.log("failed", {{"error", error.what()}});
        throw;
    }
}

void install(const Service& service) {
    check_name(service.name);
    const std::string path = service.unit_dir + "/" + service.name + ".service", before = contents(path);
    std::string unit = "[Service]\nType=notify\nNotifyAccess=main\nRestart=always\nWatchdogSec=1min\nRuntimeDirectory=" + service.name +
                       "\nExecReload=kill -HUP $MAINPID\nExecStart=" + escaped(std::filesystem::canonical("/proc/self/exe")) + " run " + service.name;
    if (!service.config.empty())
        unit += " --config " + escaped(service.config);
    if (!service.log.empty())
        unit += " --log " + escaped(service.log);
    replace(path, unit + "\n[Install]\nWantedBy=default.target\n");
    try {
        systemctl("daemon-reload");
    } catch (...) {
        before.empty() ? static_cast<void>(std::filesystem::remove(path)) : replace(path, before);
        throw;
    }
}

void remove(const Service& service) {
    check_name(service.name);
    const std::string path = service.unit_dir + "/" + service.name + ".service";
    if (!std::filesystem::exists(path))
        ipc::throw_error(ENOENT, "remove", path);
    systemctl("stop " + service.name);
    systemctl("disable " + service.name);
    std::filesystem::remove(path);
    systemctl("daemon-reload");
}

void start(const std::string& name) {
    check_name(name);
    systemctl("start " + name);
}

void stop(const std::string& name) {
    check_name(name);
    systemctl("stop " + name);
}

void reload(const std::string& name) {
    check_name(name);
    systemctl("reload " + name);
}

Status status(const std::string& name) {
    check_name(name);
    Status status;
    const std::string active = property(name, "ActiveState");
    if (active == "inactive")
        status.state = property(name, "LoadState") == "not-found" ? State::not_installed : State::stopped;
    else
        status.state = active == "failed" ? State::failed : active == "active" ? State::running : active == "activating" ? State::starting : active == "reloading" ? State::reloading : State::stopping;
    status.pid = std::strtoul(property(name, "MainPID").c_str(), nullptr, 10);
    status.text = property(name, "StatusText");
    return status;
}

}  // namespace services
