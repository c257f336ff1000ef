// Lab 08, posix track: write these functions. What each has to do is in services.hpp; why, in README.md.

#include "services.hpp"

#include "control_channel.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace services {

void run(const Service&, Application&) {
    // TODO: Nobody sits in front of you, and somebody waits for you: the manager, who knows only what you tell it. Say
    // 'ready' when you are and not before, and never let a signal find you where you cannot listen.
    throw ipc::not_implemented();
}

void install(const Service&) {
    // TODO: A unit file is read by systemd, with signs of its own, in a directory that is not yours, by a user who is
    // not you. Write down how this program is to be started so that it is still true then.
    throw ipc::not_implemented();
}

void remove(const Service&) {
    // TODO: The service may be running, and it may have been enabled. Leave nothing, and let systemd know.
    throw ipc::not_implemented();
}

void start(const std::string&) {
    // TODO: systemctl does the work. You bring the name, and bring back the truth: how it ended.
    throw ipc::not_implemented();
}

void stop(const std::string&) {
    // TODO: As start().
    throw ipc::not_implemented();
}

void reload(const std::string&) {
    // TODO: As start().
    throw ipc::not_implemented();
}

Status status(const std::string&) {
    // TODO: 'systemctl status' is for people and 'systemctl show' for programs. Find out which four properties you need.
    throw ipc::not_implemented();
}

}  // namespace services
