// The judge beside the Service Control Manager: it makes the entry, gives the orders, and looks at what the manager sees.

#include "peers_win32.hpp"

#include "stage_state.hpp"  // for the path of the lab program, which a manager has to know
#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <sddl.h>
#include <sstream>

using namespace judge;
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

unique_service open_manager(Stage& stage) {
    unique_service manager(OpenSCManagerW(nullptr, nullptr, SC_MANAGER_CONNECT | SC_MANAGER_CREATE_SERVICE));
    if (!manager)
        stage.unavailable("services are made by administrators: run the judge in an administrator's console (OpenSCManager: " + ipc::last_error().message() + ")");
    return manager;
}

// Administrators may end a process of the system only if they ask for it.
static void may_end_services() {
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

static const char* state_name(DWORD state) {
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

// ---- the service -------------------------------------------------------------------------------------------------------

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
