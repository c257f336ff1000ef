// Logs of the judge's own making, and what `audit` says of them.

#include "shared.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

using namespace judge;

namespace {

std::string log_line(double time, const std::string& sender, std::uint64_t number, const std::string& text = {}) {
    return fixed(time, 6) + " " + sender + " " + std::to_string(number) + (text.empty() ? "" : " " + text) + "\n";
}

struct Found {
    std::uint64_t entries = 0, lost = 0, duplicates = 0, reordered = 0, stale = 0;
    double rate = 0;
    std::string text() const {
        return std::to_string(entries) + " entries, " + std::to_string(lost) + " lost, " + std::to_string(duplicates) + " duplicates, " +
               std::to_string(reordered) + " reordered, " + std::to_string(stale) + " stale";
    }
};

struct Audited {
    std::map<std::string, Found> senders;
    std::string last;  // the last line: how many lines, how many torn
};

Audited audited(Stage& stage, Subject& lab, const Mistake& otherwise = {}) {
    lab.close_input();
    lab.exits(0, otherwise);
    const std::vector<std::string> lines = lines_of(lab.output());
    stage.require(lines.size() >= 2, {"a table and a line", shown(lab.output(), 300), "", "", ""});
    Audited found;
    for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
        const std::vector<std::string> words = words_of(lines[i]);
        stage.require(words.size() == 9, {"sender, entries, lost, duplicates, reordered, stale, first, last, per second", shown(lines[i], 200), "", "", ""});
        auto count = [&](std::size_t at) { return std::strtoull(words[at].c_str(), nullptr, 10); };
        found.senders[words[0]] = {count(1), count(2), count(3), count(4), count(5), std::atof(words[8].c_str())};
    }
    found.last = lines.back();
    return found;
}

Audited audit(Stage& stage, const std::string& log, const std::vector<std::string>& options = {}, const Mistake& otherwise = {}) {
    std::vector<std::string> words = {"audit"};
    words.insert(words.end(), options.begin(), options.end());
    Subject lab = stage.start(words);
    lab.feed(log);
    return audited(stage, lab, otherwise);
}

void is_found(Stage& stage, const Audited& audit, const std::string& sender, const Found& expected, const Mistake& mistake, const std::string& story = {}) {
    const auto at = audit.senders.find(sender);
    const std::string prefix = sender + (story.empty() ? "" : " (" + story + ")") + ": ";
    stage.require(at != audit.senders.end(), {prefix + expected.text(), "it is not in the table", "", "", mistake});
    stage.require(at->second.text() == expected.text(), {prefix + expected.text(), at->second.text(), "", "", mistake});
}

void says_torn(Stage& stage, const Audited& audit, std::uint64_t lines, std::uint64_t torn, std::uint64_t first, const Mistake& mistake) {
    const std::string expected = std::to_string(lines) + " lines, " + std::to_string(torn) + " torn" + (torn ? ", the first of them line " + std::to_string(first) : "");
    stage.require(audit.last.starts_with(expected) && !std::isdigit(static_cast<unsigned char>((audit.last + " ")[expected.size()])),
                  {shown(expected), shown(audit.last), "", "", mistake});
}

// What happened to the numbers 1, 2, 3… of one sender on their way.
std::vector<std::uint64_t> disturbed(Random& random, std::uint64_t count) {
    std::vector<std::uint64_t> way;
    std::vector<std::pair<std::size_t, std::uint64_t>> late;  // when, which
    for (std::uint64_t number = 1; number <= count; ++number) {
        const std::uint64_t fate = random.between(0, 19);
        if (fate == 0 && number < count)
            continue;  // lost
        if (fate == 1)
            late.emplace_back(way.size() + random.between(2, 40), number);
        else
            way.push_back(number);
        if (fate == 2)
            late.emplace_back(way.size() + random.between(0, 40), number);  // once more
        for (std::size_t i = 0; i < late.size(); ++i)
            if (late[i].first <= way.size()) {
                way.push_back(late[i].second);
                late.erase(late.begin() + static_cast<std::ptrdiff_t>(i--));
            }
    }
    for (const auto& [when, number] : late)
        way.push_back(number);
    return way;
}

