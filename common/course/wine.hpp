#pragma once

/// @file
/// Wine's folder and its background processes.

#include <filesystem>

namespace course {

/// Where common/wine-run keeps Wine's files.
std::filesystem::path wine_folder();

/// Ends Wine's background processes when it goes, if none were running when it came. They would leave by
/// themselves a minute later; a check must leave nothing running.
class WineSession {
public:
    WineSession();
    ~WineSession();
    WineSession(const WineSession&) = delete;
    WineSession& operator=(const WineSession&) = delete;

private:
    bool ours_;
};

}  // namespace course
