#pragma once

/// @file
/// Grading one submitted file: compiled in one sandbox, judged in another.

#include "class_intake.hpp"
#include "class_sandbox.hpp"
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>

namespace course {

/// What it takes to make a lab program of one more source, and to judge it.
struct Recipe {
    Lab lab;
    Track track = Track::posix;
    int max_points = 0;
    std::string compile, link;       ///< shell commands that run in the build folder
    std::vector<std::string> parts;  ///< files of the build folder that they need
    std::string version;             ///< changes when a verdict might
};

/// Builds the judge and asks the build how a lab program is made.
/// @throws Failure (machine or judge error)
/// @param is_built  nothing needs to be built: only ask
Recipe recipe_for(const Repository& repository, const Lab& lab, Track track, bool is_built);

/// The beginning of the names that a grader's folders and control groups have on this machine.
/// @param out  where the results go
std::string grader_name(const std::filesystem::path& out);

/// Grades files, several at once, each within walls of its own.
class Grader {
public:
    /// @param name   tells this grader's folders and control groups from those of others on this machine; what an earlier
    ///               one of that name left behind, because it was killed, is removed
    /// @param slots  how many files at once; each slot has a user of its own, where root grades
    Grader(const Repository& repository, Isolation level, std::string seed, std::string name, unsigned slots);
    ~Grader();

    /// The result of one file: an object of `labs` in ClassResult.
    /// @throws Failure (machine) when this machine is at fault, not the file
    nlohmann::json grade(const Recipe& recipe, const std::string& source);

    /// Grades the starter as it was shipped: what is wrong here then would be wrong for everybody.
    /// @returns the points that can be had on this machine
    /// @throws Failure (machine)
    int trial(const Recipe& recipe);

    /// "all processes together" or "each process": whom the limits hold for.
    std::string limits_hold_for() const;

private:
    struct Slot;
    struct Scratch;
    class Lease;
    std::filesystem::path given(const Recipe& recipe, const std::string& program);
    std::filesystem::path common_headers(const Recipe& recipe);
    Outcome compile(const Recipe& recipe, const std::filesystem::path& scratch, const Slot& slot);
    Outcome ask_judge(const Recipe& recipe, const std::filesystem::path& scratch, const Slot& slot);
    void judge_it(const Recipe& recipe, const std::filesystem::path& scratch, const Slot& slot, nlohmann::json& result);
    nlohmann::json grade_in(const Recipe& recipe, const std::string& source, const Slot& slot, bool on_trial);
    Box box_in(const Slot& slot, unsigned long long memory_bytes, unsigned processes) const;
    void compiles_here(const Recipe& recipe, const Slot& slot, bool was_over_limit);

    const Repository& repository_;
    Isolation level_;
    std::string seed_, name_;
    std::unique_ptr<Scratch> judges_;
    std::vector<std::unique_ptr<Slot>> slots_;
    std::vector<Slot*> free_;
    std::unique_ptr<Guardian> guardian_;
    std::map<std::string, std::pair<std::string, nlohmann::json>> starters_;  ///< by the recipe's version: the starter, and its result
    std::mutex mutex_, headers_mutex_;
    std::condition_variable freed_;
};

}  // namespace course
