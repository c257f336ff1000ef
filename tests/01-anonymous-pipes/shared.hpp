#pragma once

// What the judges of lab 01 have in common on both tracks.

#include "judge.hpp"

#include <algorithm>
#include <cstdio>
#include <regex>
#ifdef _WIN32
#include <windows.h>
#endif

namespace judge {

#ifdef _WIN32
constexpr bool windows = true;
inline const std::string lab_itself = "lab-01";  // CreateProcess looks first where the calling program lies
#else
constexpr bool windows = false;
inline const std::string lab_itself = "/proc/self/exe";
#endif

// What the explained hang says of a process that waits, up to the list of who holds the other end.
inline const std::string reads_from = " .*(waits in (read|ReadFile)\\(\\w+\\) on|to read from fd \\d+,) a pipe whose write end is still open in ";
inline const std::string writes_to = " .*waits in (write|WriteFile)\\(\\w+\\) on a pipe that is full, and whose read end is open in ";
inline const std::string lab_itself_or_with_others = "(.* and )?lab-\\d+ itself", a_lab = "(.* and )?lab-\\d+", a_puppet = "(.* and )?puppet";

inline std::vector<std::string> verb(std::initializer_list<std::string> words, const Puppet& puppet) {
    std::vector<std::string> line = words;
    line.push_back("--");
    for (const std::string& word : puppet.command())
        line.push_back(word);
    return line;
}

inline std::vector<std::string> pipeline(const std::vector<std::vector<std::string>>& stages, bool codes = false) {
    std::vector<std::string> line = {"pipeline"};
    if (codes)
        line.push_back("--codes");
    line.push_back("--");
    for (std::size_t i = 0; i < stages.size(); ++i) {
        if (i > 0)
            line.push_back("|");
        line.insert(line.end(), stages[i].begin(), stages[i].end());
    }
    return line;
}

// The variables that a shell sets by itself: without them in its environment, a lab program that asks a shell shows it.
inline const std::vector<std::string> marks_of_a_shell = {"PWD", "OLDPWD", "SHLVL", "_"};

inline Subject run(Stage& stage, const std::vector<std::string>& arguments, Start how = {}) {
    stage.recognise_throughout("killed by SIGPIPE", "sigpipe");
    stage.recognise_throughout("expected: (no processor is used while it waits|it sleeps until there is something to do)", "busy-waiting");
    stage.recognise_throughout("expected: everybody waits[^]*got: nothing within", "busy-waiting");
    if (!windows) {
        for (const std::string& name : marks_of_a_shell)
            how.environment[name] = std::nullopt;
        how.environment["PATH"] = "/usr/local/bin:/usr/bin:/bin";  // a folder that may not be searched turns 127 into 126
    }
    return stage.start(arguments, how);
}

// The same with real programs: for a shell on Linux, with the posix track's program or with Windows programs under Wine;
// and for cmd.exe.
inline void by_hand(Stage& stage, const std::string& shell, const std::string& wine, const std::string& cmd) {
    stage.by_hand(!windows ? shell : under_wine() ? wine : cmd);
}

// Waits until the lab program has started the puppet: itself, without a shell, and as a child.
inline void starts(Stage& stage, Subject& lab, Puppet& puppet) {
    puppet.started();
    stage.require(puppet.id() != lab.process().id(),
                  {"the command runs in a child process, and the lab program waits for it",
                   "the command runs in the lab program's place: exec without fork", "", "", "exec-without-fork"});
    std::string shell;
    for (const ProcessInfo& process : lab.process().tree())
        for (const char* name : {"sh", "dash", "bash", "busybox", "zsh", "cmd", "cmd.exe", "powershell", "powershell.exe"})
            if (process.name == name)
                shell = process.name;
    for (const std::string& name : marks_of_a_shell)
        if (!windows && puppet.environment().contains(name))
            shell = "a shell, which has set the variable " + name;
    stage.require(shell.empty(), {"the lab program starts the command itself", "it asks " + shell, "", "", "through-a-shell"});
}

// capture reads the output and nothing else: whoever holds the write end then, it must not be itself.
inline void know_kept_ends(Stage& stage) {
    stage.recognise("lab-\\d+" + reads_from + lab_itself_or_with_others, "write-end-kept");
    stage.recognise("ReadFile: ([Bb]roken pipe|.*pipe has been ended)", "end-of-file-is-an-error");
}

// As the explained hang says it of a lab program that waits for the end of its child.
inline const std::string waits_for_puppet = "waits in (wait\\(\\) for its child|WaitFor\\w+ for) puppet";

inline bool waits_for_its_child(Subject& lab) {
    const std::vector<std::string> sentences = explain_hang(lab.process());
    const std::regex waits(waits_for_puppet);
    return std::any_of(sentences.begin(), sentences.end(), [&](const std::string& one) { return std::regex_search(one, waits); });
}

// Each stage of a pipeline, while none of them has ended.
inline void all_start(Stage& stage, Subject& lab, std::initializer_list<Puppet*> stages) {
    for (Puppet* one : stages) {
        starts(stage, lab, *one);
        stage.recognise("expected: the given program is started[^]*lab-\\d+ .*" + waits_for_puppet, "stages-one-by-one");
    }
    stage.forget();
}

// The stages of a pipeline hand a word on from the first to the last.
inline void are_joined(Stage& stage, std::initializer_list<Puppet*> stages) {
    for (auto one = stages.begin(); one + 1 != stages.end(); ++one) {
        const std::string word = stage.random().word(20);
        (*one)->write(word);
        const std::string heard = one[1]->read(word.size()).bytes;
        stage.require(heard == word, {"the next stage reads " + shown(word), heard.empty() ? "nothing" : shown(heard), "", "", ""});
    }
}

// Of the puppet's standard streams these, 0 or 1, must be pipes of the lab program's making, not those that we gave it.
inline void has_own_pipes(Stage& stage, Subject& lab, Puppet& puppet, const std::vector<int>& own) {
    const std::vector<std::string> open = puppet.descriptors();
    std::string got;
#ifdef _WIN32
    // A pipe's name has its maker's number in it, decimal or hexadecimal. Newer Windows gives it none: then we cannot tell.
    auto made_by = [&open](std::uint32_t maker) {
        char decimal[16], hexadecimal[16];
        std::snprintf(decimal, sizeof decimal, ".%08lu.", static_cast<unsigned long>(maker));
        std::snprintf(hexadecimal, sizeof hexadecimal, ".%08lx.", static_cast<unsigned long>(maker));
        return static_cast<std::size_t>(std::count_if(open.begin(), open.end(), [&](const std::string& line) {
            return line.find(decimal) != std::string::npos || line.find(hexadecimal) != std::string::npos;
        }));
    };
    if (made_by(GetCurrentProcessId()) + own.size() > 3 && made_by(lab.process().id()) < own.size())
        got = "it is the lab program's own";
#else
    auto stream = [](const std::vector<std::string>& all, int number) {
        const std::string prefix = std::to_string(number) + " ";
        const auto at = std::find_if(all.begin(), all.end(), [&](const std::string& line) { return line.starts_with(prefix); });
        return at == all.end() ? "closed" : at->substr(prefix.size());
    };
    const std::vector<std::string> ours = lab.process().descriptors();
    for (const int number : own) {
        const std::string its = stream(open, number);
        if (its == stream(ours, number))
            got = "it is the lab program's own";
        else if (!its.starts_with("pipe:") && !its.starts_with("socket:"))
            got = "it is " + its;
    }
#endif
    const char* streams = own.size() == 2 ? "input and output" : own[0] == 0 ? "input" : "output";
    stage.require(got.empty(), {std::string("the command's standard ") + streams + " is a pipe between it and the lab program",
                                got + ": the command was started without a pipe", "", "", "no-pipe"});
}

// Until every process is blocked: what can be moved has been moved.
inline void settles(Stage& stage, Subject& lab, const Mistake& otherwise = {}) {
    if (windows) {
        lab.idles();
        return;
    }
    std::string before;
    stage.await([&](Deadline deadline) {
        const std::string now = lab.process().stillness();
        if (!now.empty() && now == before)
            return true;
        before = now;
        lab.process().wait(deadline);
        return false;
    }, "everybody waits, since nobody can move a byte", otherwise);
}

// Gives a program that reads the time to have read what was written: until it is blocked again, if it ever is.
inline void taken(Subject& lab) {
    const Deadline deadline = Deadline::in(milliseconds(300));
    std::string before = "-";
    for (std::string now; !deadline.expired() && !lab.process().wait(Deadline::in(milliseconds(20))); before = now)
        if (now = lab.process().stillness(); !now.empty() && now == before)
            return;
}

// The lab program still waits for somebody, while others end around it.
inline void goes_on_waiting(Stage& stage, Subject& lab, const Mistake& if_ended) {
    if (windows)
        lab.idles(if_ended);
    else
        settles(stage, lab, if_ended);
    stage.require(lab.running(), {"lab program waits", "it ended", "", "", if_ended});
}

}  // namespace judge
