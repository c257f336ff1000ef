// What only the win32 track has: command lines, and what Windows calls a program.

#include "shared.hpp"

using namespace judge;

EXERCISE("Exercise 1: capture") {

CASE("1.19 each argument reaches the command as it is" * points(4) * section("a-command-is-one-line") *
     hints("CreateProcess takes one line, and the child cuts it into words again. By which rules?",
           "Blanks separate, quotation marks group, and a backslash is special only before a quotation mark. The rules stand at CommandLineToArgvW.",
           "Put every word in quotation marks; double the backslashes before a quotation mark, also before the one you add at the end; put one more before a mark in the word.")) {
    by_hand(stage, "", "lab-01 capture -- cmd /c echo 'two words'   # with the quotation marks that keep them together: \"two words\"",
            "lab-01 capture -- cmd /c echo \"two words\"");
    know_kept_ends(stage);
    const std::vector<std::string> hard = {"two words", "", "a\\\\b", "say \"hi\"", "ends in\\", "\\\"", "100%", stage.random().word(6)};
    Puppet child = stage.puppet();
    std::vector<std::string> words = verb({"capture"}, child);
    words.insert(words.end(), hard.begin(), hard.end());
    Subject lab = run(stage, words);
    starts(stage, lab, child);
    const std::vector<std::string> arrived = child.arguments();
    for (std::size_t i = 0; i < hard.size(); ++i)
        stage.require(i < arrived.size() && arrived[i] == hard[i],
                      {"argument " + std::to_string(i + 1) + " of the command is " + shown(hard[i]),
                       i < arrived.size() ? shown(arrived[i]) : "nothing", "", "", i < arrived.size() && arrived[0] == "two" ? "arguments-glued" : ""});
    stage.require(arrived.size() == hard.size(), {std::to_string(hard.size()) + " arguments", std::to_string(arrived.size()) + " arguments", "", "", ""});
    const std::string word = stage.random().word(10);
    child.write(word);
    child.exit(0);
    lab.prints(word);
    lab.exits(0);
}

}

EXERCISE("Exercise 4: pipeline") {

CASE("1.20 exit codes keep their 32 bits, and real programs run" * points(3) * section("exercise-4-pipeline") *
     hints("How large can an exit code be on Windows?",
           "It is a DWORD. A program that dies of an exception ends with the exception's code, such as 0xC0000005.",
           "Return what GetExitCodeProcess gave you, without cutting it to a byte.")) {
    by_hand(stage, "", "lab-01 pipeline -- cmd /c echo hello world '|' find 'o w'", "lab-01 pipeline -- cmd /c echo hello world \"|\" find \"o w\"");
    Subject lab = run(stage, {"pipeline", "--", "cmd", "/c", "echo", "hello", "world", "|", "find", "o w"});
    lab.prints("hello world\r\n");
    lab.exits(0);

    by_hand(stage, "", "lab-01 pipeline --codes -- cmd /c exit 70000 '|' cmd /c exit 0   # stage 1: exit code 70000",
            "lab-01 pipeline --codes -- cmd /c exit 70000 \"|\" cmd /c exit 0");
    Puppet a = stage.puppet(), b = stage.puppet();
    Subject codes = run(stage, pipeline({a.command(), b.command()}, true));
    starts(stage, codes, a);
    starts(stage, codes, b);
    are_joined(stage, {&a, &b});
    const auto large = static_cast<std::uint32_t>(stage.random().between(70'000, 1'000'000));
    a.exit(large);
    b.exit(0);
    const std::string expected = "stage 1: exit code " + std::to_string(large), cut = "stage 1: exit code " + std::to_string(large & 0xff);
    const Ended how = codes.ends();
    const bool is_cut = how.code == (large & 0xff) || codes.errors().find(cut) != std::string::npos;
    codes.exits(large, is_cut ? "exit-code-cut" : "");
    codes.complains(expected, is_cut ? "exit-code-cut" : "");
}

}
