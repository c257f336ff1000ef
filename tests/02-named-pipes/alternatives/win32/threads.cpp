// Lab 02, win32 track, another way: synchronous calls and threads, one for each client, that are called back from whatever
// they wait in by CancelSynchronousIo().

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <aclapi.h>
#include <atomic>
#include <list>
#include <thread>
#include <vector>
#include <windows.h>

namespace named_pipes {
namespace {

std::wstring path_of(const std::string& name) { return LR"(\\.\pipe\)" + ipc::to_wide(name); }

// An access list built entry by entry instead of from text.
struct OnlyMe {
    std::vector<char> user = std::vector<char>(256);
    PACL list = nullptr;
    SECURITY_DESCRIPTOR descriptor{};
    SECURITY_ATTRIBUTES attributes{sizeof attributes, &descriptor, FALSE};
    OnlyMe() {
        HANDLE token = nullptr;
        DWORD size = 0;
        if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
            ipc::throw_last_error("OpenProcessToken");
        const ipc::unique_handle owner(token);
        if (!GetTokenInformation(token, TokenUser, user.data(), static_cast<DWORD>(user.size()), &size))
            ipc::throw_last_error("GetTokenInformation");
        EXPLICIT_ACCESSW entry{};
        entry.grfAccessPermissions = GENERIC_ALL;
        entry.grfAccessMode = SET_ACCESS;
        entry.Trustee.TrusteeForm = TRUSTEE_IS_SID;
        entry.Trustee.TrusteeType = TRUSTEE_IS_USER;
        entry.Trustee.ptstrName = static_cast<wchar_t*>(reinterpret_cast<TOKEN_USER*>(user.data())->User.Sid);
        if (const DWORD error = SetEntriesInAclW(1, &entry, nullptr, &list))
            ipc::throw_error(static_cast<int>(error), "SetEntriesInAcl");
        InitializeSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION);
        SetSecurityDescriptorDacl(&descriptor, TRUE, list, FALSE);
    }
    ~OnlyMe() { LocalFree(list); }
};

ipc::unique_file instance(const std::string& name, DWORD access, DWORD most) {
    OnlyMe only_me;
    const std::wstring path = path_of(name);
    ipc::unique_file pipe(CreateNamedPipeW(path.c_str(), access, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                                           most, 16 * 1024, 16 * 1024, 0, &only_me.attributes));
    if (!pipe)
        ipc::throw_last_error("CreateNamedPipe", name);
    return pipe;
}

bool accept(HANDLE pipe) {
    if (ConnectNamedPipe(pipe, nullptr))
        return true;
    const DWORD error = GetLastError();
    return error == ERROR_PIPE_CONNECTED || error == ERROR_NO_DATA;
}

// One message, asked for its size before it is taken. False at the end; error then tells why.
bool take(HANDLE pipe, std::string& message, DWORD& error) {
    message.assign(64, '\0');
    DWORD count = 0, got = 0, left = 0;
    BOOL done = ReadFile(pipe, message.data(), static_cast<DWORD>(message.size()), &count, nullptr);
    got = count;
    while (!done && GetLastError() == ERROR_MORE_DATA) {
        if (!PeekNamedPipe(pipe, nullptr, 0, nullptr, nullptr, &left) || left == 0)
            left = 4096;
        message.resize(got + left);
        done = ReadFile(pipe, message.data() + got, left, &count, nullptr);
        got += count;
    }
    error = done ? ERROR_SUCCESS : GetLastError();
    message.resize(done ? got : 0);
    return done;
}

// A thread and whether it is done; to be called back from a synchronous call as often as it takes.
class Worker {
public:
    template <class Body>
    explicit Worker(Body body) : thread_([this, body] {
        handle_.reset(OpenThread(THREAD_TERMINATE, FALSE, GetCurrentThreadId()));
        started_ = true;
        body();
        done_ = true;
    }) {
        while (!started_)
            SwitchToThread();
    }
    ~Worker() {
        while (!done_) {
            CancelSynchronousIo(handle_.get());
            Sleep(1);
        }
        thread_.join();
    }
    bool done() const { return done_; }

private:
    ipc::unique_handle handle_;
    std::atomic<bool> started_ = false, done_ = false;
    std::thread thread_;
};

HANDLE stop_event = nullptr;

struct StopEvent {
    StopEvent() {
        stop_event = CreateEventW(nullptr, TRUE, FALSE, nullptr);
        SetConsoleCtrlHandler([](DWORD) -> BOOL { return SetEvent(stop_event); }, TRUE);
    }
};

ipc::unique_file connect(const std::string& name, DWORD access, bool wait_for_name, ipc::Deadline deadline) {
    const std::wstring path = path_of(name);
    for (;;) {
        ipc::unique_file pipe(CreateFileW(path.c_str(), access, 0, nullptr, OPEN_EXISTING, 0, nullptr));
        const DWORD error = GetLastError();
        if (pipe)
            return pipe;
        if (error != ERROR_PIPE_BUSY && !(error == ERROR_FILE_NOT_FOUND && wait_for_name))
            ipc::throw_error(static_cast<int>(error), "CreateFile", name);
        if (deadline.expired())
            ipc::throw_error(ERROR_SEM_TIMEOUT, "CreateFile", name);
        if (stop_event && WaitForSingleObject(stop_event, 0) == WAIT_OBJECT_0)
            ipc::throw_error(ERROR_OPERATION_ABORTED, "CreateFile", name);
        if (error == ERROR_PIPE_BUSY)
            WaitNamedPipeW(path.c_str(), 10);
        else
            Sleep(10);
    }
}

}  // namespace

