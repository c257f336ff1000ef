// Lab 09, posix track: write these functions. What each has to do is in monitoring.hpp; why, in README.md.

#include "monitoring.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"

namespace monitoring {

// ---- Exercise 1: a process, seen from outside -----------------------------------------------------------------------

struct Target::State {};

Target::Target(ProcessId) {
    // TODO: A number is not a process: tomorrow it is somebody else's. Ask the kernel for something that stays this one.
    throw ipc::not_implemented();
}

Target::~Target() = default;

std::optional<Reading> Target::read() const {
    // TODO: The kernel keeps its books in /proc, as text. Read what it says, in its units; beware of a program that has
    // chosen its name to confuse you; and make sure that the page you read was about the right process.
    throw ipc::not_implemented();
}

bool Target::watch(milliseconds, std::uint64_t, const Seen&) const {
    // TODO: Two things can happen next: it is time, or it is over. Wait for both at once, and let somebody else count the
    // turns who is never late.
    throw ipc::not_implemented();
}

double cpu_percent(const Reading&, const Reading&) {
    // TODO: One number says how much it has worked, the other how long you have looked.
    throw ipc::not_implemented();
}

double cpu_percent(const Reading&) {
    // TODO: With one reading only there is no 'between'. What is there?
    throw ipc::not_implemented();
}

// ---- Exercise 2: many numbers, and what is worth knowing of them ------------------------------------------------------

Histogram::Histogram() {
    // TODO: Draw the number line and cut it into pieces that are 1 % of where they lie. How many do 64 bits need?
    throw ipc::not_implemented();
}

void Histogram::record(std::uint64_t) {
    // TODO: Find the piece that the value lies in, without walking along the line.
    throw ipc::not_implemented();
}

void Histogram::add(const Histogram&) {
    // TODO: Two sets of counters become one. Which of the other numbers do, and how?
    throw ipc::not_implemented();
}

std::uint64_t Histogram::value_at(unsigned) const {
    // TODO: Count up to the one that is asked for, and say a value that is really there.
    throw ipc::not_implemented();
}

// ---- Exercise 3: a log, and what is missing in it ---------------------------------------------------------------------

struct Audit::State {};

Audit::Audit() {
    // TODO: Decide what you must remember of each sender so that an entry can be told from a copy of itself.
    throw ipc::not_implemented();
}

Audit::~Audit() = default;

void Audit::take(std::string_view) {
    // TODO: Bytes come in pieces, a line ends where its end is. Then: is this number new, late, or an old acquaintance?
    throw ipc::not_implemented();
}

void Audit::finish() {
    // TODO: Something may be left over. Can you trust it?
    throw ipc::not_implemented();
}

Audit::Report Audit::report() const {
    // TODO: What never came is what is missing between 1 and the highest.
    throw ipc::not_implemented();
}

// ---- Exercise 4: what a message takes ---------------------------------------------------------------------------------

Histogram closed_loop(std::uint64_t, const RoundTrip&) {
    // TODO: Look at the clock, do it, look at the clock.
    throw ipc::not_implemented();
}

OpenLoop open_loop(std::uint64_t, nanoseconds, const RoundTrip&) {
    // TODO: The users of a service do not wait with their requests until it has time for them. Keep to the timetable, and
    // measure from where they stood.
    throw ipc::not_implemented();
}

}  // namespace monitoring
