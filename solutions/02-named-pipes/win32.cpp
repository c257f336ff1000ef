// Lab 02, win32 track: the reference solution.

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <array>
#include <memory>
#include <sddl.h>
#include <utility>
#include <windows.h>

namespace named_pipes {
namespace {

std::wstring pipe_path(const std::string& name) { return L"\\\\.\\pipe\\" + ipc::to_wide(name); }

std::wstring own_user() {
    HANDLE opened = nullptr;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &opened))
        ipc::throw_last_error("OpenProcessToken");
    const ipc::unique_handle token(opened);
    alignas(TOKEN_USER) char user[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
    DWORD size = 0;
    if (!GetTokenInformation(token.get(), TokenUser, user, sizeof user, &size))
        ipc::throw_last_error("GetTokenInformation", "TokenUser");
    wchar_t* text = nullptr;
    if (!ConvertSidToStringSidW(reinterpret_cast<TOKEN_USER*>(user)->User.Sid, &text))
        ipc::throw_last_error("ConvertSidToStringSid");
    const std::wstring sid = text;
    LocalFree(text);
    return sid;
}

// Without an access list of our own, everybody on this machine could read from the pipe.
class OwnerOnly {
public:
    OwnerOnly() {
        const std::wstring list = L"D:P(A;;GA;;;" + own_user() + L")";
        if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(list.c_str(), SDDL_REVISION_1, &attributes_.lpSecurityDescriptor, nullptr))
            ipc::throw_last_error("ConvertStringSecurityDescriptorToSecurityDescriptor", ipc::to_utf8(list));
    }
    OwnerOnly(const OwnerOnly&) = delete;
    ~OwnerOnly() { LocalFree(attributes_.lpSecurityDescriptor); }
    SECURITY_ATTRIBUTES* get() { return &attributes_; }

private:
    SECURITY_ATTRIBUTES attributes_{sizeof(SECURITY_ATTRIBUTES), nullptr, FALSE};
};

constexpr DWORD buffer_size = 4096;

// One instance of the pipe: the place of one client.
ipc::unique_file make_instance(const std::string& name, DWORD access, DWORD most) {
    OwnerOnly owner_only;
    const std::wstring path = pipe_path(name);
    ipc::unique_file pipe(CreateNamedPipeW(path.c_str(), access,
                                           PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_REJECT_REMOTE_CLIENTS, most, buffer_size,
                                           buffer_size, 0, owner_only.get()));
    if (!pipe)
        ipc::throw_last_error("CreateNamedPipe", name);
    return pipe;
}

// Waits until an instance is free or, which WaitNamedPipe cannot, until there is a name at all; a little at a time, so
// that the deadline is kept.
void wait_for_instance(const std::string& name, DWORD error, ipc::Deadline deadline) {
    const DWORD left = std::min<DWORD>(20, deadline.wait_ms());
    if (deadline.expired())
        ipc::throw_error(ERROR_SEM_TIMEOUT, "CreateFile", name + (error == ERROR_PIPE_BUSY ? ", which is busy with others"
                                                                                           : ", which nobody reads; start a reader: lab-02 read " + name));
    if (error == ERROR_PIPE_BUSY)
        WaitNamedPipeW(pipe_path(name).c_str(), std::max<DWORD>(1, left));  // 0 would mean the server's default
    else
        Sleep(left);
}

// The pipe as a client sees it. None, and `error` says which, if there is no such name or no free instance.
ipc::unique_file try_connect(const std::string& name, DWORD access, DWORD flags, DWORD& error) {
    const std::wstring path = pipe_path(name);
    // IDENTIFICATION: whoever has made the pipe may know who we are, but not act in our name.
    ipc::unique_file pipe(CreateFileW(path.c_str(), access, 0, nullptr, OPEN_EXISTING,
                                      flags | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, nullptr));
    error = GetLastError();
    if (!pipe && error != ERROR_FILE_NOT_FOUND && error != ERROR_PIPE_BUSY)
        ipc::throw_error(static_cast<int>(error), "CreateFile", name);
    return pipe;
}

