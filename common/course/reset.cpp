#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include <fmt/format.h>

namespace fs = std::filesystem;

namespace course {

// The shipped starter lies in labs/NN-name/.starter, and not in git's history: a student commits, squashes,
// works in a downloaded archive. `./course test` makes sure that the copy and the starter are the same.
int reset(const Repository& repository, const std::string& lab_name, const std::string& track_name) {
    const Lab lab = repository.lab_named(lab_name);
    const Track track = track_named(track_name);
    const auto starter = read_file(repository / starter_of(lab, track));
    if (!starter)
        throw Failure(exit_code::machine,
                      fmt::format("{} is not there, so the starter cannot be given back. Take it from a "
                                  "fresh copy of the course "
                                  "(with git: git checkout origin/HEAD -- {}). Your file was not touched",
                                  starter_of(lab, track), starter_of(lab, track)));
    const fs::path file = repository / source_of(lab, track);
    const auto current = read_file(file);
    if (current == starter) {
        fmt::print("{} is the starter as it was shipped; there is nothing to do.\n", source_of(lab, track));
        return exit_code::full_marks;
    }
    // First the second name for the student's work, then the new file under the old name: at no moment is it
    // nowhere.
    const fs::path kept = current ? keep_aside(file, "kept") : fs::path();
    write_file(file, *starter);
    fmt::print("{} is the starter again.\n", source_of(lab, track));
    if (current)
        fmt::print("Your file is now labs/{}/{}\n", lab.name, kept.filename().string());
    return exit_code::full_marks;
}

}  // namespace course
