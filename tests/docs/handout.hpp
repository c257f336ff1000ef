#pragma once

/// @file
/// A handout's fenced blocks, and what the comment above each says about it. The comments are not shown,
/// neither by GitHub nor by the site nor by `./course handout`:
///
///     <!-- run -->                                  the commands are run, and print exactly this
///     <!-- run: numbers, root, Nov vary -->         the same; numbers and these words may be others
///     <!-- run: in part -->                         there may be more lines than these
///     <!-- run: in any order -->                    two processes print, and who is first is luck
///     <!-- run: terminal 2 -->                      in another shell than the section's first
///     <!-- run: with lab-07 serve --port 7777 -->   in the section this runs somewhere, and has come to rest
///     <!-- run: first export DISPLAY=:7 -->         typed before the block, and not shown
///     <!-- run: waits -->                           the last command does not end; later blocks see what it
///     prints
///     <!-- not run: needs Windows -->               said, and counted
///     <!-- from: labs/02-named-pipes/main.cpp -->   C++: these lines stand so in that file, which is
///     compiled
///
/// Options are separated by semicolons. A section, from one heading to the next, has a folder of its own and
/// shells that live until its end. A block with a `$ ` line and without such a comment is an error.

#include <string>
#include <string_view>
#include <vector>

namespace handout {

struct Mark {
    enum Kind { none, run, not_run, from } kind = none;
    std::string reason, file, companion, preparation;
    std::vector<std::string> varying;
    bool numbers = false, in_part = false, any_order = false, waits = false;
    int terminal = 1;
};

struct Command {
    std::string line;                  ///< may have several lines, joined by '\n'
    std::vector<std::string> answers;  ///< what the handout shows below it
};

struct Block {
    int line = 0;  ///< of the fence, in the file
    std::string section, language;
    Mark mark;
    std::vector<std::string> lines;

    bool is_transcript() const;
    /// Answers before the first command belong to a command of an earlier block: they come first, with an
    /// empty line.
    std::vector<Command> commands() const;
};

/// @throws std::runtime_error for a comment that is not understood, with its line
std::vector<Block> blocks_of(std::string_view markdown);

/// Whether what was printed is what the handout says.
/// @param got   without the lines that a shell says of its own jobs
bool matches(const Mark& mark, const std::string& expected, const std::string& got);

/// The first line of `expected` that `got` does not have in its place; -1: all are there. With `in_part`
/// lines of `got` may stand between them.
int first_missing(const Mark& mark, const std::vector<std::string>& expected,
                  const std::vector<std::string>& got);

/// `line` as a person at a terminal would see it, or nothing if it is only about the shell's jobs:
/// "bash: line 7: 4121 Segmentation fault  sh -c …" → "Segmentation fault", "… Killed …" → "".
std::string as_at_a_terminal(const std::string& line);

}  // namespace handout
