// Lab 03, win32 track: write these functions. What each has to do is in mailslots.hpp; why, in README.md.

#include "mailslots.hpp"

#include "ipc/error.hpp"
#include "ipc/program.hpp"

namespace mailslots {

std::string address(const std::string&) {
    // TODO: A name from the command line becomes a path. Somebody will call his slot "..\\somewhere\\else". Say what a
    // name is, and let nothing else pass.
    throw ipc::not_implemented();
}

Slot open_slot(const std::string&) {
    // TODO: Make the mailslot. The system refuses a second owner by itself, if you look at the right one of the two
    // nothings that Windows has.
    throw ipc::not_implemented();
}

std::optional<std::string> receive(Slot&, ipc::Deadline) {
    // TODO: One call, one message, whatever its size; a buffer that is too small gets you an error, or half of it. And
    // the time to wait is not an argument of ReadFile().
    throw ipc::not_implemented();
}

Waiting look(Slot&) {
    // TODO: The same question as in receive(), without taking anything and without waiting.
    throw ipc::not_implemented();
}

void close_slot(Slot&) {
    // TODO: What does Windows do with the name of a mailslot when its last handle goes?
    throw ipc::not_implemented();
}

Delivery post(const std::string&, std::string_view, ipc::Deadline) {
    // TODO: Open, write once, close. Others may be posting at the same moment, so share. And where the slot can be
    // full, do not stand there longer than you were told: a write that can wait is one that must be cancelled.
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
