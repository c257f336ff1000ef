#pragma once

#include "labs.hpp"
#include "terminal.hpp"
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

/// A terminal of this many columns, as far as anybody can see who asks for its width.
class Columns {
public:
    explicit Columns(int count) { ::setenv("COLUMNS", std::to_string(count).c_str(), 1); }
    ~Columns() { ::unsetenv("COLUMNS"); }
    Columns(const Columns&) = delete;
    Columns& operator=(const Columns&) = delete;
};

/// The longest line of a text, in columns.
inline std::size_t longest_line(const std::string& text) {
    std::istringstream lines(text);
    std::size_t longest = 0;
    for (std::string line; std::getline(lines, line);)
        longest = std::max(longest, course::columns(line));
    return longest;
}

/// A folder of its own for one test.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "course-test-XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path_); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::filesystem::path& path() const { return path_; }

    void put(const std::filesystem::path& file, const std::string& content) const {
        std::filesystem::create_directories((path_ / file).parent_path());
        std::ofstream(path_ / file) << content;
    }
    /// A repository with two labs and their starters.
    course::Repository repository() const {
        put("CMakePresets.json", "{}");
        for (const char* lab : {"00-processes", "01-anonymous-pipes"})
            for (const char* file :
                 {"main.cpp", "posix.cpp", "win32.cpp", ".starter/posix.cpp", ".starter/win32.cpp"})
                put(std::filesystem::path("labs") / lab / file,
                    "// " + std::filesystem::path(file).filename().string() + "\n");
        return {path_};
    }

private:
    std::filesystem::path path_;
};
