#include "trace_chart.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>

namespace course {
namespace {

// Descriptors that everybody knows by another name.
std::string stream_of(int number) {
    switch (number) {
    case 0: return "standard input";
    case 1: return "standard output";
    case 2: return "standard error";
    default: return std::to_string(number);
    }
}

constexpr double wait_seconds = 0.003;  ///< a call that takes longer has waited; shorter ones may have been unlucky
constexpr std::size_t first_rows = 100, last_rows = 50;

/// What a process did to an object that may be the cause of what another one saw.
struct Deed {
    enum class Kind { wrote, closed, opened, connected, woke, died, signalled };
    Kind kind;
    double at;
    std::size_t lane;
};

/// A descriptor as its process has it.
struct Open {
    std::string target;
    char end = 'b';  ///< r, w or both
    bool close_on_exec = false;
};

struct Process {
    std::map<int, Open> table;
    std::string name;
    int id = 0;
};

bool starts_with_any(const std::string& text, std::initializer_list<const char*> beginnings) {
    return std::any_of(beginnings.begin(), beginnings.end(), [&](const char* each) { return text.starts_with(each); });
}

bool has_flag(const TracedCall& call, const char* flag) {
    return std::any_of(call.arguments.begin(), call.arguments.end(),
                       [&](const std::string& each) { return each.find(flag) != std::string::npos; });
}

std::string argument(const TracedCall& call, std::size_t index) {
    return index < call.arguments.size() ? call.arguments[index] : std::string();
}

// `"a\n"...` without the quotes, cut short.
std::string words(const std::string& quoted) {
    const std::size_t from = quoted.find('"'), to = quoted.rfind('"');
    if (from == std::string::npos || to <= from + 1)
        return {};
    std::string text = quoted.substr(from + 1, to - from - 1);
    const bool cut = text.size() > 24 || quoted.ends_with("...");
    if (text.size() > 24)
        text.resize(text[23] == '\\' ? 23 : 24);
    return " \"" + text + (cut ? "…\"" : "\"");
}

std::string path_of(const std::string& quoted) {
    const std::size_t from = quoted.find('"'), to = quoted.rfind('"');
    return from == std::string::npos || to <= from ? std::string() : quoted.substr(from + 1, to - from - 1);
}

/// Goes through the calls of all threads by time and says of each what it means to the others.
class Drawing {
public:
    Drawing(const std::vector<TracedThread>& threads, const ChartRequest& request) : threads_(threads), request_(request) {}

