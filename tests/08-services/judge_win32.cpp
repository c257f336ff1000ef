// The judge beside the Service Control Manager: it makes the entry, gives the orders, and looks at what the manager sees.

#include "peers.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include "handles_win32.hpp"  // for processor times that are true under Wine as well
#include "stage_state.hpp"  // for the path of the lab program, which a manager has to know
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <windows.h>
#include <sddl.h>

using namespace judge;
using namespace peers;
namespace fs = std::filesystem;

namespace peers {

namespace {

std::string preferred(const std::string& path) { return ipc::to_utf8(fs::path(ipc::to_wide(path)).make_preferred().wstring()); }

fs::path native(const std::string& path) { return {ipc::to_wide(path)}; }

}  // namespace

std::string path_here(Stage& stage, const std::string& file) { return preferred(stage.folder()) + "\\" + file; }
std::string program() { return preferred(case_options().subject); }

std::string own_user() {
    HANDLE token = nullptr;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        ipc::throw_last_error("OpenProcessToken");
    const ipc::unique_handle owned(token);
    alignas(TOKEN_USER) char buffer[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    DWORD size = 0;
    wchar_t* text = nullptr;
    if (!GetTokenInformation(token, TokenUser, buffer, sizeof buffer, &size) ||
        !ConvertSidToStringSidW(reinterpret_cast<TOKEN_USER*>(buffer)->User.Sid, &text))
        ipc::throw_last_error("GetTokenInformation");
    const std::string user = ipc::to_utf8(text);
    LocalFree(text);
    return user;
}

void write_text(const std::string& path, const std::string& text) {
    std::ofstream file(native(path), std::ios::binary | std::ios::trunc);
    file << text << std::flush;
    if (!file)
        throw std::runtime_error("cannot write " + path);
}

std::string read_text(const std::string& path) {
    std::ifstream file(native(path), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool exists(const std::string& path) { return fs::exists(native(path)); }

namespace {

struct service_kind {
    using value_type = SC_HANDLE;
    static value_type none() noexcept { return nullptr; }
    static void close(value_type value) noexcept { CloseServiceHandle(value); }
};
using unique_service = ipc::unique_resource<service_kind>;

unique_service open_manager(Stage& stage) {
    unique_service manager(OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE));
    if (!manager)
        stage.unavailable("services are made by administrators: run the judge in an administrator's console (OpenSCManager: " + ipc::last_error().message() + ")");
    return manager;
}

// Administrators may end a process of the system only if they ask for it.
void may_end_services() {
    static const bool done = [] {
        HANDLE token = nullptr;
        if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &token))
            return false;
        const ipc::unique_handle owned(token);
        TOKEN_PRIVILEGES privileges{};
        privileges.PrivilegeCount = 1;
        privileges.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
        return LookupPrivilegeValueW(nullptr, L"SeDebugPrivilege", &privileges.Privileges[0].Luid) &&
               AdjustTokenPrivileges(token, FALSE, &privileges, 0, nullptr, nullptr);
    }();
    (void)done;
}

const char* state_name(DWORD state) {
    static constexpr const char* names[] = {"?", "STOPPED", "START_PENDING", "STOP_PENDING", "RUNNING", "CONTINUE_PENDING", "PAUSE_PENDING", "PAUSED"};
    return names[state < 8 ? state : 0];
}

std::string text_of(const SERVICE_STATUS_PROCESS& status) {
    std::string text = state_name(status.dwCurrentState);
    if (status.dwCurrentState == SERVICE_START_PENDING || status.dwCurrentState == SERVICE_STOP_PENDING)
        text += ", checkpoint " + std::to_string(status.dwCheckPoint) + ", wait hint " + std::to_string(status.dwWaitHint) + " ms";
    if (status.dwCurrentState == SERVICE_STOPPED)
        text += ", exit code " + std::to_string(status.dwWin32ExitCode);
    return text;
}

SERVICE_STATUS_PROCESS query(SC_HANDLE entry) {
    SERVICE_STATUS_PROCESS status{};
    DWORD size = 0;
    if (!QueryServiceStatusEx(entry, SC_STATUS_PROCESS_INFO, reinterpret_cast<BYTE*>(&status), sizeof status, &size))
        ipc::throw_last_error("QueryServiceStatusEx");
    return status;
}

}  // namespace

// ---- the service -------------------------------------------------------------------------------------------------------

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

Service::Service(Stage& stage, const std::string& greeting, const std::vector<std::string>& loads)
    : state_(new State{stage, stage.name("svc"), "", "", "", {}, {}, 0, {}, 0, 0}) {
    state_->config = preferred(stage.files()) + "\\" + state_->name + ".conf";
    state_->log = preferred(stage.files()) + "\\" + state_->name + ".log";
    state_->address = "\\\\.\\pipe\\ipc-labs-" + state_->name;
    std::string text = "greeting = " + greeting + "\n";
    for (const std::string& load : loads)
        text += "load = " + load + "\n";
    configure(text);
}

Service::~Service() {
    State::playing = nullptr;
    if (!state_ || !state_->entry)
        return;
    if (state_->process && !state_->process_over()) {
        TerminateProcess(state_->process.get(), 1);
        WaitForSingleObject(state_->process.get(), 2000);
    }
    DeleteService(state_->entry.get());
}

Stage& Service::stage() { return state_->stage; }
const std::string& Service::name() const { return state_->name; }
const std::string& Service::address() const { return state_->address; }
std::string Service::config() const { return state_->config; }
std::vector<std::string> Service::ask(const std::string& request) const { return {"ask", state_->name, request}; }
void Service::configure(const std::string& text) { write_text(state_->config, text); }

namespace {

// One start at a time on this machine. Under Wine a program that goes to the dispatcher takes the connection that the manager
// has just made for another, and the manager's database is locked while a service starts.
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

// 'Database locked' is what the manager answers while it starts up or starts another.
bool start_service(SC_HANDLE entry) {
    for (int again = 0; again < 100; ++again) {
        if (StartServiceW(entry, 0, nullptr))
            return true;
        if (GetLastError() != ERROR_SERVICE_DATABASE_LOCKED)
            return false;
        Sleep(50);
    }
    return false;
}

ipc::unique_handle open_process(DWORD id) {
    may_end_services();
    return ipc::unique_handle(id ? OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_TERMINATE | SYNCHRONIZE, FALSE, id) : nullptr);
}

}  // namespace

