// Lab 02, win32 track, another way: one completion port for all clients of the server, whose buffers in the system are of
// size 0: a write is over when it has been read.

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <memory>
#include <sddl.h>
#include <set>
#include <windows.h>

namespace named_pipes {
namespace {

std::wstring path_of(const std::string& name) { return L"\\\\.\\pipe\\" + ipc::to_wide(name); }

std::wstring user() {
    HANDLE token = nullptr;
    OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token);
    const ipc::unique_handle owner(token);
    alignas(TOKEN_USER) char buffer[256];
    DWORD size = 0;
    if (!GetTokenInformation(token, TokenUser, buffer, sizeof buffer, &size))
        ipc::throw_last_error("GetTokenInformation");
    wchar_t* text = nullptr;
    ConvertSidToStringSidW(reinterpret_cast<TOKEN_USER*>(buffer)->User.Sid, &text);
    const std::wstring sid = text;
    LocalFree(text);
    return sid;
}

ipc::unique_file instance(const std::string& name, DWORD access, DWORD most) {
    SECURITY_ATTRIBUTES attributes{sizeof attributes, nullptr, FALSE};
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW((L"D:P(A;;FA;;;" + user() + L")").c_str(), SDDL_REVISION_1, &attributes.lpSecurityDescriptor, nullptr))
        ipc::throw_last_error("ConvertStringSecurityDescriptorToSecurityDescriptor");
    const std::wstring path = path_of(name);
    ipc::unique_file pipe(CreateNamedPipeW(path.c_str(), access | FILE_FLAG_OVERLAPPED, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS,
                                           most, 0, 0, 0, &attributes));
    const DWORD error = GetLastError();
    LocalFree(attributes.lpSecurityDescriptor);
    if (!pipe)
        ipc::throw_error(static_cast<int>(error), "CreateNamedPipe", name);
    return pipe;
}

HANDLE port = nullptr, stop_event = nullptr;
constexpr ULONG_PTR stop_key = 1, client_key = 2;

BOOL WINAPI on_control(DWORD) {
    SetEvent(stop_event);
    if (port)
        PostQueuedCompletionStatus(port, 0, stop_key, nullptr);
    return TRUE;
}

void catch_stop() {
    stop_event = CreateEventW(nullptr, TRUE, FALSE, nullptr);
    SetConsoleCtrlHandler(on_control, TRUE);
}

// The OVERLAPPED comes first: the pointer that the port gives back is the client itself.
struct Client : OVERLAPPED {
    enum { connecting, reading, writing } step = connecting;
    ipc::unique_file pipe;
    std::string text, answer;
    char part[700];

    explicit Client(ipc::unique_file opened) : OVERLAPPED{}, pipe(std::move(opened)) {
        CreateIoCompletionPort(pipe.get(), port, client_key, 0);
    }
    OVERLAPPED* fresh() { return &(*static_cast<OVERLAPPED*>(this) = OVERLAPPED{}); }
    // What does not even begin comes back through the port as well.
    void begun(BOOL done) {
        const DWORD error = done ? ERROR_SUCCESS : GetLastError();
        if (done || error == ERROR_IO_PENDING || error == ERROR_MORE_DATA)
            return;
        Internal = error == ERROR_PIPE_CONNECTED ? 0 : 0xC000014B;  // STATUS_PIPE_BROKEN
        PostQueuedCompletionStatus(port, 0, client_key, this);
    }
    void connect() { begun(ConnectNamedPipe(pipe.get(), fresh())); }
    void read() {
        step = reading;
        begun(ReadFile(pipe.get(), part, sizeof part, nullptr, fresh()));
    }
    void write() {
        step = writing;
        begun(WriteFile(pipe.get(), answer.data(), static_cast<DWORD>(answer.size()), nullptr, fresh()));
    }
};

