#include "class_grader.hpp"

#include "build.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "ipc/memory_kills.hpp"
#include "judge_client.hpp"
#include "mistake.hpp"
#include "terminal.hpp"
#include "verdict_text.hpp"
#include "wine.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <optional>
#include <regex>
#include <sstream>
#include <unistd.h>

namespace fs = std::filesystem;
using nlohmann::json;

namespace course {
namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t most_compiler_words = 4000;
constexpr std::chrono::seconds longest_compilation{240};

// What most files of the course include: compiled once, it halves the time that a submission is compiled.
constexpr const char* usual_headers = R"(#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>
)";

std::string text_hash_of(const fs::path& file) { return content_hash(read_file(file).value_or("")); }

bool contains(const std::string& text, std::string_view what) { return text.find(what) != std::string::npos; }

bool is_of(const std::string& word, const std::string& target) { return contains(word, "/" + target + ".dir/"); }

// What a student is told in the terminal besides: the mistakes' titles, and what is to be read of the handout.
void add_explanation(const Repository& repository, const Recipe& recipe, const CaseVerdict& verdict, json& each) {
    if (verdict.outcome != CaseOutcome::failed)
        return;
    json mistakes = json::array();
    for (const std::string& name : names_in(verdict.mistake)) {
        const std::string title = mistake_title(repository, recipe.lab, recipe.track, name);
        mistakes.push_back(title.empty() ? name : name + ": " + title);
    }
    each["mistakes"] = mistakes;
    if (const std::string section = section_to_read(repository, recipe.lab, recipe.track, verdict); !section.empty())
        each["read"] = fmt::format("./course handout {} {}", recipe.lab.number, section);
}

// How a command failed that should not have, in words.
std::string end_of(const Outcome& outcome) {
    const std::string how = outcome.over_limit ? "it did not come to an end in time" : fmt::format("exit code {}", outcome.code);
    return outcome.errors.empty() ? how + ", without a word" : fmt::format("{}, {}", how, visible(outcome.errors.substr(0, 500)));
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
}

// The lab program's two commands, as ninja would run them.
void read_commands(const Repository& repository, const std::string& target, Recipe& recipe) {
    const std::string build_folder = build_of(preset_of(recipe.track));
    const Outcome commands = run({{"ninja", "-C", (repository / build_folder).string(), "-t", "commands", target}, {}, std::chrono::minutes(1), {}});
    std::istringstream lines(commands.output);
    for (std::string line; std::getline(lines, line);)
        if (is_of(line, target))
            (contains(line, " -c ") ? recipe.compile : recipe.link) = line;
    if (recipe.compile.empty() || recipe.link.empty())
        throw Failure(exit_code::machine, fmt::format("ninja does not tell how {} is made: {}", target, visible(commands.errors)));
    // A compiler cache is the machine's, and the box has none. Nobody debugs these programs, or links against them.
    recipe.compile = std::regex_replace(recipe.compile, std::regex(R"(\S*ccache )"), "");
    recipe.compile = std::regex_replace(recipe.compile, std::regex(R"( -g )"), " -g0 ");
    recipe.link = std::regex_replace(recipe.link, std::regex(R"( -Wl,--out-implib,[^ ,]+)"), "");
    std::istringstream words(recipe.link);
    for (std::string word; words >> word;)
        if ((word.ends_with(".o") || word.ends_with(".obj") || word.ends_with(".a")) && !is_of(word, target) && word[0] != '/' && word[0] != '-')
            recipe.parts.push_back(word);
}

}  // namespace

