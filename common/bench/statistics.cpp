#include "statistics.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace bench {

// Values below 64 have a bucket each. Above, each power of two is cut into 64 buckets.
std::size_t Histogram::bucket_of(std::uint64_t value) {
    if (value < 64)
        return static_cast<std::size_t>(value);
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 7;
    return shift * 64 + static_cast<std::size_t>(value >> shift);
}

double Histogram::middle_of(std::size_t bucket) {
    if (bucket < 64)
        return static_cast<double>(bucket);
    const std::size_t shift = bucket / 64 - 1;
    const double width = std::ldexp(1.0, static_cast<int>(shift));
    return static_cast<double>(64 + bucket % 64) * width + (width - 1) / 2;
}

void Histogram::record(std::uint64_t value, std::uint64_t times) {
    counts_[bucket_of(value)] += times;
    count_ += times;
    max_ = std::max(max_, value);
}

bool Histogram::record_bucket(std::size_t index, std::uint64_t times) {
    if (index >= counts_.size())
        return false;
    counts_[index] += times;
    count_ += times;
    max_ = std::max(max_, static_cast<std::uint64_t>(middle_of(index)));
    return true;
}

void Histogram::merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i)
        counts_[i] += other.counts_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
}

double Histogram::percentile(double percent) const {
    if (count_ == 0)
        return 0;
    // 99.9 / 100 * 1000 is a little more than 999 in floating point, and would take the next rank.
    const double exact = percent * static_cast<double>(count_) / 100;
    const auto rank =
        std::clamp<std::uint64_t>(static_cast<std::uint64_t>(std::ceil(exact - 1e-6)), 1, count_);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i)
        if ((below += counts_[i]) >= rank)
            return middle_of(i);
    return static_cast<double>(max_);
}

std::vector<std::pair<std::size_t, std::uint64_t>> Histogram::buckets() const {
    std::vector<std::pair<std::size_t, std::uint64_t>> result;
    for (std::size_t i = 0; i < counts_.size(); ++i)
        if (counts_[i] > 0)
            result.emplace_back(i, counts_[i]);
    return result;
}

void SequenceAudit::out_of_order(std::uint64_t number) {
    if (number > next_) {
        // What is skipped has not been here, whatever was remembered at its place of the window.
        for (std::uint64_t skipped = next_; skipped < number && skipped - next_ < window; ++skipped)
            seen(skipped) = 0;
        mark(number);
        next_ = number + 1;
        ++distinct_;
    } else if (next_ - number > window || seen(number)) {
        ++duplicated_;
    } else {
        mark(number);
        ++distinct_;
        ++reordered_;
    }
}

double median(std::vector<double> values) {
    if (values.empty())
        return 0;
    std::sort(values.begin(), values.end());
    const std::size_t half = values.size() / 2;
    return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Ratio ratio_of(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        if (a[i] > 0 && b[i] > 0)
            ratios.push_back(a[i] / b[i]);
    if (ratios.empty())
        return {};
    const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
    return {median(ratios), *low, *high};
}

}  // namespace bench
