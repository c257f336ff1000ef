#include "compile_command.hpp"

#include "failure.hpp"
#include "files.hpp"
#include <fmt/format.h>
#include <nlohmann/json.hpp>

using nlohmann::json;

namespace course {

Command compile_command(const Repository& repository, const std::string& preset, const std::string& target,
                        const std::string& source, const std::string& more) {
    const auto file = repository / build_of(preset) / "compile_commands.json";
    const json entries = json::parse(read_file(file).value_or("[]"), nullptr, false);
    const std::string wanted = (repository / source).string();
    for (const json& entry : entries)
        if (entry.is_object() && entry.value("file", "") == wanted &&
            entry.value("command", "").find("/" + target + ".dir/") != std::string::npos)
            return {{"sh", "-c", fmt::format("{} {} -o /dev/null", entry.value("command", ""), more)},
                    entry.value("directory", ""),
                    std::chrono::minutes(5),
                    {}};
    throw Failure(exit_code::machine,
                  fmt::format("{} has no command for {} of {}; delete build/{} and run the command again",
                              file.string(), source, target, preset));
}

}  // namespace course