    Chart chart() {
        set_up();
        std::sort(calls_.begin(), calls_.end(), [](const auto& a, const auto& b) { return a.first->start < b.first->start; });
        for (const auto& [call, lane] : calls_)
            follow(*call, lane);
        std::stable_sort(deeds_.begin(), deeds_.end(), [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
        for (const auto& [call, lane] : calls_)
            tell(*call, lane);
        finish();
        return std::move(chart_);
    }

private:
    struct Told {
        ChartRow row;
        std::string same;  ///< rows with the same text here are one row with a count
        long long bytes = 0;
        int count = 1;
    };

    // ---- who is who ----

    void set_up() {
        double begin = 0;
        for (const TracedThread& thread : threads_)
            if (!thread.calls.empty() && (begin == 0 || thread.calls.front().start < begin))
                begin = thread.calls.front().start;
        begin_ = begin;
        std::vector<const TracedThread*> ordered;
        for (const TracedThread& thread : threads_)
            if (!thread.calls.empty())
                ordered.push_back(&thread);
        std::stable_sort(ordered.begin(), ordered.end(), [](const TracedThread* a, const TracedThread* b) {
            return std::pair(a->program, a->calls.front().start) < std::pair(b->program, b->calls.front().start);
        });
        std::set<int> programs;
        for (const TracedThread* thread : ordered) {
            ChartLane lane;
            lane.id = thread->id;
            lane.from = since(thread->calls.front().start);
            lane.to = since(thread->calls.back().end());
            process_of_[thread->id] = thread->id;
            processes_[thread->id].id = thread->id;
            lane_of_[thread->id] = chart_.lanes.size();
            if (programs.insert(thread->program).second) {
                const auto& command = request_.programs.at(static_cast<std::size_t>(thread->program));
                lane.name = command[0] + (command.size() > 1 ? " " + command[1] : "");
            } else
                lane.name = "child";
            for (const TracedCall& call : thread->calls)
                calls_.emplace_back(&call, chart_.lanes.size());
            chart_.lanes.push_back(lane);
        }
    }

    double since(double time) const { return (time - begin_) * 1000; }
    Process& process(std::size_t lane) { return processes_[process_of_[chart_.lanes[lane].id]]; }

    // ---- first pass: descriptors, and deeds that may be causes ----

    void follow(const TracedCall& call, std::size_t lane) {
        Process& who = process(lane);
        if (call.kind != TracedCall::Kind::call) {
            if (call.kind == TracedCall::Kind::signal)
                return;
            if (process_of_[chart_.lanes[lane].id] != chart_.lanes[lane].id)
                return;  // a thread's end closes nothing
            for (const auto& [number, open] : who.table)
                if (open.end != 'r')
                    deed(open.target, Deed::Kind::closed, call.start, lane);
            deed(fmt::format("process {}", chart_.lanes[lane].id), Deed::Kind::died, call.start, lane);
            return;
        }
        const std::string& name = call.name;
        if (name == "fork" || name == "vfork" || name == "clone" || name == "clone3") {
            const int child = std::atoi(call.result.c_str());
            if (child > 0 && lane_of_.contains(child)) {
                if (has_flag(call, "CLONE_THREAD")) {
                    process_of_[child] = process_of_[chart_.lanes[lane].id];
                    chart_.lanes[lane_of_[child]].name = "thread";
                } else
                    processes_[child].table = who.table;
                started_by_[lane_of_[child]] = {lane, call.start};
            }
            return;
        }
        if (name == "execve")
            last_exec_[lane] = &call;
        if (call.failed() || call.result == "?") {
            if (name == "connect" && call.error == "EINPROGRESS")
                deed(key(call.arguments.empty() ? "" : call.arguments[1]), Deed::Kind::connected, call.start, lane);
            return;
        }
        if (name == "execve") {
            std::vector<int> gone;
            for (const auto& [number, open] : who.table)
                if (open.close_on_exec) {
                    gone.push_back(number);
                    if (open.end != 'r')
                        deed(open.target, Deed::Kind::closed, call.end(), lane);
                }
            for (int number : gone)
                who.table.erase(number);
        } else if (name == "pipe" || name == "pipe2" || name == "socketpair") {
            const bool sockets = name == "socketpair";
            const std::string pair = argument(call, sockets ? 3 : 0);
            const std::size_t comma = pair.find(", ");
            if (comma == std::string::npos)
                return;
            const TracedDescriptor one = traced_descriptor(pair.substr(1, comma - 1));
            const TracedDescriptor other = traced_descriptor(pair.substr(comma + 2, pair.size() - comma - 3));
            who.table[one.number] = {one.target, sockets ? 'b' : 'r', has_flag(call, "CLOEXEC")};
            who.table[other.number] = {other.target, sockets ? 'b' : 'w', has_flag(call, "CLOEXEC")};
        } else if (name == "openat" || name == "open" || name == "socket" || name.starts_with("accept")) {
            const TracedDescriptor made = traced_descriptor(call.result);
            const char end = has_flag(call, "O_WRONLY") ? 'w' : has_flag(call, "O_RDONLY") ? 'r' : 'b';
            who.table[made.number] = {made.target, end, has_flag(call, "CLOEXEC")};
            if (name.starts_with("open"))
                deed(made.target, Deed::Kind::opened, call.end(), lane);
        } else if (name == "dup2" || name == "dup3" || name == "dup" ||
                   (name == "fcntl" && argument(call, 1).starts_with("F_DUPFD"))) {
            const auto found = who.table.find(traced_descriptor(argument(call, 0)).number);
            if (found != who.table.end()) {
                Open copy = found->second;
                copy.close_on_exec = has_flag(call, "CLOEXEC");
                who.table[traced_descriptor(call.result).number] = copy;
            }
        } else if (name == "fcntl" && argument(call, 1) == "F_SETFD") {
            if (const auto found = who.table.find(traced_descriptor(argument(call, 0)).number); found != who.table.end())
                found->second.close_on_exec = has_flag(call, "FD_CLOEXEC");
        } else if (name == "close") {
            const auto found = who.table.find(traced_descriptor(argument(call, 0)).number);
            if (found != who.table.end()) {
                ends_[&call] = found->second.end;
                if (found->second.end != 'r')
                    deed(found->second.target, Deed::Kind::closed, call.start, lane);
                who.table.erase(found);
            }
        } else if (name == "shutdown") {
            deed(traced_descriptor(argument(call, 0)).target, Deed::Kind::closed, call.start, lane);
        } else if (writes(name)) {
            deed(traced_descriptor(argument(call, 0)).target, Deed::Kind::wrote, call.start, lane);
            if (name == "sendto" && call.arguments.size() > 4)
                deed(key(call.arguments[4]), Deed::Kind::wrote, call.start, lane);
        } else if (name == "connect") {
            deed("any connection", Deed::Kind::connected, call.start, lane);
        } else if (name == "futex" && has_flag(call, "FUTEX_WAKE") && call.result != "0") {
            deed("any futex", Deed::Kind::woke, call.start, lane);
        } else if (name == "kill" || name == "tgkill" || name == "tkill" || name == "pidfd_send_signal") {
            deed("signal " + argument(call, name == "tgkill" ? 2 : 1), Deed::Kind::signalled, call.start, lane);
        }
    }

    static bool writes(const std::string& name) {
        return name == "write" || name == "writev" || name == "sendto" || name == "sendmsg" || name == "sendmmsg" || name == "splice" ||
               name == "tee" || name == "vmsplice" || name == "sendfile";
    }
    static bool reads(const std::string& name) {
        return name == "read" || name == "readv" || name == "recvfrom" || name == "recvmsg" || name == "recvmmsg";
    }

    // Both ends of a connection, and a datagram socket's address wherever it is written, are one object.
    static std::string key(const std::string& target) {
        const std::size_t arrow = target.find("->");
        if (arrow != std::string::npos && target.ends_with(']')) {
            const std::size_t open = target.find('[');
            const std::size_t comma = target.find(",\"");
            std::string one = target.substr(open + 1, arrow - open - 1);
            std::string other = target.substr(arrow + 2, std::min(comma, target.size() - 1) - arrow - 2);
            if (other < one)
                std::swap(one, other);
            return one + " - " + other;
        }
        if (const std::size_t path = target.find('"'); path != std::string::npos)
            return path_of(target.substr(path));
        return target;
    }

    void deed(const std::string& target, Deed::Kind kind, double at, std::size_t lane) {
        if (!target.empty())
            deeds_.push_back({key(target), {kind, at, lane}});
    }

    // Who did it last before `at`: nobody (-1), or a lane other than `lane`.
    int cause(const std::string& target, std::initializer_list<Deed::Kind> kinds, double at, std::size_t lane) const {
        const std::string wanted = key(target);
        int found = -1;
        for (const auto& [object, deed] : deeds_) {
            if (deed.at > at)
                break;
            if (object == wanted && deed.lane != lane && std::find(kinds.begin(), kinds.end(), deed.kind) != kinds.end())
                found = static_cast<int>(deed.lane);
        }
        return found;
    }

    // ---- second pass: what is worth telling ----

    // Files that a program uses by itself: libraries, configuration, devices.
    bool is_noise(const std::string& target) const {
        return target.empty() || starts_with_any(target, {"/usr/", "/lib", "/etc/", "/proc", "/sys", "/opt/", "/bin", "/var/", "anon_inode:[event", "/root"}) ||
               (target.starts_with("/dev/") && !target.starts_with("/dev/shm/"));
    }

    std::string label(const std::string& target) {
        if (target.starts_with(request_.files)) {
            const std::string end = std::filesystem::path(target).extension();
            return end == ".in" ? "standard input" : end == ".out" ? "standard output" : "standard error";
        }
        if (target.starts_with("/dev/shm/"))
            return "segment " + target.substr(9);
        if (starts_with_any(target, {"pipe:[", "UNIX", "TCP", "UDP", "socket:["})) {
            const char* kind = target.starts_with("pipe:[") ? "pipe" : "socket";
            std::string& name = short_names_[key(target)];
            if (name.empty()) {
                name = fmt::format("{} {}", kind, ++numbers_[kind]);
                if (kind != std::string("pipe"))
                    chart_.legend.push_back(fmt::format("{} = {}", name, target));
            }
            return name;
        }
        if (target.starts_with(request_.directory + "/"))
            return target.substr(request_.directory.size() + 1);
        return target;
    }

    void say(double at, std::size_t lane, std::string text, int from = -1, bool blocked = false, bool bad = false,
             std::string same = {}, long long bytes = 0) {
        told_.push_back({{since(at), lane, std::move(text), from == static_cast<int>(lane) ? -1 : from, blocked, bad}, std::move(same), bytes, 1});
    }

    // A call that may wait: the row where it begins to wait, if it did. @return whether it did
    bool waited(const TracedCall& call, std::size_t lane, const std::string& for_what) {
        if (call.duration < wait_seconds)
            return false;
        say(call.start, lane, "waits " + for_what, -1, true);
        return true;
    }

    void tell(const TracedCall& call, std::size_t lane) {
        if (call.kind == TracedCall::Kind::exited) {
            if (is_process(lane) || chart_.lanes[lane].name != "thread")
                say(call.start, lane, call.result == "0" ? "ends" : "ends with exit code " + call.result, -1, false, call.result != "0");
            return;
        }
        if (call.kind == TracedCall::Kind::killed)
            return say(call.start, lane, "dies by " + call.name, cause("signal " + call.name, {Deed::Kind::signalled}, call.start, lane), false, true);
        if (call.kind == TracedCall::Kind::signal) {
            if (call.name != "SIGCHLD" && call.name != "SIGCONT")
                say(call.start, lane, "gets " + call.name, cause("signal " + call.name, {Deed::Kind::signalled}, call.start, lane));
            return;
        }
        const std::string& name = call.name;
        const TracedDescriptor first = traced_descriptor(argument(call, 0));
        const bool interrupted = call.result == "?" || call.error == "EINTR";
        if (name == "execve")
            tell_exec(call, lane);
        else if (reads(name) && !is_noise(first.target))
            tell_read(call, lane, first);
        else if (writes(name) && !is_noise(first.target))
            tell_write(call, lane, first);
        else if (name == "openat" || name == "open")
            tell_open(call, lane);
        else if (name == "close") {
            const bool pipe = first.target.starts_with("pipe:[");
            if (!is_noise(first.target) && !first.target.starts_with(request_.files))
                say(call.start, lane, fmt::format("closes {} ({}{})", first.number, label(first.target), pipe && ends_.contains(&call) ? ends_[&call] == 'r' ? ", read end" : ", write end" : ""));
        } else if ((name == "pipe" || name == "pipe2") && !call.failed()) {
            const std::string pair = argument(call, 0);
            const std::size_t comma = pair.find(", ");
            if (comma == std::string::npos)
                return;
            const TracedDescriptor r = traced_descriptor(pair.substr(1, comma - 1)), w = traced_descriptor(pair.substr(comma + 2, pair.size() - comma - 3));
            say(call.end(), lane, fmt::format("makes {}: {} reads, {} writes", label(r.target), r.number, w.number));
        } else if (name == "dup2" || name == "dup3") {
            if (!is_noise(first.target) && !first.target.starts_with(request_.files) && !call.failed())
                say(call.end(), lane, fmt::format("{} becomes {}", stream_of(traced_descriptor(call.result).number), label(first.target)));
        } else if (name == "fork" || name == "vfork" || name == "clone" || name == "clone3") {
            const int child = std::atoi(call.result.c_str());
            if (child > 0 && lane_of_.contains(child))
                say(call.start, lane, fmt::format("starts {} {}", has_flag(call, "CLONE_THREAD") ? "thread" : "process", child));
        } else if (name == "wait4" || name == "waitid") {
            const bool any = waited(call, lane, name == "wait4" && std::atoi(argument(call, 0).c_str()) > 0 ? "for process " + argument(call, 0) : "for a child");
            const int child = std::atoi(name == "wait4" ? call.result.c_str() : call.arguments.size() > 1 ? call.arguments[1].c_str() : "");
            if (interrupted && any)
                say(call.end(), lane, "is interrupted");
            else if (child > 0 && lane_of_.contains(child))
                say(call.end(), lane, fmt::format("knows that {} is over", child), static_cast<int>(lane_of_[child]));
        } else if (name == "mknodat" || name == "mknod" || name == "mkfifo") {
            if (has_flag(call, "S_IFIFO"))
                say(call.end(), lane, (call.failed() ? "FIFO is there already: " : "makes FIFO ") + path_of(argument(call, name == "mknodat" ? 1 : 0)));
        } else if (name == "unlink" || name == "unlinkat") {
            if (!call.failed())
                say(call.end(), lane, "removes the name " + label(path_of(argument(call, name == "unlinkat" ? 1 : 0))));
        } else if (name == "ftruncate") {
            if (!is_noise(first.target))
                say(call.end(), lane, fmt::format("makes {} {} bytes long", label(first.target), argument(call, 1)));
        } else if (name == "mmap") {
            const TracedDescriptor file = traced_descriptor(argument(call, 4));
            if (has_flag(call, "MAP_SHARED") && !is_noise(file.target))
                say(call.end(), lane, fmt::format("maps {}, {} bytes", label(file.target), argument(call, 1)));
        } else if (name == "futex")
            tell_futex(call, lane);
        else if (name == "bind" || name == "listen") {
            if (!call.failed() && name == "bind")
                say(call.end(), lane, "is reachable at " + address(argument(call, 1)));
            else if (call.failed())
                say(call.end(), lane, fmt::format("{}: {}", name, call.error), -1, false, true);
        } else if (name == "connect") {
            waited(call, lane, "to connect to " + address(argument(call, 1)));
            if (!is_noise(key(argument(call, 1))))
                say(call.end(), lane, call.failed() && call.error != "EINPROGRESS" ? fmt::format("connect to {}: {}", address(argument(call, 1)), call.error) : "connects to " + address(argument(call, 1)), -1, false, call.failed() && call.error != "EINPROGRESS");
        } else if (name.starts_with("accept")) {
            if (waited(call, lane, "for a connection") || !call.failed())
                say(call.end(), lane, interrupted ? "is interrupted" : call.failed() ? name + ": " + call.error : "accepts " + label(traced_descriptor(call.result).target),
                    call.failed() ? -1 : cause("any connection", {Deed::Kind::connected}, call.end(), lane));
        } else if (name == "poll" || name == "ppoll" || name == "select" || name == "pselect6" || name.starts_with("epoll_wait") || name.starts_with("epoll_pwait")) {
            if (waited(call, lane, "for " + polled(call)) && call.result == "0")
                say(call.end(), lane, "nothing came in time");
        } else if (name == "clock_nanosleep" || name == "nanosleep")
            waited(call, lane, "(sleeps)") ? say(call.end(), lane, "goes on") : void();
        else if (name == "flock")
            tell_plainly(call, lane, "for the lock on " + label(first.target), (has_flag(call, "LOCK_UN") ? "unlocks " : "locks ") + label(first.target));
        else if (name == "semop" || name == "semtimedop")
            tell_plainly(call, lane, "for a semaphore", "semaphore operation done");
        else if (name.starts_with("mq_"))
            tell_plainly(call, lane, name == "mq_timedreceive" ? "for a message" : "for room in the queue", name);
        else if (name == "kill" || name == "tgkill")
            say(call.start, lane, fmt::format("sends {} to {}", argument(call, name == "kill" ? 1 : 2), argument(call, 0)));
    }

    bool is_process(std::size_t lane) { return process_of_[chart_.lanes[lane].id] == chart_.lanes[lane].id; }

    void tell_plainly(const TracedCall& call, std::size_t lane, const std::string& waits, const std::string& done) {
        waited(call, lane, waits);
        say(call.end(), lane, call.failed() ? fmt::format("{}: {}", call.name, call.error) : done, -1, false, call.failed());
    }

    void tell_exec(const TracedCall& call, std::size_t lane) {
        if (call.failed()) {
            // A program is looked for in each folder of PATH; what counts is whether it was found in the end.
            if (last_exec_[lane] == &call)
                say(call.end(), lane, fmt::format("cannot run {}: {}", path_of(argument(call, 0)), call.error), -1, false, true);
            return;
        }
        ChartLane& own = chart_.lanes[lane];
        const auto parent = started_by_.find(lane);
        if (parent == started_by_.end())
            return;  // a program of the command line: its column says it
        own.name = std::filesystem::path(path_of(argument(call, 0))).filename().string();
        say(call.end(), lane, "runs " + own.name, static_cast<int>(parent->second.first));
    }

    void tell_read(const TracedCall& call, std::size_t lane, const TracedDescriptor& from) {
        const std::string what = label(from.target);
        const bool standard = from.target.starts_with(request_.files);
        const bool blocked = waited(call, lane, "to read from " + what);
        if (call.failed() || call.result == "?") {
            const bool retry = call.error == "EAGAIN";
            if (blocked || !retry)
                say(call.end(), lane, call.result == "?" || call.error == "EINTR" ? "is interrupted" : fmt::format("read from {}: {}", what, call.error), -1, false, !retry && call.result != "?");
            return;
        }
        const long long bytes = std::atoll(call.result.c_str());
        if (bytes == 0)
            say(call.end(), lane, "reads the end of " + what, cause(from.target, {Deed::Kind::closed}, call.end(), lane));
        else
            say(call.end(), lane, fmt::format("reads {} bytes from {}{}", bytes, what, words(argument(call, 1))),
                standard ? -1 : cause(from.target, {Deed::Kind::wrote}, call.end(), lane), false, false, "reads {} bytes from " + what, bytes);
    }

    void tell_write(const TracedCall& call, std::size_t lane, const TracedDescriptor& to) {
        TracedDescriptor target = to;
        std::string what = label(to.target);
        if (call.name == "sendto" && call.arguments.size() > 4 && argument(call, 4) != "NULL")
            what = address(argument(call, 4));
        const bool blocked = waited(call, lane, "for room in " + what);
        if (call.failed() || call.result == "?") {
            if (blocked || call.error != "EAGAIN")
                say(call.end(), lane, call.result == "?" ? "is interrupted" : fmt::format("write to {}: {}", what, call.error), -1, false, true);
            return;
        }
        const long long bytes = std::atoll(call.result.c_str());
        // It was written when the call began, unless there was no room then: the reader may be faster than its end.
        say(blocked ? call.end() : call.start, lane, fmt::format("writes {} bytes to {}{}", bytes, what, words(argument(call, 1))), -1, false, false, "writes {} bytes to " + what, bytes);
    }

    void tell_open(const TracedCall& call, std::size_t lane) {
        const std::size_t at = call.name == "openat" ? 1 : 0;
        const std::string path = path_of(argument(call, at));
        std::string target = call.failed() || call.result == "?" ? (path.starts_with('/') ? path : request_.directory + "/" + path) : traced_descriptor(call.result).target;
        if (is_noise(target))
            return;
        const std::string what = label(target);
        const std::string how = has_flag(call, "O_WRONLY") ? " to write" : has_flag(call, "O_RDWR") ? " to read and write" : " to read";
        const bool blocked = waited(call, lane, "to open " + what + how);
        if (call.failed() || call.result == "?")
            say(call.end(), lane, call.result == "?" ? "is interrupted" : fmt::format("open {}: {}", what, call.error), -1, false, call.error != "ENOENT" && call.error != "EEXIST");
        else
            say(call.end(), lane, fmt::format("opens {}{}", what, how), blocked ? cause(target, {Deed::Kind::opened}, call.end() + 0.01, lane) : -1);
    }

    void tell_futex(const TracedCall& call, std::size_t lane) {
        if (has_flag(call, "FUTEX_WAKE")) {
            if (!call.failed() && call.result != "0")
                say(call.start, lane, fmt::format("wakes {}", call.result == "1" ? "a waiter" : call.result + " waiters"));
            return;
        }
        if (!waited(call, lane, "to be woken (futex)"))
            return;
        if (call.error == "ETIMEDOUT")
            say(call.end(), lane, "was not woken in time");
        else if (call.result == "?" || call.error == "EINTR")
            say(call.end(), lane, "is interrupted");
        else
            say(call.end(), lane, "is woken", cause("any futex", {Deed::Kind::woke}, call.end(), lane));
    }

    // "{sa_family=AF_INET, sin_port=htons(5000), sin_addr=inet_addr("127.0.0.1")}"
    std::string address(const std::string& text) const {
        if (const std::size_t path = text.find("sun_path="); path != std::string::npos) {
            const bool abstract = text.compare(path + 9, 1, "@") == 0;
            std::string name = path_of(text.substr(path));
            if (name.starts_with(request_.directory + "/"))
                name.erase(0, request_.directory.size() + 1);
            return (abstract ? "@" : "") + name;
        }
        const std::size_t port = text.find("htons(");
        std::string host = path_of(text.substr(std::min(text.find("inet_"), text.size())));
        if (const std::size_t end = host.find('"'); end != std::string::npos)
            host.resize(end);
        return port == std::string::npos ? text : host + " port " + std::to_string(std::atoi(text.c_str() + port + 6));
    }

    std::string polled(const TracedCall& call) {
        std::string names;
        const std::string& set = argument(call, 0);
        for (std::size_t at = set.find("fd="); at != std::string::npos; at = set.find("fd=", at + 1)) {
            const std::size_t end = set.find(", events", at);
            const TracedDescriptor one = traced_descriptor(set.substr(at + 3, end == std::string::npos ? end : end - at - 3));
            if (one.number >= 0 && !one.target.empty())
                names += (names.empty() ? "" : " or ") + label(one.target);
        }
        return names.empty() ? "something to happen (" + call.name + ")" : names;
    }

    // ---- order, and mercy on the reader ----

    void finish() {
        std::stable_sort(told_.begin(), told_.end(), [](const Told& a, const Told& b) { return a.row.at < b.row.at; });
        std::vector<Told> merged;
        for (Told& one : told_) {
            Told* last = merged.empty() ? nullptr : &merged.back();
            if (last && !one.same.empty() && last->same == one.same && last->row.lane == one.row.lane && !last->row.blocked) {
                last->bytes += one.bytes;
                ++last->count;
                if (last->row.arrow_from < 0)
                    last->row.arrow_from = one.row.arrow_from;
                last->row.text = fmt::format(fmt::runtime(last->same), last->bytes) + fmt::format(" in {} calls", last->count);
                continue;
            }
            merged.push_back(std::move(one));
        }
        const std::size_t count = merged.size();
        for (std::size_t i = 0; i < count; ++i) {
            if (count > first_rows + last_rows && i >= first_rows && i < count - last_rows) {
                if (i == first_rows)
                    chart_.legend.push_back(fmt::format("{} rows in the middle are left out", count - first_rows - last_rows));
                continue;
            }
            chart_.rows.push_back(std::move(merged[i].row));
        }
    }

    const std::vector<TracedThread>& threads_;
    const ChartRequest& request_;
    Chart chart_;
    double begin_ = 0;
    std::vector<std::pair<const TracedCall*, std::size_t>> calls_;
    std::map<int, std::size_t> lane_of_;
    std::map<int, int> process_of_;
    std::map<int, Process> processes_;
    std::map<std::size_t, std::pair<std::size_t, double>> started_by_;
    std::map<const TracedCall*, char> ends_;
    std::map<std::size_t, const TracedCall*> last_exec_;
    std::vector<std::pair<std::string, Deed>> deeds_;
    std::map<std::string, std::string> short_names_;
    std::map<std::string, int> numbers_;
    std::vector<Told> told_;
};

}  // namespace

Chart chart_of(const std::vector<TracedThread>& threads, const ChartRequest& request) {
    return Drawing(threads, request).chart();
}

}  // namespace course
