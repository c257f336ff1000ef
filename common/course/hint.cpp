#include "build.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "judge_client.hpp"
#include "progress.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <fmt/format.h>

namespace course {
namespace {

// Where a case without a lab may be from: 1.2 is lab 01's by custom, and else the one's that was graded last.
std::vector<Lab> labs_for_hint(const Repository& repository, const std::string& lab,
                               const std::string& case_name) {
    if (!lab.empty())
        return {repository.lab_named(lab)};
    std::vector<Lab> candidates;
    const std::string number = case_name.substr(0, case_name.find('.'));
    for (const Lab& each : repository.labs())
        if (each.number == number || each.number == "0" + number)
            candidates.push_back(each);
    // The lab that was graded last may have gone with an update, or somebody has written in the file.
    if (const auto last = Progress(repository).last(); last && (candidates.empty() || candidates[0].name != last->lab))
        for (const Lab& each : repository.labs())
            if (each.name == last->lab)
                candidates.push_back(each);
    if (candidates.empty())
        throw Failure(exit_code::usage, fmt::format("there is no case '{}'; cases are called like 1.2, and a "
                                                    "lab can be named: './course hint 01 1.2'",
                                                    case_name));
    return candidates;
}

Track track_for_hint(const Repository& repository, const std::string& track) {
    if (!track.empty())
        return track_named(track);
    const auto last = Progress(repository).last();
    return last ? last->track : Track::posix;
}

}  // namespace

int hint(const Repository& repository, const std::string& lab_name, const std::string& case_name,
         const std::string& track_name, bool all) {
    const Track track = track_for_hint(repository, track_name);
    Lab lab;
    Verdict cases;
    const CaseVerdict* wanted = nullptr;
    std::string known;
    for (const Lab& candidate : labs_for_hint(repository, lab_name, case_name)) {
        if (build(repository, preset_of(track), {"judge-" + candidate.number}))
            throw Failure(
                exit_code::judge_error,
                fmt::format(
                    "the judge of {} does not build, and it has the hints; './course grade {}' says why",
                    candidate.name, candidate.number));
        lab = candidate;
        cases = list_cases(repository, lab, track);
        wanted = cases.find(case_name);
        if (wanted)
            break;
        known += fmt::format("; the cases of {} are {}", lab.name, joined(names_of(cases)));
    }
    if (!wanted)
        throw Failure(exit_code::usage, fmt::format("there is no case '{}' on the {} track{}", case_name,
                                                    course::name_of(track), known));
    fmt::print("{}\n", wrapped(fmt::format("{} {}: {}", lab.name, wanted->name, visible(wanted->title)), terminal_width(), 2));
    const int count = static_cast<int>(wanted->hints.size());
    Progress progress(repository);
    const int shown = progress.hints_shown(lab, track, wanted->name);
    const int last = all ? count : std::min(shown + 1, count);
    for (int i = all ? 1 : last; i >= 1 && i <= last; ++i)
        fmt::print("\nHint {} of {}\n  {}\n", i, count,
                   wrapped(visible(wanted->hints[static_cast<std::size_t>(i - 1)]), terminal_width(), 2));
    const std::string again = fmt::format("./course hint {}{}{}", lab_name.empty() ? "" : lab.number + " ",
                                          wanted->name, track == Track::posix ? "" : " --track win32");
    if (last < count)
        fmt::print("\nThe next one: {}\n", again);
    else
        fmt::print("\n{}\n", wrapped(fmt::format("There are no more. Read {}#{}{}", handout_of(lab), wanted->section,
                                                 all || count < 2 ? "" : fmt::format("; all hints again: {} --all", again)),
                                     terminal_width(), 0));
    progress.record_hint(lab, track, wanted->name, std::max(shown, last));
    return exit_code::full_marks;
}

}  // namespace course
