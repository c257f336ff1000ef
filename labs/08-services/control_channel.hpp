#pragma once

/// @file
/// How a service of lab 08 talks to its clients. This file is given: labs 02 and 07 are about it.
///
/// A client connects and sends requests, one after the other; each is a line (Windows: a message), and so is its answer.

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>
#ifdef _WIN32
#include "ipc/text.hpp"
#include <windows.h>
#else
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#endif

/// What lab 08 is given to talk with.
namespace control_channel {

/// A request is no longer than this, in bytes; nor is an answer.
constexpr std::size_t longest = 4000;

#ifdef _WIN32

/// One client's end of the conversation.
using Connection = HANDLE;

inline std::string address(const std::string& name) { return "\\\\.\\pipe\\ipc-labs-" + name; }

#else

using Connection = int;

inline std::string address(const std::string& runtime) { return runtime + "/control.socket"; }

/// @throws std::system_error ENAMETOOLONG a socket's path has room for 107 bytes
inline sockaddr_un socket_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        ipc::throw_error(ENAMETOOLONG, "bind", path + "; a socket's path has at most 107 bytes");
    std::memcpy(address.sun_path, path.c_str(), path.size());
    return address;
}

#endif

/// Makes the answer to a request. Called for one request at a time.
using Answer = std::function<std::string(Connection client, const std::string& request)>;

#ifdef _WIN32

/// All clients that are connected, and one more pipe for the next: what to wait for, and what to do then.
class Clients {
public:
    /// Makes one instance of the pipe: message mode, overlapped, both ways, buffers of `longest`
    /// bytes. `first`: nobody may have made that name before.
    using MakeInstance = std::function<ipc::unique_file(bool first)>;

    explicit Clients(MakeInstance make_instance) : make_instance_(std::move(make_instance)) { listen(true); }

    /// Adds to `events` those of which one is signalled when there is something to do.
    void watch(std::vector<HANDLE>& events) const {
        for (const auto& session : sessions_)
            events.push_back(session->event.get());
    }

    /// Does what can be done without waiting for any client.
    void attend(const Answer& answer) {
        for (const auto& session : sessions_)
            if (WaitForSingleObject(session->event.get(), 0) == WAIT_OBJECT_0)
                session->advance(answer);
        std::erase_if(sessions_, [](const auto& session) { return session->step == Step::over; });
        const bool listening = std::any_of(sessions_.begin(), sessions_.end(), [](const auto& each) { return each->step == Step::connecting; });
        if (!listening && sessions_.size() < most)
            listen(false);
    }

private:
    static constexpr std::size_t most = 32;
    enum class Step { connecting, reading, writing, over };

    struct Session {
        explicit Session(ipc::unique_file instance) : pipe(std::move(instance)), event(CreateEventW(nullptr, TRUE, FALSE, nullptr)) {
            if (!event)
                ipc::throw_last_error("CreateEvent");
            begun(ConnectNamedPipe(pipe.get(), fresh()), Step::connecting);
        }
        Session(const Session&) = delete;
        ~Session() {
            DWORD count = 0;
            if (pending && CancelIoEx(pipe.get(), &overlapped))
                GetOverlappedResult(pipe.get(), &overlapped, &count, TRUE);  // until then the buffer is the system's
        }
        OVERLAPPED* fresh() {
            ResetEvent(event.get());
            overlapped = {};
            overlapped.hEvent = event.get();
            return &overlapped;
        }
        void begun(BOOL done, Step what) {
            const DWORD error = done ? ERROR_SUCCESS : GetLastError();
            step = what;
            pending = done || error == ERROR_IO_PENDING;
            if (error == ERROR_PIPE_CONNECTED)  // the client was quicker than we
                SetEvent(event.get());
            else if (!pending)
                step = Step::over;
        }
        void advance(const Answer& answer) {
            DWORD count = 0;
            if (pending && !GetOverlappedResult(pipe.get(), &overlapped, &count, FALSE)) {
                pending = false;
                step = Step::over;  // gone, or a message longer than a request may be
                return;
            }
            pending = false;
            if (step == Step::reading) {
                text = answer(pipe.get(), std::string(buffer.data(), count));
                begun(WriteFile(pipe.get(), text.data(), static_cast<DWORD>(text.size()), nullptr, fresh()), Step::writing);
            } else {
                begun(ReadFile(pipe.get(), buffer.data(), static_cast<DWORD>(buffer.size()), nullptr, fresh()), Step::reading);
            }
        }
        ipc::unique_file pipe;
        ipc::unique_handle event;
        OVERLAPPED overlapped{};
        std::array<char, longest> buffer{};
        std::string text;
        Step step = Step::connecting;
        bool pending = false;
    };

