// Lab 04, win32 track: write these functions. What each has to do is in clipboard.hpp; why, in README.md.

#include "clipboard.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"

namespace clipboard {

std::vector<std::string> types(std::chrono::milliseconds) {
    // TODO: Only one program at a time has the clipboard open, and nobody tells you when it is free again. Try for a bounded
    // time, look at what is there, and close it whatever happens in between.
    throw ipc::not_implemented();
}

std::string paste(const std::string&, std::chrono::milliseconds) {
    // TODO: The handle that you get belongs to the clipboard, and the block may be larger than what was put into it. Find out
    // what ends text, and what to do about an owner that still has to make the data and never does.
    throw ipc::not_implemented();
}

void copy(const std::vector<Offer>&, std::chrono::milliseconds) {
    // TODO: A promise is a format without data. Make one for each offer, with a window that gets the messages in which the
    // system reminds you of it, and find out which message says that somebody else has copied.
    throw ipc::not_implemented();
}

void watch(const std::function<bool(Change)>&) {
    // TODO: A window can ask to be told. Until then, do nothing; and when told, leave the clipboard to others.
    throw ipc::not_implemented();
}

}  // namespace clipboard
