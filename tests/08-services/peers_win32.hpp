#pragma once

/// @file
/// What the judge of lab 08 is made of on the win32 track: entries in the Service Control Manager's database, and the service
/// as the manager sees it.

#include "peers.hpp"

#include "handles_win32.hpp"  // for processor times that are true under Wine as well
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <chrono>
#include <functional>
#include <windows.h>

namespace peers {

using judge::milliseconds;
using judge::shown;
namespace nt = judge::nt;

struct service_kind {
    using value_type = SC_HANDLE;
    static value_type none() noexcept { return nullptr; }
    static void close(value_type value) noexcept { CloseServiceHandle(value); }
};
using unique_service = ipc::unique_resource<service_kind>;

/// Ends the case as unavailable for who is no administrator.
unique_service open_manager(Stage& stage);
/// 'Database locked' is what the manager answers while it starts up or starts another: then it is asked again.
bool start_service(SC_HANDLE entry);
/// The process, to wait for and to end; none for 0.
ipc::unique_handle open_process(DWORD id);
SERVICE_STATUS_PROCESS query(SC_HANDLE entry);
/// "START_PENDING, checkpoint 2, wait hint 3000 ms"
std::string text_of(const SERVICE_STATUS_PROCESS& status);

struct Service::State {
    Stage& stage;
    std::string name, config, log, address;
    unique_service entry;
    ipc::unique_handle process;
    DWORD checkpoint = 0;        // the last one looked at
    SERVICE_STATUS answered{};   // what the manager said to the last order
    std::size_t reloads = 0, failed_reloads = 0;  // in the log, before the last order to reload

    SERVICE_STATUS_PROCESS status() const { return query(entry.get()); }

    bool process_over() const { return process && WaitForSingleObject(process.get(), 0) == WAIT_OBJECT_0; }

    // Milliseconds of processor time.
    std::int64_t used() const { return process ? std::chrono::duration_cast<milliseconds>(nt::cpu_time(GetProcessId(process.get()))).count() : 0; }

    // What can be told of it from outside: it is no child of ours.
    std::string note() const {
        std::string text = "the manager was asked to start 'lab-08 run " + name + " --config … --log …', and sees " + text_of(status());
        if (process_over()) {
            DWORD code = 0;
            GetExitCodeProcess(process.get(), &code);
            text += "; its process has ended with exit code " + std::to_string(code);
        } else if (process) {
            text += "; its process lives and has used " + std::to_string(used()) + " ms of processor time";
        }
        const std::string lines = read_text(log);
        const auto last = lines.find_last_of('\n', lines.size() < 2 ? 0 : lines.size() - 2);
        text += lines.empty() ? "; its log is empty" : "; the last line of its log is " + shown(lines.substr(last == std::string::npos ? 0 : last + 1), 200);
        return text;
    }

    [[noreturn]] void fail(const std::string& what, const std::string& got, const Mistake& otherwise) { stage.fail({what, got, "", note(), otherwise}); }

    // Nobody announces what the manager sees: the judge asks. A service that stands still for five seconds stands still
    // for ever: its files and pipes are the judge's.
    void await(const std::function<bool()>& question, const std::string& what, const Mistake& otherwise) {
        const double scale = stage.time_scale();
        const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(30'000 * scale)));
        Deadline still = Deadline::in(milliseconds(static_cast<long long>(5'000 * scale)));
        std::string before;
        for (;;) {
            const bool over = process_over();
            if (question())
                return;
            if (over && !question())
                fail(what, "its process has ended", otherwise);
            const std::string now = text_of(status()) + std::to_string(used()) + read_text(log);
            if (now != before) {
                before = now;
                still = Deadline::in(milliseconds(static_cast<long long>(5'000 * scale)));
            }
            if (deadline.expired() || still.expired())
                fail(what, "nothing: it stands still", otherwise);
            Sleep(2);
        }
    }

    // The one that reads the gates.
    inline static State* playing = nullptr;

    DWORD order(DWORD what) { return ControlService(entry.get(), what, &answered) ? ERROR_SUCCESS : GetLastError(); }
};

/// One start at a time on this machine. Under Wine a program that goes to the dispatcher takes the connection that the manager
/// has just made for another, and the manager's database is locked while a service starts.
class Turn {
public:
    explicit Turn(Stage& stage) : mutex_(CreateMutexW(nullptr, FALSE, L"Global\\ipc-labs-service-starts")) {
        if (!mutex_)
            ipc::throw_last_error("CreateMutex");
        if (WaitForSingleObject(mutex_.get(), 60'000) == WAIT_TIMEOUT)
            stage.fail({"a service starts within seconds", "the manager is still busy with the starts of the other cases", "", "look at those that have failed otherwise", ""});
    }
    ~Turn() { ReleaseMutex(mutex_.get()); }
    Turn(const Turn&) = delete;

private:
    ipc::unique_handle mutex_;
};

/// What the database says of a service.
struct Config {
    bool known = false;
    DWORD type = 0, start = 0;
    std::string command, description;
    std::vector<SC_ACTION> after_failure;
};
Config config_of(Stage& stage, const std::string& name);

}  // namespace peers