void Service::begin() {
    const unique_service manager = open_manager(stage());
    const Turn turn(stage());
    if (!state_->entry) {
        const std::string command = "\"" + program() + "\" run " + state_->name + " --config \"" + state_->config + "\" --log \"" + state_->log + "\"";
        const std::wstring name = ipc::to_wide(state_->name);
        state_->entry.reset(CreateServiceW(manager.get(), name.c_str(), name.c_str(), SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS, SERVICE_DEMAND_START,
                                           SERVICE_ERROR_NORMAL, ipc::to_wide(command).c_str(), nullptr, nullptr, nullptr, nullptr, nullptr));
        if (!state_->entry)
            ipc::throw_last_error("CreateService", state_->name);
    }
    state_->checkpoint = 0;
    if (!start_service(state_->entry.get())) {
        const std::string why = ipc::last_error().message();
        // By hand it can be seen what it does: perhaps it has not been written, or never goes to the dispatcher.
        Subject lab = stage().start({"run", state_->name});
        lab.ends("no-dispatcher");
        state_->fail("the manager starts 'lab-08 run " + state_->name + "'", "StartService: " + why, "no-dispatcher");
    }
    state_->process = open_process(state_->status().dwProcessId);
    State::playing = state_.get();
}

void Service::ready(const Mistake& otherwise) {
    state_->await([&] {
        const SERVICE_STATUS_PROCESS status = state_->status();
        if (status.dwCurrentState == SERVICE_STOPPED)
            state_->fail("RUNNING", text_of(status), otherwise);
        return status.dwCurrentState == SERVICE_RUNNING;
    }, "the service tells the manager SERVICE_RUNNING", otherwise);
}

void Service::is_not_ready(const Mistake& otherwise) {
    const SERVICE_STATUS_PROCESS status = state_->status();
    stage().require(status.dwCurrentState == SERVICE_START_PENDING,
                    {"START_PENDING while the service still loads", text_of(status), "", "", otherwise});
}

void Service::makes_progress(const Mistake& otherwise) {
    const SERVICE_STATUS_PROCESS status = state_->status();
    stage().require(status.dwCurrentState != SERVICE_RUNNING,
                    {"START_PENDING while the service still loads", text_of(status), "", "", "ready-too-early"});
    stage().require(status.dwCheckPoint > state_->checkpoint && status.dwWaitHint > 0,
                    {"a checkpoint beyond " + std::to_string(state_->checkpoint) + ", and a wait hint, at this step", text_of(status), "", "", otherwise});
    state_->checkpoint = status.dwCheckPoint;
}

void Service::tell_to_stop() {
    const DWORD error = state_->order(SERVICE_CONTROL_STOP);
    if (error != ERROR_SUCCESS)
        state_->fail("it takes SERVICE_CONTROL_STOP", "ControlService: " + std::system_category().message(static_cast<int>(error)), "stop-not-accepted");
}

void Service::is_stopping(const Mistake& otherwise) {
    const SERVICE_STATUS& status = state_->answered;
    stage().require(status.dwCurrentState == SERVICE_STOP_PENDING || status.dwCurrentState == SERVICE_STOPPED,
                    {"STOP_PENDING when the handler has returned from SERVICE_CONTROL_STOP", state_name(status.dwCurrentState), "", state_->note(), otherwise});
    stage().require(status.dwCurrentState == SERVICE_STOPPED || status.dwWaitHint > 0, {"a wait hint with STOP_PENDING", "none", "", "", otherwise});
    state_->checkpoint = status.dwCheckPoint;
}

