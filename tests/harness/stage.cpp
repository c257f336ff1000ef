#include "stage_state.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>

namespace judge {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

// ---- words ----------------------------------------------------------------------------------------------------------

std::string shown(std::string_view bytes, std::size_t limit) {
    std::string text = "\"";
    std::size_t taken = 0;
    for (char c : bytes) {
        if (taken == limit)
            break;
        ++taken;
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n')
            text += "\\n";
        else if (c == '\r')
            text += "\\r";
        else if (c == '\t')
            text += "\\t";
        else if (c == '"' || c == '\\')
            text += std::string("\\") + c;
        else if (byte < 0x20 || byte >= 0x7f) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\x%02x", byte);
            text += escape;
        } else
            text += c;
    }
    text += "\"";
    if (taken < bytes.size())
        text += "… (" + std::to_string(bytes.size()) + " bytes)";
    return text;
}

std::string difference(std::string_view got, std::string_view expected) {
    if (got.empty())
        return "nothing";
    const auto [g, e] = std::mismatch(got.begin(), got.end(), expected.begin(), expected.end());
    const auto at = static_cast<std::size_t>(g - got.begin());
    if (g == got.end())
        return "only the first " + std::to_string(got.size()) + " of " + std::to_string(expected.size()) +
               " bytes: " + shown(got);
    if (e == expected.end())
        return std::to_string(got.size() - at) + " bytes too many after the expected " +
               std::to_string(expected.size()) + ": " + shown(got.substr(at));
    const std::size_t from = at < 16 ? 0 : at - 16;
    return "byte " + std::to_string(at) + " differs: " + (from ? "…" : "") + shown(got.substr(from, 48)) +
           " where " + (from ? "…" : "") + shown(expected.substr(from, 48)) + " was expected (" +
           std::to_string(got.size()) + " and " + std::to_string(expected.size()) + " bytes)";
}

std::string quoted(const std::vector<std::string>& words) {
    std::string line;
    for (const std::string& word : words) {
        if (!line.empty())
            line += ' ';
        const bool plain = !word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                                   "0123456789_-+=./:,@%") == std::string::npos;
        if (plain) {
            line += word;
            continue;
        }
        line += '\'';
        for (char c : word)
            line += c == '\'' ? std::string("'\\''") : std::string(1, c);
        line += '\'';
    }
    return line;
}

namespace {

void add_line(std::string& message, const std::string& key, std::string text) {
    if (text.empty())
        return;
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r'))
        text.pop_back();
    std::string indented;
    for (char c : text)
        indented += c == '\n' ? std::string("\n  ") : std::string(1, c);
    message += (message.empty() ? "" : "\n") + key + ": " + indented;
}

// On Windows a crash is an exit code like another, and may be one that the program hands on.
constexpr const char* crashes[] = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL"};
constexpr std::string_view not_implemented_marker = "not implemented yet: ";
constexpr std::uint32_t not_implemented_code = 79;  // ipc::exit_code::not_implemented

}  // namespace

// ---- the stage ------------------------------------------------------------------------------------------------------

Stage::State::State(const CaseOptions& given) : options(given), random(given.seed) {
    token = "t" + random.word(10);
    root = make_private_directory();
    folder = (fs::path(root) / "work").string();
    files = (fs::path(root) / "files").string();
    fs::create_directory(folder);
    fs::create_directory(files);
}

Stage::State::~State() {
    puppets.clear();
    for (const auto& subject : subjects)
        subject->shut_down();
    subjects.clear();
    std::error_code ignored;
    fs::remove_all(root, ignored);
    for (const std::string& name : leftover_names(token))  // a failed case told of them, or had something worse to tell
        fs::remove(name, ignored);
}

Random& Stage::random() { return state_.random; }
const std::string& Stage::folder() const { return state_.folder; }
const std::string& Stage::files() const { return state_.files; }
std::string Stage::name(std::string_view what) { return std::string(what) + "-" + state_.token + state_.random.word(4); }
double Stage::time_scale() const { return state_.options.time_scale; }
void Stage::patience(milliseconds longest) { state_.patience = longest; }
void Stage::by_hand(const std::string& command) { state_.by_hand = command; }

