#pragma once

/// @file
/// A real systemd for lab 08, in namespaces of its own, and the lab program installed in it.

#include "peers_posix.hpp"

#include <fstream>

namespace peers {

namespace fs = std::filesystem;
using judge::milliseconds;
using judge::ProcessInfo;
using judge::Start;
using judge::StartRequest;

/// systemd as process 1 of namespaces of its own, over a root directory of its own, with units of ours alone. The lab
/// program's verbs run outside as ever; what they have to say to systemctl, the judge says in there.
class Systemd {
public:
    Systemd(Stage& stage, const std::string& units, const std::string& shared) : stage_(stage) {
        for (const char* needed : {"/lib/systemd/systemd", "/usr/bin/bwrap", "/usr/bin/nsenter", "/usr/bin/systemctl"})
            if (::access(needed, X_OK) != 0)
                stage.unavailable(std::string(needed) + " is not here; on Debian and Ubuntu: apt-get install systemd bubblewrap util-linux");
        make_cgroup();
        boot(units, shared);
    }
    ~Systemd() {
        manager_.reset();
        write_text_if_possible(cgroup_ + "/cgroup.kill", "1");
        for (int again = 0; again < 200 && !remove_cgroups(); ++again)
            ::poll(nullptr, 0, 5);
    }
    Systemd(const Systemd&) = delete;

