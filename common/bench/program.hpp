#pragma once

/// @file
/// What the benchmark's programs share. Each is one mechanism, floor or library, and two processes: a client,
/// which measures, and a server, which the client starts; it answers every message, or takes a stream of
/// them.
///
/// `./course bench` starts the clients; by hand: `ring --mode closed-loop --size 64 --folder /tmp/somewhere`.

#include "statistics.hpp"
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

enum class Mode {
    closed_loop,  ///< the next message goes when the answer has come
    open_loop,    ///< messages go by a timetable, or as soon as they can once they are late
    throughput,   ///< messages go as fast as they are taken
};

/// What is to be measured, and where.
struct Setting {
    bool server = false;    ///< this process is the other side
    bool launched = false;  ///< this is a client that the mechanism itself has started (pipe.cpp)
    Mode mode = Mode::closed_loop;
    std::size_t size = 64;    ///< of a message, at least smallest_message
    double seconds = 0.1;     ///< of measurement, after a warm-up of a quarter of it
    double rate = 1000;       ///< open loop: messages a second
    std::uint64_t bytes = 0;  ///< throughput: so many instead of by the clock, and no warm-up
    std::size_t memory = 0;   ///< throughput: both sides walk through so much memory; 0: a message's worth
    unsigned clients = 64;    ///< many_clients.hpp: at once
    std::string name = "ipc-bench";        ///< for what gets a name in the system; each use appends to it
    std::string folder = ".";              ///< for FIFOs and sockets, and for the two reports
    int client_cpu = -1, server_cpu = -1;  ///< -1: wherever the system likes

    std::vector<std::string> words(bool as_server) const;  ///< the command line that says all this
    std::string path(std::string_view file) const { return folder + "/" + std::string(file); }
};

using Body = void (*)(const Setting&);

/// Runs the client or the server, as the command line says, on its processor.
///
/// Exit codes are those of lab programs (ipc/program.hpp); a server's becomes its client's. Each side leaves
/// a report, client.json or server.json, in the setting's folder.
int run(int argc, char** argv, Body client, Body server);

// ---- messages ----

/// A message begins with its number: ten characters of printable ASCII, so that it may also travel as a line
/// of text.
inline constexpr std::size_t smallest_message = 16, number_length = 10;
/// The number of the message that ends a measurement.
inline constexpr std::uint64_t last_number = (std::uint64_t{1} << 60) - 1;

inline void put_number(char* at, std::uint64_t number) {
    for (std::size_t i = 0; i < number_length; ++i, number >>= 6)
        at[i] = static_cast<char>('0' + (number & 63));
}
inline std::uint64_t number_in(const char* at) {
    std::uint64_t number = 0;
    for (std::size_t i = number_length; i-- > 0;)
        number = number << 6 | (static_cast<std::uint64_t>(at[i] - '0') & 63);
    return number;
}
/// A message's text behind the number: printable, and nothing that compresses to nothing.
std::string message_of(std::size_t size, std::uint64_t number);

// ---- what this process uses ----

std::uint64_t now_ns();

struct Usage {
    double cpu_seconds = 0;
    long voluntary = -1, involuntary = -1;  ///< context switches; -1: the system does not tell
};
Usage usage();              // platform_*.cpp
long peak_memory_kib();     // platform_*.cpp; -1: unknown
void prepare(int cpu);      // platform_*.cpp; this process, with the threads that it will have, runs there
std::string own_program();  // platform_*.cpp; its file

// ---- the client's side ----

/// The server, started by the client and ended with it.
class Server {
public:
    explicit Server(const Setting& setting);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    /// Returns when the server has called ready().
    /// @return what it said
    /// @throws ServerFailed it ended instead
    std::string wait_until_ready();
    /// Waits for its end. @throws ServerFailed
    void wait();
    /// Ends one that would go on for ever.
    void terminate();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The server has said why on standard error; its exit code becomes ours.
struct ServerFailed {
    int code;
};

/// The server tells its client that it can be reached.
void ready(const std::string& detail = {});
/// From now on the server ends with its client, however that ends.
void die_with_client();  // platform_*.cpp

/// Round trips as the client sees them: numbers the messages, times the answers.
///
///     while (trips.next()) { send(trips.message()); trips.answered(receive()); }
///     trips.report();
class RoundTrips {
public:
    explicit RoundTrips(const Setting& setting);

    /// Prepares the next message and, in an open loop, waits until it is due. @return false when the time is
    /// over
    bool next();
    std::string_view message() const { return message_; }
    /// @param answer  whole. @return whether it is the one to the message sent last
    bool answered(std::string_view answer) { return answered(number_in(answer.data())); }
    bool answered(std::uint64_t number);
    /// What has been measured of the message sent last has other things in it, and does not count.
    void skip() { skipped_ = true; }
    /// How many messages there were; for one who prepares several: the number of the next.
    std::uint64_t sent() const { return sent_; }
    void report() const;

private:
    const Setting& setting_;
    std::string message_;
    Histogram from_send_, from_due_;
    SequenceAudit audit_;
    Usage before_;
    Timetable timetable_{0, 1};
    std::uint64_t counted_from_ = 0, end_ = 0;  // of the measurement
    std::uint64_t sent_ = 0, sent_at_ = 0, due_ = 0, answered_at_ = 0;
    bool skipped_ = false;
};

/// A stream of numbered messages, as the client sends it.
///
///     for (std::string_view message; !(message = stream.next()).empty();) send(message);
///     stream.report();
class Outgoing {
public:
    explicit Outgoing(const Setting& setting);
    /// The next message, in memory of the client's own; the last one bears last_number; then an empty one.
    std::string_view next();
    /// @param with_usage  or else it is somebody else's report that says what this process has used
    void report(bool with_usage = true) const;

private:
    bool over();

    const Setting& setting_;
    std::string memory_;
    std::size_t at_ = 0;
    Usage before_;
    std::uint64_t sent_ = 0, end_ = 0;
    bool ended_ = false;
};

// ---- the server's side ----

/// Messages as they arrive at the server: in memory of its own, in which order, how fast.
class Incoming {
public:
    explicit Incoming(const Setting& setting);

    // Whoever reads a stream reads into room() and says how much arrived(); whoever is handed bytes copies
    // them in. Each says whether there is more to come: false once the last message is here.
    char* room() { return memory_.data() + filled_; }
    std::size_t room_size() const { return memory_.size() - filled_; }
    bool arrived(std::size_t bytes);
    bool copy_in(const char* from, std::size_t bytes);
    /// The same for a whole message that is in the server's hands already.
    bool message(std::string_view message) { return numbered(number_in(message.data())); }
    /// A message that is only counted.
    bool another() { return numbered(messages_); }
    /// What comes now is a pause that is not the mechanism's: the clock stands still until the next arrival.
    void pause();
    /// The last arrival was just now: if nothing more comes, the clock has stopped here.
    void mark();
    /// @param segment_bytes  how much memory the two sides share, where that can be told
    void report(std::uintmax_t segment_bytes = 0) const;

private:
    struct Stretch {
        std::uint64_t ns = 0, messages = 0;
    };
    bool numbered(std::uint64_t number);

    const Setting& setting_;
    std::string memory_;
    std::size_t filled_ = 0, parsed_ = 0;
    SequenceAudit audit_;
    Usage before_;
    std::uint64_t messages_ = 0, warm_until_ = 0;
    bool warming_up_ = true, running_ = false;
    std::uint64_t from_ns_ = 0, from_messages_ = 0;  // where the stretch began that the clock runs for
    std::uint64_t marked_ns_ = 0;
    Stretch warm_up_, timed_;
};

}  // namespace bench
