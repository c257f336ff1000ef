#include "failure.hpp"
#include "files.hpp"
#include "grade.hpp"
#include "interrupt.hpp"
#include "keys.hpp"
#include "progress.hpp"
#include "saves.hpp"
#include "terminal.hpp"
#include "verdict_text.hpp"
#include <chrono>
#include <fmt/format.h>
#include <memory>
#include <unistd.h>

namespace course {
namespace {

using clock = std::chrono::steady_clock;

/// One lab that is watched: judged at each save, asked about by keys.
class Watch {
public:
    Watch(const Repository& repository, const GradeOptions& options)
        : repository_(repository), options_(options), task_(task_for(repository, options)),
          // Before the first round, so that a save during it is not missed.
          saves_(repository / task_.judging.source) {}

    /// @return the lab to go on with; nothing to end
    std::optional<std::string> run(Keys& keys) {
        judge_once(clock::now());
        for (;;) {
            if (const auto saved = saves_.wait_or(keys.descriptor())) {
                judge_once(*saved);
                continue;
            }
            const std::optional<char> key = keys.pressed();
            if (!key)
                continue;
            switch (*key) {
            case 'q':
                return std::nullopt;
            case 'n':
                return next_lab();
            case 'h':
                apart(keys, [&] { show_hint(); });
                break;
            case 'd':
                apart(keys, [&] { handout(repository_, task_.lab.number, verdict_ ? section() : ""); });
                break;
            case 'f':
                page(full_text());
                break;
            default:
                page(text_);
            }
        }
    }

private:
    // Judges the file as it is. What keeps one round from a verdict is said, and the next save tries again.
    void judge_once(clock::time_point saved) {
        const std::string source = read_file(repository_ / task_.judging.source).value_or("");
        verdict_.reset();
        try {
            build_for(repository_, task_);
            const Judged judged = judge_again_if_it_fails(repository_, task_.judging, [](const std::string&) {});
            verdict_ = judged.verdict;
            if (!options_.json.empty() && options_.json != "-")
                write_file(options_.json, judged.json + "\n");
            text_ = options_.json == "-" ? judged.json + "\n"
                                         : verdict_text_short(repository_, task_.lab, task_.track, judged.verdict, style(), terminal_height()) + summary(source);
            remember(repository_, task_, judged.verdict, source);
        } catch (const DoesNotCompile& error) {
            text_ = fmt::format("{} does not compile:\n\n{}", task_.judging.source, error.what());
        } catch (const Interrupted&) {
            throw;
        } catch (const Failure& error) {
            text_ = fmt::format("{}\n", error.what());
        }
        const double seconds = std::chrono::duration<double>(clock::now() - saved).count();
        text_ += fmt::format("\n{}{}{}\n", style().dim, wrapped(fmt::format("{:.2f} s from save to verdict. Waiting for the next save of {}", seconds, task_.judging.source), terminal_width(), 0), style().off);
        page(text_);
    }

    Style style() const { return style_for(STDOUT_FILENO); }

    std::string summary(const std::string& source) const {
        return summary_text(repository_, task_.lab, task_.track, *verdict_, options_.solution ? "" : source, style());
    }

    std::string full_text() const {
        return verdict_ ? verdict_text(repository_, task_.lab, task_.track, *verdict_, style()) +
                              summary(read_file(repository_ / task_.judging.source).value_or(""))
                        : text_;
    }

    // A fresh page with the keys at its foot.
    void page(const std::string& text) const {
        const bool terminal = ::isatty(STDOUT_FILENO);
        if (terminal)
            fmt::print("\x1b[H\x1b[2J\x1b[3J");
        fmt::print("{}", text);
        if (terminal && ::isatty(STDIN_FILENO))
            fmt::print("{}{}{}\n", style().dim, wrapped("keys: h hint, d handout, f full output, r back, n next lab, q quit", terminal_width(), 6), style().off);
        else
            fmt::print("Ctrl-C ends.\n");
        std::fflush(stdout);
    }

    // Something that writes by itself, or takes the terminal for a while.
    void apart(Keys& keys, const std::function<void()>& what) const {
        keys.suspend();
        fmt::print("\x1b[H\x1b[2J\x1b[3J");
        std::fflush(stdout);  // before the pager writes
        try {
            what();
        } catch (const Interrupted&) {
            throw;
        } catch (const Failure& error) {
            fmt::print("{}\n", error.what());
        }
        fmt::print("\n{}r: back to the verdict{}\n", style().dim, style().off);
        std::fflush(stdout);
        keys.resume();
    }

    void show_hint() const {
        const CaseVerdict* next = verdict_ ? next_case(*verdict_) : nullptr;
        if (next)
            hint(repository_, task_.lab.number, next->name, std::string(name_of(task_.track)), false);
        else
            fmt::print("{}\n", verdict_ ? "Every case is passed: there is nothing to hint at." : "There is no verdict yet: the file has to compile first.");
    }

    std::string section() const {
        const CaseVerdict* next = next_case(*verdict_);
        return next ? section_to_read(repository_, task_.lab, task_.track, *next) : "";
    }

    // The one behind this, or the first again.
    std::string next_lab() const {
        const std::vector<Lab> labs = repository_.labs();
        for (std::size_t i = 0; i + 1 < labs.size(); ++i)
            if (labs[i].name == task_.lab.name)
                return labs[i + 1].number;
        return labs.front().number;
    }

    const Repository& repository_;
    const GradeOptions& options_;
    GradeTask task_;
    Saves saves_;
    std::optional<Verdict> verdict_;
    std::string text_;
};

}  // namespace

int watch(const Repository& repository, const GradeOptions& asked) {
    GradeOptions options = asked;
    Keys keys;
    while (const std::optional<std::string> next = Watch(repository, options).run(keys)) {
        options.lab = *next;
        options.cases.clear();
    }
    return exit_code::full_marks;
}

}  // namespace course
