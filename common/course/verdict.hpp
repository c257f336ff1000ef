#pragma once

/// @file
/// A judge's verdict, as docs/judge-protocol.md describes it.

#include <string>
#include <utility>
#include <vector>

namespace course {

enum class CaseOutcome { passed, failed, not_attempted, unavailable_here, judge_error };

/// As the protocol spells it.
std::string_view words_for(CaseOutcome outcome);

struct CaseVerdict {
    std::string name;      ///< "1.2"
    std::string exercise;  ///< "1: capture"
    std::string title;
    CaseOutcome outcome = CaseOutcome::judge_error;
    int points = 0;
    int max_points = 0;
    std::string mistake;  ///< names of the catalogue, separated by ", "
    std::string message;  ///< lines "key: text"
    std::string waiting;  ///< the explained hang
    std::string section;  ///< anchor in the handout
    std::string rerun;
    double seconds = 0;
    std::vector<std::string> hints;  ///< with --list only
};

struct Verdict {
    std::string lab, track, subject, source, seed, confinement;
    double seconds = 0;
    int points = 0;
    int max_points = 0;
    std::vector<CaseVerdict> cases;

    bool full_marks() const;
    const CaseVerdict* find(const std::string& name) const;
    int count(CaseOutcome outcome) const;
};

/// @param listing  whether it is the answer to --list, which has no outcomes
/// @throws Failure (judge error) if the text is no verdict
Verdict parse_verdict(const std::string& text, bool listing = false);

/// "key: text" lines with their continuations, in order.
std::vector<std::pair<std::string, std::string>> message_parts(const std::string& message);

/// The names of the cases, in order.
std::vector<std::string> names_of(const Verdict& verdict);

/// The names in a list separated by ", ".
std::vector<std::string> names_in(const std::string& list);

}  // namespace course
