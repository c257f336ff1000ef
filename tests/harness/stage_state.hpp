#pragma once

/// @file
/// The insides of stage, subject and puppet, shared by their source files only.

#include "judge.hpp"
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <regex>
#include <thread>

namespace judge {

/// How a case ended, as it travels from the case's process to the coordinator.
struct CaseResult {
    std::string outcome;  ///< "passed", "failed", "not attempted", "unavailable here", "judge error"
    std::string message, waiting, mistake;
    double seconds = 0;
};
nlohmann::json to_json(const CaseResult& result);
CaseResult result_from(const nlohmann::json& json);

/// Thrown by Stage to leave the story.
struct CaseOver {
    CaseResult result;
};

/// What the case's process was called with.
struct CaseOptions {
    std::string subject;
    std::uint64_t seed = 1;
    double time_scale = 1;
    std::vector<std::string> hidden;
    std::string confinement;
};
CaseOptions& case_options();
/// The result of the case that play() has just played.
CaseResult& last_result();

const std::vector<CaseInfo>& all_cases();
/// Runs the one case of that name by doctest; its result, or a judge error if it did not come to an end.
CaseResult run_case(const std::string& name);

/// A subject's output, filled by a thread of its own.
struct Reader {
    Stream stream;
    std::thread thread;
    std::string bytes;
    bool ended = false;
    bool held = false;
    bool stop = false;
};

struct Subject::State {
    State(Stage::State& owner, Process started) : stage(owner), process(std::move(started)) {}
    ~State();
    void begin(Reader& reader, Stream stream, bool held);
    void begin_feeding(Stream stream);
    void release();  ///< lets held readers read
    void shut_down();  ///< ends the tree and the threads
    bool has_spoken();  ///< something is there from its standard error

    Stage::State& stage;
    Process process;
    std::string command;

    std::mutex mutex;
    std::condition_variable changed;
    Reader output, errors;
    std::size_t line_start = 0;

    std::thread feeder;
    Stream input;
    std::string to_feed;
    std::size_t fed = 0;
    bool input_closed = true, refused = false, stop_feeding = false;
    bool over = false;  ///< shut_down() was done
};

struct Puppet::State {
    State(Stage::State& owner, const std::string& directory) : stage(owner), listener(directory) {}
    Stage::State& stage;
    Listener listener;
    std::optional<Connection> connection;
    nlohmann::json hello;
    std::string pending;  ///< what the last begun request does, for messages
    bool lost = false;
};

struct Stage::State {
    explicit State(const CaseOptions& options);
    ~State();
    /// Waits for leftovers to go, and fails the case if they do not. Called when the story has come to its end.
    void finish(Stage& stage);
    /// Whether every subject's output has come to its end and is here, as far as anybody reads it.
    bool all_is_read() const;

    const CaseOptions& options;
    Random random;
    std::string token;  ///< part of every name of this stage
    std::string root, folder, files;
    std::string tried, by_hand;
    struct Rule {
        std::regex pattern;
        std::function<Mistake()> mistake;
        bool throughout;
    };
    std::vector<Rule> rules;
    milliseconds patience{12000};
    std::vector<std::shared_ptr<Subject::State>> subjects;
    std::vector<std::shared_ptr<Puppet::State>> puppets;
};

/// A command line as a shell would need it.
std::string quoted(const std::vector<std::string>& words);

}  // namespace judge
