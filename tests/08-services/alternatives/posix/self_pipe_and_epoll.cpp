// Lab 08, posix track: another way. Signal handlers write into a pipe, epoll waits for everything at once, a timer feeds
// the watchdog, the lock is a record lock, and systemctl is started by fork and exec.

#include "services.hpp"

#include "control_channel.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
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

// ---- telling the manager ------------------------------------------------------------------------------------------------

class NotifySocket {
public:
    NotifySocket() {
        const char* where = std::getenv("NOTIFY_SOCKET");
        if (!where || !*where)
            return;
        sockaddr_un address{};
        const std::size_t length = std::strlen(where);
        if ((*where != '/' && *where != '@') || length >= sizeof address.sun_path)
            throw std::runtime_error(std::string("NOTIFY_SOCKET=") + where + " is neither a path nor an abstract name");
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, where, length);
        if (*where == '@')
            address.sun_path[0] = 0;
        socket_.reset(ipc::check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
        if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length)) != 0)
            ipc::throw_last_error("connect", std::string("NOTIFY_SOCKET=") + where);
    }
    void tell(const std::vector<std::string>& assignments) const {
        std::string datagram;
        for (const std::string& assignment : assignments)
            datagram += (datagram.empty() ? "" : "\n") + assignment;
        if (socket_)
            ipc::check(::send(socket_.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL), "send", "NOTIFY_SOCKET");
    }
    explicit operator bool() const { return static_cast<bool>(socket_); }

private:
    ipc::unique_file socket_;
};

// In microseconds; 0: nobody wants it.
long long watchdog_interval() {
    const char *interval = std::getenv("WATCHDOG_USEC"), *pid = std::getenv("WATCHDOG_PID");
    if (!interval || (pid && std::atoll(pid) != ::getpid()))
        return 0;
    return std::atoll(interval);
}

// ---- signals ------------------------------------------------------------------------------------------------------------

int signal_pipe = -1;

void pass_on(int signal) {
    const int kept = errno;
    const char byte = static_cast<char>(signal);
    [[maybe_unused]] const ssize_t written = ::write(signal_pipe, &byte, 1);
    errno = kept;
}

class Signals {
public:
    Signals() {
        int ends[2];
        ipc::check(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), "pipe2");
        read_end_.reset(ends[0]);
        write_end_.reset(ends[1]);
        signal_pipe = ends[1];
        struct sigaction action {};
        action.sa_handler = pass_on;
        action.sa_flags = SA_RESTART;
        for (const int signal : {SIGTERM, SIGINT, SIGHUP})
            ipc::check(::sigaction(signal, &action, nullptr), "sigaction");
    }
    ~Signals() {
        for (const int signal : {SIGTERM, SIGINT, SIGHUP})
            ::signal(signal, SIG_IGN);
    }
    Signals(const Signals&) = delete;
    int get() const { return read_end_.get(); }
    // 0: none
    int next() const {
        char byte = 0;
        return ::read(read_end_.get(), &byte, 1) == 1 ? byte : 0;
    }

private:
    ipc::unique_file read_end_, write_end_;
};

// ---- the service ----------------------------------------------------------------------------------------------------------

