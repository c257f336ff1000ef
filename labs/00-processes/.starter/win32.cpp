// Lab 00, win32 track: write these functions. What each has to do is in processes.hpp; why, in README.md.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"

namespace processes {

System system_version() {
    // TODO: GetVersionEx tells you what your program's manifest claims to know. One function in ntdll.dll tells the
    // truth; nobody links it for you.
    throw ipc::not_implemented();
}

Ended run(const Command&, const Surroundings&) {
    // TODO: Windows passes one string, and the program takes it apart again: build it so that it comes apart where you
    // want. Say exactly which handles are inherited. You get two handles back, and both are yours to close.
    throw ipc::not_implemented();
}

std::string name_of(unsigned) {
    // TODO: 3221225477 means nothing to anybody. Name at least the exceptions that the contract lists.
    throw ipc::not_implemented();
}

Ended run_for(const Command&, const Surroundings&, std::chrono::milliseconds, std::chrono::milliseconds) {
    // TODO: A process knows who started it, but nobody keeps a list of whom it has started: make the system keep one,
    // before the first instruction of the child has run. Then stop the whole family, and wait until it is gone.
    throw ipc::not_implemented();
}

Identity spawn(const Command&, const Surroundings&) {
    // TODO: Start it and leave. But say which process it is, in a way that still holds when its number has been given
    // to another.
    throw ipc::not_implemented();
}

bool stop(const Identity&, std::chrono::milliseconds) {
    // TODO: A number can be given again, an open handle cannot. Take hold of the process first, and look at it then.
    throw ipc::not_implemented();
}

}  // namespace processes
