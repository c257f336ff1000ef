// Why a subject does not go on, asked of Windows (or Wine) before anything is killed: from each thread's
// blocked call to the handle, from the handle to the object and to the others who hold it.

#include <winsock2.h>  // before windows.h, which else brings the old one
#include <ws2ipdef.h>

#include "platform.hpp"

#include "handles_win32.hpp"
#include "ipc/text.hpp"
#include "threads_win32.hpp"
#include <algorithm>
#include <future>
#include <map>
#include <set>
#include <thread>
#include <windows.h>
#include <winternl.h>

namespace judge {
namespace {

using ipc::unique_handle;
using std::chrono::duration_cast;

// ---- words for objects
// -------------------------------------------------------------------------------------------------

std::string plain_name(DWORD process) {
    const unique_handle handle(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, process));
    const std::string file = handle ? nt::program_of(handle.get()) : std::string();
    return file.empty() ? "a process" : nt::short_name(file);
}

std::string named(DWORD process) {
    return process == GetCurrentProcessId() ? "the judge"
                                            : plain_name(process) + " (pid " + std::to_string(process) + ")";
}

struct Holder {
    DWORD process;
    std::uintptr_t value;
    std::uint32_t access;
};

// "lab-01 itself (handle 0x48) and puppet (pid 300, handle 0x30)"
std::string list_of(DWORD self, const std::vector<Holder>& holders) {
    std::string text;
    bool judge_said = false;
    for (const Holder& holder : holders) {
        const bool judge = holder.process == GetCurrentProcessId();
        if (judge && std::exchange(judge_said, true))
            continue;
        const std::string number = "handle " + nt::hex(holder.value);
        text += (text.empty() ? "" : " and ");
        text += judge                    ? "the judge"
                : holder.process == self ? plain_name(self) + " itself (" + number + ")"
                                         : plain_name(holder.process) + " (pid " +
                                               std::to_string(holder.process) + ", " + number + ")";
    }
    return text;
}

// Who is asked for handles: the judge, this subject, and whoever else the judge started. Set by
// explain_hang().
thread_local std::set<DWORD> family;

// Everyone in the family whose handle is of the type of `like` and fulfils the condition.
template <class Condition>
std::vector<Holder> holders_where(HANDLE like, Condition condition) {
    std::vector<Holder> found;
    std::map<DWORD, unique_handle> processes;
    const std::vector<nt::HandleEntry> table = nt::all_handles();
    unsigned type = 0;
    for (const nt::HandleEntry& entry : table)
        if (entry.process == GetCurrentProcessId() && entry.value == reinterpret_cast<std::uintptr_t>(like))
            type = entry.type;
    for (const nt::HandleEntry& entry : table) {
        const bool ours = entry.process == GetCurrentProcessId();
        if (entry.type != type || !family.contains(entry.process) ||
            (ours && entry.value == reinterpret_cast<std::uintptr_t>(like)))
            continue;
        auto [at, fresh] = processes.try_emplace(entry.process);
        if (fresh && !ours)
            at->second.reset(OpenProcess(PROCESS_DUP_HANDLE, FALSE, entry.process));
        if (!ours && !at->second)
            continue;
        const unique_handle copy = nt::borrow(ours ? GetCurrentProcess() : at->second.get(), entry.value);
        if (copy && condition(entry, copy.get()))
            found.push_back({entry.process, entry.value, entry.access});
    }
    return found;
}

// A question about a pipe. On Windows it may wait until the blocked call on the same pipe is over: asked in a
// thread that can be left behind.
template <class Ask>
auto in_time(HANDLE own, Ask ask) -> std::optional<decltype(ask(own))> {
    if (nt::under_wine())
        return ask(own);
    using Answer = decltype(ask(own));
    auto promise = std::make_shared<std::promise<Answer>>();
    auto answer = promise->get_future();
    HANDLE copy = nullptr;
    if (!DuplicateHandle(GetCurrentProcess(), own, GetCurrentProcess(), &copy, 0, FALSE,
                         DUPLICATE_SAME_ACCESS))
        return std::nullopt;
    std::thread([promise, copy, ask] {
        promise->set_value(ask(copy));
        CloseHandle(copy);
    }).detach();
    if (answer.wait_for(milliseconds(100)) != std::future_status::ready)
        return std::nullopt;
    return answer.get();
}

std::uint32_t granted(HANDLE own) {
    struct Basic {
        ULONG attributes;
        ACCESS_MASK access;
        ULONG more[12];
    } basic{};
    using Query = NTSTATUS(NTAPI*)(HANDLE, int, void*, ULONG, ULONG*);
    static const auto query = nt::function_as<Query>("NtQueryObject");
    query(own, 0 /* ObjectBasicInformation */, &basic, sizeof basic, nullptr);
    return basic.access;
}

bool may_read(std::uint32_t access) {
    return (access & FILE_READ_DATA) != 0;
}
bool may_write(std::uint32_t access) {
    return (access & FILE_WRITE_DATA) != 0;
}

// Wine names both ends of an anonymous pipe alike; Windows gives them no name that tells one pipe from
// another.
bool is_anonymous(const std::string& pipe_name) {
    return pipe_name.starts_with("\\\\.\\pipe\\Win32.Pipes.");
}
bool is_nameless(const std::string& pipe_name) {
    return !pipe_name.starts_with("\\\\.\\pipe\\") || pipe_name.size() == 9;
}

// FILE_PIPE_LOCAL_INFORMATION, and the processes at both ends.
struct Ends {
    struct Local {
        ULONG type, configuration, instances, current, inbound, readable, outbound, writable, state, end;
    } local{};
    DWORD server_process = 0, client_process = 0;
};

constexpr ULONG pipe_listening = 2, pipe_connected = 3, pipe_server_end = 1;

using QueryFile = NTSTATUS(NTAPI*)(HANDLE, IO_STATUS_BLOCK*, void*, ULONG, int);

QueryFile query_file() {
    static const auto query = nt::function_as<QueryFile>("NtQueryInformationFile");
    return query;
}

// The judge draws this name for its talk with a puppet (platform_win32.cpp).
constexpr std::string_view puppet_line = "\\\\.\\pipe\\ipc-labs-puppet-";

// A mailslot counts as a pipe, too. Its owner's handle bears its name; a sender's handle bears none, and knows nothing of
// pipes (under Wine, where nameless pipes have names).
bool is_mailslot(HANDLE own, const std::string& name) {
    if (name.find("ailslot\\") != std::string::npos || name.find("ailSlot\\") != std::string::npos)
        return true;
    Ends::Local local{};
    IO_STATUS_BLOCK status{};
    return nt::under_wine() && name.empty() &&
           query_file()(own, &status, &local, sizeof local, 24 /* FilePipeLocalInformation */) < 0;
}

// "the socket of port 7777", if it is a socket: that counts as a pipe, too. Winsock knows only sockets of this process; so the
// driver below it is asked, as getsockname() does.
std::string socket_seen(HANDLE own, const std::string& name) {
    if (name.find("\\Afd") != std::string::npos)
        return "a socket";  // as Windows calls them
    if (!nt::under_wine() || !name.empty())
        return "";
    using Control = NTSTATUS(NTAPI*)(HANDLE, HANDLE, void*, void*, IO_STATUS_BLOCK*, ULONG, void*, ULONG, void*, ULONG);
    static const auto control = nt::function_as<Control>("NtDeviceIoControlFile");
    constexpr ULONG get_socket_name = 0x1202f;
    sockaddr_storage address{};
    IO_STATUS_BLOCK status{};
    if (!control || control(own, nullptr, nullptr, nullptr, &status, get_socket_name, nullptr, 0, &address, sizeof address) < 0)
        return "";
    const bool six = address.ss_family == AF_INET6;
    if (!six && address.ss_family != AF_INET)
        return "a socket";
    const unsigned port = ntohs(six ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port : reinterpret_cast<const sockaddr_in&>(address).sin_port);
    return "the socket of port " + std::to_string(port);
}

// "a pipe whose write end is still open in lab-01 itself (handle 0x48)"
std::string pipe_seen_by(DWORD self, HANDLE own, bool reading) {
    const std::string name = nt::name_of(own);
    if (name.starts_with(puppet_line))
        return reading ? "the line to the judge, to be told what to do" : "the line to the judge";
    if (const std::string socket = socket_seen(own, name); !socket.empty())
        return socket;
    if (is_mailslot(own, name))
        return reading ? "its mailslot, for a message" : "a mailslot, for room in it";
    if (is_nameless(name)) {
        const auto candidates = holders_where(own, [&](const nt::HandleEntry& entry, HANDLE copy) {
            return entry.process == self && (reading ? may_write(entry.access) : may_read(entry.access)) &&
                   !nt::same_object(own, copy) &&
                   in_time(copy, [](HANDLE file) { return GetFileType(file); }).value_or(FILE_TYPE_UNKNOWN) ==
                       FILE_TYPE_PIPE &&
                   is_nameless(nt::name_of(copy));
        });
        const std::string ends = reading ? "write end" : "read end";
        return "a pipe; Windows does not tell who holds its " + ends +
               (candidates.empty() ? std::string()
                                   : "; a " + ends + " of some pipe is open in " + list_of(self, candidates));
    }
    if (is_anonymous(name)) {
        const auto others = holders_where(own, [&](const nt::HandleEntry& entry, HANDLE copy) {
            return (reading ? may_write(entry.access) : may_read(entry.access)) && nt::name_of(copy) == name;
        });
        const std::string list = list_of(self, others);
        if (reading)
            return others.empty() ? "a pipe whose write end is held by nobody that can be seen"
                                  : "a pipe whose write end is still open in " + list;
        return others.empty() ? "a pipe whose read end is held by nobody that can be seen"
                              : "a pipe that is full, and whose read end is open in " + list;
    }
    const std::string text = "the named pipe " + name;
    const auto ends = in_time(own, [](HANDLE pipe) {
        Ends found;
        IO_STATUS_BLOCK status{};
        query_file()(pipe, &status, &found.local, sizeof found.local, 24 /* FilePipeLocalInformation */);
        GetNamedPipeServerProcessId(pipe, &found.server_process);
        GetNamedPipeClientProcessId(pipe, &found.client_process);
        return found;
    });
    if (!ends)
        return text;
    const bool server = ends->local.end == pipe_server_end;
    if (server && ends->local.state == pipe_listening)
        return text + ", to which no client has come";
    if (ends->local.state != pipe_connected)
        return text + ", whose " + (server ? "client" : "server") + " is gone";
    const DWORD other = server ? ends->client_process : ends->server_process;
    return text + ", whose " + (server ? "client" : "server") + " is " +
           (other == self ? plain_name(self) + " itself" : named(other));
}

// "the event Local\\x (handle 0x44)"
std::string object(HANDLE own, const std::string& kind, const std::string& number) {
    const std::string name = nt::name_of(own);
    return name.empty() ? "a nameless " + kind + " (" + number + ")"
                        : "the " + kind + " " + name + " (" + number + ")";
}

// ", which puppet (pid 300, handle 0x44) has open too"
std::string shared_with(DWORD self, HANDLE own) {
    const auto others = holders_where(own, [&](const nt::HandleEntry& entry, HANDLE copy) {
        return entry.process != self && entry.process != GetCurrentProcessId() && nt::same_object(own, copy);
    });
    return others.empty() ? ", which no other process has open"
                          : ", which is open in " + list_of(self, others) + " too";
}

std::string mutex_owner(HANDLE own) {
    struct Owner {
        HANDLE process, thread;
    } owner{};
    using Query = NTSTATUS(NTAPI*)(HANDLE, int, void*, ULONG, ULONG*);
    static const auto query = nt::function_as<Query>("NtQueryMutant");
    if (!query || query(own, 1 /* MutantOwnerInformation */, &owner, sizeof owner, nullptr) < 0 ||
        !owner.process)
        return std::string("; ") + (nt::under_wine() ? "Wine" : "the system") + " does not tell who owns it";
    return ", owned by " + named(static_cast<DWORD>(reinterpret_cast<std::uintptr_t>(owner.process)));
}

// Whose call is to set an event, nobody tells; but it can only be one on a pipe that was opened for
// overlapped calls.
std::string overlapped_pipes(DWORD self, HANDLE process) {
    std::string text;
    int count = 0;
    for (const nt::HandleEntry& entry : nt::all_handles()) {
        const unique_handle own = entry.process == self ? nt::borrow(process, entry.value) : unique_handle();
        if (!own || nt::type_of(own.get()) != "File")
            continue;
        const bool overlapped =
            in_time(own.get(), [](HANDLE file) {
                IO_STATUS_BLOCK status{};
                ULONG mode = 0;
                constexpr ULONG synchronous =
                    0x30;  // FILE_SYNCHRONOUS_IO_ALERT, FILE_SYNCHRONOUS_IO_NONALERT
                return GetFileType(file) == FILE_TYPE_PIPE &&
                       query_file()(file, &status, &mode, sizeof mode, 16 /* FileModeInformation */) >= 0 &&
                       !(mode & synchronous);
            }).value_or(false);
        if (overlapped && ++count <= 3)
            text += (text.empty() ? "; perhaps by an overlapped call on " : " or on ") +
                    pipe_seen_by(self, own.get(), true) + " (handle " + nt::hex(entry.value) + ")";
    }
    return text + (count > 3 ? " or on " + std::to_string(count - 3) + " more" : "");
}

// What a wait on this handle waits for: "for puppet (pid 300) to end"
std::string awaited(DWORD self, HANDLE process, std::uint64_t value) {
    const std::string number = "handle " + nt::hex(value);
    const unique_handle own = nt::borrow(process, value);
    if (!own)
        return "for " + number;
    const std::string type = nt::type_of(own.get());
    if (type == "Process")
        return "for " + named(GetProcessId(own.get())) + " to end";
    if (type == "Thread") {
        const DWORD owner = GetProcessIdOfThread(own.get());
        return "for " + (owner == self ? "its own thread " : "a thread of " + named(owner) + ", ") +
               std::to_string(GetThreadId(own.get())) + ", to end";
    }
    if (type == "Event")
        return "for " + object(own.get(), "event", number) + " to be set" + shared_with(self, own.get()) +
               (nt::name_of(own.get()).empty() ? overlapped_pipes(self, process) : "");
    if (type == "Mutant")
        return "for " + object(own.get(), "mutex", number) + shared_with(self, own.get()) +
               mutex_owner(own.get());
    if (type == "Semaphore")
        return "for a permit of " + object(own.get(), "semaphore", number) + shared_with(self, own.get());
    if (type == "File") {
        const DWORD kind =
            in_time(own.get(), [](HANDLE file) { return GetFileType(file); }).value_or(FILE_TYPE_PIPE);
        return "for the end of a call on " +
               (kind == FILE_TYPE_PIPE ? pipe_seen_by(self, own.get(), may_read(granted(own.get())))
                                       : number);
    }
    return "for " + object(own.get(), type.empty() ? "object" : type, number);
}

// ---- words for calls
// ---------------------------------------------------------------------------------------------------

// The file that the call works on: its first argument, or the one kept register that is a file's handle.
struct FileArgument {
    std::uint64_t value = 0;
    unique_handle own;
};

FileArgument file_argument(const Thread& thread) {
    auto as_file = [&](std::uint64_t value) {
        unique_handle own =
            value != 0 && value < (1u << 24) ? nt::borrow(thread.process, value) : unique_handle();
        if (own && nt::type_of(own.get()) != "File")
            own.reset();
        return own;
    };
    if (const auto value = thread.first_argument())
        if (unique_handle own = as_file(*value))
            return {*value, std::move(own)};
    FileArgument only;
    for (unsigned number : saved_registers) {
        const std::uint64_t value = thread.saved_register(number);
        if (unique_handle own = value == only.value ? unique_handle() : as_file(value)) {
            if (only.own)
                return {};  // two files: either could be meant
            only = {value, std::move(own)};
        }
    }
    return only;
}

std::string on_file(DWORD self, const Thread& thread, const char* call, bool reading) {
    const FileArgument file = file_argument(thread);
    if (!file.own)
        return std::string("waits in ") + call;
    const std::string text = std::string("waits in ") + call + "(" + nt::hex(file.value) + ") on ";
    const DWORD kind =
        in_time(file.own.get(), [](HANDLE own) { return GetFileType(own); }).value_or(FILE_TYPE_PIPE);
    return text + (kind == FILE_TYPE_PIPE   ? pipe_seen_by(self, file.own.get(), reading)
                   : kind == FILE_TYPE_CHAR ? "the console or a device"
                                            : nt::name_of(file.own.get()));
}

std::string in_control(DWORD self, const Thread& thread) {
    switch (thread.stacked(6) & 0xffffffff) {
    case fsctl_pipe_listen: {
        const FileArgument file = file_argument(thread);
        const std::string name = file.own ? nt::name_of(file.own.get()) : "";
        return "waits in ConnectNamedPipe for a client" + (name.empty() ? "" : " of " + name);
    }
    case fsctl_pipe_wait:
        return "waits in WaitNamedPipe for a free instance of a named pipe";
    case fsctl_pipe_transceive:
        return on_file(self, thread, "TransactNamedPipe", true);
    default:
        return on_file(self, thread, "DeviceIoControl", true);
    }
}

std::string in_wait_for_many(DWORD self, const Thread& thread) {
    const std::string timeout = thread.stacked(5) ? " with a timeout" : "";
    const std::uint64_t count = thread.first_argument().value_or(1);
    std::array<std::uint64_t, MAXIMUM_WAIT_OBJECTS> handles{};
    if (count == 0 || count > handles.size() ||
        !peek(thread.process, thread.context.Rdx, handles.data(), count * sizeof handles[0]))
        return "waits in WaitForMultipleObjects" + timeout;
    for (std::uint64_t i = 0; i < count; ++i)
        if (handles[i] == 0 || handles[i] >= (1u << 24) || !nt::borrow(thread.process, handles[i]))
            return "waits in WaitForMultipleObjects" +
                   timeout;  // Windows need not keep the register that told us where they are
    if (count == 1)
        return "waits in WaitForSingleObject" + timeout + " " + awaited(self, thread.process, handles[0]);
    std::string text = "waits in WaitForMultipleObjects" + timeout + ": ";
    for (std::uint64_t i = 0; i < count; ++i)
        text += (i ? "; and " : "") + awaited(self, thread.process, handles[i]);
    return text;
}

std::string sentence(DWORD self, const Thread& thread) {
    const std::string& call = thread.call;
    if (thread.suspended_before)
        return "is suspended";
    if (call.empty()) {
        return "is running, not waiting: it has used " +
               std::to_string(duration_cast<milliseconds>(nt::cpu_time(self)).count()) +
               " ms of processor time";
    }
    if (call == "NtReadFile")
        return on_file(self, thread, "ReadFile", true);
    if (call == "NtWriteFile")
        return on_file(self, thread, "WriteFile", false);
    if (call == "NtFlushBuffersFile")
        return on_file(self, thread, "FlushFileBuffers", false) + ", until everything written has been read";
    if (call == "NtFsControlFile")
        return in_control(self, thread);
    if (call == "NtWaitForMultipleObjects")
        return in_wait_for_many(self, thread);
    if (call == "NtWaitForSingleObject") {
        const auto handle = thread.first_argument();
        return "waits in WaitForSingleObject" + (handle ? " " + awaited(self, thread.process, *handle) : "");
    }
    if (call == "NtDelayExecution")
        return "sleeps";
    if (call == "NtWaitForAlertByThreadId" || call == "NtWaitForKeyedEvent")
        return "waits for a lock or condition in its own memory (critical section, SRW lock, condition "
               "variable or WaitOnAddress)";
    if (call.starts_with("NtRemoveIoCompletion"))
        return "waits in GetQueuedCompletionStatus";
    if (call == "NtUserGetMessage")
        return "waits in GetMessage for a message to one of its windows";
    if (call == "NtUserGetClipboardData")
        return "waits in GetClipboardData for the clipboard's owner to make its data";
    if (call == "NtUserMessageCall")
        return "waits in SendMessage for the owner of another window to answer";
    if (call == "NtYieldExecution")
        return "is running, not waiting: it gives up the processor again and again";
    return "is in the system call " + call;
}

}  // namespace

std::vector<std::string> explain_hang(const Process& process) {
    std::vector<std::string> sentences;
    const std::vector<ProcessInfo> tree = process.tree();
    family = nt::family();
    for (const ProcessInfo& member : tree)
        family.insert(member.id);
    for (const ProcessInfo& member : tree) {
        const unique_handle handle(OpenProcess(rights_to_look, FALSE, member.id));
        if (!handle) {
            sentences.push_back(member.name + " (pid " + std::to_string(member.id) +
                                ") does not let anyone look at it");
            continue;
        }
        std::set<std::string> said;  // ten threads that wait alike are one sentence
        bool first = true;
        Stopped stopped(member.id, handle.get());
        stopped.look();
        for (const Thread& thread : stopped.threads()) {
            if (thread.idle_worker())
                continue;
            const std::string what = sentence(member.id, thread);
            if (said.insert(what).second)
                sentences.push_back(member.name + " (pid " + std::to_string(member.id) + ")" +
                                    (first ? " " : ", in another thread, ") + what);
            first = false;
        }
    }
    return sentences;
}

}  // namespace judge
