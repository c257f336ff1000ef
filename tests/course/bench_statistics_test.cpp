#include "bench/program.hpp"
#include "bench/statistics.hpp"
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <random>
#include <vector>

using namespace bench;

namespace {

// The nearest rank, the slow way.
double exact_percentile(std::vector<std::uint64_t> values, double percent) {
    std::sort(values.begin(), values.end());
    const double rank = std::ceil(percent / 100 * static_cast<double>(values.size()) - 1e-6);
    return static_cast<double>(values[static_cast<std::size_t>(std::max(1.0, rank)) - 1]);
}

}  // namespace

TEST_CASE("a percentile of small numbers is exact") {
    Histogram histogram;
    for (std::uint64_t value = 1; value <= 60; ++value)
        histogram.record(value);
    CHECK(histogram.count() == 60);
    CHECK(histogram.percentile(50) == 30);
    CHECK(histogram.percentile(100) == 60);
    CHECK(histogram.percentile(0) == 1);
    CHECK(histogram.percentile(1.0 / 60 * 100) == 1);
    CHECK(Histogram().percentile(50) == 0);
}

TEST_CASE("p99.9 of a thousand is the 999th, whatever floating point makes of 99.9 %") {
    Histogram histogram;
    histogram.record(10, 999);
    histogram.record(50, 1);
    CHECK(histogram.percentile(99.9) == 10);
    CHECK(histogram.percentile(99.91) == 50);
}

TEST_CASE("percentiles of hostile distributions are at most 0.8 % off") {
    std::mt19937_64 random(7);
    std::vector<std::vector<std::uint64_t>> distributions(4);
    for (int i = 0; i < 20'000; ++i) {
        distributions[0].push_back(random() >> (random() % 64));  // every order of magnitude
        distributions[1].push_back(i % 100 == 0 ? 5'000'000'000u : 1'000u + i % 7);  // two humps
        distributions[2].push_back(
            static_cast<std::uint64_t>(std::exp(std::normal_distribution<>(10, 2)(random))));
        distributions[3].push_back(64u + i % 3);  // where the buckets begin to widen
    }
    for (const auto& values : distributions) {
        Histogram histogram;
        for (const std::uint64_t value : values)
            histogram.record(value);
        for (const double percent : {1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
            const double exact = exact_percentile(values, percent);
            CHECK(std::abs(histogram.percentile(percent) - exact) <= std::max(0.5, exact * 0.008));
        }
    }
}

TEST_CASE("the greatest values have a bucket too") {
    Histogram histogram;
    histogram.record(~std::uint64_t{0});
    CHECK(histogram.max() == ~std::uint64_t{0});
    CHECK(histogram.percentile(50) == doctest::Approx(18446744073709551615.0).epsilon(0.008));
}

TEST_CASE("merged, and through a report, two histograms are one of all values") {
    Histogram all, a, b, read;
    for (std::uint64_t value = 1; value < 100'000; value += 7) {
        all.record(value);
        (value % 2 ? a : b).record(value);
    }
    a.merge(b);
    CHECK(a.buckets() == all.buckets());
    CHECK(a.count() == all.count());
    for (const auto& [bucket, count] : all.buckets())
        CHECK(read.record_bucket(bucket, count));
    CHECK(read.buckets() == all.buckets());
    CHECK(read.percentile(99) == all.percentile(99));
    CHECK_FALSE(read.record_bucket(100'000, 1));
}

TEST_CASE("numbers in order are neither lost nor anything else") {
    SequenceAudit audit;
    for (std::uint64_t number = 0; number < 200'000; ++number)
        audit.arrived(number);
    CHECK(audit.distinct() == 200'000);
    CHECK(audit.duplicated() == 0);
    CHECK(audit.reordered() == 0);
    CHECK(audit.lost(200'000) == 0);
    CHECK(audit.lost(200'003) == 3);
}

TEST_CASE("lost, duplicated and reordered are told apart") {
    SequenceAudit audit;
    for (const std::uint64_t number : {0, 1, 4, 3, 3, 4, 7})  // 2, 5 and 6 never come
        audit.arrived(number);
    CHECK(audit.distinct() == 5);
    CHECK(audit.duplicated() == 2);
    CHECK(audit.reordered() == 1);
    CHECK(audit.lost(8) == 3);
    CHECK(audit.lost(5) == 0);  // fewer sent than arrived: never less than none
}

TEST_CASE("a jump over more numbers than are remembered forgets none of those that come after") {
    SequenceAudit audit;
    for (std::uint64_t number = 0; number < 100; ++number)
        audit.arrived(number);
    audit.arrived(1'000'000);
    for (std::uint64_t number = 1'000'001 - 65'536; number < 1'000'000; ++number)
        audit.arrived(number);
    CHECK(audit.distinct() == 100 + 65'536);
    CHECK(audit.reordered() == 65'535);
    CHECK(audit.duplicated() == 0);
    audit.arrived(999'999);
    CHECK(audit.duplicated() == 1);
    CHECK(audit.lost(1'000'001) == 1'000'001 - 100 - 65'536);
}

TEST_CASE("what is due does not depend on what became of the message before") {
    const Timetable timetable(1'000, 5'000);
    CHECK(timetable.due(0) == 1'000);
    CHECK(timetable.due(1) == 201'000);
    CHECK(timetable.due(5'000) == 1'000'001'000);
    const Timetable odd(0, 3);  // no rounding adds up
    CHECK(odd.due(3'000'000) == 1'000'000'000'000'000);
}

TEST_CASE("measured from the intended send, a stall belongs to all that waited for it") {
    // Ten a second; each answer takes 1 ms, but that to number 3 takes 500 ms. One message is on its way at a
    // time.
    const Timetable timetable(0, 10);
    Histogram from_send, from_due;
    std::uint64_t now = 0;
    constexpr std::uint64_t ms = 1'000'000;
    for (std::uint64_t number = 0; number < 20; ++number) {
        const std::uint64_t sent = std::max(now, timetable.due(number));
        now = sent + (number == 3 ? 500 * ms : ms);
        from_send.record(now - sent);
        from_due.record(now - timetable.due(number));
    }
    CHECK(from_send.percentile(90) ==
          doctest::Approx(1.0 * ms).epsilon(0.01));  // one bad answer, says the closed view
    CHECK(from_due.percentile(90) == doctest::Approx(302.0 * ms).epsilon(0.01));
    CHECK(from_due.percentile(70) == doctest::Approx(1.0 * ms).epsilon(0.01));
    CHECK(from_due.percentile(100) == doctest::Approx(500.0 * ms).epsilon(0.01));
}

TEST_CASE("a median and a ratio over rounds") {
    CHECK(median({}) == 0);
    CHECK(median({3}) == 3);
    CHECK(median({9, 1, 5}) == 5);
    CHECK(median({4, 1, 3, 100}) == 3.5);
    const Ratio ratio = ratio_of({10, 20, 90}, {10, 10, 30});
    CHECK(ratio.median == 2);
    CHECK(ratio.low == 1);
    CHECK(ratio.high == 3);
    // A round that only one of the two came through compares nothing.
    CHECK(ratio_of({10, 0, 30}, {10, 10}).median == 1);
    CHECK(ratio_of({}, {1}).median == 0);
}

TEST_CASE("a message's number travels as printable text, also as a line") {
    for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{64},
                                       std::uint64_t{123'456'789'012}, last_number - 1, last_number}) {
        char text[number_length];
        put_number(text, number);
        CHECK(number_in(text) == number);
        CHECK(std::all_of(text, text + number_length, [](char c) { return c >= '0' && c < '0' + 64; }));
    }
}
