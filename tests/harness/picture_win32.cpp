// Whether a tree of processes stands still.

#include "picture_win32.hpp"

#include "handles_win32.hpp"
#include "threads_win32.hpp"
#include <algorithm>
#include <set>
#include <windows.h>

namespace judge {

using ipc::unique_handle;

namespace {

// Whether this thread is blocked until somebody else does something. A timeout of its own, or one that cannot
// be seen, means no.
bool blocked_for_good(const Thread& thread) {
    const std::string& call = thread.call;
    if (thread.suspended_before || call == "NtReadFile" || call == "NtWriteFile" ||
        call == "NtFlushBuffersFile" || call.starts_with("NtUser") || thread.idle_worker())
        return true;
    if (call == "NtFsControlFile") {
        const std::uint64_t code = thread.stacked(6) & 0xffffffff;
        return code == fsctl_pipe_listen || code == fsctl_pipe_transceive;
    }
    if (call == "NtWaitForMultipleObjects")
        return thread.stacked(5) == 0;
    if (nt::under_wine() && (call == "NtWaitForAlertByThreadId" || call == "NtDelayExecution"))
        return thread.context.Rdx == 0;  // Wine keeps the second argument, the timeout
    return false;
}

struct Hash {
    std::uint64_t value = 0xcbf29ce484222325ULL;
    void add(const void* bytes, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i)
            value = (value ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3ULL;
    }
};

bool may_be_blocked(const Thread& thread) {
    static const std::set<std::string> calls = {"NtReadFile",
                                                "NtWriteFile",
                                                "NtFlushBuffersFile",
                                                "NtFsControlFile",
                                                "NtUserGetMessage",
                                                "NtUserGetClipboardData",
                                                "NtUserMessageCall",
                                                "NtWaitForMultipleObjects",
                                                "NtWaitForAlertByThreadId",
                                                "NtDelayExecution"};
    return thread.suspended_before || thread.idle_worker() || calls.contains(thread.call);
}

// What can be seen without reading its memory.
std::uint64_t posture(const Thread& thread) {
    Hash hash;
    for (const std::uint64_t value :
         {thread.context.Rip, thread.context.Rsp, thread.context.Rbx, thread.context.Rbp, thread.context.Rsi,
          thread.context.Rdi, thread.context.R12, thread.context.R13, thread.context.R14, thread.context.R15})
        hash.add(&value, sizeof value);
    FILETIME begin, end, kernel{}, user{};
    GetThreadTimes(thread.handle.get(), &begin, &end, &kernel, &user);
    hash.add(&kernel, sizeof kernel);
    hash.add(&user, sizeof user);
    return hash.value;
}

// Whoever moves bytes comes by the same call in the same posture again and again. Its counters and buffers
// would differ: they are on the stack, and the buffer is the sixth argument of a read or write.
std::uint64_t memory_of(const Thread& thread) {
    Hash hash;
    unsigned char bytes[2048];
    for (std::size_t size = sizeof bytes; size >= 256; size /= 2)
        if (peek(thread.process, thread.context.Rsp, bytes, size)) {
            hash.add(bytes, size);
            break;
        }
    if (thread.call == "NtReadFile" || thread.call == "NtWriteFile") {
        const auto size = std::min<std::size_t>(sizeof bytes, thread.stacked(7) & 0xffffffff);
        if (peek(thread.process, thread.stacked(6), bytes, size))
            hash.add(bytes, size);
    }
    return hash.value;
}

}  // namespace

std::string Picture::look(const std::vector<ProcessInfo>& tree) {
    std::string text;
    std::map<std::uint32_t, std::uint64_t> postures;
    bool moved = false;
    for (const ProcessInfo& member : tree) {
        const unique_handle handle(OpenProcess(rights_to_look, FALSE, member.id));
        if (!handle)
            return {};
        Stopped stopped(member.id, handle.get());
        for (const Thread& thread : stopped.threads()) {
            if (!may_be_blocked(thread)) {
                postures_.clear();
                return {};
            }
            const std::uint64_t now = postures[thread.id] = posture(thread);
            const auto before = postures_.find(thread.id);
            moved = moved || before == postures_.end() || before->second != now;
        }
        if (moved)
            continue;  // not even the second look is due
        stopped.look();
        for (const Thread& thread : stopped.threads()) {
            if (!blocked_for_good(thread))
                return {};
            text += std::to_string(thread.id) + ":" + thread.call + ":" + nt::hex(postures[thread.id]) + "," +
                    nt::hex(memory_of(thread)) + ";";
        }
    }
    postures_ = std::move(postures);
    return moved ? std::string() : text;
}

}  // namespace judge
