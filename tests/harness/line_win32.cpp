// The line to a puppet: a named pipe of a random name, which only this user may open.

#include "platform.hpp"

#include "handles_win32.hpp"
#include "ipc/error.hpp"
#include "ipc/text.hpp"
#include "security_win32.hpp"
#include <algorithm>
#include <windows.h>

namespace judge {

using ipc::throw_last_error;
using ipc::to_wide;
using ipc::unique_file;
using ipc::unique_handle;

namespace {

unique_handle new_event() {
    unique_handle event(CreateEventW(nullptr, TRUE, FALSE, nullptr));
    if (!event)
        throw_last_error("CreateEvent");
    return event;
}

// One overlapped call: begun, waited for in pieces if need be, and never left behind with its buffer.
class Overlapped {
public:
    OVERLAPPED* begin() {
        overlapped_ = {};
        overlapped_.hEvent = event_.get();
        return &overlapped_;
    }
    /// What the call answered: it is under way, is done, or has failed.
    bool started(BOOL answer) {
        pending_ = answer || GetLastError() == ERROR_IO_PENDING;
        return pending_;
    }
    bool pending() const { return pending_; }
    /// False when the deadline came first; then it is still pending.
    bool wait(Deadline deadline) {
        return WaitForSingleObject(event_.get(), deadline.wait_ms()) == WAIT_OBJECT_0;
    }
    bool finish(HANDLE file, DWORD& count) {
        pending_ = false;
        return GetOverlappedResult(file, &overlapped_, &count, TRUE);
    }
    void cancel(HANDLE file) {
        if (!pending_)
            return;
        DWORD count = 0;
        CancelIoEx(file, &overlapped_);
        finish(file, count);
    }

private:
    OVERLAPPED overlapped_{};
    unique_handle event_ = new_event();
    bool pending_ = false;
};

}  // namespace

struct Connection::State {
    unique_file pipe;
    Overlapped reading;
    std::vector<char> ahead = std::vector<char>(64 * 1024);  // a read that is under way survives a deadline
    std::size_t taken = 0, filled = 0;
    ULONG peer = 0;
    std::string program;
    ~State() { reading.cancel(pipe.get()); }
};

Connection::Connection(std::unique_ptr<State> state) : state_(std::move(state)) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

bool Connection::read(char* to, std::size_t size, Deadline deadline) {
    State& state = *state_;
    while (size > 0) {
        if (state.taken == state.filled) {
            state.taken = state.filled = 0;
            if (!state.reading.pending() &&
                !state.reading.started(ReadFile(state.pipe.get(), state.ahead.data(),
                                                static_cast<DWORD>(state.ahead.size()), nullptr,
                                                state.reading.begin())))
                return false;
            if (!state.reading.wait(deadline))
                return false;
            DWORD count = 0;
            if (!state.reading.finish(state.pipe.get(), count))
                return false;
            state.filled = count;
            continue;
        }
        const std::size_t part = std::min(size, state.filled - state.taken);
        std::copy_n(state.ahead.data() + state.taken, part, to);
        state.taken += part;
        to += part;
        size -= part;
    }
    return true;
}

bool Connection::write(const char* from, std::size_t size, Deadline deadline) {
    while (size > 0) {
        Overlapped writing;
        if (!writing.started(WriteFile(state_->pipe.get(), from,
                                       static_cast<DWORD>(std::min<std::size_t>(size, 1 << 20)), nullptr,
                                       writing.begin())))
            return false;
        if (!writing.wait(deadline)) {
            writing.cancel(state_->pipe.get());
            return false;
        }
        DWORD count = 0;
        if (!writing.finish(state_->pipe.get(), count))
            return false;
        from += count;
        size -= count;
    }
    return true;
}

std::uint32_t Connection::peer_id() const {
    return state_->peer;
}
std::string Connection::peer_program() const {
    return state_->program;
}

struct Listener::State {
    std::string name;
    unique_file pipe;  // the instance that the next puppet finds
    Overlapped connecting;
    bool first = true;
    ~State() { connecting.cancel(pipe.get()); }

    void open() {
        Security only_us(L"D:P(A;;GA;;;" + own_user() + L")");
        pipe.reset(CreateNamedPipeW(
            to_wide(name).c_str(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | (first ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0),
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            PIPE_UNLIMITED_INSTANCES, 64 * 1024, 64 * 1024, 0, only_us.attributes()));
        if (!pipe)
            throw_last_error("CreateNamedPipe", name);
        first = false;
        // A client that came in between is no error, not even if it has gone again: then its connection ends
        // at once.
        if (!connecting.started(ConnectNamedPipe(pipe.get(), connecting.begin())) &&
            GetLastError() != ERROR_PIPE_CONNECTED && GetLastError() != ERROR_NO_DATA)
            throw_last_error("ConnectNamedPipe", name);
    }
};

Listener::Listener(const std::string&) : state_(std::make_unique<State>()) {
    state_->name = "\\\\.\\pipe\\ipc-labs-puppet-" + random_name();
    state_->open();
}

Listener::Listener(Listener&&) noexcept = default;
Listener::~Listener() = default;
const std::string& Listener::endpoint() const {
    return state_->name;
}

std::optional<Connection> Listener::accept(Deadline deadline) {
    State& state = *state_;
    if (!state.pipe)
        state.open();
    if (state.connecting.pending()) {
        if (!state.connecting.wait(deadline))
            return std::nullopt;
        DWORD nothing = 0;
        if (!state.connecting.finish(state.pipe.get(), nothing)) {
            state.pipe.reset();
            return std::nullopt;
        }
    }
    auto connection = std::make_unique<Connection::State>();
    connection->pipe = std::move(state.pipe);
    GetNamedPipeClientProcessId(connection->pipe.get(),
                                &connection->peer);  // 0 if it has gone: then it is nobody's program
    const unique_handle peer(OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, connection->peer));
    if (peer)
        connection->program = nt::program_of(peer.get());
    return Connection(std::move(connection));
}

}  // namespace judge
