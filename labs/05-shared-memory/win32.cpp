// Lab 05, win32 track: write these functions. What each has to do is in shared_memory.hpp; why, in README.md.

#include "shared_memory.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace shared_memory {

void put(const std::string&, std::string_view, const std::function<void()>&) {
    // TODO: From the moment that the name exists others can open it, long before the bytes are there. Decide what they
    // can tell it by that you are not done yet, and what happens if you never are.
    throw ipc::not_implemented();
}

std::string get(const std::string&) {
    // TODO: You map memory that somebody else made, or is making, or made for another purpose. Believe nothing in it
    // before you know that it is complete, that it is yours to read, and that it is as long as it says.
    throw ipc::not_implemented();
}

void remove(const std::string&) {
    // TODO: Names outlive processes. Who ends this one's life, and what happens to those who have it mapped?
    throw ipc::not_implemented();
}

void loop(std::uint64_t, const Source&, const Sink&) {
    // TODO: One thread fills the ring, the other empties it, and each reads what the other writes. Say for every atomic
    // operation what it must not overtake. Then let both sleep, and make sure that nobody falls asleep just as the bell rings.
    throw ipc::not_implemented();
}

void send(const std::string&, const Source&, const std::function<void()>&) {
    // TODO: Now the other end is a stranger: it may come first or last, twice, or be dead already, and its numbers may be
    // lies. Ask the kernel, not the memory, who is alive.
    throw ipc::not_implemented();
}

void receive(const std::string&, const Sink&, const std::function<void()>&) {
    // TODO: The same from the other side. What was sent before the sender died is still yours to hand on.
    throw ipc::not_implemented();
}

}  // namespace shared_memory
