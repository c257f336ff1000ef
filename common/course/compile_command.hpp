#pragma once

/// @file
/// The compiler's command for one source, from the build's compile_commands.json.

#include "labs.hpp"
#include "process.hpp"

namespace course {

/// The command that compiles `source` for `target`, with `more` options; its object goes to /dev/null.
/// @throws Failure (machine) if the build does not know the source
Command compile_command(const Repository& repository, const std::string& preset, const std::string& target,
                        const std::string& source, const std::string& more = {});

}  // namespace course