void Stage::recognise(const std::string& pattern, const Mistake& mistake) {
    state_.rules.push_back({std::regex(pattern), [mistake] { return mistake; }, false});
}
void Stage::recognise(const std::string& pattern, std::function<Mistake()> mistake) {
    state_.rules.push_back({std::regex(pattern), std::move(mistake), false});
}
void Stage::recognise_throughout(const std::string& pattern, const Mistake& mistake) {
    state_.rules.push_back({std::regex(pattern), [mistake] { return mistake; }, true});
}
void Stage::forget() {
    std::erase_if(state_.rules, [](const auto& rule) { return !rule.throughout; });
}

Subject Stage::start(std::vector<std::string> arguments, Start how) {
    StartRequest request;
    request.command = {state_.options.subject};
    request.command.insert(request.command.end(), arguments.begin(), arguments.end());
    request.environment = {{"TMPDIR", state_.folder}, {"TMP", state_.folder}, {"TEMP", state_.folder}, {"HOME", state_.folder},
                           {"XDG_RUNTIME_DIR", state_.folder}};
    for (const auto& [name, value] : how.environment)
        request.environment[name] = value;
    request.directory = how.directory.empty() ? state_.folder : how.directory;
    request.confined = true;
    request.hidden = state_.options.hidden;
    request.with_decoy = how.with_decoy;
    auto input = how.no_input ? std::pair<Stream, Stream>{} : make_pipe(how.pipe_size);
    auto output = make_pipe(how.pipe_size);
    auto errors = make_pipe();
    request.input = std::move(input.first);
    request.output = std::move(output.second);
    request.error = std::move(errors.second);

    std::vector<std::string> words = {fs::path(state_.options.subject).filename().string()};
    for (const std::string& argument : arguments) {
        bool replaced = false;
        for (std::size_t i = 0; i < state_.puppets.size(); ++i)
            if (argument == state_.puppets[i]->listener.endpoint()) {
                words.push_back(std::to_string(i + 1));
                replaced = true;
            }
        if (!replaced)
            words.push_back(argument == puppet_program() ? "PUPPET"
                            : argument.size() > 300      ? argument.substr(0, 40) + "...(" + std::to_string(argument.size()) + " bytes)"
                                                         : argument);
    }
    const std::string line = quoted(words);
    state_.tried += (state_.tried.empty() ? "" : "\n") + line;

    auto subject = std::make_shared<Subject::State>(state_, Process::start(std::move(request)));
    subject->command = line;
    subject->begin(subject->output, std::move(output.first), how.hold_output);
    subject->begin(subject->errors, std::move(errors.first), false);
    if (!how.no_input)
        subject->begin_feeding(std::move(input.second));
    state_.subjects.push_back(subject);
    return Subject(subject);
}

Puppet Stage::puppet() {
    auto puppet = std::make_shared<Puppet::State>(state_, state_.root);
    state_.puppets.push_back(puppet);
    return Puppet(puppet);
}

void Stage::unavailable(const std::string& why) { throw CaseOver{{"unavailable here", "note: " + why, "", "", 0}}; }

void Stage::require(bool fine, const Failure& failure) {
    if (!fine)
        fail(failure);
}

void Stage::end_if_not_attempted() {
    for (const auto& subject : state_.subjects) {
        // The end of its output is seen a moment before its own end.
        bool ending = false;
        {
            const std::lock_guard lock(subject->mutex);
            ending = subject->output.ended || subject->errors.ended;
        }
        if (!subject->process.wait(Deadline::in(milliseconds(ending ? 500 : 0))))
            continue;
        const Ended how = subject->process.ended();
        if (how.how != Ended::How::exited || how.code != not_implemented_code)
            continue;
        std::unique_lock lock(subject->mutex);
        subject->changed.wait_for(lock, milliseconds(300), [&] { return subject->errors.ended; });
        const std::string& words = subject->errors.bytes;
        if (const auto at = words.find(not_implemented_marker); at != std::string::npos)
            throw CaseOver{{"not attempted", "note: " + words.substr(at, words.find_first_of("\r\n", at) - at), "", "", 0}};
    }
}

