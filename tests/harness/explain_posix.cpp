// Why a subject does not go on, read from /proc before anything is killed.

#include "platform.hpp"

#include "proc_posix.hpp"
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <set>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <utility>

namespace judge {
namespace {

std::string named(pid_t pid) { return proc::name(pid) + " (pid " + std::to_string(pid) + ")"; }

struct Holder {
    pid_t pid;
    int number;
    bool readable, writable;
};

// Everyone who has this pipe, FIFO or socket open and may be looked at.
std::vector<Holder> holders_of(const proc::Descriptor& object) {
    std::vector<Holder> found;
    for (pid_t pid : proc::all_processes())
        for (const proc::Descriptor& descriptor : proc::descriptors(pid))
            if (descriptor.inode == object.inode && descriptor.device == object.device)
                found.push_back({pid, descriptor.number, descriptor.readable, descriptor.writable});
    return found;
}

std::string list_of(pid_t self, const std::vector<Holder>& holders) {
    std::string text;
    bool judge_said = false;  // it may hold fifty
    for (const Holder& holder : holders) {
        if (holder.pid == ::getpid() && std::exchange(judge_said, true))
            continue;
        if (!text.empty())
            text += " and ";
        const std::string number = "fd " + std::to_string(holder.number);
        if (holder.pid == self)
            text += proc::name(self) + " itself (" + number + ")";
        else if (holder.pid == ::getpid())
            text += "the judge";
        else
            text += proc::name(holder.pid) + " (pid " + std::to_string(holder.pid) + ", " + number + ")";
    }
    return text;
}

// "a pipe whose write end is still open in lab-01 itself (fd 4)"
std::string pipe_seen_by(pid_t pid, const proc::Descriptor& end, bool reading) {
    std::vector<Holder> others;
    for (const Holder& holder : holders_of(end))
        if (reading ? holder.writable : holder.readable)
            others.push_back(holder);
    const bool fifo = !end.target.starts_with("pipe:");
    const std::string object = fifo ? "the FIFO " + end.target : "a pipe";
    const std::string other_end = reading ? "write end" : "read end";
    if (others.empty())
        return object + " whose " + other_end + " is held by nobody that can be seen";
    const std::string list = list_of(pid, others);
    return reading ? object + " whose write end is still open in " + list
                   : object + " that is full, and whose read end is open in " + list;
}

std::string object_seen_by(pid_t pid, const proc::Descriptor& descriptor, bool reading) {
    if (descriptor.fifo)
        return pipe_seen_by(pid, descriptor, reading);
    if (descriptor.socket) {
        const std::string address = proc::socket_address(pid, descriptor.inode);
        return address.empty() ? "a socket" : "the socket " + address;
    }
    return descriptor.target;
}

const proc::Descriptor* find(const std::vector<proc::Descriptor>& open, std::uint64_t number) {
    for (const proc::Descriptor& descriptor : open)
        if (descriptor.number == static_cast<int>(number))
            return &descriptor;
    return nullptr;
}

std::string on_descriptor(pid_t pid, const char* call, std::uint64_t number, bool reading) {
    const auto open = proc::descriptors(pid);
    const proc::Descriptor* descriptor = find(open, number);
    return std::string("waits in ") + call + "(" + std::to_string(static_cast<int>(number)) + ")" +
           (descriptor ? " on " + object_seen_by(pid, *descriptor, reading) : "");
}

std::string in_poll(pid_t pid, std::uint64_t array, std::uint64_t count, bool bounded) {
    const std::string bytes = proc::memory(pid, array, static_cast<std::size_t>(std::min<std::uint64_t>(count, 64)) * sizeof(pollfd));
    const auto open = proc::descriptors(pid);
    std::string text;
    for (std::size_t i = 0; i + sizeof(pollfd) <= bytes.size(); i += sizeof(pollfd)) {
        pollfd entry;
        std::memcpy(&entry, bytes.data() + i, sizeof entry);
        const proc::Descriptor* descriptor = entry.fd >= 0 ? find(open, static_cast<std::uint64_t>(entry.fd)) : nullptr;
        if (!descriptor)
            continue;
        text += text.empty() ? "" : "; and ";
        if (entry.events == 0)
            text += "for the other end of fd " + std::to_string(entry.fd) + " to be closed";
        else
            text += ((entry.events & POLLOUT) ? "to write to fd " : "to read from fd ") + std::to_string(entry.fd) + ", " +
                    object_seen_by(pid, *descriptor, !(entry.events & POLLOUT));
    }
    return std::string("waits in poll()") + (bounded ? " with a timeout" : "") + (text.empty() ? " for nothing" : ": " + text);
}

std::string in_open(pid_t pid, std::uint64_t path_address, std::uint64_t flags) {
    const std::string path = proc::text(pid, path_address);
    const bool reading = (flags & O_ACCMODE) == O_RDONLY;
    return "waits in open(\"" + path + "\") for somebody to open that FIFO for " + (reading ? "writing" : "reading");
}

std::string in_wait(pid_t pid, long long target) {
    std::string whom;
    for (pid_t child : proc::children(pid)) {
        if (target > 0 && child != target)
            continue;
        if (const char state = proc::state(child); state == 'Z' || state == 0)
            continue;
        whom += (whom.empty() ? "" : " and ") + named(child);
    }
    return "waits in wait() for its child " + (whom.empty() ? "" : whom + " ") + "to end";
}

std::string in_futex(pid_t pid, std::uint64_t address) {
    const std::string file = proc::shared_mapping(pid, address);
    if (file.empty())
        return "waits in futex() for a lock, condition or thread in its own memory";
    return "waits in futex() for a lock or condition in shared memory " + file;
}

std::string sentence(pid_t pid, pid_t thread) {
    const char state = proc::state(pid, thread);
    if (state == 'T' || state == 't')
        return "is stopped";
    const proc::Call call = proc::call(pid, thread);
    if (call.running || state == 'R')
        return "is running, not waiting: it has used " +
               std::to_string(std::chrono::duration_cast<milliseconds>(proc::cpu_time(pid)).count()) + " ms of processor time";
    const auto* a = call.arguments;
    switch (call.number) {
    case SYS_read: case SYS_pread64: return on_descriptor(pid, "read", a[0], true);
    case SYS_readv: return on_descriptor(pid, "readv", a[0], true);
    case SYS_write: case SYS_pwrite64: return on_descriptor(pid, "write", a[0], false);
    case SYS_writev: return on_descriptor(pid, "writev", a[0], false);
    case SYS_splice: return on_descriptor(pid, "splice", a[0], true);
    case SYS_sendfile: return on_descriptor(pid, "sendfile", a[0], false);
    case SYS_recvfrom: case SYS_recvmsg: return on_descriptor(pid, "recv", a[0], true);
    case SYS_sendto: case SYS_sendmsg: return on_descriptor(pid, "send", a[0], false);
    case SYS_accept: case SYS_accept4: return on_descriptor(pid, "accept", a[0], true) + " for a client";
    case SYS_connect: return on_descriptor(pid, "connect", a[0], false);
    case SYS_flock: return on_descriptor(pid, "flock", a[0], true);
    case SYS_open: return in_open(pid, a[0], a[1]);
    case SYS_openat: return in_open(pid, a[1], a[2]);
    case SYS_wait4: return in_wait(pid, static_cast<int>(a[0]));
    case SYS_waitid: return in_wait(pid, a[0] == 1 /* P_PID */ ? static_cast<int>(a[1]) : -1);
    case SYS_poll: return in_poll(pid, a[0], a[1], static_cast<int>(a[2]) >= 0);
    case SYS_ppoll: return in_poll(pid, a[0], a[1], a[2] != 0);
    case SYS_select: case SYS_pselect6: return "waits in select()" + std::string(a[4] ? " with a timeout" : "");
    case SYS_epoll_wait: case SYS_epoll_pwait:
        return "waits in epoll_wait()" + std::string(static_cast<int>(a[3]) >= 0 ? " with a timeout" : "");
    case SYS_futex: return in_futex(pid, a[0]);
    case SYS_nanosleep: case SYS_clock_nanosleep: return "sleeps";
    case SYS_exit: case SYS_exit_group: return "is ending";
    case SYS_pause: case SYS_rt_sigsuspend: return "waits in pause() for a signal";
    case SYS_rt_sigtimedwait: return "waits in sigwait() for a signal" + std::string(a[2] ? " with a timeout" : "");
    case SYS_semop: case SYS_semtimedop: return "waits in semop() for a System V semaphore";
    case SYS_mq_timedreceive: return on_descriptor(pid, "mq_receive", a[0], true);
    case SYS_mq_timedsend: return on_descriptor(pid, "mq_send", a[0], false);
    default: return "waits in system call " + std::to_string(call.number);
    }
}

}  // namespace

std::vector<std::string> explain_hang(const Process& process) {
    std::vector<std::string> sentences;
    for (const ProcessInfo& member : process.tree()) {
        if (member.zombie) {
            sentences.push_back(member.name + " (pid " + std::to_string(member.id) +
                                ") has ended, and its parent has not waited for it yet");
            continue;
        }
        const auto pid = static_cast<pid_t>(member.id);
        std::set<std::string> said;  // ten threads that wait alike are one sentence
        for (pid_t thread : proc::threads_of_the_program(pid)) {
            const std::string what = sentence(pid, thread);
            if (said.insert(what).second)
                sentences.push_back(named(pid) + (thread == pid ? " " : ", in another thread, ") + what);
        }
    }
    return sentences;
}

namespace {

// A socket may have a timeout (SO_RCVTIMEO, SO_SNDTIMEO) that only the socket itself knows; see pidfd_getfd(2).
bool socket_times_out(pid_t pid, std::uint64_t number) {
    const ipc::unique_file process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    const ipc::unique_file socket(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), static_cast<int>(number), 0)));
    if (!socket)
        return true;  // it may; who does not know waits for the deadline
    for (int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        timeval timeout{};
        socklen_t size = sizeof timeout;
        if (::getsockopt(socket.get(), SOL_SOCKET, option, &timeout, &size) != 0 || timeout.tv_sec != 0 || timeout.tv_usec != 0)
            return true;
    }
    return false;
}

