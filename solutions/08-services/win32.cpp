// Lab 08, win32 track: the reference solution.

#include "services.hpp"

#include "control_channel.hpp"
#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <stdexcept>
#include <windows.h>
#include <sddl.h>

namespace services {
namespace {

// A name becomes part of a pipe's name and of a command line: no backslash, no blank.
void check_name(const std::string& name) {
    constexpr const char* letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const bool allowed = !name.empty() && name.size() <= 200 && std::strchr(letters, name[0]) &&
                         name.find_first_not_of(std::string(letters) + "-_.:") == std::string::npos;
    if (!allowed)
        ipc::throw_error(ERROR_INVALID_NAME, "service name", "'" + name + "'; take letters, digits and - _ . :");
}

struct service_kind {
    using value_type = SC_HANDLE;
    static value_type none() noexcept { return nullptr; }
    static void close(value_type value) noexcept { CloseServiceHandle(value); }
};
using unique_service = ipc::unique_resource<service_kind>;

// ---- talking to the manager -------------------------------------------------------------------------------------------

// How long the next step may take, in milliseconds. Who has not moved his checkpoint by then is taken for dead.
constexpr DWORD wait_hint = 10'000;

// What the manager is told. Two threads tell it: the one that serves, and the one that hears the manager's orders.
class Manager {
public:
    void begin(SERVICE_STATUS_HANDLE handle) {
        handle_ = handle;
        tell(SERVICE_START_PENDING);
    }

    void ready() { tell(SERVICE_RUNNING); }
    void stopping() { tell(SERVICE_STOP_PENDING); }
    void stopped(DWORD exit_code) { tell(SERVICE_STOPPED, exit_code); }

    // Alive, and on the way to where we are going: the next checkpoint. A service that runs has no checkpoints.
    void progress() {
        const std::lock_guard lock(mutex_);
        if (status_.dwCurrentState == SERVICE_START_PENDING || status_.dwCurrentState == SERVICE_STOP_PENDING) {
            ++status_.dwCheckPoint;
            SetServiceStatus(handle_, &status_);
        }
    }

private:
    void tell(DWORD state, DWORD exit_code = NO_ERROR) {
        const std::lock_guard lock(mutex_);
        const bool pending = state == SERVICE_START_PENDING || state == SERVICE_STOP_PENDING;
        status_.dwServiceType = SERVICE_WIN32_OWN_PROCESS;
        status_.dwCurrentState = state;
        // Nothing is accepted while we start: nobody would be there to obey.
        status_.dwControlsAccepted = state == SERVICE_RUNNING ? SERVICE_ACCEPT_STOP | SERVICE_ACCEPT_SHUTDOWN | SERVICE_ACCEPT_PARAMCHANGE : 0;
        status_.dwCheckPoint = pending ? 1 : 0;
        status_.dwWaitHint = pending ? wait_hint : 0;
        status_.dwWin32ExitCode = exit_code;
        SetServiceStatus(handle_, &status_);
    }

    std::mutex mutex_;
    SERVICE_STATUS_HANDLE handle_ = nullptr;
    SERVICE_STATUS status_{};
};

// ---- the service ------------------------------------------------------------------------------------------------------

ipc::unique_handle make_event(bool manual_reset) {
    ipc::unique_handle event(CreateEventW(nullptr, manual_reset, FALSE, nullptr));
    if (!event)
        ipc::throw_last_error("CreateEvent");
    return event;
}

struct LocalMemory {
    void* memory = nullptr;
    ~LocalMemory() { LocalFree(memory); }
};

// One instance of the control pipe: for the administrators, the system and whoever runs us; from this machine only.
ipc::unique_file make_instance(const std::string& address, bool first) {
    LocalMemory descriptor;
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(L"D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)", SDDL_REVISION_1, &descriptor.memory, nullptr))
        ipc::throw_last_error("ConvertStringSecurityDescriptorToSecurityDescriptor");
    SECURITY_ATTRIBUTES security{sizeof security, descriptor.memory, FALSE};
    ipc::unique_file pipe(CreateNamedPipeW(ipc::to_wide(address).c_str(),
                                           PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | (first ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0),
                                           PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS, PIPE_UNLIMITED_INSTANCES,
                                           control_channel::longest, control_channel::longest, 0, &security));
    if (!pipe)
        ipc::throw_last_error("CreateNamedPipe", address + (first ? "; does somebody use that name already?" : ""));
    return pipe;
}

// The security identifier of the user that this thread acts for.
std::string user_of_thread() {
    HANDLE token = nullptr;
    if (!OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, TRUE, &token))
        ipc::throw_last_error("OpenThreadToken");
    const ipc::unique_handle owned(token);
    alignas(TOKEN_USER) char buffer[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    DWORD size = 0;
    LocalMemory text;
    if (!GetTokenInformation(token, TokenUser, buffer, sizeof buffer, &size) ||
        !ConvertSidToStringSidW(reinterpret_cast<TOKEN_USER*>(buffer)->User.Sid, reinterpret_cast<wchar_t**>(&text.memory)))
        ipc::throw_last_error("GetTokenInformation", "TokenUser");
    return ipc::to_utf8(static_cast<const wchar_t*>(text.memory));
}

Peer peer_of(HANDLE pipe) {
    Peer peer;
    GetNamedPipeClientProcessId(pipe, &peer.pid);
    if (!ImpersonateNamedPipeClient(pipe))  // to ask the system who that is, not to act in his name
        ipc::throw_last_error("ImpersonateNamedPipeClient");
    try {
        peer.user = user_of_thread();
    } catch (...) {
        RevertToSelf();
        throw;
    }
    RevertToSelf();
    return peer;
}

class Running {
public:
    Running(const Service& service, Application& application) : service_(service), application_(application) {}

