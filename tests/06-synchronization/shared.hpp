#pragma once

// What the judges of lab 06 have in common on both tracks.

#include "judge.hpp"

#include <algorithm>
#include <thread>

namespace judge {

#ifdef _WIN32
constexpr bool windows = true;
#else
constexpr bool windows = false;
#endif

constexpr std::uint32_t time_over = 124;

inline bool sooner(const Deadline& a, const Deadline& b) { return a.at() < b.at(); }

/// Until the lab program and what it has started are blocked, with no timeout of their own; what it has printed by then is all that it
/// prints now.
/// @return how it stands, as Process::stillness() puts it; another than `not_as`, if it comes to that
inline std::string blocks(Stage& stage, Subject& lab, const std::string& what, const Mistake& otherwise, const std::string& not_as = {}) {
    std::string before;
    for (int look = 0; look < 4; ++look) {
        const Deadline soon = Deadline::in(milliseconds(500));
        while (!soon.expired()) {
            if (lab.process().wait(Deadline::in(milliseconds(before.empty() ? 2 : 5))))
                stage.fail({what, "it ended, and had printed " + shown(lab.output_so_far()), "", "", otherwise});
            const std::string now = lab.process().stillness();
            if (!now.empty() && now != not_as && (windows || now == before))  // on Windows a look says as much as two, and takes a tenth of a second
                return now;
            before = now;
        }
        lab.idles();  // it polls, perhaps: that says so; or the machine is busy, and it has not come so far
    }
    return {};
}

/// It is blocked, and has printed nothing more than `output` in all.
inline void blocks_after(Stage& stage, Subject& lab, const std::string& output, const std::string& what, const Mistake& otherwise,
                         const std::string& not_as = {}) {
    blocks(stage, lab, what, otherwise, not_as);
    stage.require(lab.output_so_far() == output, {what, "it printed " + shown(lab.output_so_far()), "", "", otherwise});
}

/// A line of input lets it go on, and then it is blocked, in another place, and has printed nothing more than `output`.
inline void steps_and_blocks(Stage& stage, Subject& lab, const std::string& output, const std::string& what, const Mistake& otherwise) {
    const std::string before = blocks(stage, lab, "it waits for a line of input", otherwise);
    lab.feed("\n");
    blocks_after(stage, lab, output, what, otherwise, before);
}

/// Waits until it has printed `size` bytes in all, or has ended; `what` says in words what they mean.
inline std::string has_printed(Stage& stage, Subject& lab, std::size_t size, const std::string& what, const Mistake& otherwise) {
    stage.await([&](Deadline deadline) {
        while (lab.output_so_far().size() < size) {
            if (deadline.expired())
                return false;
            if (lab.process().wait(std::min(deadline, Deadline::in(milliseconds(2)), sooner)))
                return true;
        }
        return true;
    }, what, otherwise);
    return lab.output_so_far().size() < size ? lab.output(otherwise) : lab.output_so_far();  // last words may still be on their way
}

/// Its whole output so far becomes `output`.
inline void comes_to(Stage& stage, Subject& lab, const std::string& output, const std::string& what, const Mistake& otherwise) {
    const std::string printed = has_printed(stage, lab, output.size(), what, otherwise);
    stage.require(printed == output, {what + ": " + shown(output), difference(printed, output), "", "", otherwise});
}

/// It ends with this code, which means `what`.
inline void ends_with(Stage& stage, Subject& lab, std::uint32_t code, const std::string& what, const Mistake& otherwise) {
    const std::string expected = what + ": exit code " + std::to_string(code);
    stage.await([&](Deadline deadline) { return lab.process().wait(deadline); }, expected, otherwise);
    const Ended how = lab.ends();
    const std::string printed = lab.output_so_far().empty() ? "" : ", having printed " + shown(lab.output_so_far());
    stage.require(how.how == Ended::How::exited && how.code == code, {expected, how.text() + printed, "", "", otherwise});
}

/// One more line of input than it has taken: there is nothing that it could give back.
inline void refuses_another(Stage& stage, Subject& lab, const Mistake& otherwise) {
    const std::string before = lab.output_so_far();
    const std::string what = "it cannot give back what it does not have: an error, and an exit code that says so";
    lab.feed("\n");
    stage.await([&](Deadline deadline) {
        while (!lab.process().wait(std::min(deadline, Deadline::in(milliseconds(2)), sooner))) {
            if (lab.output_so_far() != before)
                stage.fail({what, "it printed " + shown(lab.output_so_far().substr(before.size())), "", "", otherwise});
            if (deadline.expired())
                return false;
        }
        return true;
    }, what, otherwise);
    lab.fails(otherwise);
}

/// hold, with what it is to hold open already; it takes it now, or waits for it.
inline Subject hold(Stage& stage, const std::vector<std::string>& words) {
    Subject lab = stage.start(words);
    const std::string line = lab.line();
    stage.require(line == "waiting", {"it prints \"waiting\"", shown(line), "", "", ""});
    return lab;
}

/// Runs the lab program to its end.
inline void does(Stage& stage, const std::vector<std::string>& words, const Mistake& otherwise = {}) {
    Subject lab = stage.start(words);
    lab.exits(0, otherwise);
}

/// `try` gets it; with `words` exactly.
inline void try_says(Stage& stage, const std::vector<std::string>& words, const std::string& answer, const Mistake& otherwise) {
    Subject lab = stage.start(words);
    comes_to(stage, lab, answer + "\n", "it is free, and try gets it", otherwise);
    lab.exits(0, otherwise);
}

/// It does not get it in time. Whoever waits on and whoever takes it all the same have made different mistakes.
inline void try_fails(Stage& stage, const std::vector<std::string>& words, const Mistake& if_taken, const Mistake& if_stuck = {},
                      const std::string& why = "others have it") {
    Subject lab = stage.start(words);
    stage.await([&](Deadline deadline) { return lab.process().wait(deadline); }, "it does not get it, and gives up when the time is over", if_stuck);
    ends_with(stage, lab, time_over, "it does not get it, for " + why, if_taken);
    lab.prints("", if_taken);
}

/// Which of them has said `ready` first.
inline Subject& first_ready(Stage& stage, std::vector<Subject*> labs, const std::string& what, const Mistake& otherwise) {
    Subject* found = nullptr;
    stage.await([&](Deadline deadline) {
        for (;;) {
            for (Subject* lab : labs)
                if (lab->output_so_far().find("ready") != std::string::npos)
                    found = lab;
            if (found || deadline.expired())
                return found != nullptr;
            std::this_thread::sleep_for(milliseconds(2));  // no wait is for one of two outputs
        }
    }, what, otherwise);
    return *found;
}

/// hold gives everything back and ends.
inline void lets_go(Subject& lab, const Mistake& otherwise = {}) {
    lab.close_input();
    lab.exits(0, otherwise);
}

/// One line of input, which lets it give one back.
inline void gives_one_back(Stage& stage, Subject& lab, const Mistake& otherwise = {}) {
    lab.feed("\n");
    const std::string line = lab.line(otherwise);
    stage.require(line == "given back", {"it prints \"given back\"", shown(line), "", "", otherwise});
}

inline std::vector<std::string> limit(const std::string& name, int slots, const Puppet& puppet, std::vector<std::string> options = {}) {
    std::vector<std::string> line = {"limit", name, "--slots", std::to_string(slots)};
    line.insert(line.end(), options.begin(), options.end());
    line.push_back("--");
    for (const std::string& word : puppet.command())
        line.push_back(word);
    return line;
}

/// Whether limit has started its command. The dead do not count: those whose parent was killed are shown in every tree.
inline bool runs_a_command(Subject& lab) {
    const std::vector<ProcessInfo> tree = lab.process().tree();
    return std::any_of(tree.begin(), tree.end(), [](const ProcessInfo& one) { return !one.zombie && one.name.starts_with("puppet"); });
}

}  // namespace judge
