// A judge as it is called: docs/judge-protocol.md. Each case runs in a process of its own, a few at a time.

#include "verdict.hpp"

#include "ipc/error.hpp"
#include "ipc/memory_kills.hpp"
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#else
#include "proc_posix.hpp"
#include <csignal>
#endif

namespace {

using judge::CaseInfo;
using judge::CaseResult;
using judge::Deadline;
using judge::milliseconds;

struct Options {
    std::string subject, source, rerun, seed, format = "text", one_case;
    std::vector<std::string> cases, hidden;
    unsigned jobs = 0;
    double time_scale = 1;
    bool list = false, color = false;
};

constexpr int judged_full = 0, judged_missing = 1, wrong_usage = 2, judge_error = 5, was_interrupted = 130;

std::string hex(std::uint64_t value) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
}

std::uint64_t fresh_seed() {
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) | device();
}

// Each case draws from a source of its own, so that judging it alone gives the same payloads.
std::uint64_t seed_for(std::uint64_t seed, const std::string& name) {
    for (char c : name)
        seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return judge::Random(seed).next();
}

// The process of one case: plays it and writes the result as one line to standard output, which only the coordinator reads.
// The seed comes by standard input: a command line can be read by everybody, and whoever knows the seed knows the payloads.
int play_one(const Options& options) {
    judge::CaseOptions& given = judge::case_options();
    given.subject = options.subject;
    if (!(std::cin >> std::hex >> given.seed))
        throw std::runtime_error("--one-case is for the judge itself: it gives the case its seed by standard input");
    given.time_scale = options.time_scale;
    given.hidden = options.hidden;
    given.confinement = judge::prepare_case_process(options.hidden);
    nlohmann::json result = to_json(judge::run_case(options.one_case));
    result["confinement"] = given.confinement;
    std::cout << result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
    return 0;
}

struct Played {
    CaseResult result;
    std::string confinement;
};

#ifdef _WIN32
bool is_stopped(const judge::Process&) { return false; }
// TerminateProcess: a judge that ends with 0 by itself has written its result before.
bool is_deed_of_others(const judge::Ended& how) { return how.how == judge::Ended::How::exited && how.code == 0; }
#else
// Whether somebody has stopped that process; nobody but its subject has a reason to.
bool is_stopped(const judge::Process& process) { return judge::proc::state(static_cast<pid_t>(process.id())) == 'T'; }

// A judge that is at fault itself ends by SIGSEGV, SIGABRT or the like; these come from somebody else.
bool is_deed_of_others(const judge::Ended& how) {
    constexpr int sent[] = {SIGKILL, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE};
    return how.how == judge::Ended::How::killed && std::find(std::begin(sent), std::end(sent), static_cast<int>(how.code)) != std::end(sent);
}
#endif

Played no_result(const std::string& why) { return {{"judge error", "note: " + why, "", "", 0}, ""}; }

Played lost(const std::string& deed) {
    return {{"failed", "expected: the program leaves its judge alone\ngot: " + deed, "", "", 0}, ""};
}

