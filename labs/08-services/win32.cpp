// Lab 08, win32 track: write these functions. What each has to do is in services.hpp; why, in README.md.

#include "services.hpp"

#include "control_channel.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"

namespace services {

void run(const Service&, Application&) {
    // TODO: Three threads meet here: the one that you give to the dispatcher, the one in which it calls your service,
    // and the one whose orders your handler hears. The handler only passes them on; the manager believes what you tell it.
    throw ipc::not_implemented();
}

void install(const Service&) {
    // TODO: The manager starts a command line, in a directory that is not yours, as a user who is not you. Write it down
    // so that it is still true then, and cannot be read in two ways. And if the service is there already?
    throw ipc::not_implemented();
}

void remove(const Service&) {
    // TODO: DeleteService only marks it: the entry goes when the service has stopped and the last handle is closed.
    throw ipc::not_implemented();
}

void start(const std::string&) {
    // TODO: StartService returns before the service is ready. Checkpoints tell whether it is still on its way.
    throw ipc::not_implemented();
}

void stop(const std::string&) {
    // TODO: ControlService delivers the order, no more. And what if the service does not take orders yet?
    throw ipc::not_implemented();
}

void reload(const std::string&) {
    // TODO: There is a control code for 'your parameters have changed'.
    throw ipc::not_implemented();
}

Status status(const std::string&) {
    // TODO: Not to know a service is an answer, too.
    throw ipc::not_implemented();
}

}  // namespace services