// Ended by its own fault: an invalid address, a failed assertion, a C++ exception that nobody caught.
static bool has_crashed(const Ended& how) {
    if (how.how != Ended::How::killed)
        return false;
    const std::string text = how.text();
    return std::any_of(std::begin(crashes), std::end(crashes), [&](const char* each) { return text.find(each) != std::string::npos; });
}

// The end of a connection or a stream is seen before the end of the program that had it, and its last words travel in a
// pipe of their own: who is not over gets a moment, unless it stands still.
static bool is_over(Subject::State& subject, double time_scale) {
    // On Windows nobody counts wakeups, and stillness is told by a picture that is kept for 100 ms.
    const bool by_picture = !subject.process.wakeups();
    const milliseconds still_enough(by_picture || subject.has_spoken() ? 250 : 40);
    const Deadline deadline = Deadline::in(milliseconds(static_cast<long long>((by_picture ? 1000 : 500) * time_scale)));
    Deadline still = Deadline::in(still_enough);
    std::string before = subject.process.stillness();
    while (!deadline.expired()) {
        if (subject.process.wait(Deadline::in(milliseconds(20))))
            return true;
        const std::string now = subject.process.stillness();
        if (now.empty() || now != before)
            still = Deadline::in(still_enough);
        if (still.expired())
            return false;
        before = now;
    }
    return false;
}

void Stage::fail(Failure failure) {
    end_if_not_attempted();
    CaseResult result;
    result.outcome = "failed";
    // The explanation comes first: what follows may move things.
    std::string waiting;
    for (const auto& subject : state_.subjects)
        for (const std::string& sentence : explain_hang(subject->process))
            if (waiting.find(sentence) == std::string::npos)
                waiting += (waiting.empty() ? "" : "\n") + sentence;

    std::string endings;
    bool crashed = false;
    for (const auto& subject : state_.subjects) {
        const bool over = is_over(*subject, state_.options.time_scale);
        std::unique_lock lock(subject->mutex);
        if (over)
            subject->changed.wait_for(lock, milliseconds(200), [&] { return subject->errors.ended; });
        const std::string& words = subject->errors.bytes;
        const Ended how = over ? subject->process.ended() : Ended{};
        crashed = crashed || (over && has_crashed(how));
        std::string ending;
        if (over && (how.how == Ended::How::killed || how.code != 0 || !words.empty()))
            ending = how.text() + (words.empty() ? "" : ", saying " + shown(words, 300));
        else if (!words.empty())
            ending = "it says " + shown(words, 300);
        if (!ending.empty())  // of several programs, which one
            endings += (endings.empty() ? "" : "\n") + ending + (state_.subjects.size() > 1 ? "  (" + subject->command + ")" : "");
    }
    add_line(result.message, "tried", state_.tried);
    add_line(result.message, "by hand", state_.by_hand);
    add_line(result.message, "expected", failure.expected);
    add_line(result.message, "got", failure.got);
    add_line(result.message, "left behind", failure.left_behind);
    add_line(result.message, "ended", endings);
    add_line(result.message, "note", failure.note);
    result.waiting = waiting;
    // A program that crashes shows the symptoms of many mistakes, and has made another one.
    result.mistake = crashed ? Mistake() : failure.mistake;
    const std::string all = result.message + "\n" + result.waiting;
    for (const auto& rule : state_.rules)
        if (std::regex_search(all, rule.pattern)) {
            result.mistake = rule.mistake();
            break;
        }
    throw CaseOver{result};
}

// Orphans that have ended stay in the tree, as zombies, until the case is over.
static bool nobody_lives(const Process& process) {
    const std::vector<ProcessInfo> tree = process.tree();
    return std::all_of(tree.begin(), tree.end(), [](const ProcessInfo& one) { return one.zombie; });
}

bool Stage::State::all_is_read() const {
    for (const auto& subject : subjects) {
        const std::lock_guard lock(subject->mutex);
        for (const Reader* reader : {&subject->output, &subject->errors})
            if (!reader->ended && !reader->held)
                return false;
    }
    return true;
}

