// Lab 02, win32 track: write these functions. What each has to do is in named_pipes.hpp; why, in README.md.

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"

namespace named_pipes {

void send(const std::string&, const std::vector<std::string>&, ipc::Deadline) {
    // TODO: The reader's pipe may not be there yet, or may be busy with another writer: two errors, two ways to wait.
    // Find out which of them WaitNamedPipeW can wait for.
    throw ipc::not_implemented();
}

void receive(const std::string&, const OnMessage&) {
    // TODO: A pipe can keep messages apart, if it is made so. Find out what ReadFile says when a message is longer than
    // your buffer, and what ConnectNamedPipe says when the writer was quicker than you.
    throw ipc::not_implemented();
}

void serve(const std::string&, const Answer&, const std::function<void()>&) {
    // TODO: One instance of the pipe is one client. Keep one ready for the next, never wait for a single one of them, and
    // stop when you are told to: with every call that is still under way cancelled and over.
    throw ipc::not_implemented();
}

void request(const std::string&, const std::vector<std::string>&, ipc::Deadline, const OnMessage&) {
    // TODO: While you wait, three things may happen: the answer comes, the time is over, somebody presses Ctrl-C. A read
    // that you no longer want still has your buffer: take it back before you leave.
    throw ipc::not_implemented();
}

}  // namespace named_pipes
