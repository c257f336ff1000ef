#pragma once

/// @file
/// The contract of lab 07: processes that meet at an address.
///
/// You write these five functions, in posix.cpp or in win32.cpp. main.cpp calls them and is given, as is datagram.hpp.
///
/// **Frames.** TCP and UNIX stream sockets carry bytes, not messages. Here a message is a frame: its length as 4 bytes,
/// the most significant first, and then as many bytes of any value. `00 00 00 02 68 69` is "hi".

#include "datagram.hpp"
#include "ipc/clock.hpp"
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Lab 07, sockets: what is to be implemented.
namespace sockets {

/// Where somebody can be reached.
struct Address {
    std::string host;  ///< a name or a number: "localhost", "127.0.0.1", "::1"; empty: this machine, by any loopback address
    std::string port;  ///< decimal
    std::string path;  ///< of a UNIX socket; then host and port are empty. Only on the posix track.
};

/// As it is written on the command line: "127.0.0.1:80", "[::1]:80", ":80", "unix:/path".
inline std::string to_text(const Address& address) {
    if (!address.path.empty())
        return "unix:" + address.path;
    const bool colons = address.host.find(':') != std::string::npos;
    return (colons ? "[" + address.host + "]" : address.host) + ":" + address.port;
}

/// The longest payload of a frame, in bytes; its length prefix is not counted in.
constexpr std::size_t longest_frame = 64 * 1024;

// ---- streams --------------------------------------------------------------------------------------------------------

using OnAnswer = std::function<void(const std::string& answer)>;

/// Sends each of `texts` as a frame to the server, and hands over the frame that answers it before the next is sent.
///
/// All over one connection. A host may stand for several addresses (without one, getaddrinfo() wants a null pointer, and
/// gives every loopback address); they are tried in turn until one answers.
/// An answer may come in any number of pieces. Signals that arrive meanwhile change nothing.
///
/// @param deadline  until when all must be done; it is one for all, however often a little arrives. Waiting uses no
///                  processor.
/// @throws std::system_error, naming the address: ECONNREFUSED / WSAECONNREFUSED nobody listens there, at once;
///         ENOENT no such UNIX socket; ETIMEDOUT / WSAETIMEDOUT; ECONNRESET / WSAECONNRESET the server has gone before
///         it has answered, or in the middle of an answer; EMSGSIZE / WSAEMSGSIZE a text is longer than longest_frame
///         (nothing is sent then), or the server announces an answer that is; else the system's own code
/// @see getaddrinfo(3), connect(2) on EINPROGRESS, poll(2), send(2) on MSG_NOSIGNAL, tcp(7) on TCP_NODELAY;
///      WSAStartup, ioctlsocket on FIONBIO, WSAPoll
void call(const Address& server, const std::vector<std::string>& texts, ipc::Deadline deadline, const OnAnswer& on_answer);

/// Where serve() listens. At least one of the two is given.
struct Listening {
    std::optional<std::string> port;  ///< TCP, on 127.0.0.1 and on ::1 (if this machine has it); "0": the system chooses
    std::string path;                 ///< a UNIX stream socket; empty for none
    std::chrono::milliseconds drain;  ///< how long clients have, once it is told to stop, to take their answers
};

/// Appends the answer to `answer`, at most longest_frame bytes, and does not look at what is there already. Never throws,
/// and may be called by several threads at once.
///
/// @param peer  who asks: "127.0.0.1:51234", "[::1]:51234"; of a UNIX socket "pid 4121 uid 1000", as the system tells it
using Answer = std::function<void(const std::string& peer, std::string_view request, std::string& answer)>;

/// Told when a client breaks the rules, before its connection is closed. May be called by several threads at once.
/// @param why  for people; with the length that it announced, in decimal
using OnRefused = std::function<void(const std::string& peer, const std::string& why)>;

/// Called once, when clients can come, with every address that they can come to; port 0 is a real port there.
using OnReady = std::function<void(const std::vector<Address>& addresses)>;

/// Answers each frame with a frame until it is told to stop: by SIGINT or SIGTERM, on Windows by CTRL_C_EVENT or
/// CTRL_BREAK_EVENT.
///
/// **Everybody at once.** At least 1,000 clients, on a few threads (no more than 16). The requests of one client are
/// answered in their order, whether they come in pieces or many together. A client that is slow, silent, gone or hostile
/// delays nobody else. Waiting uses no processor, also when the system will not give a descriptor for one more client:
/// those who are there are served on, and the next is taken in when one has left.
///
/// **Bounded.** A client costs memory for what it has sent, not for what it announces, and 4 * longest_frame bytes at
/// the most: a client that does not take its answers is not listened to until it does.
///
/// **Ends.** A client that has said all (it has shut down its sending side) gets its answers, and then the end. One that
/// announces more than longest_frame bytes, or ends in the middle of a frame, gets the answers to what it has asked
/// before, is reported and closed. One that vanishes is forgotten.
///
/// **Told to stop**, it takes in nobody else, answers every request that has arrived whole, ends each connection, and
/// waits until its clients have hung up too, so that no answer is lost on its way. Then, or when `drain` is over, it
/// returns.
///
/// **Names.** A port that was in use a moment ago by a server that has ended can be used at once. All of what it is to
/// listen on is to be had, or nothing. A UNIX socket is for its owner alone (mode 0600, whatever the umask is), and gone
/// when serve() returns or throws. One that a dead server has left is replaced.
///
/// @throws std::system_error, naming the address: EADDRINUSE / WSAEADDRINUSE, WSAEACCES somebody is there already (he is
///         not disturbed), or something else than a socket has that path (it is left as it was); ENAMETOOLONG; else the
///         system's own code
/// @see socket(7) on SO_REUSEADDR, ipv6(7) on IPV6_V6ONLY, accept(2) on EMFILE, epoll(7), unix(7) on SO_PEERCRED,
///      shutdown(2), signalfd(2); SO_EXCLUSIVEADDRUSE, WSAPoll, SetConsoleCtrlHandler
void serve(const Listening& where, const Answer& answer, const OnRefused& on_refused, const OnReady& on_ready);

// ---- datagrams ------------------------------------------------------------------------------------------------------

/// A sender has no more than these on their way: the number of the newest is less than that of the oldest which is not
/// acknowledged + window. A listener takes no sure datagram beyond that into memory.
constexpr unsigned window = 32;

/// How long a sure datagram's sender waits for its acknowledgement before it sends it again.
constexpr std::chrono::milliseconds resend_after{50};

/// Sends each of `texts` as one plain datagram, numbered from 1, and does not wait for anything.
///
/// @throws std::system_error EMSGSIZE / WSAEMSGSIZE a text is longer than longest_datagram (nothing is sent then); else
///         the system's own code. That nobody listens is not an error: nobody may know.
/// @see udp(7), connect(2) on datagrams, send(2): an ECONNREFUSED is about an earlier datagram
void udp_send(const Address& to, const std::vector<std::string>& texts);

/// Sends each of `texts` as a sure datagram, numbered from 1, again and again until it is acknowledged.
///
/// @param patience  how long it goes on when no acknowledgement comes
/// @throws std::system_error as udp_send(); ETIMEDOUT / WSAETIMEDOUT patience is over, with the number of datagrams that
///         were not acknowledged
void udp_send_reliably(const Address& to, const std::vector<std::string>& texts, std::chrono::milliseconds patience);

struct Heard {
    unsigned count = 0;          ///< how many datagrams the sender has announced
    std::vector<unsigned> lost;  ///< the numbers of those that have not come, in ascending order
    unsigned duplicates = 0;     ///< how many came that had come before
    unsigned late = 0;           ///< how many came for the first time when one with a higher number was there
};

using OnDatagram = std::function<void(unsigned number, const std::string& text)>;

/// Listens on 127.0.0.1 for the datagrams of one sender, the first that is heard; what others send, and what is no
/// datagram of ours, is ignored.
///
/// Plain datagrams are handed over as they come, each once. The end is when all are there.
/// Sure datagrams are handed over in the order of their numbers, each once, and acknowledged each time that they come,
/// to where they came from. The end is when all are there and nothing has come for `silence`: the last acknowledgement
/// may have been lost, and somebody has to repeat it.
/// Either way the end is, too, when nothing of that sender has come for `silence`. For the first it waits for ever,
/// using no processor.
///
/// @param port      "0": the system chooses
/// @param on_ready  called once, when datagrams can come, with the one address
/// @throws std::system_error EADDRINUSE / WSAEADDRINUSE; else the system's own code
/// @see udp(7), recvfrom(2); SIO_UDP_CONNRESET
Heard udp_listen(const std::string& port, std::chrono::milliseconds silence, const OnReady& on_ready,
                 const OnDatagram& on_datagram);

}  // namespace sockets
