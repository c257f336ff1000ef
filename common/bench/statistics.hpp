#pragma once

/// @file
/// The arithmetic of a measurement: percentiles in fixed memory, what became of numbered messages, when the
/// next one is due. No clock and no input in here, so that tests can say what must come out.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace bench {

/// Durations in nanoseconds, counted in buckets that are at most 1/64 of their value wide: any number of
/// values in 30 KB, and a percentile at most 0.8 % off.
class Histogram {
public:
    void record(std::uint64_t value, std::uint64_t times = 1);
    void merge(const Histogram& other);

    std::uint64_t count() const { return count_; }
    std::uint64_t max() const { return max_; }
    /// The value that `percent` of all values do not exceed (nearest rank), as the middle of its bucket; 0 if
    /// there are none.
    double percentile(double percent) const;

    /// The buckets that are not empty: index and count, in rising order. For reports, and for
    /// record_bucket().
    std::vector<std::pair<std::size_t, std::uint64_t>> buckets() const;
    /// @return false if there is no such bucket
    bool record_bucket(std::size_t index, std::uint64_t times);

private:
    static std::size_t bucket_of(std::uint64_t value);
    static double middle_of(std::size_t bucket);

    std::vector<std::uint64_t> counts_ = std::vector<std::uint64_t>(59 * 64);
    std::uint64_t count_ = 0, max_ = 0;
};

/// Follows the numbers 0, 1, 2, … of one sender's messages as they arrive.
class SequenceAudit {
public:
    void arrived(std::uint64_t number) {
        if (number == next_) {  // nearly always; the rest may take its time
            mark(number);
            ++next_;
            ++distinct_;
        } else {
            out_of_order(number);
        }
    }

    std::uint64_t distinct() const { return distinct_; }  ///< different numbers that arrived
    std::uint64_t duplicated() const {
        return duplicated_;
    }  ///< arrivals of a number that had been there already
    std::uint64_t reordered() const { return reordered_; }  ///< first arrivals after a higher number
    /// Numbers below `sent` that never arrived.
    std::uint64_t lost(std::uint64_t sent) const { return sent > distinct_ ? sent - distinct_ : 0; }

private:
    // Who is later than this counts as a duplicate: it can not be told any more.
    static constexpr std::uint64_t window = 1 << 16;

    unsigned char& seen(std::uint64_t number) { return seen_[number % window]; }
    void mark(std::uint64_t number) { seen(number) = 1; }
    void out_of_order(std::uint64_t number);

    std::vector<unsigned char> seen_ = std::vector<unsigned char>(window);
    std::uint64_t next_ = 0, distinct_ = 0, duplicated_ = 0, reordered_ = 0;
};

/// When each message of an open loop is due: at a steady rate, whatever became of the ones before it.
///
/// A sender that waits for each answer sends late what became due in the meantime. Measured from the send,
/// that delay is nobody's (coordinated omission); measured from here it belongs to the message.
class Timetable {
public:
    Timetable(std::uint64_t start_ns, double per_second) : start_(start_ns), interval_(1e9 / per_second) {}
    std::uint64_t due(std::uint64_t number) const {
        return start_ + static_cast<std::uint64_t>(interval_ * static_cast<double>(number));
    }

private:
    std::uint64_t start_;
    double interval_;
};

/// The middle one; of an even number the mean of the two in the middle; 0 of none.
double median(std::vector<double> values);

/// How `a` compares with `b` over rounds that measured both: the median of the rounds' ratios, and the
/// extremes.
struct Ratio {
    double median = 0, low = 0, high = 0;
};
/// Rounds in which either is missing (0 or less) are left out; all zeros if none is left.
Ratio ratio_of(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace bench
