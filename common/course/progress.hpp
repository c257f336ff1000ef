#pragma once

/// @file
/// What the student has reached: .course/progress.json, readable, and harmless to lose.

#include "labs.hpp"
#include <map>
#include <optional>
#include <string>

namespace course {

/// The last verdict over a whole lab.
struct Grade {
    int points = 0;
    int max_points = 0;
    int best = 0;             ///< the most points there ever were
    std::string when;         ///< UTC, ISO 8601
    std::string source_hash;  ///< of the student's file as it was judged
    std::string next_case;    ///< the first case that was not passed; empty if there is none
};

struct LastGraded {
    std::string lab;
    Track track = Track::posix;
};

/// Reads and changes the file. Keys that this version does not know stay as they are.
class Progress {
public:
    explicit Progress(const Repository& repository);

    std::optional<Grade> grade(const Lab& lab, Track track) const;
    std::optional<LastGraded> last() const;
    int hints_shown(const Lab& lab, Track track, const std::string& case_name) const;

    void record(const Lab& lab, Track track, const Grade& grade);
    void record_hint(const Lab& lab, Track track, const std::string& case_name, int shown);

private:
    std::filesystem::path file_;
};

}  // namespace course
