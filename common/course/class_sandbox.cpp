#include "class_sandbox.hpp"

#include "failure.hpp"
#include "terminal.hpp"
#include <fmt/format.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr unsigned first_user_id = 61100;  ///< between Debian's dynamic system users and its nobody; nobody's files

std::string user_of(unsigned slot) { return std::to_string(first_user_id + slot); }

// Root's limits on processes do not hold, so root becomes somebody else first.
std::vector<std::string> as_another_user(unsigned slot) {
    const std::string user = user_of(slot);
    return {"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all"};
}

std::vector<std::string> limits(const Box& box) {
    std::vector<std::string> words = {"prlimit", fmt::format("--cpu={}", box.cpu.count()), fmt::format("--fsize={}", box.file_bytes),
                                      fmt::format("--nproc={}", box.processes), "--nofile=4096", "--core=0"};
    if (box.memory_bytes)
        words.push_back(fmt::format("--as={}", box.memory_bytes));
    return words;
}

void append(std::vector<std::string>& to, const std::vector<std::string>& more) { to.insert(to.end(), more.begin(), more.end()); }

std::vector<std::string> walls(const Box& box) {
    std::vector<std::string> words = {"bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "lab",
                                      "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
                                      "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin", "--proc", "/proc", "--dev", "/dev",
                                      "--size", "268435456", "--tmpfs", "/tmp", "--size", "134217728", "--tmpfs", "/dev/shm", "--dir", "/tmp/home", "--dir", "/run",
                                      "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp/home", "--setenv", "LANG", "C.UTF-8", "--setenv", "TMPDIR", "/tmp"};
    for (const char* file : {"/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/alternatives", "/etc/fonts"})
        append(words, {"--ro-bind-try", file, file});
    if (fs::exists("/dev/mqueue"))
        append(words, {"--mqueue", "/dev/mqueue"});
    for (const fs::path& folder : box.empty)
        append(words, {"--size", "268435456", "--tmpfs", folder.string()});
    for (const auto& [here, there] : box.read_only)
        append(words, {"--ro-bind", here.string(), there.string()});
    for (const auto& [here, there] : box.writable)
        append(words, {"--bind", here.string(), there.string()});
    append(words, {"--chdir", box.directory.string(), "--"});
    return words;
}

}  // namespace

std::string name_of(Isolation level) { return level == Isolation::none ? "none" : level == Isolation::user ? "user" : "namespaces"; }

Isolation isolation_named(const std::string& name) {
    for (const Isolation level : {Isolation::none, Isolation::user, Isolation::namespaces})
        if (name == name_of(level))
            return level;
    throw Failure(exit_code::usage, fmt::format("there is no isolation level '{}'; the levels are namespaces, user and none", name));
}

Isolation strongest_isolation(std::string& why_not_stronger) {
    if (find_program("bwrap").empty())
        why_not_stronger = "bubblewrap is not installed (Debian: apt-get install bubblewrap)";
    else {
        const Outcome tried = run(boxed(Box{}, {"/usr/bin/true"}));
        if (tried.code == 0)
            return Isolation::namespaces;
        why_not_stronger = "bubblewrap cannot make namespaces here: " + visible(tried.errors.substr(0, tried.errors.find('\n')));
    }
    return ::geteuid() == 0 ? Isolation::user : Isolation::none;
}

Command boxed(const Box& box, const std::vector<std::string>& command) {
    Command whole;
    whole.limit = box.wall;
    if (box.level != Isolation::none && ::geteuid() == 0)
        append(whole.arguments, as_another_user(box.slot));
    append(whole.arguments, limits(box));
    if (box.level == Isolation::namespaces)
        append(whole.arguments, walls(box));
    else {
        whole.directory = box.directory;
        append(whole.arguments, {"env", "-i", "PATH=/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8"});
    }
    append(whole.arguments, command);
    return whole;
}

}  // namespace course