    // Called by the dispatcher, in a thread of its own.
    void main() {
        manager_.begin(RegisterServiceCtrlHandlerExW(ipc::to_wide(service_.name).c_str(), hear, this));
        DWORD exit_code = NO_ERROR;
        try {
            serve();
        } catch (const std::exception& error) {
            application_.log("failed", {{"error", error.what()}});
            const auto* system = dynamic_cast<const std::system_error*>(&error);
            exit_code = system ? static_cast<DWORD>(system->code().value()) : ERROR_INVALID_DATA;
        }
        manager_.stopped(exit_code);
    }

private:
    void serve() {
        if (!application_.load([this](const std::string&) { return progress(); }))
            return;
        const std::string address = control_channel::address(service_.name);
        control_channel::Clients clients([&address](bool first) { return make_instance(address, first); });
        application_.log("ready", {{"address", address}});
        manager_.ready();
        application_.ready(address);
        while (!stopping()) {
            if (wait(clients) == WAIT_OBJECT_0 + 1)
                reload();
            if (!stopping())
                clients.attend([this](HANDLE client, const std::string& request) { return answer(client, request); });
        }
        application_.log("stopped", {});
    }

    // The manager's orders. They come in the dispatcher's thread, which has to be free for the next one: nothing is done here.
    static DWORD WINAPI hear(DWORD order, DWORD, void*, void* self) {
        auto* running = static_cast<Running*>(self);
        switch (order) {
        case SERVICE_CONTROL_STOP:
        case SERVICE_CONTROL_SHUTDOWN:
            running->manager_.stopping();
            SetEvent(running->stop_.get());
            return NO_ERROR;
        case SERVICE_CONTROL_PARAMCHANGE:
            SetEvent(running->reload_.get());
            return NO_ERROR;
        case SERVICE_CONTROL_INTERROGATE:
            return NO_ERROR;
        default:
            return ERROR_CALL_NOT_IMPLEMENTED;
        }
    }

    bool stopping() const { return WaitForSingleObject(stop_.get(), 0) == WAIT_OBJECT_0; }

    bool progress() {
        manager_.progress();
        return !stopping();
    }

    // Until somebody wants something. Of several that are signalled it tells the first: to stop comes before all.
    DWORD wait(const control_channel::Clients& clients) {
        std::vector<HANDLE> events = {stop_.get(), reload_.get()};
        clients.watch(events);
        const DWORD which = WaitForMultipleObjects(static_cast<DWORD>(events.size()), events.data(), FALSE, INFINITE);
        if (which == WAIT_FAILED)
            ipc::throw_last_error("WaitForMultipleObjects");
        return which;
    }

    std::string answer(HANDLE client, const std::string& request) {
        const Peer peer = peer_of(client);
        application_.log("request", {{"pid", std::to_string(peer.pid)}, {"user", peer.user}, {"text", request}});
        return application_.answer(request, [this](const std::string&) { return progress(); });
    }

    void reload() {
        try {
            application_.reload();
            application_.log("reloaded", {});
        } catch (const std::exception& error) {
            application_.log("reload-failed", {{"error", error.what()}});
        }
    }

