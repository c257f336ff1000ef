// What the judge of lab 07 asks Windows, and what only the win32 track has.

#include "peers.hpp"

#include <windows.h>
// psapi.h and tlhelp32.h want windows.h first.
#include <psapi.h>
#include <tlhelp32.h>

using namespace judge;
using namespace peers;

namespace peers {

// Windows does not tell what waits at another process's socket: who sleeps has read it.
void wait_until_read(Stage&, Subject& lab, unsigned, unsigned, const Mistake& otherwise) { lab.idles(otherwise); }

std::size_t memory_of(Subject& lab) {
    const ipc::unique_handle process(::OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, lab.process().id()));
    PROCESS_MEMORY_COUNTERS counters{};
    ::GetProcessMemoryInfo(process.get(), &counters, sizeof counters);
    return counters.WorkingSetSize;
}

std::size_t threads_of(Subject& lab) {
    const ipc::unique_file picture(::CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0));
    THREADENTRY32 entry{};
    entry.dwSize = sizeof entry;
    std::size_t count = 0;
    for (BOOL more = ::Thread32First(picture.get(), &entry); more; more = ::Thread32Next(picture.get(), &entry))
        count += entry.th32OwnerProcessID == lab.process().id();
    return count;
}

bool may_open(std::size_t) { return true; }

}  // namespace peers

EXERCISE("Exercise 2: serve") {

CASE("7.16 nobody can take the port away from serve" * points(3) * section("a-port-is-taken") *
     windows_only("Wine lets nobody bind a port that is in use, whatever the options are") *
     hints("Another program binds the same port, with SO_REUSEADDR. Who gets the next client?",
           "On Windows: nobody knows. SO_REUSEADDR there means that a port in use may be taken as well, and it needs the consent of the first only if he has asked to be asked.",
           "SO_EXCLUSIVEADDRUSE on the listener, before bind().")) {
    stage.by_hand("lab-07 serve --port 7777   and, in a second window, the same with a program that sets SO_REUSEADDR");
    Served served = serve(stage);
    const Socket thief(AF_INET, SOCK_STREAM);
    thief.set(SOL_SOCKET, SO_REUSEADDR, 1);
    const bool taken = thief.bind(served.ipv4);
    stage.require(!taken, {"a port that serve has is not to be had", "it could be bound a second time", "", "", "port-not-exclusive"});
    Conversation client = connect(stage, served.ipv4);
    client.asks(stage.random().word(9));
    client.close();
    put_away(stage, served.lab);
}

}