void Service::makes_progress_down(const Mistake& otherwise) {
    const SERVICE_STATUS_PROCESS status = state_->status();
    stage().require(status.dwCurrentState == SERVICE_STOP_PENDING && status.dwCheckPoint > state_->checkpoint && status.dwWaitHint > 0,
                    {"STOP_PENDING with a checkpoint beyond " + std::to_string(state_->checkpoint) + ", and a wait hint, at this step", text_of(status), "", "", otherwise});
    state_->checkpoint = status.dwCheckPoint;
}

void Service::tell_to_reload() {
    state_->reloads = events("reloaded").size();
    state_->failed_reloads = events("reload-failed").size();
    const DWORD error = state_->order(SERVICE_CONTROL_PARAMCHANGE);
    if (error != ERROR_SUCCESS)
        state_->fail("it takes SERVICE_CONTROL_PARAMCHANGE", "ControlService: " + std::system_category().message(static_cast<int>(error)), "paramchange-not-accepted");
}

void Service::reloaded(const Mistake& otherwise) {
    state_->await([&] { return events("reloaded").size() > state_->reloads; }, "a line with event=reloaded in the log", otherwise);
}

void Service::reload_failed(const Mistake& otherwise) {
    state_->await([&] { return events("reload-failed").size() > state_->failed_reloads; }, "a line with event=reload-failed in the log", otherwise);
}

void Service::stopped(const Mistake& otherwise) {
    state_->await([&] { return state_->status().dwCurrentState == SERVICE_STOPPED; }, "the service tells the manager SERVICE_STOPPED",
                  otherwise.empty() ? "stopped-not-told" : otherwise);
    const SERVICE_STATUS_PROCESS status = state_->status();
    stage().require(status.dwWin32ExitCode == NO_ERROR, {"STOPPED with exit code 0", text_of(status), "", "", otherwise});
    state_->await([&] { return state_->process_over(); }, "its process ends when the service has stopped", "process-lives-on");
    stage().require(!WaitNamedPipeW(ipc::to_wide(state_->address).c_str(), 1) && GetLastError() == ERROR_FILE_NOT_FOUND,
                    {"no pipe is left", state_->address + " is still there", "", "", ""});
}

void Service::failed(const Mistake& otherwise) {
    state_->await([&] {
        const DWORD now = state_->status().dwCurrentState;
        if (now == SERVICE_RUNNING && !state_->process_over())
            state_->fail("STOPPED with an exit code other than 0, and never RUNNING", "RUNNING", otherwise);
        return now == SERVICE_STOPPED;
    }, "the service tells the manager SERVICE_STOPPED with an exit code other than 0", otherwise);
    const SERVICE_STATUS_PROCESS status = state_->status();
    stage().require(status.dwWin32ExitCode != NO_ERROR && status.dwWin32ExitCode != ERROR_SERVICE_NEVER_STARTED,
                    {"STOPPED with an exit code other than 0", text_of(status), "", "", otherwise});
}

void Service::idles(const Mistake& otherwise) {
    // On a busy machine who runs all the time gets little of it, and Wine counts in ticks of 10 ms: whoever has used anything is
    // watched on, and six looks have to say that nothing was used.
    std::int64_t before = state_->used(), used = 0;
    for (int round = 0, quiet = 0; round < 10 && quiet < 6; ++round) {
        if (WaitForSingleObject(state_->process.get(), 100) == WAIT_OBJECT_0)
            state_->fail("the service waits", "its process has ended", otherwise);
        const std::int64_t now = state_->used();
        used += now - before;
        if (used > 40)
            stage().fail({"no processor is used while it waits", std::to_string(used) + " ms of processor time in " + std::to_string((round + 1) * 100) + " ms", "", "", otherwise});
        quiet += now == before;
        before = now;
    }
}

void Service::kill() {
    TerminateProcess(state_->process.get(), 1);
    WaitForSingleObject(state_->process.get(), INFINITE);
}

std::vector<std::string> Service::events(const std::string& event) const {
    std::vector<std::string> found;
    std::istringstream lines(read_text(state_->log));
    for (std::string line; std::getline(lines, line);)
        if ((line + " ").find(" event=" + event + " ") != std::string::npos)
            found.push_back(line);
    return found;
}

std::string Service::event(const std::string& event, const Mistake& otherwise) {
    std::vector<std::string> found;
    state_->await([&] { return !(found = events(event)).empty(); }, "a line with event=" + event + " in the log", otherwise);
    return found.front();
}

// ---- gates and clients ---------------------------------------------------------------------------------------------------

struct Gate::State {
    Stage& stage;
    std::string path;
    ipc::unique_file pipe;
    ipc::unique_handle event;
    OVERLAPPED overlapped{};
    bool pending = false;
    ~State() {
        DWORD count = 0;
        if (pending && CancelIoEx(pipe.get(), &overlapped))
            GetOverlappedResult(pipe.get(), &overlapped, &count, TRUE);
    }
};