void Stage::await(const std::function<bool(Deadline)>& attempt, const std::string& what, const Mistake& otherwise) {
    const double scale = state_.options.time_scale;
    const auto begin = steady_clock::now();
    const auto longest = std::chrono::duration_cast<steady_clock::duration>(state_.patience * scale);
    const auto still_for = std::chrono::duration_cast<steady_clock::duration>(milliseconds(1000) * scale);
    // On a busy machine a second can pass in which nobody moves, neither they nor we: the looks are counted too.
    constexpr int looks_enough = 12;
    std::string picture;
    int looks = 0;
    auto still_since = begin;
    while (true) {
        if (attempt(Deadline::in(milliseconds(40))))
            return;
        const auto now = steady_clock::now();
        const auto passed = std::chrono::duration_cast<milliseconds>(now - begin);
        bool all_over = !state_.subjects.empty();
        for (const auto& subject : state_.subjects)  // each is asked: one that has ended must not pass for one that runs
            all_over = subject->process.wait(Deadline::in(milliseconds(0))) && nobody_lives(subject->process) && all_over;
        if (all_over) {
            end_if_not_attempted();
            // Nobody is left who could still do it; what is on its way gets another chance. On a busy machine our own
            // threads may need a while to read the end of a stream.
            const Deadline late = Deadline::in(milliseconds(3000));
            while (!state_.all_is_read() && !late.expired())
                if (attempt(Deadline::in(milliseconds(40))))
                    return;
            if (attempt(Deadline::in(milliseconds(200))))
                return;
            fail({what, "it ended before that", "", "", otherwise});
        }
        // Who stands still for a second, with every thread blocked and no timeout of its own, stands still for ever.
        std::string now_still;
        for (const auto& subject : state_.subjects) {
            const std::string one = subject->process.stillness();
            if (one.empty() && !nobody_lives(subject->process)) {
                now_still.clear();
                break;
            }
            now_still += one + "|";
        }
        if (now_still.find(':') == std::string::npos || now_still != picture) {
            picture = now_still;
            looks = 0;
            still_since = now;
        }
        ++looks;
        const bool stuck = picture.find(':') != std::string::npos && now - still_since >= still_for && looks >= looks_enough;
        if (stuck || now - begin >= longest) {
            if (attempt(Deadline::in(milliseconds(0))))
                return;
            fail({what, stuck ? "nothing: everything stood still for " + std::to_string(std::chrono::duration_cast<milliseconds>(
                                                                              still_for).count()) + " ms"
                              : "nothing within " + std::to_string(passed.count()) + " ms",
                  "", "", otherwise});
        }
    }
}

namespace {

// What lies in a folder, FIFOs and sockets named as what they are.
std::vector<std::string> contents(const std::string& folder) {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
        const fs::file_status status = entry.symlink_status(error);
        const char* kind = fs::is_fifo(status) ? "FIFO " : fs::is_socket(status) ? "socket " : fs::is_directory(status) ? "directory " : "file ";
        found.push_back(kind + entry.path().lexically_relative(folder).generic_string());
    }
    return found;
}

std::string joined(const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts)
        all += (all.empty() ? "" : ", ") + text;
    return all;
}

}  // namespace

void Stage::State::finish(Stage& stage) {
    // 1. Processes: a subject that a case has not seen to its end, or anything that outlives one.
    auto living = [&] {
        std::vector<std::string> names;
        for (const auto& subject : subjects)
            for (const ProcessInfo& process : subject->process.tree())
                if (!process.zombie)
                    names.push_back(process.name + " (pid " + std::to_string(process.id) + ")");
        std::sort(names.begin(), names.end());
        names.erase(std::unique(names.begin(), names.end()), names.end());
        return names;
    };
    const Deadline deadline = Deadline::in(std::chrono::duration_cast<milliseconds>(milliseconds(1500) * options.time_scale));
    while (!living().empty() && !deadline.expired())
        std::this_thread::sleep_for(milliseconds(2));  // they are ending; nothing else announces the last one's end
    if (const auto names = living(); !names.empty())
        stage.fail({"when all is done, no process is left", "", joined(names), "", "process-left"});

    // 2. Names.
    std::vector<std::string> left = contents(folder);
    for (const std::string& name : leftover_names(token))
        left.push_back(name);
    if (!left.empty())
        stage.fail({"when all is done, no name is left in the file system", "", joined(left), "", "name-left"});
}

}  // namespace judge
