#include "terminal.hpp"
#include <doctest/doctest.h>

using namespace course;

TEST_CASE("nothing that a terminal obeys gets through") {
    CHECK(visible("\x1b[31mred\x1b[0m") == "\\x1b[31mred\\x1b[0m");
    CHECK(visible(std::string_view("a\0b\x07\x7f", 5)) == "a\\x00b\\x07\\x7f");
    CHECK(visible("\xc2\x9b"
                  "2J") == "\\u009b2J");  // the one-character form of ESC [
    CHECK(visible("\xe2\x80\xae"
                  "gpj.exe") == "\\u202egpj.exe");
    CHECK(visible("a\rb") == "a\\rb");
}

TEST_CASE("text stays text, and what is no UTF-8 becomes visible bytes") {
    CHECK(visible("Käse 漢字 🙂\nnext") == "Käse 漢字 🙂\nnext");
    CHECK(visible("\xff\xfe") == "\\xff\\xfe");
    CHECK(visible("\xc0\xaf") == "\\xc0\\xaf");           // overlong
    CHECK(visible("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // surrogate
    CHECK(visible("\xe2\x82") == "\\xe2\\x82");           // cut short
    CHECK(visible("\xf5\x80\x80\x80") == "\\xf5\\x80\\x80\\x80");
}

TEST_CASE("padding counts characters and not bytes") {
    CHECK(columns("Käse") == 4);
    CHECK(padded("Käse", 6) == "Käse  ");
    CHECK(padded("too long", 3) == "too long");
}

TEST_CASE("lines break at spaces, and a long word stays whole") {
    CHECK(wrapped("one two three", 23, 2) == "one two three");
    CHECK(wrapped("aaaaaaaaaa bbbbbbbbbb cccc", 22, 2) == "aaaaaaaaaa\n  bbbbbbbbbb cccc");
    CHECK(wrapped("a /very/long/path/that/cannot/be/broken b", 22, 2) ==
          "a\n  /very/long/path/that/cannot/be/broken\n  b");
    CHECK(wrapped("one\ntwo", 40, 4) == "one\n    two");
}
