#include "proc_posix.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

namespace judge::proc {

namespace {

std::string path(pid_t pid, const std::string& file) { return "/proc/" + std::to_string(pid) + "/" + file; }

std::string contents(const std::string& file) {
    std::ifstream in(file);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

std::vector<pid_t> numbers_in(const std::string& directory) {
    std::vector<pid_t> found;
    if (DIR* open = ::opendir(directory.c_str())) {
        while (const dirent* entry = ::readdir(open))
            if (const int number = std::atoi(entry->d_name); number > 0 || std::string(entry->d_name) == "0")
                found.push_back(number);
        ::closedir(open);
    }
    return found;
}

// The fields of .../stat behind the name, which itself may contain spaces and parentheses.
std::vector<std::string> stat_fields(const std::string& file) {
    const std::string line = contents(file);
    const auto name_end = line.rfind(')');
    std::vector<std::string> fields;
    if (name_end == std::string::npos)
        return fields;
    std::istringstream rest(line.substr(name_end + 1));
    for (std::string field; rest >> field;)
        fields.push_back(field);
    return fields;
}

std::string link(const std::string& file) {
    char target[4096];
    const ssize_t length = ::readlink(file.c_str(), target, sizeof target);
    return length > 0 ? std::string(target, static_cast<std::size_t>(length)) : std::string();
}

}  // namespace

std::vector<pid_t> all_processes() { return numbers_in("/proc"); }

std::vector<pid_t> threads(pid_t pid) { return numbers_in(path(pid, "task")); }

std::vector<pid_t> threads_of_the_program(pid_t pid) {
    std::vector<pid_t> all = threads(pid);
    if (all.size() < 2 || contents(path(pid, "maps")).find("/libtsan.so") == std::string::npos)
        return all;
    std::sort(all.begin(), all.end());
    all.erase(all.begin() + 1);  // its runtime starts it before main(), right behind the first thread
    return all;
}

std::vector<pid_t> children(pid_t pid) {
    std::vector<pid_t> found;
    for (pid_t thread : threads(pid)) {
        std::istringstream list(contents(path(pid, "task/" + std::to_string(thread) + "/children")));
        for (pid_t child; list >> child;)
            found.push_back(child);
    }
    return found;
}

std::vector<pid_t> descendants(pid_t pid) {
    std::vector<pid_t> found = children(pid);
    for (std::size_t i = 0; i < found.size(); ++i)
        for (pid_t below : children(found[i]))
            found.push_back(below);
    return found;
}

char state(pid_t pid) {
    const auto fields = stat_fields(path(pid, "stat"));
    return fields.empty() ? '\0' : fields[0][0];
}

char state(pid_t pid, pid_t thread) {
    const auto fields = stat_fields(path(pid, "task/" + std::to_string(thread) + "/stat"));
    return fields.empty() ? '\0' : fields[0][0];
}

std::string program(pid_t pid) {
    std::string target = link(path(pid, "exe"));
    if (const auto end = target.find(" (deleted)"); end != std::string::npos)
        target.erase(end);
    return target;
}

std::string name(pid_t pid) {
    const std::string target = program(pid);
    if (!target.empty())
        return std::filesystem::path(target).filename().string();
    std::string comm = contents(path(pid, "comm"));
    while (!comm.empty() && comm.back() == '\n')
        comm.pop_back();
    return comm;
}

std::chrono::microseconds cpu_time(pid_t pid) {
    const auto fields = stat_fields(path(pid, "stat"));
    if (fields.size() < 13)
        return {};
    static const long ticks = ::sysconf(_SC_CLK_TCK);
    return std::chrono::microseconds((std::stoll(fields[11]) + std::stoll(fields[12])) * 1'000'000 / ticks);
}

std::uint64_t voluntary_switches(pid_t pid, pid_t thread) {
    std::istringstream status(contents(path(pid, "task/" + std::to_string(thread) + "/status")));
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("voluntary_ctxt_switches:"))
            return std::strtoull(line.c_str() + 24, nullptr, 10);
    return 0;
}

Call call(pid_t pid, pid_t thread) {
    Call call;
    const std::string line = contents(path(pid, "task/" + std::to_string(thread) + "/syscall"));
    if (line.starts_with("running")) {
        call.running = true;
        return call;
    }
    std::istringstream fields(line);
    if (!(fields >> call.number))
        call.number = -1;
    std::string argument;
    for (std::uint64_t& value : call.arguments)
        if (fields >> argument)
            value = std::strtoull(argument.c_str(), nullptr, 16);
    return call;
}

std::vector<Descriptor> descriptors(pid_t pid) {
    std::vector<Descriptor> found;
    for (int number : numbers_in(path(pid, "fd"))) {
        Descriptor descriptor;
        descriptor.number = number;
        const std::string file = path(pid, "fd/" + std::to_string(number));
        descriptor.target = link(file);
        struct stat status {};
        if (descriptor.target.empty() || ::stat(file.c_str(), &status) != 0)
            continue;
        descriptor.device = status.st_dev;
        descriptor.inode = status.st_ino;
        descriptor.fifo = S_ISFIFO(status.st_mode);
        descriptor.socket = S_ISSOCK(status.st_mode);
        std::istringstream info(contents(path(pid, "fdinfo/" + std::to_string(number))));
        for (std::string line; std::getline(info, line);)
            if (line.starts_with("flags:")) {
                const long flags = std::strtol(line.c_str() + 6, nullptr, 8);
                descriptor.readable = (flags & O_ACCMODE) != O_WRONLY;
                descriptor.writable = (flags & O_ACCMODE) != O_RDONLY;
            }
        found.push_back(descriptor);
    }
    return found;
}

std::string memory(pid_t pid, std::uint64_t address, std::size_t size) {
    const int file = ::open(path(pid, "mem").c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return {};
    std::string bytes(size, '\0');
    const ssize_t count = ::pread(file, bytes.data(), size, static_cast<off_t>(address));
    ::close(file);
    bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
    return bytes;
}

std::string text(pid_t pid, std::uint64_t address) {
    const std::string bytes = memory(pid, address, 256);
    return bytes.substr(0, bytes.find('\0'));
}

std::string shared_mapping(pid_t pid, std::uint64_t address) {
    std::istringstream maps(contents(path(pid, "maps")));
    for (std::string line; std::getline(maps, line);) {
        std::uint64_t from = 0, to = 0;
        char flags[5] = {};
        int name_at = 0;
        if (std::sscanf(line.c_str(), "%lx-%lx %4s %*s %*s %*s %n", &from, &to, flags, &name_at) < 3)
            continue;
        if (address >= from && address < to)
            return flags[3] == 's' ? line.substr(static_cast<std::size_t>(name_at)) : std::string();
    }
    return {};
}

std::string socket_address(pid_t pid, std::uint64_t inode) {
    std::istringstream unix_sockets(contents(path(pid, "net/unix")));
    for (std::string line; std::getline(unix_sockets, line);) {
        // Num RefCount Protocol Flags Type St Inode Path
        std::istringstream fields(line);
        std::string skipped, bound;
        std::uint64_t number = 0;
        for (int i = 0; i < 6; ++i)
            fields >> skipped;
        if (fields >> number && number == inode)
            return fields >> bound ? "unix:" + bound : std::string();
    }
    for (const char* protocol : {"tcp", "tcp6", "udp", "udp6"}) {
        std::istringstream sockets(contents(path(pid, std::string("net/") + protocol)));
        for (std::string line; std::getline(sockets, line);) {
            // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode
            std::istringstream fields(line);
            std::string sl, local, skipped;
            std::uint64_t number = 0;
            fields >> sl >> local;
            for (int i = 0; i < 7; ++i)
                fields >> skipped;
            if (fields >> number && number == inode && local.find(':') != std::string::npos)
                return std::string(protocol, 3) + " port " + std::to_string(std::stoul(local.substr(local.rfind(':') + 1), nullptr, 16));
        }
    }
    return {};
}

namespace {
std::mutex subjects_mutex;
std::set<pid_t> subjects;
}  // namespace

void remember_subject(pid_t pid) {
    const std::lock_guard lock(subjects_mutex);
    subjects.insert(pid);
}

void forget_subject(pid_t pid) {
    const std::lock_guard lock(subjects_mutex);
    subjects.erase(pid);
}

bool is_subject(pid_t pid) {
    const std::lock_guard lock(subjects_mutex);
    return subjects.contains(pid);
}

}  // namespace judge::proc
