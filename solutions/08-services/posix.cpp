// Lab 08, posix track: the reference solution.

#include "services.hpp"

#include "control_channel.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <optional>
#include <poll.h>
#include <spawn.h>
#include <stdexcept>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace services {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

// A name becomes part of paths and of systemctl's command line: no slash, and no dash or dot in front.
void check_name(const std::string& name) {
    constexpr const char* letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const bool allowed = !name.empty() && name.size() <= 200 && std::strchr(letters, name[0]) &&
                         name.find_first_not_of(std::string(letters) + "-_.:") == std::string::npos;
    if (!allowed)
        ipc::throw_error(EINVAL, "service name", "'" + name + "'; take letters, digits and - _ . :");
}

// ---- talking to the manager -------------------------------------------------------------------------------------------

std::uint64_t number_in(const char* variable) {
    const char* text = std::getenv(variable);
    std::uint64_t number = 0;
    if (text)
        std::from_chars(text, text + std::strlen(text), number);
    return number;
}

std::string monotonic_usec() {
    const auto now = steady_clock::now().time_since_epoch();  // CLOCK_MONOTONIC, as the manager reads it
    return std::to_string(std::chrono::duration_cast<microseconds>(now).count());
}

// The sd_notify protocol: a datagram is a few lines of KEY=VALUE. Nobody answers.
class Manager {
public:
    Manager() {
        const char* text = std::getenv("NOTIFY_SOCKET");
        if (!text || !*text)
            return;
        path_ = text;
        if ((path_[0] != '/' && path_[0] != '@') || path_.size() >= sizeof address_.sun_path)
            ipc::throw_error(EINVAL, "NOTIFY_SOCKET", path_ + ", which is neither /PATH nor @NAME; unset it to run by hand");
        address_.sun_family = AF_UNIX;
        std::memcpy(address_.sun_path, path_.data(), path_.size());
        if (path_[0] == '@')
            address_.sun_path[0] = '\0';
        socket_.reset(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket", "AF_UNIX"));
        // Only the process that the manager has started is meant; an exec'd wrapper would have left us its variables.
        const std::uint64_t whom = number_in("WATCHDOG_PID");
        if (whom == 0 || whom == static_cast<std::uint64_t>(::getpid()))
            watchdog_ = microseconds(number_in("WATCHDOG_USEC"));
    }

    void tell(const std::string& lines) {
        if (!socket_)
            return;
        // An abstract name has no end mark: it is as long as the address says, so the address must not say more.
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
        if (::sendto(socket_.get(), lines.data(), lines.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address_), size) == -1)
            ipc::throw_last_error("sendto", "NOTIFY_SOCKET=" + path_ + ", where no service manager listens; unset it to run by hand");
        if (lines.find("WATCHDOG=1") != std::string::npos)
            fed_ = steady_clock::now();
    }

    bool wants_watchdog() const { return watchdog_.count() > 0; }
    // Milliseconds until the next WATCHDOG=1 is due, half of the time that we have; -1: never.
    int watchdog_ms() const {
        if (!wants_watchdog())
            return -1;
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(fed_ + watchdog_ / 2 - steady_clock::now());
        return static_cast<int>(std::max<long long>(left.count(), 0));
    }

private:
    std::string path_;
    sockaddr_un address_{};
    ipc::unique_file socket_;
    microseconds watchdog_{0};
    steady_clock::time_point fed_ = steady_clock::now();
};

// How much longer than planned we may take from this moment on, until we say so again.
const std::string more_time = "EXTEND_TIMEOUT_USEC=10000000\n";

// ---- being the only one -----------------------------------------------------------------------------------------------

