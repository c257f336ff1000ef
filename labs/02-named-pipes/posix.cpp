// Lab 02, posix track: write these functions. What each has to do is in named_pipes.hpp; why, in README.md.

#include "named_pipes.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace named_pipes {

void send(const std::string&, const std::vector<std::string>&, ipc::Deadline) {
    // TODO: Opening a FIFO is already a rendezvous: open() for writing waits until somebody reads. Find out how to ask
    // instead of waiting, and write each message so that another writer's cannot come in between.
    throw ipc::not_implemented();
}

void receive(const std::string&, const OnMessage&) {
    // TODO: A FIFO carries bytes, not messages. One read may bring half a message or three; only you know
    // where each ends. And what does it mean when a read brings nothing?
    throw ipc::not_implemented();
}

void serve(const std::string&, const Answer&, const std::function<void()>&) {
    // TODO: Clients come and go, and each time the last one goes, a reader sees end of file. Stay open all the same,
    // answer each client in its own FIFO, never wait for any of them, and take your name with you when you stop.
    throw ipc::not_implemented();
}

void request(const std::string&, const std::vector<std::string>&, ipc::Deadline, const OnMessage&) {
    // TODO: Before you ask, be ready to be answered. While you wait, three things may happen: the answer comes, the
    // server dies, somebody presses Ctrl-C. Watch for all three.
    throw ipc::not_implemented();
}

}  // namespace named_pipes
