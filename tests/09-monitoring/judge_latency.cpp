// Numbers of the judge's own making, and what `latency` says of them.

#include "shared.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>

using namespace judge;

namespace {

struct Summary {
    std::uint64_t count = 0, min = 0, max = 0;
    std::map<unsigned, std::uint64_t> at;  // per mille
};

constexpr unsigned per_milles[] = {500, 900, 990, 999};

Summary summary_from(Stage& stage, const std::string& line) {
    const std::vector<std::string> words = words_of(line);
    stage.require(words.size() >= 8, {"a name, count, min, p50, p90, p99, p99.9, max", shown(line, 200), "", "", ""});
    const auto value = [&](std::size_t from_end) { return std::strtoull(words[words.size() - from_end].c_str(), nullptr, 10); };
    Summary found{value(7), value(6), value(1), {}};
    for (std::size_t i = 0; i < 4; ++i)
        found.at[per_milles[i]] = value(5 - i);
    return found;
}

// In a sorted list the value with number n * per_mille / 1000, rounded up.
std::uint64_t exactly(const std::vector<std::uint64_t>& sorted, unsigned per_mille) {
    const std::uint64_t rank = (sorted.size() * per_mille + 999) / 1000;
    return sorted[std::max<std::uint64_t>(rank, 1) - 1];
}

bool within_one_percent(std::uint64_t got, std::uint64_t exact) {
    return (got > exact ? got - exact : exact - got) <= exact / 100;
}

std::string text_of(const std::vector<std::uint64_t>& values) {
    std::string text(values.size() * 21, '\0');
    char* at = text.data();
    for (const std::uint64_t value : values) {
        at = std::to_chars(at, at + 20, value).ptr;
        *at++ = '\n';
    }
    text.resize(static_cast<std::size_t>(at - text.data()));
    return text;
}

struct Mistakes {
    Mistake percentile, ends = "min-starts-at-zero";
};

void is_right(Stage& stage, const Summary& found, std::vector<std::uint64_t> values, const std::string& what, const Mistakes& mistakes) {
    std::sort(values.begin(), values.end());
    stage.require(found.count == values.size(), {what + ": count " + std::to_string(values.size()), std::to_string(found.count), "", "", ""});
    stage.require(found.min == values.front(), {what + ": min " + std::to_string(values.front()), std::to_string(found.min), "", "", mistakes.ends});
    stage.require(found.max == values.back(), {what + ": max " + std::to_string(values.back()), std::to_string(found.max), "", "", mistakes.ends});
    std::uint64_t before = found.min;
    for (const unsigned per_mille : per_milles) {
        const std::uint64_t exact = exactly(values, per_mille), got = found.at.at(per_mille);
        const std::string name = what + ": p" + (per_mille % 10 ? fixed(per_mille / 10.0, 1) : std::to_string(per_mille / 10));
        stage.require(within_one_percent(got, exact), {name + " " + std::to_string(exact) + ", to within 1 %", std::to_string(got), "", "", mistakes.percentile});
        stage.require(got >= before && got <= found.max, {name + " not below the one before and not above max", std::to_string(got), "", "", "beyond-the-ends"});
        before = got;
    }
}

// Runs `latency` on the values, in random order.
void is_summarised(Stage& stage, std::vector<std::uint64_t> values, const std::string& what, const Mistakes& mistakes) {
    for (std::size_t i = values.size(); i > 1; --i)
        std::swap(values[i - 1], values[stage.random().between(0, i - 1)]);
    Subject lab = stage.start({"latency"});
    lab.feed(text_of(values));
    lab.close_input();
    lab.exits(0);
    const std::vector<std::string> lines = lines_of(lab.output());
    stage.require(lines.size() >= 2, {"a table", shown(lab.output(), 300), "", "", ""});
    is_right(stage, summary_from(stage, lines[1]), values, what, mistakes);
}

std::vector<std::uint64_t> numbers(Stage& stage, std::size_t count, std::uint64_t low, std::uint64_t high) {
    std::vector<std::uint64_t> values(count);
    for (std::uint64_t& value : values)
        value = stage.random().between(low, high);
    return values;
}

}  // namespace

