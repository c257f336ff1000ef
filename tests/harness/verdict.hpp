#pragma once

/// @file
/// The verdict on a subject: as the JSON of docs/judge-protocol.md and as text for a person.

#include "stage_state.hpp"

namespace judge {

struct Verdict {
    std::string lab, track, subject, source, seed, confinement, rerun;
    double seconds = 0;
    bool interrupted = false;
    std::vector<std::pair<CaseInfo, CaseResult>> cases;

    int points() const;
    int max_points() const;
    bool full_marks() const;
    bool judge_error() const;
};

nlohmann::json to_json(const Verdict& verdict);
std::string to_text(const Verdict& verdict, bool color);
/// The cases alone, with hints, for --list.
nlohmann::json list_json(const std::string& lab, const std::string& track);
std::string rerun_of(const Verdict& verdict, const CaseInfo& info);

}  // namespace judge
