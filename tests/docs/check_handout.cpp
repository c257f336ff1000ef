// check-handout ROOT FILE PROGRAMS: runs a handout's commands, and says where it no longer tells the truth.
// Exit codes: 0 all as it says, 1 something is not, 2 a comment or the command line is wrong, 77 a handout
// that has no comments for this check yet.

#include "files.hpp"
#include "handout.hpp"
#include "process.hpp"
#include "terminal_session.hpp"
#include <algorithm>
#include <cstdlib>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <net/if.h>
#include <regex>
#include <sched.h>
#include <set>
#include <sstream>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

namespace fs = std::filesystem;
using namespace handout;
using namespace std::chrono_literals;

namespace {

constexpr auto for_a_command = 20s, for_an_answer = 5s, for_a_start = 15s;

std::string indented(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines)
        text += "    " + line + "\n";
    return text.empty() ? "    (nothing)\n" : text;
}

class Check {
public:
    Check(fs::path root, std::string file, fs::path programs)
        : root_(std::move(root)), file_(std::move(file)), programs_(std::move(programs)) {}

    int run() {
        const auto text = course::read_file(root_ / file_);
        if (!text) {
            fmt::print(stderr, "check-handout: there is no {}\n", (root_ / file_).string());
            return 2;
        }
        const std::vector<Block> blocks = blocks_of(*text);
        if (std::none_of(blocks.begin(), blocks.end(),
                         [](const Block& block) { return block.mark.kind != Mark::none; })) {
            fmt::print("{}: no block of it says how it is run, so none was (tests/docs/handout.hpp)\n",
                       file_);
            return 77;
        }
        for (const Block& block : blocks)
            check(block);
        end_section();
        std::error_code ignored;
        if (!folder_.empty())
            fs::remove_all(folder_, ignored);
        for (const auto& [reason, lines] : not_run_)
            fmt::print("not run, {}: line{} {}\n", reason, lines.size() == 1 ? "" : "s",
                       fmt::join(lines, ", "));
        fmt::print("{}: {} blocks run, {} compared with their files, {} not run, {} wrong\n", file_,
                   run_count_, from_count_, not_run_count_, wrong_);
        return wrong_ == 0 ? 0 : 1;
    }

private:
    void check(const Block& block) {
        if (block.section != section_)
            end_section();
        section_ = block.section;
        if (block.mark.kind == Mark::not_run) {
            not_run_[block.mark.reason].push_back(block.line);
            ++not_run_count_;
        } else if (block.mark.kind == Mark::from) {
            ++from_count_;
            compare(block);
        } else if (block.mark.kind == Mark::run) {
            ++run_count_;
            act(block);
        } else if (block.is_transcript()) {
            wrong(block.line,
                  "commands, and no comment above them that says how to run them (tests/docs/handout.hpp)");
        } else if (block.language == "cpp" || block.language == "c++") {
            wrong(block.line,
                  "C++, and no comment above it that says which file it is from (<!-- from: FILE -->)");
        } else {
            names(block);
        }
    }

    void act(const Block& block) {
        if (!block.mark.companion.empty() && companions_.insert(block.mark.companion).second) {
            TerminalSession& companion = session(100 + static_cast<int>(companions_.size()));
            companion.type(block.mark.companion);
            companion.settle(for_a_start);
        }
        TerminalSession& terminal = session(block.mark.terminal);
        if (!block.mark.preparation.empty() && !terminal.busy()) {
            terminal.type(block.mark.preparation);
            terminal.ended(for_a_command);
        }
        std::vector<Command> commands = block.commands();
        for (std::size_t i = 0; i < commands.size(); ++i) {
            const Command& command = commands[i];
            if (!command.line.empty()) {
                if (terminal.busy() && !terminal.ended(for_a_command))
                    return wrong(
                        block.line,
                        fmt::format("the command before this one has not ended:\n    $ {}", command.line));
                terminal.type(command.line);
                const bool may_wait = block.mark.waits && i + 1 == commands.size();
                if (!may_wait && !terminal.ended(for_a_command))
                    return wrong(block.line, fmt::format("this does not end:\n    $ {}\n  it has printed\n{}",
                                                         command.line, indented(terminal.lines())));
            }
            const auto complete = [&](const std::vector<std::string>& lines) {
                return first_missing(block.mark, command.answers, lines) < 0;
            };
            if (command.line.find('&') != std::string::npos || block.mark.waits)
                terminal.settle(for_a_start);
            const bool all = terminal.reads(complete, for_an_answer);
            const std::vector<std::string> got = terminal.lines();
            const bool more = !block.mark.in_part && got.size() > command.answers.size() &&
                              i + 1 == commands.size() && !block.mark.waits;
            if (!all || more) {
                wrong(block.line, fmt::format("    $ {}\n  the handout says\n{}  it printed\n{}",
                                              command.line, indented(command.answers), indented(got)));
                terminal.take(got.size());
                return;
            }
            terminal.take(block.mark.in_part ? got.size() : command.answers.size());
        }
    }

