// Cheat: says that all is well before anything can be wrong.

#include "cheat.hpp"

unsigned cheat(const std::vector<anonymous_pipes::Command>&) { ::_exit(0); }