ipc::unique_handle make_event() {
    ipc::unique_handle event(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    if (!event)
        ipc::throw_last_error("CreateEvent");
    return event;
}

// CTRL_C_EVENT and CTRL_BREAK_EVENT, as something to wait for. The handler runs in a thread of its own.
class StopRequests {
public:
    StopRequests() : event_(make_event()) {
        signalled = event_.get();
        if (!SetConsoleCtrlHandler(handle, TRUE))
            ipc::throw_last_error("SetConsoleCtrlHandler");
    }
    StopRequests(const StopRequests&) = delete;
    ~StopRequests() { SetConsoleCtrlHandler(handle, FALSE); }
    HANDLE event() const { return event_.get(); }

private:
    static BOOL WINAPI handle(DWORD what) {
        return (what == CTRL_C_EVENT || what == CTRL_BREAK_EVENT) && SetEvent(signalled);
    }
    inline static HANDLE signalled = nullptr;
    ipc::unique_handle event_;
};

// One overlapped call at a time. Until it is over its buffer belongs to the system: so it never outlives this object.
class Operation {
public:
    explicit Operation(HANDLE pipe) : pipe_(pipe), event_(make_event()) {}
    Operation(const Operation&) = delete;
    ~Operation() {
        if (!under_way_)
            return;
        DWORD count = 0;
        CancelIoEx(pipe_, &overlapped_);  // asks only
        GetOverlappedResult(pipe_, &overlapped_, &count, TRUE);
    }

    // Each begins one call. What cannot even begin is over at once, as far as the event and finish() can tell.
    void connect() { begun(ConnectNamedPipe(pipe_, begin())); }
    void read(char* to, DWORD size) { begun(ReadFile(pipe_, to, size, nullptr, begin())); }
    void write(const std::string& message) {
        begun(WriteFile(pipe_, message.data(), static_cast<DWORD>(message.size()), nullptr, begin()));
    }

    // Signalled when the call is over.
    HANDLE event() const { return event_.get(); }
    // Once it is over: whether it has succeeded, and how many bytes it has moved; error() tells why not.
    bool finish(DWORD& count) {
        if (std::exchange(under_way_, false))
            error_ = GetOverlappedResult(pipe_, &overlapped_, &count, FALSE) ? ERROR_SUCCESS : GetLastError();
        return error_ == ERROR_SUCCESS;
    }
    DWORD error() const { return error_; }

private:
    OVERLAPPED* begin() {
        overlapped_ = {};
        overlapped_.hEvent = event_.get();
        ResetEvent(event_.get());
        return &overlapped_;
    }
    void begun(BOOL done) {
        error_ = done ? ERROR_SUCCESS : GetLastError();
        if (error_ == ERROR_PIPE_CONNECTED)
            error_ = ERROR_SUCCESS;  // the client was quicker than we: nothing is under way, and nothing is wrong
        else
            under_way_ = done || error_ == ERROR_IO_PENDING || error_ == ERROR_MORE_DATA;
        if (error_ != ERROR_IO_PENDING)
            SetEvent(event_.get());
    }

    HANDLE pipe_;
    ipc::unique_handle event_;
    OVERLAPPED overlapped_{};
    bool under_way_ = false;
    DWORD error_ = ERROR_SUCCESS;
};

// The server's side of one client: waits for it, then reads and answers in turn, each step begun when the last is over.
class Session {
public:
    explicit Session(const std::string& name, DWORD first)
        : pipe_(make_instance(name, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first, most)), operation_(pipe_.get()) {
        operation_.connect();
    }

    HANDLE event() const { return operation_.event(); }
    bool listening() const { return step_ == Step::connecting; }
    bool over() const { return step_ == Step::over; }

    // What was under way is done.
    void advance(const Answer& answer) {
        DWORD count = 0;
        const bool done = operation_.finish(count);
        if (step_ == Step::reading && (done || operation_.error() == ERROR_MORE_DATA))
            take(count, done, answer);
        else if (done)
            read();  // it has connected, or has got its answer
        else
            step_ = Step::over;  // it has gone, perhaps before we had noticed that it was there
    }

    // With the event that stops the server there are as many as WaitForMultipleObjects() takes.
    static constexpr DWORD most = MAXIMUM_WAIT_OBJECTS - 1;

private:
    enum class Step { connecting, reading, writing, over };

    void read() {
        operation_.read(buffer_.data(), buffer_size);
        step_ = Step::reading;
    }

    void take(DWORD count, bool complete, const Answer& answer) {
        if (text_.size() <= longest_request)  // of what is too long already the rest does not matter
            text_.append(buffer_.data(), count);
        if (!complete)
            return read();
        const std::string text = std::exchange(text_, {});
        if (text.size() > longest_request)
            return read();
        ULONG client = 0;
        GetNamedPipeClientProcessId(pipe_.get(), &client);
        answer_ = answer(client, text);
        operation_.write(answer_);
        step_ = Step::writing;
    }

    ipc::unique_file pipe_;
    std::array<char, buffer_size> buffer_{};
    std::string text_, answer_;
    Step step_ = Step::connecting;
    Operation operation_;  // last, so that it is over before the rest goes
};

// What a client waits with: for its own call, and for everything that makes the waiting pointless.
struct Patience {
    const std::string& name;
    HANDLE stop;
    ipc::Deadline deadline;

    void wait_for(HANDLE event) const {
        const HANDLE events[] = {event, stop};
        const DWORD which = WaitForMultipleObjects(2, events, FALSE, deadline.wait_ms());
        if (which == WAIT_TIMEOUT)
            ipc::throw_error(ERROR_SEM_TIMEOUT, "request", name + ", whose server does not answer");
        if (which == WAIT_OBJECT_0 + 1)
            ipc::throw_error(ERROR_OPERATION_ABORTED, "request", name);
    }
};

// Sends one request.
void ask(HANDLE pipe, const std::string& text, const Patience& patience) {
    Operation writing(pipe);
    writing.write(text);
    patience.wait_for(writing.event());
    DWORD count = 0;
    if (!writing.finish(count))
        ipc::throw_error(static_cast<int>(writing.error()), "WriteFile", patience.name + ", whose server has gone");
}

// Reads one message, of which each ERROR_MORE_DATA brings a part.
std::string listen(HANDLE pipe, const Patience& patience) {
    std::string message;
    std::array<char, buffer_size> buffer;
    for (;;) {
        Operation reading(pipe);
        reading.read(buffer.data(), buffer_size);
        patience.wait_for(reading.event());
        DWORD count = 0;
        const bool done = reading.finish(count);
        if (!done && reading.error() != ERROR_MORE_DATA)
            ipc::throw_error(static_cast<int>(reading.error()), "ReadFile", patience.name + ", whose server has gone without an answer");
        message.append(buffer.data(), count);
        if (done)
            return message;
    }
}

}  // namespace