// Starts the process of one case and waits for its word.
Played play(const Options& options, const CaseInfo& info, double longest_seconds) {
    if (info.windows_only && judge::under_wine())
        return {{"unavailable here", "note: " + info.why, "", "", 0}, ""};
    judge::StartRequest request;
    request.command = {judge::own_program(), "--one-case", info.name, "--subject", options.subject,
                       "--time-scale", std::to_string(options.time_scale)};
    for (const std::string& path : options.hidden)
        request.command.insert(request.command.end(), {"--hide", path});
    auto [words, end] = judge::make_pipe();
    request.output = std::move(end);
    request.share_error = true;
    auto [seed_end, seed] = judge::make_pipe();
    request.input = std::move(seed_end);
    const long long kills = ipc::kills_for_memory();
    judge::Process process = judge::Process::start(std::move(request));
    const std::string seed_line = hex(seed_for(std::stoull(options.seed, nullptr, 16), info.name)) + "\n";
    seed.write(seed_line.data(), seed_line.size());
    seed.close();

    std::string line;
    std::atomic<bool> complete = false;
    std::thread reader([&line, &complete, &words = words] {
        char buffer[4096];
        while (line.find('\n') == std::string::npos) {
            const std::size_t count = words.read(buffer, sizeof buffer);
            if (count == 0)
                return;
            line.append(buffer, count);
        }
        complete = true;
    });
    const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>(longest_seconds * 1000)));
    bool over = false;
    int stopped = 0;  // tenths of a second
    while (!over && !judge::interrupted() && !deadline.expired() && stopped < 10) {
        over = process.wait(Deadline::in(milliseconds(100)));
        stopped = is_stopped(process) ? stopped + 1 : 0;
    }
    const judge::Ended how = over ? process.ended() : judge::Ended{};
    std::string left;
    try {
        process.end_tree();
    } catch (const std::exception& error) {
        left = error.what();
    }
    if (!over || !left.empty())
        words.abort();
    reader.join();
    if (!left.empty())
        return no_result(left);
    if (complete)
        try {
            const nlohmann::json json = nlohmann::json::parse(line.substr(0, line.find('\n')));
            return {judge::result_from(json), json.value("confinement", "")};
        } catch (const std::exception& error) {
            return no_result(std::string("the result of this case cannot be read: ") + error.what());
        }
    if (judge::interrupted())
        return no_result("interrupted");
    if (over && is_deed_of_others(how) && ipc::kills_for_memory() == kills)
        return lost("the program ended its judge (" + how.text() + ")");
    if (stopped >= 10)
        return lost("the program stopped its judge");
    return no_result(over ? "the judge of this case ended without a result (" + how.text() + ")" : "the judge of this case did not come to an end in time");
}

// On a busy machine Wine now and then cannot start a process, and then no program has a chance: ERROR_INTERNAL_ERROR.
// What a subject then says of it is not held against it; another case that fails is asked once only.
Played play_fairly(const Options& options, const CaseInfo& info, double longest_seconds) {
    Played played = play(options, info, longest_seconds);
    for (int again = 0; again < 2 && judge::under_wine() && !judge::interrupted() && played.result.outcome == "failed" &&
                        played.result.message.find("CreateProcess") != std::string::npos &&
                        played.result.message.find("Internal error") != std::string::npos;
         ++again)
        played = play(options, info, longest_seconds);
    return played;
}

judge::Verdict judge_all(const Options& options, const std::vector<CaseInfo>& cases) {
    const auto begin = std::chrono::steady_clock::now();
    judge::Verdict verdict;
    verdict.lab = judge::lab_name();
#ifdef _WIN32
    verdict.track = "win32";
#else
    verdict.track = "posix";
#endif
    verdict.subject = options.subject;
    verdict.source = options.source;
    verdict.seed = options.seed;
    verdict.rerun = options.rerun;
    std::vector<Played> results(cases.size(), no_result("not played"));
    std::atomic<std::size_t> next = 0;
    auto work = [&] {
        for (std::size_t i; !judge::interrupted() && (i = next++) < cases.size();)
            try {
                results[i] = play_fairly(options, cases[i], 90 * options.time_scale);
            } catch (const judge::StoppedAtBirth&) {
                results[i] = lost("the program stopped its judge");
            } catch (const std::exception& error) {
                results[i] = no_result(std::string("the case could not be started: ") + error.what());
            }
    };
    std::vector<std::thread> workers;
    for (unsigned i = 0; i < options.jobs; ++i)
        workers.emplace_back(work);
    for (std::thread& worker : workers)
        worker.join();
    for (std::size_t i = 0; i < cases.size(); ++i) {
        verdict.cases.emplace_back(cases[i], results[i].result);
        if (verdict.confinement.empty())
            verdict.confinement = results[i].confinement;
    }
    verdict.interrupted = judge::interrupted();
    verdict.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return verdict;
}

