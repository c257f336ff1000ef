#pragma once

/// @file
/// A verdict as a person reads it.

#include "labs.hpp"
#include "terminal.hpp"
#include "verdict.hpp"
#include <string>

namespace course {

/// Where a starter's first function is still to be written.
struct FirstTask {
    std::string function;  ///< "capture"; empty if it cannot be told
    int line = 0;
};

/// Finds the first `not_implemented` in a source, and the function around it.
FirstTask first_task(const std::string& source);

/// One line a case; what failed with everything that helps.
std::string verdict_text(const Repository& repository, const Lab& lab, Track track, const Verdict& verdict,
                         const Style& style);

/// The same for `watch`: the first failure in full on top, then one line a case.
/// @param rows  how many lines may be seen at once, 0 for any number: where there are more, the cases are named without
///              their titles, for the failure must not scroll away
std::string verdict_text_short(const Repository& repository, const Lab& lab, Track track,
                               const Verdict& verdict, const Style& style, std::size_t rows = 0);

/// "35/100 points", and what to do next.
/// @param source  the student's file, for the first task of an untouched starter; empty for a solution
std::string summary_text(const Repository& repository, const Lab& lab, Track track, const Verdict& verdict,
                         const std::string& source, const Style& style);

/// The section of the handout that helps with a failed case: the one that its mistake names, or else its own.
std::string section_to_read(const Repository& repository, const Lab& lab, Track track, const CaseVerdict& each);

/// The first case that was failed, else the first that was not attempted; null if there is none.
const CaseVerdict* next_case(const Verdict& verdict);

}  // namespace course
