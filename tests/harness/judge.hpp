#pragma once

/// @file
/// What a judge is written with.
///
/// A judge's source is a list of cases. Each is a sentence a student understands, its points and hints, and a story:
/// given this other process, when that happens, the subject does this.
///
///     CASE("1.1 capture prints exactly what the command wrote" * points(10) * section("capture")
///          * hints("Who…?", "Look at …", "Close … before …")) {
///         Puppet child = stage.puppet("child");
///         Subject lab = stage.start({"capture", "--", child.program(), child.endpoint()});
///         child.started();
///         ...
///         lab.exits(0);
///     }
///
/// Every wait is bounded. A wait that fails explains itself and ends the case; so does everything left behind.

#include "payload.hpp"
#include "platform.hpp"
#include <doctest/doctest.h>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace judge {

// ---- what a case is -------------------------------------------------------------------------------------------------

struct CaseInfo {
    std::string name;      ///< "1.2": lab and case
    std::string title;     ///< the sentence
    std::string exercise;  ///< the test suite it stands in
    std::string section;   ///< anchor in the handout
    std::vector<std::string> hints;
    int points = 0;
    bool windows_only = false;
    std::string why;  ///< why it is windows_only
};

/// Doctest decorators. They are read when the judge starts; see case.cpp.
struct points {
    explicit points(int count) : count_(count) {}
    void fill(doctest::detail::TestCase& test) const;
    int count_;
};
struct section {
    explicit section(const char* anchor) : anchor_(anchor) {}
    void fill(doctest::detail::TestCase& test) const;
    const char* anchor_;
};
/// Three steps, from a question to nearly the answer.
struct hints {
    hints(const char* first, const char* second, const char* third) : texts_{first, second, third} {}
    void fill(doctest::detail::TestCase& test) const;
    const char* texts_[3];
};
/// Wine answers this one wrongly: under Wine it is reported as unavailable here.
struct windows_only {
    explicit windows_only(const char* why) : why_(why) {}
    void fill(doctest::detail::TestCase& test) const;
    const char* why_;
};

// ---- how a case ends early --------------------------------------------------------------------------------------------

/// Names of mistakes from the catalogue, separated by ", "; empty if the symptom has no name.
using Mistake = std::string;

struct Failure {
    std::string expected, got, left_behind, note;
    Mistake mistake;
};

/// `bytes` as a person can read them: escapes for what is not printable, cut at `limit`.
std::string shown(std::string_view bytes, std::size_t limit = 80);
/// How `got` differs from `expected`, with the first differing byte; for Failure::got.
std::string difference(std::string_view got, std::string_view expected);

class Stage;

/// A running subject with its standard streams.
class Subject {
public:
    Subject(Subject&&) noexcept;
    ~Subject();

    /// Gives it input; the bytes are fed as fast as it takes them, in the background.
    void feed(std::string bytes);
    void close_input();
    /// Bytes of the input that it has taken so far (or the pipe has).
    std::size_t fed() const;
    /// Whether the feeding ended because nobody reads any more.
    bool input_refused() const;

    /// The next line of standard output without its end.
    std::string line(const Mistake& otherwise = {});
    /// Waits for the line `ready` or `ready DETAIL`; returns DETAIL.
    std::string ready(const Mistake& otherwise = {});
    /// Waits until `count` bytes of output in all have arrived, and returns all so far.
    std::string output_of(std::size_t count, const Mistake& otherwise = {});
    /// All of standard output, once it has ended.
    const std::string& output(const Mistake& otherwise = {});
    /// What has arrived so far.
    std::string output_so_far() const;
    const std::string& errors();

    /// Waits for its end, whatever it is.
    Ended ends(const Mistake& otherwise = {});
    /// It ends with this exit code.
    void exits(std::uint32_t code, const Mistake& otherwise = {});
    /// It ends with an exit code other than 0 that is not a crash.
    void fails(const Mistake& otherwise = {});
    /// Its whole output is exactly this.
    void prints(std::string_view expected, const Mistake& otherwise = {});
    /// Its whole standard error contains this.
    void complains(std::string_view about, const Mistake& otherwise = {});

    /// While it waits for somebody it uses no processor: watched until it is seen to wait, a tenth of a second as a rule.
    void idles() { idles("", "busy-waiting"); }
    void idles(const Mistake& otherwise) { idles(otherwise, otherwise); }
    void idles(const Mistake& if_ended, const Mistake& if_busy);
    bool running();

    Process& process();
    /// The command as it was started, for the student to run.
    std::string command() const;

    struct State;  ///< for the harness

private:
    friend class Stage;
    explicit Subject(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
};

/// How a subject is started, where the defaults do not do.
struct Start {
    bool hold_output = false;  ///< nobody reads its output until Subject::output() or line() is called
    bool no_input = false;     ///< standard input is the null device; otherwise a pipe, open until close_input()
    bool with_decoy = false;
    std::map<std::string, std::optional<std::string>> environment;
    std::string directory;      ///< default: the stage's private folder
    std::size_t pipe_size = 0;  ///< capacity asked for its standard streams
};

/// A process that does only what the case tells it; see puppet.md.
class Puppet {
public:
    Puppet(Puppet&&) noexcept;
    ~Puppet();

