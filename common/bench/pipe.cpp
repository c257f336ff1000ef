// Two anonymous pipes between two processes. One is made by lab 01's pipeline(): client | server. The other
// leads from the server's output back to the client's input; a shell would need a FIFO for it, here pipe()
// closes the circle.

#include "anonymous_pipes.hpp"
#include "program.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include <stdexcept>
#ifdef _WIN32
#include <windows.h>
#else
#include <cerrno>
#include <unistd.h>
#endif

namespace {

using namespace bench;

std::size_t read_input(char* to, std::size_t size) {
#ifdef _WIN32
    DWORD count = 0;
    if (!ReadFile(GetStdHandle(STD_INPUT_HANDLE), to, static_cast<DWORD>(size), &count, nullptr) &&
        GetLastError() != ERROR_BROKEN_PIPE)
        ipc::throw_last_error("ReadFile", "the pipe");
    return count;
#else
    ssize_t count = 0;
    while ((count = ::read(STDIN_FILENO, to, size)) == -1 && errno == EINTR) {
    }
    return static_cast<std::size_t>(ipc::check(count, "read", "the pipe"));
#endif
}

void read_whole(std::string& message) {
    for (std::size_t have = 0; have < message.size();) {
        const std::size_t count = read_input(message.data() + have, message.size() - have);
        if (count == 0)
            throw std::runtime_error("the other side has closed its pipe");
        have += count;
    }
}

// From now on what we write to our standard output comes back at our standard input.
void close_the_circle() {
#ifdef _WIN32
    SECURITY_ATTRIBUTES inherited{sizeof inherited, nullptr, TRUE};
    HANDLE input = nullptr, output = nullptr;
    if (!CreatePipe(&input, &output, &inherited, 64 * 1024))
        ipc::throw_last_error("CreatePipe");
    SetStdHandle(STD_INPUT_HANDLE, input);
    SetStdHandle(STD_OUTPUT_HANDLE, output);
#else
    int ends[2];
    ipc::check(::pipe(ends), "pipe");
    const ipc::unique_file input(ends[0]), output(ends[1]);
    ipc::check(::dup2(input.get(), STDIN_FILENO), "dup2");
    ipc::check(::dup2(output.get(), STDOUT_FILENO), "dup2");
#endif
}

void launch(const Setting& setting) {
    close_the_circle();
    anonymous_pipes::Command asks = setting.words(false), answers = setting.words(true);
    asks.insert(asks.end(), {"--launched", "1"});
    for (anonymous_pipes::Command* command : {&asks, &answers})
        command->insert(command->begin(), own_program());
    for (const anonymous_pipes::ExitCode code : anonymous_pipes::pipeline({asks, answers}))
        if (code != 0)
            throw ServerFailed{static_cast<int>(code)};
}

void client(const Setting& setting) {
    if (!setting.launched)
        return launch(setting);
    if (setting.mode == Mode::throughput) {
        Outgoing stream(setting);
        for (std::string_view message; !(message = stream.next()).empty();)
            ipc::print(message);
        stream.report();
        return;
    }
    RoundTrips trips(setting);
    std::string answer(setting.size, ' ');
    while (trips.next()) {
        ipc::print(trips.message());
        read_whole(answer);
        trips.answered(answer);
    }
    ipc::print(message_of(setting.size, last_number));
    trips.report();
}

void server(const Setting& setting) {
    Incoming incoming(setting);
    if (setting.mode == Mode::throughput) {
        while (incoming.arrived(read_input(incoming.room(), incoming.room_size()))) {
        }
    } else {
        std::string message(setting.size, ' ');
        for (read_whole(message); incoming.message(message); read_whole(message))
            ipc::print(message);
    }
    incoming.report();
}

}  // namespace

int main(int argc, char** argv) {
    return run(argc, argv, client, server);
}