Recipe recipe_for(const Repository& repository, const Lab& lab, Track track, bool is_built) {
    Recipe recipe;
    recipe.lab = lab;
    recipe.track = track;
    const std::string target = "lab-" + lab.number, judge = "judge-" + lab.number, preset = preset_of(track);
    if (const auto errors = is_built ? std::nullopt : build(repository, preset, {target + "-main", "ipc", judge, "puppet"}))
        throw Failure(exit_code::judge_error, fmt::format("the judge of {} ({}) does not build:\n{}", lab.name, name_of(track), first_errors(*errors, repository.root)));
    read_commands(repository, target, recipe);
    std::string all = recipe.compile + recipe.link + text_hash_of(repository / program_of(preset, judge)) + text_hash_of(repository / program_of(preset, "puppet"));
    for (const std::string& part : recipe.parts)
        all += text_hash_of(repository / build_of(preset) / part);
    for (const fs::directory_entry& entry : fs::directory_iterator(repository / "labs" / lab.name))
        if (entry.path().extension() == ".hpp")
            all += text_hash_of(entry.path());
    recipe.version = content_hash(all);
    return recipe;
}

std::string grader_name(const fs::path& out) { return "course-class-" + content_hash(fs::weakly_canonical(out).string()).substr(8); }

/// A folder that goes away with all that is in it.
struct Grader::Scratch {
    fs::path path;
    explicit Scratch(const std::string& name) {
        std::string pattern = (fs::temp_directory_path() / (name + "-XXXXXX")).string();
        if (!::mkdtemp(pattern.data()))
            throw Failure(exit_code::machine, fmt::format("cannot make a folder in {}: {}. Set TMPDIR to a folder with some space", fs::temp_directory_path().string(), std::strerror(errno)));
        path = pattern;
        fs::permissions(path, fs::perms(0711));  // entered by the boxed user, listed by nobody
    }
    ~Scratch() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
};

/// One of the sandboxes at work.
struct Grader::Slot {
    std::unique_ptr<SandboxUser> user;
    std::unique_ptr<ControlGroups> groups;
};