    const Service& service_;
    Application& application_;
    Manager manager_;
    ipc::unique_handle stop_ = make_event(true);     // once told, for ever told
    ipc::unique_handle reload_ = make_event(false);  // each order once
};

// ---- what the manager is given ----------------------------------------------------------------------------------------

std::string absolute(const std::string& path) {
    return ipc::to_utf8(std::filesystem::absolute(std::filesystem::path(ipc::to_wide(path))).lexically_normal().wstring());
}

// One word of a command line, so that it is the same word when the line is cut up again. Always in quotes: the path of a
// program with a blank in it, bare, would be tried word by word, and C:\Program.exe might be somebody else's.
std::string quoted(const std::string& word) {
    std::string text = "\"";
    std::size_t backslashes = 0;
    for (const char c : word) {
        if (c == '"')
            text.append(backslashes + 1, '\\');
        backslashes = c == '\\' ? backslashes + 1 : 0;
        text += c;
    }
    return text.append(backslashes, '\\') + "\"";
}

std::string own_program() {
    std::wstring path(32768, L'\0');
    path.resize(GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size())));
    return ipc::to_utf8(path);
}

std::wstring command_for(const Service& service) {
    std::string command = quoted(own_program()) + " run " + service.name;
    if (!service.config.empty())
        command += " --config " + quoted(absolute(service.config));
    if (!service.log.empty())
        command += " --log " + quoted(absolute(service.log));
    return ipc::to_wide(command);
}

unique_service open_manager(DWORD access) {
    unique_service manager(OpenSCManagerW(nullptr, nullptr, access));
    if (!manager)
        ipc::throw_last_error("OpenSCManager", "to make or remove a service takes an administrator's console");
    return manager;
}

// None if there is no such service.
unique_service try_open(const std::string& name, DWORD access) {
    check_name(name);
    const unique_service manager = open_manager(SC_MANAGER_CONNECT);
    unique_service service(OpenServiceW(manager.get(), ipc::to_wide(name).c_str(), access));
    if (!service && GetLastError() != ERROR_SERVICE_DOES_NOT_EXIST)
        ipc::throw_last_error("OpenService", name);
    return service;
}

unique_service open_service(const std::string& name, DWORD access) {
    unique_service service = try_open(name, access);
    if (!service)
        ipc::throw_error(ERROR_SERVICE_DOES_NOT_EXIST, "OpenService", name + "; install it first: lab-08 install " + name);
    return service;
}

void describe(SC_HANDLE service, const std::string& name) {
    std::wstring text = L"IPC Labs service " + ipc::to_wide(name);
    SERVICE_DESCRIPTIONW description{text.data()};
    SC_ACTION restart{SC_ACTION_RESTART, 1000};
    SERVICE_FAILURE_ACTIONSW failure{};
    failure.dwResetPeriod = 60;
    failure.cActions = 1;
    failure.lpsaActions = &restart;
    if (!ChangeServiceConfig2W(service, SERVICE_CONFIG_DESCRIPTION, &description) ||
        !ChangeServiceConfig2W(service, SERVICE_CONFIG_FAILURE_ACTIONS, &failure))
        ipc::throw_last_error("ChangeServiceConfig2", name);
}

// ---- driving it -------------------------------------------------------------------------------------------------------

SERVICE_STATUS_PROCESS query(SC_HANDLE service) {
    SERVICE_STATUS_PROCESS status{};
    DWORD size = 0;
    if (!QueryServiceStatusEx(service, SC_STATUS_PROCESS_INFO, reinterpret_cast<BYTE*>(&status), sizeof status, &size))
        ipc::throw_last_error("QueryServiceStatusEx");
    return status;
}

// Waits as long as the service is in `pending` and its checkpoints go on; its status when it has left that state.
SERVICE_STATUS_PROCESS wait_while(SC_HANDLE service, DWORD pending, const std::string& name) {
    SERVICE_STATUS_PROCESS status = query(service);
    ipc::Deadline deadline = ipc::Deadline::in_ms(status.dwWaitHint + 1000);
    while (status.dwCurrentState == pending) {
        if (deadline.expired())
            ipc::throw_error(ERROR_SERVICE_REQUEST_TIMEOUT, "service " + name, "it stays at checkpoint " + std::to_string(status.dwCheckPoint));
        Sleep(50);  // NotifyServiceStatusChange tells of states, not of checkpoints: so we ask
        const DWORD before = status.dwCheckPoint;
        status = query(service);
        if (status.dwCheckPoint != before)
            deadline = ipc::Deadline::in_ms(status.dwWaitHint + 1000);
    }
    return status;
}

State state_from(const SERVICE_STATUS_PROCESS& status) {
    switch (status.dwCurrentState) {
    case SERVICE_START_PENDING: return State::starting;
    case SERVICE_STOP_PENDING: return State::stopping;
    case SERVICE_STOPPED:
        return status.dwWin32ExitCode == NO_ERROR || status.dwWin32ExitCode == ERROR_SERVICE_NEVER_STARTED ? State::stopped : State::failed;
    default: return State::running;
    }
}

