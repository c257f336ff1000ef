#pragma once

/// @file
/// What goes out: the course as students get it, packed for them, for Gradescope, and for a container.

#include "labs.hpp"
#include <string>
#include <string_view>
#include <vector>

namespace course {

struct BundleFile {
    std::string path;  ///< from the repository's root
    std::string content;
    bool executable = false;
};

/// Whether students get this file: not the solutions, nor what was made of them, nor what only instructors need.
bool goes_to_students(std::string_view path);

/// The file's text as students get it: the header of a mistake without its patch, an instructor's page without its text.
std::string as_students_get_it(std::string_view path, const std::string& content);

/// What students get: what git has on file, as it lies in the working tree, by name; but starters as they were shipped.
std::vector<BundleFile> students_files(const Repository& repository);

/// Where `files` say what only the solutions, or programs made of them, or the instructors' pages say: three telling lines
/// one after the other, or twelve in judges. @returns "docs/x.md:12 is from solutions/…/posix.cpp:40"
std::vector<std::string> solution_text_in(const Repository& repository, const std::vector<BundleFile>& files);

enum class ArchiveKind { tar_gz, zip };

/// An archive with `files` below `folder` ("" for none). The same files give the same bytes.
std::string packed(ArchiveKind kind, const std::string& folder, const std::vector<BundleFile>& files);

}  // namespace course
