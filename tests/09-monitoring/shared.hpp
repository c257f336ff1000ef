#pragma once

// What the judges of lab 09 have in common on both tracks: a process to look at, and what the lab program's tables say.

#include "judge.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace judge {

using steady = std::chrono::steady_clock;

#ifdef _WIN32
constexpr bool windows = true;
// Under Wine this case is unavailable; on Linux it is like any other.
#define WINE_CANNOT(why) *windows_only(why)
#else
constexpr bool windows = false;
#define WINE_CANNOT(why)
#endif

inline double seconds_between(steady::time_point from, steady::time_point to) { return std::chrono::duration<double>(to - from).count(); }

inline std::string fixed(double value, int decimals = 3) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return text;
}

/// A process to look at, started by the judge, with which the lab program has nothing to do. It is the judge's own program
/// in another part; what it can do is in judge_posix.cpp and judge_win32.cpp. It does what it is told, and nothing else: between two
/// orders all its counters stand still.
class Worker {
public:
    Worker() : before_(steady::now()), process_(begin(*this)) {
        tell("hello");
        after_ = steady::now();
    }
    std::uint32_t id() const { return process_.id(); }
    std::string number() const { return std::to_string(id()); }
    Process& process() { return process_; }

    /// Has it do something, and returns when it is done.
    void tell(const std::string& order) {
        say(order);
        std::string answer;
        for (char c = 0; c != '\n'; answer += c)
            if (answers_.read(&c, 1) == 0)
                throw std::runtime_error("the worker has ended while it should " + order);
        if (answer != "done\n")
            throw std::runtime_error("the worker should " + order + ", and says: " + answer);
    }
    void tell(const std::string& order, std::uint64_t amount) { tell(order + " " + std::to_string(amount)); }
    /// The same for an order that ends it.
    void say(const std::string& order) {
        const std::string line = order + "\n";
        orders_.write(line.data(), line.size());
    }
    /// Waits until it sleeps again: after its answer it has a little way to go, and on a busy machine that takes a while.
    void settles() {
        const Deadline late = Deadline::in(milliseconds(5000));
        while (process_.stillness().empty() && !late.expired())
            process_.wait(Deadline::in(milliseconds(2)));
    }
    void ends() { process_.wait(Deadline::in(milliseconds(10'000))); }

    /// Processor time that it has used, as exactly as the system tells.
    double cpu_seconds() const;
    /// How long ago it started, at least and at most.
    double least_age() const { return seconds_between(after_, steady::now()); }
    double most_age() const { return seconds_between(before_, steady::now()); }

private:
    static Process begin(Worker& self) {
        StartRequest request;
        request.command = {own_program()};
        request.environment["IPC_LABS_WORKER"] = "1";
        auto [orders_out, orders_in] = make_pipe();
        auto [answers_out, answers_in] = make_pipe();
        request.input = std::move(orders_out);
        request.output = std::move(answers_in);
        request.share_error = true;
        self.orders_ = std::move(orders_in);
        self.answers_ = std::move(answers_out);
        return Process::start(std::move(request));
    }
    Stream orders_, answers_;
    steady::time_point before_, after_;
    Process process_;
};

/// Physical memory that a process has now, in MiB; 0 when it has ended.
double resident_mebibytes(std::uint32_t process);

/// Stops a process where it stands, or lets it go on. False: there is none any more.
bool freeze(std::uint32_t process);
void thaw(std::uint32_t process);

// ---- what the lab program prints --------------------------------------------------------------------------------------

inline std::vector<std::string> words_of(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;)
        words.push_back(word);
    return words;
}

inline std::vector<std::string> lines_of(const std::string& text) {
    std::istringstream in(text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

/// What `sample` has printed: the name, and the first word behind each key.
struct Sample {
    std::string name, descriptors;
    double age = 0, cpu = 0, cpu_time = 0, memory = 0;
    unsigned threads = 0;
};

inline Sample sampled(Stage& stage, const std::string& text) {
    Sample sample;
    const std::vector<std::string> lines = lines_of(text);
    const std::string head = lines.empty() ? "" : lines[0];
    sample.name = head.substr(0, head.rfind(" (pid "));
    if (const std::size_t age = head.rfind(", started "); age != std::string::npos)
        sample.age = std::atof(head.c_str() + age + 10);
    int found = 0;
    for (const std::string& line : lines) {
        const std::vector<std::string> words = words_of(line);
        if (words.size() < 2)
            continue;
        const double value = std::atof(words[1].c_str());
        found += words[0] == "cpu" ? (sample.cpu = value, 1)
                 : words[0] == "cpu-time" ? (sample.cpu_time = value, 1)
                 : words[0] == "memory" ? (sample.memory = value, 1)
                 : words[0] == "threads" ? (sample.threads = static_cast<unsigned>(value), 1)
                 : words[0] == "descriptors" ? (sample.descriptors = words[1], 1)
                 : 0;
    }
    stage.require(found == 5, {"cpu, cpu-time, memory, threads and descriptors of the process", shown(text, 300), "", "", ""});
    return sample;
}

/// Runs `sample` on the worker.
inline Sample sample_of(Stage& stage, const Worker& worker, const Mistake& otherwise = {}) {
    Subject lab = stage.start({"sample", worker.number()});
    lab.exits(0, otherwise);
    return sampled(stage, lab.output());
}

/// A line of `watch`.
struct Row {
    std::uint64_t turn = 0;
    double time = 0, cpu = 0, cpu_time = 0, memory = 0;
    unsigned threads = 0;
    std::string descriptors, line;
    steady::time_point arrived;
};

/// The next line of `watch`, which should be one of its table.
inline Row row(Stage& stage, Subject& lab, const Mistake& otherwise = {}) {
    Row row;
    row.line = lab.line(otherwise);
    row.arrived = steady::now();
    const std::vector<std::string> words = words_of(row.line);
    stage.require(words.size() >= 10 && words[2] == "s", {"the next line of the table", shown(row.line, 200), "", "", otherwise});
    row.turn = std::strtoull(words[0].c_str(), nullptr, 10);
    row.time = std::atof(words[1].c_str());
    row.cpu = std::atof(words[3].c_str());
    row.cpu_time = std::atof(words[4].c_str());
    row.memory = std::atof(words[6].c_str());
    row.threads = static_cast<unsigned>(std::atoi(words[8].c_str()));
    row.descriptors = words[9];
    return row;
}

/// Starts `watch` on the worker, and reads its two headlines.
inline Subject watch(Stage& stage, const Worker& worker, const std::vector<std::string>& options) {
    std::vector<std::string> words = {"watch", worker.number()};
    words.insert(words.end(), options.begin(), options.end());
    Subject lab = stage.start(words);
    const std::string head = lab.line();
    stage.require(head.find("(pid " + worker.number() + ")") != std::string::npos, {"a headline with the process's name and number", shown(head), "", "", ""});
    lab.line();
    return lab;
}

constexpr std::uint32_t failure = 1, wrong_usage = 2;

inline std::string now_and_here(const std::string& posix, const std::string& win32) { return windows ? win32 : posix; }

/// Tried, and refused with this exit code and words that say why.
inline void refuses(Stage& stage, const std::vector<std::string>& words, std::uint32_t code, const std::string& about, const std::string& input = {}) {
    Subject lab = stage.start(words);
    lab.feed(input);
    lab.close_input();
    lab.exits(code);
    lab.complains(about);
    lab.prints("");
}

/// Until it has read all that it was given, and waits for more.
inline void settles(Stage& stage, Subject& lab, std::size_t given) {
    std::string before;
    stage.await([&](Deadline deadline) {
        while (!deadline.expired()) {
            const std::string now = lab.fed() == given ? lab.process().stillness() : "";
            if (!now.empty() && (windows || now == before))
                return true;
            before = now;
            if (lab.process().wait(Deadline::in(milliseconds(5))))
                return true;
        }
        return false;
    }, "it reads all of its input and waits for more", "");
}

/// Memory, in MiB, by which the lab program grows while it reads `more`.
inline double growth(Stage& stage, Subject& lab, const std::string& first, const std::string& more) {
    lab.feed(first);
    settles(stage, lab, first.size());
    const double before = resident_mebibytes(lab.process().id());
    lab.feed(more);
    settles(stage, lab, first.size() + more.size());
    return resident_mebibytes(lab.process().id()) - before;
}

}  // namespace judge
