#pragma once

/// @file
/// What `./course bench` measures: mechanisms, floors and libraries, each a program of common/bench, in
/// rounds.

#include "bench/statistics.hpp"
#include "labs.hpp"
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace course {

enum class BenchMode { closed_loop, open_loop, throughput, stream };
enum class Placement { two, one };  ///< client and server on a processor each, or both on one

std::string_view name_of(BenchMode mode);
std::string_view name_of(Placement placement);
/// "64 B", "4 KiB", "1 MiB"
std::string size_text(std::size_t size);

/// Something to be measured.
struct Contender {
    enum Kind { mechanism, again, floor, library };

    std::string id;     ///< as one types it, and the program's name
    std::string title;  ///< as a person reads it
    Kind kind = mechanism;
    std::string lab;      ///< whose functions it is made of
    std::string package;  ///< of a library: Debian's, with which it can be built
    std::size_t largest_answer = SIZE_MAX,
                largest_message = SIZE_MAX;  ///< that it is measured with; 0: none at all
    std::string why_not_larger;
    bool needs_two = false;            ///< both sides on one processor make no sense
    bool posix_only = false;           ///< its program needs what Linux has
    std::string of;                    ///< the id whose program it is, if not its own
    std::vector<std::string> options;  ///< for its program
};

/// All that the course teaches, and what it can be compared with.
const std::vector<Contender>& contenders();

/// One figure's place in the result.
struct CellKey {
    std::string id;
    BenchMode mode;
    std::size_t size;
    Placement placement;
    auto operator<=>(const CellKey&) const = default;
};

/// What all rounds have found out about it.
struct Cell {
    std::vector<double> p50_by_round;   ///< ns; round trips
    std::vector<double> rate_by_round;  ///< messages a second; throughput
    bench::Histogram from_send, from_due;
    std::uint64_t messages = 0, lost = 0, duplicated = 0, reordered = 0;
    double cpu_seconds = 0;  ///< of both sides
    double busier_side = 0;  ///< CPU seconds of the side that had more to do, a round at a time
    double voluntary = 0, involuntary = 0;
    bool knows_switches = false;

    double cpu_ns() const { return messages ? cpu_seconds * 1e9 / static_cast<double>(messages) : 0; }
    double p50() const { return from_send.percentile(50); }
    double rate() const { return bench::median(rate_by_round); }
    /// Messages a second if its processors did nothing else: what the busier side's CPU time allows, or that
    /// of both on one.
    double rate_by_cpu(Placement placement) const {
        const double seconds = placement == Placement::two ? busier_side : cpu_seconds;
        return seconds > 0 ? static_cast<double>(messages) / seconds : 0;
    }
};

/// What one start of a program reported; added to a cell.
/// @param client, server  the text of the two reports
/// @throws std::exception they are not what such a program writes
void add_reports(Cell& cell, BenchMode mode, const std::string& client, const std::string& server);

/// How much memory a stream of `bytes` took.
struct MemoryUse {
    std::uint64_t bytes = 0;
    double client_kib = 0, server_kib = 0, segment_kib = 0;
};

struct BenchResult {
    std::string title;  ///< "05", or empty for all mechanisms
    Track track = Track::posix;
    bool mine = false, smoke = false;
    std::string when, processor, kernel;
    int rounds = 0;
    double seconds_each = 0, seconds_taken = 0, rate = 0;
    double others_share = -1;  ///< of the processors' time, that other programs took meanwhile; -1: unknown
    std::vector<int> cpus;     ///< the two; the first is the one of Placement::one
    std::vector<Placement> placements;
    std::vector<std::string> measured;                          ///< ids, in the order of contenders()
    std::vector<std::pair<std::string, std::string>> left_out;  ///< title, and why
    std::vector<std::size_t> answer_sizes, message_sizes;
    std::map<CellKey, Cell> cells;
    std::vector<MemoryUse> memory;

    const Cell* cell(const std::string& id, BenchMode mode, std::size_t size, Placement placement) const;
};

const Contender& contender(const std::string& id);

}  // namespace course