    void listen(bool first) { sessions_.push_back(std::make_unique<Session>(make_instance_(first))); }

    MakeInstance make_instance_;
    std::vector<std::unique_ptr<Session>> sessions_;
};

/// Sends a request, and waits for the answer.
inline std::string ask(const std::string& address, const std::string& request) {
    const std::wstring path = ipc::to_wide(address);
    ipc::unique_file pipe;
    for (;;) {
        // IDENTIFICATION: the service may know who we are, but not act in our name.
        pipe.reset(CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE, 0, nullptr, OPEN_EXISTING,
                               SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, nullptr));
        if (pipe)
            break;
        if (GetLastError() != ERROR_PIPE_BUSY)
            ipc::throw_last_error("CreateFile", address + "; does the service run? Ask: lab-08 status NAME");
        WaitNamedPipeW(path.c_str(), NMPWAIT_USE_DEFAULT_WAIT);
    }
    DWORD mode = PIPE_READMODE_MESSAGE, count = 0;
    std::array<char, longest> answer;
    if (!SetNamedPipeHandleState(pipe.get(), &mode, nullptr, nullptr) ||
        !TransactNamedPipe(pipe.get(), const_cast<char*>(request.data()), static_cast<DWORD>(request.size()), answer.data(),
                           static_cast<DWORD>(answer.size()), &count, nullptr))
        ipc::throw_last_error("TransactNamedPipe", address);
    return {answer.data(), count};
}

#else

/// All clients that are connected: what to wait for, and what to do then.
class Clients {
public:
    /// `listener`: a stream socket that listens; it stays the caller's.
    explicit Clients(int listener) : listener_(listener) {}

    /// Adds to `watched` what poll() has to wait for.
    void watch(std::vector<pollfd>& watched) const {
        watched.push_back({listener_, POLLIN, 0});
        for (const Client& client : clients_)
            watched.push_back({client.socket.get(), POLLIN, 0});
    }

    /// Does what can be done without waiting for any client.
    void attend(const Answer& answer) {
        for (pollfd entry{listener_, POLLIN, 0}; ::poll(&entry, 1, 0) == 1;) {
            ipc::unique_file socket(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (!socket)
                break;
            clients_.push_back({std::move(socket), {}});
        }
        std::erase_if(clients_, [&](Client& client) { return !attend(client, answer); });
    }

private:
    struct Client {
        ipc::unique_file socket;
        std::string begun;  // the request whose end has not come yet
    };

    // False: this client is done with.
    static bool attend(Client& client, const Answer& answer) {
        std::array<char, longest> buffer;
        const ssize_t count = ::recv(client.socket.get(), buffer.data(), buffer.size(), 0);
        if (count <= 0)
            return count < 0 && (errno == EAGAIN || errno == EINTR);
        client.begun.append(buffer.data(), static_cast<std::size_t>(count));
        for (auto end = client.begun.find('\n'); end != std::string::npos; end = client.begun.find('\n')) {
            const std::string line = answer(client.socket.get(), client.begun.substr(0, end)) + "\n";
            client.begun.erase(0, end + 1);
            // One who leaves no room for its answer is done with, too: nobody waits for a client.
            if (::send(client.socket.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
                return false;
        }
        return client.begun.size() <= longest;
    }

    int listener_;
    std::vector<Client> clients_;
};

/// Sends a request, and waits for the answer.
inline std::string ask(const std::string& path, const std::string& request) {
    const ipc::unique_file socket(ipc::check(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket", "AF_UNIX"));
    const sockaddr_un address = socket_address(path);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        ipc::throw_last_error("connect", path + "; does the service run? Ask: lab-08 status NAME");
    const std::string line = request + "\n";
    ipc::check(::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL), "send", path);
    std::string answer;
    std::array<char, longest> buffer;
    while (answer.find('\n') == std::string::npos) {
        const ssize_t count = ipc::check(::recv(socket.get(), buffer.data(), buffer.size(), 0), "recv", path);
        if (count == 0)
            ipc::throw_error(ECONNRESET, "recv", path + ", whose service has gone without an answer");
        answer.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return answer.substr(0, answer.find('\n'));
}

#endif

}  // namespace control_channel
