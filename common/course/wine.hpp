#pragma once

/// @file
/// Wine's folder and its background processes.

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <vector>

namespace course {

/// Where common/wine-run keeps Wine's files.
std::filesystem::path wine_folder();

/// Ends the background processes of one Wine folder, and whatever else still runs there as our orphan.
void end_wine(const std::filesystem::path& folder);

/// Wine folders for several judges at once. Each has a server of its own, so that no judge's programs meet another's:
/// names, process ids, services, clipboard. The first is wine_folder(); the others are made like it, at little cost.
///
/// When it goes it ends the background processes that were not running when it came. They would leave by themselves
/// a minute later; a check must leave nothing running.
class WineFolders {
public:
    /// @param count  how many judges at once; 0 where there is no Wine or none is wanted
    explicit WineFolders(unsigned count);
    ~WineFolders();
    WineFolders(const WineFolders&) = delete;
    WineFolders& operator=(const WineFolders&) = delete;

    unsigned count() const { return static_cast<unsigned>(folders_.size()); }

    /// A folder of one's own until it goes out of scope.
    class Lease {
    public:
        explicit Lease(WineFolders& folders);
        ~Lease();
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        const std::filesystem::path& folder() const { return folder_; }

    private:
        WineFolders& folders_;
        std::filesystem::path folder_;
    };

private:
    std::vector<std::filesystem::path> folders_, free_;
    bool first_is_ours_ = false;
    std::mutex mutex_;
    std::condition_variable freed_;
};

}  // namespace course