class Instance {
public:
    Instance(const Service& service, Application& application) : application_(application), runtime_(service.runtime), address_(control_channel::address(service.runtime)) {
        std::error_code error;
        std::filesystem::create_directory(runtime_, error);
        if (error && !std::filesystem::is_directory(runtime_))
            ipc::throw_error(error.value(), "mkdir", runtime_);
        lock_.reset(ipc::check(::open((runtime_ + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600), "open", runtime_ + "/lock"));
        struct flock whole {};
        whole.l_type = F_WRLCK;
        if (::fcntl(lock_.get(), F_SETLK, &whole) != 0)
            throw std::runtime_error("another instance holds the lock " + runtime_ + "/lock");
    }

    void live() {
        const bool loaded = application_.load([this](const std::string& what) {
            hear();
            manager_.tell({"STATUS=" + what, "EXTEND_TIMEOUT_USEC=5000000"});
            return !stop_;
        });
        if (!loaded)
            return;
        open_socket();
        control_channel::Clients clients(socket_.get());
        manager_.tell({"MAINPID=" + std::to_string(::getpid()), "READY=1"});
        application_.log("ready", {});
        application_.ready(address_);
        start_timer();
        while (!stop_) {
            wait(clients);
            hear();
            std::uint64_t ticks = 0;
            if (timer_ && ::read(timer_.get(), &ticks, sizeof ticks) == sizeof ticks)
                manager_.tell({"WATCHDOG=1"});
            clients.attend([this](int client, const std::string& request) { return answer(client, request); });
        }
        ::unlink(address_.c_str());
    }

private:
    void open_socket() {
        const sockaddr_un address = control_channel::socket_address(address_);
        socket_.reset(ipc::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
        ::unlink(address_.c_str());
        ipc::check(::fchmod(socket_.get(), 0600), "fchmod");  // on Linux the name gets the mode that the socket has
        ipc::check(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind", address_);
        ipc::check(::listen(socket_.get(), SOMAXCONN), "listen");
    }

    void start_timer() {
        const long long interval = manager_ ? watchdog_interval() / 2 : 0;
        if (interval <= 0)
            return;
        timer_.reset(ipc::check(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create"));
        itimerspec every{};
        every.it_interval.tv_sec = every.it_value.tv_sec = interval / 1'000'000;
        every.it_interval.tv_nsec = every.it_value.tv_nsec = interval % 1'000'000 * 1000;
        ipc::check(::timerfd_settime(timer_.get(), 0, &every, nullptr), "timerfd_settime");
    }

    void wait(const control_channel::Clients& clients) {
        const ipc::unique_file all(ipc::check(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
        std::vector<pollfd> watched = {{signals_.get(), POLLIN, 0}, {timer_.get(), POLLIN, 0}};
        clients.watch(watched);
        for (const pollfd& one : watched) {
            epoll_event event{};
            event.events = EPOLLIN;
            if (one.fd >= 0)
                ipc::check(::epoll_ctl(all.get(), EPOLL_CTL_ADD, one.fd, &event), "epoll_ctl");
        }
        epoll_event event{};
        ::epoll_wait(all.get(), &event, 1, -1);
    }

    void hear() {
        while (const int signal = signals_.next()) {
            if (signal == SIGHUP) {
                reload();
            } else if (!stop_) {
                stop_ = true;
                manager_.tell({"STOPPING=1"});
            }
        }
    }

    void reload() {
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        manager_.tell({"RELOADING=1", "MONOTONIC_USEC=" + std::to_string(now.tv_sec * 1'000'000LL + now.tv_nsec / 1000)});
        try {
            application_.reload();
            application_.log("reloaded", {});
        } catch (const std::exception& error) {
            application_.log("reload-failed", {{"error", error.what()}});
        }
        manager_.tell({"READY=1"});
    }

    std::string answer(int client, const std::string& request) {
        ucred who{};
        socklen_t size = sizeof who;
        ipc::check(::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &who, &size), "getsockopt");
        application_.log("request", {{"user", std::to_string(who.uid)}, {"pid", std::to_string(who.pid)}, {"text", request}});
        return application_.answer(request, [this](const std::string& what) {
            hear();
            std::vector<std::string> words = {"STATUS=" + what};
            if (timer_)
                words.emplace_back("WATCHDOG=1");
            if (stop_)
                words.emplace_back("EXTEND_TIMEOUT_USEC=5000000");
            manager_.tell(words);
            return !stop_;
        });
    }

    Application& application_;
    std::string runtime_, address_;
    Signals signals_;
    NotifySocket manager_;
    ipc::unique_file lock_, socket_, timer_;
    bool stop_ = false;
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
    const pid_t child = ipc::check(::fork(), "fork");
    if (child == 0) {
        if (output != -1)
            ::dup2(output, STDOUT_FILENO);
        ::execvp("systemctl", arguments.data());
        ::_exit(127);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        throw std::runtime_error("systemctl cannot be started; is there a systemd?");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
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
        Instance(service, application).live();
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
