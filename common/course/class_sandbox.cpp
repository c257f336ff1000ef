#include "class_sandbox.hpp"

#include "failure.hpp"
#include "files.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr unsigned first_user_id = 61100;  ///< between Debian's dynamic system users and its nobody; nobody's files
constexpr std::size_t most_output = 16 << 20;  ///< a verdict has some 20 KiB; a compiler can be made to talk for ever

void append(std::vector<std::string>& to, const std::vector<std::string>& more) { to.insert(to.end(), more.begin(), more.end()); }

bool is_root() { return ::geteuid() == 0; }

// Into its control groups first: from then on everything counts.
std::vector<std::string> within_groups(const Box& box) {
    if (!box.groups || !box.groups->works())
        return {};
    std::vector<std::string> words = {"/bin/sh", "-c", R"(while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit 4; shift; done; shift; exec "$@")", "sh"};
    for (const fs::path& folder : box.groups->folders())
        words.push_back(folder.string());
    words.push_back("--");
    return words;
}

std::vector<std::string> limits(const Box& box) {
    std::vector<std::string> words = {"prlimit", fmt::format("--cpu={}", box.cpu.count()), fmt::format("--fsize={}", box.file_bytes),
                                      fmt::format("--nproc={}", box.processes), "--nofile=4096", "--core=0", fmt::format("--data={}", box.memory_bytes)};
    // Twice as much as it may fill: the stacks of a thousand threads are reserved, not used.
    if (!box.reserves_memory)
        words.push_back(fmt::format("--as={}", 2 * box.memory_bytes));
    return words;
}

// Root's limits on processes do not hold, so root becomes somebody else first, for good.
std::vector<std::string> as_another_user(const Box& box) {
    const std::string user = std::to_string(user_of_slot(box.slot));
    return {"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"};
}

// bwrap makes the folders on the way to a place for its own user alone; ours is another one.
void append_way_to(std::vector<std::string>& words, const fs::path& place) {
    fs::path folder;
    for (const fs::path& part : place.parent_path()) {
        folder /= part;
        if (folder != "/")
            append(words, {"--dir", folder.string()});
    }
}

std::vector<std::string> walls(const Box& box) {
    std::vector<std::string> words = {"bwrap", "--die-with-parent", "--new-session", "--clearenv", "--hostname", "lab"};
    // Root needs no user namespace, and keeps its way to folders that only root may enter, until the walls are up.
    if (is_root())
        append(words, {"--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
                       "--cap-add", "CAP_SETPCAP"});
    else
        append(words, {"--unshare-all"});
    if (box.first_process)
        append(words, {"--as-pid-1"});
    append(words, {"--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--symlink", "usr/sbin", "/sbin",
                   "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", "268435456", "--tmpfs", "/tmp", "--perms", "1777", "--size", "134217728", "--tmpfs", "/dev/shm",
                   "--perms", "0777", "--dir", "/tmp/home", "--perms", "0777", "--dir", "/run",
                   "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp/home", "--setenv", "LANG", "C.UTF-8", "--setenv", "TMPDIR", "/tmp"});
    for (const std::string& entry : box.environment)
        append(words, {"--setenv", entry.substr(0, entry.find('=')), entry.substr(entry.find('=') + 1)});
    append(words, {"--dir", "/etc"});
    for (const char* file : {"/etc/ld.so.cache", "/etc/passwd", "/etc/group", "/etc/alternatives", "/etc/fonts"})
        append(words, {"--ro-bind-try", file, file});
    if (fs::exists("/dev/mqueue"))
        append(words, {"--mqueue", "/dev/mqueue"});
    for (const fs::path& folder : box.empty) {
        append_way_to(words, folder);
        append(words, {"--perms", "0777", "--size", "268435456", "--tmpfs", folder.string()});
    }
    for (const auto& [here, there] : box.read_only) {
        append_way_to(words, there);
        append(words, {"--ro-bind", here.string(), there.string()});
    }
    for (const auto& [here, there] : box.writable) {
        append_way_to(words, there);
        append(words, {"--bind", here.string(), there.string()});
    }
    append(words, {"--chdir", box.directory.string(), "--"});
    return words;
}

