// Lab 00, posix track: write these functions. What each has to do is in processes.hpp; why, in README.md.

#include "processes.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace processes {

System system_version() {
    // TODO: One system call fills a struct with what the kernel says of itself. Two of its fields are asked for.
    throw ipc::not_implemented();
}

Ended run(const Command&, const Surroundings&) {
    // TODO: fork() makes two of you. One becomes the program, and must first let go of everything that is not the
    // program's; if it fails to become it, only the other one can tell the world. That other one waits.
    throw ipc::not_implemented();
}

std::string name_of(unsigned) {
    // TODO: 11 means nothing to most people. The C library knows the abbreviation.
    throw ipc::not_implemented();
}

Ended run_for(const Command&, const Surroundings&, std::chrono::milliseconds, std::chrono::milliseconds) {
    // TODO: waitpid() cannot be told how long. Find a wait that can, without looking again and again. Then stop a whole
    // family: some will end when asked, some will not, and some will have left home.
    throw ipc::not_implemented();
}

Identity spawn(const Command&, const Surroundings&) {
    // TODO: Start it, in a session of its own, and leave. But say which process it is, in a way that still holds when
    // its number has been given to another.
    throw ipc::not_implemented();
}

bool stop(const Identity&, std::chrono::milliseconds) {
    // TODO: Between looking at a number and sending it a signal, the process can end and the number be given again.
    // Take hold of the process first, look at it then, and send the signal to what you hold.
    throw ipc::not_implemented();
}

}  // namespace processes