EXERCISE("Exercise 2: many numbers") {

CASE("9.8 latency finds the percentiles of a hundred or of ten thousand numbers" * points(5) * section("exercise-2-many-numbers") *
     hints("If you may have some thousand counters and no list, which numbers should share one?",
           "Those that differ by less than 1 %. For small numbers that is nobody, for large ones a range that is as wide as 1 % of where it lies.",
           "Below 256 a counter each. Above, shift the number right until 8 bits are left: the shift and the 8 bits are the counter's index.")) {
    stage.by_hand("seq 1 10000 | shuf | lab-09 latency");
    is_summarised(stage, numbers(stage, 100, 1, 250), "100 small numbers", {"one-counter-for-too-many"});
    is_summarised(stage, numbers(stage, 10'000, 30'000, 90'000'000), "10000 numbers", {"one-counter-for-too-many"});
    // Mostly fast, with a long tail: the mean and a bell curve around it say nothing of it.
    std::vector<std::uint64_t> tail = numbers(stage, 9700, 900, 1100);
    const std::vector<std::uint64_t> slow = numbers(stage, 300, 1'000'000, 50'000'000);
    tail.insert(tail.end(), slow.begin(), slow.end());
    is_summarised(stage, tail, "97 % fast ones and 3 % slow ones", {"one-counter-for-too-many"});
    is_summarised(stage, std::vector<std::uint64_t>(500, stage.random().between(1'000'000, 9'999'999)), "500 times the same", {"beyond-the-ends"});
}

CASE("9.9 the percentile is the value at its place in the sorted list" * points(3) * section("which-one-is-p99") *
     hints("Of 1000 values 999 are 1. What is p99.9, and what would one slow value more make of it?",
           "p99.9 is not exceeded by at least 999 of 1000: the value number 999. Of 10 values p99 is the tenth, for the ninth is exceeded by a tenth of all.",
           "rank = (count * per_mille + 999) / 1000 in whole numbers, and at least 1; the answer is the first counter at which so many have passed.")) {
    stage.recognise("p\\d+.* \\d+, to within 1 %[^]*got: 1\\b", "rank-rounded-down");
    stage.by_hand("{ yes 1 | head -n 999; echo 1000000; } | lab-09 latency");
    const std::uint64_t slow = stage.random().between(1'000'000, 2'000'000);
    auto ones_and = [&](std::size_t ones, std::size_t slows) {
        std::vector<std::uint64_t> values(ones, 1);
        values.insert(values.end(), slows, slow);
        return values;
    };
    is_summarised(stage, ones_and(999, 1), "999 ones and a slow one", {"rank-one-too-far"});
    is_summarised(stage, ones_and(998, 2), "998 ones and two slow ones", {"rank-rounded-down"});
    is_summarised(stage, ones_and(9, 1), "9 ones and a slow one", {"rank-rounded-down"});
    is_summarised(stage, {slow}, "a single one", {"rank-rounded-down"});
    is_summarised(stage, ones_and(1, 1), "two", {"rank-one-too-far"});
}

CASE("9.10 every number of 64 bits has its place" * points(4) * section("exercise-2-many-numbers") *
     hints("Where are the ends of your number line? Try 0, and the largest number that there is.",
           "How many bits has 0? What does a shift by 64 do? Is the last counter inside the array?",
           "Values up to 2^64 - 1: std::bit_width() is 0 to 64. The number of counters is the index of the largest value plus one.")) {
    stage.recognise("killed by|exception 0x|AddressSanitizer|runtime error", "top-of-the-line");
    stage.by_hand("printf '0\\n18446744073709551615\\n' | lab-09 latency");
    is_summarised(stage, {0, 0, 0, 0}, "only zeros", {"beyond-the-ends"});
    is_summarised(stage, {0, ~std::uint64_t{0}}, "0 and 2^64 - 1", {"top-of-the-line"});
    // The edges of the counters, if they are what they mostly are, and anything between.
    std::vector<std::uint64_t> all;
    for (unsigned bit = 0; bit < 64; ++bit)
        for (const std::uint64_t value : {(std::uint64_t{1} << bit) - 1, std::uint64_t{1} << bit, (std::uint64_t{1} << bit) + 1, stage.random().next() >> bit})
            all.push_back(value);
    for (std::ptrdiff_t from = 0; from < 256; from += 64)
        is_summarised(stage, {all.begin() + from, all.begin() + from + 64}, "64 numbers about 2^" + std::to_string(from / 4 + 8), {"top-of-the-line"});
}

CASE("9.11 three hundred thousand numbers take no more memory than a thousand" * points(4) * section("fixed-memory") *
     hints("A monitor runs for a year and records a million values a second. What does it keep of them?",
           "Counters, all of them made in the beginning. A list that is sorted in the end is exact, and finds the end of your memory first.",
           "counts_ gets its size in the constructor; record() only adds one to a counter.")) {
    stage.by_hand("seq 1 10000000 | /usr/bin/time -f '%M KiB' lab-09 latency");
    stage.patience(milliseconds(30'000));  // an amount of work, not a moment of waiting
    std::vector<std::uint64_t> first = numbers(stage, 1000, 0, 9'999'999), more = numbers(stage, 300'000, 0, 9'999'999);
    Subject lab = stage.start({"latency"});
    const double grown = growth(stage, lab, text_of(first), text_of(more));
    stage.require(grown < 1, {"as much memory after 301000 values as after 1000", fixed(grown, 1) + " MiB more", "", "", "keeps-every-value"});
    lab.close_input();
    lab.exits(0);
    first.insert(first.end(), more.begin(), more.end());
    is_right(stage, summary_from(stage, lines_of(lab.output()).at(1)), first, "301000 numbers", {"one-counter-for-too-many"});
}

CASE("9.12 several files are summarised together as if they were one" * points(2) * section("averages-of-percentiles") *
     hints("One server has a p99 of 1 ms, the other of 100 ms. What is the p99 of both?",
           "No average of the two numbers says it. Counters can be added; percentiles cannot.",
           "add(): every counter, and the count; of min and max the smaller and the larger one. An empty histogram has neither.")) {
    stage.by_hand("seq 1 100 >A; seq 90000 90009 >B; lab-09 latency A B");
    const std::vector<std::vector<std::uint64_t>> parts = {numbers(stage, 900, 500, 1500), numbers(stage, 100, 100'000, 200'000), numbers(stage, 300, 7, 9)};
    std::vector<std::string> words = {"latency"};
    std::vector<std::uint64_t> all;
    for (const auto& part : parts) {
        words.push_back((std::filesystem::path(stage.files()) / ("part" + std::to_string(words.size()))).string());
        std::ofstream(words.back(), std::ios::binary) << text_of(part);
        all.insert(all.end(), part.begin(), part.end());
    }
    words.push_back((std::filesystem::path(stage.files()) / "nothing").string());
    std::ofstream(words.back(), std::ios::binary) << "";
    Subject lab = stage.start(words);
    lab.exits(0);
    const std::vector<std::string> lines = lines_of(lab.output());
    stage.require(lines.size() >= 6, {"a line for each file, and one for all", shown(lab.output(), 600), "", "", ""});
    for (std::size_t i = 0; i < parts.size(); ++i)
        is_right(stage, summary_from(stage, lines[i + 1]), parts[i], "file " + std::to_string(i + 1), {"", ""});
    is_right(stage, summary_from(stage, lines[5]), all, "all together", {"merged-badly", "merged-badly"});
}

CASE("9.13 what is no number is refused with its line" * points(2) * section("exercise-2-many-numbers") *
     hints("This case asks only that `latency` works at all; main.cpp does the rest.",
           "Nothing is printed of an input that is not all numbers: half a report looks like a whole one.",
           "Write the Histogram, and this is done.")) {
    stage.by_hand("printf '1\\nNaN\\n' | lab-09 latency; echo $?");
    Subject lab = stage.start({"latency", "--decimals", "2"});
    lab.feed("1.5\r\n 2.25\n\n3");
    lab.close_input();
    lab.exits(0);
    const std::vector<std::string> words = words_of(lines_of(lab.output()).at(1));
    stage.require(words.size() >= 8 && words[words.size() - 7] == "3" && words[words.size() - 6] == "1.50" && words.back() == "3.00",
                  {"of 1.5, 2.25 and 3: count 3, min 1.50, max 3.00", shown(lab.output(), 300), "", "", "min-starts-at-zero"});
    for (const auto& [input, about] : {std::pair("1\n2\nhello\n", "line 3: 'hello' is no number"), {"NaN\n", "line 1: 'NaN' is no number"}, {"5\n-3\n", "line 2: '-3' is negative"},
                                       {"1.5\n", "line 1: '1.5' has decimals"}, {"18446744073709551616\n", "too large"}, {"", "there is no number"}})
        refuses(stage, {"latency"}, failure, about, input);
    refuses(stage, {"latency"}, failure, "is no number", std::string(100'000, '7'));
    refuses(stage, {"latency", stage.files() + "/is-not-there"}, failure, "is-not-there");
    refuses(stage, {"latency", "--decimals", "x"}, wrong_usage, "--decimals is a number from 0");
}

}