// The lock is what counts, not the file: it goes with its holder, however he ends. So the file is never removed; between
// somebody's open() and flock() it would be another one's.
ipc::unique_file take_lock(const std::string& runtime) {
    if (::mkdir(runtime.c_str(), 0700) == -1 && errno != EEXIST)
        ipc::throw_last_error("mkdir", runtime + "; as an ordinary user take --runtime DIR");
    const std::string path = runtime + "/lock";
    ipc::unique_file lock(ipc::check(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open", path));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == -1)
        ipc::throw_last_error("flock", path + ", which another instance holds; is the service running already?");
    return lock;
}

// The control socket, and its name, which goes with us. Only for who holds the lock.
class ControlSocket {
public:
    explicit ControlSocket(std::string path) : path_(std::move(path)) {
        const sockaddr_un address = control_channel::socket_address(path_);
        socket_.reset(ipc::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket", "AF_UNIX"));
        ::unlink(path_.c_str());  // left by somebody who was killed
        const mode_t umask = ::umask(0177);  // the socket is born as it shall be; chmod() would come too late
        const int bound = ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
        ::umask(umask);
        ipc::check(bound, "bind", path_);
        ipc::check(::listen(socket_.get(), 16), "listen", path_);
    }
    ControlSocket(const ControlSocket&) = delete;
    ~ControlSocket() { ::unlink(path_.c_str()); }
    int get() const { return socket_.get(); }

private:
    std::string path_;
    ipc::unique_file socket_;
};

// ---- the service ------------------------------------------------------------------------------------------------------

Peer peer_of(int client) {
    ucred peer{};
    socklen_t size = sizeof peer;
    ipc::check(::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size), "getsockopt", "SO_PEERCRED");
    return {static_cast<unsigned long>(peer.pid), std::to_string(peer.uid)};
}

// The signals that the manager sends, as something to poll() for: none is lost, and none interrupts anything.
ipc::unique_file manager_signals() {
    sigset_t signals;
    ::sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP})
        ::sigaddset(&signals, signal);
    ipc::check(::sigprocmask(SIG_BLOCK, &signals, nullptr), "sigprocmask");
    return ipc::unique_file(ipc::check(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

class Running {
public:
    Running(const Service& service, Application& application)
        : service_(service), application_(application), signals_(manager_signals()), lock_(take_lock(service.runtime)) {}

    void run() {
        if (!application_.load([this](const std::string& what) { return starting(what); }))
            return;
        const std::string address = control_channel::address(service_.runtime);
        const ControlSocket socket(address);
        control_channel::Clients clients(socket.get());
        manager_.tell("READY=1\nSTATUS=serving\nMAINPID=" + std::to_string(::getpid()) + "\n");
        application_.log("ready", {{"address", address}});
        application_.ready(address);
        while (!stopping_) {
            wait(clients);
            if (manager_.watchdog_ms() == 0)
                manager_.tell("WATCHDOG=1\n");
            take_signals();
            if (std::exchange(reload_wanted_, false))
                reload();
            clients.attend([this](int client, const std::string& request) { return answer(client, request); });
        }
        application_.log("stopped", {});
    }

private:
    // Until somebody wants something, or the watchdog.
    void wait(const control_channel::Clients& clients) {
        std::vector<pollfd> watched = {{signals_.get(), POLLIN, 0}};
        clients.watch(watched);
        if (::poll(watched.data(), watched.size(), manager_.watchdog_ms()) == -1 && errno != EINTR)
            ipc::throw_last_error("poll");
    }

    void take_signals() {
        signalfd_siginfo info;
        while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGHUP) {
                reload_wanted_ = true;
            } else if (!std::exchange(stopping_, true)) {
                manager_.tell("STOPPING=1\nSTATUS=stopping\n");
                application_.log("stopping", {{"pid", std::to_string(info.ssi_pid)}, {"user", std::to_string(info.ssi_uid)}});
            }
        }
    }

    bool starting(const std::string& what) {
        take_signals();
        manager_.tell("STATUS=" + what + "\n" + more_time);
        return !stopping_;
    }

    std::string answer(int client, const std::string& request) {
        const Peer peer = peer_of(client);
        application_.log("request", {{"pid", std::to_string(peer.pid)}, {"user", peer.user}, {"text", request}});
        return application_.answer(request, [this](const std::string& what) {
            take_signals();
            // The watchdog is fed here and in the loop, by the one who works: whoever is stuck falls silent.
            manager_.tell("STATUS=" + what + "\n" + (manager_.wants_watchdog() ? "WATCHDOG=1\n" : "") + (stopping_ ? more_time : ""));
            return !stopping_;
        });
    }

    void reload() {
        manager_.tell("RELOADING=1\nMONOTONIC_USEC=" + monotonic_usec() + "\nSTATUS=reloading\n");
        std::string status = "serving";
        try {
            application_.reload();
            application_.log("reloaded", {});
        } catch (const std::exception& error) {
            application_.log("reload-failed", {{"error", error.what()}});
            status = std::string("serving with the old configuration: ") + error.what();
        }
        manager_.tell("READY=1\nSTATUS=" + status + "\n");
    }

    const Service& service_;
    Application& application_;
    Manager manager_;
    ipc::unique_file signals_;
    ipc::unique_file lock_;
    bool stopping_ = false, reload_wanted_ = false;
};

// ---- the unit file ----------------------------------------------------------------------------------------------------

std::string absolute(const std::string& path) { return std::filesystem::absolute(path).lexically_normal().string(); }

// One word of a command line as systemd reads it: % and $ have a meaning even within quotes.
std::string quoted(const std::string& word) {
    std::string text = "\"";
    for (const char c : word) {
        if (c == '"' || c == '\\')
            text += '\\';
        else if (c == '%' || c == '$')
            text += c;
        if (c == '\n')
            text += "\\n";
        else
            text += c;
    }
    return text + "\"";
}

std::string unit_for(const Service& service) {
    std::string command = quoted(std::filesystem::read_symlink("/proc/self/exe").string()) + " run " + service.name;
    if (!service.config.empty())
        command += " --config " + quoted(absolute(service.config));
    if (!service.log.empty())
        command += " --log " + quoted(absolute(service.log));
    return "[Unit]\n"
           "Description=IPC Labs service " + service.name + "\n"
           "\n"
           "[Service]\n"
           "Type=notify\n"
           "ExecStart=" + command + "\n"
           "ExecReload=/bin/kill -HUP $MAINPID\n"
           "RuntimeDirectory=" + service.name + "\n"
           "RuntimeDirectoryMode=0700\n"
           "WatchdogSec=30\n"
           "Restart=on-failure\n"
           "NoNewPrivileges=yes\n"
           "\n"
           "[Install]\n"
           "WantedBy=multi-user.target\n";
}

std::string unit_path(const Service& service) { return service.unit_dir + "/" + service.name + ".service"; }

// Whole or not at all, also for somebody who reads the directory just now.
void write_file(const std::string& path, const std::string& text) {
    const std::string fresh = path + ".new";
    ipc::unique_file file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file)
        ipc::throw_last_error("open", fresh + (errno == EACCES ? "; unit files are the administrator's: try sudo, or --unit-dir DIR" : ""));
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t count = ::write(file.get(), text.data() + done, text.size() - done);
        if (count == -1)
            ::unlink(fresh.c_str());
        done += static_cast<std::size_t>(ipc::check(count, "write", fresh));
    }
    ipc::check(::rename(fresh.c_str(), path.c_str()), "rename", path);
}