std::vector<CaseInfo> chosen(const Options& options) {
    const std::vector<CaseInfo>& all = judge::all_cases();
    if (options.cases.empty())
        return all;
    std::vector<CaseInfo> found;
    for (const std::string& name : options.cases) {
        const auto at = std::find_if(all.begin(), all.end(), [&](const CaseInfo& info) { return info.name == name; });
        if (at == all.end()) {
            std::string known;
            for (const CaseInfo& info : all)
                known += " " + info.name;
            throw CLI::ValidationError("--case", "there is no case " + name + "; the cases are:" + known);
        }
        found.push_back(*at);
    }
    return found;
}

int run(Options options) {
    if (!options.one_case.empty())
        return play_one(options);
    if (options.list) {
#ifdef _WIN32
        std::cout << judge::list_json(judge::lab_name(), "win32").dump() << std::endl;
#else
        std::cout << judge::list_json(judge::lab_name(), "posix").dump() << std::endl;
#endif
        return 0;
    }
    if (options.subject.empty())
        throw CLI::RequiredError("--subject");
    if (!std::filesystem::exists(options.subject))
        throw CLI::ValidationError("--subject", "there is no program " + options.subject + "; build it first");
    options.subject = std::filesystem::absolute(options.subject).string();
    if (options.seed.empty())
        options.seed = hex(fresh_seed());
    if (options.jobs == 0)
        options.jobs = 3 * judge::processor_count() + 2;  // cases mostly wait
    if (options.rerun.empty())
        options.rerun = judge::quoted({judge::own_program(), "--subject", options.subject, "--case"}) + " {case}";
    const std::vector<CaseInfo> cases = chosen(options);
    judge::catch_interrupts();
    const judge::Verdict verdict = judge_all(options, cases);
    if (options.format == "json")
        std::cout << judge::to_json(verdict).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
    else
        std::cout << judge::to_text(verdict, options.color) << std::flush;
    return verdict.interrupted ? was_interrupted : verdict.judge_error() ? judge_error : verdict.full_marks() ? judged_full : judged_missing;
}

}  // namespace

int main(int argc, char** argv) {
#ifdef _WIN32
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    Options options;
    if (const char* scale = std::getenv("IPC_LABS_TIME_SCALE"))
        options.time_scale = std::max(0.1, std::atof(scale));
    CLI::App app("The judge of lab " + judge::lab_name() + ". It starts a lab program, is the process at its other end, and says what it is worth.");
    app.add_option("--subject", options.subject, "the lab program to be judged");
    app.add_option("--case", options.cases, "judge only this case; may be given again")->type_name("ID");
    app.add_option("--jobs", options.jobs, "cases judged at once")->check(CLI::Range(1, 64));
    app.add_option("--seed", options.seed, "where all random payloads come from")->check([](const std::string& text) {
        return text.size() <= 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos && !text.empty()
                   ? std::string()
                   : "a seed is up to 16 hexadecimal digits";
    });
    app.add_option("--time-scale", options.time_scale, "multiplies every deadline")->check(CLI::Range(0.1, 1000.0));
    app.add_option("--source", options.source, "the student's file, as messages should name it");
    app.add_option("--rerun", options.rerun, "the command that judges one case again, with {case} for its id");
    app.add_option("--hide", options.hidden, "a directory that the subject must not see; may be given again");
    app.add_option("--format", options.format, "text or json")->check(CLI::IsMember({"text", "json"}));
    app.add_flag("--color", options.color, "colour the text");
    app.add_flag("--list", options.list, "print the cases as JSON instead of judging");
    app.add_option("--one-case", options.one_case, "play one case and print its result (used by the judge itself)")->group("");
    try {
        app.parse(argc, argv);
        return run(options);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : wrong_usage;
    } catch (const std::exception& error) {
        std::cerr << "judge: " << error.what() << '\n';
        return judge_error;
    }
}
