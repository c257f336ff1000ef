#pragma once

/// @file
/// What `./course bench` has found, as a table, as JSON, and as a picture.

#include "bench_mechanisms.hpp"
#include "terminal.hpp"
#include <optional>
#include <string>

namespace course {

/// A duration as a person reads it: "0.51", "54.3", "1,234" µs.
std::string microseconds(double nanoseconds);
/// Bytes a second: "38.7 GB/s", "412 MB/s".
std::string bandwidth(double bytes_per_second);
/// "17.8 M", "61 k"
std::string short_number(double number);

/// How one contender compares with another at one place, in rounds that measured both.
struct Compared {
    std::string subject, other;
    BenchMode mode;
    std::size_t size;
    Placement placement;
    bench::Ratio ratio;  ///< of times (round trips: less is better) or of rates (more is better)
};
/// Nothing to compare: a ratio of zeros.
Compared compare(const BenchResult& result, const std::string& subject, const std::string& other,
                 BenchMode mode, std::size_t size, Placement placement);

/// How far the same program measured twice is apart, over all sizes, there or anywhere: the noise of this
/// run. 0 if there was no control.
double noise_of(const BenchResult& result, BenchMode mode, std::optional<Placement> placement = std::nullopt);

/// What the reader has to know of this run before he believes it: noise, other programs. Sentences.
std::vector<std::string> caveats(const BenchResult& result);

/// Something that the lab's solution is to reach.
struct Aim {
    enum Verdict { met, level, missed, unknown };
    std::string what, seen;
    Verdict verdict = unknown;
};
/// What is asked of the ring of lab 05 and of the server of lab 07; nothing in the benchmark of all
/// mechanisms.
std::vector<Aim> aims_of(const BenchResult& result);

std::string bench_text(const BenchResult& result, const Style& style);
std::string bench_json(const BenchResult& result);
std::string bench_svg(const BenchResult& result);
std::string bench_html(const BenchResult& result);

}  // namespace course
