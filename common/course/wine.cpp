#include "wine.hpp"

#include "process.hpp"
#include <cstdlib>
#include <string>

namespace fs = std::filesystem;

namespace course {
namespace {

// Not run(): this has to work after Ctrl-C as well.
bool wineserver(const std::string& options) {
    ::setenv("WINEPREFIX", wine_folder().c_str(), 1);
    const bool ok = std::system(("wineserver " + options + " </dev/null >/dev/null 2>&1").c_str()) == 0;
    ::unsetenv("WINEPREFIX");
    return ok;
}

}  // namespace

fs::path wine_folder() {
    if (const char* folder = std::getenv("IPC_LABS_WINEPREFIX"); folder && *folder)
        return folder;
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    return (cache && *cache ? fs::path(cache) : fs::path(home ? home : "/") / ".cache") / "ipc-labs/wine";
}

WineSession::WineSession()
    : ours_(!find_program("wineserver").empty() && !(fs::exists(wine_folder()) && wineserver("-k0"))) {}

WineSession::~WineSession() {
    if (ours_ && fs::exists(wine_folder()))
        wineserver("-k -w");
}

}  // namespace course