class Grader::Lease {
public:
    explicit Lease(Grader& grader) : grader_(grader) {
        std::unique_lock lock(grader.mutex_);
        grader.freed_.wait(lock, [&] { return !grader.free_.empty(); });
        slot_ = grader.free_.back();
        grader.free_.pop_back();
    }
    ~Lease() {
        const std::lock_guard lock(grader_.mutex_);
        grader_.free_.push_back(slot_);
        grader_.freed_.notify_one();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    const Slot& slot() const { return *slot_; }

private:
    Grader& grader_;
    Slot* slot_;
};

Grader::Grader(const Repository& repository, Isolation level, std::string seed, std::string name, unsigned slots)
    : repository_(repository), level_(level), seed_(std::move(seed)), name_(std::move(name)) {
    std::error_code ignored;
    for (const fs::directory_entry& entry : fs::directory_iterator(fs::temp_directory_path(), ignored))
        if (entry.path().filename().string().starts_with(name_ + "-"))
            fs::remove_all(entry.path(), ignored);
    judges_ = std::make_unique<Scratch>(name_);
    for (unsigned i = 0; i < slots; ++i) {
        slots_.push_back(std::make_unique<Slot>(::geteuid() == 0 ? std::make_unique<SandboxUser>() : nullptr, std::make_unique<ControlGroups>(fmt::format("{}-{}", name_, i))));
        free_.push_back(slots_.back().get());
    }
    std::vector<fs::path> groups;
    for (const auto& slot : slots_)
        groups.insert(groups.end(), slot->groups->folders().begin(), slot->groups->folders().end());
    guardian_ = std::make_unique<Guardian>(groups);
}

Grader::~Grader() = default;

// A judge or puppet as sandboxes get it. A program that its user may not read is out of reach of that user's other programs
// from its first instruction on: its memory, and the pipes by which its cases report. See PR_SET_DUMPABLE in prctl(2). Wine
// has to read what it runs.
fs::path Grader::given(const Recipe& recipe, const std::string& program) {
    const fs::path built = repository_ / program_of(preset_of(recipe.track), program), copy = judges_->path / built.filename();
    const std::lock_guard lock(mutex_);
    if (!fs::exists(copy)) {
        // Written by a process of its own: a descriptor open for writing here would be in what another thread starts at that
        // moment, until its execve, and for so long the copy is "Text file busy".
        const bool is_read = program == "puppet" || recipe.track == Track::win32;
        const Outcome copied = run({{"install", "-m", is_read ? "0555" : "0111", built.string(), copy.string()}, {}, std::chrono::minutes(2), {}});
        if (copied.code != 0) {
            std::error_code ignored;
            fs::remove(copy, ignored);
            throw Failure(exit_code::machine, fmt::format("cannot copy {}: {}", built.string(), end_of(copied)));
        }
    }
    return copy;
}

// The usual headers, precompiled with the very options that the lab's file is compiled with; empty if that cannot be done.
fs::path Grader::common_headers(const Recipe& recipe) {
    // Labs differ in their folders alone, where none of these headers is: one for all of a track.
    const std::string options = std::regex_replace(recipe.compile, std::regex(R"( (-MD -MT \S+ -MF \S+ -o \S+ -c \S+|-I\S+))"), "");
    const fs::path folder = judges_->path / ("headers-" + content_hash(options).substr(8)), header = folder / "usual.hpp";
    const std::lock_guard lock(headers_mutex_);
    if (fs::create_directory(folder)) {
        fs::permissions(folder, fs::perms(0755));
        write_file(header, usual_headers);
        fs::permissions(header, fs::perms(0644));
        run({{"sh", "-c", fmt::format("{} -w -x c++-header -o {} {}", options, shell_line({header.string() + ".gch"}), shell_line({header.string()}))}, repository_ / build_of(preset_of(recipe.track)), std::chrono::minutes(2), {}});
        if (fs::exists(header.string() + ".gch"))
            fs::permissions(header.string() + ".gch", fs::perms(0644));
    }
    return fs::exists(header.string() + ".gch") ? folder : fs::path();
}

std::string Grader::limits_hold_for() const { return slots_[0]->groups->works() ? "all processes together" : "each process"; }

int Grader::trial(const Recipe& recipe) {
    const Lease lease(*this);
    const auto source = read_file(repository_ / starter_of(recipe.lab, recipe.track));
    if (!source)
        throw Failure(exit_code::machine, fmt::format("{} is not there; 'git checkout' or './course update' brings it back", starter_of(recipe.lab, recipe.track)));
    const json result = grade_in(recipe, *source, lease.slot(), true);
    const auto fails = [&](const std::string& why) {
        return Failure(exit_code::machine, fmt::format("a trial with the untouched starter of {} ({}) failed in the sandbox, so this machine cannot grade it: {}. './course doctor' tells what is missing; --lab and "
                                                       "--track leave a lab out",
                                                       recipe.lab.name, name_of(recipe.track), why));
    };
    if (result["status"] == "does not compile")
        throw fails("it does not compile: " + result.value("compiler", ""));
    if (result["status"] != "judged")
        throw fails(result.value("why", ""));
    if (result.value("points", 0) != 0)
        throw fails("it earned points");
    const std::lock_guard lock(mutex_);
    starters_[recipe.version] = {*source, result};
    return result.value("max_points", 0);
}

json Grader::grade(const Recipe& recipe, const std::string& source) {
    {
        // Who hands in all labs at once has begun with few: what is the starter still, byte by byte, has been judged.
        const std::lock_guard lock(mutex_);
        if (const auto known = starters_.find(recipe.version); known != starters_.end() && known->second.first == source)
            return known->second.second;
    }
    const Lease lease(*this);
    return grade_in(recipe, source, lease.slot(), false);
}

json Grader::grade_in(const Recipe& recipe, const std::string& source, const Slot& slot, bool on_trial) {
    const auto start = clock::now();
    json result = {{"lab", recipe.lab.name}, {"track", std::string(name_of(recipe.track))}, {"points", 0}, {"max_points", recipe.max_points}};
    const Scratch scratch(name_);
    write_file(scratch.path / "source.cpp", source);
    fs::permissions(scratch.path / "source.cpp", fs::perms(0644));
    fs::create_directory(scratch.path / "out");
    if (level_ != Isolation::none && slot.user && ::chown((scratch.path / "out").c_str(), slot.user->id(), slot.user->id()) != 0)
        throw Failure(exit_code::machine, fmt::format("cannot give {} to user {}: {}", (scratch.path / "out").string(), slot.user->id(), std::strerror(errno)));
    const Outcome compiled = compile(recipe, scratch.path, slot);
    if (compiled.code == 0 && fs::is_regular_file(fs::symlink_status(scratch.path / "out/program")))
        judge_it(recipe, scratch.path, slot, result);
    else {
        // A full disk or a missing compiler would fail for everybody: that is no student's fault.
        if (!on_trial)
            compiles_here(recipe, slot, compiled.over_limit);
        const std::string own = source_of(recipe.lab, recipe.track);
        std::string words = compiled.over_limit ? "The compiler did not come to an end in time." : compiled.errors;
        for (const fs::path& from : {scratch.path / "source.cpp", repository_ / own})
            replace_all(words, from.string(), own);
        replace_all(words, repository_.root.string() + "/", "");
        words = visible(words);
        result["status"] = "does not compile";
        result["compiler"] = words.size() > most_compiler_words ? words.substr(0, words.rfind('\n', most_compiler_words)) + "\n…" : words;
    }
    result["seconds"] = std::chrono::duration<double>(clock::now() - start).count();
    return result;
}

void Grader::compiles_here(const Recipe& recipe, const Slot& slot, bool was_over_limit) {
    const Scratch scratch(name_);
    write_file(scratch.path / "source.cpp", read_file(repository_ / starter_of(recipe.lab, recipe.track)).value_or(""));
    fs::permissions(scratch.path / "source.cpp", fs::perms(0644));
    fs::create_directory(scratch.path / "out");
    fs::permissions(scratch.path / "out", fs::perms(0777));
    const auto start = clock::now();
    const Outcome outcome = compile(recipe, scratch.path, slot);
    // Who had to wait for the processor has not written a file that cannot be compiled.
    const bool starves = was_over_limit && clock::now() - start > longest_compilation / 10;
    if (outcome.code != 0 || starves)
        throw Failure(exit_code::machine, fmt::format("a file of {} ({}) does not compile, nor does the untouched starter as it did before, so this machine is at fault: {}. What was graded so far is kept; run the "
                                                      "command again when that is mended",
                                                      recipe.lab.name, name_of(recipe.track), outcome.code != 0 ? end_of(outcome) : "it hardly gets processor time"));
}

Box Grader::box_in(const Slot& slot, unsigned long long memory_bytes, unsigned processes) const {
    slot.groups->limit(memory_bytes, processes);
    Box box;
    box.level = level_;
    if (slot.user)
        box.user = slot.user->id();
    box.groups = slot.groups.get();
    box.memory_bytes = memory_bytes;
    box.processes = processes;
    return box;
}

namespace {

// gold needs half of the time that GNU ld does, and makes the same program.
std::string with_fastest_linker(const Recipe& recipe) {
    static const bool has_gold = !find_program("ld.gold").empty();
    return recipe.track == Track::posix && has_gold ? std::regex_replace(recipe.link, std::regex(R"( -o )"), " -fuse-ld=gold -o ") : recipe.link;
}

}  // namespace

// The box has the toolchain, common/ipc, the lab's headers, what is linked in, and this one source: no judge, no
// solution, no other submission, at compile time either.
Outcome Grader::compile(const Recipe& recipe, const fs::path& scratch, const Slot& slot) {
    Box box = box_in(slot, 2ull << 30, 100);
    // Processor time ends what compiles for ever. A machine that has none to give is no reason for a zero.
    box.cpu = std::chrono::seconds(30);
    box.wall = longest_compilation;
    const fs::path build_folder = repository_ / build_of(preset_of(recipe.track)), source = repository_ / source_of(recipe.lab, recipe.track);
    const std::string program = fs::path(program_of(preset_of(recipe.track), "lab-" + recipe.lab.number)).filename().string();
    box.directory = build_folder;
    if (level_ != Isolation::namespaces) {
        // The same commands, with the names of files as they are here.
        std::string compile_line = recipe.compile, link_line = with_fastest_linker(recipe);
        const std::string object = (scratch / "out/source.o").string();
        compile_line = std::regex_replace(compile_line, std::regex(R"( -MD -MT \S+ -MF \S+)"), "");
        compile_line = std::regex_replace(compile_line, std::regex(R"( -o \S+ -c \S+)"), " -o " + object + " -c " + (scratch / "source.cpp").string());
        link_line = std::regex_replace(link_line, std::regex(fmt::format(R"(\S*lab-{}\.dir/\S+\.o(bj)?)", recipe.lab.number)), object);
        link_line = std::regex_replace(link_line, std::regex(R"( -o \S+)"), " -o " + (scratch / "out/program").string());
        return run_boxed(box, {"sh", "-c", compile_line + " && " + link_line});
    }
    // Root makes the folders on the way to what is put there; these the compiler writes into.
    const std::string object_folder = fmt::format("CMakeFiles/lab-{}.dir/labs/{}", recipe.lab.number, recipe.lab.name);
    box.empty = {build_folder, build_folder / "bin", build_folder / object_folder};
    box.read_only = {{repository_ / "common/ipc", repository_ / "common/ipc"}, {scratch / "source.cpp", source}};
    for (const fs::directory_entry& entry : fs::directory_iterator(repository_ / "labs" / recipe.lab.name))
        if (entry.path().extension() == ".hpp")
            box.read_only.emplace_back(entry.path(), entry.path());
    for (const std::string& part : recipe.parts)
        box.read_only.emplace_back(build_folder / part, build_folder / part);
    box.writable = {{scratch / "out", "/out"}};
    // What does not compile behind the usual headers has the last word without them, and it is those words that a student reads.
    std::string compile_line = recipe.compile;
    if (const fs::path headers = common_headers(recipe); !headers.empty()) {
        box.read_only.emplace_back(headers, "/course/headers");
        // In a subshell, or the shell's own complaint, that it can start no process, would be lost as well.
        compile_line = fmt::format("{{ ({} -w -include /course/headers/usual.hpp) 2>/dev/null || {}; }}", recipe.compile, recipe.compile);
    }
    return run_boxed(box, {"/bin/sh", "-c", fmt::format("{} && {} && cp bin/{} /out/program", compile_line, with_fastest_linker(recipe), program)});
}

// The judge and its subject, and nothing else of the course.
Outcome Grader::ask_judge(const Recipe& recipe, const fs::path& scratch, const Slot& slot) {
    const bool wine = recipe.track == Track::win32, walls = level_ == Isolation::namespaces;
    const std::string preset = preset_of(recipe.track);
    const auto file_name = [&](const std::string& program) { return fs::path(program_of(preset, program)).filename().string(); };
    const std::string judge = file_name("judge-" + recipe.lab.number), program = file_name("lab-" + recipe.lab.number), puppet = file_name("puppet");
    const fs::path judges = walls ? fs::path("/course") : judges_->path, subjects = walls ? fs::path("/lab") : scratch;
    Box box = box_in(slot, wine ? 3ull << 30 : 2ull << 30, wine ? 1000 : 400);
    box.cpu = std::chrono::seconds(120);
    box.wall = std::chrono::seconds(wine ? 400 : 240);
    box.directory = walls ? fs::path("/tmp") : scratch;
    box.read_only = {{given(recipe, "judge-" + recipe.lab.number), judges / judge}, {given(recipe, "puppet"), judges / puppet}, {scratch / program, subjects / program}};
    if (const char* scale = std::getenv("IPC_LABS_TIME_SCALE"))
        box.environment.push_back(std::string("IPC_LABS_TIME_SCALE=") + scale);
    std::vector<std::string> command;
    if (wine) {
        // Most of a Wine folder is libraries that nobody writes: they are shared, and the box has the rest for itself.
        const fs::path own = walls ? fs::path("/tmp/wine") : scratch / "out/wine";
        box.reserves_memory = true;
        box.read_only.emplace_back(wine_folder(), "/course/wine");
        box.read_only.emplace_back(repository_ / "common/wine-run", "/course/wine-run");
        box.environment.push_back("IPC_LABS_WINEPREFIX=" + own.string());
        box.environment.push_back("IPC_LABS_WINE_LIKE=" + (walls ? fs::path("/course/wine") : wine_folder()).string());
        const std::string run_by = walls ? "/course/wine-run" : (repository_ / "common/wine-run").string();
        // Outside of namespaces Wine's background processes would stay for a minute.
        command = walls ? std::vector<std::string>{run_by} : std::vector<std::string>{"sh", "-c", R"("$@"; code=$?; WINEPREFIX=$IPC_LABS_WINEPREFIX wineserver -k -w </dev/null >/dev/null 2>&1; exit $code)", "sh", run_by};
    } else
        box.first_process = true;
    const std::string rerun = fmt::format("./course grade {}{} --case {{case}}", recipe.lab.number, wine ? " --track win32" : "");
    for (const std::string& word : {(judges / judge).string(), std::string("--subject"), (subjects / program).string(), std::string("--source"), source_of(recipe.lab, recipe.track), std::string("--rerun"), rerun,
                                    std::string("--format"), std::string("json")})
        command.push_back(word);
    if (!seed_.empty())
        command.insert(command.end(), {"--seed", seed_});
    return run_boxed(box, command);
}

void Grader::judge_it(const Recipe& recipe, const fs::path& scratch, const Slot& slot, json& result) {
    const fs::path program = scratch / fs::path(program_of(preset_of(recipe.track), "lab-" + recipe.lab.number)).filename();
    fs::rename(scratch / "out/program", program);
    fs::permissions(program, fs::perms(0755));
    std::string why;
    bool ended_judge = false;
    for (int attempt = 0; attempt < 2; ++attempt) {
        const long long kills = ipc::kills_for_memory();
        const Outcome outcome = ask_judge(recipe, scratch, slot);
        try {
            if (outcome.over_limit)
                throw Failure(exit_code::judge_error, "it did not come to an end in time");
            const std::string line = outcome.output.substr(0, outcome.output.find('\n'));
            const Verdict verdict = parse_verdict(line);
            json raw = json::parse(line);
            if (verdict.count(CaseOutcome::judge_error) == 0) {
                result["status"] = "judged";
                result["points"] = verdict.points;
                result["max_points"] = verdict.max_points;
                result["seed"] = verdict.seed;
                raw.erase("subject");
                for (std::size_t i = 0; i < verdict.cases.size(); ++i)
                    add_explanation(repository_, recipe, verdict.cases[i], raw["cases"][i]);
                result["verdict"] = std::move(raw);
                return;
            }
            ended_judge = false;
            for (const CaseVerdict& each : verdict.cases)
                if (each.outcome == CaseOutcome::judge_error)
                    why = fmt::format("case {}: {}", each.name, each.message);
        } catch (const Failure& failure) {
            why = fmt::format("{}; exit code {}, standard error: {}", failure.what(), outcome.code, visible(outcome.errors.substr(0, 500)));
            // Nobody else is there to end it: not we, who wait, and not the kernel, which counts. By itself a judge ends with 0
            // only after its verdict; under Wine whoever terminates it chooses the code.
            const int signal = outcome.code > 128 ? outcome.code - 128 : 0;
            const bool sent = signal == SIGKILL || signal == SIGTERM || signal == SIGHUP || signal == SIGINT || signal == SIGQUIT;
            ended_judge = !outcome.over_limit && ipc::kills_for_memory() == kills && (sent || (outcome.code == 0 && outcome.output.empty()));
        }
    }
    result["status"] = ended_judge ? "ended its judge" : "judge error";
    result["why"] = why;
}

}  // namespace course