    // systemctl, in there.
    Answer systemctl(const Words& words) {
        const std::string out = stage_.files() + "/systemctl.out", err = stage_.files() + "/systemctl.err";
        StartRequest request;
        request.command = {"/bin/sh", "-c", "out=$1 err=$2; shift 2; exec \"$@\" >\"$out\" 2>\"$err\"", "sh", out, err,
                           "/usr/bin/nsenter", "-t", std::to_string(pid_), "-U", "-m", "-u", "-i", "-n", "-p", "-C", "--preserve-credentials", "/usr/bin/systemctl"};
        request.command.insert(request.command.end(), words.begin(), words.end());
        Process process = Process::start(std::move(request));
        if (!process.wait(Deadline::in(milliseconds(static_cast<long long>(20'000 * stage_.time_scale())))))
            stage_.fail({text_of(words) + " comes to its end", "systemd has waited for the service for 20 s, and still does", "",
                         "systemctl is started by the judge, and waits as it would for a person: for READY=1 of the main process, or for the end of the service", ""});
        return {static_cast<int>(process.ended().code), read_text(out), read_text(err)};
    }

    // The main process of the one service in there, as we see it; 0 if there is none.
    pid_t service_process() const {
        const std::string name = fs::path(program()).filename().string();
        for (const ProcessInfo& process : manager_->tree())
            if (process.name == name && !process.zombie)
                return static_cast<pid_t>(process.id);
        return 0;
    }

    // A path in there, as we can reach it.
    std::string path(const std::string& inside) const { return "/proc/" + std::to_string(pid_) + "/root" + inside; }

private:
    static void write_text_if_possible(const std::string& path, const std::string& text) {
        std::ofstream file(path);
        file << text << std::flush;
    }

    bool remove_cgroups() const {
        std::vector<fs::path> folders;
        std::error_code error;
        for (const auto& entry : fs::recursive_directory_iterator(cgroup_, error))
            if (entry.is_directory(error))
                folders.push_back(entry.path());
        for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder)
            ::rmdir(folder->c_str());
        return cgroup_.empty() || ::rmdir(cgroup_.c_str()) == 0 || errno == ENOENT;
    }

    void make_cgroup() {
        std::ifstream mounts("/proc/self/mounts");
        std::string from, at, type, rest, found;
        while (mounts >> from >> at >> type && std::getline(mounts, rest))
            if (type == "cgroup2")
                found = at;
        cgroup_ = found + "/" + stage_.name("ipc-labs");
        if (found.empty() || ::mkdir(cgroup_.c_str(), 0755) != 0) {
            cgroup_.clear();
            stage_.unavailable("a systemd of its own needs a cgroup of its own, which only root can make, and not in every container");
        }
    }

    void boot(const std::string& units, const std::string& shared) {
        const std::string own_units = stage_.files() + "/system-units";
        fs::create_directory(own_units);
        for (const char* target : {"judge", "sysinit", "basic", "shutdown", "multi-user"})
            write_text(own_units + "/" + target + ".target", "[Unit]\nDefaultDependencies=no\n");
        // systemd sends SIGCONT behind SIGTERM; where it takes away the stop that LeakSanitizer waits for at the end of a
        // program that was built with it, that end never comes.
        const std::string settings = stage_.files() + "/system.conf";
        write_text(settings, "[Manager]\nDefaultEnvironment=ASAN_OPTIONS=detect_leaks=0\n");
        StartRequest request;
        request.command = {"/bin/sh", "-c", "echo $$ >\"$1\" || exit 99; shift; exec \"$@\"", "sh", cgroup_ + "/cgroup.procs", "/usr/bin/bwrap",
                           // A user namespace: root in there has no power over anything out here.
                           "--unshare-user", "--uid", "0", "--gid", "0", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup",
                           "--as-pid-1", "--die-with-parent", "--cap-add", "ALL", "--clearenv", "--tmpfs", "/", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
                           "--symlink", "usr/sbin", "/sbin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev",
                           "--tmpfs", "/dev/shm", "--tmpfs", "/etc", "--ro-bind-try", "/etc/passwd", "/etc/passwd", "--ro-bind-try", "/etc/group", "/etc/group",
                           "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
                           "--ro-bind", settings, "/etc/systemd/system.conf", "--tmpfs", "/run", "--tmpfs", "/tmp", "--tmpfs", "/var", "--tmpfs", "/sys",
                           "--bind", cgroup_, "/sys/fs/cgroup", "--ro-bind", units, units, "--ro-bind", own_units, own_units, "--bind", shared, shared,
                           "--ro-bind", program(), program(), "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "container", "bwrap",
                           "--setenv", "SYSTEMD_UNIT_PATH", units + ":" + own_units, "--setenv", "SYSTEMD_GENERATOR_PATH", "/nonexistent",
                           "/lib/systemd/systemd", "--system", "--unit=judge.target", "--log-target=null", "--show-status=false"};
        manager_.emplace(Process::start(std::move(request)));
        const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(10'000 * stage_.time_scale())));
        const bool up = ask_until(deadline, [&] {
            if (manager_->wait(Deadline::in(milliseconds(0))))
                return true;
            for (const ProcessInfo& process : manager_->tree())
                if (process.name == "systemd")
                    pid_ = static_cast<pid_t>(process.id);
            return pid_ > 0 && exists(path("/run/systemd/private"));
        });
        if (!up || manager_->wait(Deadline::in(milliseconds(0))))
            stage_.unavailable("systemd does not come up in namespaces of its own here");
    }

    Stage& stage_;
    std::string cgroup_;
    std::optional<Process> manager_;
    pid_t pid_ = 0;
};

/// The lab program installed in a real systemd, and its verbs.
class RealLife {
public:
    explicit RealLife(Stage& stage)
        : stage_(stage), name_(stage.name("svc")), units_(stage.files() + "/units"), shared_(stage.files() + "/shared"), systemctl_(stage) {
        // A function that is not written yet is said before anything is booted.
        Subject probe = stage.start({"run", name_, "--runtime", stage.files() + "/nowhere/at/all"});
        probe.fails();
        fs::create_directory(units_);
        fs::create_directory(shared_);
        systemd_.emplace(stage, units_, shared_);
        systemctl_.answer = [this](const Words& words) { return systemd_->systemctl(words); };
    }
    Subject run(const std::string& verb, const Words& options = {}) {
        Words words = {verb, name_};
        words.insert(words.end(), options.begin(), options.end());
        if (verb == "install" || verb == "remove")
            words.insert(words.end(), {"--unit-dir", units_});
        Start how;
        how.no_input = true;
        how.environment["PATH"] = systemctl_.folder();
        Subject lab = stage_.start(words, how);
        systemctl_.serve(lab);
        return lab;
    }
    void install(const std::string& greeting) {
        configure(greeting);
        run("install", {"--config", config(), "--log", shared_ + "/log"}).exits(0);
    }
    std::string config() const { return shared_ + "/a 100% good.conf"; }
    void configure(const std::string& greeting) { write_text(config(), "greeting = " + greeting + "\n"); }
    // The answer to a request, or nothing if nobody answers.
    std::string try_ask(const std::string& request) {
        const std::string path = systemd_->path("/run/" + name_ + "/control.socket");
        const ipc::unique_file socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_un address = address_of(path);
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), size_of(path)) != 0)
            return {};
        const std::string line = request + "\n";
        ::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL);
        pollfd entry{socket.get(), POLLIN, 0};
        std::array<char, 4096> buffer;
        const ssize_t count = ::poll(&entry, 1, 2000) == 1 ? ::recv(socket.get(), buffer.data(), buffer.size(), 0) : 0;
        return count > 0 ? std::string(buffer.data(), static_cast<std::size_t>(count) - 1) : std::string();
    }
    void answers(const std::string& request, const std::string& expected, const Mistake& otherwise = {}) {
        std::string got;
        const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(15'000 * stage_.time_scale())));
        ask_until(deadline, [&] { return (got = try_ask(request)) == expected; });
        stage_.require(got == expected,
                       {"the service that systemd runs answers " + shown(expected),
                        got.empty() ? "nothing; systemctl status says " + shown(systemd_->systemctl({"status", name_}).out, 600) : shown(got), "", "", otherwise});
    }
    const std::string& name() const { return name_; }
    const std::string& units() const { return units_; }
    Systemd& systemd() { return *systemd_; }

private:
    Stage& stage_;
    std::string name_, units_, shared_;
    Systemctl systemctl_;
    std::optional<Systemd> systemd_;
};

}  // namespace peers