// The dispatcher calls a function that knows nothing but its arguments: what it needs is here.
Running* the_one = nullptr;

void WINAPI service_main(DWORD, wchar_t**) { the_one->main(); }

}  // namespace

void run(const Service& service, Application& application) {
    check_name(service.name);
    Running running(service, application);
    the_one = &running;
    std::wstring name = ipc::to_wide(service.name);
    const SERVICE_TABLE_ENTRYW table[] = {{name.data(), service_main}, {nullptr, nullptr}};
    // Returns when the service has stopped; at once if it was not the manager who has started us.
    if (!StartServiceCtrlDispatcherW(table))
        ipc::throw_last_error("StartServiceCtrlDispatcher", "'run' is for the service manager; type: lab-08 install " + service.name +
                                                                " and lab-08 start " + service.name);
}

void install(const Service& service) {
    check_name(service.name);
    const std::wstring name = ipc::to_wide(service.name), command = command_for(service);
    const unique_service manager = open_manager(SC_MANAGER_CREATE_SERVICE);
    unique_service entry(CreateServiceW(manager.get(), name.c_str(), name.c_str(), SERVICE_CHANGE_CONFIG | SERVICE_START, SERVICE_WIN32_OWN_PROCESS,
                                        SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, command.c_str(), nullptr, nullptr, nullptr, nullptr, nullptr));
    if (!entry && GetLastError() != ERROR_SERVICE_EXISTS)
        ipc::throw_last_error("CreateService", service.name);
    if (!entry) {
        entry = open_service(service.name, SERVICE_CHANGE_CONFIG | SERVICE_START);
        if (!ChangeServiceConfigW(entry.get(), SERVICE_WIN32_OWN_PROCESS, SERVICE_DEMAND_START, SERVICE_ERROR_NORMAL, command.c_str(), nullptr, nullptr,
                                  nullptr, nullptr, nullptr, name.c_str()))
            ipc::throw_last_error("ChangeServiceConfig", service.name);
    }
    describe(entry.get(), service.name);
}

void remove(const Service& service) {
    const unique_service entry = open_service(service.name, SERVICE_STOP | SERVICE_QUERY_STATUS | DELETE);
    if (query(entry.get()).dwCurrentState != SERVICE_STOPPED)
        stop(service.name);  // or it would live on, marked, until somebody stops it
    if (!DeleteService(entry.get()))
        ipc::throw_last_error("DeleteService", service.name);
}

void start(const std::string& name) {
    const unique_service entry = open_service(name, SERVICE_START | SERVICE_QUERY_STATUS);
    if (!StartServiceW(entry.get(), 0, nullptr))
        ipc::throw_last_error("StartService", name);
    // StartService only begins it.
    const SERVICE_STATUS_PROCESS status = wait_while(entry.get(), SERVICE_START_PENDING, name);
    if (status.dwCurrentState == SERVICE_STOPPED)
        ipc::throw_error(static_cast<int>(status.dwWin32ExitCode ? status.dwWin32ExitCode : ERROR_SERVICE_NOT_ACTIVE), "service " + name,
                         "it has stopped instead of starting; see its log");
}

void stop(const std::string& name) {
    const unique_service entry = open_service(name, SERVICE_STOP | SERVICE_QUERY_STATUS);
    wait_while(entry.get(), SERVICE_START_PENDING, name);  // it accepts no orders yet
    SERVICE_STATUS ignored{};
    if (!ControlService(entry.get(), SERVICE_CONTROL_STOP, &ignored))
        ipc::throw_last_error("ControlService", name + ", SERVICE_CONTROL_STOP");
    wait_while(entry.get(), SERVICE_STOP_PENDING, name);
}

void reload(const std::string& name) {
    const unique_service entry = open_service(name, SERVICE_PAUSE_CONTINUE);
    SERVICE_STATUS ignored{};
    if (!ControlService(entry.get(), SERVICE_CONTROL_PARAMCHANGE, &ignored))
        ipc::throw_last_error("ControlService", name + ", SERVICE_CONTROL_PARAMCHANGE");
}

Status status(const std::string& name) {
    const unique_service entry = try_open(name, SERVICE_QUERY_STATUS);
    if (!entry)
        return {};
    const SERVICE_STATUS_PROCESS status = query(entry.get());
    return {state_from(status), status.dwProcessId, ""};
}

}  // namespace services