Gate::Gate(Stage& stage) : state_(new State{stage, "\\\\.\\pipe\\" + stage.name("gate"), {}, {}, {}, false}) {
    State& state = *state_;
    state.pipe.reset(CreateNamedPipeW(ipc::to_wide(state.path).c_str(), PIPE_ACCESS_OUTBOUND | FILE_FLAG_OVERLAPPED, PIPE_TYPE_BYTE, 1, 4096, 4096, 0, nullptr));
    if (!state.pipe)
        ipc::throw_last_error("CreateNamedPipe", state.path);
    state.event.reset(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    state.overlapped.hEvent = state.event.get();
    state.pending = !ConnectNamedPipe(state.pipe.get(), &state.overlapped) && GetLastError() == ERROR_IO_PENDING;
}
Gate::Gate(Gate&&) noexcept = default;
Gate::~Gate() = default;
std::string Gate::path() const { return state_->path; }

void Gate::reached(const Mistake& otherwise) {
    if (state_->pending)
        Service::State::playing->await([&] { return WaitForSingleObject(state_->event.get(), 0) == WAIT_OBJECT_0; }, "the service reads the file that is given next", otherwise);
    state_->pending = false;
}

std::size_t Gate::open() {
    const std::string bytes = state_->stage.random().bytes(state_->stage.random().between(100, 900));
    DWORD count = 0;
    ResetEvent(state_->event.get());
    if ((!WriteFile(state_->pipe.get(), bytes.data(), static_cast<DWORD>(bytes.size()), nullptr, &state_->overlapped) && GetLastError() != ERROR_IO_PENDING) ||
        !GetOverlappedResult(state_->pipe.get(), &state_->overlapped, &count, TRUE))
        state_->stage.fail({"the service reads the file that it has opened", "it has closed it: " + ipc::last_error().message(), "", "", "stops-in-the-middle"});
    FlushFileBuffers(state_->pipe.get());  // until it has read them
    state_->pipe.reset();
    return bytes.size();
}

struct Client::State {
    Service& service;
    ipc::unique_file pipe;
    ipc::unique_handle event;
    std::string begun;
};

Client::Client(Service& service, const Mistake& otherwise) : state_(new State{service, {}, ipc::unique_handle(CreateEventW(nullptr, TRUE, FALSE, nullptr)), ""}) {
    const std::wstring path = ipc::to_wide(service.address());
    DWORD error = 0;
    service.state().await([&] {
        state_->pipe.reset(CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_EXISTING,
                                       FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, nullptr));
        error = GetLastError();
        return state_->pipe || error != ERROR_PIPE_BUSY;  // busy: it is just making the next instance
    }, "a free instance of the service's pipe", otherwise);
    if (!state_->pipe)
        service.state().fail("a client can connect to " + service.address(), "CreateFile: " + std::system_category().message(static_cast<int>(error)), otherwise);
    DWORD mode = PIPE_READMODE_MESSAGE;
    if (!SetNamedPipeHandleState(state_->pipe.get(), &mode, nullptr, nullptr))
        ipc::throw_last_error("SetNamedPipeHandleState");
}
Client::Client(Client&&) noexcept = default;
Client::~Client() = default;

void Client::begin_request(const std::string& text) { state_->begun = text; }

void Client::ask(const std::string& text) {
    const std::string message = std::exchange(state_->begun, {}) + text;
    OVERLAPPED overlapped{};
    overlapped.hEvent = state_->event.get();
    DWORD count = 0;
    if (WriteFile(state_->pipe.get(), message.data(), static_cast<DWORD>(message.size()), nullptr, &overlapped) || GetLastError() == ERROR_IO_PENDING)
        GetOverlappedResult(state_->pipe.get(), &overlapped, &count, TRUE);  // answer() says whether it has worked
}

std::string Client::answer(const Mistake& otherwise) {
    std::array<char, 8192> buffer;
    OVERLAPPED overlapped{};
    overlapped.hEvent = state_->event.get();
    ResetEvent(state_->event.get());
    DWORD count = 0;
    const bool begun = ReadFile(state_->pipe.get(), buffer.data(), static_cast<DWORD>(buffer.size()), nullptr, &overlapped) || GetLastError() == ERROR_IO_PENDING;
    try {
        if (begun)
            state_->service.state().await([&] { return WaitForSingleObject(state_->event.get(), 0) == WAIT_OBJECT_0; }, "an answer from the service", otherwise);
    } catch (...) {
        if (CancelIoEx(state_->pipe.get(), &overlapped))
            GetOverlappedResult(state_->pipe.get(), &overlapped, &count, TRUE);
        throw;
    }
    if (!begun || !GetOverlappedResult(state_->pipe.get(), &overlapped, &count, FALSE))
        state_->service.state().fail("an answer from the service", "it has closed the pipe: " + ipc::last_error().message(), otherwise);
    return {buffer.data(), count};
}

void Client::expect(const std::string& request, const std::string& expected, const Mistake& otherwise) {
    ask(request);
    const std::string got = answer(otherwise);
    state_->service.stage().require(got == expected, {"the answer " + shown(expected), difference(got, expected), "", "", otherwise});
}

