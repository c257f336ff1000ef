// Lab 01, posix track: write these functions. What each has to do is in anonymous_pipes.hpp; why, in README.md.

#include "anonymous_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace anonymous_pipes {

Captured capture(const Command&) {
    // TODO: A pipe has two ends, and after fork() both processes hold both. Decide who closes which, give the child's
    // standard output the end it needs, and read until nobody is left who could write.
    throw ipc::not_implemented();
}

ExitCode feed(const Command&) {
    // TODO: Now the data runs the other way, and the child may hang up in the middle of your sentence. Find out what
    // the system does to a writer whose reader is gone, and make that an outcome instead of a death.
    throw ipc::not_implemented();
}

ExitCode filter(const Command&) {
    // TODO: Two pipes, one child, and both buffers can be full at the same time. Never wait on one pipe while the
    // other one has work for you.
    throw ipc::not_implemented();
}

std::vector<ExitCode> pipeline(const std::vector<Command>&) {
    // TODO: Every pipe you make is one that each later child would inherit. See to it that each end is open in exactly
    // one process, or somebody will wait for an end of file that never comes.
    throw ipc::not_implemented();
}

}  // namespace anonymous_pipes
