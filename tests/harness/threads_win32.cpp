#include "threads_win32.hpp"

#include "handles_win32.hpp"
#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <windows.h>
#include <winternl.h>

namespace judge {
namespace {

// The system's own libraries lie at the same address in every process, so our own copies name the functions.
void add_calls_of(const wchar_t* library, std::map<std::uintptr_t, std::string>& calls) {
    const auto base = reinterpret_cast<std::uintptr_t>(GetModuleHandleW(library));
    if (base == 0)
        return;
    const auto* dos = reinterpret_cast<const IMAGE_DOS_HEADER*>(base);
    const auto* headers =
        reinterpret_cast<const IMAGE_NT_HEADERS*>(base + static_cast<std::uintptr_t>(dos->e_lfanew));
    const auto directory =
        headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_EXPORT].VirtualAddress;
    const auto* exports = reinterpret_cast<const IMAGE_EXPORT_DIRECTORY*>(base + directory);
    const auto* names = reinterpret_cast<const DWORD*>(base + exports->AddressOfNames);
    const auto* ordinals = reinterpret_cast<const WORD*>(base + exports->AddressOfNameOrdinals);
    const auto* functions = reinterpret_cast<const DWORD*>(base + exports->AddressOfFunctions);
    for (DWORD i = 0; i < exports->NumberOfNames; ++i) {
        const std::string name = reinterpret_cast<const char*>(base + names[i]);
        if (name.starts_with("Nt") && !name.starts_with("Ntdll"))
            calls[base + functions[ordinals[i]]] = name;
    }
}

const std::map<std::uintptr_t, std::string>& system_calls() {
    static const auto all = [] {
        std::map<std::uintptr_t, std::string> calls;
        add_calls_of(L"ntdll.dll", calls);
        add_calls_of(L"win32u.dll", calls);  // there only in a judge that has to do with windows
        return calls;
    }();
    return all;
}

constexpr std::size_t longest_stub = 40;  // bytes of code that one system call's function has, at most

// When the threads of a process were last let go.
std::map<DWORD, std::chrono::steady_clock::time_point>& let_go() {
    static thread_local std::map<DWORD, std::chrono::steady_clock::time_point> when;
    return when;
}

}  // namespace

bool peek(HANDLE process, std::uint64_t address, void* to, std::size_t bytes) {
    SIZE_T got = 0;
    return ReadProcessMemory(process, reinterpret_cast<const void*>(static_cast<std::uintptr_t>(address)), to,
                             bytes, &got) &&
           got == bytes;
}

Stopped::Stopped(DWORD id, HANDLE process) : id_(id) {
    // To Wine a thread is still stopped until it has noticed that it may go on: give it the time.
    if (const auto last = let_go().find(id); last != let_go().end())
        std::this_thread::sleep_until(last->second + std::chrono::milliseconds(20));
    std::set<DWORD> seen;
    for (bool more = true; more;) {  // one that still runs may start another
        more = false;
        for (DWORD thread : nt::threads_of(id))
            if (seen.insert(thread).second)
                more = stop(thread, process) || more;
    }
    for (Thread& thread : threads_) {
        auto above = system_calls().upper_bound(thread.context.Rip);
        if (above != system_calls().begin() && thread.context.Rip - (--above)->first < longest_stub)
            thread.call = above->second;
    }
}

Stopped::~Stopped() {
    for (const Thread& thread : threads_)
        ResumeThread(thread.handle.get());
    let_go()[id_] = std::chrono::steady_clock::now();
}

bool Stopped::stop(DWORD id, HANDLE process) {
    Thread thread;
    thread.id = id;
    thread.process = process;
    thread.handle.reset(
        OpenThread(THREAD_SUSPEND_RESUME | THREAD_GET_CONTEXT | THREAD_QUERY_INFORMATION, FALSE, id));
    const DWORD before = thread.handle ? SuspendThread(thread.handle.get()) : static_cast<DWORD>(-1);
    if (before == static_cast<DWORD>(-1))
        return false;  // it is gone
    thread.suspended_before = before > 0;
    thread.context.ContextFlags = CONTEXT_FULL;
    // SuspendThread only asks; a thread whose registers can be had has really stopped.
    if (!GetThreadContext(thread.handle.get(), &thread.context)) {
        ResumeThread(thread.handle.get());
        return false;
    }
    threads_.push_back(std::move(thread));
    return true;
}

void Stopped::look() {
    for (Thread& thread : threads_)
        peek(thread.process, thread.context.Rsp, thread.stack.data(), sizeof thread.stack);
}

std::uint64_t Thread::saved_register(unsigned number) const {
    switch (number) {
    case 3:
        return context.Rbx;
    case 5:
        return context.Rbp;
    case 6:
        return context.Rsi;
    case 7:
        return context.Rdi;
    case 12:
        return context.R12;
    case 13:
        return context.R13;
    case 14:
        return context.R14;
    case 15:
        return context.R15;
    default:
        return 0;  // not kept over a call
    }
}

namespace {

// Wine's system calls overwrite rcx, where the first argument was. But a caller had copied it there from a
// place that a call leaves alone, and the last such copy before the call tells from where.
std::optional<std::uint64_t> first_argument_from_caller(const Thread& thread) {
    unsigned char code[72];
    if (!peek(thread.process, thread.stack[0] - sizeof code, code, sizeof code))
        return std::nullopt;
    std::optional<std::uint64_t> found;
    for (std::size_t i = 0; i + 2 < sizeof code; ++i) {
        const bool has_rex = code[i] >= 0x40 && code[i] <= 0x4f;
        const unsigned high =
            has_rex ? code[i] & 7u : 0;  // W is not needed: handles and counts fit into 32 bits
        const std::size_t at = i + (has_rex ? 1 : 0);
        const unsigned char operation = code[at], operands = code[at + 1];
        if (operation == 0x89 && (operands & 0xc7) == 0xc1 && !(high & 1))  // mov ecx, REGISTER
            found = thread.saved_register(((operands >> 3) & 7u) | ((high & 4u) << 1));
        else if (operation == 0x8b && (operands & 0xf8) == 0xc8 &&
                 !(high & 4))  // mov ecx, REGISTER the other way round
            found = thread.saved_register((operands & 7u) | ((high & 1u) << 3));
        else if (operation == 0x8b && operands == 0x4c && at + 3 < sizeof code && code[at + 2] == 0x24 &&
                 !high)  // mov ecx, [rsp+N]
            found = thread.stack.at(1 + std::min<std::size_t>(code[at + 3] / 8, thread.stack.size() - 2));
    }
    if (found && *found == 0)
        return std::nullopt;
    return found;
}

}  // namespace

std::optional<std::uint64_t> Thread::first_argument() const {
    if (nt::under_wine())
        return first_argument_from_caller(*this);
    struct LastSystemCall {
        void* first_argument;
        USHORT number;
        USHORT filler[3];
    } last{};
    using Query = NTSTATUS(NTAPI*)(HANDLE, int, void*, ULONG, ULONG*);
    static const auto query = nt::function_as<Query>("NtQueryInformationThread");
    constexpr int thread_last_system_call = 21;
    if (query(handle.get(), thread_last_system_call, &last, 16, nullptr) < 0)
        return std::nullopt;
    return reinterpret_cast<std::uintptr_t>(last.first_argument);
}

}  // namespace judge