// What is there now; nothing if there is no such file.
std::optional<std::string> read_file(const std::string& path) {
    ipc::unique_file file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file && errno == ENOENT)
        return std::nullopt;
    ipc::check(file.get(), "open", path);
    std::string text;
    std::array<char, 4096> buffer;
    while (const ssize_t count = ipc::check(::read(file.get(), buffer.data(), buffer.size()), "read", path))
        text.append(buffer.data(), static_cast<std::size_t>(count));
    return text;
}

// ---- systemctl --------------------------------------------------------------------------------------------------------

// Runs it with its standard output going to `output`; -1: to ours. Returns its exit code.
int run_systemctl(const std::vector<std::string>& words, int output) {
    std::vector<char*> arguments = {const_cast<char*>("systemctl")};
    for (const std::string& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    if (output != -1)
        ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    pid_t child = -1;
    const int error = ::posix_spawnp(&child, "systemctl", &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        throw std::runtime_error("systemctl: " + std::generic_category().message(error) + "; this system is not run by systemd, or PATH is wrong");
    int status = 0;
    while (::waitpid(child, &status, 0) == -1)
        if (errno != EINTR)
            ipc::throw_last_error("waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void systemctl(const std::vector<std::string>& words) {
    const int code = run_systemctl(words, -1);
    if (code == 0)
        return;
    std::string command = "systemctl";
    for (const std::string& word : words)
        command += " " + word;
    throw std::runtime_error(command + " has failed with exit code " + std::to_string(code) + "; its own words are above, more may be in: journalctl -xe");
}

std::string unit_of(const std::string& name) {
    check_name(name);
    return name + ".service";
}

// What `systemctl show` says: KEY=VALUE, a line each.
std::map<std::string, std::string> properties_of(const std::string& unit) {
    int ends[2];
    ipc::check(::pipe2(ends, O_CLOEXEC), "pipe2");
    const ipc::unique_file read_end(ends[0]);
    ipc::unique_file write_end(ends[1]);
    // It says little: all of it fits into the pipe, so we can wait first.
    if (const int code = run_systemctl({"show", "--property=LoadState,ActiveState,MainPID,StatusText", unit}, write_end.get()); code != 0)
        throw std::runtime_error("systemctl show " + unit + " has failed with exit code " + std::to_string(code));
    write_end.reset();
    std::string text;
    std::array<char, 4096> buffer;
    while (const ssize_t count = ipc::check(::read(read_end.get(), buffer.data(), buffer.size()), "read"))
        text.append(buffer.data(), static_cast<std::size_t>(count));
    std::map<std::string, std::string> properties;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        const std::size_t equals = line.find('=');
        if (equals != std::string::npos)
            properties[line.substr(0, equals)] = line.substr(equals + 1);
        at = end + 1;
    }
    return properties;
}

State state_from(const std::string& load_state, const std::string& active_state) {
    if (active_state == "active")
        return State::running;
    if (active_state == "activating")
        return State::starting;
    if (active_state == "reloading")
        return State::reloading;
    if (active_state == "deactivating")
        return State::stopping;
    if (load_state == "not-found")
        return State::not_installed;
    return active_state == "failed" ? State::failed : State::stopped;
}

}  // namespace

void run(const Service& service, Application& application) {
    check_name(service.name);
    try {
        Running(service, application).run();
    } catch (const std::exception& error) {
        application.log("failed", {{"error", error.what()}});
        throw;
    }
}

void install(const Service& service) {
    check_name(service.name);
    const std::string path = unit_path(service);
    const std::optional<std::string> before = read_file(path);
    write_file(path, unit_for(service));
    try {
        systemctl({"daemon-reload"});
    } catch (...) {
        if (before)
            write_file(path, *before);
        else
            ::unlink(path.c_str());
        throw;
    }
}

void remove(const Service& service) {
    const std::string path = unit_path(service), unit = unit_of(service.name);
    if (::access(path.c_str(), F_OK) == -1)
        ipc::throw_last_error("remove", path + "; " + service.name + " is not installed");
    systemctl({"disable", "--now", unit});  // --now: stopped; disable: no link to it is left
    ipc::check(::unlink(path.c_str()), "unlink", path);
    systemctl({"daemon-reload"});
}

void start(const std::string& name) { systemctl({"start", unit_of(name)}); }

void stop(const std::string& name) { systemctl({"stop", unit_of(name)}); }

void reload(const std::string& name) { systemctl({"reload", unit_of(name)}); }

Status status(const std::string& name) {
    const std::map<std::string, std::string> properties = properties_of(unit_of(name));
    const auto property = [&](const char* key) {
        const auto found = properties.find(key);
        return found == properties.end() ? std::string() : found->second;
    };
    return {state_from(property("LoadState"), property("ActiveState")), std::strtoul(property("MainPID").c_str(), nullptr, 10), property("StatusText")};
}

}  // namespace services