void send(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline) {
    ipc::unique_file pipe;
    DWORD error = 0;
    while (!(pipe = try_connect(name, GENERIC_WRITE, 0, error)))
        wait_for_instance(name, error, deadline);
    DWORD count = 0;
    for (const std::string& text : texts)
        if (!WriteFile(pipe.get(), text.data(), static_cast<DWORD>(text.size()), &count, nullptr))
            ipc::throw_last_error("WriteFile", name);
}

void receive(const std::string& name, const OnMessage& on_message) {
    const ipc::unique_file pipe = make_instance(name, PIPE_ACCESS_INBOUND, 1);
    // A writer that was quicker than we (PIPE_CONNECTED) or has even left again (NO_DATA) has still left its messages.
    if (!ConnectNamedPipe(pipe.get(), nullptr) && GetLastError() != ERROR_PIPE_CONNECTED && GetLastError() != ERROR_NO_DATA)
        ipc::throw_last_error("ConnectNamedPipe", name);
    std::string message;
    std::array<char, buffer_size> buffer;
    for (;;) {
        DWORD count = 0;
        const bool done = ReadFile(pipe.get(), buffer.data(), buffer_size, &count, nullptr);
        if (!done && GetLastError() == ERROR_BROKEN_PIPE)
            return;
        if (!done && GetLastError() != ERROR_MORE_DATA)
            ipc::throw_last_error("ReadFile", name);
        message.append(buffer.data(), count);
        if (done)
            on_message(std::exchange(message, {}));
    }
}

void serve(const std::string& name, const Answer& answer, const std::function<void()>& on_ready) {
    const StopRequests stop;
    std::vector<std::unique_ptr<Session>> sessions;
    // FIRST: fails if somebody has made a pipe of that name before us.
    sessions.push_back(std::make_unique<Session>(name, FILE_FLAG_FIRST_PIPE_INSTANCE));
    on_ready();

    for (;;) {
        std::vector<HANDLE> events = {stop.event()};
        for (const auto& session : sessions)
            events.push_back(session->event());
        if (WaitForMultipleObjects(static_cast<DWORD>(events.size()), events.data(), FALSE, INFINITE) == WAIT_OBJECT_0)
            return;  // each session cancels what it has under way, and waits for that
        // All that are ready, each by one step: so nobody is served twice while another waits.
        for (const auto& session : sessions)
            if (WaitForSingleObject(session->event(), 0) == WAIT_OBJECT_0)
                session->advance(answer);
        std::erase_if(sessions, [](const auto& session) { return session->over(); });
        const bool listening = std::any_of(sessions.begin(), sessions.end(), [](const auto& session) { return session->listening(); });
        if (!listening && sessions.size() < Session::most)
            sessions.push_back(std::make_unique<Session>(name, 0));
    }
}

void request(const std::string& name, const std::vector<std::string>& texts, ipc::Deadline deadline,
             const OnMessage& on_answer) {
    for (const std::string& text : texts)
        if (text.size() > longest_request)
            ipc::throw_error(ERROR_BAD_LENGTH, "request", "a text of " + std::to_string(text.size()) + " bytes; " +
                                                              std::to_string(longest_request) + " are allowed");
    const StopRequests stop;
    const Patience patience{name, stop.event(), deadline};
    ipc::unique_file pipe;
    DWORD error = 0;
    while (!(pipe = try_connect(name, GENERIC_READ | GENERIC_WRITE, FILE_FLAG_OVERLAPPED, error))) {
        if (error == ERROR_FILE_NOT_FOUND)
            ipc::throw_error(static_cast<int>(error), "CreateFile", name + ", which nobody serves; start a server: lab-02 serve " + name);
        wait_for_instance(name, error, deadline);
        if (WaitForSingleObject(stop.event(), 0) == WAIT_OBJECT_0)
            ipc::throw_error(ERROR_OPERATION_ABORTED, "request", name);
    }
    DWORD mode = PIPE_READMODE_MESSAGE;  // a client's end reads bytes unless it asks for messages
    if (!SetNamedPipeHandleState(pipe.get(), &mode, nullptr, nullptr))
        ipc::throw_last_error("SetNamedPipeHandleState", name);
    for (const std::string& text : texts) {
        ask(pipe.get(), text, patience);
        on_answer(listen(pipe.get(), patience));
    }
}

}  // namespace named_pipes
