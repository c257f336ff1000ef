#include "handout.hpp"

#include <doctest/doctest.h>
#include <stdexcept>

using namespace handout;

TEST_CASE("a comment belongs to the block below it") {
    const auto blocks = blocks_of(
        "# T\n\n<!-- run: numbers, root vary; terminal 2 -->\n```\n$ id -u\n0\n```\n\n```\nplain\n```\n");
    REQUIRE(blocks.size() == 2);
    CHECK(blocks[0].line == 4);
    CHECK(blocks[0].mark.kind == Mark::run);
    CHECK(blocks[0].mark.numbers);
    CHECK(blocks[0].mark.varying == std::vector<std::string>{"root"});
    CHECK(blocks[0].mark.terminal == 2);
    CHECK(blocks[0].is_transcript());
    CHECK(blocks[1].mark.kind == Mark::none);
    CHECK(!blocks[1].is_transcript());
}

TEST_CASE("what is not understood is said with its line") {
    CHECK_THROWS_WITH(blocks_of("\n<!-- run: backwards -->\n```\n```\n"),
                      "line 2: 'backwards' is no option; there are 'in part', 'in any order', 'with …', "
                      "'first …', 'waits', "
                      "'terminal N', '… vary'");
    CHECK_THROWS_AS(blocks_of("<!-- not run -->\n```\n```\n"), std::runtime_error);
    CHECK_THROWS_AS(blocks_of("<!-- run -->\nText in between.\n```\n```\n"), std::runtime_error);
}

TEST_CASE("commands and their answers") {
    const auto blocks =
        blocks_of("- in a list\n\n  ```\n  late\n  $ one \\\n    two\n  1\n   2\n  $ three\n  ```\n");
    const auto commands = blocks.at(0).commands();
    REQUIRE(commands.size() == 3);
    CHECK(commands[0].line.empty());
    CHECK(commands[0].answers == std::vector<std::string>{"late"});
    CHECK(commands[1].line == "one \\\n  two");
    CHECK(commands[1].answers == std::vector<std::string>{"1", " 2"});
    CHECK(commands[2].line == "three");
}

TEST_CASE("a quotation goes on") {
    const auto commands =
        blocks_of("```\n$ python3 -c \"print(1)\nprint(2)\"\n1\n$ echo 'a' # it's\nb\n```\n")
            .at(0)
            .commands();
    REQUIRE(commands.size() == 2);
    CHECK(commands[0].line == "python3 -c \"print(1)\nprint(2)\"");
    CHECK(commands[0].answers == std::vector<std::string>{"1"});
    CHECK(commands[1].answers == std::vector<std::string>{"b"});
}

TEST_CASE("what may differ") {
    Mark exact, varying;
    varying.numbers = true;
    varying.varying = {"Nov", "root"};
    CHECK(matches(exact, "a  1", "a  1"));
    CHECK(!matches(exact, "a  1", "a 1"));
    CHECK(matches(varying, "prw 1 root Nov 21 03:42 p", "prw 1    alice  Dec  1 11:00 p"));
    CHECK(!matches(varying, "prw 1 root p", "prw 1 root q"));
}

TEST_CASE("lines that are missing") {
    Mark whole, part;
    part.in_part = true;
    CHECK(first_missing(whole, {"a", "b"}, {"a", "b"}) == -1);
    CHECK(first_missing(whole, {"a", "b"}, {"a", "x", "b"}) == 1);
    CHECK(first_missing(part, {"a", "b"}, {"a", "x", "b"}) == -1);
    CHECK(first_missing(part, {"a", "b"}, {"b", "a"}) == 1);
    whole.any_order = true;
    CHECK(first_missing(whole, {"a", "b"}, {"b", "a"}) == -1);
    CHECK(first_missing(whole, {"a", "b"}, {"b", "b"}) == 0);
}

TEST_CASE("what the shell says of its jobs is not the commands' output") {
    CHECK(as_at_a_terminal("bash: line 1:  4121 Killed                  lab-05 send x") == "");
    CHECK(as_at_a_terminal("bash: line 1:  4121 Segmentation fault      sh -c 'kill -SEGV $$'") ==
          "Segmentation fault");
    CHECK(as_at_a_terminal("Killed by you") == "Killed by you");
}
