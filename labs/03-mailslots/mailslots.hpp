#pragma once

/// @file
/// The contract of lab 03: slots that take short messages from anybody, and a broadcast to many of them.
///
/// You write these functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given.

#include "ipc/clock.hpp"
#include "ipc/handle.hpp"
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Lab 03, mailslots: what is to be implemented.
namespace mailslots {

/// A message has at most so many bytes, on both systems.
inline constexpr std::size_t longest_message = 65536;
/// A name has at most so many characters.
inline constexpr std::size_t longest_name = 64;

/// A slot that this process owns: whoever knows the name may post into it, only the owner can take out.
struct Slot {
    std::string address;       ///< as address() gives it
    ipc::unique_file mailbox;  ///< the bound socket, or the mailslot's handle
};

/// Where the system keeps the slot `name`.
///
/// POSIX: the path of a socket, `NAME` in a private directory: `ipc-labs` in $XDG_RUNTIME_DIR if that is an absolute path,
/// otherwise `ipc-labs-UID` in $TMPDIR, or in /tmp. Win32: `\\.\mailslot\ipc-labs\NAME`. Nothing is created by asking.
///
/// @param name  1 to longest_name letters, digits, '.', '-' and '_' of ASCII; it does not begin with '.'
/// @throws std::invalid_argument it is no such name; the message says what a name is
/// @throws std::system_error ENAMETOOLONG the path does not fit into sockaddr_un::sun_path
/// @see unix(7); CreateMailslotW on names
std::string address(const std::string& name);

/// Makes the slot `name` and becomes its owner. Messages wait in it from now on, whether or not somebody receives.
///
/// A name has one owner: while he lives, the second is refused (EADDRINUSE, ERROR_ALREADY_EXISTS). On Windows the slot
/// vanishes with its owner. On POSIX a killed owner leaves its socket's name behind: nobody answers there any more, and
/// the next owner takes it over.
///
/// POSIX, the rule that all programs in the directory keep: whoever adds or takes over a name holds an exclusive
/// flock(2) on the directory from before he looks until after he has bound. Only a socket that nobody has open is ever
/// unlinked; anything else is left alone (EADDRINUSE for a living socket, EEXIST for what is none).
/// The directory is made if need be, mode 0700, and stays. One that is not a directory, belongs to somebody else, or is
/// open to others is refused (EPERM).
///
/// @throws std::invalid_argument, std::system_error as said here and in address()
/// @see bind(2), connect(2) on ECONNREFUSED, flock(2); CreateMailslotW
Slot open_slot(const std::string& name);

/// Takes the next message out, waiting for one until `deadline`. While it waits it uses no processor.
///
/// One call, one message: as long as it was when it was sent, be it 0 bytes or longest_message. From POSIX peers it
/// may even be longer; it is never cut. Messages of one sender come in the order in which he sent them.
/// A signal neither ends the wait nor makes it longer.
///
/// @return nothing if none came in time
/// @see recv(2) on MSG_PEEK and MSG_TRUNC, poll(2); SetMailslotInfo, ReadFile with ERROR_SEM_TIMEOUT
std::optional<std::string> receive(Slot& slot, ipc::Deadline deadline);

/// What waits in a slot.
struct Waiting {
    std::optional<std::size_t> next;   ///< size of the next message; nothing if none waits
    std::optional<std::size_t> count;  ///< how many wait; nothing if some do, and the system does not tell how many
};

/// Tells what waits without taking it, at once.
/// @see recv(2); GetMailslotInfo with MAILSLOT_NO_MESSAGE
Waiting look(Slot& slot);

/// Gives a slot up: the name goes, unread messages too, and from now on nobody can post to it.
///
/// POSIX: another owner may come at any moment. His name must not be the one that is unlinked here.
/// @see unlink(2); CloseHandle
void close_slot(Slot& slot);

/// What became of a message.
enum class Delivery {
    delivered,  ///< it is in the slot; whether the owner ever takes it out is another matter
    nobody,     ///< there is no such slot, or its owner is dead
    full,       ///< the slot had no room until the deadline
};

/// Words for a person.
inline const char* text(Delivery delivery) {
    switch (delivery) {
    case Delivery::delivered: return "delivered";
    case Delivery::nobody: return "nobody listens there";
    case Delivery::full: return "its queue is full";
    }
    return "?";
}

/// Puts one message into the slot `name`, all of it or nothing.
///
/// @param deadline  how long to wait for room if the slot is full; an expired one means: do not wait
/// @throws std::invalid_argument as address()
/// @throws std::system_error EMSGSIZE / ERROR_MESSAGE_EXCEEDS_MAX_SIZE the message is longer than longest_message;
///         and whatever else the system refuses (EACCES, EPROTOTYPE, ERROR_ACCESS_DENIED, …)
/// @see connect(2), send(2) on MSG_DONTWAIT and EAGAIN, poll(2) on POLLOUT; CreateFileW on sharing and on
///      FILE_FLAG_OVERLAPPED, WriteFile, CancelIoEx, GetOverlappedResult
Delivery post(const std::string& name, std::string_view message, ipc::Deadline deadline);

/// A listener that a broadcast did not reach.
struct Missed {
    std::string name;
    std::string why;  ///< text() of the delivery, or the words of the exception
};

/// Posts `message` to each of `names`, in order, waiting for none: who is dead, stuck or refuses is passed by.
/// @return those that did not get it, in the order of `names`
std::vector<Missed> broadcast(std::string_view message, const std::vector<std::string>& names);

/// A message that tells whose it is and which in the row, so that the receiver can see what he did not get.
struct Numbered {
    std::string sender;  ///< letters and digits; different for each sender
    std::uint64_t number = 0;  ///< 1, 2, 3, …
    std::string text;
};

/// As it travels: `#SENDER NUMBER TEXT`, the number in decimal.
std::string numbered(const Numbered& message);

/// The reverse of numbered(). The text is everything behind the second space, and may be empty.
/// @return nothing if it is no such message: then it is one without a number, and no error. A number is 1 to 20 digits,
///         neither 0 nor too big for 64 bits.
std::optional<Numbered> parse_numbered(std::string_view message);

/// What is known of one sender.
struct Seen {
    std::uint64_t highest = 0;                     ///< highest number that arrived
    std::map<std::uint64_t, std::uint64_t> holes;  ///< numbers below it that did not: first → last of each stretch
};

/// What the arrival of a number means.
struct News {
    enum class Kind {
        next,       ///< the one that was due
        gap,        ///< first … last, all before it, have not come
        late,       ///< it fills a hole, or a part of one
        duplicate,  ///< it was here before
    };
    Kind kind = Kind::next;
    std::uint64_t first = 0, last = 0;  ///< of a gap
};

/// Enters an arrived number. Whatever numbers come, in whatever order, takes memory for the holes and not for what is
/// in them: a jump from 1 to 2^64-1 is one entry.
News enter(Seen& seen, std::uint64_t number);

}  // namespace mailslots
