// What the benchmark asks of Windows: where a process runs, what it has used, and the server as a child.

#include "program.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <windows.h>

#include <psapi.h>  // after windows.h, which it needs

namespace bench {
namespace {

double seconds(const FILETIME& time) {
    return static_cast<double>(static_cast<std::uint64_t>(time.dwHighDateTime) << 32 | time.dwLowDateTime) /
           1e7;
}

// Ends what is in it as soon as its last handle is gone, and that is ours: however we end.
ipc::unique_handle job_that_dies_with_us() {
    ipc::unique_handle job(CreateJobObjectW(nullptr, nullptr));
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits{};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (!job ||
        !SetInformationJobObject(job.get(), JobObjectExtendedLimitInformation, &limits, sizeof limits))
        ipc::throw_last_error("SetInformationJobObject");
    return job;
}

}  // namespace

Usage usage() {
    FILETIME created{}, ended{}, kernel{}, user{};
    if (!GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user))
        ipc::throw_last_error("GetProcessTimes");
    return {seconds(kernel) + seconds(user), -1, -1};
}

long peak_memory_kib() {
    PROCESS_MEMORY_COUNTERS counters{};
    if (!K32GetProcessMemoryInfo(GetCurrentProcess(), &counters, sizeof counters))
        return -1;
    return static_cast<long>(counters.PeakWorkingSetSize / 1024);
}

void prepare(int cpu) {
    if (cpu >= 0 && !SetProcessAffinityMask(GetCurrentProcess(), DWORD_PTR{1} << cpu))
        ipc::throw_last_error("SetProcessAffinityMask", "processor " + std::to_string(cpu));
}

std::string own_program() {
    std::wstring file(32768, L'\0');
    const DWORD length = GetModuleFileNameW(nullptr, file.data(), static_cast<DWORD>(file.size()));
    if (length == 0)
        ipc::throw_last_error("GetModuleFileNameW");
    return ipc::to_utf8(file.substr(0, length));
}

struct Server::State {
    ipc::unique_handle job, process, answers;

    int wait() {
        WaitForSingleObject(process.get(), INFINITE);
        DWORD code = 0;
        GetExitCodeProcess(process.get(), &code);
        process.reset();
        return static_cast<int>(code);
    }
};

Server::Server(const Setting& setting) : state_(std::make_unique<State>()) {
    SECURITY_ATTRIBUTES inherited{sizeof inherited, nullptr, TRUE};
    HANDLE read_end = nullptr, write_end = nullptr;
    if (!CreatePipe(&read_end, &write_end, &inherited, 0))
        ipc::throw_last_error("CreatePipe");
    state_->answers.reset(read_end);
    const ipc::unique_handle output(write_end);
    SetHandleInformation(read_end, HANDLE_FLAG_INHERIT, 0);

    std::string line = '"' + own_program() + '"';
    for (const std::string& word : setting.words(true))
        line += " \"" + word + '"';
    STARTUPINFOW startup{};
    startup.cb = sizeof startup;
    startup.dwFlags = STARTF_USESTDHANDLES;
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = write_end;
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    PROCESS_INFORMATION started{};
    state_->job = job_that_dies_with_us();
    if (!CreateProcessW(nullptr, ipc::to_wide(line).data(), nullptr, nullptr, TRUE, CREATE_SUSPENDED, nullptr,
                        nullptr, &startup, &started))
        ipc::throw_last_error("CreateProcessW", "the server");
    state_->process.reset(started.hProcess);
    const ipc::unique_handle thread(started.hThread);
    if (!AssignProcessToJobObject(state_->job.get(), started.hProcess))
        ipc::throw_last_error("AssignProcessToJobObject");
    ResumeThread(started.hThread);
}

Server::~Server() {
    if (!state_->process)
        return;
    TerminateProcess(state_->process.get(), 1);
    state_->wait();
}

std::string Server::wait_until_ready() {
    std::string line;
    for (char byte = 0; byte != '\n'; line += byte) {
        DWORD count = 0;
        if (!ReadFile(state_->answers.get(), &byte, 1, &count, nullptr) || count == 0)
            throw ServerFailed{state_->wait()};
    }
    line.pop_back();
    return line.substr(std::min(line.size(), sizeof "ready"));
}

void Server::wait() {
    if (const int code = state_->wait(); code != 0)
        throw ServerFailed{code};
}

// Its report is written: what Ctrl-Break would do more politely makes no difference to it, and Wine has none.
void Server::terminate() {
    TerminateProcess(state_->process.get(), 0);
    wait();
}

void ready(const std::string& detail) {
    ipc::say_ready(detail);
}

void die_with_client() {}  // the job sees to it

}  // namespace bench
