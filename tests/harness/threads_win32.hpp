#pragma once

/// @file
/// What the threads of another process are doing.
///
/// Windows tells of no thread what it waits for. But a thread that waits is in a system call, and its program
/// counter stands in the function of ntdll.dll that made the call: NtReadFile, NtWaitForMultipleObjects, …
/// What the call was given is found in the registers and on the stack that it left behind.

#include "ipc/handle.hpp"
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace judge {

struct Thread {
    DWORD id = 0;
    ipc::unique_handle handle;
    HANDLE process = nullptr;
    bool suspended_before = false;
    CONTEXT context{};
    std::string call;                       // "NtReadFile"; empty: the thread runs code of its own
    std::array<std::uint64_t, 32> stack{};  // from the return address of `call` on

    /// A thread of the system's pool with nothing to do: no news.
    bool idle_worker() const { return call == "NtWaitForWorkViaWorkerFactory"; }
    /// The first argument of `call`, as far as it can be found out.
    std::optional<std::uint64_t> first_argument() const;
    /// The n-th argument, from the fifth on: those are on the stack.
    std::uint64_t stacked(std::size_t n) const { return stack.at(n); }
    /// Of the registers that a call leaves alone: by their number in machine code, 0 for others.
    std::uint64_t saved_register(unsigned number) const;
};

/// The numbers that saved_register() knows.
constexpr std::array<unsigned, 8> saved_registers = {3, 5, 6, 7, 12, 13, 14, 15};

/// The operations that NtFsControlFile is called for (its sixth argument).
constexpr std::uint64_t fsctl_pipe_listen = 0x110008, fsctl_pipe_transceive = 0x11C017,
                        fsctl_pipe_wait = 0x110018;

/// What a process has to be opened for.
constexpr DWORD rights_to_look = PROCESS_QUERY_INFORMATION | PROCESS_VM_READ | PROCESS_DUP_HANDLE;

/// Reads the memory of another process; false if not all of it is there.
bool peek(HANDLE process, std::uint64_t address, void* to, std::size_t bytes);

/// All threads of a process, stopped for as long as this lives.
///
/// All of them, before the first byte of memory is read: Wine reads it by ptrace, which interrupts whatever a
/// running thread is doing; a large write to Wine's server does not survive that, and neither does the
/// process.
class Stopped {
public:
    Stopped(DWORD id, HANDLE process);
    Stopped(const Stopped&) = delete;
    Stopped& operator=(const Stopped&) = delete;
    ~Stopped();
    /// Reads what the threads were called with.
    void look();
    const std::vector<Thread>& threads() const { return threads_; }

private:
    bool stop(DWORD id, HANDLE process);

    DWORD id_;
    std::vector<Thread> threads_;
};

}  // namespace judge
