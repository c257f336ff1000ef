#include "judge_client.hpp"

#include "failure.hpp"
#include "terminal.hpp"
#include "wine.hpp"
#include <algorithm>
#include <csignal>
#include <cstring>
#include <fmt/format.h>

namespace fs = std::filesystem;

namespace course {
namespace {

std::vector<std::string> judge_program(const Repository& repository, const Lab& lab, Track track) {
    const std::string judge = program_of(preset_of(track), "judge-" + lab.number);
    if (track == Track::posix)
        return {judge};
    return {(repository / "common/wine-run").string(), judge};
}

// Everything in which an answer could be read: the solutions, the judges' sources, and what was compiled from
// either.
std::vector<std::string> hidden_folders(const Repository& repository, const std::string& subject) {
    std::vector<std::string> folders = {"solutions", "tests", ".git"};
    std::error_code error;
    for (const fs::directory_entry& preset : fs::directory_iterator(repository / "build", error)) {
        const std::string build = "build/" + preset.path().filename().string();
        for (const char* inside : {"bin/solution", "bin/mistakes", "bin/alternatives", "bin/cheats",
                                   "bin/bench", "mistakes", "CMakeFiles"})
            folders.push_back(build + "/" + inside);
    }
    std::erase_if(folders, [&](const std::string& folder) {
        return subject.rfind(folder + "/", 0) == 0 || !fs::is_directory(repository / folder);
    });
    return folders;
}

Failure judge_failed(const Lab& lab, const std::string& how, const Outcome& outcome) {
    std::string words = visible(outcome.errors);
    if (words.size() > 1500)
        words = "…" + words.substr(words.size() - 1500);
    return {exit_code::judge_error,
            fmt::format("the judge of {} {}. That is the course's fault, not yours; nothing was counted.{}{}",
                        lab.name, how, words.empty() ? "" : "\nIt said:\n", words)};
}

Outcome ask(const Lab& lab, const Command& command) {
    Outcome outcome = run(command);
    // wine-run's own codes; no judge ends with them.
    if (outcome.code == 125 || outcome.code == 127)
        throw Failure(exit_code::machine, fmt::format("the judge of {} cannot be started: {}", lab.name,
                                                      visible(outcome.errors)));
    if (outcome.over_limit)
        throw judge_failed(lab, "did not end in time", outcome);
    return outcome;
}

std::string only_line(const Lab& lab, const Outcome& outcome) {
    const std::size_t end = outcome.output.find('\n');
    if (end == std::string::npos)
        throw judge_failed(lab,
                           outcome.signal
                               ? fmt::format("was ended by {}", ::strsignal(outcome.signal))
                               : fmt::format("ended with exit code {} and no verdict", outcome.code),
                           outcome);
    return outcome.output.substr(0, end);
}

}  // namespace

std::vector<std::string> judging_targets(const Lab& lab, const std::string& subject_target) {
    return {subject_target, "judge-" + lab.number, "puppet"};
}

Command judge_command(const Repository& repository, const Judging& judging) {
    Command command{
        judge_program(repository, judging.lab, judging.track), repository.root,
        judging.cases.empty() ? std::chrono::minutes(3) : std::chrono::minutes(1), {}};
    const auto add = [&](const std::string& option, const std::string& value) {
        command.arguments.push_back(option);
        command.arguments.push_back(value);
    };
    add("--subject", judging.subject);
    add("--source", judging.source);
    const std::string track =
        judging.track == Track::posix ? "" : fmt::format(" --track {}", name_of(judging.track));
    add("--rerun", fmt::format("./course grade {}{}{} --case {{case}}", judging.lab.number, track,
                               judging.reference ? " --solution" : ""));
    for (const std::string& each : judging.cases)
        add("--case", each);
    if (!judging.seed.empty())
        add("--seed", judging.seed);
    if (judging.jobs > 0)
        add("--jobs", std::to_string(judging.jobs));
    for (const std::string& folder : hidden_folders(repository, judging.subject))
        add("--hide", folder);
    add("--format", "json");
    if (!judging.wine.empty())
        command.environment = {"IPC_LABS_WINEPREFIX=" + judging.wine,
                               "IPC_LABS_WINE_LIKE=" + wine_folder().string()};
    return command;
}

Judged judge(const Repository& repository, const Judging& judging) {
    const Outcome outcome = ask(judging.lab, judge_command(repository, judging));
    if (outcome.code == 2 && outcome.output.empty()) {
        const Verdict known = list_cases(repository, judging.lab, judging.track);
        for (const std::string& wanted : judging.cases)
            if (!known.find(wanted))
                throw Failure(exit_code::usage,
                              fmt::format("{} has no case '{}' on the {} track; its cases are {}",
                                          judging.lab.name, wanted, name_of(judging.track),
                                          joined(names_of(known))));
        throw Failure(exit_code::usage, fmt::format("the judge of {} refused its command line: {}",
                                                    judging.lab.name, visible(outcome.errors)));
    }
    const std::string line = only_line(judging.lab, outcome);
    Judged judged{parse_verdict(line), line, outcome.code};
    if (outcome.code != 0 && outcome.code != 1 && outcome.code != 5)
        throw judge_failed(judging.lab,
                           fmt::format("ended with exit code {} after its verdict", outcome.code), outcome);
    if (outcome.code == 0 && !judged.verdict.full_marks())
        throw judge_failed(judging.lab, "said 'full marks' over a verdict without them", outcome);
    return judged;
}

Judged judge_again_if_it_fails(const Repository& repository, const Judging& judging,
                               const std::function<void(const std::string&)>& note) {
    for (int again = 0; again < 2; ++again) {
        try {
            Judged judged = judge(repository, judging);
            if (judged.verdict.count(CaseOutcome::judge_error) == 0)
                return judged;
            note(fmt::format("a judge error in {}", judging.subject));
        } catch (const Failure& failure) {
            if (failure.code() != exit_code::judge_error)
                throw;
            note(fmt::format("{}: {}", judging.subject, failure.what()));
        }
        if (judging.track == Track::win32)
            end_wine(judging.wine.empty() ? wine_folder() : fs::path(judging.wine));
    }
    return judge(repository, judging);
}

Verdict list_cases(const Repository& repository, const Lab& lab, Track track) {
    Command command{judge_program(repository, lab, track), repository.root, std::chrono::minutes(5), {}};
    command.arguments.push_back("--list");
    const Outcome outcome = ask(lab, command);
    if (outcome.code != 0)
        throw judge_failed(lab, fmt::format("could not list its cases (exit code {})", outcome.code),
                           outcome);
    return parse_verdict(outcome.output, true);
}

}  // namespace course
