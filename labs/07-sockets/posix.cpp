// Lab 07, posix track: write these functions. What each has to do is in sockets.hpp; why, in README.md.

#include "sockets.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace sockets {

void call(const Address&, const std::vector<std::string>&, ipc::Deadline, const OnAnswer&) {
    // TODO: A name may stand for several addresses; somebody answers at one of them. Say how long your message is, send
    // all of it, and remember that nothing you receive tells you where the answer ends, except the answer.
    throw ipc::not_implemented();
}

void serve(const Listening&, const Answer&, const OnRefused&, const OnReady&) {
    // TODO: A thousand clients, and you. Never wait for one of them: ask the system who has something for you, do what
    // can be done for each without waiting, and keep for each what it has begun. Who does not listen is not heard.
    throw ipc::not_implemented();
}

void udp_send(const Address&, const std::vector<std::string>&) {
    // TODO: One text, one datagram, one number. Nobody will tell you what became of them; and if somebody does, it is
    // about the one before.
    throw ipc::not_implemented();
}

void udp_send_reliably(const Address&, const std::vector<std::string>&, std::chrono::milliseconds) {
    // TODO: What is not acknowledged is lost, or its acknowledgement is; you cannot know which. Send it again. Keep
    // several on their way, but not more than the other side has room for.
    throw ipc::not_implemented();
}

Heard udp_listen(const std::string&, std::chrono::milliseconds, const OnReady&, const OnDatagram&) {
    // TODO: Datagrams come late, twice, or not at all, and from people you do not know. Keep an account by their
    // numbers. And when you have everything: does the sender know?
    throw ipc::not_implemented();
}

}  // namespace sockets