void Client::dismissed(const Mistake& otherwise) {
    const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(5'000 * state_->service.stage().time_scale())));
    while (PeekNamedPipe(state_->pipe.get(), nullptr, 0, nullptr, nullptr, nullptr)) {
        if (deadline.expired())
            state_->service.state().fail("the service closes the connection", "it is still open", otherwise);
        Sleep(2);
    }
}

// ---- what the manager knows ------------------------------------------------------------------------------------------------

namespace {

struct Config {
    bool known = false;
    DWORD type = 0, start = 0;
    std::string command, description;
    std::vector<SC_ACTION> after_failure;
};

Config config_of(Stage& stage, const std::string& name) {
    const unique_service manager = open_manager(stage);
    const unique_service entry(OpenServiceW(manager.get(), ipc::to_wide(name).c_str(), SERVICE_QUERY_CONFIG));
    if (!entry)
        return {};
    alignas(16) std::array<BYTE, 8192> buffer{};
    DWORD size = 0;
    auto* basic = reinterpret_cast<QUERY_SERVICE_CONFIGW*>(buffer.data());
    if (!QueryServiceConfigW(entry.get(), basic, static_cast<DWORD>(buffer.size()), &size))
        ipc::throw_last_error("QueryServiceConfig", name);
    Config config{true, basic->dwServiceType, basic->dwStartType, ipc::to_utf8(basic->lpBinaryPathName), "", {}};
    if (QueryServiceConfig2W(entry.get(), SERVICE_CONFIG_DESCRIPTION, buffer.data(), static_cast<DWORD>(buffer.size()), &size))
        if (const wchar_t* text = reinterpret_cast<SERVICE_DESCRIPTIONW*>(buffer.data())->lpDescription)
            config.description = ipc::to_utf8(text);
    if (QueryServiceConfig2W(entry.get(), SERVICE_CONFIG_FAILURE_ACTIONS, buffer.data(), static_cast<DWORD>(buffer.size()), &size)) {
        const auto* failure = reinterpret_cast<SERVICE_FAILURE_ACTIONSW*>(buffer.data());
        config.after_failure.assign(failure->lpsaActions, failure->lpsaActions + failure->cActions);
    }
    return config;
}

}  // namespace

struct Definitions::State {
    Stage& stage;
    std::vector<std::string> names;
};

Definitions::Definitions(Stage& stage) : state_(new State{stage, {}}) { open_manager(stage); }

Definitions::~Definitions() {
    const unique_service manager(OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CONNECT));
    for (const std::string& name : state_->names) {
        const unique_service entry(OpenServiceW(manager.get(), ipc::to_wide(name).c_str(), DELETE | SERVICE_STOP | SERVICE_QUERY_STATUS));
        if (!entry)
            continue;
        const ipc::unique_handle process = open_process(query(entry.get()).dwProcessId);
        if (process && TerminateProcess(process.get(), 1))
            WaitForSingleObject(process.get(), 2000);
        DeleteService(entry.get());
    }
}

Subject Definitions::run(const std::string& verb, const std::string& name, std::vector<std::string> options) {
    if (std::find(state_->names.begin(), state_->names.end(), name) == state_->names.end() && !name.empty())
        state_->names.push_back(name);
    std::vector<std::string> words = {verb, name};
    words.insert(words.end(), options.begin(), options.end());
    Subject lab = state_->stage.start(words);
    lab.ends();
    return lab;
}

Definition Definitions::find(const std::string& name) {
    const Config config = config_of(state_->stage, name);
    return {config.known, config.known ? ipc::split_command_line(ipc::to_wide(config.command)) : std::vector<std::string>()};
}

void Definitions::expect_nothing(const std::string& name, const Mistake& otherwise) {
    state_->stage.require(!config_of(state_->stage, name).known,
                          {"the manager knows nothing of " + name, "it still has an entry", "", "", otherwise});
}

}  // namespace peers

// ---- the cases of this track ---------------------------------------------------------------------------------------------