// Whether this thread, blocked in this call, will go on by itself.
bool wakes_by_itself(pid_t pid, const proc::Call& call) {
    const auto* a = call.arguments;
    switch (call.number) {
    case SYS_nanosleep: case SYS_clock_nanosleep: case SYS_restart_syscall: return true;
    case SYS_poll: return static_cast<int>(a[2]) >= 0;
    case SYS_ppoll: return a[2] != 0;
    case SYS_select: case SYS_pselect6: return a[4] != 0;
    case SYS_epoll_wait: case SYS_epoll_pwait: return static_cast<int>(a[3]) >= 0;
    case SYS_futex: return a[3] != 0;
    case SYS_rt_sigtimedwait: return a[2] != 0;
    case SYS_semtimedop: return a[3] != 0;
    case SYS_mq_timedreceive: case SYS_mq_timedsend: return a[4] != 0;
    case SYS_recvmmsg: return a[4] != 0;
    case SYS_recvfrom: case SYS_recvmsg: case SYS_sendto: case SYS_sendmsg: case SYS_accept: case SYS_accept4:
        return socket_times_out(pid, a[0]);
    case SYS_connect: return true;
    case SYS_read: {
        for (const proc::Descriptor& descriptor : proc::descriptors(pid))
            if (descriptor.number == static_cast<int>(a[0]))
                return descriptor.target == "anon_inode:[timerfd]";
        return false;
    }
    default: return false;
    }
}

}  // namespace

bool Process::wants_processor() const {
    for (const ProcessInfo& member : tree())
        for (pid_t thread : proc::threads_of_the_program(static_cast<pid_t>(member.id)))
            if (proc::state(static_cast<pid_t>(member.id), thread) == 'R')
                return true;
    return false;
}

std::string Process::stillness() const {
    std::string text;
    for (const ProcessInfo& member : tree()) {
        if (member.zombie)
            continue;
        const auto pid = static_cast<pid_t>(member.id);
        for (pid_t thread : proc::threads_of_the_program(pid)) {
            const char state = proc::state(pid, thread);
            const proc::Call call = proc::call(pid, thread);
            if ((state != 'S' && state != 'T' && state != 't') || call.running || (state == 'S' && wakes_by_itself(pid, call)))
                return {};
            text += std::to_string(thread) + ":" + std::to_string(call.number) + ":" +
                    std::to_string(proc::voluntary_switches(pid, thread)) + ";";
        }
    }
    return text;
}

}  // namespace judge