// Where a controller's groups are: cgroup2's one tree, or a tree a controller as in version 1.
fs::path control_tree(const std::string& controller) {
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string number, parent, device, root, at, rest;
        words >> number >> parent >> device >> root >> at;
        std::getline(words, rest);
        const std::size_t type = rest.find(" - ");
        if (type == std::string::npos)
            continue;
        const std::string kind = rest.substr(type + 3);
        if (kind.starts_with("cgroup2 ") && (" " + read_file(fs::path(at) / "cgroup.subtree_control").value_or("")).find(controller) != std::string::npos)
            return at;
        if (kind.starts_with("cgroup ") && ("," + kind.substr(kind.rfind(' ') + 1) + ",").find("," + controller + ",") != std::string::npos)
            return at;
    }
    return {};
}

bool put(const fs::path& file, unsigned long long value) {
    std::ofstream out(file);
    out << value << std::flush;
    return out.good();
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
    return is_root() ? Isolation::user : Isolation::none;
}

ControlGroups::ControlGroups(const std::string& name) {
    if (!is_root())
        return;
    for (const char* controller : {"memory", "pids"}) {
        const fs::path tree = control_tree(controller);
        if (tree.empty())
            continue;
        const fs::path folder = tree / name;
        std::error_code error;
        fs::create_directory(folder, error);
        if (error)
            continue;
        (controller == std::string("memory") ? memory_ : processes_) = folder;
        if (std::find(folders_.begin(), folders_.end(), folder) == folders_.end())
            folders_.push_back(folder);
    }
    // Half of it would be no limit that anybody could rely on.
    if (memory_.empty() || processes_.empty()) {
        for (const fs::path& folder : folders_)
            ::rmdir(folder.c_str());
        folders_.clear();
    }
}

// What was killed with a sandbox takes a moment to leave its group, and version 1 does not announce it.
ControlGroups::~ControlGroups() {
    for (const fs::path& folder : folders_)
        for (int look = 0; look < 400 && ::rmdir(folder.c_str()) != 0 && errno == EBUSY; ++look)
            ::poll(nullptr, 0, 5);
}

void ControlGroups::limit(unsigned long long memory_bytes, unsigned processes) {
    if (!works())
        return;
    const fs::path memory = memory_ / (fs::exists(memory_ / "memory.max") ? "memory.max" : "memory.limit_in_bytes");
    if (!put(memory, memory_bytes) || !put(processes_ / "pids.max", processes))
        throw Failure(exit_code::machine, fmt::format("cannot write {} or {}: the limits of a sandbox cannot be set", memory.string(), (processes_ / "pids.max").string()));
}

long long ControlGroups::memory_kills() const {
    for (const char* file : {"memory.events", "memory.oom_control"}) {
        std::ifstream in(memory_ / file);
        std::string word;
        for (long long value = 0; in >> word >> value;)
            if (word == "oom_kill")
                return value;
    }
    return 0;
}

unsigned user_of_slot(unsigned slot) { return first_user_id + slot; }

Command boxed(const Box& box, const std::vector<std::string>& command) {
    Command whole;
    whole.limit = box.wall;
    whole.most_output = most_output;
    append(whole.arguments, within_groups(box));
    if (box.level == Isolation::namespaces) {
        append(whole.arguments, walls(box));
        if (is_root())
            append(whole.arguments, as_another_user(box));
        append(whole.arguments, limits(box));
    } else {
        whole.directory = box.directory;
        // Nothing else ends with a grader that is killed.
        append(whole.arguments, box.level == Isolation::user ? as_another_user(box) : std::vector<std::string>{"setpriv", "--no-new-privs"});
        append(whole.arguments, {"--pdeathsig", "KILL"});
        append(whole.arguments, limits(box));
        append(whole.arguments, {"env", "-i", "PATH=/usr/bin:/bin", "HOME=/nonexistent", "LANG=C.UTF-8"});
        append(whole.arguments, box.environment);
    }
    append(whole.arguments, command);
    return whole;
}

}  // namespace course