EXERCISE("Exercise 1: install and remove") {

CASE("8.5 the entry says what kind of service this is" * points(3) * section("the-entry-in-the-database") *
     hints("What does an administrator see of your service in services.msc, and what may it do at boot?",
           "A process of its own, started when somebody asks for it, with a sentence on what it is.",
           "SERVICE_WIN32_OWN_PROCESS and SERVICE_DEMAND_START for CreateServiceW; SERVICE_CONFIG_DESCRIPTION by ChangeServiceConfig2W. And the program's path in quotes.")) {
    stage.by_hand("lab-08 install hello & sc qc hello & sc qdescription hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const Config config = config_of(stage, name);
    stage.require(config.type == SERVICE_WIN32_OWN_PROCESS, {"SERVICE_WIN32_OWN_PROCESS", "type " + std::to_string(config.type), "", "", ""});
    stage.require(config.start == SERVICE_DEMAND_START,
                  {"SERVICE_DEMAND_START: when somebody asks for it", "start type " + std::to_string(config.start), "", "", "starts-at-boot"});
    stage.require(config.command.starts_with("\""), {"a command that begins with the program's path in quotes", config.command, "",
                                                     "a path with a blank in it, bare, is tried word by word: C:\\Program.exe comes before C:\\Program Files\\…", "program-path-unquoted"});
    stage.require(!config.description.empty(), {"a description", "none", "", "", "no-description"});
    manager.run("remove", name).exits(0);
}

CASE("8.6 the entry has the service restarted after a failure" * points(2) * section("the-entry-in-the-database") *
     hints("Nobody is there at night. Who starts the service again when it has crashed?",
           "The manager, if the entry asks for it.",
           "ChangeServiceConfig2W with SERVICE_CONFIG_FAILURE_ACTIONS and an SC_ACTION_RESTART; the handle needs SERVICE_START for that.") *
     windows_only("Wine does not tell the failure actions of a service")) {
    stage.by_hand("lab-08 install hello & sc qfailure hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const std::vector<SC_ACTION> actions = config_of(stage, name).after_failure;
    stage.require(!actions.empty() && actions[0].Type == SC_ACTION_RESTART,
                  {"SC_ACTION_RESTART as the first failure action", actions.empty() ? "no failure action" : "another one", "", "", "no-restart"});
    manager.run("remove", name).exits(0);
}

}

EXERCISE("Exercise 2: run") {

CASE("8.13 started by hand it says what to type instead" * points(3) * section("not-for-hands") *
     hints("StartServiceCtrlDispatcher fails when nobody has started a service. What should the person read who has typed 'run'?",
           "Not a number alone. What was wrong with it, and what to type.",
           "ERROR_FAILED_SERVICE_CONTROLLER_CONNECT: throw it, with 'type: lab-08 install NAME and lab-08 start NAME'.")) {
    stage.by_hand("lab-08 run hello\necho %ERRORLEVEL%");
    const std::string name = stage.name("svc");
    const Turn turn(stage);
    // By the manager it runs.
    Service service(stage, stage.random().word(8));
    service.begin();
    service.ready("never-ready");
    service.tell_to_stop();
    service.stopped();
    // And by hand not. (Under Wine it would wait for as long as the service that was started last is there.)
    Subject lab = stage.start({"run", name});
    lab.exits(1, "no-dispatcher");
    lab.complains("start " + name, "no-word-on-what-to-type");
    lab.prints("");
}

CASE("8.14 it takes orders when it runs and none before" * points(3) * section("orders") *
     hints("dwControlsAccepted: what happens to an order that comes before your service can obey it?",
           "The manager refuses it in your place, as long as you say that you accept none.",
           "0 while START_PENDING; STOP, SHUTDOWN and PARAMCHANGE with RUNNING. The handler answers INTERROGATE, too, with NO_ERROR.")) {
    stage.by_hand("lab-08 start hello & sc stop hello & sc interrogate hello");
    Gate gate(stage);
    Service service(stage, stage.random().word(8), {gate.path()});
    service.begin();
    gate.reached();
    service.is_not_ready("ready-too-early");
    SERVICE_STATUS_PROCESS status = service.state().status();
    stage.require(status.dwControlsAccepted == 0,
                  {"no controls are accepted while it starts", "controls " + std::to_string(status.dwControlsAccepted), "", "", "accepts-too-early"});
    gate.open();
    service.ready("never-ready");
    status = service.state().status();
    constexpr DWORD wanted = SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE;
    stage.require((status.dwControlsAccepted & wanted) == wanted,
                  {"stop, shutdown and paramchange are accepted when it runs", "controls " + std::to_string(status.dwControlsAccepted), "", "",
                                                                   (status.dwControlsAccepted & SERVICE_ACCEPT_STOP) ? "paramchange-not-accepted" : "stop-not-accepted"});
    const DWORD interrogated = service.state().order(SERVICE_CONTROL_INTERROGATE);
    stage.require(interrogated == ERROR_SUCCESS,
                  {"SERVICE_CONTROL_INTERROGATE is answered", "error " + std::to_string(interrogated), "", "", ""});
    service.tell_to_stop();
    service.stopped();
}

}

EXERCISE("Exercise 3: an orderly life") {

CASE("8.20 somebody else's pipe of its name is not taken for its own" * points(2) * section("the-control-pipe") *
     hints("A program that is no service has made a pipe of that name before you. Who do the clients talk to?",
           "To whichever instance is free. They would give their requests to a stranger.",
           "FILE_FLAG_FIRST_PIPE_INSTANCE with the first instance: ERROR_ACCESS_DENIED is a start that fails.") *
     windows_only("Wine lets a second maker through FILE_FLAG_FIRST_PIPE_INSTANCE")) {
    Service service(stage, stage.random().word(8));
    const ipc::unique_file squatter(CreateNamedPipeW(ipc::to_wide(service.address()).c_str(), PIPE_ACCESS_DUPLEX, PIPE_TYPE_MESSAGE, PIPE_UNLIMITED_INSTANCES, 4096, 4096, 0, nullptr));
    service.begin();
    service.failed("joins-a-strangers-pipe");
}

CASE("8.21 one that was killed does not stand in the way of the next" * points(2) * section("the-control-pipe") *
     hints("A killed service: what is left of it?",
           "Nothing that has a name: a pipe goes with its last handle, and the manager sees the process end.",
           "If the second start fails, look for a file or an event that you have made and taken for a lock.") *
     windows_only("Wine's service manager shows a killed service as running")) {
    const std::string greeting = stage.random().word(8), who = stage.random().word(8);
    Service service(stage, greeting);
    service.begin();
    service.ready("never-ready");
    service.kill();
    service.state().process.reset();
    service.state().await([&] { return service.state().status().dwCurrentState == SERVICE_STOPPED; }, "the manager sees its end", "");
    service.begin();
    service.ready();
    Client(service).expect("greet " + who, greeting + ", " + who);
    service.tell_to_stop();
    service.stopped();
}

}

EXERCISE("Exercise 4: under a manager's eye") {

namespace {

// It has no reason to end: whoever does, does so within this time.
void goes_on(Stage& stage, Subject& lab, const std::string& what, const Mistake& otherwise) {
    const bool over = lab.process().wait(Deadline::in(milliseconds(static_cast<long long>(500 * stage.time_scale()))));
    stage.require(!over, {what, "it ended", "", "", otherwise});
    lab.idles(otherwise);
}

}  // namespace

CASE("8.17 stop waits for one that is still starting" * points(3) * section("orders") *
     hints("A service that is starting takes no orders. What should 'lab-08 stop' do then?",
           "ControlService answers ERROR_SERVICE_CANNOT_ACCEPT_CTRL (Wine: ERROR_INVALID_SERVICE_CONTROL). Nothing is wrong; it is too early.",
           "Wait while the state is START_PENDING, as start() does; then give the order, and wait while it is STOP_PENDING.")) {
    stage.by_hand("start lab-08 start hello & lab-08 stop hello & sc query hello");
    Gate gate(stage);
    Service service(stage, stage.random().word(8), {gate.path()});
    service.begin();
    gate.reached();
    Subject lab = stage.start({"stop", service.name()});
    goes_on(stage, lab, "stop waits while the service is starting", "stop-too-early");
    gate.open();
    lab.exits(0, "stop-too-early");
    stage.require(service.state().status().dwCurrentState == SERVICE_STOPPED,
                  {"stop returns when the service has stopped", text_of(service.state().status()), "", "", "stop-does-not-wait"});
    service.stopped();
}

CASE("8.22 start returns when it runs and stop when it has stopped" * points(3) * section("checkpoints") *
     hints("StartService returns TRUE. Can a client come now?",
           "It only means that the process lives. The state is START_PENDING until the service says RUNNING, and ControlService returns while it is STOP_PENDING.",
           "QueryServiceStatusEx again and again while it is pending: as long as dwCheckPoint grows within dwWaitHint, the service is alive.")) {
    stage.by_hand("lab-08 start hello & sc query hello & lab-08 stop hello & sc query hello");
    const std::string greeting = stage.random().word(8);
    Gate loading(stage), answering(stage);
    Service service(stage, greeting, {loading.path()});
    service.begin();
    loading.reached();
    loading.open();
    service.ready("never-ready");
    // Again, this time by the verb.
    service.tell_to_stop();
    service.stopped();
    Gate again(stage);
    service.configure("greeting = " + greeting + "\nload = " + again.path() + "\n");
    service.state().process.reset();
    std::optional<Turn> turn(std::in_place, stage);
    Subject start = stage.start({"start", service.name()});
    again.reached("never-ready");
    turn.reset();
    service.state().process = open_process(service.state().status().dwProcessId);
    goes_on(stage, start, "start waits while the service is starting", "start-does-not-wait");
    again.open();
    start.exits(0, "start-does-not-wait");
    stage.require(service.state().status().dwCurrentState == SERVICE_RUNNING,
                  {"RUNNING when start has returned", text_of(service.state().status()), "", "", "start-does-not-wait"});
    Client client(service);
    client.ask("count " + answering.path());
    answering.reached();
    Subject stop = stage.start({"stop", service.name()});
    service.state().await([&] { return service.state().status().dwCurrentState == SERVICE_STOP_PENDING; }, "the order to stop comes", "stop-does-not-wait");
    goes_on(stage, stop, "stop waits while the service is stopping", "stop-does-not-wait");
    const std::size_t bytes = answering.open();
    stop.exits(0, "stop-does-not-wait");
    const std::string answer = client.answer("stops-in-the-middle");
    stage.require(answer == std::to_string(bytes) + " bytes", {std::to_string(bytes) + " bytes", shown(answer), "", "", ""});
    service.stopped();
}

CASE("8.23 start tells when the service has stopped instead" * points(3) * section("checkpoints") *
     hints("The service cannot read its configuration, and stops. What does 'lab-08 start' say?",
           "Its state is STOPPED, not RUNNING, and dwWin32ExitCode says why.",
           "When it has left START_PENDING: STOPPED is an error. Throw it with the service's own code.")) {
    stage.by_hand("lab-08 install hello --config C:\\nowhere & lab-08 start hello\necho %ERRORLEVEL%");
    Service service(stage, "");
    service.begin();
    service.ready("never-ready");
    service.tell_to_stop();
    service.stopped();
    service.configure("nonsense\n");
    std::optional<Turn> turn(std::in_place, stage);
    Subject lab = stage.start({"start", service.name()});
    lab.exits(1, "start-believes-startservice");
    turn.reset();
    lab.complains(service.name(), "start-believes-startservice");
    Subject status = stage.start({"status", service.name()});
    status.prints(service.name() + ": failed\n", "status-misread");
    status.exits(3, "status-misread");
}

CASE("8.24 status and the manager's refusals are told as they are" * points(3) * section("the-entry-in-the-database") *
     hints("What can the manager answer to start, stop and status, apart from 'done'?",
           "That it does not know the service, that it runs already, that it does not run. For status the first is no error but an answer.",
           "Each is a code of GetLastError(): throw it as it is. status() returns not_installed for ERROR_SERVICE_DOES_NOT_EXIST.")) {
    stage.by_hand("lab-08 status nothing & lab-08 start nothing & lab-08 install hello & lab-08 status hello & lab-08 stop hello");
    const std::string nothing = stage.name("none");
    const auto refuses = [&](const std::string& verb, const std::string& name, DWORD code, const Mistake& otherwise) {
        const Turn turn(stage);
        Subject lab = stage.start({verb, name});
        lab.exits(1, otherwise);
        lab.complains(std::system_category().message(static_cast<int>(code)), otherwise);
    };
    for (const char* verb : {"start", "stop", "reload", "remove"})
        refuses(verb, nothing, ERROR_SERVICE_DOES_NOT_EXIST, "refusal-lost");
    const auto prints = [&](const std::string& name, const std::string& line, std::uint32_t code) {
        Subject lab = stage.start({"status", name});
        lab.prints(name + ": " + line + "\n", "status-misread");
        lab.exits(code, "status-misread");
    };
    prints(nothing, "not installed", 4);
    Service service(stage, stage.random().word(8));
    service.begin();
    service.ready("never-ready");
    prints(service.name(), "running (pid " + std::to_string(service.state().status().dwProcessId) + ")", 0);
    refuses("start", service.name(), ERROR_SERVICE_ALREADY_RUNNING, "refusal-lost");
    service.tell_to_stop();
    service.stopped();
    prints(service.name(), "stopped", 3);
    refuses("stop", service.name(), ERROR_SERVICE_NOT_ACTIVE, "refusal-lost");
}

CASE("8.26 sc and net drive it too" * points(2) * section("try-it-in-two-terminals") *
     hints("Do the system's own tools get along with your service?",
           "sc.exe and net.exe ask the same manager. If they fail and lab-08 does not, lab-08 looks away somewhere.",
           "Run sc query NAME and compare the state with what you have told the manager.")) {
    stage.by_hand("lab-08 install hello & net start hello & sc query hello & sc stop hello & lab-08 remove hello");
    Definitions manager(stage);
    const std::string name = stage.name("svc");
    manager.run("install", name).exits(0);
    const auto tool = [&](std::vector<std::string> command) {
        StartRequest request;
        wchar_t folder[MAX_PATH];
        command[0] = ipc::to_utf8(std::wstring_view(folder, GetSystemDirectoryW(folder, MAX_PATH))) + "\\" + command[0];
        request.command = command;
        Process process = Process::start(std::move(request));
        const bool over = process.wait(Deadline::in(milliseconds(static_cast<long long>(15'000 * stage.time_scale()))));
        stage.require(over && process.ended().code == 0,
                      {command[0] + " " + command[1] + " " + command[2] + " succeeds", over ? process.ended().text() : "it does not come back", "", "", "never-ready"});
    };
    const unique_service control = open_manager(stage);
    const unique_service entry(OpenServiceW(control.get(), ipc::to_wide(name).c_str(), SERVICE_QUERY_STATUS));
    {
        const Turn turn(stage);
        tool({"net.exe", "start", name});
    }
    stage.require(query(entry.get()).dwCurrentState == SERVICE_RUNNING,
                  {"RUNNING after net start", text_of(query(entry.get())), "", "", "never-ready"});
    tool({"sc.exe", "stop", name});
    const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(5'000 * stage.time_scale())));
    while (query(entry.get()).dwCurrentState != SERVICE_STOPPED && !deadline.expired())
        Sleep(2);
    stage.require(query(entry.get()).dwCurrentState == SERVICE_STOPPED,
                  {"STOPPED after sc stop", text_of(query(entry.get())), "", "", "stopped-not-told"});
    manager.run("remove", name).exits(0);
}

}