// One message, into a string that grows to meet it.
std::string read_message(HANDLE pipe, const std::string& name, ipc::Deadline deadline) {
    const ipc::unique_handle event(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    const HANDLE events[] = {event.get(), stop_event};
    std::string text(100, '\0');
    std::size_t got = 0;
    for (;;) {
        OVERLAPPED overlapped{};
        overlapped.hEvent = event.get();
        DWORD count = 0;
        const BOOL begun = ReadFile(pipe, text.data() + got, static_cast<DWORD>(text.size() - got), nullptr, &overlapped);
        if (const DWORD error = GetLastError(); !begun && error != ERROR_IO_PENDING && error != ERROR_MORE_DATA)
            ipc::throw_error(static_cast<int>(error), "ReadFile", name);
        const DWORD result = WaitForMultipleObjects(2, events, FALSE, deadline.wait_ms());
        if (result != WAIT_OBJECT_0)
            CancelIoEx(pipe, &overlapped);
        const BOOL done = GetOverlappedResult(pipe, &overlapped, &count, TRUE);
        const DWORD error = GetLastError();
        if (!done && error != ERROR_MORE_DATA)
            ipc::throw_error(static_cast<int>(result == WAIT_TIMEOUT ? DWORD{ERROR_SEM_TIMEOUT} : error), "ReadFile", name);
        got += count;
        if (done) {
            text.resize(got);
            return text;
        }
        text.resize(2 * text.size());
    }
}

ipc::unique_file connect(const std::string& name, DWORD access, bool wait_for_name, ipc::Deadline deadline) {
    const std::wstring path = path_of(name);
    for (;;) {
        ipc::unique_file pipe(CreateFileW(path.c_str(), access, 0, nullptr, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, nullptr));
        const DWORD error = GetLastError();
        if (pipe)
            return pipe;
        if (error != ERROR_PIPE_BUSY && !(error == ERROR_FILE_NOT_FOUND && wait_for_name))
            ipc::throw_error(static_cast<int>(error), "CreateFile", name);
        if (deadline.expired())
            ipc::throw_error(ERROR_SEM_TIMEOUT, "CreateFile", name);
        WaitNamedPipeW(path.c_str(), 10);
        if (WaitForSingleObject(stop_event, error == ERROR_FILE_NOT_FOUND ? 10 : 0) == WAIT_OBJECT_0)
            ipc::throw_error(ERROR_OPERATION_ABORTED, "CreateFile", name);
    }
}

void write_message(HANDLE pipe, const std::string& text, const std::string& name, ipc::Deadline deadline) {
    OVERLAPPED overlapped{};
    const ipc::unique_handle event(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    overlapped.hEvent = event.get();
    if (!WriteFile(pipe, text.data(), static_cast<DWORD>(text.size()), nullptr, &overlapped) && GetLastError() != ERROR_IO_PENDING)
        ipc::throw_last_error("WriteFile", name);
    const HANDLE events[] = {event.get(), stop_event};
    const DWORD result = WaitForMultipleObjects(2, events, FALSE, deadline.wait_ms());
    DWORD count = 0;
    if (result != WAIT_OBJECT_0)
        CancelIoEx(pipe, &overlapped);
    if (!GetOverlappedResult(pipe, &overlapped, &count, TRUE))
        ipc::throw_error(static_cast<int>(result == WAIT_TIMEOUT ? DWORD{ERROR_SEM_TIMEOUT} : GetLastError()), "WriteFile", name);
}

}  // namespace

void send(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline) {
    catch_stop();
    const ipc::unique_file pipe = connect(name, GENERIC_WRITE, true, deadline);
    for (const std::string& text : texts)
        write_message(pipe.get(), text, name, {});
}

void receive(const std::string& name, const OnMessage& on_message) {
    catch_stop();
    const ipc::unique_file pipe = instance(name, PIPE_ACCESS_INBOUND, 1);
    OVERLAPPED connecting{};
    if (!ConnectNamedPipe(pipe.get(), &connecting)) {
        const DWORD error = GetLastError();
        if (error != ERROR_IO_PENDING && error != ERROR_PIPE_CONNECTED && error != ERROR_NO_DATA)
            ipc::throw_error(static_cast<int>(error), "ConnectNamedPipe", name);
        DWORD count = 0;
        if (error == ERROR_IO_PENDING)
            GetOverlappedResult(pipe.get(), &connecting, &count, TRUE);
    }
    try {
        for (;;)
            on_message(read_message(pipe.get(), name, {}));
    } catch (const std::system_error& error) {
        if (error.code().value() != ERROR_BROKEN_PIPE)
            throw;
    }
}

void serve(const std::string& name, const Answer& answer, const std::function<void()>& on_ready) {
    const ipc::unique_handle queue(CreateIoCompletionPort(INVALID_HANDLE_VALUE, nullptr, 0, 1));
    port = queue.get();
    catch_stop();
    std::set<Client*> clients;
    auto welcome = [&](DWORD first) {
        auto* client = new Client(instance(name, PIPE_ACCESS_DUPLEX | first, PIPE_UNLIMITED_INSTANCES));
        clients.insert(client);
        client->connect();
    };
    welcome(FILE_FLAG_FIRST_PIPE_INSTANCE);
    on_ready();
    bool stopping = false;
    while (!stopping || !clients.empty()) {
        DWORD count = 0;
        ULONG_PTR key = 0;
        OVERLAPPED* overlapped = nullptr;
        const BOOL done = GetQueuedCompletionStatus(port, &count, &key, &overlapped, INFINITE);
        const DWORD error = done ? ERROR_SUCCESS : GetLastError();
        if (key == stop_key) {
            stopping = true;
            for (Client* client : clients)
                CancelIoEx(client->pipe.get(), nullptr);
            continue;
        }
        auto* client = static_cast<Client*>(overlapped);
        // A packet that was posted by hand is always done; what it stands for is in Internal.
        const bool failed = (error != ERROR_SUCCESS && error != ERROR_MORE_DATA) || client->Internal == 0xC000014B;
        if (client->step == Client::connecting && !stopping)
            welcome(0);
        if (stopping || failed) {
            clients.erase(client);
            delete client;
        } else if (client->step == Client::reading) {
            client->text.append(client->part, count);
            if (error == ERROR_MORE_DATA) {
                client->read();
                continue;
            }
            ULONG id = 0;
            GetNamedPipeClientProcessId(client->pipe.get(), &id);
            const bool wanted = client->text.size() <= longest_request;
            client->answer = wanted ? answer(id, client->text) : "";
            client->text.clear();
            if (wanted)
                client->write();
            else
                client->read();
        } else
            client->read();
    }
    port = nullptr;
}

void request(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnMessage& on_answer) {
    for (const std::string& text : texts)
        if (text.size() > longest_request)
            ipc::throw_error(ERROR_BAD_LENGTH, "request", name);
    catch_stop();
    const ipc::unique_file pipe = connect(name, GENERIC_READ | GENERIC_WRITE, false, deadline);
    DWORD mode = PIPE_READMODE_MESSAGE;
    if (!SetNamedPipeHandleState(pipe.get(), &mode, nullptr, nullptr))
        ipc::throw_last_error("SetNamedPipeHandleState", name);
    for (const std::string& text : texts) {
        write_message(pipe.get(), text, name, deadline);
        on_answer(read_message(pipe.get(), name + ", whose server has gone", deadline));
    }
}

}  // namespace named_pipes
