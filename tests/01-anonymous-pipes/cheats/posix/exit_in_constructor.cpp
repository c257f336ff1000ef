// Cheat: ends before main() begins.

#include "cheat.hpp"

namespace {
const struct Early {
    Early() { ::_exit(0); }
} early;
}  // namespace

unsigned cheat(const std::vector<anonymous_pipes::Command>&) { return 0; }
