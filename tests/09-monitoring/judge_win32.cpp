// What only the win32 track has: access rights of a process.

#include "shared.hpp"

#include "handles_win32.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <cstring>
#include <fcntl.h>
#include <io.h>
// clang-format off
#include <windows.h>
#include <psapi.h>
#include <sddl.h>
// clang-format on

using namespace judge;

// ---- the worker -------------------------------------------------------------------------------------------------------

namespace {

[[noreturn]] void wrong(const char* what) {
    std::printf("%s: error %lu\n", what, GetLastError());
    std::fflush(stdout);
    ExitProcess(1);
}

double own_cpu_seconds() {
    FILETIME begin, end, kernel, user;
    GetProcessTimes(GetCurrentProcess(), &begin, &end, &kernel, &user);
    const auto ticks = [](const FILETIME& time) { return static_cast<double>((static_cast<std::uint64_t>(time.dwHighDateTime) << 32) | time.dwLowDateTime); };
    return (ticks(kernel) + ticks(user)) / 1e7;
}

// Half of it in user mode, half in the kernel, by our own processor clock: how long it takes does not matter.
void burn(double seconds) {
    const double begin = own_cpu_seconds();
    while (own_cpu_seconds() < begin + seconds / 2)
        for (volatile int turns = 0; turns < 20'000;)
            turns = turns + 1;
    while (own_cpu_seconds() < begin + seconds)
        for (int i = 0; i < 1000; ++i)
            SwitchToThread();
}

DWORD WINAPI sleep_for_ever(void*) {
    Sleep(INFINITE);
    return 0;
}

// From now on everybody, ourselves included, has only these rights to us.
void allow_only(const char* rights) {
    PSECURITY_DESCRIPTOR descriptor = nullptr;
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorA(rights, SDDL_REVISION_1, &descriptor, nullptr) ||
        !SetKernelObjectSecurity(GetCurrentProcess(), DACL_SECURITY_INFORMATION, descriptor))
        wrong("SetKernelObjectSecurity");
    LocalFree(descriptor);
}

void obey() {
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    char line[128];
    char* memory = nullptr;
    while (std::fgets(line, sizeof line, stdin)) {
        line[std::strcspn(line, "\r\n")] = '\0';
        const char* const behind = std::strchr(line, ' ');
        const std::size_t amount = behind ? std::strtoull(behind + 1, nullptr, 10) : 0;
        const auto is = [&line](const char* order) { return std::strncmp(line, order, std::strlen(order)) == 0; };
        if (is("burn")) {
            burn(static_cast<double>(amount) / 1000);
        } else if (is("reserve")) {
            memory = static_cast<char*>(VirtualAlloc(nullptr, amount << 20, MEM_RESERVE, PAGE_READWRITE));
            if (!memory)
                wrong("VirtualAlloc");
        } else if (is("touch")) {
            if (!VirtualAlloc(memory, amount << 20, MEM_COMMIT, PAGE_READWRITE))
                wrong("VirtualAlloc");
            for (std::size_t at = 0; at < amount << 20; at += 4096)
                memory[at] = 1;
        } else if (is("free")) {
            VirtualFree(memory, 0, MEM_RELEASE);
        } else if (is("open")) {
            for (std::size_t i = 0; i < amount; ++i)
                if (!CreateEventW(nullptr, TRUE, FALSE, nullptr))
                    wrong("CreateEventW");
        } else if (is("threads")) {
            for (std::size_t i = 0; i < amount; ++i)
                if (!CreateThread(nullptr, 64 * 1024, sleep_for_ever, nullptr, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr))
                    wrong("CreateThread");
        } else if (is("limited")) {
            allow_only("D:(A;;0x101000;;;WD)");  // PROCESS_QUERY_LIMITED_INFORMATION, SYNCHRONIZE
        } else if (is("closed")) {
            allow_only("D:");
        } else if (is("exit")) {
            ExitProcess(static_cast<UINT>(amount));
        } else if (!is("hello")) {
            wrong(line);
        }
        std::printf("done\n");
        std::fflush(stdout);
    }
    ExitProcess(0);
}

// Before main(): started so, this program is not a judge.
[[maybe_unused]] const bool is_worker = [] {
    if (std::getenv("IPC_LABS_WORKER"))
        obey();
    return false;
}();

}  // namespace

double judge::Worker::cpu_seconds() const { return std::chrono::duration<double>(nt::cpu_time(id())).count(); }

double judge::resident_mebibytes(std::uint32_t process) {
    const ipc::unique_handle opened(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, process));
    if (!opened)
        ipc::throw_last_error("OpenProcess", std::to_string(process));
    PROCESS_MEMORY_COUNTERS counters{};
    counters.cb = sizeof counters;
    if (!GetProcessMemoryInfo(opened.get(), &counters, sizeof counters)) {
        const std::error_code code = ipc::last_error();
        // Wine denies it for a process that is at its end, which is announced a moment later.
        if (WaitForSingleObject(opened.get(), 1000) == WAIT_OBJECT_0)
            return 0;
        ipc::throw_error(code.value(), "GetProcessMemoryInfo", std::to_string(process));
    }
    return static_cast<double>(counters.WorkingSetSize) / (1 << 20);
}

bool judge::freeze(std::uint32_t process) {
    bool any = false;
    for (const DWORD id : nt::threads_of(process)) {
        const ipc::unique_handle thread(OpenThread(THREAD_SUSPEND_RESUME, FALSE, id));
        any = (thread && SuspendThread(thread.get()) != static_cast<DWORD>(-1)) || any;
    }
    return any;
}

void judge::thaw(std::uint32_t process) {
    for (const DWORD id : nt::threads_of(process))
        if (const ipc::unique_handle thread(OpenThread(THREAD_SUSPEND_RESUME, FALSE, id)); thread)
            ResumeThread(thread.get());
}

// ---- the cases --------------------------------------------------------------------------------------------------------

EXERCISE("Exercise 1: a process, seen from outside") {

CASE("9.28 it asks for no more rights than it needs" * points(7) * section("not-ours") *
     hints("Which right does each of the functions that you call want? Look at the last lines of their pages.",
           "PROCESS_ALL_ACCESS is also the right to write into its memory and to kill it. A service of the system gives you that as little as a door gives way because you "
           "ask for the whole house.",
           "OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | SYNCHRONIZE, FALSE, id) is enough for all of it.")) {
    stage.recognise("may not look at process", "asks-for-too-much");
    stage.by_hand("lab-09 sample 4    # the System process");
    Worker worker;
    const auto threads = static_cast<unsigned>(stage.random().between(2, 6));
    const Sample before = sample_of(stage, worker);
    worker.tell("threads", threads);
    worker.tell("limited");
    const Sample sample = sample_of(stage, worker, "asks-for-too-much");
    stage.require(sample.threads == before.threads + threads && sample.memory > 0.1, {std::to_string(before.threads + threads) + " threads, and its memory",
                  std::to_string(sample.threads) + " threads, " + fixed(sample.memory, 1) + " MiB", "", "", ""});
    Subject lab = watch(stage, worker, {"--interval", "3600000"});
    row(stage, lab);
    worker.say("exit 0");
    const std::string line = lab.line("end-seen-at-the-next-turn");
    stage.require(line.starts_with("ended"), {"\"ended\"", shown(line, 120), "", "", ""});
    lab.exits(0);

    Worker closed;
    closed.tell("closed");
    Subject refused = stage.start({"sample", closed.number()});
    refused.exits(1);
    refused.complains("may not look at process " + closed.number());
    refused.prints("");
}

}