    /// What a lab program has to start: {program, endpoint}.
    std::vector<std::string> command() const;
    std::string program() const;
    std::string endpoint() const;

    /// Waits until it has been started, by whomever.
    void started(const Mistake& otherwise = {});
    bool is_started() const;
    std::uint32_t id() const;
    std::vector<std::string> arguments() const;
    std::map<std::string, std::string> environment() const;
    std::string directory() const;
    std::vector<std::string> odd_signals() const;

    struct Moved {
        std::uint64_t count = 0;
        std::string hash, error, bytes;
        bool end = false;
    };
    // Each tells it to do one thing and waits until it is done; "on hang" names the mistake that explains a hang.
    Moved write(std::string_view bytes, const Mistake& on_hang = {});
    Moved write_error(std::string_view bytes, const Mistake& on_hang = {});
    Moved pour(std::uint64_t count, std::uint64_t seed, const Mistake& on_hang = {});
    Moved read(std::size_t count, const Mistake& on_hang = {});
    Moved drain(const Mistake& on_hang = {});
    Moved relay(const Mistake& on_hang = {});
    void close_input();
    void close_output();
    std::vector<std::string> descriptors();
    void ignore_polite_requests();
    /// Another puppet that inherits this one's standard streams, as a child of this one.
    Puppet spawn(bool detached = false);
    /// It waits for the one that it spawned last; the exit code, or 128 + the signal's number.
    std::uint32_t reap(const Mistake& on_hang = {});
    // These do not wait.
    void begin_pour(std::uint64_t count, std::uint64_t seed);
    void begin_drain();
    void begin_relay();
    Moved finish(const Mistake& on_hang = {});  ///< the answer to the last begin_…
    void exit(std::uint32_t code);
    void crash(const std::string& how);
    void hold();
    void spin();
    /// Waits until it is gone (its connection closed).
    void gone(const Mistake& otherwise = {});

    struct State;  ///< for the harness

private:
    friend class Stage;
    explicit Puppet(std::shared_ptr<State> state);
    std::shared_ptr<State> state_;
};

/// Where one case is played: a private folder, names of its own, a random source, and a clean floor at the end.
class Stage {
public:
    Stage(const Stage&) = delete;

    Random& random();
    /// A private, empty folder: current directory of the subjects, checked for leftovers at the end.
    const std::string& folder() const;
    /// A second private folder for the case's own files; not checked.
    const std::string& files() const;
    /// A name for a FIFO, pipe, segment…, that nobody else uses; leftovers bearing it are found at the end.
    std::string name(std::string_view what);

    Subject start(std::vector<std::string> arguments, Start how = {});
    Puppet puppet();

    /// Ends the case as failed.
    [[noreturn]] void fail(Failure failure);
    /// Fails unless `fine`.
    void require(bool fine, const Failure& failure);
    /// Ends the case as not to be had on this machine.
    [[noreturn]] void unavailable(const std::string& why);
    /// If the failure's words (message or explained hang) match this regular expression, the mistake is this one. The
    /// first match wins over the mistake that the failing step names.
    void recognise(const std::string& pattern, const Mistake& mistake);
    /// The same, where the words alone do not tell: `mistake` is asked when they have been found.
    void recognise(const std::string& pattern, std::function<Mistake()> mistake);
    /// The same as the first; forget() does not touch it.
    void recognise_throughout(const std::string& pattern, const Mistake& mistake);
    /// What recognise() was told is of no use from here on: the same words mean something else in another step.
    void forget();
    /// A command that shows the same by hand, with real programs instead of puppets; the last one counts.
    void by_hand(const std::string& command);
    /// How long a wait may take before it has failed; for cases whose subject has timeouts of its own.
    void patience(milliseconds longest);
    /// Tries `attempt` with short deadlines until it says true; fails the case as a hang when patience ends, or when
    /// every process of the stage stands still. `what` completes 'expected: …'.
    void await(const std::function<bool(Deadline)>& attempt, const std::string& what, const Mistake& otherwise);
    double time_scale() const;

    // For the harness.
    struct State;
    explicit Stage(State& state) : state_(state) {}

private:
    friend class Subject;
    friend class Puppet;
    void end_if_not_attempted();
    State& state_;
};

/// The lab that this judge is for; each judge.cpp gets it by JUDGE_LAB.
std::string lab_name();
#ifdef JUDGE_LAB
#define JUDGE_MAIN                                                                                                     \
    std::string judge::lab_name() { return JUDGE_LAB; }
#endif

// ---- the case macro ---------------------------------------------------------------------------------------------------

void play(void (*story)(Stage&));

#define JUDGE_CASE(story, ...)                                                                                         \
    static void story(::judge::Stage& stage);                                                                          \
    TEST_CASE(__VA_ARGS__) { ::judge::play(story); }                                                                   \
    static void story([[maybe_unused]] ::judge::Stage& stage)

/// A graded case; its body sees `stage`.
#define CASE(...) JUDGE_CASE(DOCTEST_ANONYMOUS(judge_story_), __VA_ARGS__)
/// The cases that follow belong to this exercise.
#define EXERCISE(title) TEST_SUITE(title)

}  // namespace judge