void send(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline) {
    const ipc::unique_file pipe = connect(name, GENERIC_WRITE, true, deadline);
    for (const std::string& text : texts) {
        DWORD count = 0;
        if (!WriteFile(pipe.get(), text.data(), static_cast<DWORD>(text.size()), &count, nullptr))
            ipc::throw_last_error("WriteFile", name);
    }
}

void receive(const std::string& name, const OnMessage& on_message) {
    const ipc::unique_file pipe = instance(name, PIPE_ACCESS_INBOUND, 1);
    if (!accept(pipe.get()))
        ipc::throw_last_error("ConnectNamedPipe", name);
    std::string message;
    DWORD error = 0;
    while (take(pipe.get(), message, error))
        on_message(message);
    if (error != ERROR_BROKEN_PIPE)
        ipc::throw_error(static_cast<int>(error), "ReadFile", name);
}

void serve(const std::string& name, const Answer& answer, const std::function<void()>& on_ready) {
    const StopEvent stop;
    std::atomic<bool> stopped = false;
    std::list<Worker> clients;
    auto converse = [&stopped, &answer](HANDLE pipe) {
        ULONG id = 0;
        GetNamedPipeClientProcessId(pipe, &id);
        std::string text;
        DWORD error = 0, count = 0;
        while (!stopped && take(pipe, text, error)) {
            if (text.size() > longest_request)
                continue;
            const std::string said = answer(id, text);
            if (!WriteFile(pipe, said.data(), static_cast<DWORD>(said.size()), &count, nullptr))
                break;
        }
    };
    ipc::unique_file next = instance(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_UNLIMITED_INSTANCES);
    auto welcome = [&] {
        while (!stopped) {
            if (!accept(next.get()))
                continue;
            clients.remove_if([](const Worker& client) { return client.done(); });
            const HANDLE pipe = next.release();
            clients.emplace_back([converse, pipe] {
                const ipc::unique_file own(pipe);
                converse(own.get());
            });
            next = instance(name, PIPE_ACCESS_DUPLEX, PIPE_UNLIMITED_INSTANCES);
        }
    };
    {
        const Worker door(welcome);
        on_ready();
        WaitForSingleObject(stop_event, INFINITE);
        stopped = true;
    }
    clients.clear();
}

void request(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnMessage& on_answer) {
    for (const std::string& text : texts)
        if (text.size() > longest_request)
            ipc::throw_error(ERROR_BAD_LENGTH, "request", name);
    const StopEvent stop;
    const ipc::unique_file pipe = connect(name, GENERIC_READ | GENERIC_WRITE, false, deadline);
    DWORD mode = PIPE_READMODE_MESSAGE;
    if (!SetNamedPipeHandleState(pipe.get(), &mode, nullptr, nullptr))
        ipc::throw_last_error("SetNamedPipeHandleState", name);
    // A thread does the talking; this one looks at the clock and at the stop event.
    const ipc::unique_handle over(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    std::atomic<DWORD> error = 0;
    {
        const Worker talk([&] {
            std::string answer;
            for (const std::string& text : texts) {
                DWORD count = 0, why = 0;
                if (!WriteFile(pipe.get(), text.data(), static_cast<DWORD>(text.size()), &count, nullptr)) {
                    error = GetLastError();
                    break;
                }
                if (!take(pipe.get(), answer, why)) {
                    error = why;
                    break;
                }
                on_answer(answer);
            }
            SetEvent(over.get());
        });
        const HANDLE events[] = {over.get(), stop_event};
        switch (WaitForMultipleObjects(2, events, FALSE, deadline.wait_ms())) {
        case WAIT_OBJECT_0: break;
        case WAIT_TIMEOUT: ipc::throw_error(ERROR_SEM_TIMEOUT, "request", name);
        default: ipc::throw_error(ERROR_OPERATION_ABORTED, "request", name);
        }
    }
    if (error != ERROR_SUCCESS)
        ipc::throw_error(static_cast<int>(error.load()), "request", name + ", whose server has gone");
}

}  // namespace named_pipes
