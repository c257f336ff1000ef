// Lab 03, posix track: write these functions. What each has to do is in mailslots.hpp; why, in README.md.

#include "mailslots.hpp"

#include "ipc/error.hpp"
#include "ipc/program.hpp"

namespace mailslots {

std::string address(const std::string&) {
    // TODO: A name from the command line becomes a path. Somebody will call his slot "../../home/you/diary", and
    // somebody a path that sockaddr_un cuts off silently. Let neither pass.
    throw ipc::not_implemented();
}

Slot open_slot(const std::string&) {
    // TODO: Make a datagram socket and bind it to the address. If the address is taken, find out by whom: a living
    // owner keeps it, a dead one has left only his name. And between your look and your unlink() another may come:
    // hold the directory's lock from the look to the bind.
    throw ipc::not_implemented();
}

std::optional<std::string> receive(Slot&, ipc::Deadline) {
    // TODO: One call, one message, whatever its size. What does not fit into your buffer is cut off and gone, so ask
    // before you take. And 0 bytes is a message, not an end.
    throw ipc::not_implemented();
}

Waiting look(Slot&) {
    // TODO: The same question as in receive(), without taking anything and without waiting.
    throw ipc::not_implemented();
}

void close_slot(Slot&) {
    // TODO: Two things have to go, the name and the socket. In one of the two orders you may take a stranger's name away.
    throw ipc::not_implemented();
}

Delivery post(const std::string&, std::string_view, ipc::Deadline) {
    // TODO: Three things may be wrong with a receiver: he never was, he is dead, he does not read. The first two the
    // system tells at once; the third is a full queue, and you decide how long to stand in front of it.
    throw ipc::not_implemented();
}

std::vector<Missed> broadcast(std::string_view, const std::vector<std::string>&) {
    // TODO: The one who is stuck must not keep the message from the others, and the one who is dead must not end the
    // round. Remember who got nothing, and why.
    throw ipc::not_implemented();
}

std::string numbered(const Numbered&) {
    // TODO: Nobody acknowledges a datagram. Give it a number, so that the receiver can see what he did not get.
    throw ipc::not_implemented();
}

std::optional<Numbered> parse_numbered(std::string_view) {
    // TODO: The reverse. Anybody may post anything here: what is no number, or none that fits, is just a text.
    throw ipc::not_implemented();
}

News enter(Seen&, std::uint64_t) {
    // TODO: Higher than due: a hole. Lower, and in a hole: late. Lower, and in none: a duplicate. Remember a hole by its
    // two ends; somebody will jump from 1 to 18446744073709551615.
    throw ipc::not_implemented();
}

}  // namespace mailslots