Found truth(const std::vector<std::uint64_t>& way) {
    Found found;
    std::set<std::uint64_t> come;
    for (const std::uint64_t number : way) {
        ++found.entries;
        if (come.contains(number))
            ++found.duplicates;
        else if (!come.empty() && number < *come.rbegin())
            ++found.reordered;
        come.insert(number);
    }
    found.lost = *come.rbegin() - come.size();
    return found;
}

}  // namespace

EXERCISE("Exercise 3: a log") {

CASE("9.14 audit tells the rate of each sender" * points(3) * section("exercise-3-a-log") *
     hints("Eleven entries, one every second. How many a second is that?",
           "Between eleven entries there are ten steps. And who says that the lines of a log are in the order of their times?",
           "rate = (entries - 1) / (latest - earliest), with the smallest and the largest time, wherever they stand; 0 if they are the same.")) {
    stage.by_hand("printf '2.0 a 1\\n1.0 a 2\\n3.0 a 3\\n' | lab-09 audit");
    const std::uint64_t entries = stage.random().between(5, 12);
    const double begin = static_cast<double>(stage.random().between(1000, 2000)), step = 0.25;
    std::string in_order, shuffled = log_line(begin + 3 * step, "shuffled", 1) + log_line(begin, "shuffled", 2);
    for (std::uint64_t i = 0; i < entries; ++i)
        in_order += log_line(begin + step * static_cast<double>(i), "steady", i + 1, "some text 77");
    shuffled += log_line(begin + 4 * step, "shuffled", 3) + log_line(begin + step, "shuffled", 4) + log_line(begin + 2 * step, "shuffled", 5);
    const Audited found = audit(stage, in_order + shuffled + log_line(begin, "alone", 1));
    is_found(stage, found, "steady", {entries, 0, 0, 0, 0, 0}, "");
    is_found(stage, found, "shuffled", {5, 0, 0, 0, 0, 0}, "");
    auto is_rate = [&](const std::string& sender, double expected, const Mistake& mistake) {
        const double got = found.senders.at(sender).rate;
        stage.require(std::fabs(got - expected) < 0.06, {sender + ": " + fixed(expected, 1) + " per second", fixed(got, 1), "", "", mistake});
    };
    is_rate("steady", 4, "one-step-too-many");
    is_rate("shuffled", 4, "lines-in-order-of-time");
    is_found(stage, found, "alone", {1, 0, 0, 0, 0, 0}, "");
    is_rate("alone", 0, "");
    says_torn(stage, found, entries + 6, 0, 0, "");
}

CASE("9.15 audit finds what was lost and what came twice or late" * points(5) * section("lost-late-or-twice") *
     hints("After 1, 2, 4 there is a gap. Then 3 comes. Was it lost? Then 3 comes again. What is that?",
           "A number above the highest so far leaves gaps behind it. A number below is late if it fills a gap, and a duplicate if not. Lost is what is a gap in the end.",
           "Remember for each of the last 1024 numbers whether it has come. lost = highest - number of different ones that came.")) {
    stage.by_hand("printf '1 a 1\\n2 a 2\\n3 a 4\\n4 a 3\\n5 a 3\\n6 a 7\\n' | lab-09 audit");
    std::map<std::string, std::vector<std::uint64_t>> ways = {
        {"late", {1, 2, 4, 3, 5}}, {"twice", {1, 2, 2, 3, 1}}, {"lost", {1, 2, 5}}, {"first-lost", {3, 4}}, {"late-twice", {1, 3, 2, 2, 3, 6}}};
    for (int i = 0; i < 3; ++i)
        ways["random" + std::to_string(i)] = disturbed(stage.random(), stage.random().between(300, 600));
    // All at once, mixed as it happens.
    std::string log;
    std::map<std::string, std::size_t> next;
    double time = 5;
    for (bool more = true; more;) {
        more = false;
        for (const auto& [sender, way] : ways)
            for (std::size_t some = stage.random().between(1, 3); some > 0 && next[sender] < way.size(); --some) {
                log += log_line(time += 0.001, sender, way[next[sender]++]);
                more = true;
            }
    }
    const Audited found = audit(stage, log);
    auto story = [](const std::vector<std::uint64_t>& way) {
        std::string text;
        for (const std::uint64_t number : way)
            text += (text.empty() ? "" : ", ") + std::to_string(number);
        return text.size() < 60 ? text : "";
    };
    // The plain ones first: they say most clearly what is wrong.
    for (const auto& [sender, mistake] : {std::pair("first-lost", "begins-with-the-first"), {"lost", ""}, {"late", "late-taken-for-duplicate, gap-stays-lost"},
                                          {"twice", "duplicate-unnoticed, duplicates-hide-losses"}})
        is_found(stage, found, sender, truth(ways[sender]), mistake, story(ways[sender]));
    for (const auto& [sender, way] : ways)
        is_found(stage, found, sender, truth(way), "", story(way));
}

CASE("9.16 audit reads lines and not pieces and trusts no torn one" * points(4) * section("torn-lines") *
     hints("A read returns what is there: half a line, or three and a half. What do you do with the half?",
           "Keep it until its end comes. At the end of the log there may be half a line left over: '12.5 worker 12' was perhaps going to be 1234.",
           "Append to what is left of the last piece, handle whole lines only, keep the rest. In finish() a rest that is not empty is a torn line, whatever it looks like.")) {
    stage.by_hand("printf '1 a 1\\n2 a 2\\n3 a 3456' | lab-09 audit --chunk 1");
    stage.patience(milliseconds(30'000));  // an amount of work: under Wine each read goes through a server
    Random& random = stage.random();
    std::string log;
    std::uint64_t lines = 0, good = 0, torn = 0, first_torn = 0;
    const std::string sender = random.word(8);
    const std::vector<std::string> bad = {"", "12.5 " + sender, "12.5 " + sender + " ", "12.5", sender + " 12.5 1", "12.5 " + sender + " x7", "12.5 " + sender + " 0", "12.5 " + sender + " -3",
                                          "12,5 " + sender + " 3", "1e3 " + sender + " 3", "\xff\xfe\x01"};
    const std::uint64_t count = random.between(60, 90);
    for (std::uint64_t i = 0; i < count; ++i) {
        if (i > 5 && random.between(0, 3) == 0) {
            log += bad[random.between(0, bad.size() - 1)] + "\n";
            first_torn = torn++ == 0 ? lines + 1 : first_torn;
        } else {
            log += log_line(static_cast<double>(i), sender, ++good, random.between(0, 1) ? random.word(20) + "\r" : "");
        }
        ++lines;
    }
    // The last one was cut off within its number.
    const std::string last = "99.000000 " + sender + " " + std::to_string(good + 1);
    for (const std::string& chunk : {std::to_string(random.between(200, 400)), std::string(windows ? "9" : "1")}) {
        const std::string story = "read " + chunk + " bytes at a time";
        const Audited whole = audit(stage, log, {"--chunk", chunk}, "piece-taken-for-lines");
        is_found(stage, whole, sender, {good, 0, 0, 0, 0, 0}, "piece-taken-for-lines", story);
        stage.require(std::strtoull(whole.last.c_str(), nullptr, 10) <= lines,
                      {std::to_string(lines) + " lines (" + story + ")", shown(whole.last), "", "", "piece-taken-for-lines"});
        says_torn(stage, whole, lines, torn, first_torn, "torn-lines-not-told");
        const Audited cut = audit(stage, log + last, {"--chunk", chunk});
        is_found(stage, cut, sender, {good, 0, 0, 0, 0, 0}, "last-line-trusted", story + ", and the last line has no end");
        says_torn(stage, cut, lines + 1, torn + 1, torn ? first_torn : lines + 1, "last-line-trusted, torn-lines-not-told");
    }
    refuses(stage, {"audit"}, failure, "none is a log entry", "hello\nworld\n");
    refuses(stage, {"audit"}, failure, "none is a log entry", "");
    refuses(stage, {"audit", "--chunk", "0"}, wrong_usage, "--chunk is a number from 1");
    refuses(stage, {"audit", "some.log"}, wrong_usage, "audit reads standard input");
}

CASE("9.17 no log makes it need more memory or more time" * points(4) * section("fixed-memory") *
     hints("What could somebody write into the log to make your program eat all memory, or run for a year?",
           "A line without an end. A number that leaps by 2^60. A new sender in each line. And simply a long log.",
           "A line longer than longest_line is torn, and not kept. The window is cleared, not walked through, when the leap is larger than it. More than most_senders are only counted.")) {
    stage.by_hand("printf '1 a 1\\n2 a 9000000000000000000\\n' | lab-09 audit");
    stage.patience(milliseconds(8000));
    const std::uint64_t distant = std::uint64_t{1} << stage.random().between(58, 62);
    const Audited leap = audit(stage, log_line(1, "a", 1) + log_line(2, "a", distant) + log_line(3, "a", distant - 1) + log_line(4, "a", 1), {}, "walks-through-the-gap");
    stage.patience(milliseconds(30'000));  // from here on an amount of work
    is_found(stage, leap, "a", {4, distant - 3, 0, 1, 1, 0}, "walks-through-the-gap", "1, 2^n, 2^n - 1, 1");

    std::string few = log_line(1, "worker", 1), many;
    for (std::uint64_t number = 2; number <= 60'000; ++number)
        many += log_line(static_cast<double>(number), "worker", number);
    Subject lab = stage.start({"audit"});
    double grown = growth(stage, lab, few, many);
    stage.require(grown < 1.5, {"as much memory after 60000 entries as after one", fixed(grown, 1) + " MiB more", "", "", "remembers-every-number"});
    is_found(stage, audited(stage, lab), "worker", {60'000, 0, 0, 0, 0, 0}, "");

    Subject endless = stage.start({"audit"});
    grown = growth(stage, endless, few, "2.0 worker 2 " + std::string(4 << 20, 'x'));
    stage.require(grown < 1.5, {"no more memory, though a line of 4 MiB has no end", fixed(grown, 1) + " MiB more", "", "", "endless-line-kept"});
    endless.feed("\n" + log_line(3, "worker", 2));
    const Audited after = audited(stage, endless);
    is_found(stage, after, "worker", {2, 0, 0, 0, 0, 0}, "endless-line-kept", "the line between the two was too long");
    says_torn(stage, after, 3, 1, 2, "endless-line-kept");

    std::string crowd;
    constexpr std::uint64_t most = 1000, others = 234;
    for (std::uint64_t i = 0; i < most + others; ++i)
        crowd += log_line(1, "sender" + std::to_string(i), 1);
    const Audited full = audit(stage, crowd + log_line(2, "sender7", 2));
    stage.require(full.senders.size() == most, {"1000 senders in the table", std::to_string(full.senders.size()), "", "", "senders-without-limit"});
    is_found(stage, full, "sender7", {2, 0, 0, 0, 0, 0}, "");
    stage.require(full.last.find("; 234 entries of more than 1000 senders") != std::string::npos, {"234 entries of more than 1000 senders", shown(full.last), "", "", "senders-without-limit"});
}

CASE("9.18 what is older than the window is called neither late nor a duplicate" * points(2) * section("lost-late-or-twice") *
     hints("A number comes that is 5000 below the highest. Did it come before?",
           "You have forgotten, and should say so. But exactly from where on?",
           "With h as the highest, the numbers h - 1023 to h are remembered; h - 1024 is stale.")) {
    const std::uint64_t high = stage.random().between(3000, 9000), window = 1024;
    // The highest, then the oldest that is remembered, then one older, each twice.
    std::string log = log_line(1, "edge", high);
    for (const std::uint64_t number : {high - window + 1, high - window, high - window + 1, high - window})
        log += log_line(2, "edge", number);
    // Nothing of the old window may shine through when it has moved on by less than its length.
    std::vector<std::uint64_t> way;
    for (std::uint64_t number = 1; number <= window; ++number)
        way.push_back(number);
    const std::uint64_t leap = window + stage.random().between(300, 700);
    way.push_back(leap);
    way.push_back(leap - 5);
    for (const std::uint64_t number : way)
        log += log_line(3, "ring", number);
    const Audited found = audit(stage, log);
    is_found(stage, found, "edge", {5, high - 2, 1, 1, 2, 0}, "window-off-by-one", "h, h - 1023, h - 1024, h - 1023, h - 1024");
    is_found(stage, found, "ring", {window + 2, leap - 5 - window + 3, 0, 1, 0, 0}, "window-not-cleared", "1 to 1024, " + std::to_string(leap) + ", " + std::to_string(leap - 5));
}

}
