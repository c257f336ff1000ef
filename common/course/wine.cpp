#include "wine.hpp"

#include "process.hpp"
#include <cstdlib>
#include <string>

namespace fs = std::filesystem;

namespace course {
namespace {

// Not run(): this has to work after Ctrl-C as well.
bool wineserver(const fs::path& folder, const std::string& options) {
    const std::string line = shell_line({"WINEPREFIX=" + folder.string(), "wineserver"});
    return std::system(("env " + line + " " + options + " </dev/null >/dev/null 2>&1").c_str()) == 0;
}

}  // namespace

fs::path wine_folder() {
    if (const char* folder = std::getenv("IPC_LABS_WINEPREFIX"); folder && *folder)
        return folder;
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    return (cache && *cache ? fs::path(cache) : fs::path(home ? home : "/") / ".cache") / "ipc-labs/wine";
}

void end_wine(const fs::path& folder) {
    wineserver(folder, "-k");
    end_adopted("wine", "WINEPREFIX=" + folder.string());
}

WineFolders::WineFolders(unsigned count) {
    if (count == 0 || find_program("wineserver").empty())
        return;
    first_is_ours_ = !(fs::exists(wine_folder()) && wineserver(wine_folder(), "-k0"));
    for (unsigned i = 0; i < count; ++i)
        folders_.push_back(i == 0 ? wine_folder() : fs::path(wine_folder().string() + "-" + std::to_string(i + 1)));
    free_.assign(folders_.rbegin(), folders_.rend());
}

WineFolders::~WineFolders() {
    for (const fs::path& folder : folders_)
        if (fs::exists(folder) && (first_is_ours_ || folder != wine_folder())) {
            wineserver(folder, "-k -w");
            end_adopted("wine", "WINEPREFIX=" + folder.string());  // who had not yet made itself known to the server
        }
}

WineFolders::Lease::Lease(WineFolders& folders) : folders_(folders) {
    std::unique_lock lock(folders_.mutex_);
    folders_.freed_.wait(lock, [&] { return !folders_.free_.empty(); });
    folder_ = folders_.free_.back();
    folders_.free_.pop_back();
}

WineFolders::Lease::~Lease() {
    const std::lock_guard lock(folders_.mutex_);
    folders_.free_.push_back(folder_);
    folders_.freed_.notify_one();
}

}  // namespace course