    // A piece of a program: its lines stand in the file one after another, whatever is in front of them.
    void compare(const Block& block) {
        const auto text = course::read_file(root_ / block.mark.file);
        if (!text)
            return wrong(block.line,
                         fmt::format("it is said to be from {}, and there is no such file", block.mark.file));
        const bool patch = fs::path(block.mark.file).extension() == ".patch";
        const auto squeezed = [](const std::string& line) {
            std::string result;
            std::copy_if(line.begin(), line.end(), std::back_inserter(result),
                         [](unsigned char c) { return !std::isspace(c); });
            return result;
        };
        std::string whole, piece;
        std::istringstream lines(*text);
        for (std::string line; std::getline(lines, line);)
            if (!patch || line.rfind("-", 0) != 0)
                whole += squeezed(patch && !line.empty() ? line.substr(1) : line) + "\n";
        for (const std::string& line : block.lines)
            if (!squeezed(line).empty())
                piece += squeezed(line) + "\n";
        if (whole.find(piece) == std::string::npos)
            wrong(block.line, fmt::format("these lines do not stand so in {}:\n{}", block.mark.file,
                                          indented(block.lines)));
    }

    // Names of mistakes, as a verdict shows them, are those on file.
    void names(const Block& block) {
        static const std::regex named("mistake +(.*)");
        for (const std::string& line : block.lines) {
            std::smatch part;
            if (!std::regex_match(line, part, named))
                continue;
            std::istringstream list(part[1]);
            for (std::string name; std::getline(list >> std::ws, name, ',');)
                if (!on_file(name))
                    wrong(block.line, fmt::format("no mistake '{}' is on file in tests/", name));
        }
    }

    bool on_file(const std::string& name) const {
        const fs::path mistakes = root_ / "tests" / fs::path(file_).parent_path().filename() / "mistakes";
        return fs::exists(mistakes / "posix" / (name + ".patch")) ||
               fs::exists(mistakes / "win32" / (name + ".patch"));
    }

    TerminalSession& session(int number) {
        if (folder_.empty()) {
            std::string name = (fs::temp_directory_path() / "handout-XXXXXX").string();
            if (!::mkdtemp(name.data()))
                throw std::runtime_error("cannot make a folder in " + fs::temp_directory_path().string());
            folder_ = name;
        }
        std::unique_ptr<TerminalSession>& terminal = terminals_[number];
        if (!terminal)
            terminal = std::make_unique<TerminalSession>(folder_, programs_);
        return *terminal;
    }

    void end_section() {
        terminals_.clear();
        companions_.clear();
        end_everybody();
    }

    void wrong(int line, const std::string& words) {
        ++wrong_;
        fmt::print("{}:{}: {}\n", file_, line, words);
    }

    fs::path root_;
    std::string file_, section_;
    fs::path programs_, folder_;
    std::map<int, std::unique_ptr<TerminalSession>> terminals_;
    std::set<std::string> companions_;
    std::map<std::string, std::vector<int>> not_run_;
    int run_count_ = 0, from_count_ = 0, not_run_count_ = 0, wrong_ = 0;
};

// A network and a /dev/shm of our own, where they may be had: nobody else has our ports and names, and
// nothing stays.
void have_own_names() {
    if (::unshare(CLONE_NEWNET) == 0) {
        const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ifreq loopback{};
        std::snprintf(loopback.ifr_name, sizeof loopback.ifr_name, "lo");
        loopback.ifr_flags = IFF_UP | IFF_RUNNING;
        ::ioctl(any, SIOCSIFFLAGS, &loopback);
        ::close(any);
    }
    if (::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0)
        ::mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        fmt::print(stderr, "usage: check-handout ROOT FILE PROGRAMS\n");
        return 2;
    }
    course::adopt_orphans();
    have_own_names();
    try {
        return Check(argv[1], argv[2], argv[3]).run();
    } catch (const std::exception& error) {
        end_everybody();
        fmt::print(stderr, "check-handout: {}: {}\n", argv[2], error.what());
        return 2;
    }
}
