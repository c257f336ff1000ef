// Lab 04, posix track: write these functions. What each has to do is in clipboard.hpp; why, in README.md.

#include "clipboard.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace clipboard {

std::vector<std::string> types(std::chrono::milliseconds) {
    // TODO: The X server stores nothing; it only knows whose window owns CLIPBOARD. Ask that owner, through the server, to
    // convert the selection to TARGETS, and find out how its answer reaches a window of yours, and what if it never does.
    throw ipc::not_implemented();
}

std::string paste(const std::string&, std::chrono::milliseconds) {
    // TODO: The same question for another target. The answer lies in a property of your window; if that says INCR, the data
    // comes piece by piece, and it is you who asks for the next piece by deleting the last one.
    throw ipc::not_implemented();
}

void copy(const std::vector<Offer>&, std::chrono::milliseconds) {
    // TODO: Copying moves no data. Become the owner, make sure that you are, say ready, and answer each SelectionRequest
    // until SelectionClear tells that somebody else has copied. Whoever asks may die before you have answered.
    throw ipc::not_implemented();
}

void watch(const std::function<bool(Change)>&) {
    // TODO: The server tells only the old owner that it has lost the selection. The XFIXES extension tells everybody else
    // who has asked to be told.
    throw ipc::not_implemented();
}

}  // namespace clipboard
